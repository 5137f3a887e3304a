"""A stand-in for the web: pages, packed bodies, streams, redirects, cookies, tokens and a proxy."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.servers.local import Handler, LocalServer

#: A body that is longer than what is kept, in bytes.
BIG_BYTES = 10_500_000
#: How long a stream waits for what lets it go on, in seconds.
PATIENCE_S = 120.0


class PagesServer(LocalServer):
    """Serves ``/anything`` as a page with the number of the request in it.

    ``/json``, ``/redirect``, ``/gzip``, ``/members``, ``/deflate``, ``/br``, ``/zstd``, ``/sse``,
    ``/done``, ``/chunked``, ``/close``, ``/cookie``, ``/token``, ``/big``, ``/status/N``,
    ``/echo``, ``/with?header=value`` are what their names say; ``/commits`` is a hub of prompts,
    ``/img`` draws graphs. What is asked of it as of a proxy is answered as a page too.

    Attributes:
        seen: Method, path and body of each request, in order.
        headers: The headers of each request, in order.
        connects: What ``CONNECT`` asked for.
        goes_on: A test clears it, and ``/sse`` waits behind its first event until it is set.
        waited_in_vain: Whether it was not set in time.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.seen: list[tuple[str, str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.connects: list[str] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.waited_in_vain = False

    def url(self, path: str, host: str = "pages.test") -> str:
        """An address of another machine, which a test's resolver leads here."""
        return f"http://{host}:{self.port}{path}"


class _Handler(Handler):
    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("transfer-encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        owner = self.server.owner
        parts = urlsplit(self.path)
        owner.seen.append((self.command, self.path, body))
        owner.headers.append({name.lower(): value for name, value in self.headers.items()})
        number = len(owner.seen)
        name = parts.path.strip("/").partition("/")[0]
        page = f"<p>page {number} of {parts.path}?{parts.query}</p>".encode() * 20
        own: Callable[..., None] | None = getattr(self, f"_get_{name}", None)
        if own is not None:
            own(number, page, body)
        else:
            self._send(page)

    do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815  # http.server's names

    def do_CONNECT(self) -> None:
        self.server.owner.connects.append(self.path)
        self.send_error(502)

    def _chunk(self) -> bytes:
        data = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return data

    def _send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send(body, status, **{"content_type": "text/html; charset=utf-8", **headers})

    def _get_json(self, number: int, page: bytes, body: bytes) -> None:
        self._send(json.dumps({"number": number}).encode(), content_type="application/json")

    def _get_echo(self, number: int, page: bytes, body: bytes) -> None:
        said = self.headers.get("authorization", "").rpartition(" ")[2] or "nothing"
        self._send(body + b" %d" % number, content_type="text/plain", x_you_said=said)

    def _get_with(self, number: int, page: bytes, body: bytes) -> None:
        """A page with the headers that its address names."""
        named = dict(parse_qsl(urlsplit(self.path).query))
        self._send(page, x_author="somebody", **named)

    def _get_redirect(self, number: int, page: bytes, body: bytes) -> None:
        self._send(b"", 302, location=f"http://{self.headers['host']}/target")

    def _get_signed(self, number: int, page: bytes, body: bytes) -> None:
        where = "/target?X-Amz-Signature=abcdef&X-Amz-Date=now&file=a"
        self._send(b"", 302, location=f"http://{self.headers['host']}{where}")

    def _get_commits(self, number: int, page: bytes, body: bytes) -> None:
        """A prompt as LangSmith's hub gives it, another one each time."""
        prompt = {"input_variables": ["q"], "template": f"{number}: {{q}}"}
        kwargs = {**prompt, "template_format": "f-string"}
        ids = ["langchain", "prompts", "prompt", "PromptTemplate"]
        manifest = {"lc": 1, "type": "constructor", "id": ids, "kwargs": kwargs}
        _, owner, repo, *_ = self.path.strip("/").split("/")
        told = {"owner": owner, "repo": repo, "commit_hash": "a" * 64, "examples": []}
        answer = json.dumps({**told, "manifest": manifest}).encode()
        self._send(answer, content_type="application/json")

    def _get_img(self, number: int, page: bytes, body: bytes) -> None:
        """A picture as mermaid.ink draws it."""
        self._send(b"\x89PNG %d" % number, content_type="image/png")

    def _get_gzip(self, number: int, page: bytes, body: bytes) -> None:
        self._send(gzip.compress(page), content_encoding="gzip")

    def _get_members(self, number: int, page: bytes, body: bytes) -> None:
        """Packed in two parts, as a server does that joins files."""
        self._send(gzip.compress(page[:5]) + gzip.compress(page[5:]), content_encoding="gzip")

    def _get_deflate(self, number: int, page: bytes, body: bytes) -> None:
        self._send(zlib.compress(page), content_encoding="deflate")

    def _get_br(self, number: int, page: bytes, body: bytes) -> None:
        import brotli

        self._send(brotli.compress(page), content_encoding="br")

    def _get_zstd(self, number: int, page: bytes, body: bytes) -> None:
        import zstandard

        self._send(zstandard.compress(page), content_encoding="zstd")

    def _get_unknownpacking(self, number: int, page: bytes, body: bytes) -> None:
        self._send(page, content_encoding="lzma2000")

    def _get_cookie(self, number: int, page: bytes, body: bytes) -> None:
        self._send(page, set_cookie="session=of-one-person", x_auth_token="of-one-person")

    def _get_token(self, number: int, page: bytes, body: bytes) -> None:
        answer = json.dumps({"access_token": "of-one-person", "expires_in": 3600}).encode()
        self._send(answer, content_type="application/json")

    def _get_big(self, number: int, page: bytes, body: bytes) -> None:
        self._send(b"x" * BIG_BYTES, content_type="application/octet-stream")

    def _get_status(self, number: int, page: bytes, body: bytes) -> None:
        self._send(page, int(urlsplit(self.path).path.rpartition("/")[2]))

    def _get_close(self, number: int, page: bytes, body: bytes) -> None:
        self.send_response(200)
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(page)
        self.close_connection = True

    def _get_chunked(self, number: int, page: bytes, body: bytes) -> None:
        self.send_pieces([page[:7], page[7:300], page[300:]], "text/html")

    def _get_sse(self, number: int, page: bytes, body: bytes) -> None:
        def events() -> Iterator[bytes]:
            yield b"data: %d.0\n\n" % number
            self.server.owner.waited_in_vain = not self.server.owner.goes_on.wait(PATIENCE_S)
            for each in (1, 2):
                yield b"data: %d.%d\n\n" % (number, each)

        self.send_pieces(events(), "text/event-stream")

    def _get_done(self, number: int, page: bytes, body: bytes) -> None:
        pieces = [b"data: %d\n\n" % number, b"data: [DONE]\n\n", b": more\n\n"]
        self.send_pieces(pieces, "text/event-stream", 0.05)

    def _get_cut(self, number: int, page: bytes, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True


@contextmanager
def resolving(monkeypatch: Any, *endings: str) -> Iterator[list[str]]:
    """Lead every name with one of ``endings`` to this machine; yield the names that were asked."""
    import socket

    real = socket.getaddrinfo
    asked: list[str] = []

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if isinstance(name, str) and name.endswith(endings):
            asked.append(name)
            return real("127.0.0.1", *args, **kwargs)
        return real(host, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield asked
