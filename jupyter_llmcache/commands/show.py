"""``show``: one entry, with its request as it was understood, its answer and where it came from."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import pricing
from ..draw.table import SEPARATOR, Report
from ..entry import Entry
from ..errors import LLMCacheError
from ..request.compare import message_name
from ..stores.base import Store
from ..text import format_bytes, format_count, format_moment, format_seconds, token_counts
from .picking import Managed, find_key, model_of, store_of

if TYPE_CHECKING:
    from langchain_core.outputs import Generation


@dataclass(frozen=True)
class _Cost:
    """What a price is made of."""

    model: str
    usage: Mapping[str, Any] | None


def show(session: Managed, args: Namespace) -> Report:
    """Return the whole entry of a key."""
    store = store_of(session)
    key = find_key(session, args.key)
    record = store.read(key)
    if record is None:
        raise LLMCacheError(f"entry {key.hex()} has just been deleted", "See %llm_cache list")
    from .. import answer as entry

    generations = entry.decode(record.answer)
    usage = entry.usage_of(generations)
    versions = entry.recorded_versions(record.answer)
    fields = _fields(record.request)
    rows = [
        ("key", record.key.hex()),
        ("model", model_of(record.request)),
        *((name, _shown(value)) for name, value in fields if name not in ("provider", "model")),
        *_provenance(store, record, versions, usage),
    ]
    sections = [*_messages(record.prompt), *_answers(generations)]
    return Report(
        f"entry {record.key.hex()[:8]}", rows, sections, _data(record, generations, usage, versions)
    )


def _fields(request: str) -> list[tuple[str, Any]]:
    """Return the model and its parameters as names and values."""
    fields = _parsed(request)
    if not isinstance(fields, dict):
        return [("request", request)]
    parameters = fields.pop("parameters", None) or {}
    return [
        (name, value) for name, value in [*fields.items(), *parameters.items()] if value is not None
    ]


def _provenance(
    store: Store, record: Entry, versions: Mapping[str, str], usage: Mapping[str, Any] | None
) -> Iterator[tuple[str, str]]:
    yield "recorded", format_moment(record.created_at)
    yield "by", ", ".join(f"{name} {version}" for name, version in versions.items())
    yield "provider took", "" if record.provider_s is None else format_seconds(record.provider_s)
    counts = token_counts(usage)
    if counts:
        price = pricing.format_usd(pricing.price_usd(_Cost(model_of(record.request), usage)))
        yield "tokens", SEPARATOR.join(filter(None, (f"{counts[0]:,} + {counts[1]:,}", price)))
    saved_s = record.hits * (record.provider_s or 0.0)
    yield "hits", f"{format_count(record.hits)}{SEPARATOR}saved {format_seconds(saved_s)}"
    yield "last used", format_moment(record.used_at)
    yield "size", format_bytes(record.size_bytes)
    yield "store", store.location


def _messages(prompt: str) -> Iterator[tuple[str, str]]:
    content = _parsed(prompt)
    if not isinstance(content, list):
        yield "prompt", str(content)
        return
    for place, message in enumerate(content, 1):
        fields = dict(message) if isinstance(message, dict) else {"content": message}
        name = message_name(place, message)
        for told in ("role", "type"):  # the name tells them
            fields.pop(told, None)
        text = _as_text(fields.pop("content", ""))
        yield name, "\n".join(filter(None, (text, _as_text(fields) if fields else "")))


def _as_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return json.dumps(content, ensure_ascii=False, indent=2)


def _answers(generations: list[Generation]) -> Iterator[tuple[str, str]]:
    for place, generation in enumerate(generations, 1):
        name = "answer" if len(generations) == 1 else f"answer {place}"
        message = getattr(generation, "message", None)
        calls = getattr(message, "tool_calls", None)
        yield name, "\n".join(filter(None, (generation.text, _as_text(calls) if calls else "")))


def _data(
    record: Entry,
    generations: list[Generation],
    usage: Mapping[str, Any] | None,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "key": record.key.hex(),
        "model": model_of(record.request),
        "request": _parsed(record.request),
        "prompt": _parsed(record.prompt),
        "answers": [generation.text for generation in generations],
        "recorded_at": record.created_at,
        "provider_s": record.provider_s,
        "versions": dict(versions),
        "usage": None if usage is None else dict(usage),
    }


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
