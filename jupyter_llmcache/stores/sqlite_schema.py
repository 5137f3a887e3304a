"""Whose a SQLite file is: ours, LangChain's, another program's, or made to do harm.

Entries lie in one rowid table under a 16-byte key. An index over the small columns answers lists,
counts and evictions without reading the answers. Vectors of embeddings lie in blocks of eight, for
a row of their size each would leave a third of its pages empty.

A file that somebody sends is data. Its tables are compared with those that this package makes, and
whatever could run when it is read or written (triggers, views, virtual tables) is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import StoreError

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
