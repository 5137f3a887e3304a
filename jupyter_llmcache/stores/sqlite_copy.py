"""Copying entries into a new file: clean, for others; or saved from a broken one.

The same entries give the same clean bytes, wherever and whenever. Rows go in by the order of their
keys, with their payloads as they are (two builds of zlib compress alike texts to unlike bytes),
without what a session leaves behind (hits, times of use, free pages). Last, the bytes of the header
that count changes and name SQLite's version get a fixed value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

from ..errors import DamagedEntryError, StoreError
from ..ledger import Entry
from . import sqlite_rows, sqlite_schema, sqlite_write
from .base import Payload
from .sqlite_open import ApartOpening, connect, is_wal_file

_PAGE_BYTES = 4096
_BATCH = 1000
#: Where the header counts changes of the file, and says for which of them and by which version of
#: SQLite its size in pages was written. The size is believed when the first two are equal.
_CHANGES, _SIZE_VALID_FOR, _SQLITE_VERSION = 24, 92, 96
_FIXED_COUNT = (1).to_bytes(4, "big")
_FIXED_VERSION = (3_037_000).to_bytes(4, "big")
_MAX_FAULTS = 20
#: Row numbers that are tried beyond the last that an index or the table tells of.
_TRIED_BEYOND = 10_000
#: A row takes more, so that a file has room for no more rows than this allows.
_LEAST_ROW_BYTES = 16
#: No file has counted as far: where a broken page tells of more, there is no row.
_NO_ROW = 1 << 48


def write_clean(path: Path, source: Iterable[Entry | Payload]) -> int:
    """Fill the empty file ``path``, which nobody else uses, and return with how many entries.

    Args:
        path: The file.
        source: The entries in key order; rows are copied as they are.

    Raises:
        StoreError: The source cannot be read, or an entry is damaged.
        sqlite3.Error, OSError: The file cannot be written.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # A draft: nobody else sees it, and a killed process leaves the old file.
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"page_size = {_PAGE_BYTES}"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        sqlite_schema.migrate(connection, path.name)
        count = _fill(connection, source)
        connection.execute("VACUUM")
    with path.open("r+b") as file:
        for place, value in (
            (_CHANGES, _FIXED_COUNT),
            (_SIZE_VALID_FOR, _FIXED_COUNT),
            (_SQLITE_VERSION, _FIXED_VERSION),
        ):
            file.seek(place)
            file.write(value)
    return count


def _fill(connection: sqlite3.Connection, source: Iterable[Entry | Payload]) -> int:
    count = 0
    embeddings: list[Entry] = []  # they lie in blocks, which are made anew
    with sqlite_schema.transaction(connection):
        for count, each in enumerate(source, 1):  # noqa: B007  # it is the result
            entry = each if isinstance(each, Entry) else sqlite_rows.entry_of(each[0], each[1])
            # It was last used when it was made.
            entry = entry._replace(hits=0, used_at=entry.created_at)
            if entry.kind == "embedding":
                embeddings.append(entry)
            elif isinstance(each, Entry):
                sqlite_write.put(connection, [entry])
            else:
                sqlite_write.put_row(connection, each[0], each[1], (0, entry.created_at))
            if len(embeddings) == _BATCH:
                sqlite_write.put(connection, embeddings)
                embeddings.clear()
        sqlite_write.put(connection, embeddings)
    return count


# --- a broken file ---


def faults_of(connection: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the structure of the file, in SQLite's words; at most 20 lines."""
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_MAX_FAULTS})").fetchall()
    except sqlite3.DatabaseError as error:
        return [" ".join(str(error).split())]
    return [line for (line,) in rows if line != "ok"]


def is_damaged(row: sqlite_rows.Row, request: object) -> bool:
    """Tell whether an entry or its request text is not what was stored."""
    try:
        entry = sqlite_rows.entry_of(row, request)
    except DamagedEntryError:
        return True
    is_lost = entry.request == "" and row[8] != sqlite_rows.NO_REQUEST
    return is_lost or not sqlite_rows.has_fit_figures(row)


def mend(connection: sqlite3.Connection, damaged: Collection[Payload]) -> None:
    """Delete damaged entries and what nobody uses; where an answer is whole, keep that."""
    sqlite_write.delete(connection, [row[0] for row, _ in damaged])
    for row, request in damaged:
        with suppress(DamagedEntryError):
            sqlite_write.put(connection, [sqlite_rows.entry_of(row, request, mend=True)])
    sqlite_write.delete_orphans(connection)


def rescue(path: Path, fresh: Path, location: str) -> None:
    """Copy every entry whose answer can be read and is whole, and LangChain's rows.

    Args:
        path: The broken file; it may be cut off. A private copy of it is read.
        fresh: An empty file, which nobody else uses.
        location: How errors name the broken file.

    Raises:
        StoreError: Nothing can be read, or it is not a cache file.
    """
    with closing(ApartOpening(path, 0, is_wal=is_wal_file(path, location), broken=True)) as broken:
        try:
            version = sqlite_schema.version_of(broken.connection, location)
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"nothing in {location} can be read: {error}",
                "Put a copy of it in its place, or record it again",
            ) from error
        with closing(connect(fresh, "rw", 0)) as target:
            target.execute("PRAGMA auto_vacuum = INCREMENTAL")
            sqlite_schema.migrate(target, location)
            with sqlite_schema.transaction(target):
                rows = path.stat().st_size // _LEAST_ROW_BYTES
                if version:
                    _save_entries(broken.connection, target, rows)
                _save_langchain_rows(broken.connection, target, rows)


def _save_entries(broken: sqlite3.Connection, target: sqlite3.Connection, rows: int) -> None:
    for entry in _readable(broken, rows):
        sqlite_write.put(target, [entry])
    with suppress(sqlite3.DatabaseError, TypeError):
        totals = broken.execute("SELECT hits, saved_s FROM llmcache_totals").fetchone()
        target.execute("UPDATE llmcache_totals SET hits = ?, saved_s = ?", totals)


def _readable(broken: sqlite3.Connection, rows: int) -> Iterator[Entry]:
    """Yield every entry with a whole answer, and what is whole of its texts.

    Rows are looked for one by one, so that a broken page costs the rows on it and no others.
    """
    texts: dict[object, object] = {}
    for number in _row_numbers(broken, "llmcache_entries", ("id", "key", "used_at"), rows):
        with suppress(sqlite3.DatabaseError, DamagedEntryError):
            where = f"{sqlite_rows.READ} WHERE llmcache_entries.id = ?"
            row = broken.execute(where, (number,)).fetchone()
            if row is None:
                continue
            request: object = None
            with suppress(sqlite3.DatabaseError):
                request = sqlite_rows.packed_request(broken, row[8], texts)
            yield sqlite_rows.entry_of(row, request, mend=True)


def _row_numbers(
    broken: sqlite3.Connection, table: str, orders: tuple[str, ...], rows: int
) -> Iterator[int]:
    """Yield all numbers that a row of ``table`` may have.

    They are looked for from both ends of the table and of its indexes; what lies between and a
    little beyond is tried, for the pages that tell of it may be those that are lost. A broken page
    can tell of any number, so that no more are tried between than the file has room for ``rows``.
    """
    numbers: set[int] = set()
    for order in orders:
        for way in ("ASC", "DESC"):
            scan = f"SELECT rowid FROM {table} ORDER BY {order} {way}"  # noqa: S608  # our names
            with suppress(sqlite3.DatabaseError):
                # A broken page can lead back to itself.
                numbers.update(number for (number,) in islice(broken.execute(scan), rows))
    before = 0
    for number in sorted(each for each in numbers if 0 < each < _NO_ROW):
        between = range(before + 1, number)[:rows]
        rows -= len(between)
        yield from between
        yield number
        before = number
    yield from range(before + 1, before + _TRIED_BEYOND)


def _save_langchain_rows(broken: sqlite3.Connection, target: sqlite3.Connection, rows: int) -> None:
    for table, columns in sqlite_schema.LANGCHAIN_TABLES.items():
        there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        if not broken.execute(there, (table,)).fetchone():
            continue
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        key = "id" if "id" in columns else "prompt, llm, idx"
        typed = ", ".join(f"{name} {'INTEGER' if name == 'idx' else 'VARCHAR'}" for name in columns)
        target.execute(f"CREATE TABLE {table} ({typed}, PRIMARY KEY ({key}))")
        for number in _row_numbers(broken, table, ("rowid",), rows):
            with suppress(sqlite3.DatabaseError):
                row = broken.execute(
                    f"SELECT {names} FROM {table} WHERE rowid = ?",  # noqa: S608  # fixed names
                    (number,),
                ).fetchone()
                if row:
                    target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608  # as above
