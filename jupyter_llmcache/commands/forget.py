"""``forget``, ``clear`` and ``prune``: each tells what would go, and does it with ``--yes``."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence

from ..draw.table import SEPARATOR, Report
from ..errors import LLMCacheError
from ..ledger import Entry, Ledger
from ..stores.base import Bounds, Store, past
from ..text import (
    format_bytes,
    format_count,
    format_seconds,
    one_line,
    parse_count,
    parse_duration_s,
    parse_size_bytes,
)
from . import subcommand
from .entries import GREP, MODEL, OTHER, ago, find_key, select, short_keys
from .parser import Argument

#: Entries that are named one by one.
_NAMED = 10
#: Entries whose sizes and times are added up, so that memory stays bounded.
_SUMMED = 200_000
YES = Argument(("-y", "--yes"), "do it; without this it only tells what would be done")
_OLDER = Argument(
    ("--older-than",),
    "what was recorded longer ago than this, as 30d",
    "AGE",
    options={"type": parse_duration_s},
)


@subcommand(
    "forget",
    "delete chosen entries; with several conditions, those that fit all",
    Argument(
        ("keys",),
        "beginnings of keys, or last: the last call's",
        "KEY",
        "key",
        options={"nargs": "*", "default": []},
    ),
    MODEL,
    GREP,
    _OLDER,
    YES,
    writes=True,
)
def forget(store: Store, ledger: Ledger, args: Namespace) -> Report:
    """Delete chosen entries, or tell which they are."""
    conditions = {"text_contains": args.grep, "until": ago(args.older_than)}
    given = {name: value for name, value in conditions.items() if value is not None}
    if not (args.keys or given or args.model):
        raise LLMCacheError(
            "forget: no entry is named", "Give keys, last, --grep, --model or --older-than"
        )
    keys = {find_key(store, ledger, text) for text in args.keys}
    if given or args.model:
        found = select(store, model=args.model, **given)
        chosen = [entry for entry in found if entry.key in keys] if keys else found
    else:
        chosen = list(store.entries(keys=keys, texts=False))
    if args.yes and chosen:
        store.delete([entry.key for entry in chosen])
    return _told(store, chosen, "forget", done=args.yes)


@subcommand("clear", "delete every entry; what LangChain itself wrote stays", YES, writes=True)
def clear(store: Store, _: Ledger, args: Namespace) -> Report:
    """Delete every entry of ours, or tell what they are."""
    if store.backend == OTHER:  # it does not tell what is in it
        if args.yes:
            store.clear()
            return Report(f"cleared all of {store.location}", data={"done": True})
        title = f"clear would delete everything in {store.location}; with --yes it does"
        return Report(title, data={"done": False}, ok=False)
    count, some = store.count(), list(store.entries(sort="recent", limit=_SUMMED, texts=False))
    if args.yes:
        store.clear()
    return _told(store, some, "clear", done=args.yes, named=0, count=count)


@subcommand(
    "prune",
    "delete what is past these bounds, else past those of the cache, and give the space back",
    _OLDER,
    Argument(
        ("--max-entries",), "keep this many, the last used ones", "N", options={"type": parse_count}
    ),
    Argument(
        ("--max-size",),
        "keep what fits into this size, as 100MB",
        "SIZE",
        options={"type": parse_size_bytes},
    ),
    YES,
    writes=True,
)
def prune(store: Store, _: Ledger, args: Namespace) -> Report:
    """Delete what is past the bounds given, else past those of the cache; or tell what that is."""
    bounds = Bounds(args.older_than, args.max_entries, args.max_size)
    if bounds == Bounds():
        bounds = store.bounds
    if bounds == Bounds():
        raise LLMCacheError(
            "prune: this cache has no bounds", "Give --older-than, --max-entries or --max-size"
        )
    used = list(store.entries(sort="used", texts=False))
    # What the file needs beside entries is shared among them.
    beside = store.size_bytes() - sum(entry.size_bytes for entry in used)
    share = max(0, beside) // max(1, len(used))
    wide = [entry._replace(size_bytes=entry.size_bytes + share) for entry in used]
    found = past(bounds, wide, time.time())
    if args.yes:
        store.delete([entry.key for entry in found])
        store.prune()
    return _told(store, found, "prune", done=args.yes)


_DONE = {"forget": "forgot", "clear": "cleared", "prune": "pruned"}


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

    At most ``named`` are named; ``count`` says how many there are where ``entries`` are not all.
    """
    number = len(entries) if count is None else count
    size_bytes = sum(entry.size_bytes for entry in entries)
    provider_s = sum(entry.provider_s or 0.0 for entry in entries)
    more = "over " if number > len(entries) else ""
    parts = SEPARATOR.join(
        (
            format_count(number, "entry"),
            f"{more}{format_bytes(size_bytes)}",
            f"took {more}{format_seconds(provider_s)} to record",
        )
    )
    if not number:
        title = f"{what}: no such entry, nothing to do"
    else:
        title = (
            f"{_DONE[what]} {parts}" if done else f"{what} would delete {parts}; with --yes it does"
        )
    data = {
        "done": done and bool(number),
        "entries": number,
        "size_bytes": size_bytes,
        "provider_s": provider_s,
        **({"keys": [entry.key.hex() for entry in entries]} if named else {}),
    }
    keys = short_keys(entry.key for entry in entries[:named])
    rows = [(keys[entry.key], one_line(entry.title, 80)) for entry in entries[:named]]
    if named and number > named:
        rows.append(("…", f"and {number - named:,} more"))
    if getattr(store, "has_langchain_rows", False):
        rows.append(("LangChain", "what LangChain's own cache wrote into this file stays"))
    return Report(title, rows, data=data, ok=done or not number)
