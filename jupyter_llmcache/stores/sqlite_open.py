"""The two ways a cache file is open: live, to be written too, or apart, without a trace."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from . import sqlite_query as sqlite_lists
from .sqlite_paths import Header, side_file, size_of, uri

#: How long reads may go on in a file that was deleted or replaced.
CHECK_EVERY_S = 0.5
_CACHE_KIB = 16 * 1024

FileId = tuple[int, int]


class Opening(Protocol):
    """An open connection that knows when it shows a file that is no longer there."""

    connection: sqlite3.Connection

    def is_stale(self, *, now: bool) -> bool:
        """Tell whether the file at the path is another one than this connection shows.

        Args:
            now: Look at the file even if that was done a moment ago.
        """

    def close(self) -> None:
        """Give the connection back."""


class LiveOpening:
    """A connection that reads and writes the file together with other programs.

    Raises:
        sqlite3.Error, OSError: The file cannot be opened.
    """

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self._path = path
        self._checked_at = time.monotonic()
        self.connection = connect(uri(path, "rw"), busy_timeout_s)
        try:
            self.connection.execute("PRAGMA schema_version").fetchone()  # makes the side files
            self._file_id = _file_id(path)
            self._wal_id: FileId | None = None
            self.notice_content()
        except BaseException:
            self.connection.close()
            raise

    def notice_content(self) -> None:
        """Remember that the file holds something now, and which ``-wal`` belongs to it."""
        self._had_content = size_of(self._path) > 0
        self._wal_id = _file_id(side_file(self._path, "-wal"))

    def is_stale(self, *, now: bool) -> bool:
        """Tell whether the file was deleted, replaced or emptied."""
        clock = time.monotonic()
        if not now and clock - self._checked_at < CHECK_EVERY_S:
            return False
        self._checked_at = clock
        if _file_id(self._path) != self._file_id:
            return True
        return self._had_content and size_of(self._path) == 0

    def close(self) -> None:
        """Give the connection back; the last one folds the ``-wal`` into the file."""
        if not self.is_stale(now=True):
            self.connection.close()
            return
        # SQLite takes a -wal for that of whatever lies beside it. A file that was emptied would get
        # its old pages back; once unlinked it is let be. A successor would be read through them.
        if _file_id(self._path) == self._file_id:
            self._path.unlink()
        self.connection.close()
        if self._wal_id and self._wal_id == _file_id(side_file(self._path, "-wal")):
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    side_file(self._path, suffix).unlink()


class ApartOpening:
    """A connection that changes no byte of the file or its folder.

    SQLite's own read-only mode leaves side files beside a file in WAL mode, and the mode that
    leaves none (``immutable``) does not look into the ``-wal`` of a live writer. So: ``immutable``
    while there is nothing in a ``-wal``, the ordinary mode while there is, and a private copy where
    a ``-wal`` lies beside the file without its index.

    Args:
        path: The file.
        header: Its header; None when it is empty.
        busy_timeout_s: How long to wait for writers, in seconds.
        as_copy: Open a private copy in any case, which may then be written.

    Raises:
        sqlite3.Error, OSError: The file cannot be opened.
    """

    def __init__(
        self, path: Path, header: Header | None, busy_timeout_s: float, *, as_copy: bool = False
    ) -> None:
        self._path = path
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._signature = _signature(path)
        is_wal = header is not None and header.is_wal
        if as_copy or (is_wal and self._signature.wal == "alone"):
            address = uri(self._copied(), "rw")
        else:
            address = uri(path, "ro", immutable=is_wal and self._signature.wal == "empty")
        self.connection = connect(address, busy_timeout_s)

    def is_stale(self, *, now: bool) -> bool:  # noqa: ARG002  # the file may change at any time
        """Tell whether the file changed in a way that this connection cannot see."""
        return _signature(self._path) != self._signature

    def close(self) -> None:
        """Give the connection back, and remove the copy if there is one."""
        self.connection.close()
        if self._copy:
            self._copy.cleanup()

    def _copied(self) -> Path:
        self._copy = tempfile.TemporaryDirectory(prefix="llmcache-", ignore_cleanup_errors=True)
        copy = Path(self._copy.name, "copy.db")
        shutil.copyfile(self._path, copy)
        with suppress(FileNotFoundError):
            shutil.copyfile(side_file(self._path, "-wal"), side_file(copy, "-wal"))
        return copy


def connect(address: str, busy_timeout_s: float) -> sqlite3.Connection:
    """Return a connection in autocommit mode, to be shared by threads behind a lock."""
    connection = sqlite3.connect(
        address, uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = _text
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    sqlite_lists.register(connection)
    return connection


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class _Signature(tuple[int, int, int, int, str]):
    """What changes when somebody writes to a file or replaces it."""

    __slots__ = ()

    @property
    def wal(self) -> str:
        """``empty``, or ``alone`` or ``shared`` without or with its index."""
        return self[4]


def _signature(path: Path) -> _Signature:
    status = path.stat()
    wal = "empty"
    if size_of(side_file(path, "-wal")):
        wal = "shared" if side_file(path, "-shm").exists() else "alone"
    return _Signature((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, wal))


def _file_id(path: Path) -> FileId | None:
    try:
        status = os.stat(path)  # noqa: PTH116  # before every write: half the time of Path.stat
    except OSError:
        return None
    return (status.st_dev, status.st_ino)
