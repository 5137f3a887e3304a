"""What stands under the triangle of an answer: what was attached, and the steps of an agent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from ..draw.line import Behind
from ..draw.table import SEPARATOR
from ..ledger import Call
from ..text import format_bytes, format_count

#: A larger picture is named and not drawn: the notebook's file would hold it again.
_MAX_DRAWN_BYTES = 200_000


def behind(messages: Sequence[BaseMessage], calls: Sequence[Call], text: str = "") -> Behind:
    """Return what there is to tell of the newest question in ``messages`` and of its answer."""
    asked = max((n for n, m in enumerate(messages) if isinstance(m, HumanMessage)), default=-1)
    blocks = list(_blocks(messages[asked])) if asked >= 0 else []
    rows = [*_steps(messages[asked + 1 :], calls), *(("attached", _name(b)) for b in blocks)]
    pictures = [
        f"data:{block['mime_type']};base64,{block['base64']}"
        for block in blocks
        if block["type"] == "image" and 0 < _size_bytes(block) <= _MAX_DRAWN_BYTES
    ]
    return Behind(rows, pictures, text)


def _steps(messages: Sequence[BaseMessage], calls: Sequence[Call]) -> Iterator[tuple[str, str]]:
    tools = [c["name"] for m in messages if isinstance(m, AIMessage) for c in m.tool_calls]
    if tools:
        names = ", ".join(dict.fromkeys(tools))
        asked = format_count(len(calls), "LLM call")
        yield "steps", f"{asked}{SEPARATOR}{format_count(len(tools), 'tool call')}: {names}"


def _blocks(message: BaseMessage) -> Iterator[Mapping[str, Any]]:
    """Yield what --attach put beside the text; a text among it needs no telling."""
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, dict) and block.get("type") in ("image", "file", "audio"):
            yield block


def _name(block: Mapping[str, Any]) -> str:
    size_bytes = _size_bytes(block)
    size = format_bytes(size_bytes) if size_bytes else block.get("url")
    return SEPARATOR.join(filter(None, (block.get("mime_type") or block["type"], size)))


def _size_bytes(block: Mapping[str, Any]) -> int:
    """Return the size of a block's own bytes; 0 where it has none."""
    encoded = block.get("base64") or ""
    return len(encoded) * 3 // 4 - encoded[-2:].count("=") if block.get("mime_type") else 0
