"""The doors of what stands on http.client: urllib3 (requests, botocore), urllib, httplib2, itself.

Where other code leads requests elsewhere below a client (a mirror, a stand-in), the address is the
one that the notebook asked for.
"""

from __future__ import annotations

import io
import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from http.client import HTTPConnection, HTTPResponse
from types import ModuleType
from typing import Any

from .. import modes
from . import serving, web
from .doors import Door, Method, Wrap, pairs, whole
from .web_answer import WebAnswer, Wire
from .web_request import WebRequest

_HTTPS_PORT = 443
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
        visit = web.begin(WebRequest(method, address, pairs(sent), content))
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
        visit = web.begin(WebRequest(req.get_method(), address, pairs(headers), content))
        if visit is None:
            return original(self, http_class, req, **kwargs)
        if visit.answer is not None:
            response = _replayed(visit.answer, req.get_method())
            response.url = req.full_url
            response.msg = response.reason  # type: ignore[assignment]  # as urllib does
            return response
        with visit.sending():
            response = original(self, http_class, req, **kwargs)
        _tee_http_client(visit, response, response)
        return response

    return do_open


#: What a connection was asked for and has not answered yet.
_pending: weakref.WeakKeyDictionary[HTTPConnection, tuple[str, web.Visit]] = (
    weakref.WeakKeyDictionary()
)


def _replayed(answer: WebAnswer, method: str) -> HTTPResponse:
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


def _http_client(original: Method, _: ModuleType) -> Method:
    def request(
        self: Any, method: str, url: str, body: Any = None, headers: Any = None, **kwargs: Any
    ) -> Any:
        visit = None
        if not serving.is_kept_elsewhere():  # as a part of what another client asks
            content, body = whole(body)
            address = _connection_address(self, url)
            visit = web.begin(WebRequest(method, address, pairs(headers), content))
        if visit is None:
            return original(self, method, url, body, headers or {}, **kwargs)
        _pending[self] = method, visit
        if visit.answer is None:
            with visit.sending():
                original(self, method, url, body, headers or {}, **kwargs)
        return None

    return request


def _http_client_response(original: Method, _: ModuleType) -> Method:
    def getresponse(self: Any) -> Any:
        method, visit = _pending.pop(self, ("", None))
        if visit is None:
            return original(self)
        if visit.answer is not None:
            return _replayed(visit.answer, method)
        with visit.sending():
            response = original(self)
        _tee_http_client(visit, response, response)
        return response

    return getresponse


def _httplib2(original: Method, module: ModuleType) -> Method:
    def ask(self: Any, conn: Any, uri: str, method: str, body: Any, headers: Any) -> Any:
        content, body = whole(body)
        address = _connection_address(conn, uri)
        visit = web.begin(WebRequest(method, address, pairs(headers), content))
        if visit is None:
            return original(self, conn, uri, method, body, headers)
        if visit.answer is not None:
            recorded = _replayed(visit.answer, method)
            return module.Response(recorded), recorded.read()
        with visit.sending():
            response, content = original(self, conn, uri, method, body, headers)
        visit.got(response.status, response.reason, pairs(response), unpacked=True)
        visit.feed(content)
        visit.end()
        return response, content

    return ask


def _requests_address(_: Any, request: Any, *args: Any, **kwargs: Any) -> str:  # noqa: ARG001  # as requests calls it
    return str(request.url)


def _urllib_address(_: Any, fullurl: Any, *args: Any, **kwargs: Any) -> str:  # noqa: ARG001  # as urllib calls it
    return fullurl if isinstance(fullurl, str) else str(fullurl.full_url)


DOORS = (
    Door("urllib3.connectionpool", "HTTPConnectionPool", "urlopen", _urllib3),
    Door("requests.adapters", "HTTPAdapter", "send", _naming(_requests_address)),
    Door("urllib.request", "AbstractHTTPHandler", "do_open", _urllib),
    Door("urllib.request", "OpenerDirector", "open", _naming(_urllib_address)),
    Door("http.client", "HTTPConnection", "request", _http_client),
    Door("http.client", "HTTPConnection", "getresponse", _http_client_response),
    Door("httplib2", "Http", "_conn_request", _httplib2),
)
