"""Entry points x {miss, hit, error, abandoned} x {sync, async, thread, batch} x kinds of request.

Every cell counts the requests at a real server, and compares with LangChain alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from pydantic import BaseModel

from jupyter_llmcache import call_of, calls
from jupyter_llmcache.seam.cache import MemoryCache
from tests.integration.matrix.entry_points import ENTRY_POINTS, HAS_EVENTS_V3, EntryPoint
from tests.servers.openai import Reply, server_error

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]


class Sum(BaseModel):
    """A sum."""

    a: int
    b: int


#: Older releases put text and calls of a stream of blocks into one block, which is no good measure.
BLOCKS = {"output_version": "v1"} if HAS_EVENTS_V3 else {}

#: How a model of each kind is made, and what the server says to it.
KINDS: dict[str, tuple[Callable[..., Any], Any]] = {
    "chat completions": (
        lambda make: make(stream_usage=True),
        "one two three four",
    ),
    "responses": (
        lambda make: make(use_responses_api=True, reasoning={"effort": "low"}),
        Reply("one two three four", reasoning="let me think"),
    ),
    "tool call": (
        lambda make: make(stream_usage=True, **BLOCKS).bind_tools([Sum]),
        Reply("let me see", tool_calls=[("Sum", {"a": 1, "b": 2}), ("Sum", {"a": 3, "b": 4})]),
    ),
    "structured": (
        lambda make: make().with_structured_output(Sum, method="function_calling"),
        Reply(None, tool_calls=[("Sum", {"a": 1, "b": 2})]),
    ),
}


#: ``bind_tools`` and ``with_structured_output`` make chains, which lack some methods of models.
CELLS = [
    (kind, entry)
    for kind in KINDS
    for entry in ENTRY_POINTS.values()
    if not (entry.of_models and kind in ("tool call", "structured"))
]
#: A chain that parses brings its first piece when the model has said all.
CELLS_TO_LEAVE = [
    (kind, entry)
    for kind, entry in CELLS
    if entry.leave is not None and not (kind == "structured" and entry.streams)
]


def each_of(cells: list[tuple[str, EntryPoint]]) -> pytest.MarkDecorator:
    names = {entry: name for name, entry in ENTRY_POINTS.items()}
    return pytest.mark.parametrize(
        ("kind", "entry"), cells, ids=[f"{names[entry]}-{kind}" for kind, entry in cells]
    )


@pytest.fixture
def llm(kind, chat_openai, openai_server) -> Any:
    make, reply = KINDS[kind]
    openai_server.reply = lambda _: reply
    return make(chat_openai)


@pytest.fixture
def cache() -> Iterator[MemoryCache]:
    cache = MemoryCache()
    yield cache
    set_llm_cache(None)
    assert cache.flights._flights == {}
    cache.close()


def plain(result: Any) -> Any:
    """A result as data, but for ids."""
    if not isinstance(result, BaseMessage):
        return result
    data = result.model_dump()
    data.pop("id")
    data.pop(
        "chunk_position", None
    )  # some providers name their last chunk, for others LangChain does
    for block in data["content"] if isinstance(data["content"], list) else []:
        # Of a reasoning's first piece LangChain's newest events lay into extras what is beside it.
        if isinstance(block, dict) and block.get("type") == "reasoning":
            block.update(block.pop("extras", {}))
    return data


def callbacks_see(data: Any) -> Any:
    """A result as events of version 2 tell it, which are made of what callbacks see.

    Callbacks are told of a hit that it cost nothing, and get its tool calls whole.
    """
    if isinstance(data, dict) and "usage_metadata" in data:
        data = {**data, "usage_metadata": None}
        if isinstance(data["content"], list):
            data["content"] = [_whole_call(block) for block in data["content"]]
    return data


def _whole_call(block: Any) -> Any:
    if not (isinstance(block, dict) and block.get("type") == "tool_call_chunk"):
        return block
    return {**block, "type": "tool_call", "args": json.loads(block["args"])}


@each_of(CELLS)
async def test_a_miss_is_as_without_a_cache(cache, openai_server, entry, llm):
    """A miss sends one request and brings what LangChain alone brings."""
    alone = plain(await entry.ask(llm, "hello"))
    sent = len(openai_server.requests)
    openai_server.answered = 0
    set_llm_cache(cache)
    assert plain(await entry.ask(llm, "hello")) == alone
    assert len(openai_server.requests) - sent == 1
    assert [call.kind for call in calls()].count("miss") == 1
    assert calls()[0].stored


@each_of(CELLS)
async def test_a_hit_is_as_the_miss(cache, openai_server, entry, llm):
    """A hit sends nothing and brings an equal result of the same classes with an id of its own."""
    set_llm_cache(cache)
    miss = await entry.ask(llm, "hello")
    calls_before = len(calls())
    hit = await entry.ask(llm, "hello")
    assert len(openai_server.requests) == 1
    assert type(hit) is type(miss)
    told = callbacks_see if entry is ENTRY_POINTS["async events v2"] else lambda data: data
    assert told(plain(hit)) == told(plain(miss))
    if isinstance(hit, BaseMessage):
        assert call_of(hit).kind == "hit"
        assert hit.id == f"{miss.id}-2"
    assert {call.kind for call in calls()[calls_before:]} == {"hit"}


@each_of(CELLS)
async def test_an_error_is_as_without_a_cache(cache, openai_server, entry, llm):
    """A failed request raises what LangChain alone raises, and leaves nothing behind."""
    openai_server.fail(server_error())
    with pytest.raises(Exception, match="The server had an error") as alone:
        await entry.ask(llm, "hello")
    set_llm_cache(cache)
    with pytest.raises(type(alone.value), match="The server had an error"):
        await entry.ask(llm, "hello")
    assert cache.store.count() == 0
    assert {call.kind for call in calls()} == {"error"}
    openai_server.recover()
    sent = len(openai_server.requests)
    await entry.ask(llm, "hello")
    assert len(openai_server.requests) == sent + 1
    assert cache.store.count() == 1


@each_of(CELLS_TO_LEAVE)
async def test_an_abandoned_call_leaves_nothing(cache, openai_server, entry, llm):
    """A stream that is left before its end is not stored; the next one pays and is."""
    set_llm_cache(cache)
    openai_server.ends.clear()
    await entry.leave(llm, "hello")
    openai_server.ends.set()
    await pays_and_is_stored(cache, openai_server, entry, llm)


@each_of([(kind, ENTRY_POINTS["async invoke"]) for kind in KINDS])
async def test_a_cancelled_call_leaves_nothing(cache, openai_server, entry, llm):
    """A call that is cancelled while the provider works is not stored; the next one pays and is."""
    set_llm_cache(cache)
    openai_server.pass_on.clear()
    task = asyncio.create_task(entry.ask(llm, "hello"))
    while not openai_server.requests:  # noqa: ASYNC110  # the server is in another thread
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    openai_server.pass_on.set()
    await pays_and_is_stored(cache, openai_server, entry, llm)


async def pays_and_is_stored(cache, openai_server, entry, llm) -> None:
    assert cache.store.count() == 0
    await entry.ask(llm, "hello")
    assert len(openai_server.requests) == 2
    assert cache.store.count() == 1


@each_of(CELLS)
async def test_entry_points_share_their_answers(cache, openai_server, entry, llm):
    """What one way recorded answers every other way, with the same text and tool calls."""

    def said(result: Any) -> Any:
        if isinstance(result, AIMessage | AIMessageChunk):
            return result.text, result.tool_calls
        return result

    set_llm_cache(cache)
    recorded = said(await entry.ask(llm, "hello"))
    for other in ENTRY_POINTS.values():
        if not other.of_models:
            assert said(await other.ask(llm, "hello")) == recorded
    assert len(openai_server.requests) == 1
