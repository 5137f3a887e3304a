"""Reads drawn HTML as a front end does, and tells what stands in it that must not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from jupyter_llmcache.commands.answer import Answer
from jupyter_llmcache.draw import answer_html
from jupyter_llmcache.draw.line import answer_line
from jupyter_llmcache.ledger import Call

_TAG_NAMES = (
    "a blockquote br code details div em h1 h2 h3 h4 h5 h6 hr li ol p pre s span strong summary "
    "table tbody td th thead tr ul"
)
_TAGS = frozenset(_TAG_NAMES.split())
_ATTRIBUTE_NAMES = "aria-label class dir href open rel role scope start style tabindex target"
_ATTRIBUTES = frozenset(_ATTRIBUTE_NAMES.split())
_CLASS = re.compile(r"highlight|[a-z]{1,3}[0-9]?|(mathjax|tex2jax)_(ignore|process)")
_LINK = re.compile(r"(https?:|mailto:)", re.IGNORECASE)
_STYLE = re.compile(r"url|expression|position|@|\\|/\*|z-index|<", re.IGNORECASE)
#: C0 and C1 but tab and newline, separators, bidi embeddings and isolates, surrogates.
STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def markdown_html(text: str) -> str:
    """An answer's outputs in one."""
    return answer_html(text, "markdown")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.formulas: list[str] = []
        self.text = ""
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.problems += [f"{found} in <{tag}>" for found in _wrong(tag, attrs)]
        if tag not in ("br", "hr"):
            self._open.append((tag, dict(attrs).get("class") or ""))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop()[0] != tag:
            self.problems.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and "mathjax_process" in self._open[-1][1]:
            self.formulas.append(data)

    def handle_comment(self, data: str) -> None:
        self.problems.append(f"comment {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def _wrong(tag: str, attrs: list[tuple[str, str | None]]) -> Iterator[str]:
    if tag not in _TAGS:
        yield "element"
    for name, value in attrs:
        text = value or ""
        if name not in _ATTRIBUTES:
            yield f"attribute {name}"
        if name == "href" and not _LINK.match(text):
            yield f"link {text}"
        if name == "style" and _STYLE.search(text):
            yield f"style {text}"
        if name == "class" and not all(map(_CLASS.fullmatch, text.split())):
            yield f"class {text}"


def read(html: str) -> _Reader:
    """Return what a reader of ``html`` found: ``problems``, ``formulas``, ``text``."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader


def problems(html: str) -> list[str]:
    """Return what is wrong with drawn ``html``; nothing, where it is safe."""
    reader = read(html)
    steering = [f"character {match!r}" for match in STEERING.findall(html)]
    return [*reader.problems, *steering]


USAGE = {"input_tokens": 11, "output_tokens": 13, "total_tokens": 24}
#: 2026-11-03, at noon UTC.
RECORDED_AT = 1_793_707_200.0


def hit(**changes: object) -> Call:
    """Return a call that the cache answered."""
    facts = {"saved_s": 0.828, "usage": USAGE, "recorded_at": RECORDED_AT, "location": "a.db"}
    return Call(
        **{
            "cell": 1,
            "kind": "hit",
            "model": "openai:gpt-x",
            "key": "ab" * 16,
            "wall_s": 0.0011,
            **facts,
            **changes,
        }
    )


def miss(**changes: object) -> Call:
    """Return a call that the provider answered and that was stored."""
    facts = {"provider_s": 0.82, "usage": USAGE, "stored": True, "location": ".langchain.db"}
    return Call(
        **{
            "cell": 1,
            "kind": "miss",
            "model": "openai:gpt-x",
            "key": "ab" * 16,
            "wall_s": 0.829,
            **facts,
            **changes,
        }
    )


def answer(*calls: Call, text: str = "Four.", **changes: object) -> Answer:
    """Return the answer that these calls gave."""
    cached = bool(calls) and all(call.kind == "hit" for call in calls)
    facts = {
        "text": text,
        "message": None,
        "cached": cached,
        "wall_s": sum(call.wall_s for call in calls),
        "cpu_s": 0.001,
        "saved_s": sum(call.saved_s or 0 for call in calls) if cached else None,
        "usage": calls[0].usage if calls else None,
        "key": calls[0].key if len(calls) == 1 else None,
        "model": calls[0].model if calls else "chain",
        "calls": calls,
    }
    return Answer(**{**facts, **changes})


def drawn_line(value: Answer) -> dict[str, str]:
    """Return the drawing of the line under ``value``."""
    line = answer_line(value.calls, model=value.model, wall_s=value.wall_s, stable=value.stable)
    return {"text/html": line._repr_html_(), "text/plain": str(line)}
