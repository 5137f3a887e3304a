"""Searching the titles of a large file for pieces, without reading the prompts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DamagedEntryError
from .packing import unpack_text

if TYPE_CHECKING:
    from .sqlite import SQLiteStore


class Titled(NamedTuple):
    """An entry by its key, its request text and its title."""

    key: bytes
    request: str
    title: str


def like(store: SQLiteStore, pieces: Sequence[str], limit: int) -> list[Titled]:
    """Return up to ``limit`` entries, those first whose titles hold the most of ``pieces``.

    Raises:
        StoreError: The file cannot be read.
    """
    different = list(dict.fromkeys(pieces))
    found = " + ".join(["(instr(title, ?) > 0)"] * len(different))
    with store._file.reading() as connection:  # noqa: SLF001  # one of the store's own questions
        if connection is None:
            return []
        texts = _request_texts(connection)
        rows = connection.execute(
            f"SELECT key, request_id, title FROM llmcache_entries ORDER BY {found} DESC LIMIT ?",  # noqa: S608  # made of constants
            (*different, limit),
        )
        return [Titled(key, texts.get(number, ""), title) for key, number, title in rows]


def _request_texts(connection: sqlite3.Connection) -> dict[int, str]:
    texts = {}
    for number, packed in connection.execute("SELECT id, text FROM llmcache_requests"):
        try:
            texts[number] = unpack_text(packed)
        except DamagedEntryError:
            continue
    return texts
