"""The provider's door: the four methods that every integration writes, with the cache in front.

Each asks the cache, else calls the real model, and hands the answer over to be kept. The sync and
the async form of a method differ in their awaits and in nothing else.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    aclosing,
    closing,
    nullcontext,
)
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult, Generation, LLMResult
from pydantic import ValidationError

from .hits import as_hit
from .replay import Numbering, chat_chunks, in_blocks, keep, text_chunks, whole_message

if TYPE_CHECKING:
    from .call import OpenCall, Prompt
    from .shadow import Watch

_MANY = "a stream of several choices at once"


def closing_if_it_can(chunks: Any) -> AbstractContextManager[Any]:
    """Close ``chunks`` on leaving: a generator; a provider may also return a mere iterator."""
    return closing(chunks) if hasattr(chunks, "close") else nullcontext(chunks)


def aclosing_if_it_can(chunks: Any) -> AbstractAsyncContextManager[Any]:
    """Like ``closing_if_it_can``, for an async iterator."""
    return aclosing(chunks) if hasattr(chunks, "aclose") else nullcontext(chunks)


class ProviderMethod:
    """One of a door's methods as LangChain finds it on the shadow.

    LangChain looks at its signature before every call, which takes long for a bound method.
    """

    __signature__ = inspect.signature(lambda prompt, stop=None, run_manager=None, **kwargs: None)  # noqa: ARG005  # only looked at

    __slots__ = ("_method",)

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the door's method."""
        return self._method(*args, **kwargs)


class _Door(ABC):
    """What chat and text models share: the real model, how it is called, and how it streams."""

    def __init__(self, model: Any, watch: Watch) -> None:
        self._model = model
        self._watch = watch

    @staticmethod
    @abstractmethod
    def _replayed(generation: Any) -> Iterator[Any]:
        """Yield a recalled answer as chunks."""

    @staticmethod
    @abstractmethod
    def _whole(chunk: Any) -> Generation:
        """Return the sum of a stream's chunks as an answer."""

    def stream(
        self, prompt: Any, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Stand in for ``_stream``."""
        with self._request_stream(prompt, stop, kwargs) as call:
            recalled = call.recall()
            if recalled is not None:
                for chunk in self._replayed(as_hit(recalled[:1], call)[0]):
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
                return
            parts = _Parts(self._model)
            options = kwargs if run_manager is None else {**kwargs, "run_manager": run_manager}
            try:
                with call.paying():
                    self._acquire()
                    chunks = self._model._stream(prompt, stop=stop, **options)  # noqa: SLF001  # LangChain's name for what a provider implements
                    with closing_if_it_can(chunks):
                        for chunk in chunks:
                            parts.add(chunk)
                            call.pause()
                            yield chunk
                            call.resume()
            except ValidationError as error:
                call.settle_refused(error, lambda: parts.answer(self._whole)[0].text)
                raise
            call.settle(lambda: parts.answer(self._whole))

    async def astream(
        self, prompt: Any, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Stand in for ``_astream``."""
        with self._request_stream(prompt, stop, kwargs) as call:
            recalled = await call.arecall()
            if recalled is not None:
                for chunk in self._replayed(as_hit(recalled[:1], call)[0]):
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
                return
            parts = _Parts(self._model)
            options = kwargs if run_manager is None else {**kwargs, "run_manager": run_manager}
            try:
                with call.paying():
                    await self._aacquire()
                    chunks = self._model._astream(prompt, stop=stop, **options)  # noqa: SLF001  # as above
                    async with aclosing_if_it_can(chunks):
                        async for chunk in chunks:
                            parts.add(chunk)
                            call.pause()
                            yield chunk
                            call.resume()
            except ValidationError as error:
                call.settle_refused(error, lambda: parts.answer(self._whole)[0].text)
                raise
            call.settle(lambda: parts.answer(self._whole))

    def _request_stream(
        self, prompt: Prompt, stop: list[str] | None, kwargs: dict[str, Any]
    ) -> AbstractContextManager[OpenCall]:
        # Several choices come mixed in one stream, and could not be given out one by one later.
        choices = kwargs.get("n", getattr(self._model, "n", None)) or 1
        return self._watch.request(prompt, stop, kwargs, _MANY if choices != 1 else None)

    def _acquire(self) -> None:
        limiter = getattr(self._model, "rate_limiter", None)
        if limiter is not None:
            limiter.acquire(blocking=True)

    async def _aacquire(self) -> None:
        limiter = getattr(self._model, "rate_limiter", None)
        if limiter is not None:
            await limiter.aacquire(blocking=True)


class ChatDoor(_Door):
    """The provider methods of a chat model."""

    @staticmethod
    def _replayed(generation: Any) -> Iterator[Any]:
        return chat_chunks(generation)

    @staticmethod
    def _whole(chunk: Any) -> Generation:
        message = whole_message(chunk.message)
        return ChatGeneration(message=message, generation_info=chunk.generation_info)

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
                return ChatResult(generations=as_hit(recalled, call))
            method = self._model._generate  # noqa: SLF001  # as above
            try:
                with call.paying():
                    self._acquire()
                    options = _options(method, run_manager, kwargs)
                    result: ChatResult = method(messages, stop=stop, **options)
            except ValidationError as error:
                call.settle_refused(error)
                raise
            call.settle(lambda: _answers(result, self._model))
            return result

    async def agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        """Stand in for ``_agenerate``."""
        with self._watch.request(messages, stop, kwargs) as call:
            recalled = await call.arecall()
            if recalled is not None:
                return ChatResult(generations=as_hit(recalled, call))
            method = self._model._agenerate  # noqa: SLF001  # as above
            try:
                with call.paying():
                    await self._aacquire()
                    options = _options(method, run_manager, kwargs)
                    result: ChatResult = await method(messages, stop=stop, **options)
            except ValidationError as error:
                call.settle_refused(error)
                raise
            call.settle(lambda: _answers(result, self._model))
            return result


class TextDoor(_Door):
    """The provider methods of a text-completion model, which answers many prompts at a time."""

    @staticmethod
    def _replayed(generation: Any) -> Iterator[Any]:
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
            batch = self._batch(requests, prompts, stop, kwargs)
            for call in batch.calls:
                batch.take(call, call.recall(may_wait=len(batch.calls) == 1))
            while batch.pending:
                if batch.missing:
                    with batch.paying():
                        self._acquire()
                        result = method(list(batch.missing), **options)
                    batch.settle(result)
                if batch.late:
                    call = batch.late.pop()
                    batch.take(call, call.recall())
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
        with ExitStack() as requests:
            batch = self._batch(requests, prompts, stop, kwargs)
            for call in batch.calls:
                batch.take(call, await call.arecall(may_wait=len(batch.calls) == 1))
            while batch.pending:
                if batch.missing:
                    with batch.paying():
                        await self._aacquire()
                        result = await method(list(batch.missing), **options)
                    batch.settle(result)
                if batch.late:
                    call = batch.late.pop()
                    batch.take(call, await call.arecall())
            if run_manager is not None and getattr(self._model, "streaming", False):
                for chunk in batch.replayed():
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            return batch.result()

    def _batch(
        self,
        requests: ExitStack,
        prompts: list[str],
        stop: list[str] | None,
        kwargs: dict[str, Any],
    ) -> _TextBatch:
        """Open one call a distinct prompt, so that equal prompts in one batch are paid once."""
        calls = [
            requests.enter_context(self._watch.request(prompt, stop, kwargs))
            for prompt in dict.fromkeys(prompts)
        ]
        return _TextBatch(prompts, calls)


class _TextBatch:
    """The prompts of one call of a text model: some recalled, the others paid for together.

    Attributes:
        calls: One a distinct prompt.
        missing: What has to be paid for now, by prompt.
        late: What other calls are paying for; to be waited for only while nothing of this batch
            is in flight, so that two batches never wait for each other.
    """

    def __init__(self, prompts: list[str], calls: list[OpenCall]) -> None:
        self._prompts = prompts
        self.calls = calls
        self.missing: dict[str, OpenCall] = {}
        self.late: list[OpenCall] = []
        self._answers: dict[str, list[Any]] = {}
        self._recalled: list[Generation] = []
        self._llm_output: dict[str, Any] | None = None

    @property
    def pending(self) -> bool:
        return bool(self.missing or self.late)

    def take(self, call: OpenCall, recalled: list[Generation] | None) -> None:
        prompt = str(call.prompt)
        if recalled is not None:
            self._answers[prompt] = as_hit(recalled, call)
            self._recalled += recalled[:1]
        elif call.follows:
            self.late.append(call)
        else:
            self.missing[prompt] = call

    def paying(self) -> ExitStack:
        stack = ExitStack()
        for call in self.missing.values():
            stack.enter_context(call.paying(shared_by=len(self.missing)))
        return stack

    def settle(self, result: LLMResult) -> None:
        self._llm_output = result.llm_output
        missing, self.missing = self.missing, {}
        for (prompt, call), generations in zip(missing.items(), result.generations, strict=False):
            self._answers[prompt] = generations
            call.settle(functools.partial(list, generations))
            call.close()

    def replayed(self) -> Iterator[Any]:
        for generation in self._recalled:
            yield from text_chunks(generation)

    def result(self) -> LLMResult:
        generations = [self._answers.get(prompt, []) for prompt in self._prompts]
        if len(self.calls) < len(self._prompts):
            # Equal prompts share an answer, but nobody may see what another does to his.
            generations = [[g.model_copy(deep=True) for g in answer] for answer in generations]
        return LLMResult(generations=generations, llm_output=self._llm_output)


class _Parts:
    """The chunks of a stream as they came, whatever becomes of them outside."""

    def __init__(self, model: Any) -> None:
        self._numbering = Numbering(model)
        self._chunks: list[Callable[[], Any]] = []
        self._fault: Exception | None = None

    def add(self, chunk: Any) -> None:
        """Keep a copy. Never raises: a chunk that cannot be copied still goes to the caller."""
        try:
            self._numbering.write(chunk)
            self._chunks.append(keep(chunk))
        except Exception as error:  # noqa: BLE001  # whatever a provider puts into a chunk
            self._fault = error

    def answer(self, whole: Callable[[Any], Generation]) -> list[Generation]:
        """Add the chunks up.

        Raises:
            Exception: The chunks cannot be copied or added.
        """
        if self._fault is not None:
            raise self._fault
        if not self._chunks:
            return []
        first, *others = [make() for make in self._chunks]
        if others and isinstance(first, ChatGeneration):
            return [whole(first + others)]  # type: ignore[operator]  # all at once is faster
        return [whole(functools.reduce(lambda left, right: left + right, others, first))]


def _options(
    method: Callable[..., Any], run_manager: Any, kwargs: dict[str, Any]
) -> dict[str, Any]:
    if run_manager is not None and _takes_run_manager(getattr(method, "__func__", method)):
        return {**kwargs, "run_manager": run_manager}
    return kwargs


@functools.lru_cache(maxsize=256)
def _takes_run_manager(function: Callable[..., Any]) -> bool:
    return "run_manager" in inspect.signature(function).parameters


def _answers(result: ChatResult, model: Any) -> Sequence[Generation]:
    """Return the generations as the caller will see them.

    LangChain lays what the provider says of a whole call into the message, when there is one; a
    hit has no such output, so it is kept in the message.
    """
    said = (result.llm_output if len(result.generations) == 1 else None) or {}
    seen = []
    for generation in result.generations:
        message, info = in_blocks(generation.message, model), generation.generation_info
        metadata = {**said, **(info or {}), **message.response_metadata}
        message = message.model_copy(update={"response_metadata": metadata})
        seen.append(ChatGeneration(message=message, generation_info=info))
    return seen
