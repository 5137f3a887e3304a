"""The line under an answer: paid for or remembered, how long it took, what it saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from .. import pricing
from ..ledger import Call, Totals
from ..numbers import format_count, format_date, format_seconds, token_counts
from ..text import one_line

if TYPE_CHECKING:
    from .answer import Answer

SEPARATOR = " · "
#: Different reasons or warnings that one line tells of; the others are counted.
MAX_REMARKS = 2


def annotation_text(answer: Answer) -> str:
    """Return the line that begins with ``cached`` or ``fresh``.

    Of a stable answer it tells only model and tokens, which do not differ from run to run.
    """
    parts = _stable_parts(answer) if answer.stable else _parts(answer)
    return SEPARATOR.join(part for part in parts if part)


def summary_text(calls: Sequence[Call], *, stable: bool) -> str:
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


def _parts(answer: Answer) -> Iterator[str]:
    calls = answer.calls
    totals = Totals.of(calls)
    yield "cached" if answer.cached else "fresh"
    if not calls:
        yield "no model call"
    elif len(calls) > 1:
        yield format_count(len(calls), "call")
        if not answer.cached:
            yield _counted(totals.hits, "of them cached")
        yield _counted(totals.errors, "failed")
    yield format_seconds(answer.wall_s)
    yield _saved(answer, totals)
    yield _not_billed([call for call in calls if call.kind == "hit"])
    yield _billed([call for call in calls if call.kind != "hit"])
    yield one_line(answer.model)
    yield _canned(calls)
    yield _recorded(calls) if answer.cached else _stored(calls)
    yield from _remarks(calls)


def _stable_parts(answer: Answer) -> Iterator[str]:
    yield one_line(answer.model)
    yield _tokens(call.usage for call in answer.calls) if answer.calls else _tokens([answer.usage])
    yield _canned(answer.calls)


def _saved(answer: Answer, totals: Totals) -> str:
    """What a wholly cached answer saved, or the cached calls of a partly fresh one."""
    saved_s = answer.saved_s if answer.saved_s is not None else totals.saved_s
    return f"saved {format_seconds(saved_s)}" if answer.saved_s is not None or saved_s else ""


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
