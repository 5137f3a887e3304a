"""A real HTTP server on 127.0.0.1 that records requests, and can be slow, fail or hang up."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.servers.local import Handler, LocalServer

#: How long a request can be held, in seconds; longer and the test hangs.
HOLD_LIMIT_S = 120.0


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; the headers' names in lower case."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)


@dataclass(frozen=True)
class Failure:
    """An HTTP error to be sent instead of an answer."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class HangUpError(Exception):
    """The connection is to be closed in the middle of things."""


class RecordingServer(LocalServer):
    """Serves ``answer`` in a thread of its own.

    Attributes:
        requests: Every POST that arrived, in order.
        most_at_once: The largest number of requests that were being answered at one time.
        delay_s: Seconds before an answer's first byte.
        tokens_per_s: Pace of a stream; None sends all at once.
        cut_after: A stream ends after this many events; None sends it whole.
        cut_cleanly: A cut stream ends as HTTP ends a body, not by closing the connection.
        hang_up: Close the connection instead of answering.
        pass_on: Cleared, it holds every request (at most 120 s) until it is set again.
        ends: Cleared, it holds every stream before its last five events, likewise.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(_Handler, port)
        self.requests: list[Seen] = []
        self.most_at_once = 0
        self.delay_s = 0.0
        self.tokens_per_s: float | None = None
        self.cut_after: int | None = None
        self.cut_cleanly = True
        self.hang_up = False
        self.pass_on = threading.Event()
        self.pass_on.set()
        self.ends = threading.Event()
        self.ends.set()
        self._failures: list[Failure] = []
        self._failing: Failure | None = None
        self._at_once = 0
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Let go of what is held, and close the port."""
        self.pass_on.set()
        self.ends.set()
        super().stop()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [seen.body for seen in self.requests]

    def fail(self, failure: Failure, times: int | None = None) -> None:
        """Send ``failure`` to the next ``times`` requests, or to all until ``recover``."""
        if times is None:
            self._failing = failure
        else:
            self._failures += [failure] * times

    def recover(self) -> None:
        """Answer again."""
        self._failing = None
        self._failures.clear()

    # --- what a protocol fills in ---

    def answer(self, seen: Seen) -> Failure | dict[str, Any] | Iterable[bytes]:
        """Return an error, a JSON body, or the events of a stream."""
        raise NotImplementedError

    def page(self, path: str) -> tuple[str, bytes] | None:  # most have none
        """Return the content type and the bytes of a page; None where there is none."""
        return None

    stream_type = "text/event-stream; charset=utf-8"

    # --- used by the handler ---

    def handle(self, seen: Seen) -> Failure | dict[str, Any] | Iterable[bytes]:
        with self._lock:
            self.requests.append(seen)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            failure = self._failures.pop(0) if self._failures else self._failing
        self.pass_on.wait(HOLD_LIMIT_S)
        time.sleep(self.delay_s)
        if self.hang_up:
            raise HangUpError
        return failure or self.answer(seen)

    def done(self) -> None:
        with self._lock:
            self._at_once -= 1

    def paced(self, events: Iterable[bytes]) -> Iterable[bytes]:
        events = list(events)
        for number, event in enumerate(events):
            if number == self.cut_after:
                if self.cut_cleanly:
                    return
                raise HangUpError
            if self.tokens_per_s and number:
                time.sleep(1 / self.tokens_per_s)
            if number == len(events) - 5:
                self.ends.wait(HOLD_LIMIT_S)
            yield event


class _Handler(Handler):
    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        seen = Seen(self.path, {k.lower(): v for k, v in self.headers.items()}, raw)
        owner = self.server.owner
        try:
            answer = owner.handle(seen)
            if isinstance(answer, Failure):
                self._send_json(answer.status, answer.body, answer.headers)
            elif isinstance(answer, dict):
                self._send_json(200, answer)
            else:
                self.send_pieces(owner.paced(answer), owner.stream_type)
        except HangUpError:
            self.close_connection = True
        finally:
            owner.done()

    def do_GET(self) -> None:
        page = self.server.owner.page(self.path)
        if page is not None:
            content_type, body = page
            self.send(body, content_type=content_type)
            return
        self._send_json(404, {"error": {"message": f"no GET {self.path}", "type": "not_found"}})

    def _send_json(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self.send(
            json.dumps(body).encode(), status, content_type="application/json", **(headers or {})
        )
