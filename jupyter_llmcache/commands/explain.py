"""``explain``: why the last call, or an entry's request, was cached, fresh or not cached."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ..draw.table import Report
from ..errors import StoreError
from ..ledger import Call, Entry, Ledger
from ..stores.base import Store
from ..text import format_count, format_moment, json_or_text, one_line
from . import subcommand
from .entries import KEY, KEY_DIGITS, LAST, find_key, model_of, read

if TYPE_CHECKING:
    from ..seam.nearest import Near

NOT_COMPARED = (
    "timeouts, retries, names, tags, callbacks, streaming, credentials, organisation, message ids, "
    "usage and metadata of earlier answers, versions"
)
_WENT = {"miss": "fresh", "error": "a failure", "bypass": "not cached: the cache was not asked"}


@subcommand(
    "explain", "why the last call, or the request of an entry, was cached, fresh or not cached", KEY
)
def explain(store: Store, ledger: Ledger, args: Namespace) -> Report:
    """Return why the last call went as it did, or what is nearest to an entry."""
    from ..seam.place import recent_request

    call = ledger.last()
    if args.key.lower() != LAST or call is None:
        record = read(store, find_key(store, ledger, args.key))
        title = f"entry {record.key.hex()[:KEY_DIGITS]} '{one_line(record.title, 60)}'"
        return _with_nearest(store, record, title, {"key": record.key.hex()})
    data = {"kind": call.kind, "key": call.key, "stored": call.stored, "reason": call.reason}
    what = f"the last call to {call.model} was"
    if call.key is None:
        why = call.reason or "the cache was not asked"
        return Report(f"{what} not cached: {why}", data=data)
    if call.kind == "hit":
        return _cached(store, call, what, data)
    key = bytes.fromhex(call.key)
    kept = store.read(key)
    wanted = kept or recent_request(key)
    title = f"{what} {_WENT[call.kind]}"
    if wanted is None:
        title += "; its request was not kept, so that nothing can be compared with it"
        return Report(title, data=data)
    return _with_nearest(store, wanted, title, data)


def _cached(store: Store, call: Call, what: str, data: Mapping[str, Any]) -> Report:
    title = f"{what} cached: the same request was recorded {format_moment(call.recorded_at)}"
    record = store.read(bytes.fromhex(call.key or ""))
    if record is None:
        return Report(f"{title}, under another key", data=data)
    versions = list(_versions(record))
    rows = [
        ("the same", ", ".join(_compared(record))),
        ("versions", "; ".join(versions)),
        ("not compared", NOT_COMPARED),
    ]
    return Report(title, rows, data={**data, "versions": versions})


def _compared(record: Entry) -> Iterator[str]:
    """Yield what made the request the same: its fields, and its messages."""
    request, prompt = json_or_text(record.request), json_or_text(record.prompt)
    if isinstance(request, dict):
        yield from (name for name in request if name not in ("schema", "parameters"))
        yield from request.get("parameters") or ()
    yield format_count(len(prompt), "message") if isinstance(prompt, list) else "the prompt's text"


def _with_nearest(store: Store, wanted: Entry, title: str, data: Mapping[str, Any]) -> Report:
    """Return the title with what differs from the most similar entry, and that entry."""
    from ..seam.nearest import differences_line, nearest

    found = nearest(store, wanted, 1)
    data = {**data, "nearest": [_near_data(near) for near in found]}
    if not found:
        return Report(f"{title}; no entry is like it", data=data)
    near = found[0]
    told = differences_line(near.differences)
    return Report(f"{title}; nearest: {told}", list(_rows(near, told)), (), data)


def _rows(near: Near, told: str) -> Iterator[tuple[str, str]]:
    """Yield which entry is near, and what the sentence over it has not told."""
    record = near.record
    yield "entry", f"{record.key.hex()[:KEY_DIGITS]} '{one_line(record.title, 60)}'"
    yield "model", model_of(record.request)
    yield "recorded", format_moment(record.created_at)
    lines = (one_line(difference, 300) for difference in near.differences)
    yield "differs", "; ".join(line for line in lines if line not in told)
    yield "versions", "; ".join(line for line in _versions(record) if "->" in line)


def _near_data(near: Near) -> dict[str, Any]:
    return {
        "key": near.record.key.hex(),
        "title": near.record.title,
        "differences": [asdict(difference) for difference in near.differences],
    }


def _versions(record: Entry) -> Iterator[str]:
    """Yield which versions recorded an entry, and which are here now: these never change a key."""
    from ..answer import recorded_versions

    try:
        recorded = recorded_versions(record.answer)
    except StoreError:
        return
    for name, then in recorded.items():
        try:
            now = metadata.version(name)
        except metadata.PackageNotFoundError:
            now = "not installed"
        yield f"{name} {then}" if now == then else f"{name} {then} -> {now}: same key"
