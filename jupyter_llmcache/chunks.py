"""A recalled answer as the stream it might have been: chunks that add up to the same message."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
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
#: What a structured answer was read into; there is none before the answer's end.
_PARSED = "parsed"
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

    Text comes in pieces. Everything else comes whole, since only strings can be cut anywhere: what
    was said beside the text (as reasoning) with the first piece, what is known in the end (tool
    calls, usage, metadata) with the last.
    """
    message = cast("AIMessage", generation.message)
    contents: list[Any] = [message.content]
    if isinstance(message.content, str):
        contents = _pieces(message.content)
    metadata = message.response_metadata
    provider = {_PROVIDER: metadata[_PROVIDER]} if _PROVIDER in metadata else {}
    chunks = [
        AIMessageChunk(content=piece, response_metadata=provider.copy()) for piece in contents
    ]
    first, last = chunks[0], chunks[-1]
    beside = message.additional_kwargs
    first.name = message.name
    first.additional_kwargs = {k: v for k, v in beside.items() if k != _PARSED}
    if _PARSED in beside:
        last.additional_kwargs[_PARSED] = beside[_PARSED]
    end = AIMessageChunk(
        content=last.content,
        name=last.name,
        additional_kwargs=last.additional_kwargs,
        response_metadata=metadata,
        tool_call_chunks=_tool_call_chunks(message),
        usage_metadata=message.usage_metadata,
    )
    for chunk in chunks[:-1]:
        yield ChatGenerationChunk(message=chunk)
    yield ChatGenerationChunk(message=end, generation_info=generation.generation_info)


def text_chunks(generation: Generation) -> Iterator[GenerationChunk]:
    """Yield ``generation`` of a text model in pieces that add up to it."""
    *pieces, rest = _pieces(generation.text)
    for piece in pieces:
        yield GenerationChunk(text=piece)
    yield GenerationChunk(text=rest, generation_info=generation.generation_info)


def snapshot(chunk: Chunk) -> Chunk:
    """Copy a chunk on its way out: LangChain and the caller may change the one they get."""
    kept = chunk.model_copy()
    if kept.generation_info:
        kept.generation_info = copy.deepcopy(kept.generation_info)
    if isinstance(kept, ChatGenerationChunk):
        message = kept.message.model_copy()
        fields = message.__dict__
        for name in _CONTAINERS:
            value = fields.get(name)
            if value and not isinstance(value, str):
                fields[name] = copy.deepcopy(value)
        kept.message = message
    return kept


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
