"""Questions over many entries, answered from the small columns and in bounded memory."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ..errors import DamagedEntryError
from .base import FOUND_KEYS, KEY_BYTES, LifeTotals, SortOrder, Summary
from .hits import PendingHits
from .packing import unpack_text
from .sqlite_rows import Row

_SORTS: dict[SortOrder, str] = {
    "recent": "created_at",
    "used": "max(used_at, coalesce(new_used_at, 0))",
    "size": "size_bytes",
    "saved": "(hits + coalesce(new_hits, 0)) * coalesce(provider_s, 0)",
}
_WITH_PENDING = "llmcache_entries AS e LEFT JOIN temp.pending_hits AS p ON p.id = e.id"


#: No time, size or count of an entry is as large.
_ENDLESS = 1e15


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries a list is about; see ``Store.summaries``."""

    request_contains: str | None
    text_contains: str | None
    since: float | None
    until: float | None

    def where(self) -> tuple[str, list[object]]:
        """Return an SQL condition and its values."""
        conditions: list[str] = ["1"]
        values: list[object] = []
        if self.since is not None:
            conditions.append("created_at >= ?")
            values.append(self.since)
        if self.until is not None:
            conditions.append("created_at <= ?")
            values.append(self.until)
        if self.request_contains is not None:
            conditions.append(
                "request_id IN (SELECT id FROM llmcache_requests WHERE llmcache_contains(text, ?))"
            )
            values.append(self.request_contains.lower())
        if self.text_contains is not None:
            part = self.text_contains
            if _has_only_ascii_case(part):
                # LIKE is several times as fast.
                conditions.append(
                    "CASE typeof(prompt) WHEN 'text' THEN prompt LIKE ? ESCAPE '\\'"
                    " ELSE llmcache_contains(prompt, ?) END"
                )
                values.append(f"%{_escape(part)}%")
            else:
                conditions.append("llmcache_contains(prompt, ?)")
            values.append(part.lower())
        return " AND ".join(conditions), values


def register(connection: sqlite3.Connection) -> None:
    """Give ``connection`` what the lists need; nothing of it is in the file."""
    connection.create_function("llmcache_contains", 2, _contains, deterministic=True)
    connection.execute(
        "CREATE TEMP TABLE pending_hits (id INTEGER PRIMARY KEY, new_hits, new_used_at)"
    )


def summaries(
    connection: sqlite3.Connection,
    pending: PendingHits,
    chosen: Filter,
    sort: SortOrder,
    limit: int | None,
) -> list[Summary]:
    """Return lines for a list; see ``Store.summaries``."""
    _show(connection, pending)
    where, values = chosen.where()
    order = f"ORDER BY {_SORTS[sort]} DESC, e.id DESC"
    which = f"SELECT e.id FROM {_WITH_PENDING} WHERE {where}"  # noqa: S608  # of constants
    if limit is not None:
        which += f" {order} LIMIT ?"
        values.append(limit)
    # The rows to show are found by the small index; only they are read whole.
    rows = connection.execute(
        f"""
        SELECT key, request_id, title, created_at, provider_s, size_bytes,
            hits + coalesce(new_hits, 0), {_SORTS["used"]}
        FROM {_WITH_PENDING} WHERE e.id IN ({which}) {order}
        """,  # noqa: S608  # put together from constants of this module
        values,
    )
    texts: dict[object, str] = {}
    return [_summary(row, _request_text(connection, row[1], texts)) for row in rows]


def _request_text(connection: sqlite3.Connection, number: object, texts: dict[object, str]) -> str:
    """Return the request text of a row number, read once; empty where it is lost or damaged."""
    if number not in texts:
        statement = "SELECT text FROM llmcache_requests WHERE id = ?"
        row = connection.execute(statement, (number,)).fetchone()
        texts[number] = _text_of(row[0]) if row else ""
    return texts[number]


def _summary(row: Row, request: str) -> Summary:
    """Return a line for a row, whatever a damaged one holds in the columns that no checksum guards:
    nobody could find and delete what a list leaves out.
    """
    key, _, title, created_at, provider_s, size_bytes, hits, used_at = row
    recorded_at = _number(created_at) or 0.0
    return Summary(
        key if type(key) is bytes else str(key).encode(),
        request,
        title if type(title) is str else "",
        recorded_at,
        _number(provider_s),
        int(_number(size_bytes) or 0),
        int(_number(hits) or 0),
        _number(used_at) or recorded_at,
    )


def _number(value: object) -> float | None:
    """Return ``value`` if it is a number that a person's entry could have."""
    if isinstance(value, int | float) and 0 <= value < _ENDLESS:
        return value
    return None


def find(connection: sqlite3.Connection, prefix: str) -> list[bytes]:
    """Return the keys whose hexadecimal form begins with ``prefix`` (at most 20)."""
    digits = 2 * KEY_BYTES
    try:
        low, high = (bytes.fromhex(prefix.ljust(digits, filler)) for filler in "0f")
    except ValueError:
        return []
    rows = connection.execute(
        "SELECT key FROM llmcache_entries WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
        (low, high, FOUND_KEYS),
    )
    return [key for (key,) in rows if len(prefix) <= digits]


def requests(connection: sqlite3.Connection) -> list[str]:
    """Return the distinct request texts of all entries."""
    rows = connection.execute(
        "SELECT text FROM llmcache_requests WHERE id IN (SELECT request_id FROM llmcache_entries)"
    )
    return sorted(_text_of(text) for (text,) in rows)


def life_totals(connection: sqlite3.Connection) -> LifeTotals:
    """Return what the file says of its life."""
    row = connection.execute("SELECT sum(hits), sum(saved_s) FROM llmcache_totals").fetchone()
    hits, saved_s = row
    return LifeTotals(int(hits or 0), float(saved_s or 0.0))


def _show(connection: sqlite3.Connection, pending: PendingHits) -> None:
    """Let queries see the hits that are not written yet."""
    connection.execute("DELETE FROM temp.pending_hits")
    connection.executemany(
        "INSERT INTO temp.pending_hits SELECT id, ?, ? FROM llmcache_entries WHERE key = ?",
        pending.rows(),
    )


def _contains(packed: object, part: str) -> bool:
    try:
        return part in unpack_text(packed).lower()
    except DamagedEntryError:
        return False


def _text_of(packed: object) -> str:
    """Return a request text; empty where it is damaged."""
    try:
        return unpack_text(packed)
    except DamagedEntryError:
        return ""


def _has_only_ascii_case(text: str) -> bool:
    """Tell whether LIKE, to which only ASCII letters have two cases, finds ``text`` in any case."""
    return all(letter.isascii() or letter.lower() == letter.upper() for letter in text)


def _escape(text: str) -> str:
    for character in "\\%_":
        text = text.replace(character, "\\" + character)
    return text
