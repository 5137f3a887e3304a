"""The line under an answer and under a cell: paid for or remembered, how long, what it saved.

One vocabulary holds everywhere: cached, fresh, not recorded, failed. What does not fit into the
line, and where, when and by which key, stands under its triangle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from ..ledger import Call, price_usd, total_usd
from ..text import (
    Printed,
    cut,
    format_count,
    format_moment,
    format_seconds,
    format_usd,
    one_line,
    terminal_columns,
    token_counts,
    visible,
)
from . import draws_html
from .sanitize import IGNORE_MATH, WRAPS, in_one_line
from .table import LINE_STYLE, SEPARATOR

MAX_CHARS = 80
#: Three counts stand before what the line under an answer tells.
MAX_CELL_CHARS = 84

# White on blue and black on amber: apart in light and dark, for colour-blind eyes and in grey.
_PILL = "border-radius:8px;padding:0 7px"
_PILLS = {
    "cached": f"{_PILL};background-color:#0b57a4;color:#ffffff",
    "fresh": f"{_PILL};background-color:#ffb000;color:#000000",
    "not recorded": f"{_PILL};background-color:#4d4d4d;color:#ffffff",
    "failed": f"{_PILL};background-color:#4d4d4d;color:#ffffff",
}
_DETAILS = f"font-size:12px;margin:4px 0 4px 18px;{WRAPS}"
_SMALL = "max-height:80px;max-width:160px;margin:4px 0 4px 18px"


@dataclass(frozen=True)
class Behind:
    """What stands under a triangle beside what each call took.

    Attributes:
        rows: A name and a value, a line each.
        pictures: ``data:`` addresses, drawn small.
        text: What was answered, where that is not drawn as the answer.
    """

    rows: Sequence[tuple[str, str]] = ()
    pictures: Sequence[str] = ()
    text: str = ""

    def blocks(self) -> Iterator[str]:
        """Yield the parts of the drawing."""
        if self.rows:
            yield _block("\n".join(_rows(self.rows)))
        if self.pictures:
            yield "".join(
                f'<img src="{escape(address)}" alt="attached" style="{_SMALL}">'
                for address in self.pictures
            )
        if self.text:
            yield _block(cut(visible(self.text)))


NOTHING_BEHIND = Behind()


@dataclass(frozen=True)
class _Part:
    """A part of a line; those of a low ``rank`` find room first, 1 before another is cut."""

    text: str
    rank: int = 0
    state: str = ""


@dataclass(frozen=True, repr=False)
class Line(Printed):
    """A line that draws itself; under its triangle stands more.

    No answer can draw this: Markdown makes neither the pill nor a part that unfolds.

    Attributes:
        parts: What it tells.
        label: What a screen reader calls it.
        calls: The calls of which it is told what each took.
        behind: What stands before that.
    """

    parts: Sequence[_Part]
    label: str
    calls: Sequence[Call] = ()
    behind: Behind = NOTHING_BEHIND

    def __str__(self) -> str:
        # A terminal may be narrow.
        return _text(_fitted(self.parts, MAX_CELL_CHARS if draws_html() else terminal_columns()))

    def _repr_html_(self) -> str:
        line = escape(SEPARATOR).join(
            pill_html(part.text, part.state) if part.state else escape(part.text)
            for part in self.parts
        )
        return note_html(unfolding(line, self.behind, self.calls), self.label)


def state_of(call: Call) -> str:
    """Return what a person is told of ``call`` in a word."""
    if call.kind == "error":
        return "failed" if call.unrecorded is None else "not recorded"
    return "cached" if call.kind == "hit" else "fresh"


def state_of_all(calls: Sequence[Call]) -> str:
    """Return the word for what ``calls`` brought together: cached, where all of them were."""
    return "cached" if calls and all(call.kind == "hit" for call in calls) else "fresh"


def pill_html(text: str, state: str) -> str:
    """Return ``text`` in the colours of ``state``; it is bold where nothing has a style."""
    return f'<strong style="{_PILLS[state]}">{escape(text)}</strong>'


# --- the lines ---


def answer_line(
    calls: Sequence[Call],
    *,
    model: str,
    wall_s: float,
    stable: bool = False,
    behind: Behind = NOTHING_BEHIND,
) -> Line:
    """Return the line of an answer that ``calls`` gave; it begins with ``cached`` or ``fresh``.

    Args:
        calls: Every model call on the way to the answer.
        model: What a person calls the model or chain.
        wall_s: How long the person waited, in seconds.
        stable: Whether to tell only model and tokens, which do not differ from run to run.
        behind: What stands under its triangle, beside what each call took.
    """
    named = _Part(one_line(model, 40), 5)
    if stable:
        return Line(_told(named, _tokens(calls, split=True), _canned(calls)), "LLM answer")
    state = state_of_all(calls)
    spent = _spent(calls)
    parts = _told(
        _Part(state, state=state),
        _Part(_steps(calls), 2),
        _Part(format_seconds(wall_s), 1),
        _saved(calls),
        _tokens(spent or calls, split=bool(spent)),
        _money(spent),
        named,
        _canned(calls),
        _remarks(calls),
    )
    return Line(_fitted(parts, MAX_CHARS), "LLM answer", calls, behind)


def cell_line(calls: Sequence[Call], *, stable: bool = False) -> Line:
    """Return the line under an ordinary cell that made ``calls``, of which no answer told.

    ``stable``: whether it leaves out what differs from run to run.
    """
    label = "LLM calls of this cell"
    names = list(dict.fromkeys(call.model for call in calls if call.asked != "web"))
    models = _Part(_first_of(names, 40), 5)
    if stable:
        counts = [part for part in _counts(calls) if not part.state]
        return Line(_told(*counts, models, _tokens(calls, split=True)), label)
    parts = _told(
        *_counts(calls),
        _Part(format_seconds(sum(call.wall_s for call in calls)), 3),
        _saved(calls),
        _tokens(calls, split=False),
        _money(_spent(calls)),
        models,
        _canned(calls),
        _remarks(calls),
    )
    return Line(_fitted(parts, MAX_CELL_CHARS), label, calls)


def totals_line(calls: Sequence[Call], answers: int, wall_s: float, *, stable: bool = False) -> str:
    """Return the line under a table of ``answers`` that ``calls`` gave in ``wall_s`` seconds."""
    count = _Part(format_count(answers, "answer"))
    if stable:
        return _text(_told(count, _tokens(calls, split=True)))
    told = _told(
        count,
        *_states(calls),
        _Part(format_seconds(wall_s)),
        _saved(calls),
        _tokens(calls, split=False),
        _money(_spent(calls)),
        _canned(calls),
    )
    return _text(told)


# --- their parts, which are empty where there is nothing to tell ---


def _told(*parts: _Part) -> list[_Part]:
    return [part for part in parts if part.text]


def _text(parts: Iterable[_Part]) -> str:
    return SEPARATOR.join(part.text for part in parts)


def _spent(calls: Iterable[Call]) -> list[Call]:
    return [call for call in calls if call.kind != "hit"]


def _steps(calls: Sequence[Call]) -> str:
    if len(calls) < 2:
        return "" if calls else "no model call"
    hits = len(calls) - len(_spent(calls))
    return format_count(len(calls), "call") + (
        f", {hits:,} cached" if 0 < hits < len(calls) else ""
    )


def _counts(calls: Sequence[Call]) -> Iterator[_Part]:
    """Yield what was asked, and how much of it was cached, fresh, not recorded and failed."""
    counted, embedded, fetched = (
        [call for call in calls if call.asked == asked] for asked in ("model", "embedding", "web")
    )
    if counted:
        # The states beside it count the same calls once more.
        yield _Part(format_count(len(counted), "LLM call"), 0 if embedded or fetched else 2)
        yield from _states(counted)
    if embedded:
        yield from _embedded(embedded)
    if fetched:
        yield _Part(format_count(len(fetched), "web request"))
        yield from _states(fetched)


def _embedded(calls: Sequence[Call]) -> Iterator[_Part]:
    """Yield how many texts became vectors, and of how many others it failed, or they were missing.

    A call that failed brought none; only what was not in the cache is not recorded.
    """
    done = [call for call in calls if call.kind != "error"]
    if done:
        texts, cached = sum(c.texts for c in done), sum(c.texts_cached for c in done)
        yield _Part(f"{format_count(texts, 'text')} embedded, {cached:,} cached")
    failed = [call for call in calls if call.kind == "error"]
    if failed:
        yield _Part(f"{format_count(sum(call.texts for call in failed), 'text')} not embedded")
        yield from _states([c for c in failed for _ in range(c.texts - c.texts_cached)])


def _states(calls: Sequence[Call]) -> Iterator[_Part]:
    states = [state_of(call) for call in calls]
    why = next((f": {one_line(call.unrecorded, 200)}" for call in calls if call.unrecorded), "")
    for state in _PILLS:
        if count := states.count(state):
            told = f"{count:,} {state}{why if state == 'not recorded' else ''}"
            yield _Part(told, state=state)


def _saved(calls: Sequence[Call]) -> _Part:
    saved_s = sum(call.saved_s or 0.0 for call in calls if call.kind == "hit")
    return _Part(f"saved {format_seconds(saved_s)}" if saved_s else "", 4)


def _tokens(calls: Sequence[Call], *, split: bool) -> _Part:
    counts = [counts for call in calls if (counts := token_counts(call.usage)) is not None]
    given, made, total = map(sum, zip(*counts, strict=True)) if counts else (0, 0, 0)
    told = f"{given:,} + {made:,} tokens" if split and (given or made) else ""
    return _Part(told or (format_count(total, "token") if counts else ""), 6)


def _money(calls: Sequence[Call]) -> _Part:
    return _Part(format_usd(total_usd(calls) or None), 7)


def _canned(calls: Sequence[Call]) -> _Part:
    return _Part("canned" if any(call.canned for call in calls) else "", 4)


def _remarks(calls: Sequence[Call]) -> _Part:
    return _Part(_first_of(list(dict.fromkeys(t for call in calls for t in _unusual(call))), 200))


def _first_of(texts: Sequence[str], limit: int) -> str:
    """Return the first of ``texts``, and how many more there are."""
    more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
    return f"{one_line(texts[0], limit)}{more}" if texts else ""


def _unusual(call: Call) -> Iterator[str]:
    if call.kind == "error":
        # What was stored came; that it does not fit is the error's to tell.
        if call.unrecorded is None and call.reason and not call.stored:
            yield f"failed: {call.reason}"
    elif call.kind == "bypass" or (call.kind == "miss" and call.key is None and call.reason):
        yield f"not cached: {call.reason or 'the cache was not asked'}"
    elif call.kind == "miss" and call.pending:
        yield "not yet stored"
    elif call.kind == "miss" and not call.stored and call.reason:
        yield f"not stored: {call.reason}"
    if call.note:
        yield call.note
    if call.warning:
        yield f"warning: {call.warning}"


def _fitted(parts: Sequence[_Part], limit: int) -> Sequence[_Part]:
    """Return ``parts`` without what is least needed, so that the line has ``limit`` characters."""
    kept = [part for part in parts if part.rank <= 1]
    for more in sorted(parts, key=lambda part: part.rank):
        wider = [part for part in parts if part in kept or part is more]
        if len(_text(wider)) <= limit:
            kept = wider
    over = len(_text(kept)) - limit
    if over <= 0:
        return kept
    least = [part for part in kept if not part.rank]
    if len(_text(least)) <= limit:
        return least
    longest = max(kept, key=lambda part: len(part.text))
    cut = f"{longest.text[: max(1, len(longest.text) - over - 1)]}…"
    return [replace(part, text=cut) if part is longest else part for part in kept]


# --- what unfolds ---


def unfolding(line: str, behind: Behind, calls: Sequence[Call] = ()) -> str:
    """Return ``line``, which is HTML, with what stands behind it under a triangle."""
    blocks = "".join([*behind.blocks(), *(_block("\n".join(_rows(_about(c)))) for c in calls)])
    return f"<details><summary>{line}</summary>{in_one_line(blocks)}</details>" if blocks else line


def _block(text: str) -> str:
    return f'<pre style="{_DETAILS}">{escape(text)}</pre>'


def _rows(rows: Iterable[tuple[str, str | None]]) -> Iterator[str]:
    return (f"{name:<9} {one_line(value, 300)}" for name, value in rows if value)


def _about(call: Call) -> list[tuple[str, str | None]]:
    counts = token_counts(call.usage)
    is_stored = call.kind == "hit" or call.stored
    remarks = [*_unusual(call), *filter(None, [call.unrecorded])]
    provider = f"{format_seconds(call.saved_s)} when recorded" if call.saved_s is not None else ""
    if call.provider_s is not None:
        provider = format_seconds(call.provider_s)
    return [
        ("call", f"{state_of(call)}{SEPARATOR}{call.model}"),
        ("store", call.location),
        ("recorded", format_moment(call.recorded_at)),
        (
            "waited",
            f"{format_seconds(call.wall_s)}, of it {format_seconds(call.lookup_s)} in the cache",
        ),
        ("provider", provider),
        ("tokens", "{:,} in, {:,} out, {:,} in all".format(*counts) if counts else ""),
        ("price", format_usd(price_usd(call))),
        ("remarks", SEPARATOR.join(remarks)),
        ("key", call.key),
        ("request", f"%llm_cache show {call.key[:8]}" if call.key and is_stored else ""),
    ]


def note_html(inner: str, label: str) -> str:
    """Return our own words in a block that a screen reader announces as ``label``."""
    attributes = f'class="{IGNORE_MATH}" role="note" aria-label="{label}" style="{LINE_STYLE}"'
    return f"<div {attributes}>{inner}</div>"
