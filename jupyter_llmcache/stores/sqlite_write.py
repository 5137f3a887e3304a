"""Writing entries as rows, holding a file to its bounds, and giving freed space back."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ..errors import StoreError
from ..ledger import KINDS, Entry
from .base import Bounds, low_mark
from .sqlite_rows import (
    BLOCK,
    EMBEDDING,
    MAX_UNPACKED_BYTES,
    RAW,
    WORDS,
    ZLIB,
    ZLIB_WITH_WORDS,
    Row,
    checksum,
    count,
    request_number,
    texts_checksum,
)
from .sqlite_schema import transaction
from .write_behind import PendingHits

#: Shorter texts stay readable in the file, and are searched faster than compressed ones.
PLAIN_TEXT_BYTES = 2048
#: Shorter answers that are not JSON shrink by less than the time to unpack them is worth.
PLAIN_ANSWER_BYTES = 1024
#: Longer answers gain nothing from the words below: it is how far back deflate looks.
_WORDS_BYTES = 32 * 1024
#: How hard deflate tries: of zlib's own choice half the time, and a twentieth more bytes.
_LEVEL = 4
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
    for vectors in by_size.values():
        for start in range(0, len(vectors), BLOCK):
            block = vectors[start : start + BLOCK]
            first = put_vectors(connection, [entry.answer for entry in block])
            yield from ((entry.key, first + place) for place, entry in enumerate(block))


def put_vectors(connection: sqlite3.Connection, vectors: Sequence[bytes]) -> int:
    """Write up to eight vectors of one size as a block, and return the number of the first."""
    statement = "INSERT INTO llmcache_vectors (vector_bytes, vectors) VALUES (?, ?)"
    values = (len(vectors[0]), b"".join(vectors))
    return BLOCK * int(connection.execute(statement, values).lastrowid or 0)


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


# --- what lies in a row ---


def pack_answer(answer: bytes) -> bytes:
    """Return ``answer`` as a row keeps it.

    Raises:
        StoreError: It is larger than any row may be.
    """
    _check_size(len(answer))
    if answer.startswith(b"{") and len(answer) < _WORDS_BYTES:
        deflater = zlib.compressobj(_LEVEL, zdict=WORDS)
        packed = ZLIB_WITH_WORDS + deflater.compress(answer) + deflater.flush()
    elif len(answer) >= PLAIN_ANSWER_BYTES:
        packed = ZLIB + zlib.compress(answer, _LEVEL)
    else:
        return RAW + answer
    return packed if len(packed) <= len(answer) else RAW + answer


def pack_text(text: str) -> str | bytes:
    """Return ``text`` as a row keeps it: as text while it is short, else compressed.

    Raises:
        StoreError: It is larger than any row may be.
    """
    if len(text) <= PLAIN_TEXT_BYTES and not _has_surrogates(text):
        return text
    data = text.encode("utf-8", "surrogatepass")
    _check_size(len(data))
    return zlib.compress(data, _LEVEL)


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_UNPACKED_BYTES:
        raise StoreError(
            f"an entry of {size_bytes} bytes is larger than the {MAX_UNPACKED_BYTES} that are kept"
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
