"""Single flight: equal requests in flight in one process are paid once.

The first asker leads and pays; the others follow and wait for its answer. Rules that keep this
from ever hanging:

- a sync follower never waits for a leader on its own thread (it would wait for itself, or for a
  task of a loop that it blocks);
- a flight ends whatever happens to its leader: an answer, an error, a cancelled task, an
  abandoned stream; followers of a leader without an answer ask again, and one of them leads;
- a flight that shows no life for ``STALLED_AFTER_S`` is no longer waited for, and no wait is
  longer than ``MAX_WAIT_S``; after that the follower pays for itself.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_WAIT_S = 300.0
STALLED_AFTER_S = 60.0
#: How often a waiting follower looks whether its leader is still alive, in seconds.
_LOOK_S = 1.0


@dataclass(slots=True, eq=False)
class Flight(Generic[T]):
    """One request that is being paid for right now."""

    leader_thread: int = field(default_factory=threading.get_ident)
    answer: T | None = None
    _alive_at: float = field(default_factory=time.monotonic)
    _landed: threading.Event = field(default_factory=threading.Event)
    _wakers: list[Callable[[], None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def show_life(self) -> None:
        """Tell followers that the answer is still growing."""
        self._alive_at = time.monotonic()

    def land(self, answer: T | None) -> None:
        """End the flight and wake every follower; None when there is no answer to share."""
        with self._lock:
            self.answer = answer
            self._landed.set()
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def wait(self) -> bool:
        """Block until the flight has landed; False when it was not worth waiting for."""
        if self.leader_thread == threading.get_ident():
            return self._landed.is_set()
        give_up_at = time.monotonic() + MAX_WAIT_S
        while not self._landed.wait(_LOOK_S):
            if self._is_lost(give_up_at):
                return False
        return True

    async def await_landing(self) -> bool:
        """Like ``wait``, without blocking the running event loop."""
        loop = asyncio.get_running_loop()
        landed = asyncio.Event()
        self._on_landing(lambda: _wake(loop, landed))
        give_up_at = time.monotonic() + MAX_WAIT_S
        while not self._landed.is_set():
            try:
                await asyncio.wait_for(landed.wait(), _LOOK_S)
            except TimeoutError:
                if self._is_lost(give_up_at):
                    return False
        return True

    def _is_lost(self, give_up_at: float) -> bool:
        now = time.monotonic()
        return now > give_up_at or now > self._alive_at + STALLED_AFTER_S

    def _on_landing(self, wake: Callable[[], None]) -> None:
        with self._lock:
            if not self._landed.is_set():
                self._wakers.append(wake)
                return
        wake()


def _wake(loop: asyncio.AbstractEventLoop, landed: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(landed.set)
    except RuntimeError:
        return  # the follower's loop was closed in the meantime, so nobody waits there any more


class Flights(Generic[T]):
    """The flights of one cache, by key."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, Flight[T]] = {}
        self._lock = threading.Lock()

    def join(self, key: Hashable) -> tuple[Flight[T], bool]:
        """Return the flight of ``key`` and whether the caller leads it."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            self._flights[key] = flight = Flight()
            return flight, True

    def land(self, key: Hashable, flight: Flight[T], answer: T | None) -> None:
        """End ``flight`` and wake its followers."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
        flight.land(answer)
