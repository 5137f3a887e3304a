"""What tells that an answer has acted: a server that was called, a trace in the page, a request."""

from __future__ import annotations

from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.servers.local import HTTPServer, LocalServer

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

DOM_SCAN = (Path(__file__).parent / "scan.js").read_text()


class Tripwire(LocalServer):
    """A real server on 127.0.0.1.

    Attributes:
        paths: What was asked for, in order.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.paths: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: HTTPServer

    def do_GET(self) -> None:
        self.server.owner.paths.append(self.path)
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815  # http.server's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Watch:
    """Writes down what a browser's pages do that they should not.

    Args:
        context: The pages to watch; look before they go anywhere.
        own: Addresses that are asked for anyway: the server's own, the front end's libraries.
    """

    def __init__(self, context: BrowserContext, own: Sequence[str]) -> None:
        self.acts: list[str] = []
        self._own = tuple(own)
        context.on("request", lambda request: self._look(request.url))
        context.on("dialog", self._on_dialog)
        context.on("page", lambda page: self.acts.append(f"opened {page.url}"))
        # Nothing that is asked for elsewhere leaves the machine, wherever that would be.
        context.route(lambda url: not self._is_local(url), lambda route: route.abort())

    def look_at(self, page: Page, outputs: str) -> list[str]:
        """Return everything noticed so far, and what is wrong in ``outputs`` (a CSS selector)."""
        traces = page.evaluate("() => 'PWNED' in window ? ['script ran'] : []")
        return [*self.acts, *traces, *page.evaluate(DOM_SCAN, outputs)]

    def _look(self, url: str) -> None:
        if not url.startswith((*self._own, "data:application/json", "blob:")):
            self.acts.append(f"asked for {url[:200]}")

    def _on_dialog(self, dialog: Any) -> None:
        self.acts.append(f"dialog {dialog.message}")
        dialog.dismiss()

    @staticmethod
    def _is_local(url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme in ("data", "blob", "file") or parts.hostname == "127.0.0.1"
