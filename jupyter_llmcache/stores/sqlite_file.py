"""One SQLite file behind one connection and one lock: opened, watched, written, closed."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import StoreError
from . import forks, sqlite_lists, sqlite_schema
from .network import network_type
from .sqlite_faults import is_busy, store_error, told_as_store_errors
from .sqlite_paths import Header, read_header, resolve, side_file, uri
from .sqlite_readonly import ReadOnlyOpening, connect

#: How long reads may go on in a file that was deleted or replaced.
CHECK_EVERY_S = 0.5
_CACHE_KIB = 16 * 1024

FileId = tuple[int, int]


class SQLiteFile:
    """A cache file that may come, go, be replaced, be read-only or be shared while it is open.

    Nothing is written before the first ``writing``: a missing file is not made, an existing one
    keeps its bytes.

    Args:
        location: The path as the user gave it.
        read_only: Write nothing, whatever happens.
        busy_timeout_s: How long to wait for other programs that write, in seconds.
        on_fork: Called in a forked child.

    Raises:
        StoreError: There is no such file, or it is none of ours.
    """

    def __init__(
        self,
        location: str,
        *,
        read_only: bool,
        busy_timeout_s: float,
        on_fork: Callable[[], None],
    ) -> None:
        self.location = location
        self.path = resolve(location)
        self.read_only = read_only
        self.has_langchain_table = False
        self.wrote = False
        self._wants_read_only = read_only
        self._busy_timeout_s = busy_timeout_s
        self._on_fork = on_fork
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._read_only_opening: ReadOnlyOpening | None = None
        self._file_id: FileId | None = None
        self._wal_id: FileId | None = None
        self._has_tables = False
        self._is_prepared = False
        self._is_closed = False
        self._checked_at = 0.0
        with told_as_store_errors(location):
            self.network = network_type(self.path)
            self._open()
        forks.register(self)

    # --- what stores use ---

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """Yield the connection, or None where nothing of ours is stored yet.

        Raises:
            StoreError: The file cannot be read.
        """
        with self.opened() as connection:
            yield connection if self._has_tables else None

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection | None]:
        """Yield the connection, or None where there is no file.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._lock:
            try:
                self._watch()
                yield self._connection
            except (sqlite3.Error, OSError, OverflowError, UnicodeError, MemoryError) as error:
                self._checked_at = 0.0
                raise store_error(self.location, error) from error

    @contextmanager
    def writing(self, on_commit: Callable[[], None] = lambda: None) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside a transaction that ends with the block.

        Args:
            on_commit: Called when the transaction is stored, before any other thread may act.

        Raises:
            StoreError: The file cannot be written; nothing of the block was stored.
        """
        with self.exclusive() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            on_commit()

    @contextmanager
    def exclusive(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection, ready to write, outside any transaction.

        Raises:
            StoreError: The file cannot be written.
        """
        with self._lock:
            try:
                self._checked_at = 0.0
                self._watch()
                connection = self._prepare()
                self.wrote = True
                yield connection
            except (sqlite3.Error, OSError, OverflowError, UnicodeError, MemoryError) as error:
                self._checked_at = 0.0
                raise store_error(self.location, error) from error

    def checkpoint(self) -> None:
        """Fold the ``-wal`` into the file, so that the file is whole without it.

        What other connections still read is left for them to fold.
        """
        with self.opened() as connection:
            if connection and self.wrote:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        with self._lock, told_as_store_errors(self.location):
            if not self._is_closed:
                self._is_closed = True
                forks.forget(self)
                self._disconnect()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    # --- fork: SQLite's connections must not cross it (forks.py) ---

    def before_fork(self) -> None:
        """Close the connection and let no other thread open one."""
        self._lock.acquire()
        with suppress(sqlite3.Error, OSError):
            self._disconnect()

    def after_fork_in_parent(self) -> None:
        """Let threads go on; the next one opens the file again."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """As in the parent; what was pending is the parent's to write."""
        self._lock.release()
        self.wrote = False
        self._on_fork()

    # --- opening ---

    def _open(self) -> None:
        """Connect to the file as it is now; without a file, see that one can be made."""
        self._checked_at = time.monotonic()
        try:
            header = read_header(self.path, self.location)
        except FileNotFoundError:
            self._expect_new_file()
            return
        folder = Path(os.path.realpath(self.path)).parent
        self.read_only = self._wants_read_only or not (
            os.access(self.path, os.W_OK) and os.access(folder, os.W_OK)
        )
        self._refuse_foreign(header)
        if self.read_only:
            self._open_to_read(header)
        else:
            self._open_to_write()

    def _expect_new_file(self) -> None:
        if self._wants_read_only:
            raise StoreError(f"{self.location} does not exist", "Leave read-only out to make it")
        folder = Path(os.path.realpath(self.path)).parent
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(
                f"{self.location} cannot be made: its folder cannot be written",
                "Choose another folder",
            )
        self.read_only = False

    def _refuse_foreign(self, header: Header | None) -> None:
        """Look into a file that does not say whose it is, without a trace in it."""
        if header is None or header.application_id == sqlite_schema.APPLICATION_ID:
            return
        opening = ReadOnlyOpening(self.path, header, self._busy_timeout_s)
        try:
            sqlite_schema.version_of(opening.connection, self.location)
        finally:
            opening.close()

    def _open_to_read(self, header: Header | None) -> None:
        self._read_only_opening = ReadOnlyOpening(self.path, header, self._busy_timeout_s)
        self._adopt(self._read_only_opening.connection)

    def _open_to_write(self) -> None:
        connection = connect(uri(self.path, "rw"), self._busy_timeout_s)
        self._adopt(connection)

    def _adopt(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        try:
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute("PRAGMA temp_store = MEMORY")
            sqlite_lists.register(connection)
            self._file_id = _file_id(self.path)
            self._look(connection)
        except BaseException:
            self._disconnect()
            raise

    def _look(self, connection: sqlite3.Connection) -> None:
        """See what tables there are, and remember which ``-wal`` belongs to this file."""
        version = sqlite_schema.version_of(connection, self.location)
        self._has_tables = version > 0
        self.has_langchain_table = sqlite_schema.has_langchain_table(connection)
        self._wal_id = _file_id(side_file(self.path, "-wal"))
        if 0 < version < sqlite_schema.current_version():
            self._upgrade(connection)

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        """Bring an older file up to date: the one write that does not wait for an answer."""
        if self.read_only:
            raise StoreError(
                f"{self.location} was written by an older release and cannot be upgraded in place",
                "Copy it to where it can be written and open it there once",
            )
        sqlite_schema.migrate(connection, self.location)

    # --- watching ---

    def _watch(self) -> None:
        """Notice that the file came, went, was replaced or emptied; reopen as needed."""
        if self._is_closed:
            raise StoreError(f"{self.location} is closed", "Open it again")
        now = time.monotonic()
        if self._connection is None:
            if self.path.exists():
                self._open()
        elif self._read_only_opening:
            if self._read_only_opening.is_stale():
                self._disconnect()
                self._open()
        elif now - self._checked_at >= CHECK_EVERY_S:
            self._checked_at = now
            self._check_file()
        if self._connection and not self._has_tables:
            self._look(self._connection)

    def _check_file(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._abandon()
            return
        if (status.st_dev, status.st_ino) != self._file_id:
            self._abandon()
            self._open()
        elif status.st_size == 0 and self._has_tables:
            # Emptied by somebody. Closing would write our -wal into it; an unlinked file is let be.
            self.path.unlink()
            self._abandon()

    def _abandon(self) -> None:
        """Leave a file that is no longer at its path, and take its ``-wal`` from its successor."""
        wal_id = self._wal_id
        self._disconnect()
        if wal_id and wal_id == _file_id(side_file(self.path, "-wal")):
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    side_file(self.path, suffix).unlink()

    def _disconnect(self) -> None:
        connection, opening = self._connection, self._read_only_opening
        self._connection = self._read_only_opening = None
        self._has_tables = self._is_prepared = False
        self._file_id = self._wal_id = None
        if opening:
            opening.close()
        elif connection:
            connection.close()

    # --- the first write ---

    def _prepare(self) -> sqlite3.Connection:
        """Return a connection to a file with our tables, made or extended as needed."""
        if self.read_only:
            raise StoreError(f"{self.location} is read-only", "Choose a file that can be written")
        if self._connection is None:
            _make_private_file(self.path)
            self._open()
        connection = self._connection
        if connection is None:
            raise StoreError(f"{self.location} vanished while it was opened", "Try again")
        if not self._is_prepared:
            # Without effect on a file that holds anything.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            sqlite_schema.migrate(connection, self.location)
            self._choose_journal(connection)
            self._look(connection)
            self._is_prepared = True
        return connection

    def _choose_journal(self, connection: sqlite3.Connection) -> None:
        """Switch to WAL where that is safe.

        With several processes at once the switch can fail in spite of the busy timeout. A file that
        stays busy is written with its old journal, more slowly, and switched next time.
        """
        wanted = "delete" if self.network else "wal"
        deadline = time.monotonic() + self._busy_timeout_s
        mode = ""
        while mode != wanted:
            try:
                (mode,) = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            if mode != wanted:
                if time.monotonic() > deadline:
                    break
                time.sleep(random.uniform(0.001, 0.02))  # noqa: S311  # spreads processes
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")


def _make_private_file(path: Path) -> None:
    """Make an empty file for the user alone; SQLite gives its side files the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _file_id(path: Path) -> FileId | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino)
