"""The line under an answer: paid for or remembered, how long it took, what it saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from .. import pricing
from ..ledger import Call, Totals
from ..text import (
    format_count,
    format_date,
    format_moment,
    format_seconds,
    one_line,
    token_counts,
)
from .answer import Bundle
from .sanitize import IGNORE_MATH
from .table import LINE_STYLE, SEPARATOR

_BADGE = "border:1px solid currentColor;border-radius:8px;padding:0 6px;font-weight:600"
_DETAILS = "font-size:12px;margin:4px 0 4px 18px;white-space:pre-wrap;overflow-wrap:anywhere"
#: Different reasons or warnings that one line tells of; the others are counted.
MAX_REMARKS = 2


def answer_line(calls: Sequence[Call], *, model: str, wall_s: float, stable: bool = False) -> str:
    """Return the line of an answer that ``calls`` gave; it begins with ``cached`` or ``fresh``.

    Args:
        calls: Every model call on the way to the answer.
        model: What a person calls the model or chain.
        wall_s: How long the person waited, in seconds.
        stable: Whether to tell only model and tokens, which do not differ from run to run.
    """
    parts = _stable_parts(calls, model) if stable else _parts(calls, model, wall_s)
    return SEPARATOR.join(part for part in parts if part)


def answer_line_bundle(
    calls: Sequence[Call], *, model: str, wall_s: float, stable: bool = False
) -> Bundle:
    """Return the line's drawing; behind it stands what the calls took and where from.

    No answer can draw this: Markdown makes neither the badge nor a part that unfolds.
    """
    line = answer_line(calls, model=model, wall_s=wall_s, stable=stable)
    html = _badged(line)
    if calls and not stable:
        details = "".join(map(_call_details, calls))
        html = f"<details><summary>{html}</summary>{details}</details>"
    return {"text/html": note_html(html, "LLM answer"), "text/plain": line}


def cell_line(calls: Sequence[Call], *, stable: bool) -> str:
    """Return the line under an ordinary cell that made ``calls``."""
    totals = Totals.of(calls)
    if stable:
        models = ", ".join(dict.fromkeys(one_line(call.model) for call in calls))
        parts = [format_count(totals.calls, "LLM call"), models, _tokens(c.usage for c in calls)]
        return SEPARATOR.join(part for part in parts if part)
    parts = [
        format_count(totals.calls, "LLM call"),
        _counted(totals.hits, "cached"),
        _counted(totals.misses, "fresh"),
        _counted(totals.bypasses, "not cached"),
        _counted(totals.errors, "failed"),
        format_seconds(totals.wall_s),
        f"saved {format_seconds(totals.saved_s)}" if totals.saved_s > 0 else "",
        *_remarks(calls),
    ]
    return SEPARATOR.join(part for part in parts if part)


def _parts(calls: Sequence[Call], model: str, wall_s: float) -> Iterator[str]:
    totals = Totals.of(calls)
    cached = bool(calls) and totals.hits == totals.calls
    yield "cached" if cached else "fresh"
    if not calls:
        yield "no model call"
    elif len(calls) > 1:
        yield format_count(len(calls), "call")
        if not cached:
            yield _counted(totals.hits, "of them cached")
        yield _counted(totals.errors, "failed")
    yield format_seconds(wall_s)
    yield f"saved {format_seconds(totals.saved_s)}" if totals.saved_s else ""
    yield _not_billed([call for call in calls if call.kind == "hit"])
    yield _billed([call for call in calls if call.kind != "hit"])
    yield one_line(model)
    yield _canned(calls)
    yield _recorded(calls) if cached else _stored(calls)
    yield from _remarks(calls)


def _stable_parts(calls: Sequence[Call], model: str) -> Iterator[str]:
    yield one_line(model)
    yield _tokens(call.usage for call in calls)
    yield _canned(calls)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count else ""


def _sum_tokens(usages: Iterable[object]) -> tuple[int, int, int] | None:
    counts = [c for c in map(token_counts, usages) if c is not None]  # type: ignore[arg-type]
    if not counts:
        return None
    given, made, total = (sum(column) for column in zip(*counts, strict=True))
    return given, made, total


def _tokens(usages: Iterable[object]) -> str:
    counts = _sum_tokens(usages)
    if counts is None:
        return ""
    given, made, total = counts
    return f"{given:,} + {made:,} tokens" if given or made else format_count(total, "token")


def _billed(calls: Sequence[Call]) -> str:
    return _tokens(call.usage for call in calls) + _money(calls)


def _not_billed(hits: Sequence[Call]) -> str:
    counts = _sum_tokens(call.usage for call in hits)
    if counts is None:
        return ""
    return f"{format_count(counts[2], 'token')}{_money(hits)} not billed again"


def _money(calls: Sequence[Call]) -> str:
    amount = pricing.total_usd(calls)
    return f" ({pricing.format_usd(amount)})" if amount else ""


def _canned(calls: Sequence[Call]) -> str:
    return "canned" if any(call.canned for call in calls) else ""


def _recorded(calls: Sequence[Call]) -> str:
    dates = sorted({date for call in calls if (date := format_date(call.recorded_at))})
    if not dates:
        return ""
    return f"recorded {dates[0]}" if len(dates) == 1 else f"recorded {dates[0]} to {dates[-1]}"


def _stored(calls: Sequence[Call]) -> str:
    places = {one_line(call.location, 60) for call in calls if call.stored and call.kind != "hit"}
    return f"stored in {', '.join(sorted(places))}" if places else ""


def _remarks(calls: Sequence[Call]) -> Iterator[str]:
    yield from _some(call.note for call in calls)
    yield from _some(_why_not_kept(call) for call in calls)
    yield from _some(f"warning: {call.warning}" if call.warning else None for call in calls)


def _why_not_kept(call: Call) -> str | None:
    if call.kind == "hit" or call.stored:
        return None
    if call.kind == "error":
        return f"failed: {call.reason}" if call.reason else None
    if call.kind == "bypass" or call.key is None:
        return f"not cached: {call.reason or 'the cache was not asked'}"
    return f"not stored: {call.reason}" if call.reason else None


def _some(remarks: Iterable[str | None]) -> Iterator[str]:
    different = list(dict.fromkeys(remark for remark in remarks if remark))
    yield from (one_line(remark, 200) for remark in different[:MAX_REMARKS])
    if len(different) > MAX_REMARKS:
        yield f"and {len(different) - MAX_REMARKS} more"


def cell_line_html(calls: Sequence[Call], *, stable: bool) -> str:
    """Return the line under an ordinary cell as HTML."""
    return note_html(_badged(cell_line(calls, stable=stable)), "LLM calls of this cell")


def note_html(inner: str, label: str) -> str:
    """Return our own words in a block that a screen reader announces as ``label``."""
    attributes = f'class="{IGNORE_MATH}" role="note" aria-label="{label}" style="{LINE_STYLE}"'
    return f"<div {attributes}>{inner}</div>"


def _badged(line: str) -> str:
    first, separator, rest = line.partition(SEPARATOR)
    return f'<span style="{_BADGE}">{escape(first)}</span>{escape(separator + rest)}'


def _call_details(call: Call) -> str:
    rows = [f"{name:<9} {one_line(value, 300)}" for name, value in _call_rows(call) if value]
    return f'<pre style="{_DETAILS}">{escape(chr(10).join(rows))}</pre>'


def _call_rows(call: Call) -> Iterable[tuple[str, str | None]]:
    hit = call.kind == "hit"
    yield "call", f"{_KINDS[call.kind]}{SEPARATOR}{call.model}"
    yield "store", call.location
    yield "recorded", format_moment(call.recorded_at)
    yield (
        "waited",
        f"{format_seconds(call.wall_s)}, of it {format_seconds(call.lookup_s)} in the cache",
    )
    yield "provider", _provider_time(call)
    yield "tokens", _usage_text(call)
    yield "remarks", SEPARATOR.join(filter(None, (call.reason, call.note, call.warning)))
    yield "key", call.key
    if call.key and (hit or call.stored):
        yield "request", f"%llm_cache show {call.key[:8]}"


_KINDS = {"hit": "cached", "miss": "fresh", "bypass": "past the cache", "error": "failed"}


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
