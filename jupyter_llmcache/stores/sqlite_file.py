"""One SQLite file behind one connection and one lock: opened, watched, written, closed."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import StoreError
from . import sqlite_tables
from .base import BusyError
from .sqlite_open import (
    FAULTS,
    ApartOpening,
    DamagedFileError,
    LiveOpening,
    can_write,
    choose_journal,
    folder_of,
    free_name,
    is_busy,
    is_damage,
    is_wal_file,
    make_private_file,
    move_with_side_files,
    network_type,
    resolve,
    store_error,
)

_CHOOSE_WRITABLE = "Choose a file and a folder that can be written"


class _Use:
    """The file's lock as a block; a fault in it becomes one line for the person."""

    # A hit passes here each time: ``contextlib``'s generators would take twice as long.

    __slots__ = ("_file", "_find", "_patience_s")

    def __init__(
        self,
        file: SQLiteFile,
        find: Callable[[], sqlite3.Connection | None],
        patience_s: float = -1,
    ) -> None:
        self._file = file
        self._find = find
        self._patience_s = patience_s

    def __enter__(self) -> sqlite3.Connection | None:
        if not self._file.lock.acquire(timeout=self._patience_s):
            raise BusyError(f"{self._file.location} is in use by another thread")
        try:
            self._file.set_patience(self._patience_s)
            return self._find()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._file.lock.release()
        if isinstance(error, FAULTS):
            raise store_error(self._file.location, error) from error


class SQLiteFile:
    """A cache file that may come, go, be replaced, be read-only or be shared while it is open.

    Nothing is written before the first ``writing``.

    Args:
        location: The path as the user gave it.
        read_only: Write nothing, whatever happens.
        busy_timeout_s: How long to wait for other programs that write, in seconds.
        on_fork: Called in a forked child.
        may_be_damaged: Open it although it is broken; then only ``rescue`` can use it.

    Attributes:
        path: The absolute path.
        read_only: Also true where the file or its folder cannot be written.
        network: The type of the network file system that holds the file, or None.
        has_langchain_table: Whether LangChain's own SQLite cache has its table in it.
        wrote, is_folded: Whether this process has written to it; nothing since ``fold``.

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
        may_be_damaged: bool = False,
    ) -> None:
        self.location = location
        self.path = resolve(location)
        self.read_only = self._wants_read_only = read_only
        self.has_langchain_table = False
        self.wrote = False
        self.is_folded = True
        self.is_closed = False
        self.lock = threading.Lock()
        self._busy_timeout_s = self._patience_s = busy_timeout_s
        self.on_fork = on_fork
        self._reading = _Use(self, self._find)
        self._opening: LiveOpening | ApartOpening | None = None
        self._has_tables = False
        #: Whether it was made ready to write, by a ``-wal``, so that who reads waits for nobody.
        self._is_prepared = self._reads_freely = False
        self.network = network_type(self.path)
        try:
            with _Use(self, lambda: None):
                self._open()
                if self._opening is None:
                    self._expect_new_file()
        except DamagedFileError:
            if not may_be_damaged:
                raise
        _open_files.add(self)

    # --- what stores use ---

    def reading(self) -> _Use:
        """Lend the connection, or None where nothing of ours is stored yet."""
        return self._reading

    def opened(self) -> _Use:
        """Lend the connection, or None where there is no file. Raises as ``reading``."""
        return _Use(self, self._watch)

    def is_empty(self) -> bool:
        """Tell whether there is nothing of ours, so that deleting need not make a file."""
        with _Use(self, lambda: self._watch(now=True)):
            return not self._has_tables

    @contextmanager
    def exclusive(self, patience_s: float = -1) -> Iterator[sqlite3.Connection]:
        """Yield the connection, ready to write, outside any transaction.

        Args:
            patience_s: How long to wait for other threads and other programs, each, in seconds.
                -1: for threads as long as it takes, for programs the busy timeout.

        Raises:
            BusyError: They did not let go of the file.
            StoreError: The file cannot be written.
        """
        with _Use(self, self._ready, patience_s) as connection:
            assert connection is not None  # noqa: S101  # _ready returns one or raises
            if patience_s < 0:
                self.set_patience(self._busy_timeout_s)
            self.is_folded = False
            yield connection
            self.wrote = True

    @contextmanager
    def writing(
        self, on_commit: Callable[[], None] = lambda: None, patience_s: float = -1
    ) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside a transaction that ends with the block.

        Args:
            on_commit: Called when the transaction is stored, before any other thread may act.
            patience_s: As in ``exclusive``.
        """
        with self.exclusive(patience_s) as connection:
            with sqlite_tables.transaction(connection):
                yield connection
            on_commit()

    def fold(self) -> None:
        """Fold the ``-wal`` into the file, so that a copy of the file alone is whole.

        What other connections still read is left for them to fold.
        """
        with self.opened() as connection:
            if connection and not self.is_folded and not self.read_only:
                self.set_patience(0.0)
                row = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self.is_folded = not row[0]

    def rescue(self) -> Path:
        """Put a new file with all that can be read in the place of this one, and keep this one.

        Returns:
            Where the broken file is kept. It stays where nothing can be read.
        """
        from . import sqlite_whole  # few files are broken

        with _Use(self, lambda: None):
            if self._wants_read_only or not can_write(self.path):
                raise StoreError(f"{self.location} cannot be replaced", _CHOOSE_WRITABLE)
            with suppress(sqlite3.Error):  # what is broken may not close well
                self.disconnect()
            fresh = free_name(self.path, "new")
            try:
                make_private_file(fresh)
                sqlite_whole.rescue(self.path, fresh, self.location)
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
            kept = free_name(self.path, "broken")
            move_with_side_files(self.path, kept)
            fresh.replace(self.path)
            self.wrote = True
            return kept

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        with _Use(self, lambda: None):
            self.is_closed = True
            _open_files.discard(self)
            self.disconnect()

    # --- inside the lock ---

    def set_patience(self, seconds: float) -> None:
        """Wait so long for other programs from now on; below 0: the busy timeout, if need be."""
        if seconds < 0:
            if self._reads_freely:  # to set it takes as long as to read
                return
            seconds = self._busy_timeout_s
        if seconds != self._patience_s:
            self._patience_s = seconds
            if self._opening:
                milliseconds = int(seconds * 1000)
                self._opening.connection.execute(f"PRAGMA busy_timeout = {milliseconds}")

    def _find(self) -> sqlite3.Connection | None:
        connection = self._watch()
        return connection if self._has_tables else None

    def _watch(self, *, now: bool = False) -> sqlite3.Connection | None:
        """Return the connection to the file that is there now, or None where there is none."""
        if self.is_closed:
            raise StoreError(f"{self.location} is closed", "Open it again")
        opening = self._opening
        if opening and (now or time.monotonic() >= opening.good_until) and opening.is_stale():
            self.disconnect()
        if self._opening is None:
            self._open()
            if self._opening is None:
                return None
        if not self._has_tables:
            self._look(self._opening.connection)
        return self._opening.connection

    def _open(self) -> None:
        """Connect to the file as it is now; do nothing where there is none."""
        try:
            is_wal = is_wal_file(self.path, self.location)
        except FileNotFoundError:
            if self._wants_read_only:
                raise StoreError(
                    f"{self.location} does not exist", "Check the path; read-only makes no file"
                ) from None
            return
        self.read_only = self._wants_read_only or not can_write(self.path)
        self._adopt(self._open_apart(is_wal=is_wal) or self._open_live(is_wal=is_wal))

    def _open_apart(self, *, is_wal: bool) -> ApartOpening | None:
        """Look whose file it is without a trace in it; go on so where it must not be touched."""
        with ExitStack() as opened:
            try:
                opening = ApartOpening(self.path, self._patience_s, is_wal=is_wal)
                opened.callback(opening.close)
                sqlite_tables.version_of(opening.connection, self.location)
            except sqlite3.DatabaseError:
                if self.read_only:
                    raise
                # A writer is at work, or was killed at it: only a live opening sees right.
            else:
                if self.read_only or (self.network and is_wal):
                    opened.pop_all()
                    return opening
        return None

    def _open_live(self, *, is_wal: bool) -> LiveOpening | ApartOpening:
        try:
            return LiveOpening(self.path, self._patience_s)
        except sqlite3.OperationalError as error:
            if is_busy(error) or is_damage(error):
                raise
            # A full disk has no room for side files; that must not make the answers unreadable.
            return ApartOpening(self.path, self._patience_s, is_wal=is_wal)

    def _adopt(self, opening: LiveOpening | ApartOpening) -> None:
        self._opening = opening
        try:
            self._look(opening.connection)
        except BaseException:
            self.disconnect()
            raise

    def _look(self, connection: sqlite3.Connection) -> None:
        """See which tables there are."""
        self._has_tables = sqlite_tables.version_of(connection, self.location) > 0
        self.has_langchain_table = sqlite_tables.has_langchain_table(connection)

    def disconnect(self) -> None:
        """Close the connection until somebody asks for it again; the lock is held."""
        opening, self._opening = self._opening, None
        self._has_tables = self._is_prepared = self._reads_freely = False
        if opening:
            opening.close()

    # --- the first write ---

    def _expect_new_file(self) -> None:
        """See that a file could be made here."""
        folder = folder_of(self.path)
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(
                f"{self.location} cannot be made: its folder cannot be written", _CHOOSE_WRITABLE
            )

    def _ready(self) -> sqlite3.Connection:
        """Return a connection to a file with our tables, made or extended as needed."""
        self._watch(now=True)
        if self._opening is None:
            make_private_file(self.path)
            self._open()
        if self.read_only:
            raise StoreError(f"{self.location} is read-only", _CHOOSE_WRITABLE)
        opening = self._opening
        if not isinstance(opening, LiveOpening):
            self.disconnect()
            opening = LiveOpening(self.path, self._patience_s)
            self._adopt(opening)
        connection = opening.connection
        if not self._is_prepared:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only takes in an empty file
            sqlite_tables.migrate(connection, self.location)
            wanted = "delete" if self.network else "wal"
            got = choose_journal(connection, wanted, self._patience_s)
            self._look(connection)
            opening.notice_content()
            self._is_prepared, self._reads_freely = True, got == "wal"
        return connection


# --- forks: a child that only closes an inherited SQLite connection can damage the file ---

_open_files: weakref.WeakSet[SQLiteFile] = weakref.WeakSet()
_in_fork: list[SQLiteFile] = []


def _before_fork() -> None:
    """Close all connections and let no other thread open one."""
    _in_fork[:] = list(_open_files)
    for file in _in_fork:
        file.lock.acquire()
        with suppress(*FAULTS):
            file.disconnect()


def _after_fork(*, in_child: bool) -> None:
    """Let threads go on; what was pending in the parent is the parent's to write."""
    while _in_fork:
        file = _in_fork.pop()
        file.lock.release()
        if in_child:
            file.wrote = False
            file.on_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(in_child=False),
        after_in_child=lambda: _after_fork(in_child=True),
    )
