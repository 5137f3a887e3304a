"""Entries as rows: writing, reading and checking one."""

from __future__ import annotations

import functools
import sqlite3
import struct
from collections.abc import Collection, Iterator, Sequence
from typing import Any, get_args

from ..entry import Entry, EntryKind
from ..errors import DamagedEntryError
from .base import KEY_BYTES
from .sqlite_packing import (
    CHECKSUM_BYTES,
    checksum,
    pack_answer,
    pack_text,
    request_number,
    texts_checksum,
    unpack_answer,
    unpack_text,
)

_KINDS: tuple[EntryKind, ...] = get_args(EntryKind)
_EMBEDDING = _KINDS.index("embedding")
#: Vectors in a row.
_BLOCK = 8
#: No time is as late (the year 9999, in seconds), and no count as large.
_LATEST_S, _ENDLESS = 253_370_764_800, 1e15

_GET = "SELECT kind, created_at, provider_s, checksum, answer FROM llmcache_entries WHERE key = ?"
_VECTORS = "SELECT vector_bytes, vectors FROM llmcache_vectors WHERE id = ?"
#: Whole rows, for ``entry_of``.
READ = f"""
    SELECT key, kind, created_at, provider_s, checksum,
        CASE kind WHEN {_EMBEDDING}
            THEN coalesce(substr(vectors, answer % {_BLOCK} * vector_bytes + 1, vector_bytes), x'')
            ELSE answer END,
        title, prompt, request_id, size_bytes, hits, used_at
    FROM llmcache_entries LEFT JOIN llmcache_vectors
        ON kind = {_EMBEDDING} AND llmcache_vectors.id = answer / {_BLOCK}
"""  # noqa: S608  # put together from numbers of this module
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

Row = tuple[Any, ...]


# --- reading ---


def get(connection: sqlite3.Connection, keys: Collection[bytes]) -> Iterator[Entry]:
    """Yield the checked answers of ``keys``, without texts and figures.

    Raises:
        DamagedEntryError: A row is not what was stored.
    """
    blocks: dict[object, Row | None] = {}
    for key in keys:
        row = connection.execute(_GET, (key,)).fetchone()
        if row is None:
            continue
        kind, created_at, provider_s, digest, answer = row
        if kind == _EMBEDDING and type(answer) is int:
            block, place = divmod(answer, _BLOCK)
            if block not in blocks:
                blocks[block] = connection.execute(_VECTORS, (block,)).fetchone()
            answer = _vector(blocks[block], place)
        yield _checked(key, kind, created_at, provider_s, digest, answer)


def _vector(row: Row | None, place: int) -> Any:
    """Return one vector of a block; nothing that has the right checksum where it is not there."""
    if row is None or type(row[0]) is not int or type(row[1]) is not bytes:
        return None
    vector_bytes, vectors = row
    return vectors[place * vector_bytes : (place + 1) * vector_bytes]


def entry_of(row: Row, request: object, *, mend: bool = False) -> Entry:
    """Return a row of ``READ`` as a whole entry.

    Args:
        row: The row.
        request: Its packed request text. One that is lost, which is no reason to lose the answer,
            comes out empty.
        mend: Leave a title and a prompt empty that are not what was stored.

    Raises:
        DamagedEntryError: The row is not what was stored.
    """
    key, kind, created_at, provider_s, digest, answer, title, prompt, request_id, *figures = row
    hit = _checked(key, kind, created_at, provider_s, digest, answer)
    texts = ("", "")
    fault = ""
    try:
        if digest[CHECKSUM_BYTES:] == texts_checksum(key, title, prompt, request_id):
            texts = unpack_text(prompt), unpack_text(title)
        else:
            fault = "the checksum of its texts is wrong"
    except (DamagedEntryError, TypeError, struct.error) as error:
        fault = str(error)
    if fault and not mend:
        raise DamagedEntryError(f"entry {key.hex()} is damaged: {fault}")
    size_bytes, hits, used_at = figures
    return hit._replace(
        request=request_of(request, request_id),
        prompt=texts[0],
        title=texts[1],
        size_bytes=int(number(size_bytes) or 0),
        hits=int(number(hits) or 0),
        used_at=time_of(used_at) or hit.created_at,
    )


def packed_request(
    connection: sqlite3.Connection, row_id: object, texts: dict[object, object]
) -> object:
    """Return the packed request text of a row number, read once; None where it is lost."""
    if row_id not in texts:
        statement = "SELECT text FROM llmcache_requests WHERE id = ?"
        texts[row_id] = (connection.execute(statement, (row_id,)).fetchone() or (None,))[0]
    return texts[row_id]


@functools.lru_cache(maxsize=64)  # the same text stands in many entries
def request_of(packed: object, row_id: object) -> str:
    """Return a packed request text; empty where it is lost or not that of its number."""
    try:
        text = unpack_text(packed)
    except DamagedEntryError:
        return ""
    return text if request_number(text) == row_id else ""


def number(value: object) -> float | None:
    """Return ``value`` if it is a number that a person's entry could have."""
    return value if isinstance(value, int | float) and 0 <= value < _ENDLESS else None


def time_of(value: object) -> float | None:
    """Return ``value`` if it is a time that a person's entry could have, in seconds."""
    return value if isinstance(value, int | float) and 0 <= value < _LATEST_S else None


def kind_of(code: object) -> EntryKind:
    """Return the kind that a row names."""
    return _KINDS[code] if isinstance(code, int) and 0 <= code < len(_KINDS) else "answer"


def code_of(kind: EntryKind) -> int:
    """Return how a row names a kind."""
    return _KINDS.index(kind)


def _checked(
    key: Any, kind: Any, created_at: Any, provider_s: Any, digest: Any, answer: Any
) -> Entry:
    try:
        if digest[:CHECKSUM_BYTES] != checksum(key, kind, created_at, provider_s, answer):
            fault = "its checksum is wrong"
        elif time_of(created_at) is None or time_of(provider_s or 0) is None:
            fault = "a time of it is not possible"
        else:
            unpacked = answer if kind == _EMBEDDING else unpack_answer(answer)
            return Entry(key, unpacked, created_at, provider_s, _KINDS[kind])
    except (TypeError, IndexError, struct.error, DamagedEntryError) as error:
        fault = str(error)
    name = key.hex() if isinstance(key, bytes) else repr(key)[: 2 * KEY_BYTES]
    raise DamagedEntryError(
        f"entry {name} is damaged: {fault}", "It is fetched anew when it is asked for"
    )


# --- writing ---


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
        kind, times = code_of(entry.kind), (entry.created_at, entry.provider_s)
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
        for start in range(0, len(vectors), _BLOCK):
            block = vectors[start : start + _BLOCK]
            first = put_vectors(connection, [entry.answer for entry in block])
            yield from ((entry.key, first + place) for place, entry in enumerate(block))


def put_vectors(connection: sqlite3.Connection, vectors: Sequence[bytes]) -> int:
    """Write up to eight vectors of one size as a block, and return the number of the first."""
    statement = "INSERT INTO llmcache_vectors (vector_bytes, vectors) VALUES (?, ?)"
    values = (len(vectors[0]), b"".join(vectors))
    return _BLOCK * int(connection.execute(statement, values).lastrowid or 0)


def delete(connection: sqlite3.Connection, keys: Collection[bytes]) -> int:
    """Delete entries and what nobody uses any more; return how many entries."""
    deleted = connection.executemany(
        "DELETE FROM llmcache_entries WHERE key = ?", [(key,) for key in set(keys)]
    ).rowcount
    if deleted:
        delete_orphans(connection)
    return deleted


#: Request texts and blocks of vectors that no entry uses.
_EMBEDDINGS = f"FROM llmcache_entries WHERE kind = {_EMBEDDING}"
_ORPHANS = (
    "llmcache_requests WHERE id NOT IN (SELECT request_id FROM llmcache_entries)",
    f"llmcache_vectors WHERE id NOT IN (SELECT answer / {_BLOCK} {_EMBEDDINGS})",
)


def delete_orphans(connection: sqlite3.Connection) -> None:
    """Delete request texts and blocks of vectors that no entry uses."""
    for orphans in _ORPHANS:
        connection.execute(f"DELETE FROM {orphans}")  # noqa: S608  # a constant


def count_orphans(connection: sqlite3.Connection) -> int:
    """Return how many request texts and blocks of vectors no entry uses."""
    statements = (f"SELECT count(*) FROM {orphans}" for orphans in _ORPHANS)  # noqa: S608  # constants
    return sum(int(connection.execute(each).fetchone()[0]) for each in statements)


#: The row number of the empty request text.
NO_REQUEST = request_number("")
