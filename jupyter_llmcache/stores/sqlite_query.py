"""Questions over many entries, answered from the small columns and in bounded memory."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection
from typing import Any

from ..errors import DamagedEntryError
from ..ledger import Entry
from .base import FOUND_KEYS, KEY_BYTES, LifeTotals, SortOrder, Which
from .sqlite_rows import (
    Row,
    code_of,
    kind_of,
    number,
    packed_request,
    request_of,
    time_of,
    unpack_text,
)
from .write_behind import PendingHits

_SORTS: dict[SortOrder, str] = {
    "key": "key",
    "recent": "created_at",
    "used": "max(used_at, coalesce(new_used_at, 0))",
    "size": "size_bytes",
    "saved": "(hits + coalesce(new_hits, 0)) * coalesce(provider_s, 0)",
}
#: What each part of ``Which`` asks of an entry.
_CONDITIONS = {
    "keys": "llmcache_is_wanted(key)",
    "kind": "kind = :kind",
    "since": "created_at >= :since",
    "until": "created_at <= :until",
    "request_contains": "request_id IN (SELECT id FROM llmcache_requests"
    " WHERE llmcache_contains(text, :request_contains))",
    # LIKE is several times as fast.
    "text_contains": "CASE WHEN :pattern <> '' AND typeof(prompt) = 'text'"
    " THEN prompt LIKE :pattern ESCAPE '\\' ELSE llmcache_contains(prompt, :text_contains) END",
}
_WITH_PENDING = "llmcache_entries AS e LEFT JOIN temp.pending_hits AS p ON p.id = e.id"
_LINE = "key, kind, request_id, title, created_at, provider_s, size_bytes"


def select(connection: sqlite3.Connection, pending: PendingHits, which: Which) -> list[Entry]:
    """Return entries without answers and prompts; see ``Which``."""
    _show(connection, pending)
    asked: dict[str, Any] = {name: value for name, value in which.items() if value is not None}
    wanted = frozenset(asked.get("keys", ()))
    connection.create_function("llmcache_is_wanted", 1, wanted.__contains__, deterministic=True)
    connection.create_function("llmcache_contains", 2, _contains, deterministic=True)
    where = " AND ".join(_CONDITIONS[name] for name in asked if name in _CONDITIONS) or "1"
    sort = which.get("sort", "key")
    order = "ORDER BY key" if sort == "key" else f"ORDER BY {_SORTS[sort]} DESC, key DESC"
    # The rows to show are found by the small index; only they are read whole.
    rows = connection.execute(
        f"""
        SELECT {_LINE}, hits + coalesce(new_hits, 0), {_SORTS["used"]}
        FROM {_WITH_PENDING}
        WHERE e.id IN (SELECT e.id FROM {_WITH_PENDING} WHERE {where} {order} LIMIT :limit) {order}
        """,  # noqa: S608  # put together from constants of this module
        {
            "limit": -1,  # none
            **asked,
            "kind": code_of(asked.get("kind", "answer")),
            "request_contains": asked.get("request_contains", "").lower(),
            "text_contains": asked.get("text_contains", "").lower(),
            "pattern": _pattern(asked.get("text_contains", "")),
        },
    )
    return _lines(connection, rows.fetchall())


def titled_like(
    connection: sqlite3.Connection, pieces: Collection[str], limit: int, ties: int
) -> list[Entry]:
    """Return the entries whose titles hold the most pieces; see ``Store.titled_like``."""
    different = list(dict.fromkeys(pieces))
    held = " + ".join(["(instr(title, ?) > 0)"] * len(different)) or "0"
    # Only numbers are sorted, so that no row is read whole but those that are chosen.
    asked = f"SELECT {held} AS held, id FROM llmcache_entries ORDER BY held DESC LIMIT ?"  # noqa: S608  # of constants
    found = connection.execute(asked, (*different, limit)).fetchall()
    if len(found) == limit and found[0][0] == found[-1][0]:
        every = connection.execute(asked, (*different, ties)).fetchall()
        found = [each for each in every if each[0] == found[0][0]]
    statement = f"SELECT {_LINE}, hits, used_at FROM llmcache_entries WHERE id = ?"  # noqa: S608  # as above
    rows = (connection.execute(statement, (row_id,)).fetchone() for _, row_id in found)
    return _lines(connection, [row for row in rows if row])


def find(connection: sqlite3.Connection, prefix: str) -> list[bytes]:
    """Return the keys whose hexadecimal form begins with ``prefix`` (at most 20)."""
    try:
        low, high = (bytes.fromhex(prefix.ljust(2 * KEY_BYTES, filler)) for filler in "0f")
    except ValueError:
        return []
    rows = connection.execute(
        "SELECT key FROM llmcache_entries WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
        (low, high, FOUND_KEYS),
    )
    return [key for (key,) in rows]


def requests(connection: sqlite3.Connection) -> list[str]:
    """Return the distinct request texts of all entries."""
    rows = connection.execute("SELECT DISTINCT request_id FROM llmcache_entries").fetchall()
    packed = ((row_id, packed_request(connection, row_id, {})) for (row_id,) in rows)
    return sorted({request_of(text, row_id) for row_id, text in packed})


def life_totals(connection: sqlite3.Connection) -> LifeTotals:
    """Return what the file says of its life."""
    row = connection.execute("SELECT sum(hits), sum(saved_s) FROM llmcache_totals").fetchone()
    hits, saved_s = (number(total) or 0 for total in row)
    return LifeTotals(int(hits), float(saved_s))


def _show(connection: sqlite3.Connection, pending: PendingHits) -> None:
    """Let queries see the hits that are not written yet."""
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS pending_hits"
        " (id INTEGER PRIMARY KEY, new_hits, new_used_at)"
    )
    connection.execute("DELETE FROM temp.pending_hits")
    connection.executemany(
        "INSERT INTO temp.pending_hits SELECT id, ?, ? FROM llmcache_entries WHERE key = ?",
        pending.rows(),
    )


def _lines(connection: sqlite3.Connection, rows: Collection[Row]) -> list[Entry]:
    """Return entries for lists, whatever damaged rows hold in columns that no checksum guards:
    nobody could find and delete what a list leaves out.
    """
    texts: dict[object, object] = {}
    return [
        Entry(
            key if type(key) is bytes else str(key).encode(),
            b"",
            time_of(created_at) or 0.0,
            time_of(provider_s),
            kind_of(kind),
            request=request_of(packed_request(connection, request_id, texts), request_id),
            title=title if type(title) is str else "",
            size_bytes=int(number(size_bytes) or 0),
            hits=int(number(hits) or 0),
            used_at=time_of(used_at) or time_of(created_at) or 0.0,
        )
        for key, kind, request_id, title, created_at, provider_s, size_bytes, hits, used_at in rows
    ]


def _contains(packed: object, part: str) -> bool:
    try:
        return part in unpack_text(packed).lower()
    except DamagedEntryError:
        return False


def _pattern(text: str) -> str:
    """Return what finds ``text`` by LIKE; empty where a letter has two cases that LIKE tells apart.

    To LIKE only ASCII letters have two cases.
    """
    if not all(letter.isascii() or letter.lower() == letter.upper() for letter in text):
        return ""
    escaped = re.sub(r"([%_\\])", r"\\\1", text)
    return f"%{escaped}%"
