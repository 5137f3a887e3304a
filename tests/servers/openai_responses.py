"""The responses API: its whole answer, and the same as events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.servers.openai import CREATED, Exchange, Reply, call_text, pieces, sse

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNFINISHED = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response(exchange: Exchange) -> dict[str, Any]:
    """Return the whole answer."""
    reply = exchange.replies[0]
    unfinished = _UNFINISHED.get(reply.finish)
    return {
        **_head(exchange),
        "status": "incomplete" if unfinished else "completed",
        "incomplete_details": {"reason": unfinished} if unfinished else None,
        "output": _items(exchange, reply),
        "usage": exchange.usage.responses(),
    }


def events(exchange: Exchange) -> Iterator[bytes]:
    """Yield the answer's events, numbered, from ``response.created`` to ``response.completed``."""
    reply = exchange.replies[0]
    started = {**_head(exchange), "status": "in_progress", "output": [], "usage": None}
    number = 0

    def event(kind: str, **data: Any) -> bytes:
        nonlocal number
        number += 1
        return sse({"type": kind, "sequence_number": number - 1, **data}, kind)

    yield event("response.created", response=started)
    yield event("response.in_progress", response=started)
    for index, item in enumerate(_items(exchange, reply)):
        opened = {**item, "status": "in_progress", **_EMPTY[item["type"]]}
        yield event("response.output_item.added", output_index=index, item=opened)
        for kind, data in _parts(item, reply):
            yield event(kind, output_index=index, item_id=item["id"], **data)
        yield event("response.output_item.done", output_index=index, item=item)
    whole = response(exchange)
    yield event(f"response.{whole['status']}", response=whole)


_EMPTY: Mapping[str, dict[str, Any]] = {
    "reasoning": {"summary": []},
    "message": {"content": []},
    "function_call": {"arguments": ""},
}


def _head(exchange: Exchange) -> dict[str, Any]:
    body = exchange.body
    return {
        "id": f"resp_{exchange.number}",
        "object": "response",
        "created_at": CREATED,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": exchange.model,
        "parallel_tool_calls": True,
        "temperature": body.get("temperature"),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools", []),
        "top_p": body.get("top_p"),
        "text": body.get("text", {"format": {"type": "text"}}),
        "reasoning": body.get("reasoning"),
        "max_output_tokens": body.get("max_output_tokens"),
        "service_tier": "default",
        "store": True,
        "truncation": "disabled",
    }


def _items(exchange: Exchange, reply: Reply) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if reply.reasoning:
        parts = reply.reasoning.split("\n\n")
        thoughts: dict[str, Any] = {
            "type": "reasoning",
            "id": f"rs_{exchange.number}",
            "summary": [{"type": "summary_text", "text": part} for part in parts],
        }
        if "reasoning.encrypted_content" in (exchange.body.get("include") or ()):
            thoughts["encrypted_content"] = f"gAAAA{exchange.number}"
        items.append(thoughts)
    if reply.refusal or reply.text or not reply.tool_calls:
        content: dict[str, Any] = {"type": "output_text", "text": reply.text, "annotations": []}
        if reply.refusal:
            content = {"type": "refusal", "refusal": reply.refusal}
        status = "incomplete" if reply.finish in _UNFINISHED else "completed"
        items.append(
            {
                "type": "message",
                "id": f"msg_{exchange.number}",
                "role": "assistant",
                "status": status,
                "content": [content],
            }
        )
    items += [
        {
            "type": "function_call",
            "id": f"fc_{exchange.number}_{i}",
            "call_id": f"call_{exchange.number}_{i}",
            "name": name,
            "arguments": call_text(arguments),
            "status": "completed",
        }
        for i, (name, arguments) in enumerate(reply.tool_calls)
    ]
    return items


def _parts(item: dict[str, Any], reply: Reply) -> Iterator[tuple[str, dict[str, Any]]]:
    if item["type"] == "reasoning":
        yield from _reasoning_parts(item)
    elif item["type"] == "function_call":
        arguments = item["arguments"]
        for start in range(0, len(arguments), 8):
            delta = {"delta": arguments[start : start + 8]}
            yield "response.function_call_arguments.delta", delta
        done = {"name": item["name"], "arguments": arguments}
        yield "response.function_call_arguments.done", done
    else:
        yield from _message_parts(item["content"][0], reply)


def _reasoning_parts(item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, whole in enumerate(item["summary"]):
        at = {"summary_index": number}
        yield "response.reasoning_summary_part.added", {**at, "part": {**whole, "text": ""}}
        for piece in pieces(whole["text"]):
            yield "response.reasoning_summary_text.delta", {**at, "delta": piece}
        yield "response.reasoning_summary_text.done", {**at, "text": whole["text"]}
        yield "response.reasoning_summary_part.done", {**at, "part": whole}


def _message_parts(whole: dict[str, Any], reply: Reply) -> Iterator[tuple[str, dict[str, Any]]]:
    at = {"content_index": 0}
    if whole["type"] == "refusal":
        yield "response.content_part.added", {**at, "part": {**whole, "refusal": ""}}
        for piece in pieces(whole["refusal"]):
            yield "response.refusal.delta", {**at, "delta": piece}
        yield "response.refusal.done", {**at, "refusal": whole["refusal"]}
    else:
        yield "response.content_part.added", {**at, "part": {**whole, "text": ""}}
        for piece in reply.pieces:
            yield "response.output_text.delta", {**at, "delta": piece, "logprobs": []}
        yield "response.output_text.done", {**at, "text": whole["text"], "logprobs": []}
    yield "response.content_part.done", {**at, "part": whole}
