"""Questions over many entries, answered from the small columns and in bounded memory."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ..errors import DamagedEntryError
from .base import FOUND_KEYS, KEY_BYTES, LifeTotals, SortOrder, Summary
from .hits import PendingHits
from .packing import unpack_text

_SORTS: dict[SortOrder, str] = {
    "recent": "created_at",
    "used": "max(used_at, coalesce(new_used_at, 0))",
    "size": "size_bytes",
    "saved": "(hits + coalesce(new_hits, 0)) * coalesce(provider_s, 0)",
}
_WITH_PENDING = "llmcache_entries AS e LEFT JOIN temp.pending_hits AS p ON p.id = e.id"


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
    # The rows to show are found by the small index; only they are read whole.
    rows = connection.execute(
        f"""
        SELECT key, text, title, created_at, provider_s, size_bytes,
            hits + coalesce(new_hits, 0), {_SORTS["used"]}
        FROM {_WITH_PENDING} LEFT JOIN llmcache_requests AS r ON r.id = request_id
        WHERE e.id IN (SELECT e.id FROM {_WITH_PENDING} WHERE {where} {order} LIMIT ?)
        {order}
        """,  # noqa: S608  # put together from constants of this module
        (*values, -1 if limit is None else limit),
    )
    texts: dict[object, str] = {}
    return [Summary(key, _text_of(text, texts), *rest) for key, text, *rest in rows]


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
    return sorted(_text_of(text, {}) for (text,) in rows)


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


def _text_of(packed: object, known: dict[object, str]) -> str:
    """Return a request text, the same object for the same text; empty where it is damaged."""
    if packed not in known:
        try:
            known[packed] = unpack_text(packed)
        except DamagedEntryError:
            known[packed] = ""
    return known[packed]


def _has_only_ascii_case(text: str) -> bool:
    """Tell whether LIKE, to which only ASCII letters have two cases, finds ``text`` in any case."""
    return all(letter.isascii() or letter.lower() == letter.upper() for letter in text)


def _escape(text: str) -> str:
    for character in "\\%_":
        text = text.replace(character, "\\" + character)
    return text
