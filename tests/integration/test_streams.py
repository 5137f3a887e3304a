"""How calls reach the cache: proxies, doors, and what stays as it was."""

from __future__ import annotations

import copy
import functools
import gc
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.rate_limiters import InMemoryRateLimiter
from pydantic import PrivateAttr

from jupyter_llmcache import call_of, calls
from jupyter_llmcache.errors import ReplayMissError
from jupyter_llmcache.seam import patch as streams
from jupyter_llmcache.seam.cache import MemoryCache, mode
from tests.environments import environment, run
from tests.integration.matrix import desks
from tests.integration.matrix.entry_points import HAS_EVENTS_V3
from tests.integration.matrix.models import DeskChat, DeskText
from tests.servers.base import HOLD_LIMIT_S
from tests.servers.openai import Reply, server_error

METHODS = {
    BaseChatModel: (
        "generate",
        "agenerate",
        "stream",
        "astream",
        "stream_events",
        "astream_events",
    ),
    BaseLLM: ("generate", "agenerate", "stream", "astream"),
}
ORIGINALS = {
    (cls, name): cls.__dict__[name]
    for cls in METHODS
    for name in METHODS[cls]
    if name in cls.__dict__
}


@pytest.fixture(autouse=True)
def unpatched():
    """After every test LangChain is as it was."""
    yield
    assert patched() == []


def patched() -> list[str]:
    return [
        f"{cls.__name__}.{name}"
        for (cls, name), original in ORIGINALS.items()
        if cls.__dict__[name] is not original
    ]


@pytest.fixture
def cache(request, unpatched):
    if "other_code" in request.fixturenames:
        request.getfixturevalue("other_code")
    cache = MemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)
    cache.close()


def kinds() -> list[str]:
    return [call.kind for call in calls()]


# --- the seams ---


def test_closing_gives_the_original_methods_back():
    """The last cache to close leaves LangChain's classes exactly as they were."""
    first, second = MemoryCache(), MemoryCache()
    assert len(patched()) == len(ORIGINALS)
    first.close()
    assert len(patched()) == len(ORIGINALS)
    second.close()
    assert patched() == []


def test_caches_come_and_go_in_threads():
    """Caches opened and closed in many threads leave nothing behind."""

    def come_and_go() -> None:
        for _ in range(30):
            cache = MemoryCache()
            DeskChat(model="come", cache=cache).invoke("hello")
            cache.close()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert patched() == []


def test_a_forgotten_cache_does_nothing():
    """A cache that nobody holds any more leaves models alone."""
    cache = MemoryCache()
    del cache
    gc.collect()
    desks.new("forgotten")
    assert DeskChat(model="forgotten").invoke("hello").content == "answer 1"
    assert not streams._owners
    assert calls() == []
    MemoryCache().close()


@pytest.fixture
def other_code():
    """Other code that puts a method of its own into LangChain, and at last puts everything back."""
    yield lambda method: setattr(BaseChatModel, "generate", method)
    BaseChatModel.generate = ORIGINALS[BaseChatModel, "generate"]


def test_a_patch_put_over_ours_stays(cache, other_code):
    """Other code's wrapper works on, is not taken away, and is not doubled when we come again."""
    seen = []
    ours = BaseChatModel.generate

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append("theirs")
        return ours(self, *args, **kwargs)

    other_code(theirs)
    desk = desks.new("patched")
    llm = DeskChat(model="patched")
    assert llm.invoke("hello").content == llm.invoke("hello").content == "answer 1"
    set_llm_cache(None)
    cache.close()
    assert BaseChatModel.generate is theirs
    assert llm.invoke("hello").content == "answer 2"
    again = MemoryCache()
    set_llm_cache(again)
    assert llm.invoke("hello").content == llm.invoke("hello").content == "answer 3"
    assert len(desk.asked) == 3
    again.close()
    assert BaseChatModel.generate is theirs
    assert len(seen) == 5


def test_a_wrapper_that_tells_what_it_wraps_is_not_wrapped_again(cache, other_code):
    """Turning the cache off and on below a well-behaved wrapper adds no layer."""
    ours = BaseChatModel.generate

    @functools.wraps(ours)
    def theirs(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    other_code(theirs)
    set_llm_cache(None)
    cache.close()
    again = MemoryCache()
    assert BaseChatModel.generate is theirs
    desk = desks.new("well behaved")
    llm = DeskChat(model="well behaved", cache=again)
    llm.invoke("hello")
    llm.invoke("hello")
    assert len(desk.asked) == 1
    again.close()


def test_a_patch_taken_out_by_others_is_told(cache):
    """Other code that puts LangChain's method back is named, and turning on again mends it."""
    assert streams.problem() is None
    BaseChatModel.stream = ORIGINALS[BaseChatModel, "stream"]
    assert "BaseChatModel.stream" in streams.problem()
    other = MemoryCache()
    assert streams.problem() is None
    other.close()


UNKNOWN = """
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
{change}
from jupyter_llmcache.seam import patch
from jupyter_llmcache.seam.cache import MemoryCache
set_llm_cache(MemoryCache())
llm = FakeListChatModel(responses=["yes"])
print(llm.invoke("?").text, "".join(chunk.text for chunk in llm.stream("?")))
print(patch.problem())
"""

CHANGES = {
    "stream": (
        "def stream(self, *a, **k):\n"
        "    yield from (c.message for c in type(self)._stream(self, [], **k))\n"
        "BaseChatModel.stream = stream"
    ),
    "generate": (
        "from langchain_core.outputs import LLMResult\n"
        "BaseChatModel.generate = lambda self, *a, **k: "
        "LLMResult(generations=[type(self)._generate(self, []).generations])"
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_unknown_langchain_is_told(name):
    """Where a public method goes round us the answer comes all the same, and status says so."""
    answer, told = run(sys.executable, UNKNOWN.format(change=CHANGES[name])).splitlines()
    assert answer == "yes yes"
    assert f"({name})" in told
    assert told.endswith("Update jupyter_llmcache")


@pytest.mark.slow
@pytest.mark.parametrize("release", ["1.0", "1.4", "1.6"])
def test_older_langchains_are_known(release):
    """On older releases of langchain-core the seams hold."""
    assert run(environment(release), UNKNOWN.format(change="")).splitlines() == ["yes yes", "None"]


# --- which cache answers ---


def test_a_model_with_cache_false_is_paid_each_time(cache):
    """``cache=False`` on the model bypasses, and the ledger says why."""
    desk = desks.new("false")
    llm = DeskChat(model="false", cache=False)
    llm.invoke("hello")
    list(llm.stream("hello"))
    assert len(desk.asked) == 2
    assert kinds() == ["bypass", "bypass"]
    assert calls()[0].reason == "the model has cache=False"


def test_a_model_with_a_foreign_cache_is_seen(cache):
    """A model that has somebody else's cache uses that one, and the ledger tells which."""
    desk = desks.new("foreign")
    foreign = InMemoryCache()
    llm = DeskChat(model="foreign", cache=foreign)
    llm.invoke("hello")
    llm.invoke("hello")
    assert len(desk.asked) == 1
    assert len(foreign._cache) == 1
    assert [(call.kind, call.location) for call in calls()] == [
        ("miss", "InMemoryCache"),
        ("hit", "InMemoryCache"),
    ]


def test_a_foreign_global_cache_is_seen():
    """While our cache lives but somebody else's is the global one, that one works as ever."""
    ours = MemoryCache()
    set_llm_cache(InMemoryCache())
    desk = desks.new("foreign global")
    llm = DeskChat(model="foreign global")
    llm.invoke("hello")
    llm.invoke("hello")
    list(llm.stream("hello"))
    assert len(desk.asked) == 2
    told = [(call.kind, call.location) for call in calls()]
    assert told == [("miss", "InMemoryCache"), ("hit", "InMemoryCache"), ("bypass", "")]
    ours.close()


def test_a_model_with_cache_true_uses_the_global_one(cache):
    """``cache=True`` asks for the global cache, which is ours."""
    desk = desks.new("true")
    llm = DeskChat(model="true", cache=True)
    llm.invoke("hello")
    llm.invoke("hello")
    assert len(desk.asked) == 1
    set_llm_cache(None)
    with streams.seeing_all(), pytest.raises(ValueError, match="no cache found"):
        llm.invoke("hello")


def test_a_model_may_bring_our_cache(cache):
    """A cache given to the model is used in place of the global one."""
    own = MemoryCache()
    desks.new("own")
    DeskChat(model="own", cache=own).invoke("hello")
    assert own.store.count() == 1
    assert cache.store.count() == 0
    own.close()


def test_replay_sends_nothing_by_any_way(cache, chat_openai, no_sockets):
    """In replay every way to ask raises before a connection is opened, with cache=False too."""
    ways = ("invoke", "stream", "batch")
    for llm in (chat_openai(), chat_openai(cache=False), chat_openai(cache=InMemoryCache())):
        for way in ways:
            with mode("replay"), pytest.raises(ReplayMissError):
                list(getattr(llm, way)(["hello"] if way == "batch" else "hello"))
    set_llm_cache(None)
    with mode("replay"), pytest.raises(ReplayMissError):
        list(chat_openai().stream("hello"))
    assert no_sockets.attempts == []


# --- streams ---


def test_stream_and_invoke_share_an_entry(cache, chat_openai, openai_server):
    """What one way recorded answers the other."""
    llm = chat_openai()
    streamed = "".join(chunk.content for chunk in llm.stream("one"))
    assert llm.invoke("one").content == streamed
    invoked = llm.invoke("two").content
    chunks = list(llm.stream("two"))
    assert "".join(chunk.content for chunk in chunks) == invoked
    assert all(type(chunk) is AIMessageChunk for chunk in chunks)
    assert chunks
    assert len(openai_server.requests) == 2


def test_a_miss_streams_live(cache, chat_openai, openai_server, monkeypatch):
    """The first token arrives while the server is still sending."""
    openai_server.reply = lambda _: "one two three four five six seven eight nine ten"
    is_read, waited = threading.Event(), []

    def held(events: Iterable[bytes]) -> Iterator[bytes]:
        for number, event in enumerate(events):
            if number == 5:
                waited.append(is_read.wait(HOLD_LIMIT_S))
            yield event

    monkeypatch.setattr(openai_server, "paced", held)
    stream = chat_openai().stream("hello")
    for _ in range(3):
        next(stream)
    is_read.set()
    assert len(list(stream)) > 5
    assert waited == [True]


@pytest.mark.parametrize(
    "end", ["abandoned", "cut", "cut cleanly", "failed", "error in the reader"]
)
def test_an_unfinished_stream_leaves_nothing(cache, chat_openai, openai_server, end):
    """A stream that does not come to its end is not stored, and the next call pays."""
    llm = chat_openai()
    openai_server.reply = lambda _: "one two three four five"
    if end.startswith("cut"):
        openai_server.cut_after, openai_server.cut_cleanly = 3, end == "cut cleanly"
    if end == "failed":
        openai_server.fail(server_error(), times=1)
    try:
        for number, _ in enumerate(llm.stream("hello")):
            if number == 2 and end == "abandoned":
                break
            if number == 2 and end == "error in the reader":
                raise RuntimeError
    except Exception:  # each of the ends but one raises, in its own way
        assert end != "abandoned"
    assert cache.store.count() == 0
    openai_server.cut_after = None
    assert llm.invoke("hello").content == "one two three four five"
    assert len(openai_server.requests) == 2


def test_what_others_do_to_chunks_is_not_stored(cache):
    """Changing the chunks on their way does not change the entry."""
    desks.new("changed")
    llm = DeskChat(model="changed")
    for chunk in llm.stream("hello"):
        chunk.content = "poison"
        chunk.response_metadata["poison"] = True
    answer = llm.invoke("hello")
    assert answer.content == "answer 1"
    assert "poison" not in answer.response_metadata


def test_what_others_do_to_hits_is_not_stored(cache):
    """Changing a recalled message does not change the next one."""
    desks.new("hits")
    llm = DeskChat(model="hits")
    llm.invoke("hello")
    for _ in range(3):
        answer = llm.invoke("hello")
        assert answer.content == "answer 1"
        answer.response_metadata.clear()
        answer.content = "poison"


class IteratorChat(DeskChat):
    """Streams by an iterator that is no generator."""

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        return iter([ChatGenerationChunk(message=AIMessageChunk(content=c)) for c in "abc"])


def test_a_provider_may_return_a_mere_iterator(cache):
    """A ``_stream`` that is no generator streams, and is stored."""
    llm = IteratorChat()
    assert "".join(chunk.content for chunk in llm.stream("hello")) == "abc"
    assert "".join(chunk.content for chunk in llm.stream("hello")) == "abc"
    assert kinds() == ["miss", "hit"]


class Uncopyable:
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("cannot be copied")


class OddChat(DeskChat):
    """Streams a chunk that nobody can copy."""

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        kwargs = {"odd": Uncopyable()}
        yield ChatGenerationChunk(message=AIMessageChunk(content="a", additional_kwargs=kwargs))
        yield ChatGenerationChunk(message=AIMessageChunk(content="b"))


def test_a_chunk_that_cannot_be_copied_still_arrives(cache):
    """The caller gets everything; only the entry is not made, and the ledger says why."""
    assert "".join(chunk.content for chunk in OddChat().stream("hello")) == "ab"
    (call,) = calls()
    assert (call.kind, call.stored, call.warning) == ("miss", False, "cannot be copied")


def test_a_stream_of_several_choices_is_not_cached(cache, chat_openai, openai_server):
    """Choices that come mixed in one stream are not kept; the same by invoke are."""
    llm = chat_openai().bind(n=2)
    list(llm.stream("hello"))
    assert calls()[-1].reason == "a stream of several choices at once"
    assert cache.store.count() == 0


def test_several_choices_come_back_all(cache, chat_openai, openai_server):
    """All choices of n=2 are recalled, in order."""
    llm = chat_openai(n=2)
    miss, hit = (llm.generate([[HumanMessage("hello")]]).generations[0] for _ in range(2))
    assert [generation.text for generation in miss] == [generation.text for generation in hit]
    assert len(hit) == 2
    assert len({generation.message.id for generation in [*miss, *hit]}) == 4
    assert len(openai_server.requests) == 1


# --- models of all kinds ---


def test_the_model_keeps_its_state(cache):
    """A call runs on the model itself: private state that it changes stays changed."""

    class Remembering(DeskChat):
        _seen: list[str] = PrivateAttr(default_factory=list)
        last: str = ""

        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            self._seen = [*self._seen, messages[-1].content]
            self.last = messages[-1].content
            return super()._generate(messages)

    llm = Remembering(model="remembering")
    llm.invoke("hello")
    assert (llm._seen, llm.last) == (["hello"], "hello")
    assert "_generate" not in llm.__dict__


def test_a_model_with_its_own_way_to_copy(cache):
    """A model that gives itself out as its copy is cached as any, and stays as it is."""

    class Single(DeskChat):
        def __copy__(self) -> Any:
            return self

    desk = desks.new("copy")
    llm = Single(model="copy")
    llm.invoke("hello")
    llm.invoke("hello")
    assert len(desk.asked) == 1
    assert "_generate" not in llm.__dict__
    assert copy.copy(llm) is llm


def test_a_model_that_cannot_be_copied_is_called_plainly(cache):
    """Where no proxy can be made, LangChain's own way to the cache is left."""

    class Single(DeskChat):
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            if not kwargs:
                raise TypeError("there is only one")
            return super().__new__(cls)

    desks.new("single")
    llm = Single(model="single")
    assert llm.invoke("hello").content == "answer 1"
    assert "".join(chunk.content for chunk in llm.stream("hello")) == "answer 2"
    with mode("replay"), pytest.raises(ReplayMissError):
        list(llm.stream("hello"))


def test_overridden_public_methods_are_run(cache):
    """A class that does something around ``invoke`` and ``generate`` does it on hit and miss."""
    done = []

    class Around(DeskChat):
        def invoke(self, *args: Any, **kwargs: Any) -> Any:
            done.append("invoke")
            return super().invoke(*args, **kwargs)

        def generate(self, *args: Any, **kwargs: Any) -> Any:
            done.append("generate")
            return super().generate(*args, **kwargs)

    desk = desks.new("around")
    llm = Around(model="around")
    llm.invoke("hello")
    llm.invoke("hello")
    assert done == ["invoke", "generate"] * 2
    assert len(desk.asked) == 1


async def test_models_with_sync_methods_only(cache):
    """The async ways of a model that has only sync methods are cached too."""
    desk = desks.new("sync only")
    llm = DeskChat(model="sync only")
    answers = [(await llm.ainvoke("hello")).content]
    answers += ["".join([chunk.content async for chunk in llm.astream("hello")])]
    answers += [answer.content for answer in await llm.abatch(["hello", "hello"])]
    assert set(answers) == {"answer 1"}
    assert len(desk.asked) == 1


def test_a_hit_does_not_ask_the_rate_limiter(cache):
    """A rate limiter holds back requests, and no hits."""
    limiter = InMemoryRateLimiter(requests_per_second=0.001, max_bucket_size=1)
    limiter.available_tokens = 1
    desks.new("limited")
    llm = DeskChat(model="limited", rate_limiter=limiter)
    llm.invoke("hello")
    assert limiter.available_tokens < 1
    assert [llm.invoke("hello").content for _ in range(3)] == ["answer 1"] * 3
    assert "".join(chunk.content for chunk in llm.stream("hello")) == "answer 1"


async def test_text_models_by_every_way(cache):
    """A text model's invoke, batch, stream and their async forms share an entry a prompt."""
    desk = desks.new("text ways")
    llm = DeskText(model="text ways")
    answers = [
        llm.invoke("p"),
        llm.batch(["p", "q"])[0],
        "".join(llm.stream("p")),
        await llm.ainvoke("p"),
        (await llm.abatch(["q", "p"]))[1],
        "".join([chunk async for chunk in llm.astream("p")]),
    ]
    assert set(answers) == {"answer 1 to p"}
    assert desk.asked == [["p"], ["q"]]
    assert kinds()[-1] == "hit"


# --- what a hit is ---


def test_a_hit_is_the_message_as_it_was(cache):
    """A hit reads like the fresh message; only its id counts on, and its call tells of it."""
    desks.new("as it was")
    llm = DeskChat(model="as it was")
    miss, hit, other = (llm.invoke("hello") for _ in range(3))
    assert repr(hit).replace(hit.id, miss.id) == repr(miss)
    assert [hit.id, other.id] == [f"{miss.id}-2", f"{miss.id}-3"]
    assert [call_of(message).kind for message in (miss, hit, other)] == ["miss", "hit", "hit"]
    assert call_of(hit).key == calls()[0].key


def test_a_hit_goes_through_langchains_own_form(cache, chat_openai):
    """A hit can be dumped and loaded by LangChain and is the same message."""
    llm = chat_openai()
    llm.invoke("hello")
    hit = llm.invoke("hello")
    with warnings.catch_warnings(action="ignore"):  # LangChain calls its ``loads`` beta
        allowed = {"allowed_objects": [AIMessage]} if HAS_EVENTS_V3 else {}
        again = loads(dumps(hit), **allowed)
    assert again == hit
    assert again.usage_metadata["total_tokens"] > 0


def test_a_hit_in_the_history_does_not_change_the_next_key(cache, chat_openai, openai_server):
    """A conversation that is run again hits in every turn."""

    def talk() -> list[Any]:
        history: list[Any] = []
        for text in ("one", "two", "three"):
            history.append(("user", text))
            history.append(llm.invoke(history))
        return [message.content for message in history[1::2]]

    llm = chat_openai()
    assert talk() == talk() == talk()
    assert len(openai_server.requests) == 3


def test_langgraph_appends_hits(cache):
    """Two equal hits in one conversation stand there twice."""
    from langgraph.graph.message import add_messages

    desks.new("appended")
    llm = DeskChat(model="appended")
    llm.invoke("hello")
    messages: list[Any] = []
    for _ in range(3):
        messages = add_messages(messages, [llm.invoke("hello")])
    assert len(messages) == 3


def test_one_event_a_call(cache, chat_openai, openai_server):
    """Every way to ask leaves one event a request, hits with what they saved."""
    llm = chat_openai(stream_usage=True)
    openai_server.delay_s = 0.05
    llm.invoke("a")
    list(llm.stream("a"))
    llm.batch(["a", "b"])
    assert sorted(kinds()) == ["hit", "hit", "miss", "miss"]
    for call in calls():
        assert call.model == "openai:gpt-test"
        assert call.wall_s > 0
        assert (call.saved_s is not None) == (call.kind == "hit")
        assert call.usage["total_tokens"] > 0


def test_prompts_of_one_call_tell_their_own_times(cache):
    """Of several prompts in one call each event has its own time, not the time of all."""
    desks.new("times", lambda _: time.sleep(0.1))
    DeskChat(model="times").generate([[HumanMessage(text)] for text in "abc"])
    assert sum(call.wall_s for call in calls()) < 0.45
    DeskText(model="times").generate(["a", "b", "c"])
    assert sum(call.provider_s for call in calls()[3:]) < 0.2


def test_a_stream_with_reasoning_blocks(cache, chat_openai, openai_server):
    """Reasoning and text of the responses API come back as the same blocks, in the same order."""
    openai_server.reply = lambda _: Reply("one two three", reasoning="let me think")
    llm = chat_openai(use_responses_api=True, reasoning={"effort": "low"})

    def whole() -> Any:
        total: Any = None
        for chunk in llm.stream("hello"):
            total = chunk if total is None else total + chunk
        return total

    miss, hit = whole(), whole()
    assert hit.content == miss.content
    assert [block["type"] for block in hit.content_blocks] == ["reasoning", "text"]
    assert hit.usage_metadata == miss.usage_metadata


@pytest.mark.parametrize("version", [None, "v1"])
def test_a_stream_with_tool_call_blocks(cache, chat_openai, openai_server, version):
    """Tool calls of the responses API come back numbered as the blocks that they stand in."""
    calls_made = [("add", {"a": 1}), ("add", {"a": 2})]
    openai_server.reply = lambda _: Reply("let me see", tool_calls=calls_made)
    llm = chat_openai(use_responses_api=True, output_version=version)
    miss, hit = (functools.reduce(lambda a, b: a + b, llm.stream("hello")) for _ in range(2))
    assert hit.content == miss.content
    assert hit.tool_call_chunks == miss.tool_call_chunks
    assert len(openai_server.requests) == 1


class BlockChat(DeskChat):
    """Streams blocks, as some providers do."""

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for text in ("a", "b"):
            content: list[Any] = [{"type": "text", "text": text, "index": 0}]
            yield ChatGenerationChunk(message=AIMessageChunk(content=content))


def test_what_others_do_to_blocks_is_not_stored(cache):
    """Changing a block inside a chunk does not change the entry."""
    for chunk in BlockChat().stream("hello"):
        if chunk.content:
            chunk.content[0]["text"] = "poison"
    assert BlockChat().invoke("hello").text == "ab"
