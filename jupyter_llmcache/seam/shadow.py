"""A model's shadow: the same model, with the cache standing at the provider's door.

LangChain's ``BaseChatModel`` and ``BaseLLM`` do everything around a provider and call the
provider's own ``_generate``, ``_stream`` and their async forms, the methods that every integration
writes. The shadow is a shallow copy whose four methods ask the cache first and otherwise call the
real model, so that its state stays where it is.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from pydantic import BaseModel

from ..ledger import LEDGER
from .proxy import ChatDoor, ProviderMethod, TextDoor

if TYPE_CHECKING:
    from .call import OpenCall, Prompt

_SHADOW_MARK = "_llmcache_shadow"


def is_shadow(model: BaseLanguageModel[Any]) -> bool:
    """Whether ``model`` is a shadow, whose calls are watched already."""
    return _SHADOW_MARK in model.__dict__


class CallCache(ABC):
    """A cache that is asked at the provider's door instead of by LangChain's two strings."""

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


class Watch:
    """One public call of one model: its shadow, the requests it made, and the events it leaves.

    Use it as a context manager around the call.

    Raises:
        Exception: The model cannot be copied.
    """

    def __init__(
        self, model: BaseLanguageModel[Any], cache: CallCache, bypass_reason: str | None
    ) -> None:
        self._began = time.perf_counter()
        self._cell = LEDGER.cell
        self._cache = cache
        self._bypass_reason = bypass_reason
        self._ended: list[tuple[OpenCall, float]] = []
        self._detached = False
        self.model = model
        self.shadow = _shadow(model, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended, self._ended = self._ended, []
        if len(ended) == 1:
            # What LangChain did around the only request is part of the caller's wait.
            ended = [(ended[0][0], time.perf_counter() - self._began)]
        for call, wall_s in ended:
            LEDGER.record(call.event(self._cell, wall_s))

    def detach(self) -> None:
        """Let each request tell of itself when it ends, because the public call returns before."""
        self._detached = True

    def request(
        self,
        prompt: Prompt,
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        bypass_reason: str | None = None,
    ) -> _Visit:
        """Take one request of this call in hand; leave the block when its answer is complete."""
        began = time.perf_counter()
        reason = self._bypass_reason or bypass_reason
        call = self._cache.open(self.model, prompt, stop, kwargs, reason)
        return _Visit(self, call, began)

    def end(self, call: OpenCall, wall_s: float) -> None:
        """Note that ``call`` is over, ``wall_s`` seconds after it was taken in hand."""
        if self._detached:
            LEDGER.record(call.event(self._cell, wall_s))
        else:
            self._ended.append((call, wall_s))


class _Visit:
    """The block in which one request is answered."""

    __slots__ = ("_began", "_call", "_watch")

    def __init__(self, watch: Watch, call: OpenCall, began: float) -> None:
        self._watch = watch
        self._call = call
        self._began = began

    def __enter__(self) -> OpenCall:
        return self._call

    def __exit__(self, *error: object) -> None:
        self._call.close()
        if not self._call.is_preview:
            self._watch.end(self._call, time.perf_counter() - self._began)


class _Parameters:
    """A model's invocation parameters, for one call.

    LangChain asks for them twice a call with the same arguments, and to work them out takes as long
    as to find an answer.
    """

    __slots__ = ("_answer", "_asked", "_model")

    def __init__(self, model: Any) -> None:
        self._model = model
        self._asked: tuple[Any, dict[str, Any]] | None = None
        self._answer: dict[str, Any] = {}

    def __call__(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        if self._asked is None or not _are_same(self._asked, (stop, kwargs)):
            self._answer = self._model._get_invocation_params(stop=stop, **kwargs)  # noqa: SLF001  # LangChain's name, which providers override
            self._asked = stop, kwargs
        return dict(self._answer)


def _are_same(one: tuple[Any, dict[str, Any]], other: tuple[Any, dict[str, Any]]) -> bool:
    """Whether two calls have the very same arguments; to see what is only equal may be costly."""
    (stop, kwargs), (other_stop, other_kwargs) = one, other
    return (
        stop is other_stop
        and kwargs.keys() == other_kwargs.keys()
        and all(kwargs[name] is other_kwargs[name] for name in kwargs)
    )


def _shadow(model: BaseLanguageModel[Any], watch: Watch) -> BaseLanguageModel[Any]:
    # LangChain keeps this on the instance; asked here, it is made once a model, not once a call.
    getattr(model, "_serialized", None)
    # Pydantic's own way to copy: a class may have a way of its own, for its own purposes.
    shadow = BaseModel.__copy__(model)
    door = ChatDoor(model, watch) if isinstance(model, BaseChatModel) else TextDoor(model, watch)
    # Past pydantic on purpose: these are no fields, and the class must keep its own methods.
    shadow.__dict__.update(
        {
            _SHADOW_MARK: True,
            "cache": False,
            "rate_limiter": None,
            "_generate": ProviderMethod(door.generate),
            "_agenerate": ProviderMethod(door.agenerate),
            "_stream": door.stream,
            "_astream": door.astream,
            "_get_invocation_params": _Parameters(model),
            # A provider's native event stream would go round the cache; None makes LangChain
            # build the same events from ``_stream``.
            "_stream_chat_model_events": None,
            "_astream_chat_model_events": None,
        }
    )
    return shadow
