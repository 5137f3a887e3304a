"""What waits to be written: counts of hits, and entries until the place is free.

Whoever has his answer waits for its storing only a moment. What cannot be stored at once is kept
here, is found here, and is stored by a thread in the background. A killed process loses it.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection
from contextlib import suppress

from ..errors import StoreError, said_by
from ..ledger import Entry
from ..text import format_count
from .base import BusyError, Store

#: What the waiting entries may take in memory.
MAX_WAITING_BYTES = 1 << 26
#: How long the thread pauses between two tries, in seconds; longer and longer.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.02, 0.25
#: How long the end of a process waits for the place to be free, in seconds.
_LAST_PATIENCE_S = 5.0

#: A reader that never writes forgets which entries it hit beyond this many.
_MAX_KEYS = 10_000


class PendingHits:
    """Counts hits in memory, so that a hit costs no write. Not safe in threads by itself."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, because it was written or is somebody else's."""
        self.by_key: dict[bytes, tuple[int, float]] = {}
        self.hits = 0
        self.saved_s = 0.0

    def add(self, key: bytes, now: float, saved_s: float | None) -> None:
        """Count one hit at ``now`` that saved ``saved_s`` provider seconds."""
        self.hits += 1
        self.saved_s += saved_s or 0.0
        known = self.by_key.get(key)
        if known or len(self.by_key) < _MAX_KEYS:
            self.by_key[key] = (known[0] + 1 if known else 1, now)

    def take_back(self, earlier: PendingHits) -> None:
        """Count what ``earlier`` holds again, because it could not be written."""
        self.hits += earlier.hits
        self.saved_s += earlier.saved_s
        for key, (hits, used_at) in earlier.by_key.items():
            known_hits, known_at = self.by_key.get(key, (0, 0.0))
            self.by_key[key] = (known_hits + hits, max(known_at, used_at))

    def added_to(self, entry: Entry) -> Entry:
        """Return a whole entry with the hits that are not written yet."""
        hits, used_at = self.by_key.get(entry.key, (0, 0.0))
        return entry._replace(hits=entry.hits + hits, used_at=max(entry.used_at, used_at))

    def rows(self) -> list[tuple[int, float, bytes]]:
        """Return (hits, used_at, key) of each entry that was hit."""
        return [(*counted, key) for key, counted in self.by_key.items()]


class WriteBehind:
    """Keeps entries and has them committed, in order and each key's last one only.

    Args:
        commit: Commits all that waits (``taken``, then ``done``). A BusyError leaves it waiting,
            another StoreError loses it.
        busy: Why entries wait, in a few words.
        remedy: What the user can do about it.
    """

    def __init__(self, commit: Callable[[], None], *, busy: str, remedy: str) -> None:
        self._commit = commit
        self._busy = busy
        self._remedy = remedy
        self._lost: set[bytes] = set()
        self._fault = ""
        self.reset()
        _all.add(self)

    def reset(self) -> None:
        """Forget what waits: it is another process's to store."""
        self._waiting: dict[bytes, Entry] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()

    @property
    def notice(self) -> str | None:
        """What waits or is lost, and why, in one line; None when all is stored."""
        told = []
        if self._lost:
            told.append(f"not stored: {format_count(len(self._lost), 'answer')}: {self._fault}")
        if self._waiting:
            told.append(f"not yet stored: {format_count(len(self), 'answer')}: {self._busy}")
        return "; ".join(told) or None

    def __len__(self) -> int:
        """Return how many entries wait."""
        return len(self._waiting)

    def get(self, key: bytes) -> Entry | None:
        """Return the waiting entry of ``key``."""
        return self._waiting.get(key)

    def put(self, entries: Collection[Entry], write: Callable[[Collection[Entry]], None]) -> bool:
        """Store ``entries`` by ``write``, or behind what waits; return whether they are stored.

        Raises:
            StoreError: They cannot be stored, or too much waits already.
        """
        if not self._waiting:
            with suppress(BusyError):
                write(entries)
                return True
        self._add(entries)
        return False

    def _add(self, entries: Collection[Entry]) -> None:
        """Keep ``entries`` and see that they will be committed."""
        with self._lock:
            size_bytes = sum(map(_size_bytes, [*self._waiting.values(), *entries]))
            if size_bytes > MAX_WAITING_BYTES:
                waiting = format_count(len(self._waiting), "answer")
                raise StoreError(f"{waiting} not yet stored, and no more can wait", self._remedy)
            self._waiting.update((entry.key, entry) for entry in entries)
            self._lost.difference_update(self._waiting)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="jupyter_llmcache-store", daemon=True
                )
                self._thread.start()

    def taken(self) -> list[Entry]:
        """Return what waits, to be committed."""
        with self._lock:
            return list(self._waiting.values())

    def done(self, entries: Collection[Entry]) -> None:
        """Let go of ``entries``, which are committed; of the same keys there may be newer ones."""
        with self._lock:
            for entry in entries:
                if self._waiting.get(entry.key) is entry:
                    del self._waiting[entry.key]

    def drop(self, keys: Collection[bytes] | None = None) -> set[bytes]:
        """Let go of what waits under ``keys``, or of all; return the keys of what that was."""
        with self._lock:
            gone = set(self._waiting) if keys is None else self._waiting.keys() & keys
            for key in gone:
                del self._waiting[key]
            return gone

    def flush(self, timeout_s: float) -> int:
        """Commit what waits; return how many entries still wait after ``timeout_s`` seconds."""
        deadline = time.monotonic() + timeout_s
        pause_s = _FIRST_PAUSE_S
        while self._waiting and not self._tried():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)
        return len(self._waiting)

    def hurry(self, timeout_s: float) -> set[bytes]:
        """Have the thread try now; return the keys of what is not stored after ``timeout_s``."""
        thread = self._thread
        if thread is not None:
            self._hurry.set()
            thread.join(timeout_s)
        with self._lock:
            return {*self._waiting, *self._lost}

    def end(self) -> None:
        """Commit what waits, and say in one line how much is lost; the store is closed after it."""
        self.flush(_LAST_PATIENCE_S)
        lost = len(self.hurry(0))
        self._lost.clear()
        self.drop()
        if lost:
            told = f"not stored: {format_count(lost, 'answer')}: {self._fault or self._busy}"
            print(f"jupyter_llmcache: {told}", file=sys.stderr)  # noqa: T201  # at the end nobody else tells

    def _tried(self) -> bool:
        try:
            self._commit()
        except BusyError:
            return False
        except Exception as error:  # noqa: BLE001  # the thread goes on, whatever fault one entry has
            self._fault = said_by(error)
            self._lost |= set(self._waiting)
            self.drop()
        return True

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            self._hurry.wait(pause_s)
            self._hurry.clear()
            pause_s = _FIRST_PAUSE_S if self._tried() else min(2 * pause_s, _LAST_PAUSE_S)
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return


_all: weakref.WeakSet[WriteBehind] = weakref.WeakSet()


def hurry(timeout_s: float) -> set[bytes]:
    """Have all that waits tried now, each for ``timeout_s``; return the keys of what is left."""
    return {key for each in list(_all) for key in each.hurry(timeout_s)}


def _size_bytes(entry: Entry) -> int:
    return len(entry.answer) + len(entry.prompt) + len(entry.title)


#: What a process that ends still has open.
_open_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def close_at_exit(store: Store) -> None:
    """Have ``store`` closed when the process ends, as when a kernel is shut down or restarted."""
    _open_stores.add(store)


@atexit.register
def _close_all() -> None:
    for store in list(_open_stores):
        with suppress(StoreError):
            store.close()
