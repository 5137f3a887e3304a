"""Every way to ask a model, each as one async function, so that one test serves all."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

#: Older releases of langchain-core do not know the newest event protocol.
HAS_EVENTS_V3 = "stream_events" in BaseChatModel.__dict__

Ask = Callable[[Any, str], Awaitable[Any]]


@dataclass(frozen=True)
class EntryPoint:
    """A way to ask.

    Attributes:
        ask: Returns what came, put together where it came in pieces.
        leave: Asks and leaves in the middle; None where that cannot be.
        streams: It brings pieces.
        of_models: Only a model offers it, a chain around it does not.
    """

    ask: Ask
    leave: Ask | None = None
    streams: bool = True
    of_models: bool = False


def total(chunks: list[Any]) -> Any:
    """Add a stream up, as far as it is one of messages."""
    if chunks and hasattr(chunks[0], "tool_call_chunks"):
        return functools.reduce(lambda left, right: left + right, chunks)
    return chunks[-1]


async def invoke(llm: Any, prompt: str) -> Any:
    return llm.invoke(prompt)


async def stream(llm: Any, prompt: str) -> Any:
    return total(list(llm.stream(prompt)))


async def leave_stream(llm: Any, prompt: str) -> None:
    chunks = llm.stream(prompt)
    next(chunks)
    chunks.close()


async def generate(llm: Any, prompt: str) -> Any:
    return llm.generate([[HumanMessage(prompt)]]).generations[0][0].message


async def events_v3(llm: Any, prompt: str) -> Any:
    return llm.stream_events(prompt, version="v3").output


async def ainvoke(llm: Any, prompt: str) -> Any:
    return await llm.ainvoke(prompt)


async def astream(llm: Any, prompt: str) -> Any:
    return total([chunk async for chunk in llm.astream(prompt)])


async def leave_astream(llm: Any, prompt: str) -> None:
    chunks = llm.astream(prompt)
    await anext(chunks)
    await chunks.aclose()


async def agenerate(llm: Any, prompt: str) -> Any:
    return (await llm.agenerate([[HumanMessage(prompt)]])).generations[0][0].message


async def events_v2(llm: Any, prompt: str) -> Any:
    events = [event async for event in llm.astream_events(prompt, version="v2")]
    return events[-1]["data"]["output"]


async def aevents_v3(llm: Any, prompt: str) -> Any:
    return await (await llm.astream_events(prompt, version="v3")).output


def in_thread(function: Callable[[Any, str], Any]) -> Ask:
    async def ask(llm: Any, prompt: str) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(function, llm, prompt).result()

    return ask


async def batch(llm: Any, prompt: str) -> Any:
    (answer,) = llm.batch([prompt])
    return answer


async def batch_as_completed(llm: Any, prompt: str) -> Any:
    return next(answer for _, answer in llm.batch_as_completed([prompt]))


async def abatch(llm: Any, prompt: str) -> Any:
    (answer,) = await llm.abatch([prompt])
    return answer


async def abatch_as_completed(llm: Any, prompt: str) -> Any:
    answers = [answer async for _, answer in llm.abatch_as_completed([prompt])]
    return answers.pop()


ENTRY_POINTS = {
    "sync invoke": EntryPoint(invoke),
    "sync stream": EntryPoint(stream, leave_stream),
    "sync generate": EntryPoint(generate, of_models=True),
    **({"sync events v3": EntryPoint(events_v3, of_models=True)} if HAS_EVENTS_V3 else {}),
    "async invoke": EntryPoint(ainvoke, streams=False),
    "async stream": EntryPoint(astream, leave_astream),
    "async generate": EntryPoint(agenerate, of_models=True),
    # That these are left is not always told to the provider's client, which then reads to the end.
    "async events v2": EntryPoint(events_v2),
    **({"async events v3": EntryPoint(aevents_v3, of_models=True)} if HAS_EVENTS_V3 else {}),
    "thread invoke": EntryPoint(in_thread(lambda llm, prompt: llm.invoke(prompt))),
    "thread stream": EntryPoint(
        in_thread(lambda llm, prompt: total(list(llm.stream(prompt)))),
        in_thread(lambda llm, prompt: next(llm.stream(prompt)) and None),
    ),
    "batch": EntryPoint(batch),
    "batch as completed": EntryPoint(batch_as_completed),
    "async batch": EntryPoint(abatch),
    "async batch as completed": EntryPoint(abatch_as_completed),
}
