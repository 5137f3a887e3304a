"""The doors of httpx and of what stands on http.client: urllib3 (requests, botocore), urllib.

Where other code leads requests elsewhere below a client (a mirror, a stand-in), the address is the
one that the notebook asked for.
"""

from __future__ import annotations

import functools
import io
import sys
import weakref
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from contextvars import ContextVar
from http.client import HTTPConnection, HTTPResponse
from types import ModuleType
from typing import Any

from .. import modes
from . import serving, web
from .doors import Door, Method, pairs, text, whole
from .web_answer import WebAnswer, Wire
from .web_request import WebRequest

_HTTPS_PORT = 443


# --- httpx and httpx2 ---


def _httpx_asked(given: web.Given) -> WebRequest:
    request = given["request"]
    request.read()
    headers = request.headers.multi_items()
    return WebRequest(request.method, str(request.url), headers, request.content)


async def _httpx_asked_async(given: web.Given) -> WebRequest:
    await given["request"].aread()  # after which it can be read as above
    return _httpx_asked(given)


def _httpx_replayed(given: web.Given, answer: WebAnswer) -> Any:
    client = sys.modules[given["module"].__name__.partition(".")[0]]
    return client.Response(
        answer.status,
        headers=list(answer.headers),
        stream=client.ByteStream(answer.body),
        extensions={
            "http_version": b"HTTP/1.1",
            "reason_phrase": answer.reason.encode("ascii", "replace"),
        },
    )


def _httpx_came(given: web.Given, visit: web.Visit, response: Any) -> None:
    reason = response.extensions.get("reason_phrase", b"")
    visit.got(response.status_code, text(reason), response.headers.multi_items())
    tee = _sync_tee if isinstance(given["self"], given["module"].BaseTransport) else _async_tee
    response.stream = tee(given["module"])(response.stream, visit)


@functools.cache
def _sync_tee(module: ModuleType) -> Any:
    class Tee(module.SyncByteStream):  # type: ignore[misc,name-defined]
        def __init__(self, stream: Any, visit: web.Visit) -> None:
            self._stream, self._visit = stream, visit
            self._pieces = iter(stream)

        def __iter__(self) -> Iterator[bytes]:
            try:
                for piece in self._pieces:
                    self._visit.feed(piece)
                    yield piece
            except Exception:  # told, and raised as it came
                self._visit.end(whole=False)
                raise
            self._visit.end()

        def close(self) -> None:
            if self._visit.wants_rest:
                deque(self, maxlen=0)
            self._visit.end(whole=False)
            self._stream.close()

    return Tee


@functools.cache
def _async_tee(module: ModuleType) -> Any:
    class Tee(module.AsyncByteStream):  # type: ignore[misc,name-defined]
        def __init__(self, stream: Any, visit: web.Visit) -> None:
            self._stream, self._visit = stream, visit
            self._pieces = aiter(stream)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for piece in self._pieces:
                    self._visit.feed(piece)
                    yield piece
            except Exception:  # as above
                self._visit.end(whole=False)
                raise
            await web.off_the_loop(self._visit.end)

        async def aclose(self) -> None:
            try:
                if self._visit.wants_rest:
                    async for _ in self:
                        pass
                await web.off_the_loop(self._visit.end, whole=False)
            finally:
                self._visit.end(whole=False)  # where the reader's task was cancelled
                await self._stream.aclose()

    return Tee


# --- what stands on http.client ---


class _Noting(io.RawIOBase):
    """The file that a response of http.client reads from; it notes what comes."""

    def __init__(self, file: Any, response: HTTPResponse, visit: web.Visit) -> None:
        self._file, self._visit = file, visit
        self._chunked, self._left = response.chunked, response.length
        self._tail = b""
        self._is_over = False

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        number: int = self._file.fileno()
        return number

    def readinto(self, buffer: Any) -> int:
        data: bytes = self._file.read1(len(buffer))
        buffer[: len(data)] = data
        self._visit.feed(data)
        self._tail = (self._tail + data[-5:])[-5:]
        self._left = None if self._left is None else self._left - len(data)
        self._is_over = self._is_over or not data
        return len(data)

    def close(self) -> None:
        if self._left and self._visit.wants_rest and not self._file.closed:
            with suppress(OSError, ValueError):
                while self._left > 0 and self.read(self._left):
                    pass
        if self._chunked:
            whole = self._tail == b"0\r\n\r\n"
        else:
            whole = self._is_over if self._left is None else self._left <= 0
        self._visit.end(whole=whole)
        self._file.close()
        super().close()


def _note_file(visit: web.Visit, response: Any, raw: Any) -> None:
    """Note what ``response`` says, and what will be read of ``raw``, http.client's own."""
    empty = raw.fp is None or raw.length == 0
    framed = raw.chunked and not empty
    visit.got(response.status, response.reason or "", pairs(response.headers), framed=framed)
    if empty:
        visit.end()
    else:
        raw.fp = io.BufferedReader(_Noting(raw.fp, raw, visit))


def _note_reads(visit: web.Visit, response: Any, raw: Any) -> None:
    """Note what is read of ``raw``, which is urllib3-future's: it has no file to read from."""

    def noting(read: Method) -> Method:
        def read_and_note(size: int | None = None) -> bytes:
            data: bytes = read(size)
            visit.feed(data)
            if raw.isclosed():
                visit.end()
            return data

        return read_and_note

    def close() -> None:
        visit.end(whole=False)
        original()

    original = raw.close
    visit.got(response.status, response.reason or "", pairs(response.headers))
    if raw.isclosed():
        visit.end()
    raw.read, raw.read1, raw.close = noting(raw.read), noting(raw.read1), close


def _urllib3_asked(given: web.Given) -> WebRequest:
    pool, url, headers = given["self"], given["url"], given.get("headers")
    port = "" if pool.port in (None, 80, 443) else f":{pool.port}"
    address = url if "://" in url else f"{pool.scheme}://{pool.host}{port}{url}"
    sent = pairs(pool.headers if headers is None else headers)
    return WebRequest(given["method"], _named.get() or address, sent, whole(given.get("body")))


def _urllib3_replayed(given: web.Given, answer: WebAnswer) -> Any:
    from urllib3.response import HTTPResponse as Response

    return Response(
        io.BytesIO(answer.body),
        headers=list(answer.headers),  # type: ignore[arg-type]  # pairs, so that none is lost
        status=answer.status,
        version=11,
        reason=answer.reason,
        preload_content=given.get("preload_content", True),
        request_method=given["method"],
        request_url=given["url"],
    )


def _urllib3_came(given: web.Given, visit: web.Visit, response: Any) -> None:
    raw = getattr(response, "_original_response", None)
    if not hasattr(response, "status"):  # urllib3-future's promise of one, among others
        visit.end(whole=False)
    elif given.get("preload_content", True) or raw is None:
        head = response.status, response.reason or "", pairs(response.headers)
        visit.take(*head, response.data, unpacked=given.get("decode_content", True))
    elif isinstance(raw, HTTPResponse):
        _note_file(visit, response, raw)
    else:
        _note_reads(visit, response, raw)


def _response(answer: WebAnswer, method: str) -> HTTPResponse:
    response = HTTPResponse(Wire(answer.wire), method=method)  # type: ignore[arg-type]
    response.begin()
    return response


def _connection_address(connection: Any, path: str) -> str:
    if "://" in path:  # a proxy is asked
        return path
    tunnel = getattr(connection, "_tunnel_host", None), getattr(connection, "_tunnel_port", None)
    host, port = tunnel if tunnel[0] else (connection.host, connection.port)
    scheme = "https" if connection.default_port == _HTTPS_PORT else "http"
    at = "" if port in (None, connection.default_port) else f":{port}"
    return f"{scheme}://{host}{at}{path}"


#: What a connection was asked for and has not answered yet: the visit, or the recorded answer.
_pending: weakref.WeakKeyDictionary[HTTPConnection, web.Visit | HTTPResponse] = (
    weakref.WeakKeyDictionary()
)


def _connection_asked(given: web.Given) -> WebRequest | None:
    if serving.is_inside_call():  # as a part of what another client asks
        return None
    address = _named.get() or _connection_address(given["self"], given["url"])
    sent = pairs(given.get("headers"))
    return WebRequest(given["method"], address, sent, whole(given.get("body")))


def _connection_replayed(given: web.Given, answer: WebAnswer) -> None:
    _pending[given["self"]] = _response(answer, given["method"])


def _connection_came(given: web.Given, visit: web.Visit, _: None) -> None:
    _pending[given["self"]] = visit


def _connection_answers(original: Method, _: ModuleType) -> Method:
    def getresponse(self: Any) -> Any:
        waiting = _pending.pop(self, None)
        if not isinstance(waiting, web.Visit):
            return waiting or original(self)
        with waiting.sending():
            response = original(self)
        _note_file(waiting, response, response)
        return response

    return getresponse


def _httplib2_asked(given: web.Given) -> WebRequest:
    address = _connection_address(given["connection"], given["url"])
    return WebRequest(given["method"], address, pairs(given["headers"]), whole(given["body"]))


def _httplib2_replayed(given: web.Given, answer: WebAnswer) -> tuple[Any, bytes]:
    recorded = _response(answer, given["method"])
    return given["module"].Response(recorded), recorded.read()


def _httplib2_came(_: web.Given, visit: web.Visit, came: tuple[Any, bytes]) -> None:
    head, body = came
    visit.take(head.status, head.reason, pairs(head), body)


# --- the address that was asked for above ---

#: What the notebook asked for, while code of others may lead it elsewhere below.
_named: ContextVar[str | None] = ContextVar("llmcache_named_address", default=None)


def _naming(original: Method, _: ModuleType) -> Method:
    def named(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        address = getattr(request, "full_url", getattr(request, "url", request))
        with modes.setting(_named, str(address)):
            return original(self, request, *args, **kwargs)

    return named


_HTTPX = web.door("self request", _httpx_asked, _httpx_replayed, _httpx_came)
_ASYNC_HTTPX = web.door(
    "self request", _httpx_asked_async, _httpx_replayed, _httpx_came, is_async=True
)
_URLLIB3 = web.door(
    "self method url body headers", _urllib3_asked, _urllib3_replayed, _urllib3_came
)
_CONNECTION = web.door(
    "self method url body headers", _connection_asked, _connection_replayed, _connection_came
)
_HTTPLIB2 = web.door(
    "self connection url method body headers", _httplib2_asked, _httplib2_replayed, _httplib2_came
)

DOORS = (
    *(
        Door(f"{httpx}._transports.default", *door)
        for httpx in ("httpx", "httpx2")
        for door in (
            ("HTTPTransport", "handle_request", _HTTPX),
            ("AsyncHTTPTransport", "handle_async_request", _ASYNC_HTTPX),
        )
    ),
    Door("urllib3.connectionpool", "HTTPConnectionPool", "urlopen", _URLLIB3),
    Door("http.client", "HTTPConnection", "request", _CONNECTION),
    Door("http.client", "HTTPConnection", "getresponse", _connection_answers),
    Door("httplib2", "Http", "_conn_request", _HTTPLIB2),
    Door("requests.adapters", "HTTPAdapter", "send", _naming),
    Door("urllib.request", "OpenerDirector", "open", _naming),
)
