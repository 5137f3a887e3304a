"""``list``, ``history`` and ``stats``: what is kept, what was called, what it all saved."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from .. import pricing
from ..draw.table import SEPARATOR, Report, Table
from ..ledger import LEDGER, Call, Totals
from ..stores.base import Store
from ..text import format_age, format_bytes, format_count, format_seconds, one_line, token_counts
from .picking import OTHER, Managed, ago, model_of, models_of, select, short_keys, store_of

_SORTS = {
    "recent": "the most recent first",
    "used": "the last used first",
    "size": "the largest first",
    "saved": "the most saving first",
}

#: Of a title, so that a line fits a terminal.
_TITLE_CHARS = 50


def list_entries(session: Managed, args: Namespace) -> Table:
    """Return the entries as a table: key, prompt, model, age, size, hits, saved time."""
    store = store_of(session)
    since = None if args.since is None else ago(args.since)
    found = select(
        store, model=args.model, grep=args.grep, since=since, sort=args.sort, limit=args.number
    )
    keys = short_keys(entry.key for entry in found)
    now = time.time()
    rows = [
        (
            keys[entry.key],
            one_line(entry.title, _TITLE_CHARS),
            model_of(entry.request),
            format_age(now - entry.created_at),
            entry.size_bytes,
            entry.hits,
            entry.hits * (entry.provider_s or 0.0),
            entry.created_at,
        )
        for entry in found
    ]
    columns = ("key", "prompt", "model", "age", "size_bytes", "hits", "saved_s", "recorded_at")
    whole = f"{len(found):,} of {format_count(store.count(), 'entry')} in {store.location}"
    return Table(columns, rows, f"{whole}, {_SORTS[args.sort]}")


def history(session: Managed, args: Namespace) -> Any:  # noqa: ARG001  # the ledger is the process's
    """Return this kernel's calls, the newest last, with their totals; or their picture."""
    calls = LEDGER.since(0)
    shown = calls if args.number is None else calls[-args.number :]
    if args.plot:
        from .history import HistoryPlot

        return HistoryPlot(shown)
    prices = _prices(shown)
    rows = [_history_row(call, price) for call, price in zip(shown, prices, strict=True)]
    columns: tuple[str, ...] = (
        "cell", "call", "model", "wall_s", "lookup_s", "provider_s", "tokens", "saved_s", "key",
        "remark",
    )  # fmt: skip
    if any(price is not None for price in prices):
        columns = (*columns, "price_usd")
    else:
        rows = [row[:-1] for row in rows]
    return Table(columns, rows, totals_line(LEDGER.totals, calls))


def _prices(calls: Sequence[Call]) -> list[Decimal | None]:
    return [pricing.price_usd(call) for call in calls]


def _history_row(call: Call, price: Decimal | None) -> tuple[Any, ...]:
    counts = token_counts(call.usage)
    return (
        call.cell,
        call.kind,
        call.model,
        call.wall_s,
        call.lookup_s,
        call.provider_s,
        counts[2] if counts else None,
        call.saved_s,
        call.key[:8] if call.key else None,
        call.warning or call.reason or call.note,
        None if price is None else float(price),
    )


def totals_line(totals: Totals, calls: Sequence[Call]) -> str:
    """Return what a stretch of calls came to, on one line."""
    parts = [
        format_count(totals.calls, "call"),
        *(text for _, text in _counted(totals)),
        format_seconds(totals.wall_s),
        f"saved {format_seconds(totals.saved_s)}" if totals.saved_s else "",
        *(f"{what} {text}" for what, text in _tokens_and_money(calls)),
    ]
    return SEPARATOR.join(filter(None, parts))


def _counted(totals: Totals) -> list[tuple[str, str]]:
    counts = {
        "cached": totals.hits,
        "fresh": totals.misses,
        "past the cache": totals.bypasses,
        "failed": totals.errors,
        "stored": totals.stored,
    }
    return [(what, f"{count:,} {what}") for what, count in counts.items() if count]


def _tokens_and_money(calls: Sequence[Call]) -> Iterable[tuple[str, str]]:
    """Yield what was spent and what was saved, as words and amounts."""
    for what, kinds in (("spent", ("miss", "bypass")), ("not billed again", ("hit",))):
        chosen = [call for call in calls if call.kind in kinds]
        tokens = tokens_of(chosen)
        money = pricing.format_usd(pricing.total_usd(chosen)) if tokens else ""
        if tokens:
            yield what, SEPARATOR.join(filter(None, (format_count(tokens, "token"), money)))


def tokens_of(calls: Iterable[Call]) -> int:
    """Return how many tokens ``calls`` used, as far as the providers told."""
    return sum(counts[2] for call in calls if (counts := token_counts(call.usage)))


def stats(session: Managed, args: Namespace) -> Report:  # noqa: ARG001  # it takes no arguments
    """Return the totals of this kernel and of the file's life."""
    store = store_of(session)
    calls, totals = LEDGER.since(0), LEDGER.totals
    rows, data = ([], {}) if store.backend == OTHER else _file_stats(store)
    rows = [
        ("cache", f"{store.backend}{SEPARATOR}{store.location}"),
        *rows,
        ("this kernel", totals_line(totals, calls) if totals.calls else ""),
    ]
    data = {
        "backend": store.backend,
        "location": store.location,
        **data,
        "session": _session_data(totals, calls),
    }
    return Report(f"statistics of {store.location}", rows, data=data)


def _file_stats(store: Store) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    life, models = store.life_totals(), models_of(store)
    entries, size_bytes = store.count(), store.size_bytes()
    hits, saved = format_count(life.hits, "hit"), f"saved {format_seconds(life.saved_s)}"
    rows = [
        ("holds", f"{format_count(entries, 'entry')}{SEPARATOR}{format_bytes(size_bytes)}"),
        ("models", ", ".join(models)),
        ("its life", f"{hits}{SEPARATOR}{saved}"),
    ]
    data = {
        "entries": entries,
        "size_bytes": size_bytes,
        "models": models,
        "life": {"hits": life.hits, "saved_s": life.saved_s},
    }
    return rows, data


def _session_data(totals: Totals, calls: Sequence[Call]) -> dict[str, Any]:
    fresh = [call for call in calls if call.kind in ("miss", "bypass")]
    hits = [call for call in calls if call.kind == "hit"]
    spent, saved = pricing.total_usd(fresh), pricing.total_usd(hits)
    return {
        "calls": totals.calls,
        "hits": totals.hits,
        "misses": totals.misses,
        "bypasses": totals.bypasses,
        "errors": totals.errors,
        "stored": totals.stored,
        "wall_s": totals.wall_s,
        "saved_s": totals.saved_s,
        "tokens_spent": tokens_of(fresh),
        "tokens_saved": tokens_of(hits),
        "spent_usd": None if spent is None else float(spent),
        "saved_usd": None if saved is None else float(saved),
    }
