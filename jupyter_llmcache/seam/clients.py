"""The doors of HTTP clients: each shows a request to ``web`` before it is sent, and what comes.

A door is one method of a client's transport, put in when the client's module is imported, if ever,
and taken out when nobody records and no replay is in force. A body goes on to its reader piece by
piece, as it comes.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

from . import client_http, web
from .client_aiohttp import aiohttp_door
from .client_browsers import curl_answer, primp_answer, whole_async_door, whole_door
from .doors import HTTP_WORDS, Door, Doors, Method, text
from .web_request import WebRequest

# --- httpx and httpx2 ---


def _httpx_asked(request: Any) -> WebRequest:
    return WebRequest(
        request.method, str(request.url), request.headers.multi_items(), request.content
    )


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
            except Exception:  # told, and raised as it came
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
            except Exception:  # told, and raised as it came
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
        *client_http.DOORS,
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
