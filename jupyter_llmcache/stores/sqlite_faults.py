"""SQLite's and the system's errors in one line for the person."""

from __future__ import annotations

import errno
import sqlite3

from ..errors import StoreError
from .base import BusyError


class DamagedFileError(StoreError):
    """The file itself is broken."""


_REPAIR = "Run: python -m jupyter_llmcache verify --repair FILE, which saves what can be read"
_MEANINGS: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_BUSY: ("is locked by another program", "Close that program or try again"),
    sqlite3.SQLITE_LOCKED: ("is locked by another program", "Close that program or try again"),
    sqlite3.SQLITE_PERM: ("may not be opened", "Check its permissions"),
    sqlite3.SQLITE_AUTH: ("may not be opened", "Check its permissions"),
    sqlite3.SQLITE_READONLY: ("cannot be written", "Check the permissions of file and folder"),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "Free some space"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check that file and folder are there"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _REPAIR),
    sqlite3.SQLITE_NOTADB: ("is damaged", _REPAIR),
}
_SYSTEM_MEANINGS: dict[int, tuple[str, str]] = {
    errno.EACCES: ("may not be used", "Check the permissions of file and folder"),
    errno.EPERM: ("may not be used", "Check the permissions of file and folder"),
    errno.EROFS: ("cannot be made on a read-only disk", "Choose another folder"),
    errno.ENOSPC: ("cannot grow: the disk is full", "Free some space"),
    errno.ENOENT: ("is not there any more", "Put it back or choose another file"),
}
_MAX_DETAIL = 160
_UNKNOWN = ("cannot be used", "")
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


#: What SQLite and the system raise at a fault of the file, or at values that no file can take.
FAULTS = (sqlite3.Error, OSError, OverflowError, UnicodeError, MemoryError)


def store_error(location: str, error: BaseException) -> StoreError:
    """Return what ``error`` means for the person, in one line."""
    if isinstance(error, OSError):
        what, remedy = _SYSTEM_MEANINGS.get(error.errno or 0, _UNKNOWN)
        detail = error.strerror or str(error)
    else:
        what, remedy = _MEANINGS.get(primary_code(error), _UNKNOWN)
        detail = str(error)
    # SQLite quotes damaged table definitions, which have lines.
    detail = " ".join(detail.split())[:_MAX_DETAIL] or type(error).__name__
    kind = BusyError if is_busy(error) else DamagedFileError if is_damage(error) else StoreError
    return kind(f"{location} {what} ({detail})", remedy.replace("FILE", location))


def primary_code(error: BaseException) -> int:
    """Return SQLite's result code of ``error``; -1 when it has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def is_busy(error: BaseException) -> bool:
    """Tell whether ``error`` says that another connection is in the way."""
    return primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_damage(error: BaseException) -> bool:
    """Tell whether ``error`` says that the file itself is broken."""
    return primary_code(error) in _DAMAGED
