"""The doors of clients that look like browsers and have sockets of their own: curl_cffi and primp.

Their answers come whole. What they stream, and primp's asynchronous client, is not recorded.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any
from urllib.parse import urlencode, urljoin

from . import web
from .doors import Method, Wrap, pairs
from .web_answer import WebAnswer
from .web_request import WebRequest

#: What the browser that is played sends beside; another one each time where somebody wishes.
_A_BROWSERS = frozenset({"accept", "accept-language", "upgrade-insecure-requests"})

#: The first HTTP status that is an error.
_FIRST_ERROR = 400

#: Makes the client's own answer of a recorded one, for the client (None: its functions) and module.
Making = Callable[[Any, ModuleType, WebRequest, WebAnswer], Any]


def whole_door(make: Making) -> Wrap:
    """Return a wrap for a method or function that returns answers as ``make`` makes them."""

    def wrap(original: Method, module: ModuleType) -> Method:
        signature = inspect.signature(original)

        def request(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            visit = _begin(original.__name__, given)
            if visit is None:
                return original(*args, **kwargs)
            if visit.answer is not None:
                return make(given.get("self"), module, visit.asked, visit.answer)
            with visit.sending():
                response = original(*args, **kwargs)
            _keep(visit, response)
            return response

        return request

    return wrap


def whole_async_door(make: Making) -> Wrap:
    """Return the same for a coroutine function."""

    def wrap(original: Method, module: ModuleType) -> Method:
        signature = inspect.signature(original)

        async def request(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            # The file must not keep the loop waiting.
            visit = await asyncio.to_thread(_begin, original.__name__, given)
            if visit is None:
                return await original(*args, **kwargs)
            if visit.answer is not None:
                return make(given["self"], module, visit.asked, visit.answer)
            with visit.sending():
                response = await original(*args, **kwargs)
            await asyncio.to_thread(_keep, visit, response)
            return response

        return request

    return wrap


def _begin(name: str, given: Mapping[str, Any]) -> web.Visit | None:
    client = given.get("self")
    address = urljoin(getattr(client, "base_url", None) or "", str(given["url"]))
    for holder in (getattr(client, "params", None), given.get("params")):
        if holder:
            address += ("&" if "?" in address else "?") + urlencode(_listed(holder), doseq=True)
    headers = pairs(getattr(client, "headers", None))
    if getattr(client, "impersonate", None):
        headers = [each for each in headers if each[0].lower() not in _A_BROWSERS]
    kind, body = _body(given)
    headers += [*pairs(given.get("headers")), *([("content-type", kind)] if kind else [])]
    asked = WebRequest(str(given.get("method") or name), address, headers, body)
    if given.get("stream") or given.get("content_callback"):
        web.refuse_in_replay(asked)
        return None
    return web.begin(asked)


def _listed(holder: Any) -> Any:
    return list(holder.items()) if hasattr(holder, "items") else holder


def _body(given: Mapping[str, Any]) -> tuple[str, bytes | None]:
    """Return the kind of what is sent, if the client chooses it, and what is sent."""
    if given.get("files") or given.get("multipart"):
        return "", None
    if given.get("json") is not None:
        return "application/json", json.dumps(given["json"]).encode()
    data = given.get("content") or given.get("data")
    if not data:
        return "", b""
    if isinstance(data, str | bytes):
        return "", data.encode() if isinstance(data, str) else data
    try:
        return "application/x-www-form-urlencoded", urlencode(_listed(data), doseq=True).encode()
    except TypeError:  # it comes piece by piece, once
        return "", None


def _keep(visit: web.Visit, response: Any) -> None:
    reason = getattr(response, "reason", "")
    visit.got(response.status_code, reason, pairs(response.headers), unpacked=True)
    visit.feed(response.content)
    visit.end()


def curl_answer(session: Any, module: ModuleType, asked: WebRequest, answer: WebAnswer) -> Any:
    """Return a recorded answer as curl_cffi's."""
    response = (getattr(session, "response_class", None) or module.Response)()
    response.url, response.content = asked.url, answer.body
    response.status_code, response.reason = answer.status, answer.reason
    response.ok = answer.status < _FIRST_ERROR
    response.headers = module.Headers(list(answer.headers))
    return response


def primp_answer(_: Any, module: ModuleType, asked: WebRequest, answer: WebAnswer) -> Any:
    """Return a recorded answer as primp's."""
    return _PrimpAnswer(module, asked, answer)


class _PrimpAnswer:
    """What primp's answer has, but for its rendering of pages as text: primp alone can make one."""

    cookies: Mapping[str, str] = {}

    def __init__(self, module: ModuleType, asked: WebRequest, answer: WebAnswer) -> None:
        self.url, self.status_code = asked.url, answer.status
        self.content = answer.body
        self.headers = dict(answer.headers)
        _, _, charset = self.headers.get("content-type", "").partition("charset=")
        self.encoding = charset.strip('"; ') or "utf-8"
        self._error = module.StatusError

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
