"""Entries in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import TypeVar, Unpack

from ..errors import StoreError
from ..ledger import Entry
from . import sqlite_rows, sqlite_tables, sqlite_whole
from .base import LifeTotals, Payload, Store, Verification, Which
from .sqlite_file import SQLiteFile
from .sqlite_open import DamagedFileError
from .write_behind import PendingHits, WriteBehind, close_at_exit

_BUSY_TIMEOUT_S = 5.0
#: How long a put waits for other threads, and again for other programs; then it is pending.
_PUT_PATIENCE_S = 0.025
_CHUNK = 200

T = TypeVar("T")


class SQLiteStore(Store):
    """A store in one SQLite file, shared with other processes and with LangChain's own cache.

    Hits are counted in memory and written with the next answer, or at the end of a session that
    stored one: a session that stores nothing leaves the file as it was. While another program holds
    the file, entries are pending: ``get`` and ``read`` find them, lists and counts do not.

    Args:
        path: The file; taken literally but for a leading ``~``. Made when it is missing, with the
            first answer.
        read_only: Serve what is there and write nothing.
        ttl_s: How long an entry is good, in seconds. None: for ever. An entry too old is not
            served; it is deleted by ``prune``, or when a bound is reached.
        max_entries: How many entries the file holds; the least recently used goes first.
        max_size_bytes: How large the file may grow, its ``-wal`` not counted.
        clock: Returns the Unix time in seconds.
        busy_timeout_s: How long whatever is not a put waits for other programs, in seconds.
        _may_be_damaged: Open a broken file too, to ``verify`` and repair it.

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
        busy_timeout_s: float = _BUSY_TIMEOUT_S,
        _may_be_damaged: bool = False,
    ) -> None:
        super().__init__(
            os.fspath(path),
            read_only=read_only,
            ttl_s=ttl_s,
            max_entries=max_entries,
            max_size_bytes=max_size_bytes,
            clock=clock,
        )
        self._hits = PendingHits()
        self._behind = WriteBehind(
            self._commit,
            busy=f"{self.location} is in use by another program",
            remedy="Close the program that holds the file",
        )
        self._file = SQLiteFile(
            os.fspath(path),
            read_only=read_only,
            busy_timeout_s=busy_timeout_s,
            on_fork=self._after_fork,
            may_be_damaged=_may_be_damaged,
        )
        self.path = self._file.path
        close_at_exit(self)

    @property
    def read_only(self) -> bool:
        """Whether nothing can be stored; also where the file or its folder cannot be written."""
        return self._file.read_only

    @property
    def notice(self) -> str | None:
        """What the user should know about this file, in one line; None when nothing."""
        if notice := self._behind.notice:
            return notice
        if self._file.network:
            return (
                f"{self.location} is on a network file system ({self._file.network}): written with "
                "SQLite's slower, safer journal; do not use it from two machines at once"
            )
        if self.read_only and not self._wants_read_only:
            return f"{self.location} cannot be written: it is used read-only"
        return None

    # --- one entry and many ---

    def get(self, key: bytes) -> Entry | None:
        """Return the entry of ``key`` and count a hit; None when there is none or it is too old."""
        if self._behind:
            return self.get_many((key,)).get(key)
        with self._file.reading() as connection:
            entry = next(sqlite_rows.get(connection, (key,)), None) if connection else None
            return entry if entry is not None and self._serves(entry) else None

    def get_many(self, keys: Collection[bytes]) -> dict[bytes, Entry]:
        """Return what ``get`` finds for each of ``keys``, looking at each block of vectors once."""
        waiting = [e.answer_alone() for key in set(keys) if (e := self._behind.get(key))]
        others = set(keys).difference(entry.key for entry in waiting)
        if not others:  # the file, which may be in another program's hands, is not asked
            with self._file.lock:
                return self._served(waiting)
        with self._file.reading() as connection:
            found = sqlite_rows.get(connection, others) if connection else ()
            return self._served([*waiting, *found])

    def _served(self, entries: Collection[Entry]) -> dict[bytes, Entry]:
        return {entry.key: entry for entry in entries if self._serves(entry)}

    def _serves(self, entry: Entry) -> bool:
        """Count a hit, unless the entry is too old."""
        now = self._clock()
        bounds = self.bounds
        if bounds.ttl_s is not None and entry.created_at <= bounds.oldest_good(now):
            return False
        self._hits.add(entry.key, now, entry.provider_s)
        return True

    def read(self, key: bytes) -> Entry | None:
        """Return the whole entry without counting a hit. Raises as ``get``."""
        if entry := self._behind.get(key):
            return entry
        for row, request in self._rows(f"{sqlite_rows.READ} WHERE key = ?", (key,)):
            return self._hits.added_to(sqlite_rows.entry_of(row, request))
        return None

    def put_many(self, entries: Collection[Entry]) -> bool:
        """Store all of ``entries``; where the file is not free at once, they are pending."""
        return self._behind.put(entries, self._commit)

    def delete(self, keys: Collection[bytes]) -> int:
        """Delete entries and return how many there were. Raises as ``put_many``."""

        def delete(connection: sqlite3.Connection) -> int:
            waiting = self._behind.drop(keys)
            sqlite_tables.delete(connection, waiting)  # what they were to replace
            return len(waiting) + sqlite_tables.delete(connection, set(keys) - waiting)

        return self._thin_out(delete)

    def clear(self) -> None:
        """Delete every entry of ours, and give the space back. Raises as ``put_many``."""

        def delete_all(connection: sqlite3.Connection) -> int:
            self._behind.drop()
            sqlite_tables.write_hits(connection, self._hits)
            connection.execute("DELETE FROM llmcache_entries")
            sqlite_tables.delete_orphans(connection)
            return 0

        self._thin_out(delete_all, self._hits.reset)

    def prune(self) -> int:
        """Delete what is too old or over the bounds now, give the space back; return how many."""

        def evict(connection: sqlite3.Connection) -> int:
            pruned = sqlite_tables.evict(connection, self.bounds, self._clock())
            sqlite_tables.delete_orphans(connection)
            return pruned

        return self._thin_out(evict)

    # --- lists and figures ---

    def entries(self, **which: Unpack[Which]) -> Iterator[Entry]:
        """Yield entries, in bounded memory; see ``Which``."""
        limits = {name for name, value in which.items() if value is not None} - {"texts"}
        if not which.get("texts", True):
            yield from self._list(which)
        elif limits:
            wanted = sorted(set(which.get("keys") or ()))
            keys = wanted if limits == {"keys"} else [entry.key for entry in self._list(which)]
            yield from (entry for key in keys if (entry := self.read(key)))
        else:
            for row, request in self.payloads():
                yield self._hits.added_to(sqlite_rows.entry_of(row, request))

    def payloads(self, keys: Collection[bytes] | None = None) -> Iterator[Payload]:
        """Yield whole rows and their packed request texts in key order, in bounded memory."""
        for key in sorted(set(keys or ())):
            yield from self._rows(f"{sqlite_rows.READ} WHERE key = ?", (key,))
        if keys is not None:
            return
        page = f"ORDER BY key LIMIT {_CHUNK}"
        rows = self._rows(f"{sqlite_rows.READ} {page}", ())
        while rows:
            yield from rows
            rows = self._rows(f"{sqlite_rows.READ} WHERE key > ? {page}", (rows[-1][0][0],))

    def titled_like(self, pieces: Collection[str], limit: int, ties: int) -> list[Entry]:
        """Return the entries whose titles hold the most of ``pieces``."""
        return self._ask(lambda c: sqlite_whole.titled_like(c, pieces, limit, ties), [])

    def count(self) -> int:
        """Return the number of entries."""
        return self._ask(sqlite_rows.count, 0)

    def size_bytes(self) -> int:
        """Return the size of the file once its ``-wal`` is folded in."""
        with self._file.opened() as connection:
            return sqlite_tables.file_bytes(connection) if connection else 0

    def find(self, prefix: str) -> list[bytes]:
        """Return the keys whose hexadecimal form begins with ``prefix`` (at most 20)."""
        return self._ask(lambda c: sqlite_whole.find(c, prefix), [])

    def requests(self) -> list[str]:
        """Return the distinct request texts of all entries."""
        return self._ask(sqlite_whole.requests, [])

    def life_totals(self) -> LifeTotals:
        """Return what the file has seen since it was made, and this session if it stored."""
        with self._file.reading() as connection:
            totals = sqlite_whole.life_totals(connection) if connection else LifeTotals(0, 0.0)
            if not self._file.wrote:
                return totals
            return LifeTotals(totals.hits + self._hits.hits, totals.saved_s + self._hits.saved_s)

    # --- the file ---

    def verify(self, *, repair: bool = False) -> Verification:
        """Look through the whole file: its structure, every checksum, texts that nobody uses.

        Args:
            repair: Delete what is damaged and unused; of an entry whose answer is whole, only the
                texts that are not. Of a file whose structure is broken, save what can be read into
                a new one in its place, and keep the broken one beside it.
        """
        try:
            with self._file.opened() as connection:
                faults = tuple(sqlite_whole.faults_of(connection)) if connection else ()
        except DamagedFileError as error:
            faults = (error.what,)
        if faults:
            kept_at = str(self._file.rescue()) if repair else None
            entries = self.count() if repair else 0
            return Verification(entries, faults=faults, repaired=repair, kept_at=kept_at)
        orphans, entries = self._ask(sqlite_tables.count_orphans, 0), self.count()
        damaged = [each for each in self.payloads() if sqlite_whole.is_damaged(*each)]
        if repair and (damaged or orphans):
            with self._file.writing() as connection:
                sqlite_whole.mend(connection, damaged)
        named = (row[0] for row, _ in damaged)  # a key that somebody wrote may be of any type
        keys = tuple(key if isinstance(key, bytes) else str(key).encode() for key in named)
        return Verification(entries, keys, orphans, repaired=repair)

    def flush(self, timeout_s: float = 0.0) -> int:
        """Write what is pending, and fold the ``-wal`` into the file if anything was stored since.

        After it a copy of the file alone is whole, though it is still open here.
        """
        self._behind.flush(timeout_s)
        if not self._file.is_folded:
            self._write_hits()
            self._file.fold()
        return len(self._behind)

    def close(self) -> None:
        """Write what is pending and give the file back, in one piece. Closing twice is no error."""
        if not self._file.is_closed:
            self._behind.end()
            with suppress(StoreError):  # bookkeeping is not worth an error at the end
                if self._file.wrote:
                    self._write_hits()
                    self._file.fold()
            self._file.close()

    @property
    def has_langchain_rows(self) -> bool:  # type: ignore[override]  # it may come while the file is open
        """Whether LangChain's SQLite cache has its table in this file."""
        return self._file.has_langchain_table

    def langchain_rows(self, prompt: str, llm_string: str) -> list[str]:
        """Return what LangChain stored for these two strings, one text a generation, in order."""
        with self._file.opened() as connection:
            if connection is None or not self.has_langchain_rows:
                return []
            return sqlite_tables.langchain_rows(connection, prompt, llm_string)

    # --- inside ---

    def _ask(self, question: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """Return what ``question`` finds; ``nothing`` where the file holds nothing of ours."""
        with self._file.reading() as connection:
            return question(connection) if connection else nothing

    def _list(self, which: Which) -> list[Entry]:
        return self._ask(lambda c: sqlite_whole.select(c, self._hits, which), [])

    def _rows(self, statement: str, values: tuple[object, ...]) -> list[Payload]:
        def found(connection: sqlite3.Connection) -> list[Payload]:
            texts: dict[object, object] = {}
            rows = connection.execute(statement, values).fetchall()
            return [(row, sqlite_rows.packed_request(connection, row[8], texts)) for row in rows]

        return self._ask(found, [])

    def _commit(self, entries: Collection[Entry] = (), patience_s: float = _PUT_PATIENCE_S) -> None:
        """Write hits, what is pending, and then ``entries``."""
        pending: list[Entry] = []

        def committed() -> None:
            self._hits.reset()
            self._behind.done(pending)

        with self._file.writing(committed, patience_s) as connection:
            pending += self._behind.taken() if self._behind else ()
            now = self._clock()
            sqlite_tables.write_hits(connection, self._hits)
            sqlite_tables.put(connection, [*pending, *entries] if pending else entries, now)
            sqlite_tables.hold(connection, self.bounds, now)

    def _write_hits(self) -> None:
        if self._hits.hits and not self._file.is_empty():
            self._commit(patience_s=-1)

    def _after_fork(self) -> None:
        self._hits.reset()
        self._behind.reset()

    def _thin_out(
        self,
        delete: Callable[[sqlite3.Connection], int],
        on_commit: Callable[[], None] = lambda: None,
    ) -> int:
        """Return how many entries ``delete`` deletes, and cut free pages off the file."""
        if self._file.is_empty() and not self._behind:
            return 0
        with self._file.writing(on_commit) as connection:
            deleted = delete(connection)
        with suppress(StoreError):  # what was asked for is done; free pages are used again
            with self._file.exclusive() as connection:
                sqlite_tables.give_back(connection)
            self._file.fold()
        return deleted
