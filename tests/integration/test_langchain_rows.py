"""LangChain's own SQLite files: its rows hit, and hostile ones do not."""

from __future__ import annotations

import json
import sqlite3
import warnings
from contextlib import closing, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.globals import set_llm_cache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel

from jupyter_llmcache import SQLiteCache, calls, mode
from jupyter_llmcache.course import export_database
from jupyter_llmcache.errors import DamagedEntryError
from jupyter_llmcache.seam.langchain_rows import (
    decode_langchain_row,
    langchain_strings,
    row_counts,
)
from tests.servers.openai import Reply

FILE = "langchain.db"


def langchain_cache(path: str = FILE) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_community.cache import SQLiteCache as LangChainSQLiteCache
    return LangChainSQLiteCache(path)


class LangChainAlone:
    """LangChain with its own SQLite cache and nothing of ours, as a context manager."""

    def __enter__(self) -> None:
        self.cache = langchain_cache()
        set_llm_cache(self.cache)

    def __exit__(self, *_: object) -> None:
        set_llm_cache(None)
        self.cache.engine.dispose()


def rows(path: str = FILE) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM full_llm_cache ORDER BY 1, 2, 3").fetchall()


def kinds() -> list[str]:
    return [call.kind for call in calls()]


@pytest.fixture(autouse=True)
def quiet_langchain():
    """LangChain's own class warns of changes to come in LangChain's own functions."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*allowed_objects.*")
        warnings.filterwarnings("ignore", message=".*`load`.*")
        warnings.filterwarnings("ignore", message=".*`loads`.*")
        yield


@pytest.fixture
def ours():
    """Open LangChain's file with our cache."""
    caches = []

    def open_cache(path: str = FILE, **options: Any) -> SQLiteCache:
        caches.append(SQLiteCache(path, **options))
        return caches[-1]

    yield open_cache
    for cache in caches:
        cache.close()


# --- reading: rows that count ---


def get_weather(city: str) -> str:
    """Tell the weather."""
    return city


ASKING = {
    "a text": lambda llm: llm.invoke("Well?"),
    "messages": lambda llm: llm.invoke([SystemMessage("Be brief"), HumanMessage("Well?")]),
    "blocks": lambda llm: llm.invoke([HumanMessage([{"type": "text", "text": "Well?"}])]),
    "stop": lambda llm: llm.invoke("Well?", stop=["x"]),
    "parameters": lambda llm: llm.invoke("Well?", temperature=0.5, top_p=1),
    "tools": lambda llm: llm.bind_tools([get_weather]).invoke("Well?"),
    "a batch": lambda llm: llm.batch(["Well?"])[0],
    "a conversation": lambda llm: llm.invoke(["Well?", AIMessage("So.", id="run-1"), "And?"]),
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING.keys())
def test_what_langchain_stored_hits(ask, chat_openai, openai_server, ours):
    """An answer that LangChain's own class stored hits in the same file, and stays as it was."""
    with LangChainAlone():
        first = ask(chat_openai(temperature=0.3))
    before = rows()
    again = ask(chat_openai(temperature=0.3, cache=ours()))
    assert openai_server.answered == 1
    assert kinds() == ["hit"]
    assert again.content == first.content
    assert again.usage_metadata == first.usage_metadata
    assert again.id != first.id
    assert rows() == before


def test_what_a_call_used_is_an_entry_from_then_on(chat_openai, openai_server, ours, tmp_path):
    """A row that hit is listed and exported, and what no call may use of LangChain's is not."""
    with LangChainAlone():
        first = chat_openai().invoke("Well?")
        openai_server.reply = lambda body: Reply("half an ans", finish_reason="length")
        cut = chat_openai().invoke("Cut?")
    cache = ours()
    answers = [chat_openai(cache=cache).invoke(text) for text in ("Well?", "Cut?", "Well?")]
    assert [answer.text for answer in answers] == [first.text, cut.text, first.text]
    assert kinds() == ["hit"] * 3
    assert {(call.stored, call.note, call.reason) for call in calls()} == {(False, None, None)}
    lesson = tmp_path / "lesson.db"
    assert export_database(cache.store, lesson) == 1
    with mode("replay"):
        replayed = chat_openai(cache=SQLiteCache(database_path=lesson)).invoke("Well?")
    assert (replayed.text, openai_server.answered) == (first.text, 2)


def test_several_generations_hit(chat_openai, openai_server, ours):
    """An answer of several generations comes back whole and in order."""
    with LangChainAlone():
        first = chat_openai(n=3).generate([[HumanMessage("Well?")]])
    again = chat_openai(n=3, cache=ours()).generate([[HumanMessage("Well?")]])
    assert [g.text for g in again.generations[0]] == [g.text for g in first.generations[0]]
    assert len(again.generations[0]) == 3
    assert openai_server.answered == 1


def test_tool_calls_hit(chat_openai, openai_server, ours):
    """Tool calls come back from LangChain's rows."""
    openai_server.reply = lambda body: Reply(tool_calls=[("get_weather", {"city": "Köln"})])
    with LangChainAlone():
        first = chat_openai().bind_tools([get_weather]).invoke("Well?")
    again = chat_openai(cache=ours()).bind_tools([get_weather]).invoke("Well?")
    assert again.tool_calls == first.tool_calls != []
    assert openai_server.answered == 1


async def test_langchains_rows_hit_in_async_calls_and_streams(chat_openai, openai_server, ours):
    """LangChain's rows also answer ainvoke, stream and astream."""
    with LangChainAlone():
        first = chat_openai().invoke("Well?")
    llm = chat_openai(cache=ours())
    assert (await llm.ainvoke("Well?")).text == first.text
    assert "".join(chunk.text for chunk in llm.stream("Well?")) == first.text
    assert "".join([chunk.text async for chunk in llm.astream("Well?")]) == first.text
    assert openai_server.answered == 1


#: What langchain-core 1.0.0 with langchain-openai 1.0.0 wrote for ChatOpenAI(model="gpt-test",
#: base_url=..., temperature=0.5), and its prompt of a conversation, with the id that it kept.
OLD_LLM = (
    '{"id": ["langchain", "chat_models", "openai", "ChatOpenAI"], "kwargs": {"model_name": '
    '"gpt-test", "openai_api_base": "URL", "openai_api_key": {"id": ["OPENAI_API_KEY"], "lc": 1, '
    '"type": "secret"}, "openai_proxy": null, "output_version": null, "temperature": 0.5}, '
    '"lc": 1, "name": "ChatOpenAI", "type": "constructor"}---[(\'stop\', None)]'
)
OLD_PROMPT = (
    '[{"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"], '
    '"kwargs": {"content": "Well?", "type": "human"}}, {"lc": 1, "type": "constructor", "id": '
    '["langchain", "schema", "messages", "AIMessage"], "kwargs": {"content": "So.", "type": "ai", '
    '"id": "run-1", "tool_calls": [], "invalid_tool_calls": []}}]'
)


def test_rows_of_older_releases_hit(openai_server, chat_openai, ours):
    """Rows of langchain-core 1.0, with its nulls and ids, are found."""
    settings = {"temperature": 0.5, "max_retries": None}
    old = langchain_cache()
    answer = [ChatGeneration(message=AIMessage("old"))]
    old.update(OLD_PROMPT, OLD_LLM.replace("URL", openai_server.url), answer)
    old.engine.dispose()
    llm = chat_openai(cache=ours(), **settings)
    assert llm.invoke([HumanMessage("Well?"), AIMessage("So.", id="run-1")]).text == "old"
    assert openai_server.answered == 0


def test_a_row_is_not_served_past_its_parameters(chat_openai, openai_server, ours):
    """A parameter changed on the live model is seen, also where LangChain's string is stale."""
    with LangChainAlone():
        chat_openai(temperature=0.3).invoke("Well?")
    llm = chat_openai(temperature=0.3, cache=ours())
    assert llm.invoke("Well?").text == "answer 1: Well?"
    llm.temperature = 0.9
    assert llm.invoke("Well?").text == "answer 2: Well?"
    assert kinds() == ["hit", "miss"]


def test_an_endpoint_of_the_environment_makes_rows_not_count(monkeypatch):
    """Where the string does not tell the address that is asked, no row counts."""
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    model = ChatOpenAI(model="gpt-test")
    _, llm_string = langchain_strings(model, [HumanMessage("hi")], None, {})
    assert row_counts(model, llm_string)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    model = ChatOpenAI(model="gpt-test")
    _, llm_string = langchain_strings(model, [HumanMessage("hi")], None, {})
    assert not row_counts(model, llm_string)


class Capital(BaseModel):
    city: str


def test_a_class_by_its_name_makes_rows_not_count(chat_openai):
    """A class that stands in the string by its name alone may have changed: no row counts."""
    model = chat_openai()
    messages = [HumanMessage("hi")]
    _, by_name = langchain_strings(model, messages, None, {"response_format": Capital})
    _, by_content = langchain_strings(model, messages, None, {"response_format": {"type": "x"}})
    assert not row_counts(model, by_name)
    assert row_counts(model, by_content)


class Loud(ChatOpenAI):
    pass


@pytest.mark.parametrize(
    "make",
    [
        lambda url: ChatOllama(model="m", base_url=url),
        lambda url: OpenAI(model="m", base_url=url, api_key="test-key"),
        lambda url: Loud(model="m", base_url=url, api_key="test-key"),
    ],
    ids=["ChatOllama", "OpenAI", "a class of the user"],
)
def test_strings_that_tell_too_little_do_not_count(make):
    """Where LangChain's string leaves out the model, parameters or code, no row counts."""
    model = make("http://127.0.0.1:9/v1")
    prompt = "hi" if isinstance(model, OpenAI) else [HumanMessage("hi")]
    _, llm_string = langchain_strings(model, prompt, None, {})
    assert not row_counts(model, llm_string)


def test_two_ollama_models_do_not_share_langchains_row(ollama_server, ours):
    """The row that LangChain would hand to every ChatOllama is handed to none."""
    with LangChainAlone():
        ChatOllama(model="one", base_url=ollama_server.url).invoke("Well?")
    ChatOllama(model="two", base_url=ollama_server.url, cache=ours()).invoke("Well?")
    assert ollama_server.answered == 2


def test_a_model_that_langchain_cannot_put_down_has_no_strings(chat_openai, monkeypatch):
    """Where a release of LangChain has no such method, there are no strings, and no error."""
    model = chat_openai()
    monkeypatch.delattr("langchain_core.language_models.BaseChatModel._get_llm_string")
    assert langchain_strings(model, [HumanMessage("hi")], None, {}) is None


# --- reading: rows that are data, and only data ---


def chat_row(**fields: Any) -> dict[str, Any]:
    message = AIMessage("hi", response_metadata={"finish_reason": "stop"})
    row = json.loads(dumps(ChatGeneration(message=message, generation_info={"n": 1})))
    row["kwargs"]["message"]["kwargs"].update(fields)
    return row


def lc(kind: str, *path: str, **kwargs: Any) -> dict[str, Any]:
    return {"lc": 1, "type": kind, "id": list(path), "kwargs": kwargs}


HOSTILE = {
    "nothing": None,
    "an empty text": "",
    "null": "null",
    "a plain text": "The capital is Paris",
    "a JSON text": '"The capital is Paris"',
    "a list": "[]",
    "a dict": "{}",
    "cut": dumps(ChatGeneration(message=AIMessage("hi")))[:-5],
    "deep": "[" * 100_000,
    "deep data": json.dumps(chat_row(additional_kwargs={"a": json.loads("[" * 300 + "]" * 300)})),
    "a long number": '{"lc": ' + "1" * 9999 + "}",
    "another class": json.dumps(lc("constructor", "langchain_core", "prompts", "PromptTemplate")),
    "a class of the system": json.dumps(lc("constructor", "os", "system", command="true")),
    "a class elsewhere": json.dumps(lc("constructor", "evil", "Generation", text="hi")),
    "no class": json.dumps(lc("constructor")),
    "a class that is none": json.dumps({**lc("constructor"), "id": "Generation"}),
    "a secret": json.dumps(lc("secret", "OPENAI_API_KEY")),
    "not implemented": json.dumps(lc("not_implemented", "builtins", "object")),
    "a message alone": dumps(AIMessage("hi")),
    "a human message": dumps(ChatGeneration(message=HumanMessage("hi"))),
    "no message": json.dumps(lc("constructor", "langchain", "schema", "output", "ChatGeneration")),
    "a text of another kind": json.dumps(
        lc("constructor", "langchain", "schema", "output", "Generation", text=[1])
    ),
    "a secret among data": json.dumps(chat_row(additional_kwargs={"a": lc("secret", "HOME")})),
    "an object among data": json.dumps(
        chat_row(response_metadata={"a": [lc("constructor", "langchain_core", "x", "Y")]})
    ),
    "an object in the content": json.dumps(
        chat_row(content=[lc("constructor", "langchain", "schema", "messages", "AIMessage")])
    ),
    "an unwritable object": json.dumps(
        chat_row(additional_kwargs={"parsed": lc("not_implemented", "__main__", "City")})
    ),
    "content of another kind": json.dumps(chat_row(content=5)),
    "calls of another kind": json.dumps(chat_row(tool_calls=[{"name": "f"}])),
    "usage of another kind": json.dumps(chat_row(usage_metadata={"total_cost": 0})),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_rows_are_refused(text, monkeypatch):
    """A row of anything but one generation of plain data raises, and nothing is looked up."""
    monkeypatch.setenv("OPENAI_API_KEY", "the secret")
    with pytest.raises(DamagedEntryError) as caught:
        decode_langchain_row(text)
    assert "the secret" not in str(caught.value)


@pytest.mark.parametrize("text", [*list(HOSTILE.values())[:12], b"\xff\xfe"])
def test_a_damaged_row_is_a_miss_with_a_warning(text, chat_openai, openai_server, ours):
    """A row that cannot be read is never the answer: the provider is asked, and the event warns."""
    with LangChainAlone():
        chat_openai().invoke("Well?")
    with closing(sqlite3.connect(FILE)) as connection, connection:
        connection.execute("UPDATE full_llm_cache SET response = ?", (text,))
    assert chat_openai(cache=ours()).invoke("Well?").text == "answer 2: Well?"
    [call] = calls()
    assert (call.kind, call.stored) == ("miss", True)
    assert "damaged" in call.warning


ROW = dumps(
    ChatGeneration(
        message=AIMessage(
            [{"type": "text", "text": "hi"}],
            tool_calls=[{"name": "f", "args": {"a": 1}, "id": "1"}],
            additional_kwargs={"a": {"lc": 1, "type": "secret", "id": ["HOME"]}},
        ),
        generation_info={"finish_reason": "stop"},
    )
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_rows_raise_one_error(data):
    """Whatever happened to a row, it decodes to a generation or raises DamagedEntryError."""
    text = ROW
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 12))
        text = text[:start] + data.draw(st.text('{}[]",:\\1a\x00é', max_size=3)) + text[end:]
    with suppress(DamagedEntryError):
        assert isinstance(decode_langchain_row(text), Generation)


@pytest.mark.parametrize(
    "generation",
    [
        Generation(text="hi", generation_info={"finish_reason": "stop"}),
        ChatGeneration(message=AIMessage("hi", id="run-1", name="x"), generation_info=None),
        ChatGeneration(
            message=AIMessage(
                [{"type": "text", "text": "hi"}, "there"],
                usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
                additional_kwargs={"user": {"lc": 1, "__lc_escaped__": 2}, "none": None},
            )
        ),
        ChatGenerationChunk(message=AIMessageChunk("hi", id="run-1")),
    ],
    ids=["text", "chat", "blocks", "chunk"],
)
def test_good_rows_come_back_as_they_were(generation):
    """What LangChain wrote of an answer comes back, but for its message's id."""
    decoded = decode_langchain_row(dumps(generation))
    assert decoded.text == generation.text
    assert decoded.generation_info == generation.generation_info
    if isinstance(generation, ChatGeneration):
        unlike = {"id", "type", "tool_call_chunks", "chunk_position"}
        assert decoded.message.model_dump(exclude=unlike) == generation.message.model_dump(
            exclude=unlike
        )
        assert decoded.message.id is None


def test_an_answer_of_another_kind_of_model_is_damaged(chat_openai, openai_server, ours):
    """A text model's generation under a chat model's strings is not shown as its message."""
    with LangChainAlone():
        chat_openai().invoke("Well?")
    with closing(sqlite3.connect(FILE)) as connection, connection:
        connection.execute("UPDATE full_llm_cache SET response = ?", (dumps(Generation(text="x")),))
    assert chat_openai(cache=ours()).invoke("Well?").text == "answer 2: Well?"
