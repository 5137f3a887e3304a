"""A clean SQLite file: the same entries give the same bytes, wherever and whenever.

Rows go in by the order of their keys, with their payloads as they are (two builds of zlib compress
alike texts to unlike bytes), without what a session leaves behind (hits, times of use, free pages).
Last, the bytes of the header that count changes and name SQLite's version get a fixed value.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from ..stores import SQLiteStore
from ..stores.base import Store
from ..stores.packing import checksum, pack_answer, pack_text
from ..stores.sqlite_rows import record_of, request_number
from ..stores.sqlite_schema import migrate
from .lines import plain_title
from .newfile import new_file

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


def export_database(
    store: Store,
    path: str | os.PathLike[str],
    keys: Collection[bytes] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Write entries to a new SQLite file and return how many.

    Args:
        store: Where the entries are.
        path: The file; an old one is replaced when the new one is complete.
        keys: Which entries; None: all.
        on_progress: Called with the number of entries written so far.

    Raises:
        StoreError: The file cannot be written, is the one in use, or an entry is damaged.
    """
    with new_file(path, store) as new:
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            count = _fill(connection, store, keys, on_progress)
        _fix_header(new)
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
        for record in store.records(keys):
            answer = pack_answer(record.answer)
            times = (record.created_at, record.provider_s)
            digest = checksum(record.key, *times, answer)
            texts = (plain_title(record), pack_text(record.prompt), pack_text(record.request))
            yield (record.key, *times, digest, answer, *texts, request_number(record.request))
        return
    wanted = None if keys is None else set(keys)
    for row in store._all_rows():  # noqa: SLF001  # only the rows themselves have the packed payloads
        if wanted is None or row[0] in wanted:
            record = record_of(row)
            yield (*row, request_number(record.request))


def _fix_header(path: Path) -> None:
    with path.open("r+b") as file:
        for place, value in (
            (_CHANGES, _FIXED_COUNT),
            (_SIZE_VALID_FOR, _FIXED_COUNT),
            (_SQLITE_VERSION, _FIXED_VERSION),
        ):
            file.seek(place)
            file.write(value)
