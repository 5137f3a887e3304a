"""``verify``: whether everything in the store is what was put there."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable

from ..draw.progress import Progress
from ..draw.table import Report
from ..entry import Entry
from ..errors import StoreError
from ..text import format_bytes, format_count
from .picking import KEY_DIGITS, Managed, store_of, writable

#: Damaged entries that are named.
_NAMED = 10


def verify(session: Managed, args: Namespace) -> Report:
    """Look through the store, with ``--repair`` delete what is damaged, and tell in one screen."""
    store = store_of(session)
    if args.repair:
        writable(store)
    with Progress(f"verifying {store.location}") as progress:
        found = store.verify(repair=args.repair)
        looks_inside = not found.faults and (args.repair or not found.damaged)
        unread = list(_unread(progress.counting(store.entries()))) if looks_inside else []
    if args.repair and unread:
        store.delete(unread)
    damaged = [*found.damaged, *unread]
    schemas = {} if found.faults and not args.repair else _schemas(store.requests())
    wrong = bool(found.faults or damaged or found.orphans)
    rows = [
        ("file", f"{store.location}, {format_bytes(store.size_bytes())}"),
        ("structure", "; ".join(found.faults) or "sound"),
        ("entries", format_count(found.entries, "entry")),
        ("damaged", _named(damaged)),
        ("orphans", f"{format_count(found.orphans, 'request text')} that no entry uses"),
        ("key schema", ", ".join(f"{name}: {count:,}" for name, count in schemas.items())),
        ("kept", f"the broken file is kept as {found.kept_at}" if found.kept_at else ""),
    ]
    return Report(
        f"verify: {_verdict(wrong, repaired=args.repair)}",
        rows,
        data={
            "entries": found.entries,
            "faults": list(found.faults),
            "damaged": [key.hex() for key in damaged],
            "orphans": found.orphans,
            "schemas": schemas,
            "repaired": args.repair and wrong,
            "kept_at": found.kept_at,
        },
        ok=not wrong or args.repair,
    )


def _verdict(wrong: bool, *, repaired: bool) -> str:
    if not wrong:
        return "all is well"
    return "repaired" if repaired else "something is wrong; %llm_cache verify --repair deletes it"


def _named(keys: list[bytes]) -> str:
    if not keys:
        return "none"
    names = ", ".join(key.hex()[:KEY_DIGITS] for key in keys[:_NAMED])
    more = f" and {len(keys) - _NAMED:,} more" if len(keys) > _NAMED else ""
    return f"{format_count(len(keys), 'entry')}: {names}{more}"


def _unread(records: Iterable[Entry]) -> Iterable[bytes]:
    """Yield the keys of entries that are as they were put, but hold no answer of ours."""
    from ..answer import decode

    for record in records:
        try:
            decode(record.answer)
        except StoreError:
            yield record.key


def _schemas(requests: Iterable[str]) -> dict[str, int]:
    """Return how many request texts there are of each key schema."""
    return dict(Counter(_schema(text) for text in requests))


def _schema(request: str) -> str:
    try:
        return str(json.loads(request)["schema"])
    except (ValueError, LookupError, TypeError):
        return "unknown"
