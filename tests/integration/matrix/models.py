"""Models of our own, for what no provider's class does on demand; see ``desks``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
    LLMResult,
)

from tests.integration.matrix import desks


class DeskChat(BaseChatModel):
    """Answers ``answer <n>`` to the n-th request; sync methods only, as most own models."""

    model: str = "desk"

    @property
    def _llm_type(self) -> str:
        return "desk"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model}

    def cache_key(self):
        return []

    def _generate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        text = f"answer {desks.ask(self.model, messages[-1].content)}"
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        yield ChatGenerationChunk(message=AIMessageChunk(content="answer "))
        text = str(desks.ask(self.model, messages[-1].content))
        yield ChatGenerationChunk(message=AIMessageChunk(content=text))


class AsyncDeskChat(DeskChat):
    """The same with async methods of its own, which need no thread pool."""

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        await asyncio.sleep(0.01)
        return self._generate(messages)

    async def _astream(
        self, messages, stop=None, run_manager=None, **kwargs
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            await asyncio.sleep(0.01)
            yield chunk


class DeskText(BaseLLM):
    """Answers ``answer <n> to <prompt>`` to every prompt of the n-th request."""

    model: str = "desk"

    @property
    def _llm_type(self) -> str:
        return "desk-text"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model}

    def cache_key(self):
        return []

    def _generate(self, prompts, stop=None, run_manager=None, **kwargs) -> LLMResult:
        number = desks.ask(self.model, list(prompts))
        texts = [f"answer {number} to {prompt}" for prompt in prompts]
        return LLMResult(generations=[[Generation(text=text)] for text in texts])

    def _stream(self, prompt, stop=None, run_manager=None, **kwargs) -> Iterator[GenerationChunk]:
        for word in ("answer ", f"{desks.ask(self.model, [prompt])} ", f"to {prompt}"):
            chunk = GenerationChunk(text=word)
            if run_manager:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
