"""Holding a file to its bounds, and giving freed space back."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from .base import Bounds, low_mark
from .sqlite_rows import delete_orphans

_BATCH = 1000
#: Pages given back after a put, so that a put stays cheap.
_PAGES_A_PUT = 64
#: Pages given back in one transaction of ``prune``, so that others can write in between.
PAGES_A_STEP = 500
#: SQLite writes a file anew through memory here (temp_store).
_MAX_COMPACTED_BYTES = 1 << 28


@dataclass(slots=True)
class Evictor:
    """Deletes what is too old or least recently used, in batches and only when a bound is reached.

    The number of entries is counted now and then and estimated in between; other processes that
    write can pass the bound by the entries they add between two counts.
    """

    bounds: Bounds
    _entries: int | None = None
    _puts: int = 0

    def forget(self) -> None:
        """Count anew: a transaction failed, or the file is another one."""
        self._entries = None

    def after_put(self, connection: sqlite3.Connection, added: int, now: float) -> None:
        """Hold the bounds after ``added`` new entries were written in this transaction."""
        if self._is_over_entries(connection, added) or self._is_over_size(connection):
            evict(connection, self.bounds, now)
            self.forget()
            give_back(connection, _PAGES_A_PUT)

    def _is_over_entries(self, connection: sqlite3.Connection, added: int) -> bool:
        bound = self.bounds.max_entries
        if bound is None:
            return False
        self._puts += 1
        if self._entries is None or self._puts > bound - low_mark(bound):
            self._entries, self._puts = count(connection), 0
        else:
            self._entries += added
        return self._entries > bound

    def _is_over_size(self, connection: sqlite3.Connection) -> bool:
        bound = self.bounds.max_size_bytes
        return bound is not None and used_bytes(connection) > bound


def evict(connection: sqlite3.Connection, bounds: Bounds, now: float) -> int:
    """Delete what is too old, then the least recently used down to the bounds; return how many.

    The entry used last stays whatever its size.
    """
    evicted = expire(connection, bounds, now)
    if bounds.max_entries is not None:
        surplus = count(connection) - bounds.max_entries
        if surplus > 0:
            spare = bounds.max_entries - low_mark(bounds.max_entries)
            evicted += _delete_least_used(connection, surplus + spare)
    if bounds.max_size_bytes is not None and used_bytes(connection) > bounds.max_size_bytes:
        evicted += _evict_to_size(connection, low_mark(bounds.max_size_bytes))
    return evicted


def expire(connection: sqlite3.Connection, bounds: Bounds, now: float) -> int:
    """Delete what is too old at ``now``; return how many."""
    return connection.execute(
        "DELETE FROM llmcache_entries WHERE id IN"
        " (SELECT id FROM llmcache_entries WHERE created_at <= ?)",
        (bounds.oldest_good(now),),
    ).rowcount


def _evict_to_size(connection: sqlite3.Connection, bound_bytes: int) -> int:
    evicted = 0
    while (surplus := used_bytes(connection) - bound_bytes) > 0:
        entries = count(connection)
        average = max(1, used_bytes(connection) // max(1, entries))
        deleted = _delete_least_used(connection, min(_BATCH, surplus // average + 1, entries - 1))
        if not deleted:
            break
        evicted += deleted
    return evicted


def _delete_least_used(connection: sqlite3.Connection, number: int) -> int:
    if number <= 0:
        return 0
    return connection.execute(
        "DELETE FROM llmcache_entries WHERE id IN"
        " (SELECT id FROM llmcache_entries ORDER BY used_at, id LIMIT ?)",
        (number,),
    ).rowcount


def count(connection: sqlite3.Connection) -> int:
    """Return the number of entries."""
    (entries,) = connection.execute("SELECT count(*) FROM llmcache_entries").fetchone()
    return int(entries)


def file_bytes(connection: sqlite3.Connection) -> int:
    """Return what the file takes once its ``-wal`` is folded in."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(page_bytes)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return what the file takes without its free pages."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return file_bytes(connection) - int(free) * int(page_bytes)


def give_back(connection: sqlite3.Connection, pages: int) -> bool:
    """Cut up to ``pages`` free pages off the file; tell whether there are more."""
    (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if not mode or not free:
        return False
    for _ in range(min(free, pages)):
        # However many pages it names, Python steps this statement once, which frees one.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return bool(free > pages)


def compact(connection: sqlite3.Connection) -> None:
    """Make a file able to give space back: LangChain makes files that are not.

    That writes the file anew, so it is done outside any transaction, and only where more is won
    than is written.
    """
    (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    used = used_bytes(connection)
    if not mode and used < _MAX_COMPACTED_BYTES and used < file_bytes(connection) / 2:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")


def prune(connection: sqlite3.Connection, bounds: Bounds, now: float) -> int:
    """Delete what is too old or over the bounds, and request texts that nobody uses."""
    evicted = evict(connection, bounds, now)
    delete_orphans(connection)
    return evicted
