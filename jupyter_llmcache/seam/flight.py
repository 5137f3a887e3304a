"""Single flight: equal requests in flight in one process are paid once.

The first asker leads and pays; the others follow and wait for its answer. Rules that keep this
from ever hanging:

- nobody waits for a flight that leads, further out, to this very call, nor for a leader that can
  only go on when the waiting thread does;
- a flight ends whatever happens to its leader: an answer, an error, a cancelled task, an
  abandoned stream; followers of a leader without an answer ask again, and one of them leads;
- a follower takes the lead over from a leader whose consumer has stopped reading, whose event loop
  or thread pool is blocked, or which takes longer than the follower can wait.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: The longest that one call waits for others, in seconds.
MAX_WAIT_S = 300.0
#: How long in all the reader of a stream may let its followers wait, in seconds.
PAUSE_LIMIT_S = 5.0
#: How long a leader's event loop and thread pool may give no sign of life, in seconds.
STUCK_AFTER_S = 2.0
#: How often a waiting follower looks after its leader, in seconds.
_LOOK_S = 0.25

#: The flights that this context leads, as seen from calls made inside them.
_leading: ContextVar[frozenset[Flight[Any]]] = ContextVar("llmcache_leading", default=frozenset())


class Flight(Generic[T]):
    """One request that is being paid for right now.

    Attributes:
        key: What is asked.
        answer: What the leader got, for its followers; None while there is none.
        failed: It ended without an answer, by the provider's fault and not by its caller's.
    """

    __slots__ = (
        "_landed",
        "_lock",
        "_loop",
        "_paused_at",
        "_paused_s",
        "_pinged_at",
        "_thread",
        "_wakers",
        "answer",
        "failed",
        "key",
    )

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.answer: T | None = None
        self.failed = False
        self._thread = threading.get_ident()
        self._loop = _running_loop()
        self._landed = threading.Event()
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], object]] = []
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self._pinged_at: float | None = None

    # --- what the leader does ---

    def pause(self) -> None:
        """Note that the leader is in the hands of whoever reads its stream."""
        self._paused_at = time.monotonic()

    def resume(self) -> None:
        """Note that the reader asked for more."""
        if self._paused_at is not None:
            self._paused_s += time.monotonic() - self._paused_at
            self._paused_at = None

    def land(self, answer: T | None, *, failed: bool = False) -> None:
        """End the flight and wake every follower; once is enough, later calls do nothing."""
        with self._lock:
            if self._landed.is_set():
                return
            self.answer, self.failed = answer, failed
            self._landed.set()
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    # --- what a follower does ---

    def wait(self, until: float) -> bool:
        """Block until the flight has landed.

        Args:
            until: When to give up at the latest, on the clock of ``time.monotonic``.

        Returns:
            Whether it has landed; otherwise it is not worth waiting for.
        """
        if self in _leading.get() or self._thread == threading.get_ident():
            return self._landed.is_set()
        while not self._landed.wait(_LOOK_S):
            if self._is_lost(until):
                return False
        return True

    async def await_landing(self, until: float) -> bool:
        """Like ``wait``, without blocking the running event loop."""
        loop = asyncio.get_running_loop()
        on_this_thread = self._thread == threading.get_ident()
        if self in _leading.get() or (on_this_thread and self._loop is not loop):
            return self._landed.is_set()
        landed = asyncio.Event()
        self._on_landing(lambda: _call_soon(loop, landed.set))
        while not self._landed.is_set():
            try:
                await asyncio.wait_for(landed.wait(), _LOOK_S)
            except TimeoutError:
                if self._is_lost(until):
                    return False
        return True

    def _is_lost(self, until: float) -> bool:
        now = time.monotonic()
        paused_at = self._paused_at
        paused_s = self._paused_s + (now - paused_at if paused_at is not None else 0.0)
        return now > until or paused_s > PAUSE_LIMIT_S or self._is_stuck(now)

    def _is_stuck(self, now: float) -> bool:
        """Ask the leader's loop and its pool for a sign of life; True when there is none.

        A loop may be blocked, by us in the worst case, and a pool full of our like.
        """
        if self._loop is None:
            return False
        with self._lock:
            pinged_at = self._pinged_at
            if pinged_at is None:
                self._pinged_at = now
        if pinged_at is None:
            return not _call_soon(self._loop, self._ping_pool)
        return now > pinged_at + STUCK_AFTER_S

    def _ping_pool(self) -> None:
        try:
            asyncio.get_running_loop().run_in_executor(None, self._pong)
        except RuntimeError:  # the pool is closed, so nobody waits for it
            self._pong()

    def _pong(self) -> None:
        self._pinged_at = None

    def _on_landing(self, wake: Callable[[], object]) -> None:
        with self._lock:
            if not self._landed.is_set():
                self._wakers.append(wake)
                return
        wake()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> bool:
    """Let ``loop`` call ``function``; False when the loop is closed."""
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        return False
    return True


class Flights(Generic[T]):
    """The flights of one cache, by key.

    Attributes:
        landings: How many flights have ended; who looked for an answer before the last one ended
            has to look again.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.landings = 0
        self._flights: dict[Hashable, Flight[T]] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def join(self, key: Hashable) -> tuple[Flight[T], bool]:
        """Return the flight of ``key`` and whether the caller leads it."""
        if self._process != os.getpid():
            # A fork: the leaders stayed in the other process, and the lock may be held there.
            self._begin()
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            return self._lead(key), True

    def take_over(self, flight: Flight[T]) -> Flight[T] | None:
        """Lead in place of ``flight``'s leader; its other followers follow the new flight.

        Returns:
            The new flight; None when another follower was faster.
        """
        with self._lock:
            if self._flights.get(flight.key) is not flight:
                return None
            new = self._lead(flight.key)
        flight.land(None)
        return new

    def end(self, flight: Flight[T], *, failed: bool = False) -> None:
        """Take ``flight`` out, and wake its followers if it has not landed yet."""
        _leading.set(_leading.get() - {flight})
        with self._lock:
            self.landings += 1
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
        flight.land(None, failed=failed)

    def _lead(self, key: Hashable) -> Flight[T]:
        flight: Flight[T] = Flight(key)
        self._flights[key] = flight
        _leading.set(_leading.get() | {flight})
        return flight
