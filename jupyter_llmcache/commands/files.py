"""What changes entries or moves them: forget, clear and prune; export and import; verify, check.

What deletes entries tells what would go, and does it with ``--yes``.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..draw.live import Progress
from ..draw.table import SEPARATOR, Report
from ..errors import LLMCacheError, StoreError
from ..ledger import Call, Entry, Ledger
from ..stores.base import Bounds, Store, past
from ..text import (
    format_bytes,
    format_count,
    format_seconds,
    json_or_text,
    one_line,
    parse_count,
    parse_duration_s,
    parse_size_bytes,
)
from . import subcommand
from .entries import GREP, KEY_DIGITS, MODEL, OTHER, ago, find_key, select, short_keys
from .parser import Argument

#: Endings of files that hold JSON lines.
_LINES = (".jsonl", ".ndjson")
#: How long an export waits for what another program keeps from being stored, in seconds.
_PATIENCE_S = 5.0
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

# --- what deletes ---


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
    if not (args.keys or args.model or args.grep is not None or args.older_than):
        raise LLMCacheError(
            "forget: no entry is named", "Give keys, last, --grep, --model or --older-than"
        )
    chosen = select(
        store,
        model=args.model,
        keys={find_key(store, ledger, text) for text in args.keys} or None,
        text_contains=args.grep,
        until=ago(args.older_than),
    )
    if args.yes:
        store.delete([entry.key for entry in chosen])
    return _told(store, chosen, "forget", done=args.yes)


@subcommand("clear", "delete every entry; what LangChain itself wrote stays", YES, writes=True)
def clear(store: Store, _: Ledger, args: Namespace) -> Report:
    """Delete every entry of ours, or tell what they are."""
    if store.backend == OTHER:  # it does not tell what is in it
        title = f"clear would delete everything in {store.location}; with --yes it does"
        if args.yes:
            store.clear()
            title = f"cleared all of {store.location}"
        return Report(title, data={"done": args.yes}, ok=args.yes)
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
    given, no_bounds = Bounds(args.older_than, args.max_entries, args.max_size), Bounds()
    bounds = store.bounds if given == no_bounds else given
    if bounds == no_bounds:
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
    verb, then = (_DONE[what], "") if done else (f"{what} would delete", "; with --yes it does")
    title = f"{verb} {parts}{then}" if number else f"{what}: no such entry, nothing to do"
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
    if store.has_langchain_rows:
        rows.append(("LangChain", "what LangChain's own cache wrote into this file stays"))
    return Report(title, rows, data=data, ok=done or not number)


# --- a course file, and whether all is sound ---


@subcommand(
    "export",
    "write a clean file: the same entries give the same bytes",
    Argument(("path",), "the new file; one that is there is replaced", "PATH", "path"),
    Argument(("--used",), "only what this kernel hit or stored"),
    Argument(
        ("--format",),
        "sqlite; or jsonl: sorted lines to review, as for a PATH with that ending",
        choices=("sqlite", "jsonl"),
    ),
)
def export(store: Store, ledger: Ledger, args: Namespace) -> Report:
    """Write entries to a new file."""
    from ..course import export_database, export_lines
    from ..stores.write_behind import hurry

    # What is found by its key and is not stored is this store's, and waits.
    left = [key for key in hurry(_PATIENCE_S) if store.read(key) is not None]
    keys = _used(store, ledger) if args.used else None
    form = args.format or ("jsonl" if Path(args.path).suffix.lower() in _LINES else "sqlite")
    write = export_lines if form == "jsonl" else export_database
    total = store.count() if keys is None else len(keys)
    hosts = hosts_in(store, keys)
    if hosts and not getattr(args, "json", False):
        print("Pages have owners: may you hand on what is from these hosts?")  # noqa: T201  # said before it is written
        for host in hosts:
            held = f"{format_count(host['entries'], 'answer')}, {format_bytes(host['size_bytes'])}"
            print(f"  {host['host']}: {held}")  # noqa: T201  # as above
    with Progress(f"exporting to {args.path}", total) as progress:
        count = write(store, args.path, keys, progress.counting)
    size_bytes = Path(args.path).expanduser().stat().st_size
    what = f"exported {format_count(count, 'entry')} to {args.path}"
    said = {"path": args.path, "entries": count, "format": form}
    data = {**said, "size_bytes": size_bytes, "hosts": hosts}
    waits = [f"left out: {format_count(len(left), 'answer')} not stored"] if left else []
    foreign = "what LangChain's own cache wrote goes along once a call has used it"
    rows = [("LangChain", foreign)] if store.has_langchain_rows else []
    return Report(SEPARATOR.join((what, format_bytes(size_bytes), *waits)), rows, data=data)


def hosts_in(store: Store, keys: Collection[bytes] | None = None) -> list[dict[str, Any]]:
    """Return what ``store`` holds of each host, the largest first; ``keys``: only of these."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for entry in store.entries(keys=keys, kind="web", texts=False):
        host = urlsplit(entry.title.partition(" ")[2]).hostname or "?"
        counts[host] += 1
        sizes[host] += entry.size_bytes
    return [
        {"host": host, "entries": counts[host], "size_bytes": sizes[host]}
        for host in sorted(counts, key=lambda host: (-sizes[host], host))
    ]


def _used(store: Store, ledger: Ledger) -> Collection[bytes]:
    calls = [
        call
        for call in ledger.since(0)
        if call.key and (call.kind == "hit" or call.stored or call.pending or call.keys)
    ]
    if not calls:
        raise LLMCacheError(
            "export --used: this kernel has used no entry", "Run the notebook first, or export all"
        )
    return {key for call in calls for key in call.keys or _keys_of(store, call)}


def _keys_of(store: Store, call: Call) -> set[bytes]:
    """Return the key of the entry behind ``call``, which may have been found under another key."""
    key = bytes.fromhex(call.key or "")
    if store.read(key) is not None:
        return {key}
    at = call.recorded_at
    return set() if at is None else {e.key for e in store.entries(since=at, until=at, texts=False)}


@subcommand(
    "import",
    "take the entries of an exported file into the cache; all of them, or none",
    Argument(("path",), "the file", "PATH", "path"),
    writes=True,
)
def import_(store: Store, _: Ledger, args: Namespace) -> Report:
    """Take the entries of a course file into the cache in use."""
    from ..course import import_file

    with Progress(f"importing {args.path}") as progress:
        taken = import_file(store, args.path, progress.counting)
    parts = [f"{taken.new:,} new", f"{taken.same:,} the same"]
    if taken.different:
        parts.append(f"{taken.different:,} different, of which the answers here were kept")
    return Report(
        f"imported {args.path}: {SEPARATOR.join(parts)}",
        data={"new": taken.new, "same": taken.same, "different": taken.different},
    )


@subcommand(
    "verify",
    "look through the whole file: is every entry what was stored?",
    Argument(("--repair",), "delete what is damaged; save what can be read of a broken file"),
)
def verify(store: Store, _: Ledger, args: Namespace) -> Report:
    """Look through the store, with ``--repair`` delete what is damaged, and tell in words."""
    with Progress(f"verifying {store.location}") as progress:
        found = store.verify(repair=args.repair)
        looks_inside = not found.faults and (args.repair or not found.damaged)
        unread = list(_unread(progress.counting(store.entries()))) if looks_inside else []
    if args.repair and unread:
        store.delete(unread)
    damaged = [*found.damaged, *unread]
    # How many request texts there are of each key schema.
    requests = [] if found.faults and not args.repair else map(json_or_text, store.requests())
    schemas = Counter(str(r.get("schema", "?")) if isinstance(r, dict) else "?" for r in requests)
    wrong = not found.is_sound or bool(unread)
    data = {
        "entries": found.entries,
        "faults": list(found.faults),
        "damaged": [key.hex() for key in damaged],
        "orphans": found.orphans,
        "schemas": dict(schemas),
        "repaired": args.repair and wrong,
        "kept_at": found.kept_at,
    }
    broken = bool(found.faults) and not args.repair
    size = "" if broken else f", {format_bytes(store.size_bytes())}"
    sound = f"{format_count(found.entries, 'entry')}{size}"
    if not wrong:
        return Report(f"{store.location} is sound: {sound}, nothing is damaged", data=data)
    names = ", ".join(key.hex()[:KEY_DIGITS] for key in damaged[:_NAMED])
    rest = f" and {len(damaged) - _NAMED:,} more" if len(damaged) > _NAMED else ""
    rows = [
        ("structure", "; ".join(found.faults)),
        ("damaged", f"{names}{rest}"),
        ("unused", f"{format_count(found.orphans, 'request text')}" if found.orphans else ""),
        ("kept", f"the broken file is kept as {found.kept_at}" if found.kept_at else ""),
    ]
    done = "was repaired" if args.repair else "is damaged; verify --repair mends it"
    return Report(f"{store.location} {done} ({sound})", rows, data=data, ok=args.repair)


def _unread(records: Iterable[Entry]) -> Iterable[bytes]:
    """Yield the keys of entries that are as they were put, but hold no answer of ours."""
    from ..course import decode

    for record in records:
        try:
            decode(record)
        except StoreError:
            yield record.key


@subcommand(
    "check",
    "run notebooks in replay mode and tell which cells ask for what is not recorded",
    Argument(("notebooks",), "the .ipynb files", "NOTEBOOK", "path", options={"nargs": "+"}),
    Argument(
        ("--cache",),
        "the recorded file that answers, whatever cache the notebooks choose",
        "FILE",
        "path",
    ),
    Argument(("--allow-web",), "let out what asks no model, after the file was asked"),
    Argument(
        ("--record",),
        "instead: run them in mode auto, and keep all that they ask for in this file",
        "FILE",
        "path",
    ),
    Argument(
        ("--timeout",),
        "how long one cell may take; 10min without it",
        "DURATION",
        options={"type": parse_duration_s, "default": 600.0},
    ),
    Argument(("--kernel",), "the kernel to use; what the notebook names without it", "NAME"),
    on="nothing",
    place="shell",
)
def check(_: Ledger, args: Namespace) -> object:
    """Run notebooks without a provider, or record them."""
    from ..course import check as course

    if args.record and (args.cache or args.allow_web):
        raise LLMCacheError("--record goes with no --cache and no --allow-web", "Leave them out")
    return course.check(
        args.notebooks,
        args.record or args.cache,
        records=bool(args.record),
        allow_web=args.allow_web,
        timeout_s=args.timeout,
        kernel=args.kernel,
    )
