"""An HTTP server on 127.0.0.1 in a thread of its own, which counts its connections."""

from __future__ import annotations

import threading
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
