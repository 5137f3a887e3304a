"""Questions over many entries, answered from the small columns and in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from ..entry import Entry
from ..errors import DamagedEntryError
from .base import FOUND_KEYS, KEY_BYTES, LifeTotals, SortOrder, Which
from .sqlite_hits import PendingHits
from .sqlite_packing import unpack_text
from .sqlite_rows import Row, number

_SORTS: dict[SortOrder, str] = {
    "key": "key",
    "recent": "created_at",
    "used": "max(used_at, coalesce(new_used_at, 0))",
    "size": "size_bytes",
    "saved": "(hits + coalesce(new_hits, 0)) * coalesce(provider_s, 0)",
}
_WITH_PENDING = "llmcache_entries AS e LEFT JOIN temp.pending_hits AS p ON p.id = e.id"


def _where(connection: sqlite3.Connection, which: Which) -> tuple[str, list[object]]:
    """Return an SQL condition and its values."""
    conditions: list[str] = ["1"]
    values: list[object] = []
    if (since := which.get("since")) is not None:
        conditions.append("created_at >= ?")
        values.append(since)
    if (until := which.get("until")) is not None:
        conditions.append("created_at <= ?")
        values.append(until)
    if (part := which.get("request_contains")) is not None:
        conditions.append(
            "request_id IN (SELECT id FROM llmcache_requests WHERE llmcache_contains(text, ?))"
        )
        values.append(part.lower())
    if (part := which.get("text_contains")) is not None:
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
    if which.get("kind") not in (None, "answer"):
        conditions.append("0")
    if (keys := which.get("keys")) is not None:
        connection.execute("DELETE FROM temp.chosen")
        connection.executemany("INSERT OR IGNORE INTO temp.chosen VALUES (?)", zip(keys))
        conditions.append("key IN temp.chosen")
    return " AND ".join(conditions), values


def register(connection: sqlite3.Connection) -> None:
    """Give ``connection`` what the lists need; nothing of it is in the file."""
    connection.create_function("llmcache_contains", 2, _contains, deterministic=True)
    connection.execute(
        "CREATE TEMP TABLE pending_hits (id INTEGER PRIMARY KEY, new_hits, new_used_at)"
    )
    connection.execute("CREATE TEMP TABLE chosen (key BLOB PRIMARY KEY) WITHOUT ROWID")


def select(connection: sqlite3.Connection, pending: PendingHits, which: Which) -> list[Entry]:
    """Return entries without answers and prompts; see ``Which``."""
    _show(connection, pending)
    where, values = _where(connection, which)
    sort, limit = which.get("sort", "key"), which.get("limit")
    order = "ORDER BY key" if sort == "key" else f"ORDER BY {_SORTS[sort]} DESC, key DESC"
    found = f"SELECT e.id FROM {_WITH_PENDING} WHERE {where}"  # noqa: S608  # of constants
    if limit is not None:
        found += f" {order} LIMIT ?"
        values.append(limit)
    # The rows to show are found by the small index; only they are read whole.
    rows = connection.execute(
        f"""
        SELECT key, request_id, title, created_at, provider_s, size_bytes,
            hits + coalesce(new_hits, 0), {_SORTS["used"]}
        FROM {_WITH_PENDING} WHERE e.id IN ({found}) {order}
        """,  # noqa: S608  # put together from constants of this module
        values,
    )
    texts: dict[object, str] = {}
    return [_summary(row, _request_text(connection, row[1], texts)) for row in rows]


def _request_text(connection: sqlite3.Connection, row_id: object, texts: dict[object, str]) -> str:
    """Return the request text of a row number, read once; empty where it is lost or damaged."""
    if row_id not in texts:
        statement = "SELECT text FROM llmcache_requests WHERE id = ?"
        row = connection.execute(statement, (row_id,)).fetchone()
        texts[row_id] = text_of(row[0]) if row else ""
    return texts[row_id]


def _summary(row: Row, request: str) -> Entry:
    """Return a line for a row, whatever a damaged one holds in the columns that no checksum guards:
    nobody could find and delete what a list leaves out.
    """
    key, _, title, created_at, provider_s, size_bytes, hits, used_at = row
    recorded_at = number(created_at) or 0.0
    return Entry(
        key if type(key) is bytes else str(key).encode(),
        b"",
        recorded_at,
        number(provider_s),
        request=request,
        title=title if type(title) is str else "",
        size_bytes=int(number(size_bytes) or 0),
        hits=int(number(hits) or 0),
        used_at=number(used_at) or recorded_at,
    )


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
    return sorted(text_of(text) for (text,) in rows)


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


def text_of(packed: object) -> str:
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


def titled_like(
    connection: sqlite3.Connection, pieces: Collection[str], limit: int, ties: int
) -> list[Entry]:
    """Return the entries whose titles hold the most pieces; see ``Store.titled_like``."""
    rows = _titled(connection, pieces, limit)
    if len(rows) == limit and rows[0][-1] == rows[-1][-1]:
        rows = _titled(connection, pieces, ties)
    texts: dict[object, str] = {}
    return [
        _summary((key, *row), _request_text(connection, row[0], texts)) for key, *row, _ in rows
    ]


def _titled(connection: sqlite3.Connection, pieces: Collection[str], limit: int) -> list[Row]:
    different = list(dict.fromkeys(pieces))
    found = " + ".join(["(instr(title, ?) > 0)"] * len(different)) or "0"
    return connection.execute(
        f"""
        SELECT key, request_id, title, created_at, provider_s, size_bytes, hits, used_at, {found}
        FROM llmcache_entries ORDER BY 9 DESC LIMIT ?
        """,  # noqa: S608  # of constants
        (*different, limit),
    ).fetchall()
