"""Searching the titles of a large file for pieces, without reading the prompts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DamagedEntryError
from ..stores.packing import unpack_text
from ..stores.sqlite_rows import Row

if TYPE_CHECKING:
    from ..stores.sqlite import SQLiteStore


class Titled(NamedTuple):
    """An entry by its key, its request text and its title."""

    key: bytes
    request: str
    title: str


def like(store: SQLiteStore, pieces: Sequence[str], limit: int, ties: int) -> list[Titled]:
    """Return the entries whose titles hold the most of ``pieces``, those with most first.

    Args:
        store: Where to look.
        pieces: Parts of a title.
        limit: How many entries to return.
        ties: How many, where more than ``limit`` hold the same number of pieces.

    Raises:
        StoreError: The file cannot be read.
    """
    with store.reading() as connection:
        if connection is None:
            return []
        rows = _rows(connection, pieces, limit)
        if len(rows) == limit and rows[0][-1] == rows[-1][-1]:
            rows = _rows(connection, pieces, ties)
        texts = _request_texts(connection)
        return [Titled(key, texts.get(number, ""), title) for key, number, title, _ in rows]


def _rows(connection: sqlite3.Connection, pieces: Sequence[str], limit: int) -> list[Row]:
    different = list(dict.fromkeys(pieces))
    found = " + ".join(["(instr(title, ?) > 0)"] * len(different))
    return connection.execute(
        f"SELECT key, request_id, title, {found} FROM llmcache_entries"  # noqa: S608  # of constants
        " ORDER BY 4 DESC LIMIT ?",
        (*different, limit),
    ).fetchall()


def _request_texts(connection: sqlite3.Connection) -> dict[int, str]:
    texts = {}
    for number, packed in connection.execute("SELECT id, text FROM llmcache_requests"):
        try:
            texts[number] = unpack_text(packed)
        except DamagedEntryError:
            continue
    return texts
