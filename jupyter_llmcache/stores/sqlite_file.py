"""One SQLite file behind one connection and one lock: opened, watched, written, closed."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import cast

from ..errors import StoreError
from . import sqlite_forks, sqlite_schema
from .sqlite_faults import FAULTS, is_busy, is_damage
from .sqlite_guards import Guard, Lending
from .sqlite_network import network_type
from .sqlite_open import ApartOpening, LiveOpening, Opening, connect
from .sqlite_paths import Header, move_with_side_files, read_header, resolve, uri


class SQLiteFile:
    """A cache file that may come, go, be replaced, be read-only or be shared while it is open.

    Nothing is written before the first ``writing``: a missing file is not made, an existing one
    keeps its bytes.

    Args:
        location: The path as the user gave it.
        read_only: Write nothing, whatever happens.
        busy_timeout_s: How long to wait for other programs that write, in seconds.
        on_fork: Called in a forked child.

    Attributes:
        path: The absolute path.
        read_only: Also true where the file or its folder cannot be written.
        network: The type of the network file system that holds the file, or None.
        has_langchain_table: Whether LangChain's own SQLite cache has its table in the file.
        wrote: Whether this process has written to the file.
        is_folded: Whether nothing was written since ``fold``.

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
        self.read_only = self._wants_read_only = read_only
        self.has_langchain_table = False
        self.wrote = False
        self.is_folded = True
        self._busy_timeout_s = busy_timeout_s
        self._on_fork = on_fork
        self._lock = threading.Lock()
        self._guard = Guard(self._lock, location)
        self._reading = Lending(self._guard, self._find)
        self._opening: Opening | None = None
        self._has_tables = False
        self._schema_version: int | None = None
        self._is_prepared = False
        self._is_closed = False
        with self._guard:
            self.network = network_type(self.path)
            self._open()
            if self._opening is None:
                self._expect_new_file()
        sqlite_forks.register(self)

    # --- what stores use ---

    def reading(self, *, now: bool = False) -> Lending:
        """Lend the connection, or None where nothing of ours is stored yet.

        Args:
            now: See that the file is still there, even if that was done a moment ago.

        Raises:
            StoreError: The file cannot be read.
        """
        return Lending(self._guard, self._find_now) if now else self._reading

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection | None]:
        """Yield the connection, or None where there is no file.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._guard:
            yield self._watch(now=False)

    @contextmanager
    def exclusive(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection, ready to write, outside any transaction.

        Raises:
            StoreError: The file cannot be written.
        """
        with self._guard:
            self._watch(now=True)
            connection = self._prepare()
            self.is_folded = False
            yield connection
            self.wrote = True

    @contextmanager
    def writing(self, on_commit: Callable[[], None] = lambda: None) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside a transaction that ends with the block.

        Args:
            on_commit: Called when the transaction is stored, before any other thread may act.

        Raises:
            StoreError: The file cannot be written; nothing of the block was stored.
        """
        with self.exclusive() as connection:
            with sqlite_schema.transaction(connection):
                yield connection
            on_commit()

    def fold(self) -> None:
        """Fold the ``-wal`` into the file, so that a copy of the file alone is whole.

        What other connections still read is left for them to fold.
        """
        with self.opened() as connection:
            if connection and not self.is_folded and not self.read_only:
                connection.execute("PRAGMA busy_timeout = 0")
                try:
                    row = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                    self.is_folded = not row[0]
                finally:
                    connection.execute(f"PRAGMA busy_timeout = {int(self._busy_timeout_s * 1000)}")

    def swap(self, fill: Callable[[sqlite3.Connection, sqlite3.Connection], None]) -> Path:
        """Put a new file in the place of this one, and keep this one beside it.

        Args:
            fill: Called with the connections to this file and to the new one, which has our tables.

        Returns:
            Where the file is kept.

        Raises:
            StoreError: The new file cannot be made; this one stays in its place.
        """
        with self._guard:
            connection = self._watch(now=True)
            if connection is None or self.read_only:
                raise StoreError(f"{self.location} cannot be replaced", _CHOOSE_WRITABLE)
            fresh = _free_name(self.path, "new")
            try:
                _make_private_file(fresh)
                with closing(connect(uri(fresh, "rw"), self._busy_timeout_s)) as target:
                    target.execute("PRAGMA auto_vacuum = INCREMENTAL")
                    sqlite_schema.migrate(target, self.location)
                    fill(connection, target)
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
            with suppress(sqlite3.Error):  # what is broken may not even close well
                self._disconnect()
            kept = _free_name(self.path, "broken")
            move_with_side_files(self.path, kept)
            fresh.replace(self.path)
            self.wrote = True
            return kept

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        with self._guard:
            if not self._is_closed:
                self._is_closed = True
                sqlite_forks.forget(self)
                self._disconnect()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    # --- fork: SQLite's connections must not cross it (forks.py) ---

    def before_fork(self) -> None:
        """Close the connection and let no other thread open one."""
        self._lock.acquire()
        with suppress(*FAULTS):
            self._disconnect()

    def after_fork_in_parent(self) -> None:
        """Let threads go on; the next one opens the file again."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """As in the parent; what was pending is the parent's to write."""
        self._lock.release()
        self.wrote = False
        self._on_fork()

    # --- inside the lock ---

    def _find(self, *, now: bool = False) -> sqlite3.Connection | None:
        connection = self._watch(now=now)
        return connection if self._has_tables else None

    def _find_now(self) -> sqlite3.Connection | None:
        return self._find(now=True)

    def _watch(self, *, now: bool) -> sqlite3.Connection | None:
        """Return the connection to the file that is there now, or None where there is none."""
        if self._is_closed:
            raise StoreError(f"{self.location} is closed", "Open it again")
        if self._opening and self._opening.is_stale(now=now):
            self._disconnect()
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
            header = read_header(self.path, self.location)
        except FileNotFoundError:
            if self._wants_read_only:
                raise StoreError(f"{self.location} does not exist", "Leave out read-only") from None
            return
        self.read_only = self._wants_read_only or not (
            os.access(self.path, os.W_OK) and os.access(_folder(self.path), os.W_OK)
        )
        self._adopt(self._open_apart(header) or self._open_live(header))

    def _open_apart(self, header: Header | None) -> ApartOpening | None:
        """Look whose file it is without a trace in it; go on so where it must not be touched yet.

        Raises:
            StoreError: It belongs to another program, or to a newer release.
        """
        try:
            opening = ApartOpening(self.path, header, self._busy_timeout_s)
            version = self._version_in(opening)
        except sqlite3.DatabaseError:
            if self.read_only:
                raise
            return None  # a writer is at work, or was killed at it: only a live opening sees right
        if 0 < version < sqlite_schema.current_version():
            opening.close()
            return self._open_upgraded_copy(header)
        if self.read_only or (self.network and header and header.is_wal):
            return opening
        opening.close()
        return None

    def _version_in(self, opening: ApartOpening) -> int:
        try:
            return sqlite_schema.version_of(opening.connection, self.location)
        except BaseException:
            opening.close()
            raise

    def _open_upgraded_copy(self, header: Header | None) -> ApartOpening:
        copy = ApartOpening(self.path, header, self._busy_timeout_s, as_copy=True)
        try:
            sqlite_schema.migrate(copy.connection, self.location)
        except BaseException:
            copy.close()
            raise
        return copy

    def _open_live(self, header: Header | None) -> Opening:
        try:
            return LiveOpening(self.path, self._busy_timeout_s)
        except sqlite3.OperationalError as error:
            if is_busy(error) or is_damage(error):
                raise
            # A full disk has no room for side files; that must not make the answers unreadable.
            return ApartOpening(self.path, header, self._busy_timeout_s)

    def _adopt(self, opening: Opening) -> None:
        self._opening = opening
        try:
            self._look(opening.connection)
        except BaseException:
            self._disconnect()
            raise

    def _look(self, connection: sqlite3.Connection) -> None:
        """See which tables there are, if there can be others than last time."""
        (schema_version,) = connection.execute("PRAGMA schema_version").fetchone()
        if schema_version != self._schema_version:
            version = sqlite_schema.version_of(connection, self.location)
            self._has_tables = version > 0
            self.has_langchain_table = sqlite_schema.has_langchain_table(connection)
            self._schema_version = schema_version

    def _disconnect(self) -> None:
        opening, self._opening = self._opening, None
        self._has_tables = self._is_prepared = False
        self._schema_version = None
        if opening:
            opening.close()

    # --- the first write ---

    def _expect_new_file(self) -> None:
        """See that a file could be made here."""
        folder = _folder(self.path)
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(
                f"{self.location} cannot be made: its folder cannot be written", _CHOOSE_WRITABLE
            )

    def _prepare(self) -> sqlite3.Connection:
        """Return a connection to a file with our tables, made or extended as needed."""
        if self._opening is None:
            _make_private_file(self.path)
            self._open()
        if self.read_only:
            raise StoreError(f"{self.location} is read-only", _CHOOSE_WRITABLE)
        if not isinstance(self._opening, LiveOpening):
            self._disconnect()
            self._adopt(LiveOpening(self.path, self._busy_timeout_s))
        opening = cast("LiveOpening", self._opening)
        if not self._is_prepared:
            # Without effect on a file that holds anything.
            opening.connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            sqlite_schema.migrate(opening.connection, self.location)
            self._choose_journal(opening.connection)
            self._look(opening.connection)
            opening.notice_content()
            self._is_prepared = True
        return opening.connection

    def _choose_journal(self, connection: sqlite3.Connection) -> None:
        """Switch to WAL where that is safe.

        With several processes at once the switch can fail in spite of the busy timeout. A file that
        stays busy is written with its old journal, more slowly, and switched next time.
        """
        wanted = "delete" if self.network else "wal"
        deadline = time.monotonic() + self._busy_timeout_s
        while (mode := _switch_journal(connection, wanted)) != wanted:
            if time.monotonic() > deadline:
                break
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311  # spreads processes
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")


_CHOOSE_WRITABLE = "Choose a file and a folder that can be written"


def _switch_journal(connection: sqlite3.Connection, wanted: str) -> str:
    try:
        (mode,) = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(mode)


def _folder(path: Path) -> Path:
    return Path(os.path.realpath(path)).parent


def _make_private_file(path: Path) -> None:
    """Make an empty file for the user alone; SQLite gives its side files the same mode."""
    _folder(path).mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _free_name(path: Path, word: str) -> Path:
    """Return a path beside ``path`` that nothing has yet."""
    path = Path(os.path.realpath(path))
    for number in itertools.count(1):
        name = path.with_name(f"{path.name}.{word}{number}")
        if not name.exists():
            break
    return name
