"""Messages as the provider sees them: no ids, no usage, no metadata, nothing empty.

An earlier answer of the model may come from the provider, from a stream or from a cache; the three
must look alike here, or a conversation that is run again would miss on its second turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from ..provider_row import names
from .canonical import LONG_CHARS, TAG, Canon, IndescribableError, long_digest, scrubbed

#: Fields of messages that a provider is never sent, or that are read one by one here.
_UNSENT_FIELDS = names(
    "additional_kwargs artifact chunk_position content example id invalid_tool_calls "
    "response_metadata status tool_call_chunks tool_calls type usage_metadata"
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

#: Where a block or a tool holds further blocks, or what it says.
_HOLDING = frozenset({"content", "function", "source"})

#: LangChain's number of a block that has none.
_BLOCK_ID = r"lc_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

_canon = Canon()


def describe_message(
    message: BaseMessage,
    unsent: frozenset[str] = frozenset(),
    server_ids: Sequence[str] = (),
    *,
    marks_blocks: bool = False,
) -> dict[str, Any]:
    """Return plain JSON values that two messages share exactly when a provider sees the same.

    Args:
        message: One of those that are asked.
        unsent: What of messages the provider is not sent, by type and field.
        server_ids: Entries of an answer's metadata by which the provider goes on from what it
            holds.
        marks_blocks: Whether a text alone in a block is another one than the text.

    Raises:
        IndescribableError: It holds something that has no canonical form.
    """
    fields = message.__dict__
    if server_ids and isinstance(message, AIMessage):
        held = {name: message.response_metadata.get(name) for name in server_ids}
        rest = describe_message(message, unsent, marks_blocks=marks_blocks)
        return {**rest, "server": _canon.plain(held)} if any(held.values()) else rest
    is_answer = isinstance(message, AIMessage)
    calls = _tool_calls(fields) if is_answer else []
    said = calls if is_answer else None
    content = _content(message.content, said, marks_blocks=marks_blocks)
    kind = message.type.removesuffix("MessageChunk").lower()
    described = {
        "type": kind,
        "content": content,
        "tool_calls": calls,
        "is_error": (fields.get("status") == "error" and f"{kind}.status" not in unsent) or None,
        "extras": _extras(message.additional_kwargs, bool(calls)),
        "version": _version(message, content),
    }
    for name, value in (fields | (message.__pydantic_extra__ or {})).items():
        if value is None or name in _UNSENT_FIELDS or f"{kind}.{name}" in unsent:
            continue
        if name not in described:
            described[name] = _canon.plain(value)
    return {name: value for name, value in sorted(described.items()) if not _is_empty(value)}


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


def _version(message: BaseMessage, content: Any) -> list[Any] | None:
    """Return whose blocks an answer holds, where it is written in LangChain's own form."""
    told = message.response_metadata
    form = told.get("output_version")
    if (
        not form
        or isinstance(content, str)
        or not any({*block} - {"id", "text", "type"} for block in content)
    ):
        return None  # mere text is the same in each form
    return [_canon.plain(form), _canon.plain(told.get("model_provider"))]


def _content(content: Any, calls: list[dict[str, Any]] | None, *, marks_blocks: bool) -> Any:
    """Return ``content``; ``calls`` is None but for an answer of the model."""
    if isinstance(content, str):
        return content
    blocks = [_block(block, calls) for block in without_marks(content)]
    again = [{"id": call["id"], "type": "tool_call"} for call in calls or ()]
    if again and blocks[-len(again) :] == again:  # in LangChain's own form; they say nothing more
        del blocks[-len(again) :]
    is_text = len(blocks) == 1 and blocks[0].keys() == {"type", "text"}
    is_text = is_text and blocks[0]["type"] == "text" and not marks_blocks
    return blocks[0]["text"] if is_text else blocks or ""


def without_marks(value: Any) -> Any:
    """Return blocks or tools without what tells from where to keep what was read."""
    if isinstance(value, (list, tuple)):
        return [each for each in map(without_marks, value) if each != {}]
    if not isinstance(value, Mapping):
        return value
    return {
        name: without_marks(held) if name in _HOLDING else held
        for name, held in value.items()
        if name not in _CACHE_MARKS
    }


def _block(block: Any, calls: list[dict[str, Any]] | None) -> dict[str, Any]:
    if isinstance(block, str):
        return {"text": block, "type": "text"}
    if not isinstance(block, Mapping):
        raise IndescribableError(f"a content block of class {type(block).__name__}")
    kind = block.get("type")
    fields = {name: value for name, value in block.items() if not _is_empty(value)}
    if re.fullmatch(_BLOCK_ID, str(fields.get("id"))):
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
