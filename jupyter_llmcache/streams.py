"""How generate, stream and their async forms reach the cache; the one place where LangChain is patched.

While a cache of ours lives, the public methods of LangChain's two model classes run on a *shadow* of
the model (see ``shadow``), so that everything LangChain does around a provider (callbacks, tokens,
ids, events) is done alike for a hit and a miss. ``uninstall`` by the last owner puts the original
methods back. A model under somebody else's cache, or under none, is left alone.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel, BaseLanguageModel, BaseLLM

from . import modes
from .errors import ReplayMissError
from .shadow import Watch, is_shadow

if TYPE_CHECKING:
    from .opencall import OpenCall, Prompt

Method = Callable[..., Any]


class CallCache(ABC):
    """Marks a LangChain cache as one of ours: ``open`` is asked instead of ``lookup``."""

    @abstractmethod
    def open(
        self,
        model: BaseLanguageModel[Any],
        prompt: Prompt,
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        bypass_reason: str | None = None,
    ) -> OpenCall:
        """Take one request in hand."""


_owners: weakref.WeakSet[object] = weakref.WeakSet()
_originals: dict[tuple[type, str], Method] = {}
_lock = threading.RLock()


def install(owner: object) -> None:
    """Lead models' calls to the cache for as long as ``owner`` lives or until ``uninstall``."""
    with _lock:
        _owners.add(owner)
        if not _originals:
            for cls, name, wrap in _SEAMS:
                original = cls.__dict__.get(name)
                if original is not None:
                    _originals[cls, name] = original
                    setattr(cls, name, functools.wraps(original)(wrap(original)))


def uninstall(owner: object) -> None:
    """Give LangChain its own methods back once no owner is left."""
    with _lock:
        _owners.discard(owner)
        if not _owners:
            for (cls, name), original in _originals.items():
                setattr(cls, name, original)
            _originals.clear()


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


def is_installed() -> bool:
    """Whether models' calls are led to the cache now."""
    return bool(_originals)


def _watch(model: BaseLanguageModel[Any]) -> Watch | None:
    """Return a watch over one public call of ``model``, or None where it is none of our business.

    Raises:
        ReplayMissError: Replay is in force, and no cache of ours would answer this call.
    """
    if is_shadow(model):
        return None
    own: BaseCache | bool | None = model.cache
    cache = own if isinstance(own, BaseCache) else get_llm_cache() or _bystander.get()
    if isinstance(cache, CallCache):
        return Watch(model, cache, "the model has cache=False" if own is False else None)
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
            return watch.restore_usage(original(watch.shadow, *args, **kwargs))

    return generate


def _wrap_agenerate(original: Method) -> Method:
    async def agenerate(self: BaseLanguageModel[Any], *args: Any, **kwargs: Any) -> Any:
        watch = _watch(self)
        if watch is None:
            return await original(self, *args, **kwargs)
        with watch:
            return watch.restore_usage(await original(watch.shadow, *args, **kwargs))

    return agenerate


def _wrap_stream(original: Method) -> Method:
    def stream(self: BaseLanguageModel[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
        watch = _watch(self)
        if watch is None:
            yield from original(self, *args, **kwargs)
            return
        with watch, contextlib.closing(original(watch.shadow, *args, **kwargs)) as chunks:
            for chunk in chunks:
                yield watch.restore_chunk_usage(chunk)

    return stream


def _wrap_astream(original: Method) -> Method:
    async def astream(
        self: BaseLanguageModel[Any], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        watch = _watch(self)
        if watch is None:
            async for chunk in original(self, *args, **kwargs):
                yield chunk
            return
        with watch:
            async with contextlib.aclosing(original(watch.shadow, *args, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield watch.restore_chunk_usage(chunk)

    return astream


def _wrap_events(original: Method) -> Method:
    """The newest event protocol runs on after its method has returned, so its calls tell of
    themselves; the older versions go through ``stream``/``astream``."""

    def stream_events(self: BaseChatModel, *args: Any, **kwargs: Any) -> Any:
        watch = _watch(self) if kwargs.get("version") == "v3" else None
        if watch is None:
            return original(self, *args, **kwargs)
        watch.detach()
        return original(watch.shadow, *args, **kwargs)

    return stream_events


_SEAMS: tuple[tuple[type, str, Callable[[Method], Method]], ...] = (
    (BaseChatModel, "generate", _wrap_generate),
    (BaseChatModel, "agenerate", _wrap_agenerate),
    (BaseChatModel, "stream", _wrap_stream),
    (BaseChatModel, "astream", _wrap_astream),
    (BaseChatModel, "stream_events", _wrap_events),
    (BaseChatModel, "astream_events", _wrap_events),
    (BaseLLM, "generate", _wrap_generate),
    (BaseLLM, "agenerate", _wrap_agenerate),
    (BaseLLM, "stream", _wrap_stream),
    (BaseLLM, "astream", _wrap_astream),
)
