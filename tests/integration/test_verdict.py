"""Which answers are kept, as real clients hand them over."""

from __future__ import annotations

import gc
import inspect

import langchain_openai.chat_models.base
import pytest
from langchain_ollama import ChatOllama

from jupyter_llmcache import MemoryCache, calls
from tests.servers.openai import Reply

CLIENT_SOURCE = inspect.getsource(langchain_openai.chat_models.base)
WAYS = ["chat", "chat stream", "responses", "responses stream"]

#: Older clients pass over the event that ends a cut stream, so that no reason can be known.
whose_end_is_told = pytest.mark.parametrize(
    "llm",
    [way for way in WAYS if way != "responses stream" or "response.incomplete" in CLIENT_SOURCE],
    indirect=True,
)


@pytest.fixture(params=WAYS)
def llm(request, chat_openai):
    kind = request.param
    return chat_openai(
        use_responses_api=kind.startswith("responses"),
        streaming=kind.endswith("stream"),
        cache=MemoryCache(),
    )


def ask_twice(llm, **kwargs) -> list[tuple[str, bool, str | None, str | None]]:
    gc.collect()  # a stream that an earlier test left unread ends before, and not among these
    mark = len(calls())
    for _ in range(2):
        llm.invoke("Well?", **kwargs)
    return [(call.kind, call.stored, call.reason, call.note) for call in calls()[mark:]]


def test_a_good_answer_is_stored(llm):
    """A whole answer is stored and hit, by either API, streamed or not."""
    assert ask_twice(llm) == [("miss", True, None, None), ("hit", False, None, None)]


def test_an_answer_cut_by_the_provider_is_not_stored(llm, openai_server):
    """Without a limit of its own, a request's cut answer is fetched again."""
    openai_server.reply = lambda body: Reply("half an ans", finish_reason="length")
    for kind, stored, reason, _ in ask_twice(llm):
        assert (kind, stored) == ("miss", False)
        assert "unfinished answer" in reason


@whose_end_is_told
def test_an_answer_cut_by_the_request_is_stored_and_marked(llm, openai_server):
    """With a limit of its own the cut answer is what was asked for."""
    openai_server.reply = lambda body: Reply("half an ans", finish_reason="length")
    first, second = ask_twice(llm, max_tokens=3)
    assert first == ("miss", True, None, "cut at max_tokens")
    assert second[0] == "hit"


@whose_end_is_told
def test_a_filtered_answer_is_not_stored(llm, openai_server):
    """An answer that the filter cut is fetched again, and the event says why."""
    openai_server.reply = lambda body: Reply("half", finish_reason="content_filter")
    assert ask_twice(llm) == [("miss", False, "filtered answer (content_filter)", None)] * 2


def test_an_empty_answer_is_not_stored(llm, openai_server):
    """An empty answer is fetched again, and the event says why."""
    openai_server.reply = lambda body: ""
    assert ask_twice(llm) == [("miss", False, "empty answer", None)] * 2


@pytest.mark.parametrize("limit", [{}, {"max_tokens": 9}])
def test_a_call_that_is_no_json_is_not_stored(llm, openai_server, limit):
    """A call whose arguments break off is fetched again, streamed too, where it looks whole."""
    cut = [("look", '{"city": "Par')]
    end = "length" if limit else None
    openai_server.reply = lambda body: Reply(None, tool_calls=cut, finish_reason=end)
    assert ask_twice(llm, **limit) == [("miss", False, "a tool call that is not JSON", None)] * 2


@pytest.mark.parametrize("llm", ["chat stream", "responses stream"], indirect=True)
def test_a_cut_stream_is_not_stored(llm, openai_server):
    """A stream that ends too early, even politely, is not taken for the answer."""
    openai_server.cut_after = 4
    for _ in range(2):
        llm.invoke("one two three four five six")
    assert [call.kind for call in calls()] == ["miss", "miss"]
    assert [call.stored for call in calls()] == [False, False]


def test_ollama_tells_how_an_answer_ended(ollama_server):
    """Ollama's done_reason counts: stop is stored, length is not."""
    llm = ChatOllama(model="m", base_url=ollama_server.url, cache=MemoryCache())
    llm.invoke("Well?")
    ollama_server.reply = lambda body: Reply("half", finish_reason="length")
    llm.invoke("And now?")
    assert [(call.stored, call.reason) for call in calls()] == [
        (True, None),
        (False, "unfinished answer (length)"),
    ]
