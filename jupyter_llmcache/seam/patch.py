"""How generate, stream and their async forms reach the cache.

While a cache of ours lives, the public methods of LangChain's two model classes run on a *proxy*
of the model (see ``proxy``), so that everything LangChain does around a provider (callbacks,
tokens, ids, events) is done alike for a hit and a miss. ``uninstall`` by the last owner puts the
original methods back.

Where nobody listens, a hit is answered without all that: where LangChain's own
``CallbackManager.configure`` finds no handler and the model's class leaves LangChain's methods as
they are. What the caller gets is the same.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManager
from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult, RunInfo
from langchain_core.runnables.config import ensure_config

from .. import modes
from ..ledger import LEDGER
from ..request import is_refused
from . import embed, place
from .batches import wrap_abatch, wrap_batch
from .call import OpenCall
from .doors import Door, Doors, Method, Owner
from .place import PROXY_MARK, Asked, Plan, aclosing_if_it_can, closing_if_it_can, hand_out

if TYPE_CHECKING:
    from .watch import Watch

#: What LangChain's ``generate`` takes for itself, and no provider sees.
_AROUND = ("callbacks", "tags", "metadata", "run_name", "run_id")
#: What tells LangChain's traces of the schema that is asked for.
_SCHEMAS = ("ls_structured_output_format", "structured_output_format")

_lock = threading.RLock()
#: Public methods of LangChain that came to an end without asking the provider's door.
_unknown_ways: set[str] = set()


def install(owner: object) -> None:
    """Lead models' calls to the cache for as long as ``owner`` lives or until ``uninstall``."""
    with _lock:
        _DOORS.install(owner)
        embed.put()
        if modes.current_mode() == "replay":
            from . import replay

            replay.close_models()


def uninstall(owner: object) -> None:
    """Give LangChain its own methods back once no owner is left."""
    with _lock:
        _DOORS.uninstall(owner)
        if not _owners:
            embed.take()
            if replay := sys.modules.get(f"{__package__}.replay"):
                replay.reopen_models()


def problem() -> str | None:
    """Return in one line why not all calls of models reach the cache; None when they do."""
    if lost := _DOORS.lost():
        return f"other code has put its own {', '.join(lost)} in; turn the cache on again"
    if _owners and _unknown_ways:
        return (
            f"langchain-core {version('langchain-core')} works in another way than is known here "
            f"({', '.join(sorted(_unknown_ways))}): not all is cached. Update jupyter_llmcache"
        )
    return None


@contextlib.contextmanager
def seeing_all() -> Iterator[None]:
    """See also the calls of the block that would go past every cache."""
    owner = Owner()
    with _lock:
        (_owners.add if _owners else install)(owner)  # the methods may be in their place
    try:
        with modes.setting(place.sees_all, True):
            yield
    finally:
        with _lock:
            (_owners.discard if len(_owners) > 1 else uninstall)(owner)


# --- the short way of a hit ---


def _quick(
    model: Any, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any], is_async: bool
) -> Asked | None:
    """Return the request of a ``generate`` that may be a hit; None: go the long way at once."""
    if plan.other is not None or len(args) != 1 or len(args[0]) != 1 or not _may_hit(plan, model):
        return None
    if not _are_texts(args[0][0]):
        return None
    options = {name: kwargs[name] for name in kwargs if name not in _AROUND + _SCHEMAS}
    stop = options.pop("stop", None)
    return Asked(model, args[0][0], stop, options, is_async)


def _quick_stream(
    model: Any, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any], is_async: bool
) -> Asked | None:
    """Return the request of a ``stream`` or an ``astream`` that may be a hit; None: as above."""
    if len(args) not in (1, 2) or not _may_hit(plan, model):
        return None
    options = {name: kwargs[name] for name in kwargs if name not in ("config", *_SCHEMAS)}
    stop = options.pop("stop", None)
    if (options.get("n", getattr(model, "n", None)) or 1) != 1:
        return None
    messages = model._convert_input(args[0]).to_messages()  # noqa: SLF001  # as LangChain's stream asks
    return Asked(model, messages, stop, options, is_async) if _are_texts(messages) else None


def _comes_in_one(call: OpenCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a stream is a hit that comes in one piece, and nobody listens to it."""
    if call.found is None or call.found.is_in_pieces:
        return False
    model: Any = call.asked.model
    config = ensure_config(args[1] if len(args) > 1 else kwargs.get("config"))
    options = {**call.asked.kwargs, "stream": True}
    streams = model._should_stream(async_api=call.asked.is_async, **options)  # noqa: SLF001  # as above
    return streams and not _is_heard(model, config.get("callbacks"))


def _looked_for(plan: Plan, asked: Asked) -> OpenCall:
    """Return the open call of a request, its answer looked for. It may touch files."""
    call = OpenCall(plan.place, asked, plan.reason)
    call.find()
    return call


def _answered(call: OpenCall) -> LLMResult:
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


def _chunks_of(call: OpenCall) -> Iterator[Any]:
    """Yield the messages of a stream whose answer was found, and tell of the hit."""
    from .chunks import chat_chunks

    try:
        generations: Any = (call.recall() or [])[:1]
        call.ids = hand_out(generations)
        for chunk in chat_chunks(generations[0]):
            yield chunk.message
    finally:
        _tell(call)


def _tell(call: OpenCall) -> None:
    LEDGER.record(call.event(LEDGER.cell, time.perf_counter() - call.began), call.ids)


def _may_hit(plan: Plan, model: Any) -> bool:
    may_not = plan.reason is not None or not _is_plain(model.__class__) or is_refused(model)
    return not may_not and modes.current_mode() in ("auto", "replay")


@functools.lru_cache(maxsize=256)
def _is_plain(cls: type) -> bool:
    """Whether a class leaves LangChain's own ways to a provider as they are."""
    return issubclass(cls, BaseChatModel) and all(
        getattr(cls, name, None) is getattr(BaseChatModel, name, None)
        for name in ("_generate_with_cache", "_agenerate_with_cache")
    )


def _are_texts(messages: Sequence[BaseMessage]) -> bool:
    """Whether LangChain would hand these very messages to the provider: it rewrites only blocks."""
    return all(type(message.content) is str for message in messages)


def _is_heard(model: Any, callbacks: Any) -> bool:
    return bool(CallbackManager.configure(callbacks, model.callbacks, model.verbose).handlers)


# --- the methods as we put them; each runs the original on the proxy ---


def _plan(model: BaseLanguageModel[Any], *, streams: bool = False) -> Plan | None:
    """Return who answers a public call of ``model``; None where it is left alone."""
    if not _owners or PROXY_MARK in model.__dict__:
        return None
    return place.plan(model, streams=streams)


@functools.cache
def _long_way() -> tuple[type[Watch], Callable[[Watch], Any]]:
    """Return what only a miss needs; an import at each call would find it again, step by step."""
    from .proxy import proxy_of
    from .watch import Watch

    return Watch, proxy_of


def _watch(
    model: BaseLanguageModel[Any], plan: Plan, opened: OpenCall | None = None
) -> tuple[Watch, Any] | None:
    """Return a watch over one public call, and the proxy that the call runs on.

    None: a model that cannot be copied goes LangChain's own way to the cache, by two strings.

    Raises:
        ReplayMissError: It cannot be copied, and in replay it may not go that way.
    """
    watch_of, proxy_of = _long_way()
    watched = watch_of(model, plan.place, plan.reason, opened, plan.other)
    try:
        return watched, proxy_of(watched)
    except Exception:  # a class may forbid copies, or fail at them, in any way
        if modes.current_mode() != "replay":
            return None
        with watched, watched.request("", None, {}, "the model cannot be copied") as call:
            call.recall()
        raise


def _finish(watch: Watch, name: str, result: Any, prompts: int) -> None:
    """Tell of answers of a call that ended well and did not come to the provider's door.

    They are the other cache's, or LangChain works in a way that is not known here.
    """
    around = prompts - watch.seen
    if around > 0 and watch.other_cache is None:
        _unknown_ways.add(name)
    elif around > 0:
        for generations in result.generations[:around]:
            watch.answered_elsewhere(generations[0])


def _wrap_generate(original: Method, module: ModuleType) -> Method:
    is_langchains = _is_langchains(original, module)

    def generate(self: BaseLanguageModel[Any], *args: Any, **kwargs: Any) -> Any:
        plan = _plan(self)
        if plan is None:
            return original(self, *args, **kwargs)
        asked = _quick(self, plan, args, kwargs, False) if is_langchains else None
        call = _looked_for(plan, asked) if asked else None
        if call and call.found and not _is_heard(self, kwargs.get("callbacks")):
            return _answered(call)
        watched = _watch(self, plan, call)
        if watched is None:
            return original(self, *args, **kwargs)
        watch, proxy = watched
        with watch:
            result = original(proxy, *args, **kwargs)
            _finish(watch, "generate", result, _prompts_of(args, kwargs))
            return watch.restored(result)

    return generate


def _wrap_agenerate(original: Method, module: ModuleType) -> Method:
    is_langchains = _is_langchains(original, module)

    async def agenerate(self: BaseLanguageModel[Any], *args: Any, **kwargs: Any) -> Any:
        plan = _plan(self)
        if plan is None:
            return await original(self, *args, **kwargs)
        asked = _quick(self, plan, args, kwargs, True) if is_langchains else None
        call = await plan.place.run(_looked_for, plan, asked, model=self) if asked else None
        if call and call.found and not _is_heard(self, kwargs.get("callbacks")):
            return _answered(call)
        watched = _watch(self, plan, call)
        if watched is None:
            return await original(self, *args, **kwargs)
        watch, proxy = watched
        with watch:
            result = await original(proxy, *args, **kwargs)
            _finish(watch, "agenerate", result, _prompts_of(args, kwargs))
            return watch.restored(result)

    return agenerate


def _is_langchains(method: Method, module: ModuleType) -> bool:
    """Whether ``method`` is LangChain's own and not one that other code has put over it."""
    return getattr(method, "__globals__", None) is vars(module)


def _prompts_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    return len(args[0] if args else kwargs.get("messages", kwargs.get("prompts", ())))


def _wrap_stream(original: Method, module: ModuleType) -> Method:
    is_langchains = _is_langchains(original, module)

    def stream(self: BaseLanguageModel[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
        plan, call = _plan(self, streams=True), None
        if plan and is_langchains and (asked := _quick_stream(self, plan, args, kwargs, False)):
            call = _looked_for(plan, asked)
        if call is not None and _comes_in_one(call, args, kwargs):
            yield from _chunks_of(call)
            return
        watched = None if plan is None else _watch(self, plan, call)
        if watched is None:
            yield from original(self, *args, **kwargs)
            return
        watch, proxy = watched
        with watch, closing_if_it_can(original(proxy, *args, **kwargs)) as chunks:
            for chunk in chunks:
                yield watch.restored_chunk(chunk)
            _finish(watch, "stream", None, 1)

    return stream


def _wrap_astream(original: Method, module: ModuleType) -> Method:
    is_langchains = _is_langchains(original, module)

    async def astream(
        self: BaseLanguageModel[Any], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        plan, call = _plan(self, streams=True), None
        if plan and is_langchains and (asked := _quick_stream(self, plan, args, kwargs, True)):
            call = await plan.place.run(_looked_for, plan, asked, model=self)
        if call is not None and _comes_in_one(call, args, kwargs):
            for chunk in _chunks_of(call):
                yield chunk
            return
        watched = None if plan is None else _watch(self, plan, call)
        if watched is None:
            async with aclosing_if_it_can(original(self, *args, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        watch, proxy = watched
        with watch:
            async with aclosing_if_it_can(original(proxy, *args, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield watch.restored_chunk(chunk)
            _finish(watch, "astream", None, 1)

    return astream


def _wrap_events(original: Method, _: ModuleType) -> Method:
    """The newest event protocol runs on after its method has returned, so its calls tell of
    themselves; the older versions go through ``stream`` and ``astream``.
    """

    def events(self: BaseChatModel, *args: Any, **kwargs: Any) -> Any:
        plan = _plan(self, streams=True) if kwargs.get("version") == "v3" else None
        watched = None if plan is None else _watch(self, plan)
        if watched is None:
            return original(self, *args, **kwargs)
        watch, proxy = watched
        watch.detach()
        return watch.follow(original(proxy, *args, **kwargs))

    return events


_ASK = {
    "generate": _wrap_generate,
    "agenerate": _wrap_agenerate,
    "stream": _wrap_stream,
    "astream": _wrap_astream,
}
_CHAT = {**_ASK, "stream_events": _wrap_events, "astream_events": _wrap_events}
_BATCH = {"batch": wrap_batch, "abatch": wrap_abatch}
_MODELS = "langchain_core.language_models"
_DOORS = Doors(
    [
        *(Door(f"{_MODELS}.chat_models", "BaseChatModel", name, _CHAT[name]) for name in _CHAT),
        *(Door(f"{_MODELS}.llms", "BaseLLM", name, _ASK[name]) for name in _ASK),
        *(Door(f"{_MODELS}.llms", "BaseLLM", name, _BATCH[name]) for name in _BATCH),
        *(Door("langchain_core.runnables.base", "Runnable", n, _BATCH[n]) for n in _BATCH),
    ]
)
_owners = _DOORS.owners
