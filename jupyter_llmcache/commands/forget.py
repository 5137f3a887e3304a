"""``forget``, ``clear`` and ``prune``: each tells what would go, and does it with ``--yes``."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ..draw.table import SEPARATOR, Report
from ..entry import Entry
from ..errors import LLMCacheError
from ..stores.base import Bounds, Store
from ..text import format_bytes, format_count, format_seconds, one_line
from .picking import OTHER, Managed, ago, find_key, select, short_keys, store_of, writable

#: Entries that are named one by one.
_NAMED = 10
#: Entries whose sizes and times are added up, so that memory stays bounded.
_SUMMED = 200_000


def forget(session: Managed, args: Namespace) -> Report:
    """Delete chosen entries, or tell which they are."""
    store = writable(store_of(session))
    chosen = _chosen(session, store, args)
    if args.yes and chosen:
        store.delete([entry.key for entry in chosen])
    return _told(store, chosen, "forget", done=args.yes)


def _chosen(session: Managed, store: Store, args: Namespace) -> list[Entry]:
    conditions = {"model": args.model, "grep": args.grep, "until": args.older_than}
    given = {name: value for name, value in conditions.items() if value is not None}
    if not args.keys and not given:
        raise LLMCacheError(
            "forget: no entry is named", "Give keys, last, --grep, --model or --older-than"
        )
    if "until" in given:
        given["until"] = ago(args.older_than)
    keys = {find_key(session, text) for text in args.keys}
    if keys and not given:
        return list(store.entries(keys=keys, texts=False))
    found = select(store, **given)
    return [entry for entry in found if entry.key in keys] if keys else found


def clear(session: Managed, args: Namespace) -> Report:
    """Delete every entry of ours, or tell what they are."""
    store = writable(store_of(session))
    if store.backend == OTHER:
        return _clear_other(store, done=args.yes)
    count, some = store.count(), list(store.entries(sort="recent", limit=_SUMMED, texts=False))
    if args.yes:
        store.clear()
    return _told(store, some, "clear", done=args.yes, named=0, count=count)


def _clear_other(store: Store, *, done: bool) -> Report:
    """Clear somebody else's cache, which does not tell what is in it."""
    if done:
        store.clear()
        return Report(f"cleared all of {store.location}", data={"done": True})
    title = f"clear would delete everything in {store.location}; with --yes it does"
    return Report(title, data={"done": False}, ok=False)


def prune(session: Managed, args: Namespace) -> Report:
    """Delete what is past the bounds given, else past those of the cache; or tell what that is."""
    store = writable(store_of(session))
    bounds = Bounds(args.older_than, args.max_entries, args.max_size)
    if bounds == Bounds():
        bounds = store.bounds
    if bounds == Bounds():
        raise LLMCacheError(
            "prune: this cache has no bounds", "Give --older-than, --max-entries or --max-size"
        )
    found = _past(store, bounds)
    if args.yes:
        store.delete([entry.key for entry in found])
        store.prune()
    return _told(store, found, "prune", done=args.yes)


def _past(store: Store, bounds: Bounds) -> list[Entry]:
    """Return what is too old, then the least recently used of the rest that is too much."""
    entries = list(store.entries(sort="used", texts=False))
    oldest_good = bounds.oldest_good(time.time())
    too_old = [entry for entry in entries if entry.created_at <= oldest_good]
    good = [entry for entry in entries if entry.created_at > oldest_good]
    kept = len(good) if bounds.max_entries is None else min(len(good), bounds.max_entries)
    if bounds.max_size_bytes is not None:
        kept = min(kept, _fitting(store, entries, good, bounds.max_size_bytes))
    return [*too_old, *good[kept:]]


def _fitting(
    store: Store, entries: Sequence[Entry], good: Sequence[Entry], max_size_bytes: int
) -> int:
    """Return how many of ``good`` fit; what the file needs beside entries is shared among them."""
    texts = sum(entry.size_bytes for entry in entries)
    overhead = max(0, store.size_bytes() - texts) / max(1, len(entries))
    sizes = accumulate(entry.size_bytes + overhead for entry in good)
    return sum(size <= max_size_bytes for size in sizes)


def _told(
    store: Store,
    entries: Sequence[Entry],
    what: str,
    *,
    done: bool,
    named: int = _NAMED,
    count: int | None = None,
) -> Report:
    """Return what went or would go, and what it cost to record.

    Args:
        store: Where it is or was.
        entries: What it is; of very many, the newest.
        what: The subcommand.
        done: Whether it is gone.
        named: How many are named one by one.
        count: How many there are where ``entries`` are not all.
    """
    number = len(entries) if count is None else count
    size_bytes = sum(entry.size_bytes for entry in entries)
    provider_s = sum(entry.provider_s or 0.0 for entry in entries)
    more = "over " if number > len(entries) else ""
    parts = [
        format_count(number, "entry"),
        f"{more}{format_bytes(size_bytes)}",
        f"took {more}{format_seconds(provider_s)} to record",
    ]
    if not number:
        title = f"{what}: no such entry, nothing to do"
    elif done:
        title = f"{_DONE[what]} {SEPARATOR.join(parts)}"
    else:
        title = f"{what} would delete {SEPARATOR.join(parts)}; with --yes it does"
    data: dict[str, Any] = {
        "done": done and bool(number),
        "entries": number,
        "size_bytes": size_bytes,
        "provider_s": provider_s,
    }
    if named:
        data["keys"] = [entry.key.hex() for entry in entries]
    rows = [*_names(entries, named), *_langchain_rows(store)]
    return Report(title, rows, data=data, ok=done or not number)


_DONE = {"forget": "forgot", "clear": "cleared", "prune": "pruned"}


def _names(entries: Sequence[Entry], named: int) -> list[tuple[str, str]]:
    keys = short_keys(entry.key for entry in entries[:named])
    rows = [(keys[entry.key], one_line(entry.title, 80)) for entry in entries[:named]]
    if named and len(entries) > named:
        rows.append(("…", f"and {len(entries) - named:,} more"))
    return rows


def _langchain_rows(store: Store) -> list[tuple[str, str]]:
    if not store.has_langchain_rows:
        return []
    return [("LangChain", "what LangChain's own cache wrote into this file stays")]
