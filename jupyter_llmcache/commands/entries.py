"""``list`` and ``show``, and which entries a person means: by key, the last, model, text, age."""

from __future__ import annotations

import json
import re
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..draw import Format
from ..draw.table import SEPARATOR, Report, Section, Table
from ..errors import LLMCacheError, StoreError
from ..ledger import Call, Entry, Ledger, price_usd, usage_of
from ..stores.base import KEY_BYTES, SortOrder, Store, sort_value
from ..text import (
    did_you_mean,
    format_bytes,
    format_count,
    format_moment,
    format_seconds,
    format_usd,
    json_or_text,
    one_line,
    parse_count,
    parse_duration_s,
    token_counts,
)
from . import subcommand
from .parser import Argument

if TYPE_CHECKING:
    from langchain_core.outputs import Generation

LAST = "last"
#: The backend of caches that are not ours and tell nothing of their entries.
OTHER = "other"
#: Hexadecimal digits of a key that are shown, more where they name two entries.
KEY_DIGITS = 8
_DIGITS = range(KEY_DIGITS, 2 * KEY_BYTES + 1)
_HEX = re.compile("[0-9a-fA-F]+")
#: Of prompts and answers in a list, so that a line fits a terminal.
_TEXT_CHARS = 40

MODEL = Argument(
    ("-m", "--model"), "only entries of models whose provider:name holds this", "MODEL", "model"
)
GREP = Argument(("-g", "--grep"), "only entries whose prompt holds this text, in any case", "TEXT")
KEY = Argument(
    ("key",),
    "the beginning of an entry's key, or last: the last call's; last without it",
    "KEY",
    "key",
    options={"nargs": "?", "default": LAST},
)


# --- which entries a person means ---


def find_key(store: Store, ledger: Ledger, text: str) -> bytes:
    """Return the key of the entry that ``text`` names: ``last``, or the beginning of its key.

    Raises:
        LLMCacheError: It names none, or more than one.
    """
    is_last = text.lower() == LAST
    prefix = _last_key(store, ledger) if is_last else text
    if not _HEX.fullmatch(prefix) or len(prefix) > 2 * KEY_BYTES:
        raise LLMCacheError(
            f"{one_line(text, 40)!r} is not a key",
            did_you_mean(text, [LAST])
            or "Give the beginning of a key, as %llm_cache list shows it",
        )
    found = store.find(prefix)
    if len(found) > 1:
        some = ", ".join(key.hex()[: len(prefix) + 4] for key in found[:3])
        raise LLMCacheError(f"{prefix} begins more than one key: {some}…", "Give more digits of it")
    if not found:
        what = "the last call's answer is not in this cache" if is_last else ""
        raise LLMCacheError(what or f"no entry's key begins with {prefix}", "See %llm_cache list")
    return found[0]


def _last_key(store: Store, ledger: Ledger) -> str:
    call = ledger.last()
    if call is None:
        newest = list(store.entries(sort="recent", limit=1, texts=False))
        if newest:
            return newest[0].key.hex()
        raise LLMCacheError("there is no last entry", f"{store.location} holds none yet")
    if call.key is None:
        raise LLMCacheError("the last call has no entry", call.reason or "It was not cached")
    return call.key


def read(store: Store, key: bytes) -> Entry:
    """Return the whole entry of ``key``.

    Raises:
        LLMCacheError: It has just gone.
    """
    record = store.read(key)
    if record is None:
        raise LLMCacheError(f"entry {key.hex()} has just been deleted", "See %llm_cache list")
    return record


def select(
    store: Store,
    *,
    model: str | None = None,
    sort: SortOrder = "recent",
    limit: int | None = None,
    **conditions: Any,
) -> list[Entry]:
    """Return the entries that fit every condition, in order.

    Args:
        store: Where to look.
        model: A part of ``provider:name``, without regard to case.
        sort: What stands first.
        limit: How many to return. None: all.
        conditions: ``text_contains``, ``since`` and ``until`` of ``stores.base.Which``.

    Raises:
        LLMCacheError: No entry has such a model; the nearest is named.
    """
    if model is None:
        return list(store.entries(sort=sort, limit=limit, texts=False, **conditions))
    several = [
        entry
        for name in _models_like(store, model)
        for entry in store.entries(
            sort=sort, limit=limit, request_contains=_fragment(name), texts=False, **conditions
        )
    ]
    return sorted(several, key=lambda entry: sort_value(entry, sort), reverse=True)[:limit]


def models_of(store: Store) -> list[str]:
    """Return the models of all entries as ``provider:name``, sorted."""
    return sorted({model_of(request) for request in store.requests()})


def _models_like(store: Store, part: str) -> list[str]:
    known = models_of(store)
    found = [name for name in known if part.casefold() in name.casefold()]
    if not found:
        ways = [*known, *(name.partition(":")[2] for name in known)]
        there = ", ".join(known[:5]) or "none"
        raise LLMCacheError(
            f"no entry is of a model {one_line(part, 40)!r}",
            did_you_mean(part, ways) or f"Models in {store.location}: {one_line(there)}",
        )
    return found


def _fragment(label: str) -> str:
    """Return the part of a request text that names the model of ``label``."""
    provider, _, name = label.partition(":")
    return (
        f'"provider":{json.dumps(provider, ensure_ascii=False)},'
        f'"model":{json.dumps(name, ensure_ascii=False) if name else "null"}'
    )


def model_of(request: str) -> str:
    """Return ``provider:name`` of a request text; ``?`` where it tells none."""
    fields = json_or_text(request)
    if not isinstance(fields, dict) or "provider" not in fields:
        return "?"
    provider, name = fields["provider"], fields.get("model")
    return f"{provider}:{name}" if name else str(provider)


def short_keys(keys: Iterable[bytes]) -> dict[bytes, str]:
    """Return each key as few hexadecimal digits that differ among ``keys``, at least eight."""
    full = [key.hex() for key in keys]
    tell_apart = (n for n in _DIGITS if len({key[:n] for key in full}) == len(set(full)))
    digits = next(tell_apart)
    return {bytes.fromhex(key): key[:digits] for key in full}


def ago(age_s: float | None) -> float | None:
    """Return the Unix time ``age_s`` seconds ago."""
    return None if age_s is None else time.time() - age_s


# --- list ---

_SORTS: Mapping[str, str] = {
    "recent": "the most recent first",
    "used": "the last used first",
    "size": "the largest first",
    "saved": "the most saving first",
}


@subcommand(
    "list",
    "what is kept: prompt, answer, model, date, size, hits, saved time",
    MODEL,
    GREP,
    Argument(
        ("--since",),
        "only entries recorded in this last while, as 7d or 12h",
        "AGE",
        options={"type": parse_duration_s},
    ),
    Argument(
        ("--sort",),
        "what stands first; recent without it",
        choices=tuple(_SORTS),
        options={"default": "recent"},
    ),
    Argument(
        ("-n", "--number"),
        "how many to list; 20 without it",
        "N",
        options={"type": parse_count, "default": 20},
    ),
)
def list_entries(store: Store, _: Ledger, args: Namespace) -> Table:
    """Return the entries as a table."""
    found = select(
        store,
        model=args.model,
        text_contains=args.grep,
        since=ago(args.since),
        sort=args.sort,
        limit=args.number,
    )
    keys = short_keys(entry.key for entry in found)
    answers = {each.key: _answer_text(each) for each in store.entries(keys=list(keys))}
    rows = [
        (
            keys[entry.key],
            one_line(entry.title, _TEXT_CHARS),
            one_line(answers.get(entry.key, ""), _TEXT_CHARS),
            model_of(entry.request),
            entry.created_at,
            entry.size_bytes,
            entry.hits,
            entry.hits * (entry.provider_s or 0.0) or None,
        )
        for entry in found
    ]
    columns = ("key", "prompt", "answer", "model", "recorded_at", "size_bytes", "hits", "saved_s")
    whole = f"{len(found):,} of {format_count(store.count(), 'entry')} in {store.location}"
    return Table(columns, rows, f"{whole}, {_SORTS[args.sort]}")


def _answer_text(record: Entry) -> str:
    from ..answer import decode

    try:
        generations = decode(record.answer)
    except StoreError:
        return ""
    return generations[0].text if generations else ""


# --- show ---


@subcommand("show", "one entry: question and answer, when and by what it was recorded", KEY)
def show(store: Store, ledger: Ledger, args: Namespace) -> Report:
    """Return the whole entry of a key."""
    from .. import answer

    record = read(store, find_key(store, ledger, args.key))
    generations = answer.decode(record.answer)
    usage, model = usage_of(generations), model_of(record.request)
    versions = answer.recorded_versions(record.answer)
    request = json_or_text(record.request)
    counts = token_counts(usage)
    tokens = [f"{counts[0]:,} + {counts[1]:,}"] if counts else []
    price = format_usd(price_usd(Call(None, "hit", model, None, 0, usage=usage)))
    saved_s = record.hits * (record.provider_s or 0.0)
    rows = [
        ("model", model),
        *_parameters(request),
        ("recorded", format_moment(record.created_at)),
        ("by", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("took", "" if record.provider_s is None else format_seconds(record.provider_s)),
        ("tokens", SEPARATOR.join(filter(None, [*tokens, price]))),
        ("hits", f"{format_count(record.hits)}{SEPARATOR}saved {format_seconds(saved_s)}"),
        ("last used", format_moment(record.used_at)),
        ("size", format_bytes(record.size_bytes)),
        ("in", store.location),
        ("key", record.key.hex()),
    ]
    data = {
        "key": record.key.hex(),
        "model": model,
        "request": request,
        "prompt": json_or_text(record.prompt),
        "answers": [generation.text for generation in generations],
        "recorded_at": record.created_at,
        "provider_s": record.provider_s,
        "versions": dict(versions),
        "usage": None if usage is None else dict(usage),
    }
    sections: list[Section] = [*_messages(record.prompt), *_answers(generations)]
    key, when = record.key.hex()[:KEY_DIGITS], format_moment(record.created_at)
    title = f"entry {key}{SEPARATOR}{model}{SEPARATOR}recorded {when}"
    return Report(title, (), sections, data, details=rows)


def _parameters(request: Any) -> Iterator[tuple[str, str]]:
    """Yield what the model was asked with, as names and values."""
    from ..request.canonical import TAG

    if not isinstance(request, dict):
        return
    told = {**request, **(request.get("parameters") or {})}
    for name, value in told.items():
        if value is None or name in ("provider", "model", "parameters", "schema"):
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if TAG not in text:  # what stands for a value that is not shown tells a person nothing
            yield name, text


def _messages(prompt: str) -> Iterator[tuple[str, str]]:
    from ..request.compare import message_name

    content = json_or_text(prompt)
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
    if isinstance(content, list) and all(isinstance(block, dict) for block in content):
        return "\n".join(map(_as_text, content))
    if isinstance(content, dict) and content.get("type") == "text":
        return str(content.get("text", ""))
    if isinstance(content, dict) and "mime_type" in content:
        return f"[{content.get('type', 'file')}: {content['mime_type']}]"
    return json.dumps(content, ensure_ascii=False, indent=2)


def _answers(generations: list[Generation]) -> Iterator[tuple[str, str, Format]]:
    for place, generation in enumerate(generations, 1):
        name = "answer" if len(generations) == 1 else f"answer {place}"
        message = getattr(generation, "message", None)
        calls = getattr(message, "tool_calls", None)
        text = "\n\n".join(filter(None, (generation.text, _as_text(calls) if calls else "")))
        yield name, text, "markdown"
