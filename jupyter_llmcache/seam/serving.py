"""Which caches serve the web now: what every cache has of it before anybody records or replays."""

from __future__ import annotations

import json
import threading
import weakref
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from .. import modes
from ..errors import StoreError
from ..ledger import LEDGER, Entry
from ..text import json_or_text

if TYPE_CHECKING:
    from ..stores.base import Store
    from .web_request import WebRequest

_inside: ContextVar[bool] = ContextVar("llmcache_inside_call", default=False)


class Web:
    """What one cache has to do with the web: its store, and how often each request was asked.

    It serves as long as it lives and is not closed; where several do, the newest is asked first.

    Args:
        store: Where entries are.
        records: Whether what is fetched is kept, and comes from the store next time also where
            nothing asks for replay.
    """

    def __init__(self, store: Store, *, records: bool = False) -> None:
        self.store = store
        self.records = records
        self._asked: dict[bytes, int] = {}
        #: Of a cell's text and a request: which run was the last, which times were its, and where
        #: in these it stands.
        self._turns: dict[tuple[str, bytes], tuple[int | None, list[int], int]] = {}
        self._last: dict[bytes, int] = {}
        self._sent: set[bytes] = set()
        self._lock = threading.Lock()
        _serving.insert(0, weakref.ref(self))

    def close(self) -> None:
        """Serve nothing any more."""
        _serving[:] = [each for each in _serving if each() not in (None, self)]

    def turn(self, digest: bytes) -> int:
        """Return how often the request of ``digest`` was asked before, in this kernel.

        A cell that runs again asks for the same times again, and so gets the same answers.
        """
        which = LEDGER.cell_text, digest
        with self._lock:
            run, numbers, place = self._turns.get(which, (LEDGER.cell, [], 0))
            place = place if run == LEDGER.cell else 0
            if place == len(numbers):
                numbers.append(self._asked.get(digest, 0))
                self._asked[digest] = numbers[-1] + 1
            self._turns[which] = LEDGER.cell, numbers, place + 1
            return numbers[place]

    def find(self, asked: WebRequest, number: int, *, replays: bool) -> Entry | None:
        """Return the answer of the ``number``-th time; after the last one it is the last again.

        Where this kernel has sent the request itself and may do so, the next time is sent too.

        Raises:
            StoreError: The store or the entry is at fault.
        """
        entry = self.store.get(asked.key(number))
        if entry is not None:
            self._last[asked.digest] = number
        elif asked.digest in self._last and (replays or asked.digest not in self._sent):
            entry = self.store.get(asked.key(self._last[asked.digest]))
        return entry

    def recorded(self, part: str) -> list[dict[str, Any]]:
        """Return the newest requests in whose text ``part`` stands; none where the store fails."""
        try:
            found = self.store.entries(kind="web", text_contains=part, sort="recent", limit=200)
            return [each for entry in found if isinstance(each := json_or_text(entry.prompt), dict)]
        except StoreError:
            return []

    def keep(self, asked: WebRequest, number: int, entry: Entry) -> bool:
        """Store what was sent for and came; return whether it is committed, not just pending."""
        committed = self.store.put(entry)
        self._last[asked.digest] = number
        self._sent.add(asked.digest)
        return committed


_serving: list[weakref.ref[Web]] = []


def webs() -> list[Web]:
    """Return what serves, the newest first."""
    return [web for each in _serving if (web := each()) is not None]


def knows_host(host: str) -> bool:
    """Whether anything that ``host`` answered is recorded."""
    mark = f'"model":{json.dumps(host)}'
    try:
        return any(mark in text for web in webs() for text in web.store.requests())
    except StoreError:  # whoever asks for an answer is told of it
        return False


def is_inside_call() -> bool:
    """Whether what is sent here and now is kept by another door of ours."""
    return _inside.get()


def set_inside_call(inside: bool) -> None:
    """Say whether requests made from here on are kept by another door of ours."""
    _inside.set(inside)


def inside_call() -> AbstractContextManager[None]:
    """The block in which what is sent is kept by another door of ours."""
    return modes.setting(_inside, True)
