"""The tables of a SQLite file: whose they are, how entries are written, held to bounds, deleted.

Entries lie in one rowid table under a 16-byte key. An index over the small columns answers lists,
counts and evictions without reading the answers. Vectors of embeddings lie in blocks of eight, for
a row of their size each would leave a third of its pages empty.

A file that somebody sends is data. Its tables are compared with those that this package makes, and
whatever could run when it is read or written (triggers, views, virtual tables) is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import StoreError
from ..ledger import KINDS, Entry
from .base import Bounds, low_mark
from .sqlite_rows import (
    BLOCK,
    EMBEDDING,
    Row,
    checksum,
    count,
    pack_answer,
    pack_text,
    request_number,
    texts_checksum,
)
from .write_behind import PendingHits

#: In the file's header: "LLMC".
APPLICATION_ID = 0x4C4C4D43
#: Each step takes a file from the version of its place to the next one, in one transaction.
#: Never change a step that was released; add one.
MIGRATIONS: list[Sequence[str]] = [
    (
        "CREATE TABLE llmcache_requests (id INTEGER PRIMARY KEY, text NOT NULL)",
        """CREATE TABLE llmcache_entries (
            id INTEGER PRIMARY KEY,
            key BLOB NOT NULL CHECK (typeof(key) = 'blob' AND length(key) = 16),
            kind INTEGER NOT NULL, -- 0 answer, 1 embedding, 2 web
            request_id INTEGER NOT NULL,
            created_at REAL NOT NULL,
            used_at REAL NOT NULL,
            provider_s REAL,
            hits INTEGER NOT NULL DEFAULT 0,
            size_bytes INTEGER NOT NULL,
            checksum BLOB NOT NULL, -- 8 bytes over the answer, 8 over the texts
            title TEXT NOT NULL,
            answer NOT NULL, -- of an embedding: 8 * llmcache_vectors.id + its place there
            prompt NOT NULL
        )""",
        "CREATE UNIQUE INDEX llmcache_entries_key ON llmcache_entries (key)",
        """CREATE INDEX llmcache_entries_small ON llmcache_entries
            (used_at, created_at, size_bytes, hits, provider_s, request_id, kind)""",
        """CREATE INDEX llmcache_entries_vector ON llmcache_entries (answer) WHERE kind = 1""",
        """CREATE TABLE llmcache_vectors (
            id INTEGER PRIMARY KEY, vector_bytes INTEGER NOT NULL, vectors BLOB NOT NULL
        )""",
        "CREATE TABLE llmcache_totals (hits INTEGER NOT NULL, saved_s REAL NOT NULL)",
        "INSERT INTO llmcache_totals VALUES (0, 0.0)",
    ),
]

#: What langchain-community's SQLite caches make; the first is read, both stay as they are.
LANGCHAIN_TABLES = {
    "full_llm_cache": ("prompt", "llm", "idx", "response"),
    "full_md5_llm_cache": ("id", "prompt_md5", "llm", "idx", "prompt", "response"),
}
_LANGCHAIN_INDEX = "sqlite_autoindex_full_llm_cache_1"
_CHOOSE_ANOTHER = "Choose another file"


def version_of(connection: sqlite3.Connection, location: str) -> int:
    """Return the version of our tables in an open file; 0 when there are none yet.

    Raises:
        StoreError: The file belongs to another program or to a newer release of this one, or holds
            what no cache file holds.
    """
    schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id == APPLICATION_ID and not 0 < version <= len(MIGRATIONS):
        raise StoreError(
            f"{location} was written by a newer release: its version is {version}, "
            f"this one reads up to {len(MIGRATIONS)}",
            "Upgrade jupyter_llmcache or choose another file",
        )
    ours = {sql for kind, name, table, sql in schema if f"{table}".startswith("llmcache_")}
    others = {name for kind, name, _, _ in schema if kind == "table"} - set(LANGCHAIN_TABLES)
    if application_id != APPLICATION_ID:
        if application_id or others - {"sqlite_sequence", "sqlite_stat1"}:
            raise StoreError(f"{location} is the database of another program", _CHOOSE_ANOTHER)
        version = 0
    for kind, name, _, sql in schema:
        if kind in ("trigger", "view") or f"{sql}".upper().startswith("CREATE VIRTUAL"):
            raise StoreError(
                f"{location} holds a {kind}, {name!r}, as no cache does", _CHOOSE_ANOTHER
            )
    steps = MIGRATIONS[:version]
    if ours != {text for step in steps for text in step if text.startswith("CREATE")}:
        raise StoreError(f"the tables of {location} are not as a cache has them", _CHOOSE_ANOTHER)
    return int(version)


def has_langchain_table(connection: sqlite3.Connection) -> bool:
    """Tell whether LangChain's SQLite cache has its table in the file, with nothing computed."""
    columns = connection.execute("PRAGMA table_xinfo(full_llm_cache)").fetchall()
    indexes = connection.execute("PRAGMA index_list(full_llm_cache)").fetchall()
    plain = tuple(name for _, name, _, _, _, _, hidden in columns if not hidden)
    return (
        len(columns) == len(plain)
        and plain == LANGCHAIN_TABLES["full_llm_cache"]
        and any(name == _LANGCHAIN_INDEX for _, name, *_ in indexes)
    )


def langchain_rows(connection: sqlite3.Connection, prompt: str, llm_string: str) -> list[str]:
    """Return LangChain's responses to ``prompt`` in order; empty texts where a row holds no text.

    Only the index that makes its primary key is used, and no other that somebody has added.
    """
    rows = connection.execute(
        f"SELECT response FROM full_llm_cache INDEXED BY {_LANGCHAIN_INDEX}"  # noqa: S608  # a constant
        " WHERE prompt = ? AND llm = ? ORDER BY idx",
        (prompt, llm_string),
    )
    return [response if isinstance(response, str) else "" for (response,) in rows]


def migrate(connection: sqlite3.Connection, location: str) -> None:
    """Bring our tables to the current version, all or nothing. Safe with several processes.

    Raises:
        StoreError: As ``version_of``.
        sqlite3.Error: The file cannot be written.
    """
    with transaction(connection):
        for step in MIGRATIONS[version_of(connection, location) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all of the block or, on a fault, nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


# --- entries ---

_ADD_VECTORS = "INSERT INTO llmcache_vectors (vector_bytes, vectors) VALUES (?, ?)"
_ADD_REQUEST = "INSERT OR IGNORE INTO llmcache_requests VALUES (?, ?)"
_PUT = """
    INSERT INTO llmcache_entries
        (key, kind, request_id, created_at, used_at, provider_s, hits, size_bytes, checksum, title,
        answer, prompt)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET
        kind = excluded.kind, request_id = excluded.request_id, created_at = excluded.created_at,
        used_at = excluded.used_at, provider_s = excluded.provider_s, hits = excluded.hits,
        size_bytes = excluded.size_bytes, checksum = excluded.checksum, title = excluded.title,
        answer = excluded.answer, prompt = excluded.prompt
"""
_BATCH = 1000
#: Pages given back after a put, so that a put stays cheap; and at a time otherwise.
_PAGES_A_PUT, _PAGES_A_STEP = 64, 500
#: SQLite writes a file anew through memory here (temp_store).
_MAX_COMPACTED_BYTES = 1 << 28


def put(
    connection: sqlite3.Connection, entries: Collection[Entry], now: float | None = None
) -> None:
    """Write ``entries`` in place of those of the same keys.

    Args:
        connection: In a transaction.
        entries: They are used now, and were never hit.
        now: Unix time in seconds. None: they keep their own figures.
    """
    answers = dict(_packed(connection, entries))
    for entry in entries:
        title = entry.title.encode("utf-8", "replace").decode()
        prompt, answer = pack_text(entry.prompt), answers[entry.key]
        stored = entry.answer if entry.kind == "embedding" else answer
        request_id, request = request_number(entry.request), pack_text(entry.request)
        kind, times = KINDS.index(entry.kind), (entry.created_at, entry.provider_s)
        digest = checksum(entry.key, kind, *times, stored)
        digest += texts_checksum(entry.key, title, prompt, request_id)
        size_bytes = len(stored) + len(prompt if isinstance(prompt, bytes) else prompt.encode())
        row = (entry.key, kind, *times, digest, answer, title, prompt, request_id, size_bytes)
        figures = (0, now) if now is not None else (entry.hits, entry.used_at)
        put_row(connection, row, request, figures)


def put_row(
    connection: sqlite3.Connection, row: Row, request: object, figures: tuple[int, float]
) -> None:
    """Write a row of ``READ`` and its packed request text, with these hits and time of use."""
    key, kind, created_at, provider_s, digest, answer, title, prompt, request_id, size_bytes = row[
        :10
    ]
    hits, used_at = figures
    connection.execute(_ADD_REQUEST, (request_id, "" if request is None else request))
    times = (created_at, used_at, provider_s)
    payload = (hits, size_bytes, digest, title, answer, prompt)
    connection.execute(_PUT, (key, kind, request_id, *times, *payload))


def _packed(
    connection: sqlite3.Connection, entries: Collection[Entry]
) -> Iterator[tuple[bytes, Any]]:
    """Yield what stands as the answer of each entry, and write blocks of vectors."""
    by_size: dict[int, list[Entry]] = {}
    for entry in entries:
        if entry.kind == "embedding":
            by_size.setdefault(len(entry.answer), []).append(entry)
        else:
            yield entry.key, pack_answer(entry.answer)
    for size_bytes, vectors in by_size.items():
        for start in range(0, len(vectors), BLOCK):
            block = vectors[start : start + BLOCK]
            vectors_of_block = b"".join(entry.answer for entry in block)
            written = connection.execute(_ADD_VECTORS, (size_bytes, vectors_of_block))
            first = BLOCK * int(written.lastrowid or 0)
            yield from ((entry.key, first + place) for place, entry in enumerate(block))


def delete(connection: sqlite3.Connection, keys: Collection[bytes]) -> int:
    """Delete entries and what nobody uses any more; return how many entries."""
    deleted = connection.executemany(
        "DELETE FROM llmcache_entries WHERE key = ?", [(key,) for key in set(keys)]
    ).rowcount
    if deleted:
        delete_orphans(connection)
    return deleted


#: Request texts and blocks of vectors that no entry uses.
_EMBEDDINGS = f"FROM llmcache_entries WHERE kind = {EMBEDDING}"
_ORPHANS = (
    "llmcache_requests WHERE id NOT IN (SELECT request_id FROM llmcache_entries)",
    f"llmcache_vectors WHERE id NOT IN (SELECT answer / {BLOCK} {_EMBEDDINGS})",
)


def delete_orphans(connection: sqlite3.Connection) -> None:
    """Delete request texts and blocks of vectors that no entry uses."""
    for orphans in _ORPHANS:
        connection.execute(f"DELETE FROM {orphans}")  # noqa: S608  # a constant


def count_orphans(connection: sqlite3.Connection) -> int:
    """Return how many request texts and blocks of vectors no entry uses."""
    statements = (f"SELECT count(*) FROM {orphans}" for orphans in _ORPHANS)  # noqa: S608  # constants
    return sum(int(connection.execute(each).fetchone()[0]) for each in statements)


def write_hits(connection: sqlite3.Connection, pending: PendingHits) -> None:
    """Add ``pending`` to what the file knows of hits, inside a transaction."""
    if pending.hits:
        connection.executemany(
            "UPDATE llmcache_entries SET hits = hits + ?, used_at = max(used_at, ?) WHERE key = ?",
            pending.rows(),
        )
        connection.execute(
            "UPDATE llmcache_totals SET hits = hits + ?, saved_s = saved_s + ?",
            (pending.hits, pending.saved_s),
        )


# --- bounds, and free space ---


def hold(connection: sqlite3.Connection, bounds: Bounds, now: float) -> None:
    """See that a put left the file in its ``bounds``, inside the put's transaction."""
    _, max_entries, max_size_bytes = bounds
    if (max_entries is not None and count(connection) > max_entries) or (
        max_size_bytes is not None and _used_bytes(connection) > max_size_bytes
    ):
        evict(connection, bounds, now)
        _vacuum(connection, _PAGES_A_PUT)


def evict(connection: sqlite3.Connection, bounds: Bounds, now: float) -> int:
    """Delete what is too old, then the least recently used down to the bounds; return how many.

    The entry used last stays whatever its size.
    """
    evicted = connection.execute(
        "DELETE FROM llmcache_entries WHERE id IN"
        " (SELECT id FROM llmcache_entries WHERE created_at <= ?)",
        (bounds.oldest_good(now),),
    ).rowcount
    most = bounds.max_entries
    if most is not None and (entries := count(connection)) > most:
        evicted += _delete_least_used(connection, entries - low_mark(most))
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
