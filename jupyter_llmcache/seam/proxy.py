"""A model's proxy: the same model, with the cache standing at the provider's door.

LangChain's ``BaseChatModel`` and ``BaseLLM`` do everything around a provider and call the
provider's own ``_generate``, ``_stream`` and their async forms, the methods that every integration
writes. The proxy is a shallow copy whose four methods ask the cache first and otherwise call the
real model, so that its state stays where it is. The sync and the async form of a method differ in
their awaits and in nothing else.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult, Generation, LLMResult
from pydantic import BaseModel

from ..ledger import LEDGER
from ..modes import asks_usage
from .call import OpenCall
from .chunks import Parts, chat_chunks, chunks_in_pieces, in_blocks, text_chunks, whole_message
from .place import PROXY_MARK, aclosing_if_it_can, closing_if_it_can, hand_out, run_message_id
from .watch import Watch

Method = TypeVar("Method", bound=Callable[..., Any])

_MANY = "a stream of several choices at once"


def proxy_of(watch: Watch) -> BaseLanguageModel[Any]:
    """Return the proxy of the watched model, whose requests ``watch`` answers.

    Raises:
        Exception: The model cannot be copied.
    """
    model = watch.model
    # LangChain keeps this on the instance; asked here, it is made once a model, not once a call.
    getattr(model, "_serialized", None)
    # Pydantic's own way to copy: a class may have a way of its own, for its own purposes.
    proxy = BaseModel.__copy__(model)
    door = ChatDoor(model, watch) if isinstance(model, BaseChatModel) else TextDoor(model, watch)
    # Past pydantic on purpose: these are no fields, and the class must keep its own methods.
    proxy.__dict__.update(
        {
            PROXY_MARK: True,
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
    if watch.other_cache is None:
        proxy.__dict__["cache"] = False
    return proxy


class _Door(ABC):
    """What chat and text models share: the real model, how it is called, and how it streams."""

    def __init__(self, model: Any, watch: Watch) -> None:
        self._model = model
        self._watch = watch

    def _replayed(self, call: OpenCall, generation: Generation) -> Iterator[Any]:
        """Yield a recalled answer as chunks: in the pieces in which it came, or in one."""
        if not (pieces := call.found and call.found.pieces):
            return self._in_one(*self._watch.handed(call, [generation]))
        call.ids = hand_out([generation])
        return chunks_in_pieces(generation, self._watch.told_of(pieces))

    @staticmethod
    @abstractmethod
    def _in_one(generation: Any) -> Iterator[Any]:
        """Yield an answer as one chunk."""

    @staticmethod
    @abstractmethod
    def _whole(chunk: Any) -> Generation:
        """Return the sum of a stream's chunks as an answer."""

    def stream(
        self, prompt: Any, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Stand in for ``_stream``."""
        with self._watch.request(prompt, stop, kwargs, self._many(kwargs)) as call:
            recalled = call.recall(alone=True)
            if recalled is not None:
                for chunk in self._replayed(call, recalled[0]):
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
                return
            parts = Parts(self._model, lambda: self._watch.stream_id)
            call.pieces = parts.pieces
            options = kwargs if run_manager is None else {**kwargs, "run_manager": run_manager}
            self._acquire()
            with call.paying(said=lambda: parts.answer(self._whole)[0].text):
                chunks = self._streaming()._stream(_as_recorded(prompt), stop=stop, **options)  # noqa: SLF001  # LangChain's name for what a provider implements
                with closing_if_it_can(chunks):
                    for chunk in chunks:
                        parts.add(chunk)
                        call.pause()
                        yield chunk
                        parts.see_id(chunk)
                        call.resume()
            call.settle(lambda: parts.answer(self._whole))

    async def astream(
        self, prompt: Any, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Stand in for ``_astream``."""
        async with self._watch.request(prompt, stop, kwargs, self._many(kwargs)) as call:
            recalled = await call.arecall(alone=True)
            if recalled is not None:
                for chunk in self._replayed(call, recalled[0]):
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
                return
            parts = Parts(self._model, lambda: self._watch.stream_id)
            call.pieces = parts.pieces
            options = kwargs if run_manager is None else {**kwargs, "run_manager": run_manager}
            await self._aacquire()
            with call.paying(said=lambda: parts.answer(self._whole)[0].text):
                chunks = self._streaming()._astream(_as_recorded(prompt), stop=stop, **options)  # noqa: SLF001  # as above
                async with aclosing_if_it_can(chunks):
                    async for chunk in chunks:
                        parts.add(chunk)
                        call.pause()
                        yield chunk
                        parts.see_id(chunk)
                        call.resume()
            await self._watch.settle(call, lambda: parts.answer(self._whole))

    def _streaming(self) -> Any:
        """Return the model, or a copy whose streams tell their tokens where that is asked for."""
        if not asks_usage.get() or getattr(self._model, "stream_usage", False) is not None:
            return self._model
        copy = BaseModel.__copy__(self._model)
        copy.__dict__["stream_usage"] = True
        return copy

    def _many(self, kwargs: dict[str, Any]) -> str | None:
        # Several choices come mixed in one stream, and could not be given out one by one later.
        choices = kwargs.get("n", getattr(self._model, "n", None)) or 1
        return _MANY if choices != 1 else None

    def _acquire(self) -> None:
        limiter = getattr(self._model, "rate_limiter", None)
        if limiter is not None:
            limiter.acquire(blocking=True)

    async def _aacquire(self) -> None:
        limiter = getattr(self._model, "rate_limiter", None)
        if limiter is not None:
            await limiter.aacquire(blocking=True)


def _as_recorded(prompt: Any) -> Any:
    """Return what is asked with the ids that its provider gave, for some are sent them back."""
    if isinstance(prompt, str):
        return prompt
    return [
        message
        if (id_ := LEDGER.recorded_id(message.id)) == message.id
        else message.model_copy(update={"id": id_})
        for message in prompt
    ]


def _signed(method: Method) -> Method:
    """Let ``method`` tell its signature at once: LangChain asks for it at each call, and to work it
    out takes longer than all else that the cache does around a provider.
    """
    method.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]  # as inspect reads it
    return method


class ChatDoor(_Door):
    """The provider methods of a chat model."""

    @staticmethod
    def _in_one(generation: Any) -> Iterator[Any]:
        return chat_chunks(generation, numbered=True)

    @staticmethod
    def _whole(chunk: Any) -> Generation:
        message = whole_message(chunk.message)
        return ChatGeneration(message=message, generation_info=chunk.generation_info)

    @_signed
    def generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        """Stand in for ``_generate``."""
        with self._watch.request(messages, stop, kwargs) as call:
            recalled = call.recall()
            if recalled is not None:
                return ChatResult(generations=self._watch.handed(call, recalled, run_manager))
            method = self._model._generate  # noqa: SLF001  # as above
            options = _options(method, run_manager, kwargs)
            self._acquire()
            with call.paying():
                result: ChatResult = method(_as_recorded(messages), stop=stop, **options)
            call.settle(lambda: _answers(call, result, run_manager))
            return result

    @_signed
    async def agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        """Stand in for ``_agenerate``."""
        async with self._watch.request(messages, stop, kwargs) as call:
            recalled = await call.arecall()
            if recalled is not None:
                return ChatResult(generations=self._watch.handed(call, recalled, run_manager))
            method = self._model._agenerate  # noqa: SLF001  # as above
            options = _options(method, run_manager, kwargs)
            await self._aacquire()
            with call.paying():
                result: ChatResult = await method(_as_recorded(messages), stop=stop, **options)
            await self._watch.settle(call, lambda: _answers(call, result, run_manager))
            return result


class TextDoor(_Door):
    """The provider methods of a text-completion model, which answers many prompts at a time."""

    @staticmethod
    def _in_one(generation: Any) -> Iterator[Any]:
        return text_chunks(generation)

    @staticmethod
    def _whole(chunk: Any) -> Generation:
        return Generation(text=chunk.text, generation_info=chunk.generation_info)

    def generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Stand in for ``_generate``."""
        method = functools.partial(self._model._generate, stop=stop)  # noqa: SLF001  # as above
        options = _options(self._model._generate, run_manager, kwargs)  # noqa: SLF001  # as above
        with ExitStack() as requests:
            batch = _TextBatch(prompts)
            self._watch.seen += len(prompts) - len(batch.distinct)
            for prompt in batch.distinct:
                call = requests.enter_context(self._watch.request(prompt, stop, kwargs))
                batch.take(prompt, call, call.recall(alone=batch.is_many))
            if batch.missing:
                self._acquire()
                with batch.paying():
                    result = method(list(batch.missing), **options)
                batch.settle(result)
            if run_manager is not None and getattr(self._model, "streaming", False):
                for chunk in batch.replayed():
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            return batch.result()

    async def agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Stand in for ``_agenerate``."""
        method = functools.partial(self._model._agenerate, stop=stop)  # noqa: SLF001  # as above
        options = _options(self._model._agenerate, run_manager, kwargs)  # noqa: SLF001  # as above
        async with AsyncExitStack() as requests:
            batch = _TextBatch(prompts)
            self._watch.seen += len(prompts) - len(batch.distinct)
            for prompt in batch.distinct:
                call = await requests.enter_async_context(self._watch.request(prompt, stop, kwargs))
                batch.take(prompt, call, await call.arecall(alone=batch.is_many))
            if batch.missing:
                await self._aacquire()
                with batch.paying():
                    result = await method(list(batch.missing), **options)
                await self._watch.place.finish(batch.settle, result)
            if run_manager is not None and getattr(self._model, "streaming", False):
                for chunk in batch.replayed():
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            return batch.result()


class _TextBatch:
    """The prompts of one call of a text model: some recalled, the others paid for together.

    Attributes:
        distinct: The prompts, equal ones once.
        missing: What has to be paid for, by prompt.
    """

    def __init__(self, prompts: list[str]) -> None:
        self._prompts = prompts
        self.distinct = list(dict.fromkeys(prompts))
        self.missing: dict[str, OpenCall] = {}
        self._answers: dict[str, list[Any]] = {}
        self._recalled: list[Generation] = []
        self._llm_output: dict[str, Any] | None = None

    @property
    def is_many(self) -> bool:
        return len(self.distinct) > 1

    def take(self, prompt: str, call: OpenCall, recalled: list[Generation] | None) -> None:
        if recalled is None:
            self.missing[prompt] = call
        else:
            self._answers[prompt] = recalled
            self._recalled += recalled[:1]

    def paying(self) -> ExitStack:
        stack = ExitStack()
        for call in self.missing.values():
            stack.enter_context(call.paying(shared_by=len(self.missing)))
        return stack

    def settle(self, result: LLMResult) -> None:
        self._llm_output = result.llm_output
        for (prompt, call), generations in zip(
            self.missing.items(), result.generations, strict=False
        ):
            self._answers[prompt] = generations
            call.settle(functools.partial(list, generations))

    def replayed(self) -> Iterator[Any]:
        for generation in self._recalled:
            yield from text_chunks(generation)

    def result(self) -> LLMResult:
        generations = [self._answers.get(prompt, []) for prompt in self._prompts]
        if len(self.distinct) < len(self._prompts):
            # Equal prompts share an answer, but nobody may see what another does to his.
            generations = [[g.model_copy(deep=True) for g in answer] for answer in generations]
        return LLMResult(generations=generations, llm_output=self._llm_output)


def _options(
    method: Callable[..., Any], run_manager: Any, kwargs: dict[str, Any]
) -> dict[str, Any]:
    if run_manager is not None and _takes_run_manager(getattr(method, "__func__", method)):
        return {**kwargs, "run_manager": run_manager}
    return kwargs


@functools.lru_cache(maxsize=256)
def _takes_run_manager(function: Callable[..., Any]) -> bool:
    return "run_manager" in inspect.signature(function).parameters


def _answers(call: OpenCall, result: ChatResult, run_manager: Any) -> Sequence[Generation]:
    """Return the generations as the caller will see them, once LangChain has added what it knows.

    That is an id, and in the metadata what the provider said of the generation and, where there is
    only one, of the whole call.
    """
    if (run_id := getattr(run_manager, "run_id", None)) is not None:
        for number, generation in enumerate(result.generations):
            if generation.message.id is None:
                generation.message.id = run_message_id(run_id, number)
    if call.request is None:  # nothing is kept
        return result.generations
    said = (result.llm_output if len(result.generations) == 1 else None) or {}
    seen = []
    for generation in result.generations:
        message, info = in_blocks(generation, call.asked.model), generation.generation_info
        metadata = {**said, **(info or {}), **message.response_metadata}
        message = message.model_copy(update={"response_metadata": metadata})
        seen.append(ChatGeneration(message=message, generation_info=info))
    return seen
