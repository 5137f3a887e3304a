"""The lock of a file as blocks that turn faults into errors for the person.

A hit passes here each time: classes, for ``contextlib``'s generators take twice as long.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from types import TracebackType

from .sqlite_faults import FAULTS, store_error


class Guard:
    """Hold a lock; what SQLite or the system raises in the block becomes a StoreError.

    Args:
        lock: What is held.
        location: How the error names the file.
    """

    __slots__ = ("_location", "_lock")

    def __init__(self, lock: threading.Lock, location: str) -> None:
        self._lock = lock
        self._location = location

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()
        if isinstance(error, FAULTS):
            raise store_error(self._location, error) from error


class Lending:
    """Hold a guard, and lend what ``find`` returns inside it."""

    __slots__ = ("_find", "_guard")

    def __init__(self, guard: Guard, find: Callable[[], sqlite3.Connection | None]) -> None:
        self._guard = guard
        self._find = find

    def __enter__(self) -> sqlite3.Connection | None:
        self._guard.__enter__()
        try:
            return self._find()
        except BaseException as error:
            self._guard.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._guard.__exit__(kind, error, trace)
