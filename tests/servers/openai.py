"""A server that speaks OpenAI's protocol: chat completions, responses, completions, embeddings."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.servers.base import Failure, RecordingServer, Seen

CREATED = 1_700_000_000


@dataclass(frozen=True)
class Reply:
    """What the model says in one choice.

    Attributes:
        text: The answer; None with tool calls alone.
        tool_calls: Name and arguments of each call; a text is sent as it is, JSON or not.
        finish_reason: None derives it: tool_calls or stop.
        refusal, reasoning: Told in the fields that the protocol has for them; an empty line parts
            the thoughts of the responses API.
        logprobs: Send a made-up log probability a token.
        tokens: The answer in the pieces of its stream; None splits after blanks.
    """

    text: str | None = ""
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    finish_reason: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    logprobs: bool = False
    tokens: Sequence[str] | None = None

    @property
    def finish(self) -> str:
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    @property
    def pieces(self) -> list[str]:
        return list(self.tokens) if self.tokens is not None else pieces(self.text or "")


Said = str | Reply | Sequence[str | Reply] | Failure


@dataclass(frozen=True)
class Usage:
    """Tokens in and out; the numbers are counts of words."""

    prompt: int
    completion: int
    reasoning: int = 0

    def chat(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning, "audio_tokens": 0},
        }

    def responses(self) -> dict[str, Any]:
        return {
            "input_tokens": self.prompt,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": self.completion,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.prompt + self.completion,
        }


def pieces(text: str) -> list[str]:
    """Split ``text`` after blanks, so that the pieces add up to it."""
    words = text.split(" ")
    return [word + " " for word in words[:-1]] + ([words[-1]] if words[-1] else [])


def sse(data: Any, event: str | None = None) -> bytes:
    """Return one server-sent event."""
    body = data if isinstance(data, str) else json.dumps(data)
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {body}\n\n".encode()


def instance_of(schema: Mapping[str, Any], defs: Mapping[str, Any] | None = None) -> Any:
    """Return a small value that a JSON schema accepts."""
    defs = defs or schema.get("$defs", {})
    if "$ref" in schema:
        return instance_of(defs[schema["$ref"].rsplit("/", 1)[-1]], defs)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return instance_of(schema["anyOf"][0], defs)
    kind = schema.get("type", "object")
    if kind == "object":
        return {k: instance_of(v, defs) for k, v in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance_of(schema.get("items", {"type": "string"}), defs)]
    return {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}[kind]


def last_text(body: Mapping[str, Any]) -> str:
    """Return the text of the last message that a request of any kind sends."""
    prompt = body.get("prompt")
    if prompt is not None:
        return prompt if isinstance(prompt, str) else prompt[-1]
    messages = body.get("messages", body.get("input", ""))
    if isinstance(messages, str):
        return messages
    content = messages[-1].get("content", messages[-1].get("output", ""))
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [])


def wanted_schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the JSON schema that a request asks the answer to follow."""
    chat = body.get("response_format") or {}
    if chat.get("type") == "json_schema":
        return chat["json_schema"]["schema"]
    responses = (body.get("text") or {}).get("format") or {}
    return responses["schema"] if responses.get("type") == "json_schema" else None


def invalid_key() -> Failure:
    message = (
        "Incorrect API key provided: bad-key. You can find your API key at "
        "https://platform.openai.com/account/api-keys."
    )
    return _failure(401, message, "invalid_request_error", "invalid_api_key")


def unknown_model(name: str = "gpt-unknown") -> Failure:
    message = f"The model `{name}` does not exist or you do not have access to it."
    return _failure(404, message, "invalid_request_error", "model_not_found")


def rate_limited() -> Failure:
    message = "Rate limit reached for gpt-test in organization org-test on requests per min (RPM)."
    return _failure(429, message, "requests", "rate_limit_exceeded")


def server_error() -> Failure:
    message = "The server had an error while processing your request. Sorry about that!"
    return _failure(500, message, "server_error", None)


def _failure(status: int, message: str, kind: str, code: str | None) -> Failure:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Failure(status, {"error": error}, {"retry-after-ms": "1", "x-request-id": "req_test"})


@dataclass
class Exchange:
    """One request with what is answered to it."""

    number: int
    body: Mapping[str, Any]
    replies: list[Reply] = field(default_factory=list)

    @property
    def model(self) -> str:
        return self.body.get("model", "")

    @property
    def usage(self) -> Usage:
        said = sum(len(reply.pieces) or 1 for reply in self.replies)
        reasoning = sum(len(pieces(reply.reasoning or "")) for reply in self.replies)
        return Usage(len(pieces(last_text(self.body))) or 1, said + reasoning, reasoning)


class OpenAIServer(RecordingServer):
    """OpenAI's protocol under ``url``.

    ``reply`` takes a request's body and returns what the model says: a text, a Reply, one of these
    a choice, or a Failure. By default the n-th request is answered ``answer n: <the last text>``,
    or a value of the schema that it asks for, so that a fresh answer differs from an earlier one.
    """

    def __init__(
        self, reply: Callable[[dict[str, Any]], Said] | None = None, port: int = 0
    ) -> None:
        super().__init__(port)
        self.reply = reply or self.default_reply
        self.answered = 0

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"{self.root}/v1"

    def default_reply(self, body: Mapping[str, Any]) -> Said:
        schema = wanted_schema(body)
        if schema is not None:
            return json.dumps(instance_of(schema))
        choices = int(body.get("n") or 1)
        prompts = body["prompt"] if isinstance(body.get("prompt"), list) else [last_text(body)]
        texts = [f"answer {self.answered}: {text}" for text in prompts for _ in range(choices)]
        return [f"{text} ({i})" for i, text in enumerate(texts)] if len(texts) > 1 else texts[0]

    def answer(self, seen: Seen) -> Failure | dict[str, Any] | Iterable[bytes]:
        body = seen.body
        kind = seen.path.partition("?")[0].partition("/v1/")[2]
        if kind == "embeddings":
            return embeddings(body)
        with self._lock:
            self.answered += 1
            number = self.answered
        said = self.reply(body)
        if isinstance(said, Failure):
            return said
        choices = [said] if isinstance(said, str | Reply) else said
        exchange = Exchange(number, body, [Reply(c) if isinstance(c, str) else c for c in choices])
        return self._dispatch(kind, exchange)

    def _dispatch(self, kind: str, exchange: Exchange) -> Any:
        from tests.servers import openai_responses

        streams = bool(exchange.body.get("stream"))
        if kind == "chat/completions":
            return chat_events(exchange) if streams else chat_completion(exchange)
        if kind == "completions":
            return text_events(exchange) if streams else text_completion(exchange)
        if kind == "responses":
            events, whole = openai_responses.events, openai_responses.response
            return events(exchange) if streams else whole(exchange)
        return _failure(404, f"Invalid URL (POST /v1/{kind})", "invalid_request_error", None)


# --- chat completions ---


def _logprobs(tokens: Sequence[str]) -> dict[str, Any]:
    entries = [
        {"token": t, "bytes": list(t.encode()), "logprob": -0.25, "top_logprobs": []}
        for t in tokens
    ]
    return {"content": entries, "refusal": None}


def call_text(arguments: Any) -> str:
    """Return the arguments of a call as they are sent."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _tool_call(exchange: Exchange, index: int, name: str, arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": call_text(arguments)}
    return {"id": f"call_{exchange.number}_{index}", "type": "function", "function": function}


def _head(exchange: Exchange, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{exchange.number}",
        "object": kind,
        "created": CREATED,
        "model": exchange.model,
        "service_tier": "default",
        "system_fingerprint": "fp_test",
    }


def chat_completion(exchange: Exchange) -> dict[str, Any]:
    choices = []
    for index, reply in enumerate(exchange.replies):
        message: dict[str, Any] = {
            "role": "assistant",
            "content": reply.text if not reply.refusal else None,
            "refusal": reply.refusal,
            "annotations": [],
        }
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
        if reply.tool_calls:
            message["tool_calls"] = [
                _tool_call(exchange, i, *call) for i, call in enumerate(reply.tool_calls)
            ]
        choices.append(
            {
                "index": index,
                "message": message,
                "logprobs": _logprobs(reply.pieces) if reply.logprobs else None,
                "finish_reason": reply.finish,
            }
        )
    return {
        **_head(exchange, "chat.completion"),
        "choices": choices,
        "usage": exchange.usage.chat(),
    }


def chat_events(exchange: Exchange) -> Iterator[bytes]:
    head = _head(exchange, "chat.completion.chunk")

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse({**head, "choices": [{**choice, **more}]})

    for index, reply in enumerate(exchange.replies):
        yield chunk(index, {"role": "assistant", "content": "", "refusal": None})
        for piece in pieces(reply.reasoning or ""):
            yield chunk(index, {"reasoning_content": piece})
        if reply.refusal:
            for piece in pieces(reply.refusal):
                yield chunk(index, {"refusal": piece})
        else:
            for piece in reply.pieces:
                more = {"logprobs": _logprobs([piece])} if reply.logprobs else {}
                yield chunk(index, {"content": piece}, **more)
        for i, call in enumerate(reply.tool_calls):
            whole = _tool_call(exchange, i, *call)
            arguments = whole["function"]["arguments"]
            whole["function"] = {"name": call[0], "arguments": ""}
            yield chunk(index, {"tool_calls": [{"index": i, **whole}]})
            for start in range(0, len(arguments), 8):
                part = {"arguments": arguments[start : start + 8]}
                yield chunk(index, {"tool_calls": [{"index": i, "function": part}]})
        yield chunk(index, {}, finish=reply.finish)
    if (exchange.body.get("stream_options") or {}).get("include_usage"):
        yield sse({**head, "choices": [], "usage": exchange.usage.chat()})
    yield sse("[DONE]")


# --- text completions, embeddings ---


def text_completion(exchange: Exchange) -> dict[str, Any]:
    choices = [
        {"index": i, "text": reply.text, "logprobs": None, "finish_reason": reply.finish}
        for i, reply in enumerate(exchange.replies)
    ]
    usage = exchange.usage.chat()
    return {**_head(exchange, "text_completion"), "choices": choices, "usage": usage}


def text_events(exchange: Exchange) -> Iterator[bytes]:
    head = _head(exchange, "text_completion")

    def chunk(index: int, text: str, finish: str | None) -> bytes:
        choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
        return sse({**head, "choices": [choice]})

    for index, reply in enumerate(exchange.replies):
        for piece in reply.pieces:
            yield chunk(index, piece, None)
        yield chunk(index, "", reply.finish)
    if (exchange.body.get("stream_options") or {}).get("include_usage"):
        yield sse({**head, "choices": [], "usage": exchange.usage.chat()})
    yield sse("[DONE]")


def embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    given = body["input"]
    is_one = isinstance(given, str) or bool(given and isinstance(given[0], int))
    form = body.get("encoding_format", "float")
    vectors = [
        vector_of(text, body.get("dimensions", 3)) for text in ([given] if is_one else given)
    ]
    data = [
        {
            "object": "embedding",
            "index": i,
            "embedding": base64.b64encode(vector.tobytes()).decode()
            if form == "base64"
            else vector.tolist(),
        }
        for i, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": len(data), "total_tokens": len(data)}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


def vector_of(text: Any, dimensions: int) -> array[float]:
    """Return the float32 numbers that stand for ``text``: the nearer two texts, the nearer these.

    Every word moves the vector along a direction of its own, as a real model's meaning does.
    """
    total = [1e-3] * dimensions
    for word in re.findall(r"\w+", str(text).lower()):
        digest = hashlib.shake_128(word.encode()).digest(dimensions)
        total = [value + byte - 127.5 for value, byte in zip(total, digest, strict=True)]
    length = math.hypot(*total)
    return array("f", [value / length for value in total])
