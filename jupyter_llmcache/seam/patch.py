"""How generate, stream and their async forms reach the cache; LangChain is patched here alone.

While a cache of ours lives, the public methods of LangChain's two model classes run on a *shadow*
of the model (see ``shadow``), so that everything LangChain does around a provider (callbacks,
tokens, ids, events) is done alike for a hit and a miss. ``uninstall`` by the last owner puts the
original methods back. A model under somebody else's cache, or under none, is left alone.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel, BaseLanguageModel, BaseLLM

from .. import modes
from ..errors import ReplayMissError
from . import embed, selfcheck
from .hits import with_usage, with_usages
from .proxy import aclosing_if_it_can, closing_if_it_can
from .shadow import CallCache, Watch, is_shadow

__all__ = ["CallCache", "install", "is_installed", "problem", "uninstall", "watching"]

Method = Callable[..., Any]

_owners: weakref.WeakSet[object] = weakref.WeakSet()
_lock = threading.RLock()


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
    """Lead models' calls to the cache for as long as ``owner`` lives or until ``uninstall``.

    On a LangChain whose methods do not work together as this needs, nothing is patched, and
    ``problem`` says so.
    """
    with _lock:
        _owners.add(owner)
        embed.put()
        if selfcheck.fault() is None:
            for seam in _SEAMS:
                seam.put()


def uninstall(owner: object) -> None:
    """Give LangChain its own methods back once no owner is left."""
    with _lock:
        _owners.discard(owner)
        if not _owners:
            embed.take()
            for seam in _SEAMS:
                seam.take()


def problem() -> str | None:
    """Return in one line why not all calls of models reach the cache; None when they do."""
    with _lock:
        if not _owners:
            return None
        lost = [f"{seam.cls.__name__}.{seam.name}" for seam in _SEAMS if seam.is_lost]
    if lost:
        return f"other code has put its own {', '.join(lost)} in; turn the cache on again"
    return selfcheck.fault()


def is_installed() -> bool:
    """Whether models' calls are led to the cache now."""
    return bool(_owners) and selfcheck.fault() is None


#: Watches calls that no cache answers, inside ``watching``.
_bystander: ContextVar[CallCache | None] = ContextVar("llmcache_bystander", default=None)


@contextlib.contextmanager
def watching(bystander: CallCache) -> Iterator[None]:
    """Let ``bystander`` see the calls of the block that would go past every cache."""
    install(bystander)
    token = _bystander.set(bystander)
    try:
        yield
    finally:
        _bystander.reset(token)
        uninstall(bystander)


def _watch(model: BaseLanguageModel[Any]) -> Watch | None:
    """Return a watch over one public call of ``model``, or None where it is none of our business.

    Raises:
        ReplayMissError: Replay is in force, and no cache of ours would answer this call.
    """
    if not _owners or is_shadow(model):
        return None
    own: BaseCache | bool | None = model.cache
    cache: object = own
    if not isinstance(own, BaseCache):
        cache = get_llm_cache()
        if cache is None and own is not True:
            cache = _bystander.get()
    if isinstance(cache, CallCache):
        try:
            return Watch(model, cache, "the model has cache=False" if own is False else None)
        except Exception:  # noqa: BLE001, S110  # a model that cannot be copied goes LangChain's own way to the cache, by two strings
            pass
    if modes.current_mode() == "replay":
        raise ReplayMissError(
            f"replay: this call of {type(model).__name__} would go past the cache",
            "Choose a recorded file first: %llm_cache sqlite FILE",
        )
    return None


# --- the methods as we put them; each runs the original on the shadow ---


def _wrap_generate(original: Method) -> Method:
    def generate(self: BaseLanguageModel[Any], *args: Any, **kwargs: Any) -> Any:
        watch = _watch(self)
        if watch is None:
            return original(self, *args, **kwargs)
        with watch:
            return with_usages(original(watch.shadow, *args, **kwargs))

    return generate


def _wrap_agenerate(original: Method) -> Method:
    async def agenerate(self: BaseLanguageModel[Any], *args: Any, **kwargs: Any) -> Any:
        watch = _watch(self)
        if watch is None:
            return await original(self, *args, **kwargs)
        with watch:
            return with_usages(await original(watch.shadow, *args, **kwargs))

    return agenerate


def _wrap_stream(original: Method) -> Method:
    def stream(self: BaseLanguageModel[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
        watch = _watch(self)
        if watch is None:
            yield from original(self, *args, **kwargs)
            return
        with watch, closing_if_it_can(original(watch.shadow, *args, **kwargs)) as chunks:
            for chunk in chunks:
                yield with_usage(chunk)

    return stream


def _wrap_astream(original: Method) -> Method:
    async def astream(
        self: BaseLanguageModel[Any], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        watch = _watch(self)
        if watch is None:
            async with aclosing_if_it_can(original(self, *args, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        with watch:
            async with aclosing_if_it_can(original(watch.shadow, *args, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield with_usage(chunk)

    return astream


def _wrap_events(original: Method) -> Method:
    """The newest event protocol runs on after its method has returned, so its calls tell of
    themselves; the older versions go through ``stream`` and ``astream``.
    """

    def events(self: BaseChatModel, *args: Any, **kwargs: Any) -> Any:
        watch = _watch(self) if kwargs.get("version") == "v3" else None
        if watch is None:
            return original(self, *args, **kwargs)
        watch.detach()
        return original(watch.shadow, *args, **kwargs)

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
)
