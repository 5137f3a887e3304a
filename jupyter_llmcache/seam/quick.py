"""The quick answer of a hit: where nobody listens, LangChain's way around a provider is left out.

It is taken where LangChain's own ``CallbackManager.configure`` finds no handler and the model's
class leaves LangChain's methods as they are; what the caller gets is the same.
"""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from langchain_core.callbacks import CallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult, RunInfo
from langchain_core.runnables.config import ensure_config

from .. import modes
from ..ledger import LEDGER
from .call import OpenCall
from .place import Asked, Place
from .replay import chat_chunks
from .watch import hand_out

#: What LangChain's ``generate`` takes for itself, and no provider sees.
_AROUND = ("callbacks", "tags", "metadata", "run_name", "run_id")
_FORMATS = ("ls_structured_output_format", "structured_output_format")
#: LangChain's own ways to a provider; a class that writes its own may do there what it likes.
_WAYS = ("_generate_with_cache", "_agenerate_with_cache")


class Plan(NamedTuple):
    """Who answers one public call of a model.

    Attributes:
        place: Where the answers are kept.
        reason: Why this call is not asked of the cache; None where it is.
        other: The name of another cache, which LangChain asks first; None where there is none.
    """

    place: Place
    reason: str | None = None
    other: str | None = None


def unheard(model: Any, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
    """Return the request of a ``generate`` that nobody listens to; None: go the long way."""
    if plan.other is not None or not _may_hit(plan) or not _is_plain(model.__class__):
        return None
    if len(args) != 1 or len(args[0]) != 1:
        return None
    if not _are_texts(args[0][0]) or _is_heard(model, kwargs.get("callbacks")):
        return None
    options = {name: kwargs[name] for name in kwargs if name not in _AROUND + _FORMATS}
    stop = options.pop("stop", None)
    return Asked(model, args[0][0], stop, options)


def unheard_stream(
    model: Any, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any], *, is_async: bool = False
) -> Asked | None:
    """Like ``unheard``, of a ``stream`` or an ``astream``."""
    if len(args) not in (1, 2) or not _may_hit(plan) or not _is_plain(model.__class__):
        return None
    options = {name: kwargs[name] for name in kwargs if name not in ("config", *_FORMATS)}
    stop = options.pop("stop", None)
    if (options.get("n", getattr(model, "n", None)) or 1) != 1:
        return None
    if not model._should_stream(async_api=is_async, **{**options, "stream": True}):  # noqa: SLF001  # as LangChain's stream asks
        return None
    config = ensure_config(args[1] if len(args) > 1 else kwargs.get("config"))
    if _is_heard(model, config.get("callbacks")):
        return None
    messages = model._convert_input(args[0]).to_messages()  # noqa: SLF001  # as above
    if not _are_texts(messages):
        return None
    return Asked(model, messages, stop, options)


def looked_for(plan: Plan, asked: Asked) -> OpenCall:
    """Return the open call of a request, its answer looked for. It may touch files."""
    call = OpenCall(plan.place, asked, plan.reason)
    call.find()
    return call


def answered(call: OpenCall) -> LLMResult:
    """Return the result of a call whose answer was found, and tell of the hit."""
    try:
        generations: Any = call.recall()
        call.ids = hand_out(generations)
        return LLMResult.model_construct(
            generations=[generations],
            llm_output=call.asked.model._combine_llm_outputs([None]),  # type: ignore[attr-defined]  # noqa: SLF001  # as LangChain's generate does
            run=[RunInfo.model_construct(run_id=uuid.uuid4())],
        )
    finally:
        _tell(call)


def chunks_of(call: OpenCall) -> Iterator[Any]:
    """Yield the messages of a stream whose answer was found, and tell of the hit."""
    try:
        generations: Any = (call.recall() or [])[:1]
        call.ids = hand_out(generations)
        for chunk in chat_chunks(generations[0]):
            yield chunk.message
    finally:
        _tell(call)


def _tell(call: OpenCall) -> None:
    LEDGER.record(call.event(LEDGER.cell, time.perf_counter() - call.began), call.ids)


def _may_hit(plan: Plan) -> bool:
    return plan.reason is None and modes.current_mode() in ("auto", "replay")


@functools.lru_cache(maxsize=256)
def _is_plain(cls: type) -> bool:
    return issubclass(cls, BaseChatModel) and all(
        getattr(cls, name, None) is getattr(BaseChatModel, name, None) for name in _WAYS
    )


def _are_texts(messages: Sequence[BaseMessage]) -> bool:
    """Whether LangChain would hand these very messages to the provider: it rewrites only blocks."""
    return all(type(message.content) is str for message in messages)


def _is_heard(model: Any, callbacks: Any) -> bool:
    return bool(CallbackManager.configure(callbacks, model.callbacks, model.verbose).handlers)
