"""Questions over many entries, answered from the small columns and in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

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
_WITH_PENDING = "llmcache_entries AS e LEFT JOIN temp.pending_hits AS p ON p.id = e.id"
_LINE = "key, kind, request_id, title, created_at, provider_s, size_bytes"


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
        SELECT {_LINE}, hits + coalesce(new_hits, 0), {_SORTS["used"]}
        FROM {_WITH_PENDING} WHERE e.id IN ({found}) {order}
        """,  # noqa: S608  # put together from constants of this module
        values,
    )
    return _lines(connection, rows.fetchall())


def titled_like(
    connection: sqlite3.Connection, pieces: Collection[str], limit: int, ties: int
) -> list[Entry]:
    """Return the entries whose titles hold the most pieces; see ``Store.titled_like``."""
    different = list(dict.fromkeys(pieces))
    held = " + ".join(["(instr(title, ?) > 0)"] * len(different)) or "0"
    found = connection.execute(
        f"SELECT {held} AS held, id FROM llmcache_entries ORDER BY held DESC LIMIT ?",  # noqa: S608  # of constants
        (*different, ties),
    ).fetchall()
    equal = sum(number == found[0][0] for number, _ in found)
    statement = f"SELECT {_LINE}, hits, used_at FROM llmcache_entries WHERE id = ?"  # noqa: S608  # as above
    chosen = found[: max(limit, equal)]
    rows = (connection.execute(statement, (row_id,)).fetchone() for _, row_id in chosen)
    return _lines(connection, [row for row in rows if row])


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
    rows = connection.execute("SELECT DISTINCT request_id FROM llmcache_entries").fetchall()
    packed = ((row_id, packed_request(connection, row_id, {})) for (row_id,) in rows)
    return sorted({request_of(text, row_id) for row_id, text in packed})


def life_totals(connection: sqlite3.Connection) -> LifeTotals:
    """Return what the file says of its life."""
    row = connection.execute("SELECT sum(hits), sum(saved_s) FROM llmcache_totals").fetchone()
    hits, saved_s = (number(total) or 0 for total in row)
    return LifeTotals(int(hits), float(saved_s))


def _where(connection: sqlite3.Connection, which: Which) -> tuple[str, list[object]]:
    """Return an SQL condition and its values."""
    connection.create_function("llmcache_contains", 2, _contains, deterministic=True)
    conditions: list[str] = ["1"]
    values: list[object] = []
    if (kind := which.get("kind")) is not None:
        conditions.append("kind = ?")
        values.append(code_of(kind))
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
    if (keys := which.get("keys")) is not None:
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS chosen (key BLOB PRIMARY KEY)")
        connection.execute("DELETE FROM temp.chosen")
        statement = "INSERT OR IGNORE INTO temp.chosen VALUES (?)"
        connection.executemany(statement, [(key,) for key in keys])
        conditions.append("key IN (SELECT key FROM temp.chosen)")
    return " AND ".join(conditions), values


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


def _has_only_ascii_case(text: str) -> bool:
    """Tell whether LIKE, to which only ASCII letters have two cases, finds ``text`` in any case."""
    return all(letter.isascii() or letter.lower() == letter.upper() for letter in text)


def _escape(text: str) -> str:
    for character in "\\%_":
        text = text.replace(character, "\\" + character)
    return text
