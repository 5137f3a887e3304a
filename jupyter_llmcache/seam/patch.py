"""How generate, stream and their async forms reach the cache; LangChain is patched here alone.

While a cache of ours lives, the public methods of LangChain's two model classes run on a *shadow*
of the model (see ``proxy``), so that everything LangChain does around a provider (callbacks,
tokens, ids, events) is done alike for a hit and a miss. Where nobody listens, a hit is answered
without it. ``uninstall`` by the last owner puts the original methods back.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import (
    BaseChatModel,
    BaseLanguageModel,
    BaseLLM,
    chat_models,
)
from langchain_core.runnables import Runnable

from .. import modes
from . import closed, embed
from .asking import wrap_abatch, wrap_batch
from .call import OpenCall
from .place import Place
from .proxy import aclosing_if_it_can, closing_if_it_can, is_shadow, shadow_of
from .quick import Plan, answered, chunks_of, looked_for, unheard, unheard_stream
from .watch import Watch

Method = Callable[..., Any]

_owners: weakref.WeakSet[object] = weakref.WeakSet()
_lock = threading.RLock()
#: Public methods of LangChain that came to an end without asking the provider's door.
_strangers: set[str] = set()


class _Seam:
    """One public method of one of LangChain's classes, and ours in its place."""

    def __init__(self, cls: type, name: str, wrap: Callable[[Method], Method]) -> None:
        self.cls, self.name = cls, name
        self._wrap = wrap
        self._original: Method | None = None
        self._ours: Method | None = None

    def put(self) -> None:
        """Put our method in, unless it is in already; an older LangChain may not know the name."""
        current = self._current
        if current is None or self._is_below(current):
            return
        self._original = current
        self._ours = functools.wraps(current)(self._wrap(current))
        setattr(self.cls, self.name, self._ours)

    def take(self) -> None:
        """Put the original back.

        A method that other code has put over ours stays; ours below it does nothing any more.
        """
        if self._ours is not None and self._current is self._ours:
            setattr(self.cls, self.name, self._original)
            self._original = self._ours = None

    @property
    def is_lost(self) -> bool:
        """Whether other code has put the original back."""
        return self._ours is not None and self._current is self._original

    @property
    def _current(self) -> Method | None:
        return self.cls.__dict__.get(self.name)

    def _is_below(self, method: object) -> bool:
        """Whether ``method`` is ours or wraps it, as far as wrappers tell what they wrap."""
        while method is not None and method is not self._ours:
            method = getattr(method, "__wrapped__", None)
        return method is not None


def install(owner: object) -> None:
    """Lead models' calls to the cache for as long as ``owner`` lives or until ``uninstall``."""
    with _lock:
        _owners.add(owner)
        embed.put(_serving)
        for seam in _SEAMS:
            seam.put()
        if modes.current_mode() == "replay":
            closed.close()


def uninstall(owner: object) -> None:
    """Give LangChain its own methods back once no owner is left."""
    with _lock:
        _owners.discard(owner)
        if not _owners:
            embed.take()
            closed.reopen()
            for seam in _SEAMS:
                seam.take()


def problem() -> str | None:
    """Return in one line why not all calls of models reach the cache; None when they do."""
    with _lock:
        lost = [f"{seam.cls.__name__}.{seam.name}" for seam in _SEAMS if seam.is_lost]
    if _owners and lost:
        return f"other code has put its own {', '.join(lost)} in; turn the cache on again"
    if _owners and _strangers:
        return (
            f"langchain-core {version('langchain-core')} works in another way than is known here "
            f"({', '.join(sorted(_strangers))}): not all is cached. Update jupyter_llmcache"
        )
    return None


# --- which cache answers a call ---

#: The cache that a person has turned on, asked also where the notebook sets another one of its own.
_on: Place | None = None
#: Whether it was told that the notebook turned the cache off by ``set_llm_cache(None)``.
_told_off = False
#: Watches calls that no cache answers, inside ``watching``.
_bystander: ContextVar[Place | None] = ContextVar("llmcache_bystander", default=None)


def turn_on(place: Place | None) -> None:
    """Ask ``place`` before every provider, also where the notebook sets another; None: no more."""
    global _on, _told_off
    _on, _told_off = place, False


def _serving() -> Place | None:
    """Return the place that answers calls that no LangChain cache sees."""
    cache: object = get_llm_cache()
    if isinstance(cache, Place):
        return cache
    if modes.current_mode() == "replay":
        return _on or Place()
    return _on if cache is not None else None


@contextlib.contextmanager
def watching(bystander: Place) -> Iterator[None]:
    """Let ``bystander`` see the calls of the block that would go past every cache."""
    install(bystander)
    token = _bystander.set(bystander)
    try:
        yield
    finally:
        _bystander.reset(token)
        uninstall(bystander)


def _plan(model: BaseLanguageModel[Any], *, streams: bool = False) -> Plan | None:
    """Return who answers a public call of ``model``; None where it is none of our business."""
    if not _owners or is_shadow(model):
        return None
    own: BaseCache | bool | None = model.cache
    cache: object = own if isinstance(own, BaseCache) else get_llm_cache()
    if own is False:
        place = cache if isinstance(cache, Place) else _on or _bystander.get()
        return Plan(place, "the model has cache=False") if place else _nowhere()
    if isinstance(cache, Place):
        return Plan(cache)
    if isinstance(cache, BaseCache):
        return _behind(type(cache).__name__, streams=streams)
    if own is True:
        return _nowhere()  # LangChain says that there is no cache
    if _on is not None:
        return _turned_off(_on)
    bystander = _bystander.get()
    return Plan(bystander) if bystander else _nowhere()


def _behind(other: str, *, streams: bool) -> Plan:
    """The notebook's own cache is asked by LangChain itself, then ours, then the provider."""
    if streams:  # LangChain asks no cache
        return Plan(_on or Place(f"{other} keeps no streams"))
    if modes.current_mode() in ("refresh", "bypass"):
        return Plan(_on or Place(f"mode {modes.current_mode()}"))
    return Plan(_on or _Elsewhere(other), other=other)


class _Elsewhere(Place):
    """Watches the calls that a cache of the notebook's own keeps, while none of ours is on."""

    keeps_elsewhere = True

    def __init__(self, location: str) -> None:
        super().__init__()
        self.location = location


def _turned_off(place: Place) -> Plan:
    global _told_off  # noqa: PLW0603  # said once, not at every call
    if modes.current_mode() == "replay":
        return Plan(place)
    reason = "the cache is off" if _told_off else "set_llm_cache(None) turned the cache off"
    _told_off = True
    return Plan(place, reason)


def _nowhere() -> Plan | None:
    """No cache of ours would answer; in replay the call must not go on all the same."""
    return Plan(Place()) if modes.current_mode() == "replay" else None


def _watch(
    model: BaseLanguageModel[Any], plan: Plan, opened: OpenCall | None = None
) -> tuple[Watch, Any] | None:
    """Return a watch over one public call, and the shadow that the call runs on.

    None: a model that cannot be copied goes LangChain's own way to the cache, by two strings.

    Raises:
        ReplayMissError: It cannot be copied, and in replay it may not go that way.
    """
    watch = Watch(model, plan.place, plan.reason, opened, plan.other)
    try:
        return watch, shadow_of(watch)
    except Exception:
        if modes.current_mode() != "replay":
            return None
        with watch, watch.request("", None, {}, "the model cannot be copied") as call:
            call.recall()
        raise


def _finish(watch: Watch, name: str, result: Any, prompts: int) -> None:
    """Tell of answers of a call that ended well and did not come to the provider's door.

    They are the other cache's, or LangChain works in a way that is not known here.
    """
    around = prompts - watch.seen
    if around > 0 and watch.other_cache is None:
        _strangers.add(name)
    elif around > 0:
        for generations in result.generations[:around]:
            watch.answered_elsewhere(generations[0])


# --- the methods as we put them; each runs the original on the shadow ---


def _wrap_generate(original: Method) -> Method:
    is_own = _is_langchains(original)

    def generate(self: BaseLanguageModel[Any], *args: Any, **kwargs: Any) -> Any:
        plan = _plan(self)
        if plan is None:
            return original(self, *args, **kwargs)
        asked = unheard(self, plan, args, kwargs) if is_own else None
        call = looked_for(plan, asked) if asked else None
        if call is not None and call.found is not None:
            return answered(call)
        watched = _watch(self, plan, call)
        if watched is None:
            return original(self, *args, **kwargs)
        watch, shadow = watched
        with watch:
            result = original(shadow, *args, **kwargs)
            _finish(watch, "generate", result, _prompts_of(args, kwargs))
            return watch.restored(result)

    return generate


def _wrap_agenerate(original: Method) -> Method:
    is_own = _is_langchains(original)

    async def agenerate(self: BaseLanguageModel[Any], *args: Any, **kwargs: Any) -> Any:
        plan = _plan(self)
        if plan is None:
            return await original(self, *args, **kwargs)
        asked = unheard(self, plan, args, kwargs) if is_own else None
        call = await plan.place.run(looked_for, plan, asked, model=self) if asked else None
        if call is not None and call.found is not None:
            return answered(call)
        watched = _watch(self, plan, call)
        if watched is None:
            return await original(self, *args, **kwargs)
        watch, shadow = watched
        with watch:
            result = await original(shadow, *args, **kwargs)
            _finish(watch, "agenerate", result, _prompts_of(args, kwargs))
            return watch.restored(result)

    return agenerate


def _is_langchains(method: Method) -> bool:
    """Whether ``method`` is LangChain's own and not one that other code has put over it."""
    return getattr(method, "__globals__", None) is vars(chat_models)


def _prompts_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    prompts = args[0] if args else kwargs.get("messages", kwargs.get("prompts", ()))
    return len(prompts)


def _wrap_stream(original: Method) -> Method:
    is_own = _is_langchains(original)

    def stream(self: BaseLanguageModel[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
        plan = _plan(self, streams=True)
        asked = unheard_stream(self, plan, args, kwargs) if plan and is_own else None
        call = looked_for(plan, asked) if plan and asked else None
        if call is not None and call.found is not None and not call.found.pieces:
            yield from chunks_of(call)
            return
        watched = None if plan is None else _watch(self, plan, call)
        if watched is None:
            yield from original(self, *args, **kwargs)
            return
        watch, shadow = watched
        with watch, closing_if_it_can(original(shadow, *args, **kwargs)) as chunks:
            for chunk in chunks:
                yield watch.restored_chunk(chunk)
            _finish(watch, "stream", None, 1)

    return stream


def _wrap_astream(original: Method) -> Method:
    is_own = _is_langchains(original)

    async def astream(
        self: BaseLanguageModel[Any], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        plan, call = _plan(self, streams=True), None
        if plan and is_own and (asked := unheard_stream(self, plan, args, kwargs, is_async=True)):
            call = await plan.place.run(looked_for, plan, asked, model=self)
        if call is not None and call.found is not None and not call.found.pieces:
            for chunk in chunks_of(call):
                yield chunk
            return
        watched = None if plan is None else _watch(self, plan, call)
        if watched is None:
            async with aclosing_if_it_can(original(self, *args, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        watch, shadow = watched
        with watch:
            async with aclosing_if_it_can(original(shadow, *args, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield watch.restored_chunk(chunk)
            _finish(watch, "astream", None, 1)

    return astream


def _wrap_events(original: Method) -> Method:
    """The newest event protocol runs on after its method has returned, so its calls tell of
    themselves; the older versions go through ``stream`` and ``astream``.
    """

    def events(self: BaseChatModel, *args: Any, **kwargs: Any) -> Any:
        plan = _plan(self, streams=True) if kwargs.get("version") == "v3" else None
        watched = None if plan is None else _watch(self, plan)
        if watched is None:
            return original(self, *args, **kwargs)
        watch, shadow = watched
        watch.detach()
        return watch.follow(original(shadow, *args, **kwargs))

    return events


_SEAMS = (
    _Seam(BaseChatModel, "generate", _wrap_generate),
    _Seam(BaseChatModel, "agenerate", _wrap_agenerate),
    _Seam(BaseChatModel, "stream", _wrap_stream),
    _Seam(BaseChatModel, "astream", _wrap_astream),
    _Seam(BaseChatModel, "stream_events", _wrap_events),
    _Seam(BaseChatModel, "astream_events", _wrap_events),
    _Seam(BaseLLM, "generate", _wrap_generate),
    _Seam(BaseLLM, "agenerate", _wrap_agenerate),
    _Seam(BaseLLM, "stream", _wrap_stream),
    _Seam(BaseLLM, "astream", _wrap_astream),
    *(_Seam(cls, "batch", wrap_batch) for cls in (Runnable, BaseLLM)),
    *(_Seam(cls, "abatch", wrap_abatch) for cls in (Runnable, BaseLLM)),
)
