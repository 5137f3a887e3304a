"""The doors of HTTP clients: put in when a client's module is imported, if ever.

They are taken out when nobody records and no replay is in force. Beside the clients of
``client_http``: aiohttp, whose answers arrive whether or not somebody reads them, and what looks
like a browser and has sockets of its own, curl_cffi and primp. The answers of these come whole;
what they stream, and primp's asynchronous client, is not recorded.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlencode, urljoin

from .. import modes
from . import client_http, web
from .doors import Door, Doors, Method, pairs, whole
from .web import Given, door, off_the_loop
from .web_answer import WebAnswer
from .web_request import WebRequest

# --- aiohttp ---


def _aiohttp(original: Method, module: ModuleType) -> Method:
    """Return aiohttp's ``ClientSession._request`` with our door at its end."""

    async def request(self: Any, method: str, address: Any, **kwargs: Any) -> Any:
        if not hasattr(self, "_middlewares"):  # before aiohttp 3.12 nothing is kept
            web.begin(WebRequest(method, str(address), pairs(kwargs.get("headers")), None))
            return await original(self, method, address, **kwargs)
        unpacks = kwargs.get("auto_decompress")
        unpacks = self._auto_decompress if unpacks is None else unpacks
        call = _AiohttpCall(self, unpacked=bool(unpacks), named=str(address))
        wrap = door("request", call.asked, call.replayed, call.came, is_async=True)

        async def middleware(request: Any, send: Method) -> Any:
            return await wrap(send, module)(request)

        theirs = kwargs.pop("middlewares", None)
        theirs = self._middlewares if theirs is None else theirs
        # The innermost sees what is sent, each redirect by itself.
        return await original(self, method, address, middlewares=(*theirs, middleware), **kwargs)

    return request


class _AiohttpCall:
    """What stands between aiohttp's session and its connections, for one call."""

    def __init__(self, session: Any, *, unpacked: bool, named: str) -> None:
        self._session = session
        self._unpacked = unpacked
        self._named: str | None = named

    async def asked(self, given: Given) -> WebRequest:
        request, named, self._named = given["request"], self._named, None
        address = str(request.url)
        if named is not None and "://" in named:
            named = named.partition("#")[0].partition("?")[0]
            address = named + "".join(address.partition("?")[1:])
        body = whole(request.body)
        if hasattr(request.body, "as_bytes"):
            with suppress(TypeError):  # it comes piece by piece, once
                body = bytes(await request.body.as_bytes())
        return WebRequest(request.method, address, pairs(request.headers), body)

    async def replayed(self, given: Given, answer: WebAnswer) -> Any:
        """Let aiohttp read the recorded answer as if a server had sent it."""
        from aiohttp.client_proto import ResponseHandler
        from aiohttp.connector import Connection

        request, loop = given["request"], asyncio.get_running_loop()
        protocol = ResponseHandler(loop)
        protocol.connection_made(_SILENCE)  # type: ignore[arg-type]  # it has what is asked of one
        protocol.set_response_params(skip_payload=request.method == "HEAD", read_until_eof=True)
        protocol.data_received(answer.wire)
        protocol.force_close()
        connection = Connection(self._session.connector, request.connection_key, protocol, loop)
        response = await request.send(connection)
        await response.start(connection)
        return response

    async def came(self, _: Given, visit: web.Visit, response: Any) -> None:
        """Note what is in aiohttp's reader already, and what will be fed to it."""
        head = response.status, response.reason or "", pairs(response.headers)
        visit.got(*head, unpacked=self._unpacked)
        content = response.content
        for piece in getattr(content, "_buffer", ()):  # what came before anybody could listen
            visit.feed(piece)
        if not hasattr(content, "_buffer") or content.is_eof():  # no body at all, or a whole one
            await off_the_loop(visit.end)
        else:
            _fed[id(content)] = visit, copy_context()
            cls: Any = type(content)
            content.__class__ = _teed(cls)


_IDLE = ("abort", "close", "get_extra_info", "pause_reading", "resume_reading")
_WRITES = ("write", "writelines")
#: A connection to nowhere: what is written is dropped, and it stays open for its one answer.
_SILENCE = SimpleNamespace(
    is_closing=lambda: False, **dict.fromkeys(_IDLE + _WRITES, lambda *_: None)
)

#: What is still being fed to a reader, and where it was asked for, by the reader's number.
_fed: dict[int, tuple[web.Visit, Context]] = {}
#: What was fed whole and is being kept.
_kept: dict[int, asyncio.Future[None]] = {}


class _Teed:
    """What is put before the methods of aiohttp's reader of a body."""

    __slots__ = ()

    def feed_data(self, data: bytes, *args: Any) -> Any:
        """Note a piece on its way to the reader."""
        if (fed := _fed.get(id(self))) is not None:
            fed[0].feed(data)
        return super().feed_data(data, *args)  # type: ignore[misc]  # aiohttp's

    def feed_eof(self) -> None:
        """Keep the body, which is whole, whether or not somebody reads it."""
        if (fed := _fed.pop(id(self), None)) is not None:
            visit, asking = fed
            if (kept := _off_the_loop(asking, visit.end)) is not None:
                _kept[id(self)] = kept
        super().feed_eof()  # type: ignore[misc]  # as above

    def set_exception(self, *args: Any) -> None:
        """Note that the body will not be whole."""
        self._leave()
        super().set_exception(*args)  # type: ignore[misc]  # as above

    def _leave(self) -> None:
        _kept.pop(id(self), None)
        if (fed := _fed.pop(id(self), None)) is not None:
            visit, asking = fed
            _off_the_loop(asking, functools.partial(visit.end, whole=False))

    __del__ = _leave


def _off_the_loop(asking: Context, end: Callable[[], None]) -> asyncio.Future[None] | None:
    """Let a thread call ``end``, which may write to the file; where no loop runs, call it."""
    try:
        return asyncio.get_running_loop().run_in_executor(None, asking.run, end)
    except RuntimeError:  # no loop, or one whose threads are gone
        asking.run(end)
        return None


def _reading(name: str) -> Method:
    async def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        data = await getattr(super(_Teed, self), name)(*args, **kwargs)
        # Who reads waits for the file, and the loop does not.
        if (kept := _kept.pop(id(self), None)) is not None:
            await asyncio.shield(kept)
        return data

    return read


for _name in ("read", "readany", "readchunk", "readuntil"):
    setattr(_Teed, _name, _reading(_name))


@functools.lru_cache(maxsize=4)
def _teed(cls: type) -> type:
    return type(cls.__name__, (_Teed, cls), {"__slots__": ()})


# --- curl_cffi and primp ---

#: What the browser that is played sends beside; another one each time where somebody wishes.
_A_BROWSERS = frozenset({"accept", "accept-language", "upgrade-insecure-requests"})

#: The methods by which primp asks.
_WORDS = ("request", "get", "post", "put", "patch", "delete", "head", "options")

#: The first HTTP status that is an error.
_FIRST_ERROR = 400


def _browser_asked(given: Given) -> WebRequest | None:
    if not (given.get("stream") or given.get("content_callback")):
        return _browser_request(given)
    _not_recorded(given)
    return None


def _not_recorded(given: Given) -> None:
    """Refuse in replay what a client sends whose answer is not recorded."""
    if modes.current_mode() == "replay":
        web.refuse(_browser_request(given))


def _browser_request(given: Given) -> WebRequest:
    client = given.get("self")
    headers = pairs(getattr(client, "headers", None))
    if getattr(client, "impersonate", None):
        headers = [each for each in headers if each[0].lower() not in _A_BROWSERS]
    kind, body = _browser_body(given)
    headers += [*pairs(given.get("headers")), *([("content-type", kind)] if kind else [])]
    return WebRequest(given["method"], _browser_address(given), headers, body)


def _browser_address(given: Given) -> str:
    client = given.get("self")
    address = urljoin(getattr(client, "base_url", None) or "", str(given["url"]))
    for holder in (getattr(client, "params", None), given.get("params")):
        if holder:
            address += ("&" if "?" in address else "?") + urlencode(_listed(holder), doseq=True)
    return address


def _listed(holder: Any) -> Any:
    return list(holder.items()) if hasattr(holder, "items") else holder


def _browser_body(given: Given) -> tuple[str, bytes | None]:
    """Return the kind of what is sent, if the client chooses it, and what is sent."""
    if given.get("files") or given.get("multipart"):
        return "", None
    if given.get("json") is not None:
        return "application/json", json.dumps(given["json"]).encode()
    data = given.get("content") or given.get("data")
    if not data or isinstance(data, str | bytes):
        return "", whole(data or None)
    try:
        return "application/x-www-form-urlencoded", urlencode(_listed(data), doseq=True).encode()
    except TypeError:  # it comes piece by piece, once
        return "", None


def _browser_came(_: Given, visit: web.Visit, response: Any) -> None:
    reason = getattr(response, "reason", "")
    visit.take(response.status_code, reason, pairs(response.headers), response.content)


def _curl_replayed(given: Given, answer: WebAnswer) -> Any:
    module = given["module"]
    response = (getattr(given["self"], "response_class", None) or module.Response)()
    response.url, response.content = _browser_address(given), answer.body
    response.status_code, response.reason = answer.status, answer.reason
    response.ok = answer.status < _FIRST_ERROR
    response.headers = module.Headers(list(answer.headers))
    return response


class _PrimpAnswer:
    """What primp's answer has, but for its rendering of pages as text: primp alone can make one."""

    cookies: Mapping[str, str] = {}

    def __init__(self, given: Given, answer: WebAnswer) -> None:
        self.url, self.status_code = _browser_address(given), answer.status
        self.content = answer.body
        self.headers = dict(answer.headers)
        _, _, charset = self.headers.get("content-type", "").partition("charset=")
        self.encoding = charset.strip('"; ') or "utf-8"
        self._error = given["module"].StatusError

    @property
    def text(self) -> str:
        return self.content.decode(self.encoding, "replace")

    def json(self) -> Any:
        return json.loads(self.content)

    def read(self) -> bytes:
        return self.content

    def raise_for_status(self) -> None:
        if self.status_code >= _FIRST_ERROR:
            raise self._error(
                self.status_code, f"HTTP {self.status_code} for URL: {self.url}", self.url
            )

    def close(self) -> None:
        """Nothing is open."""


_CURL = _browser_asked, _curl_replayed, _browser_came
_PRIMP = door("", _browser_asked, _PrimpAnswer, _browser_came)
_ASYNC_PRIMP = door("", _not_recorded, _PrimpAnswer, _browser_came)
_SESSIONS = "curl_cffi.requests.session"

_DOORS = Doors(
    [
        *client_http.DOORS,
        Door("aiohttp.client", "ClientSession", "_request", _aiohttp),
        Door(_SESSIONS, "Session", "request", door("", *_CURL)),
        Door(_SESSIONS, "AsyncSession", "request", door("", *_CURL, is_async=True)),
        *(Door("primp.primp", "Client", word, _PRIMP) for word in _WORDS),
        *(Door("primp.primp", "AsyncClient", word, _ASYNC_PRIMP) for word in _WORDS),
        *(Door("primp", "", word, _PRIMP) for word in _WORDS),
    ]
)

install, uninstall = _DOORS.install, _DOORS.uninstall
