"""Callbacks tell of a hit as they tell of a miss, and count no cost."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.globals import set_llm_cache
from langchain_core.prompts import ChatPromptTemplate

from jupyter_llmcache import calls
from jupyter_llmcache.seam.cache import MemoryCache
from tests.integration.matrix import desks
from tests.integration.matrix.entry_points import HAS_EVENTS_V3
from tests.integration.matrix.models import DeskText
from tests.servers.openai import server_error

NOTHING = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


@pytest.fixture(autouse=True)
def cache():
    cache = MemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)
    cache.close()


class Recorder(BaseCallbackHandler):
    """Notes what it is told.

    Attributes:
        events: (name, run id) in order, several tokens in a row once.
        tokens: The text of all tokens.
        ends: The results.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, uuid.UUID]] = []
        self.tokens = ""
        self.ends: list[Any] = []

    def _note(self, name: str, run_id: uuid.UUID) -> None:
        if not self.events or self.events[-1] != (name, run_id) or name != "token":
            self.events.append((name, run_id))

    def on_chat_model_start(self, serialized, messages, *, run_id, **kwargs):
        self._note("start", run_id)

    def on_llm_start(self, serialized, prompts, *, run_id, **kwargs):
        self._note("start", run_id)

    def on_llm_new_token(self, token, *, run_id, **kwargs):
        self._note("token", run_id)
        self.tokens += token if isinstance(token, str) else ""

    def on_llm_end(self, response, *, run_id, **kwargs):
        self._note("end", run_id)
        self.ends.append(response)

    def on_llm_error(self, error, *, run_id, **kwargs):
        self._note("error", run_id)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]


async def drain(chunks: Any) -> None:
    async for _ in chunks:
        pass


async def ask(llm: Any, way: str, config: Any) -> None:
    if way in ("invoke", "stream"):
        list(getattr(llm, way)("hello", config))
    elif way == "ainvoke":
        await llm.ainvoke("hello", config)
    elif way == "astream":
        await drain(llm.astream("hello", config))
    elif way == "astream_events":
        await drain(llm.astream_events("hello", config, version="v2"))
    else:
        llm.batch(["hello"], config)


WAYS = ["invoke", "stream", "ainvoke", "astream", "astream_events", "batch"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("streaming", [False, True])
async def test_events_are_alike(chat_openai, openai_server, way, streaming):
    """Start, tokens and end come on a hit as on a miss, under the run id that was asked for."""
    llm = chat_openai(streaming=True) if streaming else chat_openai()
    told = []
    for _ in range(2):
        recorder, run_id = Recorder(), uuid.uuid4()
        # A batch asks for a run id of its own.
        config = {"callbacks": [recorder], **({} if way == "batch" else {"run_id": run_id})}
        await ask(llm, way, config)
        assert way == "batch" or {seen for _, seen in recorder.events} == {run_id}
        told.append(recorder)
    miss, hit = told
    assert len(openai_server.requests) == 1
    assert hit.names == miss.names
    assert hit.tokens == miss.tokens
    assert ("token" in hit.names) == (streaming or "stream" in way)
    texts = [end.generations[0][0].text for end in (*miss.ends, *hit.ends)]
    assert texts == ["answer 1: hello"] * 2


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_errors_are_told(chat_openai, openai_server, way):
    """A provider's error ends the run for callbacks as without a cache."""
    openai_server.fail(server_error())
    recorder = Recorder()
    with pytest.raises(Exception, match="The server had an error"):
        await ask(chat_openai(), way, {"callbacks": [recorder]})
    assert recorder.names == ["start", "error"]


@pytest.mark.filterwarnings("ignore:.langchain-community. is being sunset:DeprecationWarning")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_hit_costs_nothing(chat_openai, openai_server, way, streaming):
    """LangChain's two counters add nothing for a hit by any way."""
    from langchain_community.callbacks import get_openai_callback

    settings = {"streaming": True} if streaming else {}
    llm = chat_openai(stream_usage=True, **settings)
    llm.invoke("hello")
    handler = Recorder()
    with get_openai_callback() as billed, get_usage_metadata_callback() as used:
        await ask(llm, way, {"callbacks": [handler]})
    assert len(openai_server.requests) == 1
    assert (billed.total_tokens, billed.total_cost) == (0, 0)
    assert list(used.usage_metadata.values()) == [NOTHING]
    (end,) = handler.ends
    assert (end.llm_output or {}).get("token_usage") in (None, {})


@pytest.mark.parametrize("streaming", [False, True])
def test_the_message_keeps_its_usage(chat_openai, streaming):
    """What the caller gets tells what the answer had cost when it was recorded."""
    llm = chat_openai(stream_usage=True, **({"streaming": True} if streaming else {}))
    miss = llm.invoke("hello")
    assert miss.usage_metadata["total_tokens"] > 0
    assert llm.invoke("hello").usage_metadata == miss.usage_metadata
    whole = None
    for chunk in llm.stream("hello"):
        whole = chunk if whole is None else whole + chunk
    assert whole.usage_metadata == miss.usage_metadata


def test_a_hit_without_usage_has_none(chat_openai):
    """Where the provider told no usage, a hit tells none either."""
    llm = chat_openai(streaming=True)
    assert llm.invoke("hello").usage_metadata is None
    assert llm.invoke("hello").usage_metadata is None


async def test_events_of_a_chain_are_alike(chat_openai, openai_server):
    """The events of a chain around a model are the same on a hit, tokens and end included."""
    chain = ChatPromptTemplate.from_template("say {word}") | chat_openai(stream_usage=True)

    async def events() -> list[Any]:
        told = [event async for event in chain.astream_events({"word": "it"}, version="v2")]
        return [(event["event"], event["name"]) for event in told]

    miss, hit = await events(), await events()
    assert len(openai_server.requests) == 1
    assert list(dict.fromkeys(hit)) == list(dict.fromkeys(miss))
    assert ("on_chat_model_stream", "ChatOpenAI") in hit


async def test_ainvoke_under_events_streams_hits(chat_openai, openai_server):
    """A model invoked inside a traced function emits its tokens on a hit too."""
    from langchain_core.runnables import RunnableLambda

    llm = chat_openai()

    async def inner(word: str) -> str:
        return (await llm.ainvoke(word)).content

    async def tokens() -> str:
        told = [event async for event in RunnableLambda(inner).astream_events("hi", version="v2")]
        kept = [e for e in told if e["event"] == "on_chat_model_stream"]
        return "".join(event["data"]["chunk"].content for event in kept)

    assert await tokens() == await tokens() == "answer 1: hi"
    assert len(openai_server.requests) == 1


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_tokens_of_text_models(way):
    """A text model's stream tells its tokens on a hit as on a miss."""
    desks.new("tokens")
    llm = DeskText(model="tokens")
    told = []
    for _ in range(2):
        recorder = Recorder()
        await ask(llm, way, {"callbacks": [recorder]})
        told.append((recorder.names, recorder.tokens))
    assert told[0] == told[1]
    assert told[0][1] == "answer 1 to hello"


def test_a_streaming_text_model_tells_its_tokens(openai_server):
    """``OpenAI(streaming=True).invoke`` tells the tokens of a hit too."""
    from langchain_openai import OpenAI

    llm = OpenAI(model="gpt-text", api_key="k", base_url=openai_server.url, streaming=True)
    told = []
    for _ in range(2):
        recorder = Recorder()
        llm.invoke("hello", {"callbacks": [recorder]})
        told.append((recorder.names, recorder.tokens))
    assert told[0] == told[1]
    assert len(openai_server.requests) == 1


@pytest.mark.skipif(not HAS_EVENTS_V3, reason="this langchain-core has no version v3 of events")
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
async def test_the_newest_event_protocol(chat_openai, openai_server):
    """``version="v3"`` streams and hits; its output and its call tell a hit's own usage."""
    llm = chat_openai(stream_usage=True)
    first = llm.stream_events("hello", version="v3")
    assert "".join(first.text) == "answer 1: hello"
    recorder = Recorder()
    config = {"callbacks": [recorder]}
    second = llm.stream_events("hello", config, version="v3").output
    third = await (await llm.astream_events("hello", config, version="v3")).output
    assert second.text == third.text == "answer 1: hello"
    assert len(openai_server.requests) == 1
    assert second.usage_metadata == third.usage_metadata == first.output.usage_metadata
    assert calls()[1].usage == first.output.usage_metadata
    # The output is there a moment before the callbacks are told of the end.
    await asyncio.sleep(0.05)
    assert recorder.names == ["start", "token", "end"] * 2
    assert llm.invoke("hello").usage_metadata == first.output.usage_metadata
