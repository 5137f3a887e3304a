"""The tables of a cache file, their versions, and what tells such a file from others.

Entries lie in one rowid table under a 16-byte key. An index over the small columns answers lists,
counts and evictions without reading the answers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import StoreError

#: In the file's header: "LLMC".
APPLICATION_ID = 0x4C4C4D43
#: What langchain-community's SQLite cache makes, whichever of the two it uses.
_LANGCHAIN_TABLES = {"full_llm_cache", "full_md5_llm_cache"}

#: Each step takes a file from the version of its place to the next one, in one transaction.
#: Never change a step that was released; add one.
MIGRATIONS: list[Sequence[str]] = [
    (
        "CREATE TABLE llmcache_requests (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
        """CREATE TABLE llmcache_entries (
            id INTEGER PRIMARY KEY,
            key BLOB NOT NULL,
            request_id INTEGER NOT NULL,
            created_at REAL NOT NULL,
            used_at REAL NOT NULL,
            provider_s REAL,
            hits INTEGER NOT NULL DEFAULT 0,
            size_bytes INTEGER NOT NULL,
            checksum BLOB NOT NULL,
            title TEXT NOT NULL,
            answer BLOB NOT NULL,
            prompt NOT NULL
        )""",
        "CREATE UNIQUE INDEX llmcache_entries_key ON llmcache_entries (key)",
        """CREATE INDEX llmcache_entries_small ON llmcache_entries
            (used_at, created_at, size_bytes, hits, provider_s, request_id)""",
        "CREATE TABLE llmcache_totals (hits INTEGER NOT NULL, saved_s REAL NOT NULL)",
        "INSERT INTO llmcache_totals VALUES (0, 0.0)",
    ),
]


def current_version() -> int:
    """Return the version that this release writes."""
    return len(MIGRATIONS)


def version_of(connection: sqlite3.Connection, location: str) -> int:
    """Return the version of our tables in an open file; 0 when there are none yet.

    Raises:
        StoreError: The file belongs to another program, or to a newer release of this one.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id == APPLICATION_ID:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not 0 < version <= current_version():
            raise StoreError(
                f"{location} was written by a newer release: its version is {version}, "
                f"this one reads up to {current_version()}",
                "Upgrade jupyter_llmcache or choose another file",
            )
        return int(version)
    if application_id or not set(foreign_tables(connection)) <= _LANGCHAIN_TABLES:
        raise StoreError(f"{location} is the database of another program", "Choose another file")
    return 0


def has_langchain_table(connection: sqlite3.Connection) -> bool:
    """Tell whether LangChain's SQLite cache has its table in the file."""
    return "full_llm_cache" in foreign_tables(connection)


def foreign_tables(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the tables that are neither ours nor SQLite's own."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [name for (name,) in rows if not name.startswith(("llmcache_", "sqlite_"))]


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
        connection.execute(f"PRAGMA user_version = {current_version()}")


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
