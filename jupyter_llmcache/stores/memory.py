"""Entries in the memory of this process."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Unpack

from ..ledger import Entry
from .base import LifeTotals, Store, Which, past, select


class MemoryStore(Store):
    """A store that ends with the process.

    Only immutable values go in and out, so nobody can change what is stored.

    Args:
        max_entries: How many entries it holds; the least recently used goes first. None: no bound.
        ttl_s: How long an entry is good, in seconds. None: for ever.
        max_size_bytes: How much the entries may take. None: no bound.
        clock: Returns the Unix time in seconds.

    Raises:
        LLMCacheError: A bound is not above zero.
    """

    backend = "memory"

    def __init__(
        self,
        *,
        max_entries: int | None = None,
        ttl_s: float | None = None,
        max_size_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            ttl_s=ttl_s, max_entries=max_entries, max_size_bytes=max_size_bytes, clock=clock
        )
        self._lock = threading.RLock()
        self._entries: dict[bytes, Entry] = {}
        self._size_bytes = 0
        self._totals = LifeTotals(0, 0.0)

    def get(self, key: bytes) -> Entry | None:
        """Return the entry of ``key`` and count a hit; None when there is none or it is too old."""
        with self._lock:
            entry = self._entries.get(key)
            now = self._clock()
            if entry is None or entry.created_at <= self.bounds.oldest_good(now):
                return None
            del self._entries[key]  # the last used stands last
            self._entries[key] = entry._replace(hits=entry.hits + 1, used_at=now)
            hits, saved_s = self._totals
            self._totals = LifeTotals(hits + 1, saved_s + (entry.provider_s or 0.0))
            return entry.answer_alone()

    def read(self, key: bytes) -> Entry | None:
        """Return the whole entry without counting a hit."""
        return self._entries.get(key)

    def put_many(self, entries: Collection[Entry]) -> bool:
        """Store all of ``entries``, and hold the bounds after the last of them."""
        with self._lock:
            for entry in entries:
                self._remove(entry.key)
                size_bytes = len(entry.answer) + len(entry.prompt.encode("utf-8", "replace"))
                self._size_bytes += size_bytes
                self._entries[entry.key] = entry._replace(
                    request=sys.intern(str(entry.request)),
                    size_bytes=size_bytes,
                    hits=0,
                    used_at=self._clock(),
                )
            _, max_entries, max_size_bytes = self.bounds
            if (max_entries is not None and len(self._entries) > max_entries) or (
                max_size_bytes is not None and self._size_bytes > max_size_bytes
            ):
                self.prune()
            return True

    def delete(self, keys: Collection[bytes]) -> int:
        """Delete entries and return how many there were."""
        with self._lock:
            return sum(self._remove(key) for key in set(keys))

    def entries(self, **which: Unpack[Which]) -> Iterator[Entry]:
        """Yield entries; see ``Which``."""
        with self._lock:
            held = list(self._entries.values())
        return select(held, **which)

    def prune(self) -> int:
        """Delete what is too old or over the bounds now, and return how many that were."""
        with self._lock:
            gone = past(self.bounds, list(reversed(self._entries.values())), self._clock())
            return self.delete([entry.key for entry in gone])

    def count(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def size_bytes(self) -> int:
        """Return the size of all answers and prompts."""
        return self._size_bytes

    def life_totals(self) -> LifeTotals:
        """Return what the store has done since it was made."""
        return self._totals

    def close(self) -> None:
        """Have nothing to give back: the entries go with the last who holds the store."""

    def _remove(self, key: bytes) -> bool:
        entry = self._entries.pop(key, None)
        self._size_bytes -= entry.size_bytes if entry else 0
        return entry is not None
