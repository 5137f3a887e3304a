"""A stand-in for Anthropic's messages API: whole, or as server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.servers.base import Failure, RecordingServer, Seen
from tests.servers.openai import last_text, pieces, sse


class AnthropicServer(RecordingServer):
    """Anthropic's protocol under ``url``; the n-th request is answered ``answer n: <the text>``."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = 0

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return self.root

    def answer(self, seen: Seen) -> Failure | dict[str, Any] | Iterable[bytes]:
        if seen.path.partition("?")[0].removeprefix("/other") != "/v1/messages":
            error = {"type": "not_found_error", "message": f"no {seen.path}"}
            return Failure(404, {"type": "error", "error": error})
        with self._lock:
            self.answered += 1
            number = self.answered
        text = f"answer {number}: {last_text(seen.body)}"
        message = _message(number, seen.body, text)
        return _events(message, text) if seen.body.get("stream") else message


def _message(number: int, body: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": len(pieces(text))},
    }


def _events(message: Mapping[str, Any], text: str) -> Iterator[bytes]:
    def event(kind: str, **data: Any) -> bytes:
        return sse({"type": kind, **data}, kind)

    usage = {**message["usage"], "output_tokens": 1}
    yield event("message_start", message={**message, "content": [], "usage": usage})
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for piece in pieces(text):
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    yield event("content_block_stop", index=0)
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=ended, usage=message["usage"])
    yield event("message_stop")
