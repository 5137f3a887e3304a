"""An HTTP server on 127.0.0.1 in a thread of its own, which counts its connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class LocalServer:
    """Serves with ``handler``, to which it is ``self.server.owner``, while its block runs.

    Attributes:
        connections: How many TCP connections were opened.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        self.connections = 0
        self._http = HTTPServer(("127.0.0.1", port), handler)
        self._http.owner = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port and what is open; later connections are refused."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        self._http.close_connections()

    @property
    def port(self) -> int:
        return self._http.server_address[1]

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class HTTPServer(ThreadingHTTPServer):
    """A thread for each connection; all of them are closed with the server."""

    owner: Any
    request_queue_size = 256

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[Any] = set()

    def get_request(self) -> Any:
        request = super().get_request()
        self.owner.connections += 1
        self._open.add(request[0])
        return request

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in list(self._open):
            self.shutdown_request(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of this server."""


class Handler(BaseHTTPRequestHandler):
    """What every server here does alike: bodies of a known length, streams in chunks, no log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HTTPServer

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Send a whole answer; in the headers' names ``_`` stands for ``-``."""
        self._begin(status, content_length=str(len(body)), **headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_pieces(self, pieces: Iterable[bytes], content_type: str, pause_s: float = 0) -> None:
        """Send a chunk for each piece, and wait after it."""
        self._begin(200, content_type=content_type, transfer_encoding="chunked")
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(pause_s)
        self.wfile.write(b"0\r\n\r\n")

    def _begin(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
