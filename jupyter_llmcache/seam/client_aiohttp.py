"""The door of aiohttp, the client whose answers arrive whether or not somebody reads them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from types import ModuleType
from typing import Any

from . import web
from .doors import Method, pairs, whole
from .web_answer import WebAnswer
from .web_request import WebRequest


def aiohttp_door(original: Method, _: ModuleType) -> Method:
    """Return aiohttp's ``ClientSession._request`` with our door at its end."""

    async def request(self: Any, method: str, address: Any, **kwargs: Any) -> Any:
        if not hasattr(self, "_middlewares"):  # before aiohttp 3.12 nothing is kept
            web.begin(WebRequest(method, str(address), pairs(kwargs.get("headers")), None))
            return await original(self, method, address, **kwargs)
        unpacks = kwargs.get("auto_decompress")
        unpacks = self._auto_decompress if unpacks is None else unpacks
        door = _AiohttpDoor(self, unpacked=bool(unpacks), named=str(address))
        theirs = kwargs.pop("middlewares", None)
        theirs = self._middlewares if theirs is None else theirs
        # The innermost sees what is sent, each redirect by itself.
        return await original(self, method, address, middlewares=(*theirs, door), **kwargs)

    return request


class _AiohttpDoor:
    """What stands between aiohttp's session and its connections, for one call."""

    def __init__(self, session: Any, *, unpacked: bool, named: str) -> None:
        self._session = session
        self._unpacked = unpacked
        self._named: str | None = named

    async def __call__(self, request: Any, send: Method) -> Any:
        named, self._named = self._named, None
        address = str(request.url)
        if named is not None and "://" in named:
            named = named.partition("#")[0].partition("?")[0]
            address = named + "".join(address.partition("?")[1:])
        body = await _aiohttp_body(request.body)
        asked = WebRequest(request.method, address, pairs(request.headers), body)
        # The file must not keep the loop waiting.
        visit = await asyncio.to_thread(web.begin, asked)
        if visit is None:
            return await send(request)
        if visit.answer is not None:
            return await self._replayed(request, visit.answer)
        with visit.sending():
            response = await send(request)
        visit.got(
            response.status,
            response.reason or "",
            pairs(response.headers),
            unpacked=self._unpacked,
        )
        await _tee_aiohttp(response.content, visit)
        return response

    async def _replayed(self, request: Any, answer: WebAnswer) -> Any:
        """Let aiohttp read the recorded answer as if a server had sent it."""
        from aiohttp.client_proto import ResponseHandler
        from aiohttp.connector import Connection

        loop = asyncio.get_running_loop()
        protocol = ResponseHandler(loop)
        protocol.connection_made(_Silence())
        protocol.set_response_params(skip_payload=request.method == "HEAD", read_until_eof=True)
        protocol.data_received(answer.wire)
        protocol.force_close()
        connection = Connection(self._session.connector, request.connection_key, protocol, loop)
        response = await request.send(connection)
        await response.start(connection)
        return response


async def _aiohttp_body(body: Any) -> bytes | None:
    if hasattr(body, "as_bytes"):
        try:
            return bytes(await body.as_bytes())
        except TypeError:  # it comes piece by piece, once
            return None
    return whole(body)[0]


class _Silence(asyncio.Transport):
    """A connection to nowhere: what is written is dropped."""

    def write(self, data: Any) -> None:
        """Drop ``data``."""

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Drop the data."""

    def is_closing(self) -> bool:
        """It stays open for its one answer."""
        return False

    def close(self) -> None:
        """Nothing is open."""

    abort = pause_reading = resume_reading = close


async def _tee_aiohttp(content: Any, visit: web.Visit) -> None:
    """Note what is in aiohttp's reader already, and what will be fed to it."""
    if not hasattr(content, "_buffer"):  # no body at all
        await asyncio.to_thread(visit.end)
        return
    for piece in content._buffer:  # noqa: SLF001  # what came before anybody could listen
        visit.feed(piece)
    if content.is_eof():
        await asyncio.to_thread(visit.end)
    else:
        _fed[id(content)] = visit, copy_context()
        cls: Any = type(content)
        content.__class__ = _teed(cls)


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
