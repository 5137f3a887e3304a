"""What tells that an answer has acted: a server that was called, a trace in the page, a request."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

DOM_SCAN = (Path(__file__).parent / "scan.js").read_text()


class Tripwire:
    """A real server on 127.0.0.1.

    Attributes:
        url: Its address.
        paths: What was asked for, in order.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.paths.append(self.path)
                self.send_response(200)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


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
