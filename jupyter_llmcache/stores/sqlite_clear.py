"""Emptying a cache file at once, however large it is."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

from . import sqlite_query as sqlite_lists
from . import sqlite_rows as sqlite_entries
from . import sqlite_schema
from .sqlite_hits import PendingHits


def clear(connection: sqlite3.Connection, pending: PendingHits, busy_timeout_s: float) -> None:
    """Delete every entry of ours; the life totals stay, and ``pending`` is added to them.

    Dropping a table visits each of its pages, ten seconds of work at a million entries. Where the
    file holds nothing but ours, SQLite's backup puts an empty database in its place in one step, in
    a transaction like any other.

    Args:
        connection: Outside any transaction.
        pending: Hits that are not written yet.
        busy_timeout_s: How long to wait for other programs that write, in seconds.

    Raises:
        sqlite3.Error: The file cannot be written; it is as it was.
    """
    if sqlite_schema.foreign_tables(connection):
        with sqlite_schema.transaction(connection):
            sqlite_entries.write_hits(connection, pending)
            connection.execute("DELETE FROM llmcache_entries")
            connection.execute("DELETE FROM llmcache_requests")
        return
    totals = sqlite_lists.life_totals(connection)
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        empty.execute(f"PRAGMA page_size = {page_bytes}")
        empty.execute("PRAGMA auto_vacuum = INCREMENTAL")
        sqlite_schema.migrate(empty, "memory")
        empty.execute(
            "UPDATE llmcache_totals SET hits = ?, saved_s = ?", (totals.hits, totals.saved_s)
        )
        sqlite_entries.write_hits(empty, pending)
        empty.backup(connection, progress=_patience(busy_timeout_s), sleep=0.01)


def _patience(seconds: float) -> Callable[[int, int, int], None]:
    """Return what ends a backup that would wait for a lock for ever."""
    deadline = time.monotonic() + seconds

    def check(status: int, _remaining: int, _total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > deadline:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = status
            raise error

    return check
