"""A recalled answer as the stream it might have been: chunks that add up to the same message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)

#: A replay comes in about this many pieces, so that code which draws tokens has something to draw.
_PIECES = 16


def chat_chunks(generation: Generation) -> Iterator[ChatGenerationChunk]:
    """Yield ``generation`` (a ChatGeneration) in pieces: text first, then everything else.

    Text comes in pieces; tool calls, blocks, usage and metadata come whole, since only strings
    can be cut anywhere.
    """
    assert isinstance(generation, ChatGeneration)
    message = generation.message
    assert isinstance(message, AIMessage)
    rest: Any = message.content
    if isinstance(message.content, str):
        *pieces, rest = _pieces(message.content)
        for piece in pieces:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content=rest,
            name=message.name,
            additional_kwargs=message.additional_kwargs,
            response_metadata=message.response_metadata,
            tool_call_chunks=_tool_call_chunks(message),
            usage_metadata=message.usage_metadata,
        ),
        generation_info=generation.generation_info,
    )


def text_chunks(generation: Generation) -> Iterator[GenerationChunk]:
    """Yield ``generation`` of a text model in pieces that add up to it."""
    *pieces, rest = _pieces(generation.text)
    for piece in pieces:
        yield GenerationChunk(text=piece)
    yield GenerationChunk(text=rest, generation_info=generation.generation_info)


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
    calls = [(c["name"], json.dumps(c["args"], ensure_ascii=False), c["id"]) for c in message.tool_calls]
    calls += [(c["name"], c["args"], c["id"]) for c in message.invalid_tool_calls]
    return [
        ToolCallChunk(name=name, args=args, id=call_id, index=index, type="tool_call_chunk")
        for index, (name, args, call_id) in enumerate(calls)
    ]
