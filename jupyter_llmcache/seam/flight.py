"""Single flight: equal requests in flight in one process are paid once.

The first asker leads and pays; the others wait for its answer, and pay for themselves when it has
none or takes too long. A sync call waits only for sync calls of other threads, and nobody for a
flight that leads, further out, to this very call: such a leader could be waiting for the follower.
Whoever leads nothing alone (a stream, a batch of texts) takes no part.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future, wait
from contextvars import ContextVar

from ..ledger import Entry

#: The longest that one call waits for others, in seconds.
MAX_WAIT_S = 60.0

#: The flights that this context leads, as seen from calls made inside them.
_leading: ContextVar[frozenset[Flight]] = ContextVar("llmcache_leading", default=frozenset())


class Flight:
    """One request that is being paid for right now.

    Attributes:
        answer: What the leader got, for its followers; None while there is none.
        left: It ended without an answer because its caller went away, not by the provider's fault.
    """

    __slots__ = ("_landed", "_loop", "_thread", "answer", "left")

    def __init__(self) -> None:
        self.answer: Entry | None = None
        self.left = False
        self._thread = threading.get_ident()
        self._loop = _running_loop()
        self._landed: Future[None] = Future()

    def land(self, answer: Entry | None, *, left: bool = False) -> None:
        """End the flight and wake every follower; once is enough, later calls do nothing."""
        if not self._landed.done():
            self.answer, self.left = answer, left
            self._landed.set_result(None)

    def wait(self, timeout_s: float) -> None:
        """Block until the flight has landed, if its leader can go on meanwhile."""
        is_other = self._thread != threading.get_ident() and self not in _leading.get()
        if self._loop is None and is_other:
            wait([self._landed], timeout_s)

    async def wait_on_loop(self, timeout_s: float) -> None:
        """Like ``wait``, without blocking the running event loop."""
        is_blocked = self._thread == threading.get_ident() and self._loop is not _running_loop()
        if self not in _leading.get() and not is_blocked:
            await asyncio.wait([asyncio.wrap_future(self._landed)], timeout=timeout_s)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Flights:
    """The flights of one cache, by key.

    Attributes:
        landings: How many flights have ended; who looked for an answer before the last one ended
            has to look again.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.landings = 0
        self._flights: dict[bytes, Flight] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def join(self, key: bytes) -> tuple[Flight, bool]:
        """Return the flight of ``key`` and whether the caller leads it."""
        if self._process != os.getpid():
            # A fork: the leaders stayed in the other process, and the lock may be held there.
            self._begin()
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            self._flights[key] = flight = Flight()
        _leading.set(_leading.get() | {flight})
        return flight, True

    def end(self, key: bytes, flight: Flight, *, left: bool) -> None:
        """Take ``flight`` out, and wake its followers if it has not landed yet."""
        _leading.set(_leading.get() - {flight})
        with self._lock:
            self.landings += 1
            self._flights.pop(key, None)
        flight.land(None, left=left)
