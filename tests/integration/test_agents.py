"""Agents, graphs, structured output and other kinds of answers: a second run sends nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from jupyter_llmcache import calls
from jupyter_llmcache.seam.cache import MemoryCache, SQLiteCache
from tests.servers.openai import Reply

pytestmark = [
    # langgraph warns of what a later release of its own will do.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(autouse=True, params=["memory", "sqlite"])
def cache(request, tmp_path):
    cache = MemoryCache() if request.param == "memory" else SQLiteCache(tmp_path / "x.db")
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)
    cache.close()


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sun in {city}"


@tool
def population(city: str) -> int:
    """How many people live in a city."""
    return len(city) * 1000


def agent_reply(body: dict[str, Any]) -> Any:
    """Ask both tools first, then answer with what they said."""
    messages = body.get("messages") or body["input"]
    said = [m for m in messages if m.get("role") == "tool" or m.get("type", "").endswith("output")]
    if not said:
        return Reply(
            "let me see",
            tool_calls=[("weather", {"city": "Oslo"}), ("population", {"city": "Oslo"})],
        )
    texts = [str(m.get("content", m.get("output"))) for m in said]
    return f"Oslo: {', '.join(texts)}"


def without_ids(messages: list[Any]) -> list[Any]:
    """Messages as data, but for what differs between a hit and a miss."""
    plain = []
    for message in messages:
        data = message.model_dump()
        data.pop("id")
        plain.append(data)
    return plain


@pytest.mark.parametrize("settings", [{}, {"use_responses_api": True}, {"streaming": True}])
@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke"])
async def test_an_agent_with_two_tools_run_twice(chat_openai, openai_server, settings, way):
    """The second run of an agent sends nothing and ends in the same state."""
    from langchain.agents import create_agent

    openai_server.reply = agent_reply
    question = {"messages": [HumanMessage("What about Oslo?")]}

    async def run() -> list[Any]:
        agent = create_agent(chat_openai(**settings), [weather, population])
        if way == "invoke":
            return agent.invoke(question)["messages"]
        if way == "ainvoke":
            return (await agent.ainvoke(question))["messages"]
        return list(agent.stream(question, stream_mode="values"))[-1]["messages"]

    first = await run()
    sent = len(openai_server.requests)
    second = await run()
    assert sent == 2
    assert len(openai_server.requests) == sent
    assert without_ids(second) == without_ids(first)
    assert second[-1].text.startswith("Oslo: sun in Oslo, 4000")
    assert [type(message) for message in second] == [
        *(HumanMessage, AIMessage, ToolMessage, ToolMessage, AIMessage)
    ]
    assert [call.kind for call in calls()] == ["miss", "miss", "hit", "hit"]


def test_a_graph_with_a_checkpointer(chat_openai, openai_server):
    """With a checkpointer a repeated question appends its answers, and a new thread is equal."""
    from langchain.agents import create_agent
    from langgraph.checkpoint.memory import InMemorySaver

    openai_server.reply = agent_reply

    def talk(agent: Any, thread: str) -> list[Any]:
        config = {"configurable": {"thread_id": thread}}
        for text in ("What about Oslo?", "What about Oslo?"):
            state = agent.invoke({"messages": [HumanMessage(text)]}, config)
        return state["messages"]

    def agent() -> Any:
        return create_agent(chat_openai(), [weather, population], checkpointer=InMemorySaver())

    first = talk(agent(), "one")
    sent = len(openai_server.requests)
    second = talk(agent(), "two")
    assert len(openai_server.requests) == sent
    assert without_ids(second) == without_ids(first)
    assert len({message.id for message in second}) == len(second) == len(first)


def test_a_graph_streams_the_tokens_of_hits(chat_openai, openai_server):
    """The token stream of a graph tells on a second run the same text, without a request."""
    from langchain.agents import create_agent

    openai_server.reply = agent_reply
    agent = create_agent(chat_openai(), [weather, population])

    def tokens() -> str:
        question = {"messages": [HumanMessage("What about Oslo?")]}
        parts = agent.stream(question, stream_mode="messages")
        return "".join(m.text for m, _ in parts if isinstance(m, AIMessage))

    first = tokens()
    sent = len(openai_server.requests)
    assert tokens() == first
    assert "let me see" in first
    assert len(openai_server.requests) == sent


# --- structured output ---


class Person(BaseModel):
    """A person."""

    name: str = Field(description="The name")
    age: int


class PersonDict(TypedDict):
    """A person."""

    name: str
    age: int


PERSON_SCHEMA = {
    "title": "Person",
    "description": "A person.",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
SCHEMAS = {"pydantic": Person, "typed dict": PersonDict, "dict": PERSON_SCHEMA}


def structured_reply(body: dict[str, Any]) -> Any:
    person = {"name": "Ada", "age": 36}
    tools = body.get("tools")
    if tools:
        function = tools[0].get("function", tools[0])
        return Reply(None, tool_calls=[(function["name"], person)])
    return json.dumps(person)


@pytest.mark.parametrize("api", ["chat completions", "responses"])
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@pytest.mark.parametrize("method", ["function_calling", "json_mode", "json_schema"])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
async def test_structured_output_run_twice(chat_openai, openai_server, method, schema, api):
    """Structured output of every method and kind of schema is equal on a hit, by every way."""
    openai_server.reply = structured_reply
    llm = chat_openai(use_responses_api=api == "responses")
    chain = llm.with_structured_output(schema, method=method, include_raw=True)
    prompt = "Who? Answer as JSON."
    first = chain.invoke(prompt)
    assert first["parsing_error"] is None
    results = [chain.invoke(prompt), await chain.ainvoke(prompt), chain.batch([prompt])[0]]
    for result in results:
        assert result["parsed"] == first["parsed"]
        assert type(result["parsed"]) is type(first["parsed"])
        assert without_ids([result["raw"]]) == without_ids([first["raw"]])
    assert len(openai_server.requests) == 1
    plain = llm.with_structured_output(schema, method=method)
    *_, last = plain.stream(prompt)
    assert last == first["parsed"]


def test_a_changed_schema_is_a_new_request(chat_openai, openai_server):
    """Redefining the class of a structured answer asks again."""
    openai_server.reply = structured_reply
    llm = chat_openai()
    llm.with_structured_output(Person).invoke("who")

    class Person2(Person):
        __doc__ = Person.__doc__
        age: float

    Person2.__name__ = Person2.__qualname__ = "Person"
    llm.with_structured_output(Person2).invoke("who")
    assert len(openai_server.requests) == 2


# --- other kinds of requests ---


IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"


@pytest.mark.parametrize("api", ["chat completions", "responses"])
def test_an_image_in_the_question(chat_openai, openai_server, api):
    """A question with an image hits, and with another image does not."""
    llm = chat_openai(use_responses_api=api == "responses")

    def ask(image: str) -> str:
        blocks = [
            {"type": "text", "text": "What is it?"},
            {"type": "image", "base64": image, "mime_type": "image/png"},
        ]
        return llm.invoke([HumanMessage(blocks)]).text

    assert ask(IMAGE) == ask(IMAGE)
    assert len(openai_server.requests) == 1
    ask(IMAGE.replace("AAAA", "AAAB"))
    assert len(openai_server.requests) == 2


async def test_a_text_completion_model(openai_server):
    """A text-completion model is cached by every way, and several prompts at once."""
    from langchain_openai import OpenAI

    llm = OpenAI(model="gpt-text", api_key="k", base_url=openai_server.url, max_retries=0)
    first = llm.batch(["a", "b", "a"])
    assert first[0] == first[2]
    assert openai_server.bodies[0]["prompt"] == ["a", "b"]
    assert llm.batch(["a", "b", "a"]) == first
    assert await llm.abatch(["b", "a"]) == [first[1], first[0]]
    assert llm.invoke("a") == "".join(llm.stream("a")) == first[0]
    assert await llm.ainvoke("b") == first[1]
    assert len(openai_server.requests) == 1


CHAINS: dict[str, Callable[[Any], Any]] = {
    "retry": lambda llm: llm.with_retry(),
    "fallback": lambda llm: llm.with_fallbacks([llm]),
    "configurable": lambda llm: llm.configurable_fields(),
    "bound": lambda llm: llm.bind(stop=["x"]),
    "parallel": lambda llm: RunnableLambda(lambda x: x) | {"a": llm, "b": llm},
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
async def test_chains_of_all_kinds(chat_openai, openai_server, chain):
    """A model inside LangChain's wrappers hits by invoke, stream and their async forms."""
    runnable = chain(chat_openai())
    runnable.invoke("hello")
    runnable.invoke("hello")
    list(runnable.stream("hello"))
    await runnable.ainvoke("hello")
    [chunk async for chunk in runnable.astream("hello")]
    assert len(openai_server.requests) == 1
