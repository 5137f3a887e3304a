"""Entries as rows: writing, reading and checking one."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Collection
from hashlib import blake2b
from typing import Any

from ..entry import Entry
from ..errors import DamagedEntryError
from .sqlite_hits import PendingHits
from .sqlite_packing import checksum, pack_answer, pack_text, unpack_answer, unpack_text

_GET = """
    SELECT created_at, provider_s, checksum, answer FROM llmcache_entries WHERE key = ?
"""
_READ = """
    SELECT key, created_at, provider_s, checksum, answer, title, prompt, text,
        size_bytes, hits, used_at
    FROM llmcache_entries LEFT JOIN llmcache_requests ON llmcache_requests.id = request_id
"""
_PUT = """
    INSERT INTO llmcache_entries
        (key, request_id, created_at, used_at, provider_s, size_bytes, checksum, title,
        answer, prompt)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET
        request_id = excluded.request_id, created_at = excluded.created_at,
        used_at = excluded.used_at, provider_s = excluded.provider_s, hits = 0,
        size_bytes = excluded.size_bytes, checksum = excluded.checksum, title = excluded.title,
        answer = excluded.answer, prompt = excluded.prompt
"""
_CHUNK = 200
#: No time, size or count of an entry is as large.
_ENDLESS = 1e15

Row = tuple[Any, ...]


def get(connection: sqlite3.Connection, key: bytes) -> Entry | None:
    """Return the checked answer of ``key``.

    Raises:
        DamagedEntryError: The row is not what was stored.
    """
    row = connection.execute(_GET, (key,)).fetchone()
    return None if row is None else _hit(key, *row)


def read(connection: sqlite3.Connection, key: bytes) -> Entry | None:
    """Return the whole entry of ``key``.

    Raises:
        DamagedEntryError: The row is not what was stored.
    """
    row = connection.execute(f"{_READ} WHERE key = ?", (key,)).fetchone()
    return None if row is None else entry_of(row)


def rows_after(connection: sqlite3.Connection, key: bytes) -> list[Row]:
    """Return the next whole rows in key order, for ``entry_of``; none at the end."""
    return connection.execute(
        f"{_READ} WHERE key > ? ORDER BY key LIMIT ?", (key, _CHUNK)
    ).fetchall()


def entry_of(row: Row) -> Entry:
    """Return a whole row as an entry.

    Raises:
        DamagedEntryError: The row is not what was stored.
    """
    key, created_at, provider_s, digest, answer, title, prompt, request, *figures = row
    hit = _hit(key, created_at, provider_s, digest, answer)
    try:
        # A request text that is lost is no reason to lose the answer.
        texts = [unpack_text(text) for text in (request or "", prompt, title)]
    except DamagedEntryError as error:
        raise DamagedEntryError(f"entry {key.hex()} is damaged: {error}") from error
    request, prompt, title = texts
    size_bytes, hits, used_at = (number(figure) for figure in figures)
    return hit._replace(
        request=request,
        prompt=prompt,
        title=title,
        size_bytes=int(size_bytes or 0),
        hits=int(hits or 0),
        used_at=used_at or created_at,
    )


def number(value: object) -> float | None:
    """Return ``value`` if it is a number that a person's entry could have."""
    if isinstance(value, int | float) and 0 <= value < _ENDLESS:
        return value
    return None


def is_whole(row: Row) -> bool:
    """Tell whether a row that begins as a whole one, up to its answer, is what was stored."""
    try:
        _hit(*row[:5])
    except DamagedEntryError:
        return False
    return True


def _hit(key: bytes, created_at: Any, provider_s: Any, digest: Any, answer: Any) -> Entry:
    try:
        if digest == checksum(key, created_at, provider_s, answer):
            return Entry(key, unpack_answer(answer), created_at, provider_s)
        fault = "its checksum is wrong"
    except (TypeError, struct.error) as error:
        fault = str(error)
    except DamagedEntryError as error:
        fault = str(error)
    raise DamagedEntryError(
        f"entry {key.hex()} is damaged: {fault}", "It is fetched anew when it is asked for"
    )


def put(connection: sqlite3.Connection, entry: Entry, now: float) -> None:
    """Write ``entry`` in place of an entry of the same key."""
    answer = pack_answer(entry.answer)
    prompt = pack_text(entry.prompt)
    title = entry.title.encode("utf-8", "replace").decode()
    request_id = request_number(entry.request)
    request = pack_text(entry.request)
    connection.execute(
        "INSERT OR IGNORE INTO llmcache_requests VALUES (?, ?)", (request_id, request)
    )
    size_bytes = len(answer) + len(prompt if isinstance(prompt, bytes) else prompt.encode())
    digest = checksum(entry.key, entry.created_at, entry.provider_s, answer)
    connection.execute(
        _PUT,
        (
            entry.key,
            request_id,
            entry.created_at,
            now,
            entry.provider_s,
            size_bytes,
            digest,
            title,
            answer,
            prompt,
        ),
    )


def request_number(request: str) -> int:
    """Return the row number of a request text, taken from its content: the same in every file."""
    digest = blake2b(request.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def delete(connection: sqlite3.Connection, keys: Collection[bytes]) -> int:
    """Delete entries and the request texts that nobody uses any more; return how many entries."""
    deleted = connection.executemany(
        "DELETE FROM llmcache_entries WHERE key = ?", [(key,) for key in set(keys)]
    ).rowcount
    if deleted:
        delete_orphans(connection)
    return deleted


def delete_orphans(connection: sqlite3.Connection) -> int:
    """Delete request texts that no entry uses; return how many."""
    return connection.execute(
        "DELETE FROM llmcache_requests WHERE id NOT IN (SELECT request_id FROM llmcache_entries)"
    ).rowcount


def write_hits(connection: sqlite3.Connection, pending: PendingHits) -> None:
    """Add ``pending`` to what the file knows of hits."""
    if not pending.hits:
        return
    connection.executemany(
        "UPDATE llmcache_entries SET hits = hits + ?, used_at = max(used_at, ?) WHERE key = ?",
        pending.rows(),
    )
    connection.execute(
        "UPDATE llmcache_totals SET hits = hits + ?, saved_s = saved_s + ?",
        (pending.hits, pending.saved_s),
    )
