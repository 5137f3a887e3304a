"""Opening a cache file so that neither it nor its folder changes in any byte."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

from .sqlite_paths import Header, side_file, size_of, uri

Signature = tuple[int, int, int, int, int]


class ReadOnlyOpening:
    """One opening of a file for reading.

    SQLite's own read-only mode leaves side files beside a file in WAL mode, and the mode that
    leaves none (``immutable``) does not look into the ``-wal`` of a live writer. So: ``immutable``
    while there is nothing in a ``-wal``, the ordinary mode while there is, and a private copy where
    a ``-wal`` lies beside the file without its index.

    Raises:
        sqlite3.Error, OSError: The file cannot be opened.
    """

    def __init__(self, path: Path, header: Header | None, busy_timeout_s: float) -> None:
        self._path = path
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self.signature = signature(path)
        self.connection = self._connect(header, busy_timeout_s)

    def is_stale(self) -> bool:
        """Tell whether the file changed in a way that this connection cannot see."""
        return signature(self._path) != self.signature

    def close(self) -> None:
        """Close the connection and remove the copy, if there is one."""
        self.connection.close()
        if self._copy:
            self._copy.cleanup()

    def _connect(self, header: Header | None, busy_timeout_s: float) -> sqlite3.Connection:
        if header is None or not header.is_wal:
            return connect(uri(self._path, "ro"), busy_timeout_s)
        wal = side_file(self._path, "-wal")
        if not size_of(wal):
            return connect(uri(self._path, "ro", immutable=True), busy_timeout_s)
        if side_file(self._path, "-shm").exists():
            return connect(uri(self._path, "ro"), busy_timeout_s)
        self._copy = tempfile.TemporaryDirectory(prefix="llmcache-", ignore_cleanup_errors=True)
        copy = Path(self._copy.name, "copy.db")
        shutil.copyfile(self._path, copy)
        shutil.copyfile(wal, side_file(copy, "-wal"))
        return connect(uri(copy, "rw"), busy_timeout_s)


def signature(path: Path) -> Signature:
    """Return what changes when somebody writes to ``path`` or replaces it."""
    status = path.stat()
    wal = 0
    if size_of(side_file(path, "-wal")):
        wal = 2 if side_file(path, "-shm").exists() else 1
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, wal)


def connect(address: str, busy_timeout_s: float) -> sqlite3.Connection:
    """Return a connection in autocommit mode, to be shared by threads behind a lock."""
    connection = sqlite3.connect(
        address, uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
