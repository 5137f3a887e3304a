"""Messages as the provider sees them: no ids, no usage, no metadata, nothing empty.

An earlier answer of the model may come from the provider, from a stream or from a cache; the three
must look alike here, or a conversation that is run again would miss on its second turn.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from ..ledger import LEDGER
from .canonical import TAG, Canon, IndescribableError, dump, dump_text
from .hidden import scrubbed

#: Longer strings, in characters, enter the key as a digest, which is faster than escaping them.
LONG_CHARS = 1000

#: Digests of texts up to this many characters are remembered.
_REMEMBERED_CHARS = 250_000

#: How many digests are remembered.
_MAX_REMEMBERED = 64

_remembered: dict[tuple[int, str, str], tuple[str, str]] = {}

#: Fields of messages that a provider is never sent, or that are read one by one here.
_UNSENT_FIELDS = frozenset(
    {
        "additional_kwargs",
        "artifact",
        "chunk_position",
        "content",
        "example",
        "id",
        "invalid_tool_calls",
        "response_metadata",
        "status",
        "tool_call_chunks",
        "tool_calls",
        "type",
        "usage_metadata",
    }
)

#: What integrations leave in ``additional_kwargs`` for the caller and do not send back.
_UNSENT_EXTRAS = frozenset({"parsed", "stop_reason", "usage"})

#: What a stream leaves in the blocks of an answer: how its pieces were put together.
_STREAM_TRACES = frozenset({"index", "sub_index", "partial_json"})

#: Content blocks that say again what ``tool_calls`` says.
_CALL_BLOCKS = frozenset({"tool_use", "tool_call", "tool_call_chunk", "function_call"})

#: Where such a block holds the call's arguments, as an object or as JSON text.
_ARGUMENTS = ("input", "args", "arguments", "partial_json")

#: What it may hold and still say nothing more.
_CALL_FIELDS = frozenset({"call_id", "id", "name", "status", "type", *_ARGUMENTS, *_STREAM_TRACES})

#: What tells the provider from where to keep what it read, in a block or as one.
_CACHE_MARKS = frozenset({"cache_control", "cachePoint", "cache_point", "prompt_cache_breakpoint"})

#: LangChain's number of a run, which it gives to answers and which may stand in printed ones.
_RUN_ID = re.compile(r"\b(?:lc_)?run-{1,2}[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:-\d+){0,2}")

#: The number that it gives to a block that has none.
_BLOCK_ID = re.compile(r"lc_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: Classes without further fields that a provider is sent.
_PLAIN_CLASSES = frozenset({AIMessage, HumanMessage, SystemMessage})

_canon = Canon()


def describe_messages(
    messages: Sequence[BaseMessage],
    unsent: frozenset[str] = frozenset(),
    server_ids: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Return plain JSON values that two sequences share exactly when a provider sees the same.

    Args:
        messages: What is asked.
        unsent: What of messages the provider is not sent, by type and field.
        server_ids: Entries of an answer's metadata by which the provider goes on from what it
            holds.

    Raises:
        IndescribableError: A message holds something that has no canonical form.
    """
    return [_describe(message, unsent, server_ids) for message in messages]


def _describe(
    message: BaseMessage, unsent: frozenset[str], server_ids: Sequence[str]
) -> dict[str, Any]:
    fields = message.__dict__
    if server_ids and isinstance(message, AIMessage):
        held = {name: message.response_metadata.get(name) for name in server_ids}
        rest = _describe(message, unsent, ())
        return {**rest, "server": _canon.plain(held)} if any(held.values()) else rest
    if type(message) in _PLAIN_CLASSES and not message.__pydantic_extra__ and _is_plain(fields):
        return {"content": fields["content"], "type": fields["type"]}
    is_answer = isinstance(message, AIMessage)
    calls = _tool_calls(fields) if is_answer else []
    kind = message.type.removesuffix("MessageChunk").lower()
    described = {
        "type": kind,
        "content": _content(message.content, calls if is_answer else None),
        "tool_calls": calls,
        "is_error": (fields.get("status") == "error" and f"{kind}.status" not in unsent) or None,
        "extras": _extras(message.additional_kwargs, bool(calls)),
        "version": _version(message),
    }
    for name, value in (fields | (message.__pydantic_extra__ or {})).items():
        if value is None or name in _UNSENT_FIELDS or f"{kind}.{name}" in unsent:
            continue
        if name not in described:
            described[name] = _canon.plain(value)
    return {name: value for name, value in sorted(described.items()) if not _is_empty(value)}


def _is_plain(fields: Mapping[str, Any]) -> bool:
    """Whether a message is nothing but its text. Most are, and to see this is quick."""
    return not (
        type(fields["content"]) is not str
        or not fields["content"]
        or fields.get("name")
        or fields.get("additional_kwargs")
        or fields.get("tool_calls")
        or fields.get("invalid_tool_calls")
    )


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _tool_calls(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    calls = [*(fields.get("tool_calls") or ()), *(fields.get("invalid_tool_calls") or ())]
    return [
        {name: _canon.plain(call.get(name)) for name in ("args", "id", "name")} for call in calls
    ]


def _extras(extras: Mapping[str, Any], has_calls: bool) -> Any:
    if not extras:
        return None
    kept = {
        name: value
        for name, value in extras.items()
        if not _is_empty(value)
        and name not in _UNSENT_EXTRAS
        and not (has_calls and name == "tool_calls")
    }
    return _canon.plain(kept)


def _version(message: BaseMessage) -> list[Any] | None:
    """Return whose blocks an answer holds, where it is written in LangChain's own form."""
    told = message.response_metadata
    form = told.get("output_version") if isinstance(message.content, list) else None
    return [_canon.plain(form), _canon.plain(told.get("model_provider"))] if form else None


def _content(content: Any, calls: list[dict[str, Any]] | None) -> Any:
    """Return ``content``; ``calls`` is None but for an answer of the model."""
    if isinstance(content, str):
        return content
    blocks = [_block(block, calls) for block in content if not _is_cache_mark(block)]
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} and blocks[0]["type"] == "text":
        return blocks[0]["text"]
    return blocks


def _is_cache_mark(block: Any) -> bool:
    """Whether a block only tells the provider from where to keep what it read."""
    return isinstance(block, Mapping) and block.keys() <= _CACHE_MARKS


def _block(block: Any, calls: list[dict[str, Any]] | None) -> dict[str, Any]:
    if isinstance(block, str):
        return {"text": block, "type": "text"}
    if not isinstance(block, Mapping):
        raise IndescribableError(f"a content block of class {type(block).__name__}")
    kind = block.get("type")
    fields = {
        name: value
        for name, value in block.items()
        if not _is_empty(value) and name not in _CACHE_MARKS
    }
    if _BLOCK_ID.fullmatch(str(fields.get("id"))):
        del fields["id"]
    if calls is not None:
        if kind in _CALL_BLOCKS and _says_again(fields, calls):
            fields = {n: value for n, value in fields.items() if n not in ("name", *_ARGUMENTS)}
        fields = _without_traces(fields)
        if kind == "reasoning" and isinstance(fields.get("summary"), list):
            fields["summary"] = [_without_traces(part) for part in fields["summary"]]
    if kind == "text":
        fields.setdefault("text", "")
        return dict(_canon.from_dict(fields))
    return dict(_shorten_blobs(_canon.from_dict(fields)))


def _says_again(block: Mapping[str, Any], calls: list[dict[str, Any]]) -> bool:
    """Whether a block of a call says what ``tool_calls`` says, and nothing more."""
    call_id = block.get("call_id") or block.get("id")
    call = next((call for call in calls if call["id"] == call_id), None)
    if call is None or not block.keys() <= _CALL_FIELDS:
        return False
    said = [_arguments(block[name]) for name in _ARGUMENTS if name in block]
    return block.get("name", call["name"]) == call["name"] and all(
        args == _arguments(call["args"]) for args in said
    )


def _arguments(said: Any) -> Any:
    """Return a call's arguments, which some blocks hold as JSON text, in canonical form."""
    if isinstance(said, str):
        try:
            said = json.loads(said or "{}")
        except ValueError:
            return said
    return _canon.plain(said)


def _without_traces(block: Any) -> Any:
    if not isinstance(block, Mapping):
        return block
    return {name: value for name, value in block.items() if name not in _STREAM_TRACES}


def _shorten_blobs(value: Any) -> Any:
    """Replace the data of images, sounds and files, and secrets in addresses, by digests."""
    if isinstance(value, dict):
        return {name: _shorten_blobs(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shorten_blobs(item) for item in value]
    if isinstance(value, str):
        if len(value) > LONG_CHARS and _is_data(value):
            return {TAG + "data": long_digest(value)}
        return scrubbed(value) if "://" in value and " " not in value else value
    return value


def _is_data(text: str) -> bool:
    return text.isascii() and " " not in text


def keyed_text(content: Any) -> str:
    """Return what enters the key for messages or a text: JSON with long strings as digests."""
    if type(content) is list:
        return f"[{','.join(map(_keyed_message, content))}]"
    return dump(_keyed(content))


def _keyed_message(message: Mapping[str, Any]) -> str:
    content, kind = message.get("content"), message.get("type")
    if len(message) == 2 and type(content) is type(kind) is str and len(content) <= LONG_CHARS:
        # The same as below; most messages are of this form.
        return f'{{"content":{dump_text(_without_run_ids(content))},"type":{dump_text(kind)}}}'
    return dump(_keyed(message))


def _keyed(value: Any) -> Any:
    if isinstance(value, str):
        text = _without_run_ids(value)
        return {TAG + "text": long_digest(text)} if len(text) > LONG_CHARS else text
    if isinstance(value, list):
        return [_keyed(item) for item in value]
    if isinstance(value, dict):
        return {name: _keyed(item) for name, item in value.items()}
    return value


def _without_run_ids(text: str) -> str:
    text = _RUN_ID.sub("run-", text) if "run-" in text else text
    return LEDGER.with_recorded_ids(text)


def long_digest(text: str) -> str:
    """Return the hexadecimal digits that stand for a long text."""
    if len(text) > _REMEMBERED_CHARS:
        return _digest(text)
    # The turns of a chat repeat the same long texts. To compare two texts is far quicker than to
    # hash one, so that a text is found by its length and ends and then compared.
    place = (len(text), text[:32], text[-32:])
    known = _remembered.get(place)
    if known is not None and known[0] == text:
        return known[1]
    if len(_remembered) >= _MAX_REMEMBERED:
        _remembered.clear()
    found = _digest(text)
    _remembered[place] = (text, found)
    return found


def _digest(text: str) -> str:
    """SHA-256 is quickest, for processors compute it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def title_of(content: Any, max_chars: int = 120) -> str:
    """Return the beginning of the last human message, or of the text, on one line."""
    if isinstance(content, list):
        humans = [item for item in content if item.get("type") == "human"] or content[-1:]
        content = humans[-1].get("content", "") if humans else ""
    if isinstance(content, list):
        content = " ".join(_block_title(block) for block in content)
    line = " ".join(str(content)[: max_chars * 8].split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def _block_title(block: Mapping[str, Any]) -> str:
    return str(block["text"]) if "text" in block else f"[{block.get('type', 'block')}]"
