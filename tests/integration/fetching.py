"""Every client by which a notebook fetches, as one function: an address in, status and text out."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import aiohttp
import httpx
import httpx2
import requests
import urllib3

Fetch = Callable[..., tuple[int, str]]


def _httpx(client=httpx) -> Fetch:
    def fetch(url, method="GET", **kwargs):
        answer = client.request(method, url, follow_redirects=True, **kwargs)
        return answer.status_code, answer.text

    return fetch


def _async_httpx(client=httpx) -> Fetch:
    def fetch(url, method="GET", **kwargs):
        async def ask():
            async with client.AsyncClient(follow_redirects=True) as session:
                answer = await session.request(method, url, **kwargs)
            return answer.status_code, answer.text

        return asyncio.run(ask())

    return fetch


def _requests(url, method="GET", **kwargs):
    answer = requests.request(method, url, timeout=5, **kwargs)
    return answer.status_code, answer.text


def _streamed_requests(url, method="GET", **kwargs):
    with requests.request(method, url, timeout=5, stream=True, **kwargs) as answer:
        return answer.status_code, b"".join(answer.iter_content(37)).decode()


def _urllib3(url, method="GET", **kwargs):
    answer = urllib3.PoolManager().request(method, url, **kwargs)
    return answer.status, answer.data.decode()


def _unloaded_urllib3(url, method="GET", **kwargs):
    answer = urllib3.PoolManager().request(method, url, preload_content=False, **kwargs)
    text = b"".join(answer.stream(53, decode_content=True)).decode()
    answer.release_conn()
    return answer.status, text


def _urllib(url, method="GET", json=None, headers=()):
    given = {**dict(headers), **({"content-type": "application/json"} if json else {})}
    asked = urllib.request.Request(url, _json_bytes(json), given, method=method)
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _json_bytes(value) -> bytes | None:
    return None if value is None else json.dumps(value).encode()


def _urllib_lines(url, method="GET", json=None, headers=()):
    asked = urllib.request.Request(url, _json_bytes(json), dict(headers), method=method)
    with urllib.request.urlopen(asked) as answer:
        return answer.status, b"".join(io.BufferedReader(answer)).decode()


def _http_client(url, method="GET", json=None, headers=()):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    given = {**dict(headers), **({"content-type": "application/json"} if json else {})}
    connection.request(method, url.partition(parts.netloc)[2], _json_bytes(json), given)
    answer = connection.getresponse()
    status, text = answer.status, answer.read().decode()
    target = answer.getheader("location")
    connection.close()
    if target:
        return _http_client(urljoin(url, target), headers=headers)
    return status, text


def _aiohttp(url, method="GET", **kwargs):
    async def ask():
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, **kwargs) as got,
        ):
            return got.status, await got.text()

    return asyncio.run(ask())


CLIENTS: dict[str, Fetch] = {
    "httpx": _httpx(),
    "httpx2": _httpx(httpx2),
    "httpx async": _async_httpx(),
    "httpx2 async": _async_httpx(httpx2),
    "requests": _requests,
    "requests streamed": _streamed_requests,
    "urllib3": _urllib3,
    "urllib3 streamed": _unloaded_urllib3,
    "urllib": _urllib,
    "urllib by lines": _urllib_lines,
    "http.client": _http_client,
    "aiohttp": _aiohttp,
}
