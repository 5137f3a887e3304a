"""What stands as LangChain's global cache.

Calls of a model whose public methods ``patch`` has in hand find and keep their answers here. A bare
``lookup``/``update`` by somebody who shows no model is served from a namespace of its own.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from langchain_core.caches import BaseCache
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGeneration, Generation

from .. import answer as answers
from .. import modes, stores
from .. import request as keys
from ..errors import DamagedEntryError, NotDescribableError, ReplayMissError, StoreError
from ..ledger import Entry
from ..stores.base import Store
from . import patch
from .doors import Owner
from .place import RECORD_FIRST, Found, Place, entry_of
from .serving import Web

logger = logging.getLogger(__name__)


class ObservedCache(BaseCache, Place):
    """A LangChain cache over one of our stores: right keys, fresh copies, every call on record.

    Args:
        store: Where entries are kept. The cache owns it and closes it.
        record_web: Whether what else is fetched by HTTP is kept there too.
    """

    store: Store

    def __init__(self, store: Store, *, record_web: bool = False) -> None:
        Place.__init__(self, None, store=store)
        self._web = Web(store, records=record_web)
        if record_web:
            from . import clients  # only who records the web or replays needs that

            clients.install(self)
        if modes.current_mode() == "replay":
            from . import replay

            replay.join(store)
        self.closed = False
        patch.install(self)

    def close(self) -> None:
        """Give the store back; the object serves nothing any more."""
        self.closed = True
        self._web.close()
        if self._web.records:
            from . import clients

            clients.uninstall(self)
        patch.uninstall(self)
        self.store.close()

    # --- LangChain's cache interface, for callers that show no model ---

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Return the generations that ``update`` stored for these two strings, or None."""
        mode = modes.current_mode()
        if mode in ("bypass", "refresh"):
            return None
        generations = None
        try:
            generations = self._held(prompt, llm_string)
        except NotDescribableError:
            pass
        except StoreError as error:
            logger.warning("%s", error)
        if generations is None and mode == "replay":
            raise ReplayMissError("replay: nothing recorded answers this lookup", RECORD_FIRST)
        return generations

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Store the generations for these two strings, unless they are no good answer."""
        if modes.current_mode() in ("bypass", "replay") or self.read_only:
            return
        from ..answer.verdict import verdict

        try:
            if verdict(return_val, max_tokens_given=False).reason is None:
                self._hold(prompt, llm_string, return_val)
        except NotDescribableError:
            pass
        except Exception as error:  # noqa: BLE001  # the answer is the caller's already, whatever failed here
            logger.warning("an answer was not stored: %s", error)

    def _held(self, prompt: str, llm_string: str) -> list[Generation] | None:
        entry = self.store.get(keys.describe_strings(prompt, llm_string).key)
        return None if entry is None else answers.decode(entry.answer)

    def _hold(self, prompt: str, llm_string: str, generations: Sequence[Generation]) -> None:
        request = keys.describe_strings(prompt, llm_string)
        answer = answers.encode(generations, versions=answers.recording_versions(None))
        self.store.put(entry_of(request, answer, time.time(), None))

    async def alookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Like ``lookup``, off the event loop."""
        return await self.run(self.lookup, prompt, llm_string)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Like ``update``, off the event loop."""
        await self.run(self.update, prompt, llm_string, return_val)

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002  # LangChain's signature
        """Delete every entry of ours."""
        self.store.clear()

    async def aclear(self, **kwargs: Any) -> None:
        """Like ``clear``, off the event loop."""
        await self.run(lambda: self.clear(**kwargs))


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
        from ..stores.memory import MemoryStore

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
        from ..stores.sqlite import SQLiteStore

        store = SQLiteStore(
            database_path,
            read_only=read_only,
            ttl_s=ttl_s,
            max_entries=max_entries,
            max_size_bytes=max_size_bytes,
        )
        super().__init__(store, record_web=record_web)


@functools.cache
def cache_class(backend: str) -> type[ObservedCache]:
    """Return the cache class of a registered store: ``RedisCache`` of ``redis``.

    It takes what the store's class takes, and ``record_web``.

    Raises:
        LLMCacheError: There is no such store.
    """
    store_class = stores.find(backend)

    def init(self: ObservedCache, *args: Any, record_web: bool = False, **options: Any) -> None:
        ObservedCache.__init__(self, store_class(*args, **options), record_web=record_web)

    members = {"__init__": init, "__doc__": store_class.__doc__, "__module__": __name__}
    return type(f"{backend.capitalize()}Cache", (ObservedCache,), members)


@contextmanager
def mode(name: str) -> Iterator[None]:
    """Use the cache in a mode inside a ``with`` block: auto, replay, refresh or bypass.

    It also holds in threads that are started inside the block; ``replay`` in all threads: nothing
    leaves this machine, whoever sends it.

    Raises:
        LLMCacheError: There is no mode of this name.
    """
    if name != "replay":
        with modes.mode(name):
            yield
        return
    from . import replay

    guard = Owner()
    try:
        with modes.mode(name):
            patch.install(guard)
            replay.hold(guard)
            yield
    finally:
        replay.release(guard)
        patch.uninstall(guard)


# --- any other LangChain cache: its answers, with our keys, copies and records ---

_DIGEST_BYTES = 16


class ForeignCache(ObservedCache):
    """An ObservedCache over a cache object of somebody else.

    It is given LangChain's own two strings, with a digest of our description of the model behind
    the second, so that it cannot mix what LangChain's string mixes.

    Args:
        cache: The object. It stays its owner's: closing this cache leaves it as it is.
    """

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache
        # A store's protocol has no way to say "nobody knows", which status shows for None.
        super().__init__(cast("Store", ForeignStore(cache)))

    def find(self, request: keys.Request) -> Found | None:
        """Return a copy of what the other cache holds for ``request``, or None.

        Raises:
            StoreError: The other cache raised, or holds something else than an answer.
        """
        with _blaming(self.location):
            held = self._cache.lookup(*_strings(request))
        if held is None:
            return None
        is_chat = isinstance(request.made_of[0], BaseChatModel)
        return Found(None, self._copied(held, is_chat=is_chat))

    def holds(self, request: keys.Request) -> bool:
        """Return whether the other cache answers ``request``."""
        return self.find(request) is not None

    def keep(self, request: keys.Request, entry: Entry) -> bool:
        """Give the other cache a copy of the answer.

        Raises:
            StoreError: The other cache raised.
        """
        with _blaming(self.location):
            self._cache.update(*_strings(request), answers.decode(entry.answer))
        return True

    def unrecorded(self, request: keys.Request) -> tuple[str, str]:  # noqa: ARG002  # it knows none
        """Know no request."""
        return (f"{self.location} cannot be listed",) * 2

    # --- LangChain's cache interface, for callers that show no model ---

    def _held(self, prompt: str, llm_string: str) -> list[Generation] | None:
        keys.describe_strings(prompt, llm_string)  # raises where they name no model
        with _blaming(self.location):
            held = self._cache.lookup(prompt, llm_string)
        return None if held is None else self._copied(held)

    def _hold(self, prompt: str, llm_string: str, generations: Sequence[Generation]) -> None:
        keys.describe_strings(prompt, llm_string)  # as above
        self._cache.update(prompt, llm_string, self._copied(generations))

    def _copied(self, held: Any, *, is_chat: bool | None = None) -> list[Generation]:
        """Return fresh objects for what the other cache holds; a recalled message is a new message.

        Raises:
            DamagedEntryError: It is no answer, or of another kind of model.
        """
        is_list = isinstance(held, list | tuple) and held
        if (
            not is_list
            or not all(isinstance(generation, Generation) for generation in held)
            or is_chat not in (None, isinstance(held[0], ChatGeneration))
        ):
            raise DamagedEntryError(f"{self.location} holds something else than an answer")
        copies = copy.deepcopy(list(held))
        for generation in copies:
            if isinstance(generation, ChatGeneration):
                generation.message.id = None
        return copies


class ForeignStore:
    """What the rest of the house needs to know of another cache: little, for it cannot be listed.

    Args:
        cache: The object of somebody else.
    """

    backend = "other"
    read_only = False
    notice = None
    has_langchain_rows = False
    is_shared = False  # each pays for itself: nobody can tell who else asks

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache
        self.location = type(cache).__name__

    def requests(self) -> list[str]:
        """Know no request: the other cache cannot be listed."""
        return []

    def count(self) -> None:
        """Nobody knows."""

    def size_bytes(self) -> None:
        """Nobody knows."""

    def clear(self) -> None:
        """Clear the other cache.

        Raises:
            StoreError: It raised.
        """
        with _blaming(self.location):
            self._cache.clear()

    def close(self) -> None:
        """Leave the other cache to its owner."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Store, name):
            raise AttributeError(name)
        raise StoreError(
            f"the entries of {self.location} cannot be listed or picked",
            "Use the cache in a file: %llm_cache sqlite",
        )


@contextmanager
def _blaming(location: str) -> Iterator[None]:
    """Turn whatever another cache raises into one line."""
    try:
        yield
    except Exception as error:
        raise StoreError(f"{location} failed: {type(error).__name__}: {error}") from error


def _strings(request: keys.Request) -> tuple[str, str]:
    from .langchain_rows import langchain_strings  # only another's cache needs this room

    prompt, llm_string = langchain_strings(*request.made_of) or (request.prompt, "")
    digest = hashlib.blake2b(request.description.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return prompt, f"{llm_string}---llmcache:{digest}"
