"""What looks at a whole file: lists and searches, a clean copy for others, what a broken one holds.

Questions over many entries are answered from the small columns and in bounded memory.

The same entries give the same clean bytes, wherever and whenever. Rows go in by the order of their
keys, with their payloads as they are (two builds of zlib compress alike texts to unlike bytes),
without what a session leaves behind (hits, times of use, free pages). Last, the bytes of the header
that count changes and name SQLite's version get a fixed value.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import DamagedEntryError, StoreError
from ..ledger import KINDS, Entry
from . import sqlite_tables
from .base import FOUND_KEYS, KEY_BYTES, LifeTotals, Payload, SortOrder, Which
from .sqlite_open import ApartOpening, connect, is_wal_file
from .sqlite_rows import (
    NO_REQUEST,
    READ,
    Row,
    entry_of,
    has_fit_figures,
    kind_of,
    number,
    packed_request,
    request_of,
    time_of,
    unpack_text,
)
from .write_behind import PendingHits

_SORTS: dict[SortOrder, str] = {
    "key": "key",
    "recent": "created_at",
    "used": "max(used_at, coalesce(new_used_at, 0))",
    "size": "size_bytes",
    "saved": "(hits + coalesce(new_hits, 0)) * coalesce(provider_s, 0)",
}
#: What each part of ``Which`` asks of an entry.
_CONDITIONS = {
    "keys": "llmcache_is_wanted(key)",
    "kind": "kind = :kind",
    "since": "created_at >= :since",
    "until": "created_at <= :until",
    "request_contains": "request_id IN (SELECT id FROM llmcache_requests"
    " WHERE llmcache_contains(text, :request_contains))",
    # LIKE is several times as fast.
    "text_contains": "CASE WHEN :pattern <> '' AND typeof(prompt) = 'text'"
    " THEN prompt LIKE :pattern ESCAPE '\\' ELSE llmcache_contains(prompt, :text_contains) END",
}
_WITH_PENDING = "llmcache_entries AS e LEFT JOIN temp.pending_hits AS p ON p.id = e.id"
_LINE = "key, kind, request_id, title, created_at, provider_s, size_bytes"


def select(connection: sqlite3.Connection, pending: PendingHits, which: Which) -> list[Entry]:
    """Return entries without answers and prompts; see ``Which``."""
    _show(connection, pending)
    asked: dict[str, Any] = {name: value for name, value in which.items() if value is not None}
    wanted = frozenset(asked.get("keys", ()))
    connection.create_function("llmcache_is_wanted", 1, wanted.__contains__, deterministic=True)
    connection.create_function("llmcache_contains", 2, _contains, deterministic=True)
    where = " AND ".join(_CONDITIONS[name] for name in asked if name in _CONDITIONS) or "1"
    sort = which.get("sort", "key")
    order = "ORDER BY key" if sort == "key" else f"ORDER BY {_SORTS[sort]} DESC, key DESC"
    # The rows to show are found by the small index; only they are read whole.
    rows = connection.execute(
        f"""
        SELECT {_LINE}, hits + coalesce(new_hits, 0), {_SORTS["used"]}
        FROM {_WITH_PENDING}
        WHERE e.id IN (SELECT e.id FROM {_WITH_PENDING} WHERE {where} {order} LIMIT :limit) {order}
        """,  # noqa: S608  # put together from constants of this module
        {
            "limit": -1,  # none
            **asked,
            "kind": KINDS.index(asked.get("kind", "answer")),
            "request_contains": asked.get("request_contains", "").lower(),
            "text_contains": asked.get("text_contains", "").lower(),
            "pattern": _pattern(asked.get("text_contains", "")),
        },
    )
    return _lines(connection, rows.fetchall())


def titled_like(
    connection: sqlite3.Connection, pieces: Collection[str], limit: int, ties: int
) -> list[Entry]:
    """Return the entries whose titles hold the most pieces; see ``Store.titled_like``."""
    different = list(dict.fromkeys(pieces))
    held = " + ".join(["(instr(title, ?) > 0)"] * len(different)) or "0"
    # Only numbers are sorted, so that no row is read whole but those that are chosen.
    asked = f"SELECT {held} AS held, id FROM llmcache_entries ORDER BY held DESC LIMIT ?"  # noqa: S608  # of constants
    found = connection.execute(asked, (*different, limit)).fetchall()
    if len(found) == limit and found[0][0] == found[-1][0]:
        every = connection.execute(asked, (*different, ties)).fetchall()
        found = [each for each in every if each[0] == found[0][0]]
    statement = f"SELECT {_LINE}, hits, used_at FROM llmcache_entries WHERE id = ?"  # noqa: S608  # as above
    rows = (connection.execute(statement, (row_id,)).fetchone() for _, row_id in found)
    return _lines(connection, [row for row in rows if row])


def find(connection: sqlite3.Connection, prefix: str) -> list[bytes]:
    """Return the keys whose hexadecimal form begins with ``prefix`` (at most 20)."""
    try:
        low, high = (bytes.fromhex(prefix.ljust(2 * KEY_BYTES, filler)) for filler in "0f")
    except ValueError:
        return []
    rows = connection.execute(
        "SELECT key FROM llmcache_entries WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
        (low, high, FOUND_KEYS),
    )
    return [key for (key,) in rows]


def requests(connection: sqlite3.Connection) -> list[str]:
    """Return the distinct request texts of all entries."""
    rows = connection.execute("SELECT DISTINCT request_id FROM llmcache_entries").fetchall()
    packed = ((row_id, packed_request(connection, row_id, {})) for (row_id,) in rows)
    return sorted({request_of(text, row_id) for row_id, text in packed})


def life_totals(connection: sqlite3.Connection) -> LifeTotals:
    """Return what the file says of its life."""
    row = connection.execute("SELECT sum(hits), sum(saved_s) FROM llmcache_totals").fetchone()
    hits, saved_s = (number(total) or 0 for total in row)
    return LifeTotals(int(hits), float(saved_s))


def _show(connection: sqlite3.Connection, pending: PendingHits) -> None:
    """Let queries see the hits that are not written yet."""
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS pending_hits"
        " (id INTEGER PRIMARY KEY, new_hits, new_used_at)"
    )
    connection.execute("DELETE FROM temp.pending_hits")
    connection.executemany(
        "INSERT INTO temp.pending_hits SELECT id, ?, ? FROM llmcache_entries WHERE key = ?",
        pending.rows(),
    )


def _lines(connection: sqlite3.Connection, rows: Collection[Row]) -> list[Entry]:
    """Return entries for lists, whatever damaged rows hold in columns that no checksum guards:
    nobody could find and delete what a list leaves out.
    """
    texts: dict[object, object] = {}
    return [
        Entry(
            key if type(key) is bytes else str(key).encode(),
            b"",
            time_of(created_at) or 0.0,
            time_of(provider_s),
            kind_of(kind),
            request=request_of(packed_request(connection, request_id, texts), request_id),
            title=title if type(title) is str else "",
            size_bytes=int(number(size_bytes) or 0),
            hits=int(number(hits) or 0),
            used_at=time_of(used_at) or time_of(created_at) or 0.0,
        )
        for key, kind, request_id, title, created_at, provider_s, size_bytes, hits, used_at in rows
    ]


def _contains(packed: object, part: str) -> bool:
    try:
        return part in unpack_text(packed).lower()
    except DamagedEntryError:
        return False


def _pattern(text: str) -> str:
    """Return what finds ``text`` by LIKE; empty where a letter has two cases that LIKE tells apart.

    To LIKE only ASCII letters have two cases.
    """
    if not all(letter.isascii() or letter.lower() == letter.upper() for letter in text):
        return ""
    escaped = re.sub(r"([%_\\])", r"\\\1", text)
    return f"%{escaped}%"


# --- a clean copy ---

_PAGE_BYTES = 4096
_BATCH = 1000
#: Where the header counts changes of the file, and says for which of them and by which version of
#: SQLite its size in pages was written. The size is believed when the first two are equal.
_CHANGES, _SIZE_VALID_FOR, _SQLITE_VERSION = 24, 92, 96
_FIXED_COUNT = (1).to_bytes(4, "big")
_FIXED_VERSION = (3_037_000).to_bytes(4, "big")


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
        sqlite_tables.migrate(connection, path.name)
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
    with sqlite_tables.transaction(connection):
        for count, each in enumerate(source, 1):  # noqa: B007  # it is the result
            entry = each if isinstance(each, Entry) else entry_of(each[0], each[1])
            # It was last used when it was made.
            entry = entry._replace(hits=0, used_at=entry.created_at)
            if entry.kind == "embedding":
                embeddings.append(entry)
            elif isinstance(each, Entry):
                sqlite_tables.put(connection, [entry])
            else:
                sqlite_tables.put_row(connection, each[0], each[1], (0, entry.created_at))
            if len(embeddings) == _BATCH:
                sqlite_tables.put(connection, embeddings)
                embeddings.clear()
        sqlite_tables.put(connection, embeddings)
    return count


# --- a broken file ---

_MAX_FAULTS = 20
#: Row numbers that are tried beyond the last that an index or the table tells of.
_TRIED_BEYOND = 10_000
#: A row takes more, so that a file has room for no more rows than this allows.
_LEAST_ROW_BYTES = 16
#: No file has counted as far: where a broken page tells of more, there is no row.
_NO_ROW = 1 << 48


def faults_of(connection: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the structure of the file, in SQLite's words; at most 20 lines."""
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_MAX_FAULTS})").fetchall()
    except sqlite3.DatabaseError as error:
        return [" ".join(str(error).split())]
    return [line for (line,) in rows if line != "ok"]


def is_damaged(row: Row, request: object) -> bool:
    """Tell whether an entry or its request text is not what was stored."""
    try:
        entry = entry_of(row, request)
    except DamagedEntryError:
        return True
    is_lost = entry.request == "" and row[8] != NO_REQUEST
    return is_lost or not has_fit_figures(row)


def mend(connection: sqlite3.Connection, damaged: Collection[Payload]) -> None:
    """Delete damaged entries and what nobody uses; where an answer is whole, keep that."""
    sqlite_tables.delete(connection, [row[0] for row, _ in damaged])
    for row, request in damaged:
        with suppress(DamagedEntryError):
            sqlite_tables.put(connection, [entry_of(row, request, mend=True)])
    sqlite_tables.delete_orphans(connection)


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
            version = sqlite_tables.version_of(broken.connection, location)
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"nothing in {location} can be read: {error}",
                "Put a copy of it in its place, or record it again",
            ) from error
        with closing(connect(fresh, "rw", 0)) as target:
            target.execute("PRAGMA auto_vacuum = INCREMENTAL")
            sqlite_tables.migrate(target, location)
            with sqlite_tables.transaction(target):
                rows = path.stat().st_size // _LEAST_ROW_BYTES
                if version:
                    _save_entries(broken.connection, target, rows)
                _save_langchain_rows(broken.connection, target, rows)


def _save_entries(broken: sqlite3.Connection, target: sqlite3.Connection, rows: int) -> None:
    for entry in _readable(broken, rows):
        sqlite_tables.put(target, [entry])
    with suppress(sqlite3.DatabaseError, TypeError):
        totals = broken.execute("SELECT hits, saved_s FROM llmcache_totals").fetchone()
        target.execute("UPDATE llmcache_totals SET hits = ?, saved_s = ?", totals)


def _readable(broken: sqlite3.Connection, rows: int) -> Iterator[Entry]:
    """Yield every entry with a whole answer, and what is whole of its texts.

    Rows are looked for one by one, so that a broken page costs the rows on it and no others.
    """
    texts: dict[object, object] = {}
    for row_id in _row_numbers(broken, "llmcache_entries", ("id", "key", "used_at"), rows):
        with suppress(sqlite3.DatabaseError, DamagedEntryError):
            where = f"{READ} WHERE llmcache_entries.id = ?"
            row = broken.execute(where, (row_id,)).fetchone()
            if row is None:
                continue
            request: object = None
            with suppress(sqlite3.DatabaseError):
                request = packed_request(broken, row[8], texts)
            yield entry_of(row, request, mend=True)


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
                numbers.update(row_id for (row_id,) in islice(broken.execute(scan), rows))
    before = 0
    for row_id in sorted(each for each in numbers if 0 < each < _NO_ROW):
        between = range(before + 1, row_id)[:rows]
        rows -= len(between)
        yield from between
        yield row_id
        before = row_id
    yield from range(before + 1, before + _TRIED_BEYOND)


def _save_langchain_rows(broken: sqlite3.Connection, target: sqlite3.Connection, rows: int) -> None:
    for table, columns in sqlite_tables.LANGCHAIN_TABLES.items():
        there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        if not broken.execute(there, (table,)).fetchone():
            continue
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        key = "id" if "id" in columns else "prompt, llm, idx"
        typed = ", ".join(f"{name} {'INTEGER' if name == 'idx' else 'VARCHAR'}" for name in columns)
        target.execute(f"CREATE TABLE {table} ({typed}, PRIMARY KEY ({key}))")
        for row_id in _row_numbers(broken, table, ("rowid",), rows):
            with suppress(sqlite3.DatabaseError):
                row = broken.execute(
                    f"SELECT {names} FROM {table} WHERE rowid = ?",  # noqa: S608  # fixed names
                    (row_id,),
                ).fetchone()
                if row:
                    target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608  # as above
