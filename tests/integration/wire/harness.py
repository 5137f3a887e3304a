"""The judge of the key: what each request says on the wire against the key that it has.

A local server notes every request and refuses it. ``sweep`` varies each field of a class, each
argument of a call and each leaf of the messages, and compares, within one release, all variants of
one thing: another wire under the same key is a collision, and must not be but for the names that
the provider's row drops; the same wire under another key is a needless miss, and needs a reason.
"""

from __future__ import annotations

import copy
import enum
import functools
import importlib.util
import itertools
import json
import re
import ssl
import threading
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

import jupyter_llmcache
from jupyter_llmcache.provider_row import CREDENTIAL_HEADERS, EVERYWHERE, IDLE_HEADERS
from jupyter_llmcache.providers import provider_of

#: What one request said: method, path, query, body and headers.
Wire = tuple[Any, ...]

_REFUSAL = json.dumps({"error": {"message": "no", "type": "no"}, "message": "no"}).encode()

#: Headers that say again when and what is asked, and by whom.
_SIGNED = frozenset({"x-amz-content-sha256", "x-amz-date", "x-amz-security-token"})

#: Fields of LangChain's base classes that no annotation can fill, and addresses of other servers.
_NEVER_VARIED = frozenset(
    {"cache", "callbacks", "rate_limiter", "custom_get_token_ids", "metadata", "profile"}
)


class WireServer:
    """Notes what it is sent, and refuses it."""

    def __init__(self) -> None:
        self.seen: list[Wire] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: two wait for each other
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                server.seen.append(_noted(self))
                self.send_response(400)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(_REFUSAL)))
                self.end_headers()
                self.wfile.write(_REFUSAL)

            do_GET = do_PUT = do_POST  # noqa: N815  # http.server's names

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _noted(request: BaseHTTPRequestHandler) -> Wire:
    raw = request.rfile.read(int(request.headers.get("Content-Length") or 0))
    if request.headers.get("Transfer-Encoding") == "chunked":
        raw = b""
        while size := int(request.rfile.readline().strip() or b"0", 16):
            raw += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
    try:
        body = json.dumps(json.loads(raw), sort_keys=True)
    except ValueError:
        body = repr(raw)
    split = urlsplit(request.path)
    named = {name.lower(): value for name, value in request.headers.items()}
    said = {
        name: value
        for name, value in named.items()
        if name not in CREDENTIAL_HEADERS | IDLE_HEADERS.keys()
        and not name.startswith(("x-stainless-", "amz-sdk-"))
        and name not in _SIGNED
    }
    query = tuple(sorted(parse_qsl(split.query, keep_blank_values=True)))
    return request.command, split.path, query, body, tuple(sorted(said.items()))


@dataclass(frozen=True)
class Subject:
    """One class, and how it is varied.

    Attributes:
        name: What the table calls it.
        build: Makes a model of the server's address and of further fields.
        more_fields: Values for fields whose annotation says too little.
        calls: Arguments of a call and their values.
        skipped: Fields that lead elsewhere.
        is_text: Whether it takes a text and no messages.
        chance: A pattern of what is made by chance for each request.
        beside: Further arguments of ``build`` and their values.
    """

    name: str
    build: Callable[..., Any]
    more_fields: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    calls: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
    is_text: bool = False
    chance: str = "(?!)"
    beside: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass
class Report:
    """What a sweep found.

    Attributes:
        pairs: How many pairs were compared.
        collisions: Pairs with another wire under the same key.
        dropped: Names by which wires may differ under one key, as the row says, that did.
        needless: Things whose variants had the same wire and other keys.
        refused: Things with a variant that is not cached.
    """

    pairs: int = 0
    collisions: list[str] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    needless: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Seen:
    """One variant that reached the server."""

    what: str
    wire: Wire
    key: str | None


def sweep(subject: Subject, server: WireServer) -> Report:
    """Vary everything of ``subject`` and compare, invoked and streamed."""
    report = Report()
    cache = jupyter_llmcache.MemoryCache()
    set_llm_cache(cache)
    try:
        with _quick_clients():
            _sweep(subject, server, report)
    finally:
        set_llm_cache(None)
        cache.close()
    return report


@contextmanager
def _quick_clients() -> Iterator[None]:
    """Let clients share what is the same for all of them, and takes long to make."""
    made_once = functools.cache(ssl.create_default_context)
    with ExitStack() as stack:
        stack.enter_context(patch.object(ssl, "create_default_context", made_once))
        if importlib.util.find_spec("botocore"):
            loaders = importlib.import_module("botocore.loaders")  # they read all of AWS's services
            read_once = functools.cache(loaders.create_loader)
            stack.enter_context(patch.object(loaders, "create_loader", read_once))
        yield


def _sweep(subject: Subject, server: WireServer, report: Report) -> None:
    for streamed in (False, True):
        ask = _Asker(subject, server, streamed=streamed)
        row = provider_of(type(subject.build(server.url)))
        free = {
            *row.never,
            *row.at_home,
            *row.chat_only,
            *EVERYWHERE,
        }
        for what, variants in _groups(subject, server.url, ask, short=streamed):
            if streamed and what.endswith(" n"):
                continue  # several choices in one stream are not cached
            _compare(what, variants, free, report)


class _Asker:
    def __init__(self, subject: Subject, server: WireServer, *, streamed: bool) -> None:
        self._subject, self._server, self._streamed = subject, server, streamed

    def __call__(
        self, what: str, messages: Any, fields: Mapping[str, Any], call: Mapping[str, Any]
    ) -> Seen | None:
        """Ask once; None where nothing reached the server."""
        try:
            model = self._subject.build(self._server.url, **fields)
        except Exception:  # a class may refuse a value that its annotation allows
            return None
        self._server.seen.clear()
        mark = len(jupyter_llmcache.calls())
        with suppress(Exception), jupyter_llmcache.mode("refresh"):
            if self._streamed:
                for _ in model.stream(messages, **call):
                    pass
            else:
                model.invoke(messages, **call)
        calls = jupyter_llmcache.calls()[mark:]
        if not self._server.seen or not calls:
            return None
        command, path, query, body, headers = self._server.seen[0]
        # LangChain numbers blocks by chance, and some classes send the number.
        chance = rf"{self._subject.chance}|\blc_[0-9a-f]{{8}}-[0-9a-f-]{{27}}"
        wire = command, path, query, re.sub(chance, "", body), headers
        return Seen(what, wire, calls[0].key)


def _groups(
    subject: Subject, url: str, ask: Any, *, short: bool
) -> Iterator[tuple[str, list[Seen | None]]]:
    hi: Any = "hi" if subject.is_text else [HumanMessage("hi")]
    base = ask("base", hi, {}, {})
    assert base is not None, f"{subject.name} reaches no server"
    assert base.key is not None, f"{subject.name} is not cached"
    assert ask("base", hi, {}, {}) == base
    fields = type(subject.build(url)).model_fields
    varied = {
        name: subject.more_fields.get(name) or values_of(info.annotation)
        for name, info in fields.items()
        if name not in _NEVER_VARIED | subject.skipped
    }
    for name, given in {**varied, **subject.beside}.items():
        yield f"field {name}", [base, *(ask(repr(v), hi, {name: v}, {}) for v in given)]
    for name, given in subject.calls.items():
        yield f"call {name}", [base, *(ask(repr(v), hi, {}, {name: v}) for v in given)]
    if subject.is_text or short:
        return
    for title, messages in CONVERSATIONS.items():
        whole = ask("base", messages, {}, {})
        if whole is None:
            continue
        yield f"{title} again", [whole, ask("again", copy.deepcopy(messages), {}, {})]
        for path, changed in changes(messages):
            yield f"{title}.{path}", [whole, ask(path, changed, {}, {})]


def _compare(what: str, variants: list[Seen | None], free: set[str], report: Report) -> None:
    name = what.rpartition(" ")[2]
    if any(variant is not None and variant.key is None for variant in variants):
        report.refused.add(what)
    found = [variant for variant in variants if variant is not None and variant.key is not None]
    for one, other in itertools.combinations(found, 2):
        report.pairs += 1
        is_same_wire, is_same_key = one.wire == other.wire, one.key == other.key
        if not is_same_wire and is_same_key:
            if name in free or "cache_control" in what:
                report.dropped.add(name)
            else:
                report.collisions.append(f"{what}: {one.what[:60]} and {other.what[:60]}")
        if is_same_wire and not is_same_key:
            report.needless.setdefault(what, f"{one.what[:60]} and {other.what[:60]}")


#: Why a thing counts though a class does not send it, by pattern.
REASONS: Mapping[str, str] = {
    "field output_version": "it shapes the answer, and not the request",
    "field use_responses_api": "whether unset means the same is the model's affair",
    "field use_previous_response_id": "it says nothing where no earlier answer has an id",
    "field reuse_last_container": "it says nothing where no earlier answer has a container",
    "* stop": "one of two APIs takes none",
    "call temperature": "left out for some models only",
    "call strict": "an argument that the class leaves out; another release may send it",
    "call response_format": "an argument that the class leaves out for this value",
    "call extra_body": "an argument that the class leaves out for this value",
    "extras.1.content": "an answer's old function call, which this class sends in its place",
    "invalid call.2.content": "the result of no call, which this class leaves out",
    "*.content.*": "a block that this class does not send, and others do",
    "*.additional_kwargs.*": "what only some providers are sent back",
    "*.tool_calls.*": "said by a block, which this class sends in its place, or an id it needs not",
    "*.invalid_tool_calls.*": "a call that was no JSON; some classes send it as it is",
    "*.tool_call_id": "an id that this API needs not",
    "*.response_metadata.*": "whose form an answer's blocks have",
    "*.name": "who speaks; what of it a class sends was not read in its code",
    "*.status": "whether a tool failed; what of it a class sends was not read in its code",
    "field *": "a field that this class does not send with these values",
    "call *": "an argument that this class does not send",
    "field model_name": "the model's name counts, also where the address alone says who answers",
}


def reason_for(what: str, but: Collection[str] = ()) -> str | None:
    """Return why a needless miss is taken, or None; patterns in ``but`` do not count."""
    patterns = (pattern for pattern in REASONS if pattern not in but)
    return next((REASONS[pattern] for pattern in patterns if fnmatch(what, pattern)), None)


# --- values, and changes of values ---


def values_of(annotation: Any) -> list[Any]:
    """Return a few values that ``annotation`` allows."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in _VALUES:
        return _VALUES[annotation]
    if origin in (typing.Union, types.UnionType):
        return [value for each in arguments for value in values_of(each)]
    if origin is typing.Literal:
        return list(arguments)[:4]
    if origin is typing.Annotated:
        return values_of(arguments[0])
    kind = origin or annotation
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return list(kind)[:3]
    if isinstance(kind, type) and issubclass(kind, Mapping | dict):
        return [{"foo": 1}, {"foo": 2}, {"password": "a"}, {"password": "b"}, {"u": "x?key=1"}]
    if isinstance(kind, type) and kind in (list, tuple, set, Sequence):
        inner = values_of(arguments[0]) if arguments else ["a", "b"]
        return [[value] for value in inner[:3]]
    return []


_VALUES: dict[Any, list[Any]] = {
    bool: [True, False],
    int: [3, 7],
    float: [0.25, 0.75],
    str: ["aaa", "bbb"],
    Any: ["aaa", {"foo": 1}],
}


def changes(messages: Sequence[BaseMessage]) -> Iterator[tuple[str, list[BaseMessage]]]:
    """Yield ``messages`` with one leaf changed each, by where it stands."""
    for number, message in enumerate(messages):
        fields = {
            name: value
            for name, value in message.__dict__.items()
            if value not in (None, "", [], {}) and name != "type"
        }
        for path in _leaves(fields):
            changed = [each.model_copy(deep=True) for each in messages]
            held: Any = changed[number].__dict__
            for step in path[:-1]:
                held = held[step]
            held[path[-1]] = _other(held[path[-1]])
            yield f"{number}." + ".".join(map(str, path)), changed


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        if isinstance(item, dict | list) and item:
            yield from _leaves(item, (*path, name))
        elif name != "type" and isinstance(item, str | int | float):
            yield (*path, name)


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return {"success": "error", "low": "high"}.get(value, f"{value}A")
    return value + 1


_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
_CALL = {"name": "weather", "args": {"city": "Rome", "day": 1}, "id": "call_1", "type": "tool_call"}
_ASKED = HumanMessage("Weather in Rome?")
_RESULT = ToolMessage("rain", tool_call_id="call_1", name="weather", artifact={"raw": 1}, id="t-1")


def _called(content: Any, **fields: Any) -> list[BaseMessage]:
    return [_ASKED, AIMessage(content, tool_calls=[copy.deepcopy(_CALL)], **fields), _RESULT]


def _answered(content: Any, **fields: Any) -> list[BaseMessage]:
    return [HumanMessage("One?"), AIMessage(content, **fields), HumanMessage("Two?")]


#: Messages in all forms of content, each leaf of which is varied.
CONVERSATIONS: Mapping[str, list[BaseMessage]] = {
    "plain": [SystemMessage("Be brief.", id="s"), HumanMessage("Hi", name="ann", id="h")],
    "system blocks": [
        SystemMessage([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]),
        HumanMessage("Hi"),
    ],
    "text blocks": [HumanMessage([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])],
    "cache mark": [
        HumanMessage(
            [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "5m"}}]
        )
    ],
    "image url": [
        HumanMessage(
            [
                {"type": "text", "text": "What?"},
                {
                    "type": "image_url",
                    "image_url": {"url": f"data:image/png;base64,{_PIXEL}", "detail": "low"},
                },
            ]
        )
    ],
    "v1 image": [
        HumanMessage([{"type": "image", "base64": _PIXEL, "mime_type": "image/png", "id": "i"}])
    ],
    "v1 image by url": [HumanMessage([{"type": "image", "url": "https://x.test/a.png?key=1"}])],
    "v0 image": [
        HumanMessage(
            [{"type": "image", "source_type": "base64", "data": _PIXEL, "mime_type": "image/png"}]
        )
    ],
    "v1 file": [
        HumanMessage(
            [
                {
                    "type": "file",
                    "base64": "JVBERi0xLjQK",
                    "mime_type": "application/pdf",
                    "extras": {"filename": "a.pdf"},
                }
            ]
        )
    ],
    "sound": [
        HumanMessage(
            [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]
        )
    ],
    "answer": _answered(
        "Paris.",
        id="run-1",
        name="bob",
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"id": "resp_1", "model_name": "m", "container": {"id": "c_1"}},
    ),
    "extras": _answered(
        "Paris.",
        additional_kwargs={
            "refusal": "no",
            "reasoning_content": "thought",
            "function_call": {"name": "f", "arguments": "{}"},
            "audio": {"id": "audio_1"},
        },
    ),
    "call": _called(""),
    "call and text": _called("I look.", additional_kwargs={"reasoning_content": "thought"}),
    "failed call": [
        *_called("")[:2],
        ToolMessage([{"type": "text", "text": "no"}], tool_call_id="call_1", status="error"),
    ],
    "invalid call": [
        _ASKED,
        AIMessage(
            "",
            invalid_tool_calls=[
                {
                    "name": "weather",
                    "args": "{",
                    "id": "call_1",
                    "error": "e",
                    "type": "invalid_tool_call",
                }
            ],
        ),
        _RESULT,
    ],
    "tool use": _called(
        [
            {"type": "text", "text": "I look."},
            {
                "type": "tool_use",
                "id": "call_1",
                "name": "weather",
                "input": {"city": "Rome", "day": 1},
                "caller": {"type": "code_execution_20250825", "tool_id": "srv_1"},
            },
        ]
    ),
    "tool use alone": _called(
        [
            {
                "type": "tool_use",
                "id": "call_1",
                "name": "weather",
                "input": {"city": "Rome", "day": 1},
            }
        ]
    ),
    "thinking": _answered(
        [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "cmVk"},
            {
                "type": "text",
                "text": "Paris.",
                "citations": [
                    {
                        "type": "char_location",
                        "cited_text": "P",
                        "document_index": 0,
                        "start_char_index": 0,
                        "end_char_index": 1,
                    }
                ],
            },
        ]
    ),
    "server tool": _answered(
        [
            {
                "type": "server_tool_use",
                "id": "srv_1",
                "name": "web_search",
                "input": {"query": "a"},
            },
            {
                "type": "web_search_tool_result",
                "tool_use_id": "srv_1",
                "content": [
                    {
                        "type": "web_search_result",
                        "title": "t",
                        "url": "https://x",
                        "encrypted_content": "ZW5j",
                    }
                ],
            },
            {"type": "text", "text": "Paris."},
        ]
    ),
    "responses": _called(
        [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": "ZW5j",
            },
            {
                "type": "text",
                "text": "I look.",
                "id": "msg_1",
                "annotations": [
                    {
                        "type": "url_citation",
                        "url": "https://x",
                        "title": "t",
                        "start_index": 0,
                        "end_index": 1,
                    }
                ],
            },
            {
                "type": "function_call",
                "call_id": "call_1",
                "id": "fc_1",
                "name": "weather",
                "arguments": '{"city": "Rome", "day": 1}',
                "status": "completed",
            },
        ],
        response_metadata={"id": "resp_1"},
    ),
    "responses items": _answered(
        [
            {
                "type": "web_search_call",
                "id": "ws_1",
                "status": "completed",
                "action": {"type": "search", "query": "a"},
            },
            {
                "type": "code_interpreter_call",
                "id": "ci_1",
                "code": "1",
                "container_id": "cntr_1",
                "status": "completed",
                "outputs": [],
            },
            {"type": "refusal", "refusal": "No.", "id": "msg_1"},
            {"type": "text", "text": "Paris.", "id": "msg_1"},
        ]
    ),
    "v1": _called(
        [
            {
                "type": "reasoning",
                "reasoning": "Hm.",
                "id": "rs_1",
                "extras": {"signature": "c2ln"},
            },
            {"type": "text", "text": "I look.", "id": "msg_1"},
            {
                "type": "tool_call",
                "id": "call_1",
                "name": "weather",
                "args": {"city": "Rome", "day": 1},
                "extras": {"item_id": "fc_1"},
            },
            {"type": "non_standard", "value": {"type": "odd", "odd": "a"}},
        ],
        response_metadata={"output_version": "v1", "model_provider": "openai"},
    ),
    "v1 of anthropic": _called(
        [
            {"type": "reasoning", "reasoning": "Hm.", "extras": {"signature": "c2ln"}},
            {
                "type": "tool_call",
                "id": "call_1",
                "name": "weather",
                "args": {"city": "Rome", "day": 1},
                "extras": {"caller": {"type": "direct"}},
            },
        ],
        response_metadata={"output_version": "v1", "model_provider": "anthropic"},
    ),
}
