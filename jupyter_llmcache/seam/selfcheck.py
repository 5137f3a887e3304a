"""Whether LangChain works together with its models as the seams in ``streams`` need it.

They hold as long as a public method asks the very object it runs on for ``_generate`` or
``_stream``. A small model that answers from memory finds that out, once a process.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.metadata import version
from typing import Any

from langchain_core.globals import get_debug
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
    LLMResult,
)
from langsmith.run_helpers import tracing_context

_METHODS = {
    "generate": "_generate",
    "agenerate": "_agenerate",
    "stream": "_stream",
    "astream": "_astream",
}


@functools.cache
def fault() -> str | None:
    """Return in one line what does not hold, or None."""
    if get_debug():
        return None  # LangChain would print what the small model does
    broken: list[str] = []
    # A new thread has no callbacks of the caller's context, and may run an event loop.
    thread = threading.Thread(target=lambda: broken.extend(_broken()))
    thread.start()
    thread.join()
    if not broken:
        return None
    return (
        f"langchain-core {version('langchain-core')} works in another way than is known here "
        f"({', '.join(broken)}): streams are not cached. Update jupyter_llmcache"
    )


def _broken() -> list[str]:
    """Return the public methods that do not ask the object they run on."""
    with tracing_context(enabled=False):
        return [
            f"{base.__name__}.{name}"
            for base, make, prompt in _SAMPLES
            for name, inner in _METHODS.items()
            if not _asks(make(), name, inner, prompt)
        ]


def _asks(model: Any, name: str, inner: str, prompt: Any) -> bool:
    asked: list[str] = []

    def noting(method: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any, **kwargs: Any) -> Any:
            asked.append(inner)
            return method(*args, **kwargs)

        return note

    try:
        model.__dict__[inner] = noting(getattr(model, inner))
        call = getattr(model, name)
        if name == "generate":
            call([prompt])
        elif name == "stream":
            list(call(prompt))
        elif name == "agenerate":
            asyncio.run(call([prompt]))
        else:
            asyncio.run(_read(call(prompt)))
    except Exception:  # noqa: BLE001  # an unknown LangChain may fail in any way
        return False
    return asked == [inner]


async def _read(chunks: AsyncIterator[Any]) -> None:
    async for _ in chunks:
        pass


class _Chat(BaseChatModel):
    cache: Any = False

    @property
    def _llm_type(self) -> str:
        return "selfcheck"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("yes"))])

    async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
        return self._generate()

    def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="yes"))

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="yes"))


class _Text(BaseLLM):
    cache: Any = False

    @property
    def _llm_type(self) -> str:
        return "selfcheck"

    def _generate(self, *_: Any, **__: Any) -> LLMResult:
        return LLMResult(generations=[[Generation(text="yes")]])

    async def _agenerate(self, *_: Any, **__: Any) -> LLMResult:
        return self._generate()

    def _stream(self, *_: Any, **__: Any) -> Iterator[GenerationChunk]:
        yield GenerationChunk(text="yes")

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[GenerationChunk]:
        yield GenerationChunk(text="yes")


_SAMPLES: tuple[tuple[type, Callable[[], Any], Any], ...] = (
    (BaseChatModel, _Chat, [HumanMessage("yes?")]),
    (BaseLLM, _Text, "yes?"),
)
