"""``export``, ``import`` and ``verify``: a course file out of a store and into it; is it sound?"""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..draw.live import Progress
from ..draw.table import SEPARATOR, Report
from ..errors import LLMCacheError, StoreError
from ..ledger import Call, Entry, Ledger
from ..stores.base import Store
from ..text import format_bytes, format_count, json_or_text, parse_duration_s
from . import subcommand
from .entries import KEY_DIGITS
from .parser import Argument

#: Endings of files that hold JSON lines.
_LINES = (".jsonl", ".ndjson")
#: Damaged entries that are named.
_NAMED = 10


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
    return Report(SEPARATOR.join((what, format_bytes(size_bytes))), data=data)


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
    """Return the keys of entries that this kernel hit or stored."""
    calls = [
        call
        for call in ledger.since(0)
        if call.key and (call.kind == "hit" or call.stored or call.keys)
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
    schemas = {} if found.faults and not args.repair else _schemas(store.requests())
    wrong = not found.is_sound or bool(unread)
    data = {
        "entries": found.entries,
        "faults": list(found.faults),
        "damaged": [key.hex() for key in damaged],
        "orphans": found.orphans,
        "schemas": schemas,
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
    done = "was repaired" if args.repair else "is damaged; %llm_cache verify --repair mends it"
    return Report(f"{store.location} {done} ({sound})", rows, data=data, ok=args.repair)


def _unread(records: Iterable[Entry]) -> Iterable[bytes]:
    """Yield the keys of entries that are as they were put, but hold no answer of ours."""
    from ..course.import_ import decode

    for record in records:
        try:
            decode(record)
        except StoreError:
            yield record.key


def _schemas(requests: Iterable[str]) -> dict[str, int]:
    """Return how many request texts there are of each key schema."""
    read = map(json_or_text, requests)
    return dict(Counter(str(r.get("schema", "?")) if isinstance(r, dict) else "?" for r in read))


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
