"""What a person can ask for, and the session that it works on.

The subcommands of ``%llm_cache`` and of the shell register here: each is a function with its
arguments registered above it. Nothing of LangChain is imported before a cache is turned on.
"""

from __future__ import annotations

import argparse
import atexit
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from .. import modes
from ..errors import LLMCacheError, StoreError
from ..ledger import LEDGER, Totals
from ..settings import LLMCache
from ..text import a_type, did_you_mean, wrapped
from .parser import Argument

if TYPE_CHECKING:
    from langchain_core.caches import BaseCache

    from ..seam.cache import ObservedCache
    from ..stores.base import Store
    from .answer import Answer, CacheStatus
    from .grid import Answers

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True)
class Subcommand:
    """One subcommand of ``%llm_cache`` and of ``python -m jupyter_llmcache``.

    Attributes:
        name: As typed.
        help: One line.
        handler: Does it and returns a value that draws itself, a Table or a Report. It is given
            ``(store, ledger, args)``; on a session, ``(session, args)``; on nothing,
            ``(ledger, args)``.
        arguments: Its flags and positional arguments, as the help lists them.
        on: What it works on. In a shell there is no session.
        writes: Whether it changes the store.
        place: ``notebook`` or ``shell`` where it is of no use in the other.
        expression: The rest of the line is one Python expression; its value is ``args.value``.
    """

    name: str
    help: str
    handler: Callable[..., Any]
    arguments: tuple[Argument, ...] = ()
    on: Literal["store", "session", "nothing"] = "store"
    writes: bool = False
    place: Literal["", "notebook", "shell"] = ""
    expression: bool = False

    def changes(self, args: argparse.Namespace) -> bool:
        """Whether it changes the store when it is called so."""
        return self.writes or bool(getattr(args, "repair", False))


_registered: dict[str, Subcommand] = {}


def subcommand(
    name: str, help_line: str, *arguments: Argument, **kind: Any
) -> Callable[[Handler], Handler]:
    """Register the function below as a subcommand; ``kind``: see ``Subcommand``."""

    def register(handler: Handler) -> Handler:
        _registered[name] = Subcommand(name, help_line, handler, arguments, **kind)
        return handler

    return register


#: The modules whose subcommands are registered when they are imported, in the order of the help.
_MODULES = ("caches", "entries", "history", "files")


Place = Literal["notebook", "shell"]


def subcommands(place: Place) -> dict[str, Subcommand]:
    """Return what can be done in a notebook or in a shell, by name."""
    homes = [import_module(f".{home}", __name__).__name__ for home in _MODULES]
    homes += [each.handler.__module__ for each in _registered.values()]
    # Whichever of them was imported first.
    ordered = sorted(_registered.values(), key=lambda each: homes.index(each.handler.__module__))
    return {
        each.name: each
        for each in ordered
        if each.place in ("", place) and (place == "notebook" or each.on != "session")
    }


def listed(place: Place) -> str:
    """Return what can be done, for a help: a name and its line each."""
    known = subcommands(place).items()
    return "\n".join(wrapped(f"  {name:<9} {each.help}", 12) for name, each in known)


def find_subcommand(name: str, place: Place, owner: str) -> Subcommand:
    """Return the subcommand of this name.

    Args:
        name: As typed.
        place: Where it was typed.
        owner: ``%llm_cache``, or how the program is called, for the error.

    Raises:
        LLMCacheError: There is none; the nearest is named.
    """
    known = subcommands(place)
    if name in known:
        return known[name]
    elsewhere = {
        "notebook": f"It works in a shell only: python -m jupyter_llmcache {name}",
        "shell": "It works in a notebook only",
    }
    raise LLMCacheError(
        f"{owner} has no subcommand {name!r}",
        elsewhere[place]
        if name in _registered
        else did_you_mean(name, known) or f"It has {', '.join(known)}",
    )


# --- the session ---

#: What one can do next without a cache, and with one.
_STEPS = {
    False: ("%llm_cache sqlite course.db", "%llm -m demo Hello", "%llm_cache -h"),
    True: ("%llm_cache list", "%llm_cache export lesson.db", "%llm_cache -h"),
}


@dataclass(eq=False)
class Session:
    """What a shell's magics work on: which cache is on, and what it replaced.

    There is one session a shell. The cache itself is LangChain's global one, so it belongs to the
    process; a session remembers what it replaced and gives that back.

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
        entries = size_bytes = None
        notices = [*self._notices()]
        if store is not None:
            try:
                entries, size_bytes = store.count(), store.size_bytes()
            except StoreError as error:  # what is on is told all the same
                notices.append(str(error))
        done = LEDGER.counts().minus(self._totals_before)
        return CacheStatus(
            backend=store.backend if store else "off",
            location=store.location if store else "",
            mode=modes.current_mode(),
            entries=entries,
            size_bytes=size_bytes,
            hits=done.hits,
            misses=done.misses,
            stored=done.stored,
            saved_s=done.saved_s,
            notices=tuple(notices),
            next_steps=_STEPS[store is not None] if next_steps else (),
        )

    def _notices(self) -> Iterator[str]:
        if self.cache is None:
            return
        from langchain_core.globals import get_llm_cache

        from ..seam import patch

        if (now := get_llm_cache()) is None:
            yield (
                "set_llm_cache(None) turned LangChain's cache off; this one is asked in replay only"
            )
        elif now is not self.cache:
            name = type(now).__name__
            yield f"the notebook has set a {name} of its own, which is asked before this one"
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
