"""Holding a file to its bounds, and giving freed space back."""

from __future__ import annotations

import sqlite3

from .base import Bounds, low_mark
from .sqlite_query import count
from .sqlite_rows import delete_orphans
from .sqlite_schema import transaction

_BATCH = 1000
#: Pages given back after a put, so that a put stays cheap; and at a time otherwise.
_PAGES_A_PUT, _PAGES_A_STEP = 64, 500
#: SQLite writes a file anew through memory here (temp_store).
_MAX_COMPACTED_BYTES = 1 << 28


class Evictor:
    """Deletes what is too old or least recently used, in batches and only when a bound is reached.

    The number of entries is counted now and then and estimated in between; other processes that
    write can pass the bound by the entries they add between two counts.

    Args:
        bounds: What to hold.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.forget()

    def forget(self) -> None:
        """Count anew: a transaction failed, or the file is another one."""
        self._entries: int | None = None
        self._puts = 0

    def after_put(self, connection: sqlite3.Connection, added: int, now: float) -> None:
        """Hold the bounds after ``added`` new entries were written in this transaction."""
        max_size_bytes = self._bounds.max_size_bytes
        if self._is_over_entries(connection, added) or (
            max_size_bytes is not None and _used_bytes(connection) > max_size_bytes
        ):
            evict(connection, self._bounds, now)
            self.forget()
            _vacuum(connection, _PAGES_A_PUT)

    def _is_over_entries(self, connection: sqlite3.Connection, added: int) -> bool:
        bound = self._bounds.max_entries
        if bound is None:
            return False
        self._puts += 1
        if self._entries is None or self._puts > bound - low_mark(bound):
            self._entries, self._puts = count(connection), 0
        else:
            self._entries += added
        return self._entries > bound


def evict(connection: sqlite3.Connection, bounds: Bounds, now: float) -> int:
    """Delete what is too old, then the least recently used down to the bounds; return how many.

    The entry used last stays whatever its size.
    """
    evicted = connection.execute(
        "DELETE FROM llmcache_entries WHERE id IN"
        " (SELECT id FROM llmcache_entries WHERE created_at <= ?)",
        (bounds.oldest_good(now),),
    ).rowcount
    if bounds.max_entries is not None:
        surplus = count(connection) - bounds.max_entries
        if surplus > 0:
            spare = bounds.max_entries - low_mark(bounds.max_entries)
            evicted += _delete_least_used(connection, surplus + spare)
    if evicted:
        delete_orphans(connection)
    if bounds.max_size_bytes is not None and _used_bytes(connection) > bounds.max_size_bytes:
        evicted += _evict_to_size(connection, low_mark(bounds.max_size_bytes))
    return evicted


def _evict_to_size(connection: sqlite3.Connection, bound_bytes: int) -> int:
    evicted = 0
    while (surplus := _used_bytes(connection) - bound_bytes) > 0:
        entries = count(connection)
        average = max(1, _used_bytes(connection) // max(1, entries))
        deleted = _delete_least_used(connection, min(_BATCH, surplus // average + 1, entries - 1))
        if not deleted:
            break
        evicted += deleted
        delete_orphans(connection)
    return evicted


def _delete_least_used(connection: sqlite3.Connection, number: int) -> int:
    if number <= 0:
        return 0
    return connection.execute(
        "DELETE FROM llmcache_entries WHERE id IN"
        " (SELECT id FROM llmcache_entries ORDER BY used_at, id LIMIT ?)",
        (number,),
    ).rowcount


def file_bytes(connection: sqlite3.Connection) -> int:
    """Return what the file takes once its ``-wal`` is folded in."""
    return _pragma(connection, "page_count") * _pragma(connection, "page_size")


def _used_bytes(connection: sqlite3.Connection) -> int:
    """Return what the file takes without its free pages."""
    free = _pragma(connection, "freelist_count") * _pragma(connection, "page_size")
    return file_bytes(connection) - free


def give_back(connection: sqlite3.Connection) -> None:
    """Cut free pages off the file, outside any transaction, so that others can write in between.

    A file that is mostly free pages is written anew, which is quicker and works where LangChain
    made the file, too, whose free pages cannot be cut off.
    """
    used = _used_bytes(connection)
    if used < _MAX_COMPACTED_BYTES and used < file_bytes(connection) / 2:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
    more = True
    while more:
        with transaction(connection):
            more = _vacuum(connection, _PAGES_A_STEP)


def _vacuum(connection: sqlite3.Connection, pages: int) -> bool:
    """Cut up to ``pages`` free pages off the file; tell whether there are more."""
    free = _pragma(connection, "freelist_count")
    if not free or not _pragma(connection, "auto_vacuum"):
        return False
    for _ in range(min(free, pages)):
        # However many pages it names, Python steps this statement once, which frees one.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return free > pages


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
