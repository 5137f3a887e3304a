"""One shell's use of the cache: which one is on, and what it replaced.

There is one session a shell. The cache itself is LangChain's global one, so it belongs to the
process; a session remembers what it replaced and gives that back.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import modes
from ..errors import LLMCacheError, StoreError
from ..ledger import LEDGER, Totals
from ..text import a_type

if TYPE_CHECKING:
    from langchain_core.caches import BaseCache

    from ..seam.cache import ObservedCache
    from ..settings import LLMCache
    from ..stores.base import Store
    from .answer import Answer, CacheStatus
    from .grid import Answers

REPLACED_NOTICE = "the notebook has set a {name} of its own, which is asked before this one"
OFF_NOTICE = "set_llm_cache(None) turned LangChain's cache off; this one is asked in replay only"

#: What one can do next without a cache, and with one.
_STEPS = {
    False: ("%llm_cache sqlite course.db", "%llm -m demo Hello", "%llm_cache -h"),
    True: ("%llm_cache list", "%llm_cache export lesson.db", "%llm_cache -h"),
}


@dataclass(eq=False)
class Session:
    """What a shell's magics work on.

    Attributes:
        settings: The person's settings; read when needed, so that ``%config`` acts at once.
        cache: The cache that this session turned on, or None.
        newest: The newest answer of ``%llm`` and ``%%llm``, or the newest answers.
        kept: The stores in memory by their names; turned on again, they hold what they held.
        mark: Where the ledger stood when the newest cell began or ended.
    """

    settings: LLMCache
    cache: ObservedCache | None = None
    newest: Answer | Answers | None = None
    mark: int = field(default_factory=LEDGER.mark)
    kept: dict[str, Store] = field(default_factory=dict)
    _replaced: BaseCache | None = None
    _totals_before: Totals = field(default_factory=LEDGER.counts)

    def __post_init__(self) -> None:
        modes.set_embedded(self.settings.embeddings)  # type: ignore[arg-type]  # traitlets type an Enum as str
        self.settings.observe(lambda change: modes.set_embedded(change["new"]), "embeddings")
        # A restarted kernel must leave one complete file behind.
        atexit.register(self.close)

    # --- which cache is on ---

    def store(self, *, writes: bool = False) -> Store:
        """Return the store in use.

        Raises:
            LLMCacheError: No cache is on; or it ``writes`` and the store is read-only.
        """
        if self.cache is None:
            raise LLMCacheError("no cache is on", "Choose one first: %llm_cache sqlite FILE")
        if writes and self.cache.store.read_only:
            raise StoreError(
                f"{self.cache.store.location} is read-only",
                "Open it without --read-only to change it",
            )
        return self.cache.store

    def use_store(self, store: Store, *, record_web: bool = False) -> CacheStatus:
        """Turn a cache over ``store`` on; the session owns it.

        ``record_web``: keep what else is fetched by HTTP, too.
        """
        from ..seam.cache import ObservedCache

        return self._turn_on(ObservedCache(store, record_web=record_web))

    def use_cache(self, cache: Any) -> CacheStatus:
        """Turn any LangChain cache object on, observed.

        Raises:
            LLMCacheError: ``cache`` is no LangChain cache.
        """
        from langchain_core.caches import BaseCache

        from ..seam.cache import ForeignCache, ObservedCache

        if not isinstance(cache, BaseCache):
            raise LLMCacheError(
                f"{a_type(cache)} is not a LangChain cache",
                "Pass an object of a BaseCache class",
            )
        return self._turn_on(cache if isinstance(cache, ObservedCache) else ForeignCache(cache))

    def off(self) -> CacheStatus:
        """Turn our cache off and put back the one that was there before.

        A cache that other code has set in the meantime stays.
        """
        if self.cache is not None:
            from langchain_core.globals import get_llm_cache, set_llm_cache

            from ..seam.place import turn_on

            if get_llm_cache() is self.cache:
                # One of ours may have been closed meanwhile by another shell.
                is_closed = getattr(self._replaced, "closed", False)
                set_llm_cache(None if is_closed else self._replaced)
            turn_on(None)
            self.cache.close()
            self.cache = self._replaced = None
        return self.status()

    def _turn_on(self, cache: ObservedCache) -> CacheStatus:
        from langchain_core.globals import get_llm_cache, set_llm_cache

        from ..seam.place import turn_on

        before = get_llm_cache()
        if before is not self.cache:
            self._replaced = before
        set_llm_cache(cache)
        turn_on(cache)
        if self.cache is not None and self.cache is not cache:
            self.cache.close()
        self.cache = cache
        return self.status()

    def set_mode(self, mode: modes.Mode, *, allow_web: bool = False) -> CacheStatus:
        """Set the mode of every call that no block and no flag decides.

        ``allow_web``: replay lets out what asks no model, after the file was asked.
        """
        self._release_replay()
        modes.set_session_mode(mode, allow_web=allow_web)
        if mode == "replay":
            self.hold_replay()
        return self.status()

    def hold_replay(self) -> None:
        """See to it that nothing leaves this machine, also where no cache is on."""
        from ..seam import patch, replay

        patch.install(self)
        replay.hold(self)

    def _release_replay(self) -> None:
        from ..seam import patch, replay

        replay.release(self)
        patch.uninstall(self)

    def status(self, *, next_steps: bool = False) -> CacheStatus:
        """Return what is on, what this session got out of it, and if wanted what to do next."""
        from .answer import CacheStatus

        store = self.cache.store if self.cache else None
        done = LEDGER.counts().minus(self._totals_before)
        return CacheStatus(
            backend=store.backend if store else "off",
            location=store.location if store else "",
            mode=modes.current_mode(),
            entries=store.count() if store else None,
            size_bytes=store.size_bytes() if store else None,
            hits=done.hits,
            misses=done.misses,
            stored=done.stored,
            saved_s=done.saved_s,
            notices=tuple(self._notices()),
            next_steps=_STEPS[store is not None] if next_steps else (),
        )

    def _notices(self) -> Iterator[str]:
        if self.cache is None:
            return
        from langchain_core.globals import get_llm_cache

        from ..seam import patch

        if (now := get_llm_cache()) is None:
            yield OFF_NOTICE
        elif now is not self.cache:
            yield REPLACED_NOTICE.format(name=type(now).__name__)
        for notice in (patch.problem(), getattr(self.cache.store, "notice", None)):
            if notice:
                yield notice

    def close(self) -> None:
        """Give everything back. Closing twice is no error."""
        atexit.unregister(self.close)
        self.off()
        if modes.session_mode() is not None:
            modes.set_session_mode(None)
            self._release_replay()
