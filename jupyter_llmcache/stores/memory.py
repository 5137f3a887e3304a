"""Entries in the memory of this process."""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from .base import FOUND_KEYS, Hit, LifeTotals, Record, SortOrder, Summary, Verification
from .bounds import Bounds, low_mark
from .sorting import sort_value


@dataclass(slots=True)
class _Entry:
    record: Record
    size_bytes: int
    used_at: float
    hits: int = 0


class MemoryStore:
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
    location = "memory"
    read_only = False
    notice: str | None = None

    def __init__(
        self,
        max_entries: int | None = None,
        ttl_s: float | None = None,
        max_size_bytes: int | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.bounds = Bounds(ttl_s, max_entries, max_size_bytes)
        self._clock = clock
        self._lock = threading.RLock()
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()  # the least recently used first
        self._size_bytes = 0
        self._hits = 0
        self._saved_s = 0.0

    def get(self, key: bytes) -> Hit | None:
        """Return the entry of ``key`` and count a hit; None when there is none or it is too old."""
        with self._lock:
            entry = self._entries.get(key)
            now = self._clock()
            if entry is None or entry.record.created_at <= self.bounds.oldest_good(now):
                return None
            record = entry.record
            entry.hits += 1
            entry.used_at = now
            self._entries.move_to_end(key)
            self._hits += 1
            self._saved_s += record.provider_s or 0.0
            return Hit(record.answer, record.created_at, record.provider_s)

    def read(self, key: bytes) -> Record | None:
        """Return the whole entry without counting a hit."""
        with self._lock:
            entry = self._entries.get(key)
            return entry.record if entry else None

    def put(self, record: Record) -> None:
        """Store ``record`` in one step, in place of an entry of the same key."""
        self.put_many((record,))

    def put_many(self, records: Collection[Record]) -> None:
        """Store all of ``records``, and hold the bounds after the last of them."""
        with self._lock:
            for record in records:
                self._put(record)
            self._evict()

    def delete(self, keys: Collection[bytes]) -> int:
        """Delete entries and return how many there were."""
        with self._lock:
            return sum(self._remove(key) for key in set(keys))

    def clear(self) -> None:
        """Delete every entry."""
        with self._lock:
            self._entries.clear()
            self._size_bytes = 0

    def prune(self) -> int:
        """Delete what is too old now and return how many that were."""
        with self._lock:
            return self._expire() + self._evict()

    def count(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def size_bytes(self) -> int:
        """Return the size of all answers and prompts."""
        return self._size_bytes

    def find(self, prefix: str) -> list[bytes]:
        """Return the keys whose hexadecimal form begins with ``prefix`` (at most 20)."""
        with self._lock:
            found = [key for key in self._entries if key.hex().startswith(prefix.lower())]
        return sorted(found)[:FOUND_KEYS]

    def summaries(
        self,
        *,
        sort: SortOrder = "recent",
        limit: int | None = None,
        request_contains: str | None = None,
        text_contains: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> list[Summary]:
        """Return lines for a list; see ``Store.summaries``."""
        with self._lock:
            found = [
                _summary(entry)
                for entry in self._entries.values()
                if _contains(entry.record.request, request_contains)
                and _contains(entry.record.prompt, text_contains)
                and (since is None or entry.record.created_at >= since)
                and (until is None or entry.record.created_at <= until)
            ]
        found.sort(key=lambda line: sort_value(line, sort), reverse=True)
        return found[:limit]

    def requests(self) -> list[str]:
        """Return the distinct request texts of all entries."""
        with self._lock:
            return sorted({entry.record.request for entry in self._entries.values()})

    def records(self, keys: Collection[bytes] | None = None) -> Iterator[Record]:
        """Yield whole entries (all, or those of ``keys``) in key order."""
        with self._lock:
            wanted = sorted(self._entries if keys is None else set(keys))
        for key in wanted:
            record = self.read(key)
            if record is not None:
                yield record

    def life_totals(self) -> LifeTotals:
        """Return what the store has done since it was made."""
        with self._lock:
            return LifeTotals(self._hits, self._saved_s)

    def verify(self, *, repair: bool = False) -> Verification:  # noqa: ARG002  # nothing can be damaged
        """Tell how many entries there are."""
        return Verification(self.count())

    def flush(self) -> None:
        """Do nothing: there is nothing behind this store."""

    def close(self) -> None:
        """Let the entries go."""
        self.clear()

    def _put(self, record: Record) -> None:
        self._remove(record.key)
        size_bytes = len(record.answer) + len(record.prompt.encode("utf-8", "replace"))
        kept = replace(record, request=sys.intern(str(record.request)))
        self._entries[record.key] = _Entry(kept, size_bytes, self._clock())
        self._size_bytes += size_bytes

    def _remove(self, key: bytes) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._size_bytes -= entry.size_bytes
        return True

    def _expire(self) -> int:
        limit = self.bounds.oldest_good(self._clock())
        old = [key for key, entry in self._entries.items() if entry.record.created_at <= limit]
        return sum(self._remove(key) for key in old)

    def _is_over(self, max_entries: int | None, max_size_bytes: int | None) -> bool:
        return (max_entries is not None and len(self._entries) > max_entries) or (
            max_size_bytes is not None and self._size_bytes > max_size_bytes
        )

    def _evict(self) -> int:
        """Hold the bounds; the entry stored last stays whatever its size."""
        entries, size_bytes = self.bounds.max_entries, self.bounds.max_size_bytes
        if not self._is_over(entries, size_bytes):
            return 0
        before = len(self._entries)
        self._expire()
        entries, size_bytes = (bound and low_mark(bound) for bound in (entries, size_bytes))
        while len(self._entries) > 1 and self._is_over(entries, size_bytes):
            self._remove(next(iter(self._entries)))
        return before - len(self._entries)


def _summary(entry: _Entry) -> Summary:
    record = entry.record
    return Summary(
        key=record.key,
        request=record.request,
        title=record.title,
        created_at=record.created_at,
        provider_s=record.provider_s,
        size_bytes=entry.size_bytes,
        hits=entry.hits,
        used_at=entry.used_at,
    )


def _contains(text: str, part: str | None) -> bool:
    return part is None or part.lower() in text.lower()
