"""LangChain's back doors in replay, and the notebook's own cache before ours."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.rate_limiters import BaseRateLimiter

from jupyter_llmcache import MemoryCache, calls, mode, modes
from jupyter_llmcache.errors import ReplayMissError
from jupyter_llmcache.seam.place import turn_on
from tests.integration.matrix import desks
from tests.integration.matrix.models import AsyncDeskChat, DeskChat


@pytest.fixture
def ours():
    """A cache of ours that a person has turned on."""
    cache = MemoryCache()
    set_llm_cache(cache)
    turn_on(cache)
    yield cache
    turn_on(None)
    cache.close()


def told():
    return [(call.kind, call.location) for call in calls()]


# --- replay ---


class OwnGenerate(DeskChat):
    """Writes a ``generate`` of its own that asks the provider's method itself."""

    def generate(self, messages, *args, **kwargs):
        return LLMResult(generations=[self._generate(messages[0]).generations])


@pytest.mark.parametrize(
    "ask",
    {
        "_generate": lambda llm: llm._generate([HumanMessage("hello")]),
        "_stream": lambda llm: list(llm._stream([HumanMessage("hello")])),
        "_agenerate": lambda llm: asyncio.run(llm._agenerate([HumanMessage("hello")])),
        "own generate": lambda llm: OwnGenerate(model="back").invoke("hello"),
    }.values(),
    ids=lambda _: "",
)
def test_back_doors_are_closed_in_replay(ours, ask):
    """What calls a provider's method itself is refused in replay, told of, and free again after."""
    desk = desks.new("back")
    llm = AsyncDeskChat(model="back")
    with mode("replay"), pytest.raises(ReplayMissError):
        ask(llm)
    assert desk.asked == []
    assert calls()[-1].unrecorded
    ask(llm)
    assert len(desk.asked) == 1


def test_a_class_made_in_replay_is_closed_too(ours):
    """A class that a cell defines while replay is in force has no open back door."""
    asked = []
    with mode("replay"):

        class Late(BaseChatModel):
            @property
            def _llm_type(self) -> str:
                return "late"

            def _generate(self, messages, stop=None, run_manager=None, **kwargs):
                asked.append(messages)
                return ChatResult(generations=[ChatGeneration(message=AIMessage("yes"))])

        with pytest.raises(ReplayMissError):
            Late()._generate([HumanMessage("hello")])
    assert asked == []
    ours.close()
    assert not hasattr(Late._generate, "__wrapped__")


def test_a_miss_is_not_tried_again(ours):
    """``with_retry`` gives a replay miss on at once, and no unrecorded fallback pays."""
    desk = desks.new("retried")
    desks.new("fallback")
    llm = DeskChat(model="retried").with_retry(stop_after_attempt=5)
    with mode("replay"):
        with pytest.raises(ReplayMissError):
            llm.invoke("hello")
        assert len(calls()) == 1
        with pytest.raises(ReplayMissError):
            llm.with_fallbacks([DeskChat(model="fallback")]).invoke("hello")
    assert desk.asked == []


def test_a_recorded_fallback_still_answers(ours):
    """A fallback that was recorded answers in replay; the miss before it shows all the same."""
    desks.new("spare")
    spare = DeskChat(model="spare")
    spare.invoke("hello")
    desks.new("first")
    with mode("replay"):
        answer = DeskChat(model="first").with_fallbacks([spare]).invoke("hello")
    assert answer.content == "answer 1"
    assert [call.kind for call in calls()[1:]] == ["error", "hit"]
    assert calls()[1].unrecorded


class _SwitchingLimiter(BaseRateLimiter):
    """Lets replay begin while a call waits for its turn."""

    def acquire(self, *, blocking: bool = True) -> bool:
        modes.set_session_mode("replay")
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke"])
def test_the_mode_is_asked_again_right_before_the_provider(ours, way):
    """A call that waited for a rate limiter while replay began is not sent."""
    desk = desks.new("limited")
    llm = DeskChat(model="limited", rate_limiter=_SwitchingLimiter())

    async def ask() -> None:
        if way == "ainvoke":
            await llm.ainvoke("hello")
        else:
            list(getattr(llm, way)("hello"))

    with pytest.raises(ReplayMissError):
        asyncio.run(ask())
    assert desk.asked == []
    assert calls()[-1].unrecorded


# --- the notebook's own cache ---


def test_ours_is_asked_behind_the_notebooks_own_cache(ours):
    """LangChain asks the notebook's cache, then ours is asked, then the provider; replay too."""
    desk = desks.new("guide")
    llm = DeskChat(model="guide")
    set_llm_cache(InMemoryCache())
    first, second = llm.invoke("hello"), llm.invoke("hello")
    assert first.content == second.content == "answer 1"
    assert told() == [("miss", "memory"), ("hit", "InMemoryCache")]
    set_llm_cache(InMemoryCache())
    assert llm.invoke("hello").content == "answer 1"
    with mode("replay"):
        set_llm_cache(InMemoryCache())
        assert llm.invoke("hello").content == llm.invoke("hello").content == "answer 1"
    assert told()[2:] == [("hit", "memory"), ("hit", "memory"), ("hit", "InMemoryCache")]
    assert len(desk.asked) == 1


def test_langchains_guide_as_it_stands(ours, tmp_path):
    """The guide's own SQLiteCache is seen, and the lesson is recorded in ours."""
    community = pytest.importorskip("langchain_community.cache")
    desk = desks.new("community")
    llm = DeskChat(model="community")
    set_llm_cache(community.SQLiteCache(database_path=str(tmp_path / ".langchain.db")))
    llm.invoke("Tell me a joke")
    llm.invoke("Tell me a joke")
    assert told() == [("miss", "memory"), ("hit", "SQLiteCache")]
    assert ours.store.count() == 1
    assert len(desk.asked) == 1


def test_off_by_none_is_said_once(ours):
    """``set_llm_cache(None)`` turns ours off, which the first call says; in replay it is asked."""
    desk = desks.new("off")
    llm = DeskChat(model="off")
    llm.invoke("hello")
    set_llm_cache(None)
    llm.invoke("hello")
    llm.invoke("hello")
    assert len(desk.asked) == 3
    assert "set_llm_cache(None)" in calls()[1].reason
    assert "set_llm_cache(None)" not in calls()[2].reason
    with mode("replay"):
        assert llm.invoke("hello").content == "answer 1"


# --- prompts made of messages ---


@pytest.mark.parametrize("responses", [False, True])
def test_a_prompt_made_of_a_message_converges(ours, chat_openai, openai_server, responses):
    """``f"Summarise: {m}"`` is asked once, however often and in whatever kernel it is run."""
    llm = chat_openai(use_responses_api=responses)
    for run in range(3):
        message = llm.invoke("A")
        llm.invoke(f"Summarise: {message}")
        assert len(openai_server.requests) == 2, run
