"""Replay is closed: whatever way a model is asked, a miss is one line and no connection."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import OpenAI

from jupyter_llmcache import LLMCacheError, MemoryCache, calls, mode
from jupyter_llmcache.errors import ReplayMissError
from tests.integration.matrix.test_matrix import CELLS, each_of, llm

__all__ = ["llm"]

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def recorded(llm) -> Any:
    """The model, under a cache that holds its answer to ``hello``."""
    set_llm_cache(MemoryCache())
    llm.invoke("hello")
    return llm


def assert_told(error: BaseException) -> None:
    line = str(error)
    assert "\n" not in line
    assert "nothing recorded answers this request to openai:gpt-test" in line
    assert "'hello'" in line
    assert "Run it once in mode auto" in line
    assert calls()[-1].kind == "error"


@each_of(CELLS)
async def test_a_miss_of_every_entry_point_sends_nothing(
    recorded, openai_server, entry, no_sockets
):
    """A miss names the nearest recorded request, and no connection is tried."""
    connections = openai_server.connections
    with mode("replay"), pytest.raises(ReplayMissError) as caught:
        await entry.ask(recorded, "hello there")
    assert_told(caught.value)
    assert no_sockets.attempts == []
    assert openai_server.connections == connections


@each_of(CELLS)
async def test_a_hit_of_every_entry_point_sends_nothing(recorded, entry, no_sockets):
    """What was recorded is answered without a connection."""
    with mode("replay"):
        await entry.ask(recorded, "hello")
    assert no_sockets.attempts == []


@each_of([cell for cell in CELLS if cell[0] == "chat completions"])
async def test_without_a_cache_every_entry_point_refuses(llm, entry, no_sockets):
    """In replay a call that no cache of ours would answer is refused too."""
    with mode("replay"), pytest.raises(ReplayMissError, match="would go past the cache"):
        await entry.ask(llm, "hello")
    assert no_sockets.attempts == []


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sun in {city}"


async def _astream(agent: Any, question: Any) -> list[Any]:
    return [step async for step in agent.astream(question)]


async def _invoke(agent: Any, question: Any) -> Any:
    return agent.invoke(question)


async def _stream(agent: Any, question: Any) -> Any:
    return list(agent.stream(question))


async def _ainvoke(agent: Any, question: Any) -> Any:
    return await agent.ainvoke(question)


@pytest.mark.parametrize("kind", ["chat completions", "responses"])
@pytest.mark.parametrize("ask", [_invoke, _stream, _ainvoke, _astream])
async def test_an_agents_miss_sends_nothing(recorded, ask, no_sockets):
    """An agent, which is a graph, stops at its first request that was not recorded."""
    from langchain.agents import create_agent

    agent = create_agent(recorded, [weather])
    with mode("replay"), pytest.raises(ReplayMissError) as caught:
        await ask(agent, {"messages": [HumanMessage("hello")]})
    assert_told(caught.value)
    assert "tools" in str(caught.value)
    assert no_sockets.attempts == []


@pytest.mark.parametrize("kind", ["chat completions"])
@pytest.mark.parametrize("ask", [_invoke, _stream, _ainvoke, _astream])
async def test_a_graphs_miss_sends_nothing(recorded, ask, no_sockets):
    """A graph with a node of the user's own that asks the model stops there."""
    from langgraph.graph import MessagesState, StateGraph

    async def answered(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await recorded.ainvoke(state["messages"])]}

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [recorded.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", RunnableLambda(node, answered))
    graph.set_entry_point("model")
    with mode("replay"), pytest.raises(ReplayMissError) as caught:
        await ask(graph.compile(), {"messages": [HumanMessage("hello there")]})
    assert_told(caught.value)
    assert no_sockets.attempts == []


@pytest.fixture
def text_model(openai_server) -> OpenAI:
    """A text model, under a cache that holds its answer to ``hello``."""
    llm = OpenAI(model="gpt-test", api_key="k", base_url=openai_server.url, max_retries=0)
    set_llm_cache(MemoryCache())
    llm.invoke("hello")
    return llm


@pytest.mark.parametrize("ask", [_invoke, _stream, _ainvoke, _astream])
async def test_a_text_models_miss_sends_nothing(text_model, ask, no_sockets):
    """A text model's miss is told and stopped as a chat model's is."""
    with mode("replay"), pytest.raises(ReplayMissError) as caught:
        await ask(text_model, "hello there")
    assert_told(caught.value)
    assert no_sockets.attempts == []


@pytest.mark.parametrize("kind", ["chat completions"])
@pytest.mark.parametrize(
    "cell", ["%%llm\nhello there", "%llm hello there", "%%llm --stream\nhello there"]
)
def test_a_magics_miss_sends_nothing(recorded, shell, cell, no_sockets):
    """The magics' miss is the same one line."""
    shell.run("%load_ext jupyter_llmcache")
    shell.run("%llm_cache mode replay")
    shell.user_ns["llm"] = recorded
    failed = shell.run(cell, check=False)
    assert isinstance(failed.error, LLMCacheError)
    assert_told(failed.error)
    assert no_sockets.attempts == []
