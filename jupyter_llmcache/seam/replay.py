"""A recalled answer as the stream it might have been: chunks that add up to the same message."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)

Chunk = TypeVar("Chunk", ChatGenerationChunk, GenerationChunk)

#: A replay comes in about this many pieces, so that code which draws tokens has something to draw.
_PIECES = 16
#: Tells LangChain how to read the content, so that every piece needs it.
_PROVIDER = "model_provider"
#: Begins the names in ``additional_kwargs`` under which a model thinks before it speaks.
_REASONING = "reasoning"
#: The parts of a message that are lists or dicts.
_CONTAINERS = (
    "content",
    "additional_kwargs",
    "response_metadata",
    "tool_calls",
    "invalid_tool_calls",
    "tool_call_chunks",
    "usage_metadata",
)


def chat_chunks(generation: ChatGeneration) -> Iterator[ChatGenerationChunk]:
    """Yield ``generation``, which holds an AIMessage, in pieces.

    Text comes in pieces, and blocks one by one. The rest comes whole: reasoning beside the text
    with the first piece, what is known in the end (usage, metadata) with the last.
    """
    message = cast("AIMessage", generation.message)
    metadata = message.response_metadata
    provider = {_PROVIDER: metadata[_PROVIDER]} if _PROVIDER in metadata else {}
    beside = message.additional_kwargs
    early = {name: value for name, value in beside.items() if name.startswith(_REASONING)}
    late = {name: value for name, value in beside.items() if name not in early}
    *parts, end = _parts(message)
    for content, calls in parts:
        chunk = AIMessageChunk(
            content=content,
            name=message.name,
            additional_kwargs=early,
            response_metadata=provider.copy(),
            tool_call_chunks=calls,
        )
        yield ChatGenerationChunk(message=chunk)
        early = {}
    content, calls = end
    chunk = AIMessageChunk(
        content=content,
        name=message.name,
        additional_kwargs={**early, **late},
        response_metadata=metadata,
        tool_call_chunks=calls,
        usage_metadata=message.usage_metadata,
    )
    yield ChatGenerationChunk(message=chunk, generation_info=generation.generation_info)


def text_chunks(generation: Generation) -> Iterator[GenerationChunk]:
    """Yield ``generation`` of a text model in pieces that add up to it."""
    *pieces, rest = _pieces(generation.text)
    for piece in pieces:
        yield GenerationChunk(text=piece)
    yield GenerationChunk(text=rest, generation_info=generation.generation_info)


def keep(chunk: Chunk) -> Callable[[], Chunk]:
    """Return what makes the chunk again as it is now; LangChain and the caller may change it.

    Taking a chunk apart is much faster than copying it, and it is on its way to the caller.
    """
    info = copy.deepcopy(chunk.generation_info) if chunk.generation_info else None
    if isinstance(chunk, GenerationChunk):
        return functools.partial(type(chunk), text=chunk.text, generation_info=info)
    message = chunk.message
    fields = {**message.__dict__, **(message.model_extra or {})}
    for name in _CONTAINERS:
        value = fields.get(name)
        if value and not isinstance(value, str):
            fields[name] = copy.deepcopy(value)
    return lambda: type(chunk)(
        message=type(message).model_construct(**fields), generation_info=info
    )


def _pieces(text: str) -> list[str]:
    """Cut ``text`` behind spaces into at most about ``_PIECES`` pieces, at least one."""
    size = max(1, len(text) // _PIECES)
    pieces: list[str] = []
    start = 0
    while start < len(text):
        end = text.find(" ", start + size)
        end = len(text) if end < 0 else end + 1
        pieces.append(text[start:end])
        start = end
    return pieces or [""]


def _parts(message: AIMessage) -> list[tuple[Any, list[ToolCallChunk]]]:
    """Return the content in pieces, each with the tool calls that belong to it."""
    content, calls = message.content, _tool_call_chunks(message)
    parts: list[tuple[Any, list[ToolCallChunk]]] = []
    if isinstance(content, str):
        parts += [(piece, []) for piece in _pieces(content)]
    for block in _numbered(content) if isinstance(content, list) else []:
        parts += [([piece], []) for piece in _block_pieces(block)]
        own = [call for call in calls if isinstance(block, dict) and call["id"] in _ids(block)]
        for call in own:
            # A stream numbers a call as the block that it stands in.
            parts[-1][1].append(cast("ToolCallChunk", {**call, "index": block["index"]}))
            calls.remove(call)
    if calls:
        # A stream tells them apart from the text, and what reads it may need that.
        parts.append(("" if isinstance(content, str) else [], calls))
    return parts[1:] if content == "" and calls else parts or [(content, [])]


def _numbered(blocks: list[Any]) -> list[Any]:
    """Number blocks as a stream does, if they are not; pieces of equal number are added up."""
    if all(isinstance(block, dict) and "index" in block for block in blocks):
        return blocks
    return [
        {**block, "index": number} if isinstance(block, dict) else block
        for number, block in enumerate(blocks)
    ]


def _block_pieces(block: Any) -> list[Any]:
    """Cut a numbered block into pieces of the same number, where its kind can be cut."""
    if not isinstance(block, dict):
        return [block]
    head = {"type": block.get("type"), "index": block["index"]}
    match block:
        case {"type": "text", "text": str(text)}:
            *pieces, rest = _pieces(text)
            return [*({**head, "text": piece} for piece in pieces), {**block, "text": rest}]
        case {"type": "reasoning", "summary": [_, *_] as summary}:
            return [{**block, "summary": []}, {**head, "summary": summary}]
        case _:
            return [block]


def _ids(block: dict[str, Any]) -> tuple[Any, Any]:
    return block.get("call_id"), block.get("id")


def _tool_call_chunks(message: AIMessage) -> list[ToolCallChunk]:
    calls: list[tuple[str | None, str | None, str | None]] = [
        (call["name"], json.dumps(call["args"], ensure_ascii=False), call["id"])
        for call in message.tool_calls
    ]
    calls += [(call["name"], call["args"], call["id"]) for call in message.invalid_tool_calls]
    return [
        ToolCallChunk(name=name, args=args, id=call_id, index=index, type="tool_call_chunk")
        for index, (name, args, call_id) in enumerate(calls)
    ]
