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
from . import Bundle, draws_html
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


# --- under an answer ---


def answer_line(calls: Sequence[Call], *, model: str, wall_s: float, stable: bool = False) -> str:
    """Return the line of an answer that ``calls`` gave; it begins with ``cached`` or ``fresh``.

    Args:
        calls: Every model call on the way to the answer.
        model: What a person calls the model or chain.
        wall_s: How long the person waited, in seconds.
        stable: Whether to tell only model and tokens, which do not differ from run to run.
    """
    return _text(_fitted(_answer_parts(calls, model, wall_s, stable=stable), _room()))


def answer_line_bundle(
    calls: Sequence[Call],
    *,
    model: str,
    wall_s: float,
    stable: bool = False,
    behind: Behind = NOTHING_BEHIND,
) -> Bundle:
    """Return the line's drawing; ``behind`` it stands more, and what each call took.

    No answer can draw this: Markdown makes neither the pill nor a part that unfolds.
    """
    parts = _answer_parts(calls, model, wall_s, stable=stable)
    html = _unfolding(parts, () if stable else calls, NOTHING_BEHIND if stable else behind)
    return {"text/html": note_html(html, "LLM answer"), "text/plain": _text(parts)}


def _answer_parts(
    calls: Sequence[Call], model: str, wall_s: float, *, stable: bool
) -> Sequence[_Part]:
    if stable:
        return [*_named(model), *_tokens(calls, split=True), *_canned(calls)]
    state = state_of_all(calls)
    parts = [_Part(state, state=state), *_steps(calls, state), _Part(format_seconds(wall_s), 1)]
    spent = [call for call in calls if call.kind != "hit"]
    parts += [*_saved(calls), *_tokens(spent or calls, split=bool(spent))]
    parts += [*_money(spent), *_named(model), *_canned(calls), *_remarks(calls)]
    return _fitted(parts, MAX_CHARS)


def _steps(calls: Sequence[Call], state: str) -> Iterator[_Part]:
    if not calls:
        yield _Part("no model call", 2)
    elif len(calls) > 1:
        hits = sum(call.kind == "hit" for call in calls)
        cached = f", {hits:,} cached" if hits and state == "fresh" else ""
        yield _Part(format_count(len(calls), "call") + cached, 2)


# --- under an ordinary cell ---


def cell_line(calls: Sequence[Call], *, stable: bool) -> str:
    """Return the line under an ordinary cell that made ``calls``."""
    return _text(_fitted(_cell_parts(calls, stable=stable), _room()))


def cell_line_html(calls: Sequence[Call], *, stable: bool) -> str:
    """Return that line as HTML; behind it stands what each call took and where from."""
    html = _unfolding(_cell_parts(calls, stable=stable), () if stable else calls, NOTHING_BEHIND)
    return note_html(html, "LLM calls of this cell")


def _cell_parts(calls: Sequence[Call], *, stable: bool) -> Sequence[_Part]:
    models = _models(calls)
    if stable:
        counts = [replace(part, state="") for part in _counts(calls) if not part.state]
        return [*counts, *models, *_tokens(calls, split=True)]
    spent = [call for call in calls if call.kind != "hit"]
    wall_s = sum(call.wall_s for call in calls)
    parts = [*_counts(calls), _Part(format_seconds(wall_s), 3), *_saved(calls)]
    parts += [*_tokens(calls, split=False), *_money(spent), *models]
    return _fitted([*parts, *_canned(calls), *_remarks(calls)], MAX_CELL_CHARS)


def _counts(calls: Sequence[Call]) -> Iterator[_Part]:
    """Yield what was asked, and how much of it was cached, fresh, not recorded and failed."""
    embedded = [call for call in calls if call.asked == "embedding"]
    counted = [call for call in calls if call.asked == "model"]
    fetched = [call for call in calls if call.asked == "web"]
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
    for state in _PILLS:
        if count := states.count(state):
            why = _unrecorded(calls) if state == "not recorded" else ""
            yield _Part(f"{count:,} {state}{why}", state=state)


def _unrecorded(calls: Sequence[Call]) -> str:
    """Why something is not recorded, which is told beside the count."""
    return next((f": {one_line(call.unrecorded, 200)}" for call in calls if call.unrecorded), "")


def totals_line(calls: Sequence[Call], answers: int, wall_s: float, *, stable: bool = False) -> str:
    """Return the line under a table of ``answers`` that ``calls`` gave in ``wall_s`` seconds."""
    count = _Part(format_count(answers, "answer"))
    if stable:
        return _text([count, *_tokens(calls, split=True)])
    parts = [count, *_states(calls), _Part(format_seconds(wall_s))]
    spent = [call for call in calls if call.kind != "hit"]
    parts += [*_saved(calls), *_tokens(calls, split=False), *_money(spent)]
    return _text([*parts, *_canned(calls)])


# --- parts of both ---


def _saved(calls: Sequence[Call]) -> Iterator[_Part]:
    saved_s = sum(call.saved_s or 0.0 for call in calls if call.kind == "hit")
    if saved_s:
        yield _Part(f"saved {format_seconds(saved_s)}", 4)


def _tokens(calls: Sequence[Call], *, split: bool) -> Iterator[_Part]:
    counts = [counts for call in calls if (counts := token_counts(call.usage)) is not None]
    if not counts:
        return
    given, made, total = (sum(column) for column in zip(*counts, strict=True))
    halves = split and (given or made)
    yield _Part(f"{given:,} + {made:,} tokens" if halves else format_count(total, "token"), 6)


def _money(calls: Sequence[Call]) -> Iterator[_Part]:
    amount = total_usd(calls)
    if amount:
        yield _Part(format_usd(amount), 7)


def _named(model: str) -> Iterator[_Part]:
    yield _Part(one_line(model, 40), 5)


def _models(calls: Sequence[Call]) -> Iterator[_Part]:
    names = list(dict.fromkeys(call.model for call in calls if call.asked != "web"))
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield _Part(one_line(names[0], 40) + more, 5)


def _canned(calls: Sequence[Call]) -> Iterator[_Part]:
    if any(call.canned for call in calls):
        yield _Part("canned", 4)


def _remarks(calls: Sequence[Call]) -> Iterator[_Part]:
    """Yield what is not usual: the first of its kind, and how many more there are."""
    remarks = list(dict.fromkeys(text for call in calls for text in _unusual(call)))
    if remarks:
        more = f" and {len(remarks) - 1} more" if len(remarks) > 1 else ""
        yield _Part(one_line(remarks[0], 200) + more, 0)


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
    chosen = {place for place, part in enumerate(parts) if part.rank <= 1}
    for place in sorted({*range(len(parts))} - chosen, key=lambda place: parts[place].rank):
        if len(_text(parts[each] for each in sorted({*chosen, place}))) <= limit:
            chosen.add(place)
    kept = [parts[place] for place in sorted(chosen)]
    over = len(_text(kept)) - limit
    least = [part for part in kept if not part.rank]
    if over > 0 and len(_text(least)) <= limit:
        return least
    if over > 0:
        longest = max(kept, key=lambda part: len(part.text))
        cut = f"{longest.text[: max(1, len(longest.text) - over - 1)]}…"
        kept[kept.index(longest)] = replace(longest, text=cut)
    return kept


def _room() -> int:
    """Return how many characters a line may have where it is text: a terminal may be narrow."""
    return MAX_CELL_CHARS if draws_html() else terminal_columns()


def _text(parts: Iterable[_Part]) -> str:
    return SEPARATOR.join(part.text for part in parts)


# --- the drawing ---


def _unfolding(parts: Sequence[_Part], calls: Sequence[Call], behind: Behind) -> str:
    line = escape(SEPARATOR).join(
        pill_html(part.text, part.state) if part.state else escape(part.text) for part in parts
    )
    return unfolding(line, behind, calls)


def unfolding(line: str, behind: Behind, calls: Sequence[Call] = ()) -> str:
    """Return ``line``, which is HTML, with what stands behind it under a triangle."""
    told = [_block("\n".join(_rows(_call_rows(call)))) for call in calls]
    blocks = "".join([*behind.blocks(), *told])
    if not blocks:
        return line
    return f"<details><summary>{line}</summary>{in_one_line(blocks)}</details>"


def _block(text: str) -> str:
    return f'<pre style="{_DETAILS}">{escape(text)}</pre>'


def _rows(rows: Iterable[tuple[str, str | None]]) -> Iterator[str]:
    return (f"{name:<9} {one_line(value, 300)}" for name, value in rows if value)


def _call_rows(call: Call) -> Iterator[tuple[str, str | None]]:
    yield "call", f"{state_of(call)}{SEPARATOR}{call.model}"
    yield "store", call.location
    yield "recorded", format_moment(call.recorded_at)
    waited = f"{format_seconds(call.wall_s)}, of it {format_seconds(call.lookup_s)} in the cache"
    yield "waited", waited
    yield "provider", _provider_time(call)
    yield "tokens", _usage_text(call)
    yield "price", format_usd(price_usd(call))
    yield "remarks", SEPARATOR.join([*_unusual(call), *filter(None, [call.unrecorded])])
    yield "key", call.key
    if call.key and (call.kind == "hit" or call.stored):
        yield "request", f"%llm_cache show {call.key[:8]}"


def _provider_time(call: Call) -> str:
    if call.provider_s is not None:
        return format_seconds(call.provider_s)
    return f"{format_seconds(call.saved_s)} when recorded" if call.saved_s is not None else ""


def _usage_text(call: Call) -> str:
    counts = token_counts(call.usage)
    if counts is None:
        return ""
    given, made, total = counts
    return f"{given:,} in, {made:,} out, {total:,} in all"


def note_html(inner: str, label: str) -> str:
    """Return our own words in a block that a screen reader announces as ``label``."""
    attributes = f'class="{IGNORE_MATH}" role="note" aria-label="{label}" style="{LINE_STYLE}"'
    return f"<div {attributes}>{inner}</div>"
