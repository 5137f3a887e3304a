"""A model's shadow: the same model, with the cache standing at the provider's door.

LangChain's ``BaseChatModel`` and ``BaseLLM`` do everything around a provider and call the
provider's own ``_generate``, ``_stream`` and their async forms, the methods that every integration
writes. The shadow is a shallow copy whose four methods ask the cache first and otherwise call the
real model, so that its state stays where it is.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from .doors import ChatDoor, TextDoor
from .ledger import LEDGER

if TYPE_CHECKING:
    from .opencall import OpenCall, Prompt

_MARK = "_llmcache_shadow"
_NOTHING_USED = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


def is_shadow(model: BaseLanguageModel[Any]) -> bool:
    """Whether ``model`` is a shadow, whose calls are watched already."""
    return _MARK in model.__dict__


class CallCache(Protocol):
    """What a cache offers to be asked at the provider's door instead of by LangChain's strings."""

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
    """

    def __init__(
        self, model: BaseLanguageModel[Any], cache: CallCache, bypass_reason: str | None
    ) -> None:
        self._began = time.perf_counter()
        self._cell = LEDGER.cell
        self._cache = cache
        self._bypass_reason = bypass_reason
        self._calls: list[OpenCall] = []
        self._usages: dict[int, Any] = {}
        self._detached = False
        self.model = model
        self.shadow = _shadow(model, self)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tell()

    def detach(self) -> None:
        """Let each request tell of itself when it ends, because the public call returns before."""
        self._detached = True

    @contextmanager
    def request(
        self, prompt: Prompt, stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> Iterator[OpenCall]:
        """Take one request of this call in hand; leave the block when its answer is complete."""
        call = self._cache.open(self.model, prompt, stop, kwargs, self._bypass_reason)
        self._calls.append(call)
        try:
            yield call
        finally:
            call.close()
            if self._detached:
                self._tell()

    def _tell(self) -> None:
        wall_s = time.perf_counter() - self._began
        calls, self._calls = self._calls, []
        for call in calls:
            if call.is_preview:
                continue
            LEDGER.record(call.event(self._cell, wall_s))

    # --- a hit costs nothing: callbacks see no tokens, the caller sees the original usage ---

    def as_hit(self, generations: list[Generation], call: OpenCall) -> list[Any]:
        """Mark recalled generations as a hit, with their usage put aside until callbacks ended."""
        for generation in generations:
            message = getattr(generation, "message", None)
            if isinstance(message, AIMessage):
                message.response_metadata["llm_cache"] = call.hit_mark
                if message.usage_metadata is not None:
                    self._usages[id(generation)] = message.usage_metadata
                    message.usage_metadata = _NOTHING_USED.copy()  # type: ignore[assignment]  # a plain dict of its keys
        return generations

    def restore_usage(self, result: LLMResult) -> LLMResult:
        """Give the messages of a finished call their original usage back."""
        if self._usages:
            for generations in result.generations:
                for generation in generations:
                    usage = self._usages.get(id(generation))
                    if usage is not None and isinstance(generation, ChatGeneration):
                        generation.message = _with_usage(generation.message, usage)
        return result

    def restore_chunk_usage(self, chunk: Any) -> Any:
        """The same for a chunk on its way to the caller."""
        if self._usages and getattr(chunk, "usage_metadata", None) is not None:
            return _with_usage(chunk, next(iter(self._usages.values())))
        return chunk


def _with_usage(message: BaseMessage, usage: Any) -> BaseMessage:
    return message.model_copy(update={"usage_metadata": usage})


def _shadow(model: BaseLanguageModel[Any], watch: Watch) -> BaseLanguageModel[Any]:
    # LangChain keeps this on the instance; asked here, it is computed once a model, not once a call.
    getattr(model, "_serialized", None)
    shadow = copy.copy(model)
    door = ChatDoor(model, watch) if isinstance(model, BaseChatModel) else TextDoor(model, watch)
    # Past pydantic on purpose: these are no fields, and the class must keep its own methods.
    shadow.__dict__.update(
        {
            _MARK: True,
            "cache": False,
            "rate_limiter": None,
            "_generate": door.generate,
            "_agenerate": door.agenerate,
            "_stream": door.stream,
            "_astream": door.astream,
            # A provider's native event stream would go round the cache; None makes LangChain
            # build the same events from ``_stream``.
            "_stream_chat_model_events": None,
            "_astream_chat_model_events": None,
        }
    )
    return shadow
