"""The provider's door: the four methods that every integration writes, with the cache in front.

Each asks the cache, else calls the real model, and hands the answer over to be kept. The sync and
the async form of a method differ in their awaits and in nothing else.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing, closing
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, message_chunk_to_message
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
    LLMResult,
)

from .chunks import chat_chunks, text_chunks

if TYPE_CHECKING:
    from .opencall import OpenCall
    from .shadow import Watch


class _Door:
    """What chat and text models share: the real model, and how it is called."""

    def __init__(self, model: Any, watch: Watch) -> None:
        self._model = model
        self._watch = watch

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
                return ChatResult(generations=self._watch.as_hit(recalled, call))
            method = self._model._generate  # noqa: SLF001  # LangChain's name for what a provider implements
            with call.paying():
                self._acquire()
                options = _options(method, run_manager, kwargs)
                result: ChatResult = method(messages, stop=stop, **options)
            call.settle(_answers(result))
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
                return ChatResult(generations=self._watch.as_hit(recalled, call))
            method = self._model._agenerate  # noqa: SLF001  # as above
            with call.paying():
                await self._aacquire()
                options = _options(method, run_manager, kwargs)
                result: ChatResult = await method(messages, stop=stop, **options)
            call.settle(_answers(result))
            return result

    def stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """Stand in for ``_stream``."""
        with self._watch.request(messages, stop, kwargs) as call:
            recalled = call.recall()
            if recalled is not None:
                yield from chat_chunks(self._watch.as_hit(recalled[:1], call)[0])
                return
            parts: list[ChatGenerationChunk] = []
            method = self._model._stream  # noqa: SLF001  # as above
            with call.paying():
                self._acquire()
                options = _options(method, run_manager, kwargs)
                with closing(method(messages, stop=stop, **options)) as chunks:
                    for chunk in chunks:
                        parts.append(_snapshot(chunk))
                        call.show_life()
                        yield chunk
            call.settle(_merged_chat(parts))

    async def astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        """Stand in for ``_astream``."""
        with self._watch.request(messages, stop, kwargs) as call:
            recalled = await call.arecall()
            if recalled is not None:
                for chunk in chat_chunks(self._watch.as_hit(recalled[:1], call)[0]):
                    yield chunk
                return
            parts: list[ChatGenerationChunk] = []
            method = self._model._astream  # noqa: SLF001  # as above
            with call.paying():
                await self._aacquire()
                options = _options(method, run_manager, kwargs)
                async with aclosing(method(messages, stop=stop, **options)) as chunks:
                    async for chunk in chunks:
                        parts.append(_snapshot(chunk))
                        call.show_life()
                        yield chunk
            call.settle(_merged_chat(parts))


class TextDoor(_Door):
    """The provider methods of a text-completion model, which answers many prompts at a time."""

    def generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Stand in for ``_generate``."""
        with ExitStack() as requests:
            batch = self._batch(requests, prompts, stop, kwargs)
            for call in batch.calls.values():
                batch.take(call, call.recall(may_wait=len(batch.calls) == 1))
            if batch.missing:
                method = self._model._generate  # noqa: SLF001  # as above
                with batch.paying():
                    self._acquire()
                    options = _options(method, run_manager, kwargs)
                    batch.settle(method(list(batch.missing), stop=stop, **options))
            return batch.result()

    async def agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Stand in for ``_agenerate``."""
        with ExitStack() as requests:
            batch = self._batch(requests, prompts, stop, kwargs)
            for call in batch.calls.values():
                batch.take(call, await call.arecall(may_wait=len(batch.calls) == 1))
            if batch.missing:
                method = self._model._agenerate  # noqa: SLF001  # as above
                with batch.paying():
                    await self._aacquire()
                    options = _options(method, run_manager, kwargs)
                    batch.settle(await method(list(batch.missing), stop=stop, **options))
            return batch.result()

    def stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        """Stand in for ``_stream``."""
        with self._watch.request(prompt, stop, kwargs) as call:
            recalled = call.recall()
            if recalled is not None:
                yield from text_chunks(recalled[0])
                return
            parts: list[GenerationChunk] = []
            method = self._model._stream  # noqa: SLF001  # as above
            with call.paying():
                self._acquire()
                options = _options(method, run_manager, kwargs)
                with closing(method(prompt, stop=stop, **options)) as chunks:
                    for chunk in chunks:
                        parts.append(chunk.model_copy(deep=True))
                        call.show_life()
                        yield chunk
            call.settle(_merged_text(parts))

    async def astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        """Stand in for ``_astream``."""
        with self._watch.request(prompt, stop, kwargs) as call:
            recalled = await call.arecall()
            if recalled is not None:
                for chunk in text_chunks(recalled[0]):
                    yield chunk
                return
            parts: list[GenerationChunk] = []
            method = self._model._astream  # noqa: SLF001  # as above
            with call.paying():
                await self._aacquire()
                options = _options(method, run_manager, kwargs)
                async with aclosing(method(prompt, stop=stop, **options)) as chunks:
                    async for chunk in chunks:
                        parts.append(chunk.model_copy(deep=True))
                        call.show_life()
                        yield chunk
            call.settle(_merged_text(parts))

    def _batch(
        self,
        requests: ExitStack,
        prompts: list[str],
        stop: list[str] | None,
        kwargs: dict[str, Any],
    ) -> _TextBatch:
        """Open one call a distinct prompt, so that equal prompts in one batch are paid once."""
        calls = {
            prompt: requests.enter_context(self._watch.request(prompt, stop, kwargs))
            for prompt in dict.fromkeys(prompts)
        }
        return _TextBatch(self._watch, prompts, calls)


class _TextBatch:
    """The prompts of one call of a text model: some recalled, the others paid for together."""

    def __init__(self, watch: Watch, prompts: list[str], calls: dict[str, OpenCall]) -> None:
        self._watch = watch
        self._prompts = prompts
        self.calls = calls
        self.missing: dict[str, OpenCall] = {}
        self._answers: dict[str, list[Generation]] = {}
        self._llm_output: dict[str, Any] | None = None

    def take(self, call: OpenCall, recalled: list[Generation] | None) -> None:
        prompt = str(call.prompt)
        if recalled is None:
            self.missing[prompt] = call
        else:
            self._answers[prompt] = self._watch.as_hit(recalled, call)

    def paying(self) -> ExitStack:
        stack = ExitStack()
        for call in self.missing.values():
            stack.enter_context(call.paying())
        return stack

    def settle(self, result: LLMResult) -> None:
        self._llm_output = result.llm_output
        for (prompt, call), generations in zip(
            self.missing.items(), result.generations, strict=True
        ):
            self._answers[prompt] = list(generations)
            call.settle(generations)

    def result(self) -> LLMResult:
        return LLMResult(
            generations=[
                [generation.model_copy(deep=True) for generation in self._answers[prompt]]
                for prompt in self._prompts
            ],
            llm_output=self._llm_output,
        )


def _options(
    method: Callable[..., Any], run_manager: Any, kwargs: dict[str, Any]
) -> dict[str, Any]:
    if run_manager is not None and _takes_run_manager(getattr(method, "__func__", method)):
        return {**kwargs, "run_manager": run_manager}
    return kwargs


@functools.lru_cache(maxsize=256)
def _takes_run_manager(function: Callable[..., Any]) -> bool:
    return "run_manager" in inspect.signature(function).parameters


def _answers(result: ChatResult) -> Sequence[Generation]:
    """Return the generations as the caller will see them.

    LangChain lays what the provider says of a whole call into the message, when there is one; a
    hit has no such output, so it is kept in the message.
    """
    if len(result.generations) != 1 or not result.llm_output:
        return result.generations
    (generation,) = result.generations
    message = generation.message.model_copy(
        update={"response_metadata": {**result.llm_output, **generation.message.response_metadata}}
    )
    return [ChatGeneration(message=message, generation_info=generation.generation_info)]


def _snapshot(chunk: ChatGenerationChunk) -> ChatGenerationChunk:
    """Copy a chunk before it goes out: LangChain and the user may change the one they get."""
    return chunk.model_copy(deep=True)


def _merged_chat(parts: list[ChatGenerationChunk]) -> list[Generation]:
    if not parts:
        return []
    whole = parts[0] + parts[1:] if parts[1:] else parts[0]
    message = message_chunk_to_message(whole.message)
    return [ChatGeneration(message=message, generation_info=whole.generation_info)]


def _merged_text(parts: list[GenerationChunk]) -> list[Generation]:
    if not parts:
        return []
    whole = functools.reduce(lambda left, right: left + right, parts)
    return [Generation(text=whole.text, generation_info=whole.generation_info)]
