"""Looking through a whole cache file, and saving what can be read of a broken one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ..errors import DamagedEntryError
from . import sqlite_rows as sqlite_entries
from . import sqlite_schema
from .sqlite_rows import Row

_MAX_FAULTS = 20


def faults_of(connection: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the structure of the file, in SQLite's words; at most 20 lines."""
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_MAX_FAULTS})").fetchall()
    except sqlite3.DatabaseError as error:
        return [" ".join(str(error).split())]
    return [line for (line,) in rows if line != "ok"]


def damaged_keys(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield the keys of whole rows that are not what was stored."""
    for row in rows:
        try:
            sqlite_entries.entry_of(row)
        except DamagedEntryError:
            yield row[0]


def count_orphans(connection: sqlite3.Connection) -> int:
    """Return how many request texts no entry uses."""
    (orphans,) = connection.execute(
        "SELECT count(*) FROM llmcache_requests"
        " WHERE id NOT IN (SELECT request_id FROM llmcache_entries)"
    ).fetchone()
    return int(orphans)


def salvage(broken: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Copy every row that can be read and is whole, LangChain's table included."""
    with sqlite_schema.transaction(target):
        for row in _readable(broken, _REQUESTS):
            target.execute("INSERT OR IGNORE INTO llmcache_requests VALUES (?, ?)", row)
        for row in _readable(broken, _ENTRIES):
            if sqlite_entries.is_whole(row):
                target.execute(_INSERT_ENTRY, row)
        sqlite_entries.delete_orphans(target)
        with suppress(sqlite3.DatabaseError):
            totals = broken.execute("SELECT hits, saved_s FROM llmcache_totals").fetchone()
            target.execute("UPDATE llmcache_totals SET hits = ?, saved_s = ?", totals)
        for table in sqlite_schema.foreign_tables(broken):
            _salvage_foreign(broken, target, table)


@dataclass(frozen=True, slots=True)
class _Source:
    """A table to read from a broken file.

    Attributes:
        scans: Queries for row numbers, each through another tree of pages.
        row: The query for the row of a number.
    """

    scans: tuple[str, ...]
    row: str


_REQUESTS = _Source(
    ("SELECT id FROM llmcache_requests ORDER BY id",),
    "SELECT id, text FROM llmcache_requests WHERE id = ?",
)
_ENTRIES = _Source(
    (
        "SELECT id FROM llmcache_entries NOT INDEXED ORDER BY id",
        "SELECT id FROM llmcache_entries ORDER BY key",
        "SELECT id FROM llmcache_entries ORDER BY used_at",
    ),
    """
        SELECT key, created_at, provider_s, checksum, answer, request_id, used_at, hits,
            size_bytes, title, prompt
        FROM llmcache_entries NOT INDEXED WHERE id = ?
    """,
)
_INSERT_ENTRY = """
    INSERT OR IGNORE INTO llmcache_entries
        (key, created_at, provider_s, checksum, answer, request_id, used_at, hits,
        size_bytes, title, prompt)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def _salvage_foreign(broken: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    """Copy a table that LangChain made, with its indexes."""
    statements = broken.execute(
        "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql NOT NULL ORDER BY type DESC",
        (table,),
    ).fetchall()
    for (statement,) in statements:
        target.execute(statement)
    name = '"' + table.replace('"', '""') + '"'
    source = _Source(
        (f"SELECT rowid FROM {name} NOT INDEXED ORDER BY rowid",),  # noqa: S608  # quoted above
        f"SELECT * FROM {name} NOT INDEXED WHERE rowid = ?",  # noqa: S608  # quoted above
    )
    for row in _readable(broken, source):
        marks = ", ".join("?" * len(row))
        target.execute(f"INSERT OR IGNORE INTO {name} VALUES ({marks})", row)  # noqa: S608  # as above


def _readable(broken: sqlite3.Connection, source: _Source) -> Iterator[Row]:
    """Yield all rows that can be read.

    Their numbers are looked for from both ends of the table and of its indexes, so that a broken
    page costs the rows on it and no others.
    """
    numbers: set[int] = set()
    for scan in source.scans:
        for order in ("ASC", "DESC"):
            with suppress(sqlite3.DatabaseError):
                numbers.update(number for (number,) in broken.execute(f"{scan} {order}"))
    for number in sorted(numbers):
        with suppress(sqlite3.DatabaseError):
            yield from broken.execute(source.row, (number,)).fetchall()
