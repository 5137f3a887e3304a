"""Entries in one SQLite file."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Unpack

from ..entry import Entry
from ..errors import StoreError
from . import langchain_table, sqlite_eviction, sqlite_query, sqlite_repair, sqlite_rows
from .base import LifeTotals, Store, Verification, Which
from .sqlite_clear import clear
from .sqlite_file import SQLiteFile
from .sqlite_hits import PendingHits

BUSY_TIMEOUT_S = 5.0


class SQLiteStore(Store):
    """A store in one SQLite file, shared with other processes and with LangChain's own cache.

    Hits are counted in memory and written with the next answer, or at the end of a session that
    stored one: a session that stores nothing leaves the file as it was.

    Args:
        path: The file; taken literally but for a leading ``~``. Made when it is missing, with the
            first answer.
        read_only: Serve what is there and write nothing.
        ttl_s: How long an entry is good, in seconds. None: for ever. An entry too old is not
            served; it is deleted by ``prune``, or when a bound is reached.
        max_entries: How many entries the file holds; the least recently used goes first.
        max_size_bytes: How large the file may grow, its ``-wal`` not counted.
        clock: Returns the Unix time in seconds.
        busy_timeout_s: How long to wait for other programs that write, in seconds.

    Attributes:
        bounds: How long entries are good and how many there may be.
        read_only: Also true where the file or its folder cannot be written.
        notice: What the user should know about this file, in one line; None when nothing.

    Raises:
        StoreError: The file cannot be opened, is no file of this kind, or is of a newer version.
        LLMCacheError: A bound is not above zero.
    """

    backend = "sqlite"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        read_only: bool = False,
        ttl_s: float | None = None,
        max_entries: int | None = None,
        max_size_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        super().__init__(
            os.fspath(path),
            read_only=read_only,
            ttl_s=ttl_s,
            max_entries=max_entries,
            max_size_bytes=max_size_bytes,
            clock=clock,
        )
        self._pending = PendingHits()
        self._evictor = sqlite_eviction.Evictor(self.bounds)
        self._file = SQLiteFile(
            os.fspath(path),
            read_only=read_only,
            busy_timeout_s=busy_timeout_s,
            on_fork=self._pending.reset,
        )
        self._busy_timeout_s = busy_timeout_s
        self.path = self._file.path
        _open_stores.add(self)

    @property
    def read_only(self) -> bool:
        """Whether nothing can be stored."""
        return self._file.read_only

    @property
    def notice(self) -> str | None:
        """What the user should know about this file, in one line; None when nothing."""
        if self._file.network:
            return (
                f"{self.location} is on a network file system ({self._file.network}): written with "
                "SQLite's slower, safer journal; do not use it from two machines at once"
            )
        if self.read_only and not self._wants_read_only:
            return f"{self.location} cannot be written: it is used read-only"
        return None

    def get(self, key: bytes) -> Entry | None:
        """Return the entry of ``key`` and count a hit; None when there is none or it is too old.

        Raises:
            StoreError: The file cannot be read.
            DamagedEntryError: The entry is not what was stored.
        """
        with self._file.reading() as connection:
            hit = sqlite_rows.get(connection, key) if connection else None
            if hit is None:
                return None
            now = self._clock()
            if hit.created_at <= self.bounds.oldest_good(now):
                return None
            self._pending.add(key, now, hit.provider_s)
            return hit

    def read(self, key: bytes) -> Entry | None:
        """Return the whole entry without counting a hit. Raises as ``get``."""
        with self._file.reading() as connection:
            entry = sqlite_rows.read(connection, key) if connection else None
            return self._pending.added_to(entry) if entry else None

    def put_many(self, entries: Collection[Entry]) -> bool:
        """Store all of ``entries`` or, on a fault, none.

        Raises:
            StoreError: The file cannot be written; nothing was stored.
        """
        try:
            with self._file.writing(self._pending.reset) as connection:
                now = self._clock()
                sqlite_rows.write_hits(connection, self._pending)
                for entry in entries:
                    sqlite_rows.put(connection, entry, now)
                self._evictor.after_put(connection, len(entries), now)
        except BaseException:
            self._evictor.forget()
            raise
        return True

    def delete(self, keys: Collection[bytes]) -> int:
        """Delete entries and return how many there were. Raises as ``put``."""
        if self._is_empty():
            return 0
        with self._file.writing() as connection:
            deleted = sqlite_rows.delete(connection, keys)
        self._give_back()
        return deleted

    def clear(self) -> None:
        """Delete every entry of ours, and give the space back. Raises as ``put``."""
        if not self._is_empty():
            with self._file.exclusive() as connection:
                clear(connection, self._pending, self._busy_timeout_s)
                self._pending.reset()
            self._evictor.forget()
            self._give_back()

    def prune(self) -> int:
        """Delete what is too old or over the bounds now, give the space back; return how many."""
        if self._is_empty():
            return 0
        with self._file.writing() as connection:
            pruned = sqlite_eviction.prune(connection, self.bounds, self._clock())
        self._evictor.forget()
        self._give_back()
        return pruned

    def count(self) -> int:
        """Return the number of entries."""
        with self._file.reading() as connection:
            return sqlite_eviction.count(connection) if connection else 0

    def size_bytes(self) -> int:
        """Return the size of the file once its ``-wal`` is folded in."""
        with self._file.opened() as connection:
            return sqlite_eviction.file_bytes(connection) if connection else 0

    def find(self, prefix: str) -> list[bytes]:
        """Return the keys whose hexadecimal form begins with ``prefix`` (at most 20)."""
        with self._file.reading() as connection:
            return sqlite_query.find(connection, prefix) if connection else []

    def entries(self, **which: Unpack[Which]) -> Iterator[Entry]:
        """Yield entries, in bounded memory; see ``Which``.

        Raises:
            StoreError: The file cannot be read.
            DamagedEntryError: A whole entry is asked for that is not what was stored.
        """
        texts = which.get("texts", True)
        keys = which.get("keys")
        if texts and keys is None and which.keys() <= {"keys", "texts"}:
            for row in self.all_rows():
                yield self._pending.added_to(sqlite_rows.entry_of(row))
        elif texts:
            found = set(which) <= {"keys", "texts"} and keys is not None
            chosen = sorted(set(keys or ())) if found else [each.key for each in self._list(which)]
            whole = map(self.read, chosen)
            yield from (entry for entry in whole if entry is not None)
        else:
            yield from self._list(which)

    def _list(self, which: Which) -> list[Entry]:
        with self._file.reading() as connection:
            return sqlite_query.select(connection, self._pending, which) if connection else []

    def titled_like(self, pieces: Collection[str], limit: int, ties: int) -> list[Entry]:
        """Return the entries whose titles hold the most of ``pieces``, in one look at the titles.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._file.reading() as connection:
            if connection is None:
                return []
            return sqlite_query.titled_like(connection, pieces, limit, ties)

    def requests(self) -> list[str]:
        """Return the distinct request texts of all entries."""
        with self._file.reading() as connection:
            return sqlite_query.requests(connection) if connection else []

    def life_totals(self) -> LifeTotals:
        """Return what the file has seen since it was made, and this session if it stored."""
        with self._file.reading() as connection:
            totals = sqlite_query.life_totals(connection) if connection else LifeTotals(0, 0.0)
            if not self._file.wrote:
                return totals
            return LifeTotals(
                totals.hits + self._pending.hits, totals.saved_s + self._pending.saved_s
            )

    def verify(self, *, repair: bool = False) -> Verification:
        """Look through the whole file: its structure, every checksum, texts that nobody uses.

        Args:
            repair: Delete what is damaged and unused. Of a file whose structure is broken, save
                what can be read into a new one in its place, and keep the broken one beside it.

        Raises:
            StoreError: The file cannot be read; with ``repair``, cannot be written.
        """
        with self._file.opened() as connection:
            faults = tuple(sqlite_repair.faults_of(connection)) if connection else ()
        if faults:
            kept_at = str(self._file.swap(sqlite_repair.salvage)) if repair else None
            entries = self.count() if repair else 0
            return Verification(entries, faults=faults, repaired=repair, kept_at=kept_at)
        with self._file.reading() as connection:
            orphans = sqlite_repair.count_orphans(connection) if connection else 0
        entries = self.count()
        damaged = tuple(sqlite_repair.damaged_keys(self.all_rows()))
        if repair and (damaged or orphans):
            with self._file.writing() as connection:
                sqlite_rows.delete(connection, damaged)
                sqlite_rows.delete_orphans(connection)
        return Verification(entries, damaged, orphans, repaired=repair)

    def flush(self, timeout_s: float = 0.0) -> int:  # noqa: ARG002  # the busy timeout rules
        """Fold the ``-wal`` into the file and write pending hits, if anything was stored since.

        After it a copy of the file alone is whole, though it is still open here.

        Raises:
            StoreError: The file cannot be written.
        """
        if not self._file.is_folded:
            self._write_pending()
            self._file.fold()
        return 0

    def close(self) -> None:
        """Write what is pending and give the file back, in one piece. Closing twice is no error."""
        if not self._file.is_closed:
            _open_stores.discard(self)
            with suppress(StoreError):  # bookkeeping is not worth an error at the end
                if self._file.wrote:
                    self._write_pending()
                    self._file.fold()
            self._file.close()

    # --- rows that LangChain wrote ---

    @property
    def has_langchain_rows(self) -> bool:  # type: ignore[override]  # it may come while the file is open
        """Whether LangChain's SQLite cache has its table in this file."""
        return self._file.has_langchain_table

    def langchain_rows(self, prompt: str, llm_string: str) -> list[str]:
        """Return what LangChain stored for these two strings, one text a generation, in order.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._file.opened() as connection:
            if connection is None or not self.has_langchain_rows:
                return []
            return langchain_table.responses(connection, prompt, llm_string)

    def all_rows(self) -> Iterator[sqlite_rows.Row]:
        """Yield whole rows in key order, in bounded memory; see ``sqlite_rows.entry_of``."""
        place = b""
        while rows := self._rows_after(place):
            yield from rows
            place = rows[-1][0]

    def _rows_after(self, key: bytes) -> list[sqlite_rows.Row]:
        with self._file.reading() as connection:
            return sqlite_rows.rows_after(connection, key) if connection else []

    def _write_pending(self) -> None:
        if self._pending.hits and not self._is_empty():
            with self._file.writing(self._pending.reset) as connection:
                sqlite_rows.write_hits(connection, self._pending)

    def _is_empty(self) -> bool:
        """Tell whether there is nothing of ours, so that deleting need not make a file."""
        with self._file.reading(now=True) as connection:
            return connection is None

    def _give_back(self) -> None:
        """Cut free pages off the file, step by step, so that others can write in between."""
        with suppress(StoreError):  # what was asked for is done; free pages are used again
            with self._file.exclusive() as connection:
                sqlite_eviction.compact(connection)
            more = True
            while more:
                with self._file.writing() as connection:
                    more = sqlite_eviction.give_back(connection, sqlite_eviction.PAGES_A_STEP)
            self._file.fold()


_open_stores: weakref.WeakSet[SQLiteStore] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close what a kernel that is shut down or restarted has open."""
    for store in list(_open_stores):
        with suppress(StoreError):
            store.close()
