"""Which recorded request is most like a given one, fast also where there are very many.

Three rounds, each with a bound: request texts are compared with each other (a store holds few of
them), titles are searched for pieces of the wanted title, and only the most promising entries are
read and compared as a whole.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import StoreError
from ..ledger import Entry
from ..request.compare import Difference, description_differences, differences
from ..request.likeness import shared_part
from ..stores.base import Store
from ..text import one_line

#: Entries with titles most like the wanted one; no others are looked at. More, where so many titles
#: are equally like it.
_MAX_TITLES, _MAX_TITLE_TIES = 1_000, 10_000
#: Different request texts that are compared field by field.
_MAX_DESCRIPTIONS = 300
#: Of more, those of a like length are compared as texts first.
_MAX_LENGTHS = 3_000
#: Entries that are read; more where title and request text do not tell the best of them apart.
_MAX_READ, _MAX_READ_TIES = 100, 10_000
#: Characters of prompts that are read at most.
_MAX_READ_CHARS = 20_000_000
#: Entries that are compared field by field.
_MAX_COMPARED = 20
#: How many pieces of a title are searched for.
_PIECES = 3
#: What a title without anything in common puts between two requests.
_TITLE_COST = 4.0
#: Requests further apart than this are not like each other: another model (3), and little more.
_NEAR_COST = 4.0
#: Differences that one line tells of; the others are counted.
_LINE_DIFFERENCES = 3
#: Hexadecimal digits that name an entry in a line.
_KEY_DIGITS = 8


class Near(NamedTuple):
    """A recorded request that is like the wanted one.

    Attributes:
        record: The entry.
        differences: What differs from it to the wanted request.
    """

    record: Entry
    differences: Sequence[Difference]

    @property
    def cost(self) -> float:
        """How far away it is; 1 is one changed parameter."""
        return sum(difference.cost for difference in self.differences)


def unrecorded(store: Store, wanted: Entry) -> tuple[str, str]:
    """Return what differs between ``wanted``, which nothing answers, and what is recorded.

    In a few words for a line of 80 characters (``temperature differs``), and with the nearest
    entry, as an error says it. Never raises: whoever asks has a worse error to tell.
    """
    try:
        near = nearest(store, wanted)
        if near is None and store.count() == 0:
            return "nothing is recorded yet", f"{one_line(store.location)} holds no entry yet"
    except Exception:  # noqa: BLE001  # this is a courtesy inside another error
        return ("what is recorded cannot be read",) * 2
    if near is None:
        return ("nothing like it is recorded",) * 2
    record, found = near
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    short = one_line(found[0].short, 60) + others if found else "its spelling differs"
    key, title = record.key.hex()[:_KEY_DIGITS], one_line(record.title, 40)
    return short, f"the nearest recorded one is {key} '{title}': {differences_line(found)}"


def differences_line(found: Sequence[Difference]) -> str:
    """Return the differences on one line, the first three in words."""
    if not found:
        return "nothing differs"
    parts = [one_line(difference, 160) for difference in found[:_LINE_DIFFERENCES]]
    if len(found) > _LINE_DIFFERENCES:
        parts.append(f"and {len(found) - _LINE_DIFFERENCES} more")
    return "; ".join(parts)


def nearest(store: Store, wanted: Entry) -> Near | None:
    """Return the entry whose request is most like ``wanted``; None where none is like it.

    The entry of ``wanted`` itself is left out.

    Raises:
        StoreError: The store is at fault. A damaged entry is passed over.
    """
    titled = store.titled_like(_pieces(wanted.title), _MAX_TITLES, _MAX_TITLE_TIES)
    titled = [entry for entry in titled if entry.key != wanted.key]
    costs = _description_costs(wanted.request, {entry.request for entry in titled})
    promising = _promising(titled, wanted.title, costs)
    records = _most_alike(list(_read(store, promising)), wanted, costs)
    compared = (
        Near(each, differences(each.request, each.prompt, wanted.request, wanted.prompt))
        for each in records
    )
    near = min(compared, key=lambda near: (near.cost, near.record.key), default=None)
    return near if near is not None and near.cost <= _NEAR_COST else None


def _pieces(title: str) -> list[str]:
    """Return parts of ``title``, evenly spread; a change leaves most of them whole."""
    length = max(3, min(8, len(title) // _PIECES))
    step = max(0, len(title) - length) / (_PIECES - 1)
    return [title[round(step * index) :][:length] for index in range(_PIECES)]


def _description_costs(wanted: str, texts: set[str]) -> dict[str, float]:
    """Return how far each request text is from the wanted one; of very many, only the likeliest."""
    likely: Sequence[str] = list(texts)
    if len(likely) > _MAX_DESCRIPTIONS:
        size = len(wanted)
        close = heapq.nsmallest(_MAX_LENGTHS, texts, key=lambda text: abs(len(text) - size))
        likely = heapq.nlargest(
            _MAX_DESCRIPTIONS, close, key=lambda text: shared_part(text, wanted)
        )
    return {
        text: sum(difference.cost for difference in description_differences(text, wanted))
        for text in likely
    }


def _promising(entries: Sequence[Entry], title: str, costs: dict[str, float]) -> list[Entry]:
    """Return entries in the order in which they are worth reading."""
    far = max(costs.values(), default=0.0) + 1
    apart: dict[str, float] = {}
    rough = []
    for entry in entries:
        if entry.title not in apart and len(apart) < _MAX_TITLES:
            apart[entry.title] = _TITLE_COST * (1 - shared_part(entry.title, title))
        rough.append(costs.get(entry.request, far) + apart.get(entry.title, _TITLE_COST))
    best = min(rough, default=0.0)
    ties = [place for place, cost in enumerate(rough) if cost == best][:_MAX_READ_TIES]
    chosen = heapq.nsmallest(_MAX_READ, range(len(rough)), key=rough.__getitem__)
    return [entries[place] for place in dict.fromkeys([*chosen, *ties])]


def _read(store: Store, entries: Sequence[Entry]) -> Iterator[Entry]:
    chars = 0
    for entry in entries:
        try:
            record = store.read(entry.key)
        except StoreError:
            continue
        if record is not None:
            yield record
            chars += len(record.prompt)
            if chars > _MAX_READ_CHARS:
                return


def _most_alike(records: Sequence[Entry], wanted: Entry, costs: dict[str, float]) -> list[Entry]:
    far = max(costs.values(), default=0.0) + 1

    def cost(record: Entry) -> float:
        alike = shared_part(record.prompt, wanted.prompt)
        return costs.get(record.request, far) + _TITLE_COST * (1 - alike)

    return heapq.nsmallest(_MAX_COMPARED, records, key=cost)
