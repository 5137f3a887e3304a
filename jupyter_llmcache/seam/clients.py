"""The doors of HTTP clients: each shows a request to ``web`` before it is sent, and what comes.

A door is one method of a client's transport, put in when the client's module is imported, if ever,
and taken out when nobody records and no replay is in force. A body goes on to its reader piece by
piece, as it comes. Where other code leads requests elsewhere below a client (a mirror, a stand-in),
the address is the one that the notebook asked for.
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from http.client import HTTPResponse
from types import ModuleType
from typing import Any

from .. import modes
from . import web
from .client_aiohttp import aiohttp_door
from .client_browsers import curl_answer, primp_answer, whole_async_door, whole_door
from .doors import HTTP_WORDS, Door, Doors, Method, Wrap, pairs, text, whole
from .web_answer import Wire
from .web_request import Asked

#: What the notebook asked for, while code of others may lead it elsewhere below.
_named: ContextVar[str | None] = ContextVar("llmcache_named_address", default=None)


def _naming(address: Callable[..., str]) -> Wrap:
    """Return a wrap that only notes the address that ``address`` reads from the arguments."""

    def wrap(original: Method, _: ModuleType) -> Method:
        def named(*args: Any, **kwargs: Any) -> Any:
            with modes.setting(_named, address(*args, **kwargs)):
                return original(*args, **kwargs)

        return named

    return wrap


# --- httpx and httpx2 ---


def _httpx_asked(request: Any) -> Asked:
    return Asked(request.method, str(request.url), request.headers.multi_items(), request.content)


def _httpx_answer(visit: web.Visit, client: ModuleType) -> Any:
    answer = visit.answer
    assert answer is not None  # noqa: S101  # for the type checker
    return client.Response(
        answer.status,
        headers=list(answer.headers),
        stream=client.ByteStream(answer.body),
        extensions={
            "http_version": b"HTTP/1.1",
            "reason_phrase": answer.reason.encode("ascii", "replace"),
        },
    )


def _httpx_got(visit: web.Visit, response: Any) -> None:
    reason = response.extensions.get("reason_phrase", b"")
    visit.got(response.status_code, text(reason), response.headers.multi_items())


def _httpx(original: Method, module: ModuleType) -> Method:
    client = sys.modules[module.__name__.partition(".")[0]]

    def handle_request(self: Any, request: Any) -> Any:
        request.read()
        visit = web.begin(_httpx_asked(request))
        if visit is None:
            return original(self, request)
        if visit.answer is not None:
            return _httpx_answer(visit, client)
        with visit.sending():
            response = original(self, request)
        _httpx_got(visit, response)
        response.stream = tee(response.stream, visit)
        return response

    tee = _sync_tee(module)
    return handle_request


def _httpx_async(original: Method, module: ModuleType) -> Method:
    client = sys.modules[module.__name__.partition(".")[0]]

    from anyio import to_thread  # httpx's own need

    async def handle_async_request(self: Any, request: Any) -> Any:
        await request.aread()
        # The file must not keep the loop waiting.
        visit = await to_thread.run_sync(web.begin, _httpx_asked(request))
        if visit is None:
            return await original(self, request)
        if visit.answer is not None:
            return _httpx_answer(visit, client)
        with visit.sending():
            response = await original(self, request)
        _httpx_got(visit, response)
        response.stream = tee(response.stream, visit)
        return response

    tee = _async_tee(module)
    return handle_async_request


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
            except Exception:
                self._visit.end(whole=False)
                raise
            self._visit.end()

        def close(self) -> None:
            if self._visit.wants_rest:
                for piece in self._pieces:
                    self._visit.feed(piece)
                self._visit.end()
            self._visit.end(whole=False)
            self._stream.close()

    return Tee


def _async_tee(module: ModuleType) -> Any:
    from anyio import to_thread

    class Tee(module.AsyncByteStream):  # type: ignore[misc,name-defined]
        def __init__(self, stream: Any, visit: web.Visit) -> None:
            self._stream, self._visit = stream, visit
            self._pieces = aiter(stream)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for piece in self._pieces:
                    self._visit.feed(piece)
                    yield piece
            except Exception:
                self._visit.end(whole=False)
                raise
            await to_thread.run_sync(self._visit.end)

        async def aclose(self) -> None:
            if self._visit.wants_rest:
                async for piece in self._pieces:
                    self._visit.feed(piece)
                await to_thread.run_sync(self._visit.end)
            try:
                await to_thread.run_sync(functools.partial(self._visit.end, whole=False))
            finally:
                self._visit.end(whole=False)  # where the reader's task was cancelled
                await self._stream.aclose()

    return Tee


# --- what stands on http.client: urllib3 (requests, botocore) and urllib ---


class _Wire:
    """The file that a response of http.client reads from; it notes what is read."""

    def __init__(self, file: Any, response: Any, visit: web.Visit) -> None:
        self._file = file
        self._visit = visit
        self._chunked, self._left = response.chunked, response.length
        self._ended = False
        self._tail = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _note(self, data: bytes, size: int | None = -1) -> bytes:
        self._visit.feed(data)
        self._tail = (self._tail + data[-5:])[-5:]
        if self._left is not None:
            self._left -= len(data)
        self._ended = self._ended or size in (-1, None) or (not data and size != 0)
        return data

    def read(self, size: int | None = -1) -> bytes:
        return self._note(self._file.read(size), size)

    def read1(self, size: int = -1) -> bytes:
        return self._note(self._file.read1(size), size if size > 0 else 1)

    def readline(self, size: int = -1) -> bytes:
        return self._note(self._file.readline(size), size if size > 0 else 1)

    def readinto(self, buffer: Any) -> int:
        count: int = self._file.readinto(buffer)
        self._note(bytes(memoryview(buffer)[:count]), len(buffer))
        return count

    def close(self) -> None:
        if self._left and self._visit.wants_rest and not self._file.closed:
            with suppress(OSError, ValueError):
                self.read(self._left)
        if self._chunked:
            whole = self._tail == b"0\r\n\r\n"
        else:
            whole = self._ended if self._left is None else self._left <= 0
        self._visit.end(whole=whole)
        self._file.close()


def _tee_http_client(visit: web.Visit, response: Any, raw: Any) -> None:
    """Note what ``response`` says, and what will be read of ``raw``, http.client's own."""
    empty = raw.fp is None or raw.length == 0
    framed = raw.chunked and not empty
    visit.got(response.status, response.reason or "", pairs(response.headers), framed=framed)
    if empty:
        visit.end()
    else:
        raw.fp = _Wire(raw.fp, raw, visit)


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


def _urllib3(original: Method, _: ModuleType) -> Method:
    def urlopen(
        self: Any,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        address = _named.get()
        if address is None:
            port = "" if self.port in (None, 80, 443) else f":{self.port}"
            address = url if "://" in url else f"{self.scheme}://{self.host}{port}{url}"
        sent = self.headers if headers is None else headers
        content, body = whole(body)
        visit = web.begin(Asked(method, address, pairs(sent), content))
        if visit is None:
            return original(self, method, url, body, headers, *args, **kwargs)
        if visit.answer is not None:
            answer = visit.answer
            from urllib3.response import HTTPResponse as Response

            return Response(
                io.BytesIO(answer.body),
                headers=list(answer.headers),  # type: ignore[arg-type]  # pairs, so that none is lost
                status=answer.status,
                version=11,
                reason=answer.reason,
                preload_content=kwargs.get("preload_content", True),
                request_method=method,
                request_url=url,
            )
        with visit.sending():
            response = original(self, method, url, body, headers, *args, **kwargs)
        raw = getattr(response, "_original_response", None)
        if not hasattr(response, "status"):  # urllib3-future's promise of one, among others
            visit.end(whole=False)
        elif kwargs.get("preload_content", True) or raw is None:
            unpacked = kwargs.get("decode_content", True)
            head = response.status, response.reason or "", pairs(response.headers)
            visit.got(*head, unpacked=unpacked)
            visit.feed(response.data)
            visit.end()
        elif isinstance(raw, HTTPResponse):
            _tee_http_client(visit, response, raw)
        else:
            _note_reads(visit, response, raw)
        return response

    return urlopen


def _urllib(original: Method, _: ModuleType) -> Method:
    def do_open(self: Any, http_class: Any, req: Any, **kwargs: Any) -> Any:
        content, req.data = whole(req.data)
        headers = {**req.headers, **req.unredirected_hdrs}
        address = _named.get() or req.full_url
        visit = web.begin(Asked(req.get_method(), address, pairs(headers), content))
        if visit is None:
            return original(self, http_class, req, **kwargs)
        if visit.answer is not None:
            response = HTTPResponse(Wire(visit.answer.wire), method=req.get_method())  # type: ignore[arg-type]
            response.begin()
            response.url = req.full_url
            response.msg = response.reason  # type: ignore[assignment]  # as urllib does
            return response
        with visit.sending():
            response = original(self, http_class, req, **kwargs)
        _tee_http_client(visit, response, response)
        return response

    return do_open


def _requests_address(_: Any, request: Any, *args: Any, **kwargs: Any) -> str:  # noqa: ARG001  # as requests calls it
    return str(request.url)


def _urllib_address(_: Any, fullurl: Any, *args: Any, **kwargs: Any) -> str:  # noqa: ARG001  # as urllib calls it
    return fullurl if isinstance(fullurl, str) else str(fullurl.full_url)


_DOORS = Doors(
    [
        *(
            Door(f"{client}._transports.default", owner, name, wrap)
            for client in ("httpx", "httpx2")
            for owner, name, wrap in (
                ("HTTPTransport", "handle_request", _httpx),
                ("AsyncHTTPTransport", "handle_async_request", _httpx_async),
            )
        ),
        Door("urllib3.connectionpool", "HTTPConnectionPool", "urlopen", _urllib3),
        Door("requests.adapters", "HTTPAdapter", "send", _naming(_requests_address)),
        Door("urllib.request", "AbstractHTTPHandler", "do_open", _urllib),
        Door("urllib.request", "OpenerDirector", "open", _naming(_urllib_address)),
        Door("aiohttp.client", "ClientSession", "_request", aiohttp_door),
        Door("curl_cffi.requests.session", "Session", "request", whole_door(curl_answer)),
        Door(
            "curl_cffi.requests.session", "AsyncSession", "request", whole_async_door(curl_answer)
        ),
        *(Door("primp.primp", "Client", word, whole_door(primp_answer)) for word in HTTP_WORDS),
        *(Door("primp", "", word, whole_door(primp_answer)) for word in HTTP_WORDS),
    ]
)

install, uninstall = _DOORS.install, _DOORS.uninstall
