"""``export`` and ``import``: a course file out of the cache in use, and into it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection
from pathlib import Path

from ..draw.progress import Progress
from ..draw.table import SEPARATOR, Report
from ..errors import LLMCacheError
from ..ledger import LEDGER, Call
from ..stores.base import Store
from ..stores.sqlite_paths import resolve
from ..text import format_bytes, format_count
from .picking import Managed, store_of, writable

#: Endings of files that hold JSON lines.
_LINES = (".jsonl", ".ndjson")


def export(session: Managed, args: Namespace) -> Report:
    """Write entries to a new file: SQLite, or JSON lines."""
    store = store_of(session)
    keys = _used(store) if args.used else None
    total = store.count() if keys is None else len(keys)
    form = args.format or ("jsonl" if Path(args.path).suffix.lower() in _LINES else "sqlite")
    from ..course import export_database, export_lines

    write = export_lines if form == "jsonl" else export_database
    with Progress(f"exporting to {args.path}", total) as progress:
        count = write(store, args.path, keys, progress.update)
    size_bytes = resolve(args.path).stat().st_size
    title = f"exported {format_count(count, 'entry')} to {args.path}{SEPARATOR}"
    data = {"path": args.path, "format": form, "entries": count, "size_bytes": size_bytes}
    return Report(title + format_bytes(size_bytes), data=data)


def _used(store: Store) -> Collection[bytes]:
    """Return the keys of entries that this kernel hit or stored."""
    calls = [call for call in LEDGER.since(0) if call.key and (call.kind == "hit" or call.stored)]
    if not calls:
        raise LLMCacheError(
            "export --used: this kernel has used no entry", "Run the notebook first, or export all"
        )
    keys: set[bytes] = set()
    for call in calls:
        keys |= _keys_of(store, call)
    return keys


def _keys_of(store: Store, call: Call) -> set[bytes]:
    """Return the key of the entry behind ``call``, which may have been found under another key."""
    key = bytes.fromhex(call.key or "")
    if store.read(key) is not None:
        return {key}
    at = call.recorded_at
    return set() if at is None else {e.key for e in store.entries(since=at, until=at, texts=False)}


def import_(session: Managed, args: Namespace) -> Report:
    """Take the entries of a course file into the cache in use."""
    from ..course import import_file

    store = writable(store_of(session))
    with Progress(f"importing {args.path}") as progress:
        taken = import_file(store, args.path, progress.update)
    parts = [f"{taken.new:,} new", f"{taken.same:,} the same"]
    if taken.different:
        parts.append(f"{taken.different:,} different, of which the answers here were kept")
    return Report(
        f"imported {args.path}: {SEPARATOR.join(parts)}",
        data={"new": taken.new, "same": taken.same, "different": taken.different},
    )
