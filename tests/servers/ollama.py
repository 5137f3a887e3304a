"""A stand-in for Ollama: /api/chat and /api/generate, whole or as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tests.servers.base import Failure, RecordingServer, Seen
from tests.servers.openai import Reply, pieces

CREATED_AT = "2026-01-01T00:00:00.000000Z"


def unknown_model(name: str = "nothing") -> Failure:
    return Failure(404, {"error": f'model "{name}" not found, try pulling it first'})


class OllamaServer(RecordingServer):
    """Ollama's protocol under ``url``; ``reply`` as for the OpenAI server, with one choice."""

    stream_type = "application/x-ndjson"

    def __init__(
        self, reply: Callable[[dict[str, Any]], str | Reply | Failure] | None = None
    ) -> None:
        super().__init__()
        self.reply = reply or self.default_reply
        self.answered = 0

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return self.root

    def default_reply(self, body: Mapping[str, Any]) -> str:
        said = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
        return f"answer {self.answered}: {said}"

    def answer(self, seen: Seen) -> Failure | dict[str, Any] | Iterable[bytes]:
        body = seen.body
        path = seen.path.removeprefix("/other")
        if path not in ("/api/chat", "/api/generate"):
            return Failure(404, {"error": f"no {seen.path}"})
        with self._lock:
            self.answered += 1
        said = self.reply(body)
        if isinstance(said, Failure):
            return said
        reply = Reply(said) if isinstance(said, str) else said
        lines = list(_lines(body, reply, chat=path == "/api/chat"))
        if body.get("stream", True):
            return [json.dumps(line).encode() + b"\n" for line in lines]
        return _joined(lines)


def _lines(body: Mapping[str, Any], reply: Reply, *, chat: bool) -> Iterator[dict[str, Any]]:
    head = {"model": body["model"], "created_at": CREATED_AT}

    def line(text: str, *, done: bool = False, **more: Any) -> dict[str, Any]:
        if not chat:
            return {**head, "response": text, "done": done, **more}
        message = {"role": "assistant", "content": text, **more.pop("message", {})}
        return {**head, "message": message, "done": done, **more}

    for piece in pieces(reply.reasoning or ""):
        yield line("", message={"thinking": piece})
    for piece in reply.pieces:
        yield line(piece)
    if reply.tool_calls:
        calls = [{"function": {"name": n, "arguments": dict(a)}} for n, a in reply.tool_calls]
        yield line("", message={"tool_calls": calls})
    yield line(
        "",
        done=True,
        done_reason="stop" if reply.finish == "tool_calls" else reply.finish,
        total_duration=1_000_000,
        load_duration=1_000,
        prompt_eval_count=5,
        prompt_eval_duration=1_000,
        eval_count=len(reply.pieces) or 1,
        eval_duration=1_000,
    )


def _joined(lines: list[dict[str, Any]]) -> dict[str, Any]:
    whole = dict(lines[-1])
    if "response" in whole:
        return {**whole, "response": "".join(line["response"] for line in lines)}
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    for line in lines:
        part = line["message"]
        message["content"] += part["content"]
        message["thinking"] = message.get("thinking", "") + part.get("thinking", "")
        message.setdefault("tool_calls", []).extend(part.get("tool_calls", []))
    return {**whole, "message": {k: v for k, v in message.items() if v or k == "content"}}
