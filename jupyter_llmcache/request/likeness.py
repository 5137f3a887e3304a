"""How much two texts have in common, and what probably made the one of the other."""

from __future__ import annotations

import difflib
import re

#: What is written anew at each run, by what a person calls it. The order counts: a uuid holds
#: numbers, and a path may hold a uuid.
_VOLATILE = {
    "a temporary path": re.compile(
        r"(?:/tmp|/var/folders|/private/var|[A-Za-z]:\\[^\s'\"]*\\Temp)[/\\][^\s'\"]*",
        re.IGNORECASE,
    ),
    "a uuid": re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE),
    "a memory address": re.compile(r"\b0x[0-9a-f]{6,}\b", re.IGNORECASE),
    "a date or time": re.compile(
        r"\b\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}\S*)?|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b"
        r"|\b\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?[AaPp][Mm])?\b|\b1[5-9]\d{8}(?:\.\d+|\d{3})?\b"
        r"|\b(?:\d{1,2}\.? )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
        r"(?: \d{1,2})?(?:,? \d{4})?\b|\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b"
    ),
    "a random number": re.compile(r"-?\b(?:\d+\.\d{9,}(?:e-?\d+)?|\d{13,})\b"),
    "a random id": re.compile(r"\b(?=[a-z_-]*\d)[\w-]*[0-9a-f]{12,}\b", re.IGNORECASE),
}
#: What stands between the signs of a list.
_PIECE = re.compile(r"[^\s,;{}\[\]()]+")
#: The beginning of a pair in the text of a dict: ``'source': 'a.txt'``.
_PAIR = re.compile(r"['\"]\w+['\"]\s*:")
#: Longer pieces are compared by their beginnings.
_MAX_CHARS = 20_000
#: Shorter pieces are words that a person changed, not passages that a retriever found.
_PASSAGE_CHARS = 80
#: How much of the differing parts of two texts is compared word by word.
_COMPARED_WORDS, _COMPARED_CHARS = 100, 2_000


def shared_part(text: str, other: str) -> float:
    """Return how much of two texts is the same beginning and the same end, from 0 to 1."""
    longer = max(len(text), len(other))
    return sum(_shared_ends(text, other)) / longer if longer else 1.0


def similarity(text: str, other: str) -> float:
    """Return how alike two texts are, from 0 to 1: the same ends, and words in between."""
    shared = shared_part(text, other)
    head, tail = _shared_ends(text, other)
    words = _words(text[head : len(text) - tail])
    other_words = _words(other[head : len(other) - tail])
    if not (words and other_words):
        return shared
    alike = difflib.SequenceMatcher(None, words, other_words, autojunk=False).ratio()
    return shared + (1 - shared) * alike


def _shared_ends(text: str, other: str) -> tuple[int, int]:
    if text == other:
        return len(text), 0
    head = common_prefix(text, other)
    return head, common_prefix(text[head:][::-1], other[head:][::-1])


def _words(text: str) -> list[str]:
    return text[:_COMPARED_CHARS].split()[:_COMPARED_WORDS]


def common_prefix(text: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    low, high = 0, min(len(text), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if text[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def likely_cause(one: str, other: str) -> str | None:
    """Return in a few words what probably made ``other`` of ``one``; None where nothing tells.

    Args:
        one: What was recorded.
        other: What is asked now.
    """
    one, other = one[:_MAX_CHARS], other[:_MAX_CHARS]
    causes = []
    for cause, pattern in _VOLATILE.items():
        if pattern.findall(one) != pattern.findall(other):
            causes.append(cause)
            one, other = pattern.sub("", one), pattern.sub("", other)
    if causes and one == other:
        return " and ".join(causes)
    return _order(one, other) or _passages(one, other)


def _order(one: str, other: str) -> str | None:
    """Tell where the same pieces stand in another order."""
    pieces, other_pieces = map(_PIECE.findall, (one, other))
    if pieces == other_pieces or sorted(pieces) != sorted(other_pieces):
        return None
    if _PAIR.search(one):
        return "the order of metadata, as a vector store returns it"
    return "the order of a set, which changes from run to run"


def _passages(one: str, other: str) -> str | None:
    """Tell where some passages of a longer text are others, and some are the same."""
    passages, others = (
        [part for part in re.split(r"\n\s*\n|\n(?=[-*#]|\d+\.)", text) if part.strip()]
        for text in (one, other)
    )
    same = set(passages) & set(others)
    changed = [part for part in (*passages, *others) if part not in same]
    if (
        same
        and passages != others
        and max(map(len, changed), default=_PASSAGE_CHARS) >= _PASSAGE_CHARS
    ):
        return "other passages were retrieved"
    return None
