"""Entries in one SQLite file."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import StoreError
from . import (
    langchain_table,
    sqlite_eviction,
)
from . import (
    sqlite_query as sqlite_lists,
)
from . import (
    sqlite_repair as sqlite_verify,
)
from . import (
    sqlite_rows as sqlite_entries,
)
from .base import Hit, LifeTotals, Record, SortOrder, Summary, Verification
from .bounds import Bounds
from .guards import Lending
from .hits import PendingHits
from .langchain_table import LangChainRows
from .sqlite_clear import clear
from .sqlite_file import SQLiteFile

BUSY_TIMEOUT_S = 5.0


class SQLiteStore:
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
        self.bounds = Bounds(ttl_s, max_entries, max_size_bytes)
        self._clock = clock
        self._pending = PendingHits()
        self._evictor = sqlite_eviction.Evictor(self.bounds)
        self._file = SQLiteFile(
            os.fspath(path),
            read_only=read_only,
            busy_timeout_s=busy_timeout_s,
            on_fork=self._pending.reset,
        )
        self.location = self._file.location
        self._wants_read_only = read_only
        self._busy_timeout_s = busy_timeout_s
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

    @property
    def path(self) -> Path:
        """The absolute path of the file."""
        return self._file.path

    def reading(self) -> Lending:
        """Lend the connection to one question, or None where nothing of ours is stored yet.

        No other thread uses the store until the block ends.

        Raises:
            StoreError: The file cannot be read.
        """
        return self._file.reading()

    def get(self, key: bytes) -> Hit | None:
        """Return the entry of ``key`` and count a hit; None when there is none or it is too old.

        Raises:
            StoreError: The file cannot be read.
            DamagedEntryError: The entry is not what was stored.
        """
        with self._file.reading() as connection:
            hit = sqlite_entries.get(connection, key) if connection else None
            if hit is None:
                return None
            now = self._clock()
            if hit.created_at <= self.bounds.oldest_good(now):
                return None
            self._pending.add(key, now, hit.provider_s)
            return hit

    def read(self, key: bytes) -> Record | None:
        """Return the whole entry without counting a hit. Raises as ``get``."""
        with self._file.reading() as connection:
            return sqlite_entries.read(connection, key) if connection else None

    def put(self, record: Record) -> None:
        """Store ``record`` in one step, in place of an entry of the same key.

        Raises:
            StoreError: The file cannot be written; nothing was stored.
        """
        self.put_many((record,))

    def put_many(self, records: Collection[Record]) -> None:
        """Store all of ``records`` or, on a fault, none. Raises as ``put``."""
        try:
            with self._file.writing(self._pending.reset) as connection:
                now = self._clock()
                sqlite_entries.write_hits(connection, self._pending)
                for record in records:
                    sqlite_entries.put(connection, record, now)
                self._evictor.after_put(connection, len(records), now)
        except BaseException:
            self._evictor.forget()
            raise

    def delete(self, keys: Collection[bytes]) -> int:
        """Delete entries and return how many there were. Raises as ``put``."""
        if self._is_empty():
            return 0
        with self._file.writing() as connection:
            deleted = sqlite_entries.delete(connection, keys)
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
            return sqlite_lists.find(connection, prefix) if connection else []

    def summaries(
        self,
        *,
        sort: SortOrder = "recent",
        limit: int | None = None,
        request_contains: str | None = None,
        text_contains: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> list[Summary]:
        """Return lines for a list; see ``Store.summaries``."""
        chosen = sqlite_lists.Filter(request_contains, text_contains, since, until)
        with self._file.reading() as connection:
            if connection is None:
                return []
            return sqlite_lists.summaries(connection, self._pending, chosen, sort, limit)

    def requests(self) -> list[str]:
        """Return the distinct request texts of all entries."""
        with self._file.reading() as connection:
            return sqlite_lists.requests(connection) if connection else []

    def records(self, keys: Collection[bytes] | None = None) -> Iterator[Record]:
        """Yield whole entries (all, or those of ``keys``) in key order, in bounded memory.

        Raises:
            DamagedEntryError: An entry is not what was stored.
        """
        if keys is not None:
            for key in sorted(set(keys)):
                record = self.read(key)
                if record is not None:
                    yield record
            return
        for row in self._all_rows():
            yield sqlite_entries.record_of(row)

    def life_totals(self) -> LifeTotals:
        """Return what the file has seen since it was made, and this session if it stored."""
        with self._file.reading() as connection:
            totals = sqlite_lists.life_totals(connection) if connection else LifeTotals(0, 0.0)
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
            faults = tuple(sqlite_verify.faults_of(connection)) if connection else ()
        if faults:
            kept_at = str(self._file.swap(sqlite_verify.salvage)) if repair else None
            entries = self.count() if repair else 0
            return Verification(entries, faults=faults, repaired=repair, kept_at=kept_at)
        with self._file.reading() as connection:
            orphans = sqlite_verify.count_orphans(connection) if connection else 0
        entries = self.count()
        damaged = tuple(sqlite_verify.damaged_keys(self._all_rows()))
        if repair and (damaged or orphans):
            with self._file.writing() as connection:
                sqlite_entries.delete(connection, damaged)
                sqlite_entries.delete_orphans(connection)
        return Verification(entries, damaged, orphans, repaired=repair)

    def flush(self) -> None:
        """Fold the ``-wal`` into the file and write pending hits, if anything was stored since.

        After it a copy of the file alone is whole, though it is still open here.

        Raises:
            StoreError: The file cannot be written.
        """
        if not self._file.is_folded:
            self._write_pending()
            self._file.fold()

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
    def has_langchain_rows(self) -> bool:
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

    def langchain_count(self) -> int:
        """Return how many answers LangChain stored."""
        with self._file.opened() as connection:
            if connection is None or not self.has_langchain_rows:
                return 0
            return langchain_table.count(connection)

    def langchain_entries(self) -> Iterator[LangChainRows]:
        """Yield all that LangChain stored, in bounded memory. Raises as ``langchain_rows``."""
        place: tuple[str, str] | None = None
        while rows := self._langchain_rows_after(place):
            yield from rows
            place = (rows[-1].prompt, rows[-1].llm_string)

    def _langchain_rows_after(self, place: tuple[str, str] | None) -> list[LangChainRows]:
        with self._file.opened() as connection:
            if connection is None or not self.has_langchain_rows:
                return []
            return langchain_table.rows_after(connection, place)

    def _all_rows(self) -> Iterator[sqlite_entries.Row]:
        place = b""
        while rows := self._rows_after(place):
            yield from rows
            place = rows[-1][0]

    def _rows_after(self, key: bytes) -> list[sqlite_entries.Row]:
        with self._file.reading() as connection:
            return sqlite_entries.rows_after(connection, key) if connection else []

    def _write_pending(self) -> None:
        if self._pending.hits and not self._is_empty():
            with self._file.writing(self._pending.reset) as connection:
                sqlite_entries.write_hits(connection, self._pending)

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
