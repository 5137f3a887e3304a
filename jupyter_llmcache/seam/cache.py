"""What stands as LangChain's global cache.

Calls of a model whose public methods ``streams`` has in hand come in by ``open`` and go their way
in ``opencall``. A bare ``lookup``/``update`` by somebody who shows no model is served from a
namespace of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.language_models import BaseLanguageModel
from langchain_core.outputs import Generation

from .. import answer as entry
from .. import modes
from .. import request as keys
from ..entry import Entry
from ..errors import NotDescribableError, ReplayMissError, StoreError
from ..stores.base import Store
from ..stores.memory import MemoryStore
from ..stores.sqlite import SQLiteStore
from . import offline
from . import patch as streams
from .call import RECORD_FIRST, OpenCall, Prompt
from .flight import Flights
from .places import Found, entry_of
from .web import Web

logger = logging.getLogger(__name__)


class ObservedCache(BaseCache, streams.CallCache):
    """A LangChain cache over one of our stores: right keys, fresh copies, every call on record.

    Args:
        store: Where entries are kept. The cache owns it and closes it.
        record_web: Whether what else is fetched by HTTP is kept there too.
    """

    def __init__(self, store: Store, *, record_web: bool = False) -> None:
        self.store = store
        self._web = Web(store, records=record_web)
        offline.know(store)
        self.flights: Flights[Entry] = Flights()
        self.closed = False
        streams.install(self)

    def open(
        self,
        model: BaseLanguageModel[Any],
        prompt: Prompt,
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        bypass_reason: str | None = None,
    ) -> OpenCall:
        """Take one request in hand, as the provider would see it."""
        return OpenCall(self, model, prompt, stop, kwargs, bypass_reason)

    @property
    def read_only(self) -> bool:
        """Whether nothing can be stored."""
        return self.store.read_only

    @property
    def location(self) -> str:
        """What a person calls the place where answers are kept."""
        return self.store.location

    def find(self, call: OpenCall, request: keys.Request) -> Found | None:
        """Return what is kept for ``request``, or None.

        Raises:
            StoreError: The store or the entry is at fault.
        """
        hit = self.store.get(request.key)
        if hit is not None:
            return Found(hit, entry.decode(hit.answer))
        return self._find_langchain_row(call)

    def holds(self, call: OpenCall, request: keys.Request) -> bool:  # noqa: ARG002  # as in find
        """Return whether an entry answers ``request``, without counting a hit."""
        return self.store.read(request.key) is not None

    def keep(self, call: OpenCall, request: keys.Request, hit: Entry) -> None:  # noqa: ARG002  # a foreign cache asks it for LangChain's strings
        """Store ``hit`` as the answer to ``request``.

        Raises:
            StoreError: The store is at fault.
        """
        self.store.put(hit)

    def recorded_requests(self) -> Iterable[str]:
        """Return the request texts of all entries; see ``Entry.request``."""
        return self.store.requests()

    def nearest(self, request: keys.Request) -> str | None:
        """Return in words which recorded request is nearest to ``request``, and what differs."""
        from . import nearest  # only a replay miss needs this room

        return nearest.unrecorded(self.store, request).whole

    def close(self) -> None:
        """Give the store back; the object serves nothing any more."""
        self.closed = True
        self._web.close()
        streams.uninstall(self)
        self.store.close()

    def _find_langchain_row(self, call: OpenCall) -> Found | None:
        if not self.store.has_langchain_rows:
            return None
        from . import langchain_rows  # only a file that LangChain wrote needs this room

        generations = langchain_rows.find_rows(
            self.store, call.model, call.prompt, call.stop, call.kwargs
        )
        return None if generations is None else Found(None, generations)

    # --- LangChain's cache interface, for callers that show no model ---

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Return the generations that ``update`` stored for these two strings, or None."""
        mode = modes.current_mode()
        if mode in ("bypass", "refresh"):
            return None
        generations = self._lookup_strings(prompt, llm_string)
        if generations is None and mode == "replay":
            raise ReplayMissError("replay: nothing recorded answers this lookup", RECORD_FIRST)
        return generations

    def _lookup_strings(self, prompt: str, llm_string: str) -> list[Generation] | None:
        try:
            hit = self.store.get(keys.describe_strings(prompt, llm_string).key)
            return None if hit is None else entry.decode(hit.answer)
        except NotDescribableError:
            return None
        except StoreError as error:
            logger.warning("%s", error)
            return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Store the generations for these two strings, unless they are no good answer."""
        if modes.current_mode() in ("bypass", "replay") or self.read_only:
            return
        try:
            request = keys.describe_strings(prompt, llm_string)
            if entry.verdict(return_val, max_tokens_given=False).reason is None:
                answer = entry.encode(return_val, versions=entry.recording_versions(None))
                self.store.put(entry_of(request, answer, time.time(), None))
        except NotDescribableError:
            return
        except Exception as error:  # noqa: BLE001  # the answer is the caller's already, whatever failed here
            logger.warning("an answer was not stored: %s", error)

    async def alookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Like ``lookup``; a read takes microseconds and so needs no thread."""
        return self.lookup(prompt, llm_string)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Like ``update``."""
        self.update(prompt, llm_string, return_val)

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002  # LangChain's signature
        """Delete every entry of ours."""
        self.store.clear()

    async def aclear(self, **kwargs: Any) -> None:
        """Like ``clear``."""
        self.clear(**kwargs)


class MemoryCache(ObservedCache):
    """A cache that ends with the process, for ``set_llm_cache(...)`` and ``ChatOpenAI(cache=...)``.

    Args:
        max_entries: How many entries it holds; the least recently used goes first. None: no bound.
        ttl_s: How long an entry is good, in seconds. None: for ever.
        record_web: Whether what else is fetched by HTTP is kept there too.
    """

    def __init__(
        self,
        *,
        max_entries: int | None = None,
        ttl_s: float | None = None,
        record_web: bool = False,
    ) -> None:
        super().__init__(MemoryStore(max_entries=max_entries, ttl_s=ttl_s), record_web=record_web)


class SQLiteCache(ObservedCache):
    """A cache in one SQLite file, for ``set_llm_cache(...)`` and ``ChatOpenAI(cache=...)``.

    Args:
        database_path: The file; taken literally but for a leading ``~``. Made when it is missing.
        read_only: Serve what is there and write nothing.
        ttl_s: How long an entry is good, in seconds. None: for ever.
        max_entries: How many entries it holds; the least recently used goes first. None: no bound.
        max_size_bytes: How large the file may grow. None: no bound.
        record_web: Whether what else is fetched by HTTP is kept there too.

    Raises:
        StoreError: The file cannot be opened, is no file of this kind, or is of a newer version.
    """

    def __init__(
        self,
        database_path: str | Path = ".langchain.db",
        *,
        read_only: bool = False,
        ttl_s: float | None = None,
        max_entries: int | None = None,
        max_size_bytes: int | None = None,
        record_web: bool = False,
    ) -> None:
        store = SQLiteStore(
            database_path,
            read_only=read_only,
            ttl_s=ttl_s,
            max_entries=max_entries,
            max_size_bytes=max_size_bytes,
        )
        super().__init__(store, record_web=record_web)


class NoCache(streams.CallCache):
    """Watches the calls of ``%%llm`` while no cache is on: nothing is found, nothing is kept."""

    location = ""
    read_only = True

    def __init__(self) -> None:
        self.flights: Flights[Entry] = Flights()

    def open(
        self,
        model: BaseLanguageModel[Any],
        prompt: Prompt,
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        bypass_reason: str | None = None,
    ) -> OpenCall:
        """Take one request in hand that no cache will answer."""
        return OpenCall(self, model, prompt, stop, kwargs, bypass_reason or "no cache is on")

    def find(self, call: OpenCall, request: keys.Request) -> Found | None:  # noqa: ARG002  # there is nothing
        """Find nothing."""
        return None

    def holds(self, call: OpenCall, request: keys.Request) -> bool:  # noqa: ARG002  # nothing at all
        """Hold nothing."""
        return False

    def keep(self, call: OpenCall, request: keys.Request, hit: Entry) -> None:
        """Keep nothing."""

    def recorded_requests(self) -> Iterable[str]:
        """Know no request."""
        return ()

    def nearest(self, request: keys.Request) -> str | None:  # noqa: ARG002  # it knows none
        """Know no request."""
        return None


@contextmanager
def mode(name: str) -> Iterator[None]:
    """Use the cache in a mode inside a ``with`` block: auto, replay, refresh or bypass.

    ``replay`` holds for the whole process while the block runs, threads included: nothing leaves
    this machine, whoever sends it.

    Raises:
        LLMCacheError: There is no mode of this name.
    """
    guard = _ReplayGuard()
    if name == "replay":
        streams.install(guard)
    try:
        with modes.mode(name):
            if name == "replay":
                offline.hold(guard)
            yield
    finally:
        offline.release(guard)
        streams.uninstall(guard)


class _ReplayGuard:
    """Holds the seams in place while a replay block runs."""
