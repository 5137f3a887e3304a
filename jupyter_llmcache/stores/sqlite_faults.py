"""SQLite's errors in one line for the person."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import StoreError

_REPAIR = "Run `%llm_cache verify --repair`"
_MEANINGS: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_BUSY: ("is locked by another program", "Close that program or try again"),
    sqlite3.SQLITE_LOCKED: ("is locked by another program", "Close that program or try again"),
    sqlite3.SQLITE_PERM: ("may not be opened", "Check its permissions"),
    sqlite3.SQLITE_AUTH: ("may not be opened", "Check its permissions"),
    sqlite3.SQLITE_READONLY: ("cannot be written", "Check the permissions of file and folder"),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "Free some space"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check that file and folder are there"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _REPAIR),
    sqlite3.SQLITE_NOTADB: ("is damaged or no SQLite database", _REPAIR),
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def told_as_store_errors(location: str) -> Iterator[None]:
    """Raise StoreError, with ``location`` in it, for any fault of SQLite or the system inside."""
    try:
        yield
    except (sqlite3.Error, OSError, OverflowError, UnicodeError, MemoryError) as error:
        raise store_error(location, error) from error


def store_error(location: str, error: Exception) -> StoreError:
    """Return what ``error`` means for the person, in one line."""
    what, remedy = _MEANINGS.get(primary_code(error), ("failed", ""))
    detail = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return StoreError(f"{location} {what} ({detail})", remedy)


def primary_code(error: Exception) -> int:
    """Return SQLite's result code of ``error``; -1 when it has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def is_busy(error: Exception) -> bool:
    """Tell whether ``error`` says that another connection is in the way."""
    return primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_damage(error: Exception) -> bool:
    """Tell whether ``error`` says that the file itself is broken."""
    return primary_code(error) in _DAMAGED
