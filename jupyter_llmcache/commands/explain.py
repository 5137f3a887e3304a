"""``explain``: why the last call, or an entry's request, hit, missed or was not cached."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from ..draw.table import Report
from ..entry import Entry
from ..errors import LLMCacheError, StoreError
from ..ledger import Call
from ..seam import recent
from ..seam.nearest import Near, RecordedRequest, Wanted, differences_line, nearest
from ..stores.base import Store
from ..text import format_count, format_moment, format_seconds, one_line
from .picking import KEY_DIGITS, LAST, Managed, find_key, model_of, store_of

#: How many of the nearest requests are told of.
_NEAREST = 3
NOT_COMPARED = (
    "timeouts, retries, names, tags, callbacks, streaming, credentials, organisation, message ids, "
    "usage and metadata of earlier answers, versions"
)


def explain(session: Managed, args: Namespace) -> Report:
    """Return why the last call went as it did, or what is nearest to an entry."""
    store = store_of(session)
    call = session.last_call()
    if args.key.lower() != LAST or call is None:
        return _explain_entry(store, _read(store, find_key(session, args.key)))
    if call.key is None:
        return _not_cached(call)
    if call.kind == "hit":
        return _hit(store, call)
    return _miss(store, call)


def _read(store: Store, key: bytes) -> Entry:
    record = store.read(key)
    if record is None:
        raise LLMCacheError(f"entry {key.hex()} has just been deleted", "See %llm_cache list")
    return record


def _not_cached(call: Call) -> Report:
    """A call without a key: nothing was looked for."""
    reason = call.reason or "the cache was not asked"
    why = reason if reason.startswith("not cached") else f"not cached: {reason}"
    return Report(
        f"the last call to {call.model} was {why}", data={"kind": call.kind, "reason": reason}
    )


# --- a hit ---


def _hit(store: Store, call: Call) -> Report:
    title = f"the last call to {call.model} was a hit: the same request is recorded"
    record = store.read(bytes.fromhex(call.key or ""))
    rows = [("key", call.key or ""), ("recorded", format_moment(call.recorded_at))]
    if record is None:
        rows.append(
            (
                "found",
                "under another key: the only endpoint's, an older schema's, or LangChain's",
            )
        )
        return Report(title, rows, data=_call_data(call))
    versions = version_lines(_versions(record))
    rows += [
        ("the same", ", ".join(_compared(record))),
        ("versions", "; ".join(versions)),
        ("not compared", NOT_COMPARED),
    ]
    return Report(title, rows, data={**_call_data(call), "versions": versions})


def _compared(record: Entry) -> Iterator[str]:
    """Yield what made the request the same: its fields, and its messages."""
    try:
        fields, prompt = json.loads(record.request), json.loads(record.prompt)
    except ValueError:
        return
    parameters = fields.get("parameters") or {}
    yield from (name for name in fields if name not in ("schema", "parameters"))
    yield from parameters
    yield format_count(len(prompt), "message") if isinstance(prompt, list) else "the prompt's text"


# --- a miss ---


def _miss(store: Store, call: Call) -> Report:
    key = bytes.fromhex(call.key or "")
    record = store.read(key)
    request = RecordedRequest.of(record) if record else recent.recall(key)
    rows = [("key", call.key or ""), ("stored", "yes" if call.stored else call.reason or "no")]
    title = f"the last call to {call.model} was a {_KINDS[call.kind]}"
    if request is None:
        rows.append(("request", "not kept, so that nothing can be compared with it"))
        return Report(title, rows, data=_call_data(call))
    return _with_nearest(store, request, title, rows, _call_data(call))


_KINDS = {"miss": "miss", "error": "failure", "bypass": "bypass: the cache was not asked"}


def _explain_entry(store: Store, record: Entry) -> Report:
    title = f"entry {record.key.hex()[:KEY_DIGITS]} of {model_of(record.request)}"
    rows = [("recorded", format_moment(record.created_at)), ("prompt", record.title)]
    if record.provider_s is not None:
        rows.append(("provider took", format_seconds(record.provider_s)))
    rows.append(("versions", "; ".join(version_lines(_versions(record)))))
    return _with_nearest(store, RecordedRequest.of(record), title, rows, {"key": record.key.hex()})


def _with_nearest(
    store: Store,
    request: Wanted,
    title: str,
    rows: Sequence[tuple[str, str]],
    data: Mapping[str, Any],
) -> Report:
    found = nearest(store, request, _NEAREST)
    first = f"; nearest: {differences_line(found[0].differences)}" if found else ""
    nothing = [] if found else [("nearest", "no entry is like it")]
    return Report(
        title + first,
        [*rows, *nothing],
        [_section(near) for near in found],
        {**data, "nearest": [_near_data(near) for near in found]},
    )


def _section(near: Near) -> tuple[str, str]:
    record = near.record
    key = record.key.hex()[:KEY_DIGITS]
    heading = f"{key} '{one_line(record.title, 60)}', {model_of(record.request)}, "
    lines = [one_line(difference, 300) for difference in near.differences]
    changed = [line for line in version_lines(_versions(record)) if "->" in line]
    return heading + f"recorded {format_moment(record.created_at)}", "\n".join([*lines, *changed])


def _near_data(near: Near) -> dict[str, Any]:
    return {
        "key": near.record.key.hex(),
        "title": near.record.title,
        "differences": [asdict(difference) for difference in near.differences],
    }


def _call_data(call: Call) -> dict[str, Any]:
    return {"kind": call.kind, "key": call.key, "stored": call.stored, "reason": call.reason}


# --- versions ---


def _versions(record: Entry) -> dict[str, str]:
    from ..answer import recorded_versions

    try:
        return recorded_versions(record.answer)
    except StoreError:
        return {}


def version_lines(recorded: Mapping[str, str]) -> list[str]:
    """Return which versions recorded an entry, and which are here now: these never change a key."""
    return [_version_line(name, then) for name, then in recorded.items()]


def _version_line(name: str, then: str) -> str:
    try:
        now = metadata.version(name)
    except metadata.PackageNotFoundError:
        now = "not installed"
    return f"{name} {then}" if now == then else f"{name} {then} -> {now}: same key"
