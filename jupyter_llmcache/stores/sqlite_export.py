"""A clean SQLite file: the same entries give the same bytes, wherever and whenever.

Rows go in by the order of their keys, with their payloads as they are (two builds of zlib compress
alike texts to unlike bytes), without what a session leaves behind (hits, times of use, free pages).
Last, the bytes of the header that count changes and name SQLite's version get a fixed value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from .base import Store
from .sqlite import SQLiteStore
from .sqlite_packing import checksum, pack_answer, pack_text
from .sqlite_rows import entry_of, request_number
from .sqlite_schema import migrate

_PAGE_BYTES = 4096

_ADD_REQUEST = "INSERT OR IGNORE INTO llmcache_requests VALUES (?, ?)"
_ADD_ENTRY = """
    INSERT INTO llmcache_entries
        (key, request_id, created_at, used_at, provider_s, size_bytes, checksum, title, answer,
        prompt)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

#: Where the header counts changes of the file, and says for which of them and by which version of
#: SQLite its size in pages was written. The size is believed when the first two are equal.
_CHANGES, _SIZE_VALID_FOR, _SQLITE_VERSION = 24, 92, 96
_FIXED_COUNT = (1).to_bytes(4, "big")
_FIXED_VERSION = (3_037_000).to_bytes(4, "big")


def write_clean(
    path: Path,
    store: Store,
    keys: Collection[bytes] | None,
    on_progress: Callable[[int], None] | None,
) -> int:
    """Fill the empty file ``path`` with entries of ``store``, and return how many.

    Args:
        path: Nobody else uses it.
        store: Where the entries are.
        keys: Which entries; None: all.
        on_progress: Called with the number of entries written so far.

    Raises:
        StoreError: ``store`` cannot be read, or an entry is damaged.
        sqlite3.Error, OSError: The file cannot be written.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        count = _fill(connection, store, keys, on_progress)
    _fix_header(path)
    return count


def _fill(
    connection: sqlite3.Connection,
    store: Store,
    keys: Collection[bytes] | None,
    on_progress: Callable[[int], None] | None,
) -> int:
    # A draft: nobody else sees it, and a killed process leaves the old file.
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    migrate(connection, store.location)
    connection.execute("BEGIN")
    count = 0
    for key, created_at, provider_s, digest, answer, title, prompt, request, number in _rows(
        store, keys
    ):
        size_bytes = len(answer) + len(prompt if isinstance(prompt, bytes) else prompt.encode())
        times = (created_at, created_at, provider_s)  # it was last used when it was made
        payload = (size_bytes, digest, title, answer, prompt)
        connection.execute(_ADD_REQUEST, (number, request))
        connection.execute(_ADD_ENTRY, (key, number, *times, *payload))
        count += 1
        if on_progress:
            on_progress(count)
    connection.execute("COMMIT")
    connection.execute("VACUUM")
    return count


def _rows(store: Store, keys: Collection[bytes] | None) -> Iterator[tuple[Any, ...]]:
    """Yield checked entries as rows keep them, in key order, with the number of their request."""
    if not isinstance(store, SQLiteStore):
        for entry in store.entries(keys=keys):
            answer = pack_answer(entry.answer)
            times = (entry.created_at, entry.provider_s)
            digest = checksum(entry.key, *times, answer)
            title = entry.title.encode("utf-8", "replace").decode()
            texts = (title, pack_text(entry.prompt), pack_text(entry.request))
            yield (entry.key, *times, digest, answer, *texts, request_number(entry.request))
        return
    wanted = None if keys is None else set(keys)
    for row in store.all_rows():
        if wanted is None or row[0] in wanted:
            yield (*row[:8], request_number(entry_of(row).request))


def _fix_header(path: Path) -> None:
    with path.open("r+b") as file:
        for place, value in (
            (_CHANGES, _FIXED_COUNT),
            (_SIZE_VALID_FOR, _FIXED_COUNT),
            (_SQLITE_VERSION, _FIXED_VERSION),
        ):
            file.seek(place)
            file.write(value)
