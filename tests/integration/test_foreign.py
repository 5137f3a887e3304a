"""Other people's caches, observed: right keys, fresh copies, one line for their faults."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_ollama import ChatOllama, OllamaLLM

from jupyter_llmcache import calls, mode
from jupyter_llmcache import request as keys
from jupyter_llmcache.errors import ReplayMissError, StoreError
from jupyter_llmcache.seam.cache import ForeignCache

STRINGS = ("the prompt", "[('model', 'gpt-test')]")
ANSWER = [ChatGeneration(message=AIMessage("hi", id="run-1"))]


class SpyCache(BaseCache):
    """Keeps what it is given, tells which of its methods ran, and raises or lies on demand."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Any] = {}
        self.ran: list[str] = []
        self.lie: Any = None
        self.fault: Exception | None = None

    def _note(self, method: str) -> None:
        self.ran.append(method)
        if self.fault:
            raise self.fault

    def lookup(self, prompt, llm_string):
        self._note("lookup")
        return self.lie if self.lie is not None else self.kept.get((prompt, llm_string))

    def update(self, prompt, llm_string, return_val):
        self._note("update")
        self.kept[prompt, llm_string] = return_val

    def clear(self, **kwargs):
        self._note("clear")
        self.kept.clear()


@pytest.fixture
def spy() -> SpyCache:
    return SpyCache()


@pytest.fixture
def foreign(spy):
    cache = ForeignCache(spy)
    yield cache
    cache.close()


def kinds() -> list[str]:
    return [call.kind for call in calls()]


def test_answers_go_there_and_come_back(spy, foreign, chat_openai, openai_server):
    """A call's answer is kept in the other cache and hits from there."""
    llm = chat_openai(cache=foreign)
    first, second = llm.invoke("Well?"), llm.invoke("Well?")
    assert openai_server.answered == 1
    assert kinds() == ["miss", "hit"]
    assert second.text == first.text
    assert second.usage_metadata == first.usage_metadata
    [(prompt, llm_string)] = spy.kept
    assert "Well?" in prompt
    assert "gpt-test" in llm_string


def test_it_works_as_the_global_cache(foreign, chat_openai, openai_server):
    """Set as LangChain's global cache it serves every model."""
    set_llm_cache(foreign)
    assert chat_openai().invoke("Well?").text == chat_openai().invoke("Well?").text
    assert openai_server.answered == 1


@pytest.mark.parametrize("make", [ChatOllama, OllamaLLM])
def test_what_langchain_mixes_is_kept_apart(foreign, ollama_server, make):
    """Two models that LangChain gives one string do not share an answer."""
    for _ in range(2):
        for name in ("one", "two"):
            make(model=name, base_url=ollama_server.url, cache=foreign).invoke("Well?")
    assert ollama_server.answered == 2
    assert kinds() == ["miss", "miss", "hit", "hit"]


def test_hits_share_nothing_with_the_other_cache(chat_openai, openai_server):
    """Changing a recalled message does not change what the other cache holds."""
    llm = chat_openai(cache=ForeignCache(InMemoryCache()))
    llm.invoke("Well?")
    second = llm.invoke("Well?")
    second.content = "poisoned"
    second.response_metadata["poisoned"] = True
    third = llm.invoke("Well?")
    assert third.text == "answer 1: Well?"
    assert "poisoned" not in third.response_metadata
    assert third.id != second.id
    assert openai_server.answered == 1


def test_a_tuple_hits(spy, foreign, chat_openai, openai_server):
    """A cache that returns a tuple, which LangChain takes for a miss, hits."""
    llm = chat_openai(cache=foreign)
    llm.invoke("Well?")
    spy.kept = {strings: tuple(answer) for strings, answer in spy.kept.items()}
    llm.invoke("Well?")
    assert openai_server.answered == 1


@pytest.mark.parametrize(
    "lie", ["a text", [], [AIMessage("hi")], [None], {"a": 1}, [Generation(text="raw")], 7]
)
def test_junk_is_never_the_answer(spy, foreign, chat_openai, openai_server, lie):
    """What is no answer of this kind of model is a miss with a warning."""
    spy.lie = lie
    assert chat_openai(cache=foreign).invoke("Well?").text == "answer 1: Well?"
    [call] = calls()
    assert call.kind == "miss"
    assert call.warning == "SpyCache holds something else than an answer"


def test_its_faults_cost_nobody_the_answer(spy, foreign, chat_openai, openai_server):
    """Whatever the other cache raises becomes one line, and the answer is delivered."""
    spy.fault = ConnectionError("redis is down")
    assert chat_openai(cache=foreign).invoke("Well?").text == "answer 1: Well?"
    [call] = calls()
    assert call.warning == "SpyCache failed: ConnectionError: redis is down"
    assert not call.stored


def test_bad_answers_are_not_passed_on(spy, foreign, chat_openai, openai_server):
    """An empty answer is not given to the other cache."""
    openai_server.reply = lambda body: ""
    chat_openai(cache=foreign).invoke("Well?")
    assert spy.kept == {}


async def test_async_calls_hit(foreign, chat_openai, openai_server):
    """An answer kept by ainvoke hits in ainvoke and stream."""
    llm = chat_openai(cache=foreign)
    await llm.ainvoke("Well?")
    await llm.ainvoke("Well?")
    assert "".join(chunk.text for chunk in llm.stream("Well?")) == "answer 1: Well?"
    assert openai_server.answered == 1


def test_replay_holds(foreign, chat_openai, openai_server):
    """In replay mode a miss is an error and nothing is asked."""
    with mode("replay"), pytest.raises(ReplayMissError):
        chat_openai(cache=foreign).invoke("Well?")
    assert openai_server.answered == 0


def test_a_preview_tells_whether_it_would_hit(foreign, chat_openai):
    """Whether the other cache holds a request in hand can be told."""
    llm = chat_openai(cache=foreign)

    def held() -> bool:
        return foreign.holds(keys.describe(llm, [HumanMessage("Well?")], None, {}))

    assert not held()
    llm.invoke("Well?")
    assert held()


def test_community_caches_work(chat_openai, openai_server, tmp_path):
    """langchain-community's SQLiteCache works through it, and its raw text is no answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_community.cache import SQLiteCache

        theirs = SQLiteCache(str(tmp_path / "theirs.db"))
        llm = chat_openai(cache=ForeignCache(theirs))
        first = llm.invoke("Well?")
        assert llm.invoke("Well?").text == first.text
        with theirs.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE full_llm_cache SET response = 'broken'")
        assert llm.invoke("Well?").text == "answer 2: Well?"
    theirs.engine.dispose()
    assert kinds() == ["miss", "hit", "miss"]


# --- LangChain's own interface ---


def test_direct_calls_pass_through_as_copies(spy, foreign):
    """Lookup and update reach the other cache with the same strings, and share no objects."""
    assert foreign.lookup(*STRINGS) is None
    foreign.update(*STRINGS, ANSWER)
    assert list(spy.kept) == [STRINGS]
    [found] = foreign.lookup(*STRINGS)
    assert found.text == "hi"
    assert found.message.id is None
    found.message.content = "poisoned"
    assert foreign.lookup(*STRINGS)[0].message.content == "hi"
    foreign.clear()
    assert spy.kept == {}


async def test_direct_async_calls(spy, foreign):
    """alookup, aupdate and aclear reach the other cache too."""
    await foreign.aupdate(*STRINGS, ANSWER)
    assert (await foreign.alookup(*STRINGS))[0].text == "hi"
    await foreign.aclear()
    assert spy.ran == ["update", "lookup", "clear"]


async def test_direct_calls_fail_open(spy, foreign, caplog):
    """A fault in the other cache is a logged line and a miss."""
    spy.fault = OSError("gone")
    with caplog.at_level(logging.WARNING):
        assert foreign.lookup(*STRINGS) is None
        assert await foreign.alookup(*STRINGS) is None
        foreign.update(*STRINGS, ANSWER)
        await foreign.aupdate(*STRINGS, ANSWER)
    assert len(caplog.records) == 4
    with pytest.raises(StoreError, match="SpyCache failed: OSError: gone"):
        foreign.clear()


async def test_direct_calls_heed_the_mode(spy, foreign):
    """Bypass touches nothing, refresh only writes, replay only reads and closes."""
    with mode("bypass"):
        foreign.update(*STRINGS, ANSWER)
        await foreign.aupdate(*STRINGS, ANSWER)
        assert foreign.lookup(*STRINGS) is await foreign.alookup(*STRINGS) is None
    assert spy.ran == []
    with mode("replay"):
        foreign.update(*STRINGS, ANSWER)
        with pytest.raises(ReplayMissError):
            foreign.lookup(*STRINGS)
        with pytest.raises(ReplayMissError):
            await foreign.alookup(*STRINGS)
    with mode("refresh"):
        foreign.update(*STRINGS, ANSWER)
        assert foreign.lookup(*STRINGS) is None
    assert spy.ran == ["lookup", "lookup", "update"]


async def test_strings_that_name_no_model_are_refused(spy, foreign):
    """A string that would be the same for every model reaches the other cache neither way."""
    nameless = ("hi", "[('_type', 'chat-ollama'), ('stop', None)]")
    foreign.update(*nameless, ANSWER)
    await foreign.aupdate(*nameless, ANSWER)
    assert foreign.lookup(*nameless) is await foreign.alookup(*nameless) is None
    assert spy.ran == []


def test_what_cannot_be_known_is_said(foreign):
    """The other cache has a name, no count and no list; asking for one is one clear line."""
    store = foreign.store
    assert (store.backend, store.location, store.read_only) == ("other", "SpyCache", False)
    assert store.count() is store.size_bytes() is None
    with pytest.raises(StoreError, match="SpyCache cannot be listed"):
        store.entries()
    assert getattr(store, "notice", None) is None


def test_closing_leaves_the_other_cache_alone(spy, foreign, chat_openai):
    """Closing gives back nothing that is not ours."""
    chat_openai(cache=foreign).invoke("Well?")
    kept = dict(spy.kept)
    foreign.close()
    assert spy.kept == kept
    assert "clear" not in spy.ran
