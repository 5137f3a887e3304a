"""A recalled message is the message as it was, and so the conversation goes on.

Each form of content is recorded in one way and asked for in another.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import message_chunk_to_message

from jupyter_llmcache import MemoryCache, mode
from tests.integration.matrix.entry_points import HAS_EVENTS_V3
from tests.servers.openai import Reply

ENCRYPTED = {"use_responses_api": True, "include": ["reasoning.encrypted_content"]}
FORMS: dict[str, dict[str, Any]] = {
    "chat": {},
    "chat, v1": {"output_version": "v1"},
    "responses": ENCRYPTED,
    "responses, v0": {**ENCRYPTED, "output_version": "v0"},
    "responses, v1": {**ENCRYPTED, "output_version": "v1"},
}
TWO_CALLS = [("add", {"a": 1}), ("add", {"a": 2})]
REPLIES = {
    "text": Reply("one two three"),
    "calls": Reply("let me see", tool_calls=TWO_CALLS),
    "calls alone": Reply(None, tool_calls=TWO_CALLS),
    "thoughts": Reply("one two", reasoning="let me think\n\nthen again", tool_calls=TWO_CALLS[:1]),
}


def add(a: int) -> int:
    """Add one."""
    return a + 1


def summed(chunks: Any) -> Any:
    return functools.reduce(lambda left, right: left + right, chunks)


async def invoke(llm: Any, asked: Any) -> Any:
    return llm.invoke(asked)


async def stream(llm: Any, asked: Any) -> Any:
    return message_chunk_to_message(summed(llm.stream(asked)))


async def astream(llm: Any, asked: Any) -> Any:
    return message_chunk_to_message(summed([chunk async for chunk in llm.astream(asked)]))


async def events(llm: Any, asked: Any) -> Any:
    return llm.stream_events(asked, version="v3").output


async def aevents(llm: Any, asked: Any) -> Any:
    return await (await llm.astream_events(asked, version="v3")).output


WAYS = (invoke, stream, astream)


def reading(message: Any) -> str:
    """What a reader sees of a message, but for its id, which is another one at each hit."""
    return repr(message.model_copy(update={"id": None}))


@pytest.fixture
def fresh_cache():
    """Put a new cache on, and take it away after the test."""
    caches: list[MemoryCache] = []

    def turn_on() -> None:
        caches.append(MemoryCache())
        set_llm_cache(caches[-1])

    yield turn_on
    set_llm_cache(None)
    for cache in caches:
        cache.close()


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("form", FORMS)
async def test_a_hit_is_the_message_as_it_was(fresh_cache, chat_openai, openai_server, form, reply):
    """What one way recorded, each way gets as it was, and the next turn made of it hits too."""
    openai_server.reply = lambda _: REPLIES[reply]
    llm = chat_openai(**FORMS[form]).bind_tools([add])
    for first, then in itertools.product(WAYS, WAYS):
        fresh_cache()
        paid = openai_server.answered
        fresh, hit, again = [await way(llm, "Well?") for way in (first, then, first)]
        assert openai_server.answered == paid + 1
        assert reading(again) == reading(fresh) == reading(hit), (first, then)
        turns = [["Well?", message, "And?"] for message in (fresh, hit, again)]
        for turn in turns:
            llm.invoke(turn)
        assert openai_server.answered == paid + 2, (first, then)
        assert len({fresh.id, hit.id, again.id}) == 3


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("form", FORMS)
async def test_a_provider_is_sent_the_ids_that_it_gave(
    fresh_cache, chat_openai, openai_server, form, reply
):
    """What a hit is handed out under is known here alone: the next turn is sent as after the fresh
    answer.
    """
    fresh_cache()
    openai_server.reply = lambda _: REPLIES[reply]
    llm = chat_openai(**FORMS[form]).bind_tools([add])
    answers = [llm.invoke("Well?") for _ in range(3)]
    for way in WAYS:
        sent = []
        for answer in answers:
            with mode("refresh"):
                await way(llm, ["Well?", answer, "And?"])
            sent.append(openai_server.requests[-1].body)
        assert sent[0] == sent[1] == sent[2]


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("listens", [False, True])
async def test_a_hit_comes_in_the_same_pieces(
    fresh_cache, chat_openai, openai_server, form, reply, listens
):
    """Each chunk of a hit reads like the fresh one; a listener gets its tokens, and pays none."""
    fresh_cache()
    openai_server.reply = lambda _: REPLIES[reply]
    handlers = [Listener() for _ in range(3 * listens)]
    configs = [{"callbacks": [each]} for each in handlers] or [{}] * 3
    llm = chat_openai(**FORMS[form]).bind_tools([add])
    fresh, hit = [[reading(c) for c in llm.stream("Well?", config)] for config in configs[:2]]
    later = [reading(chunk) async for chunk in llm.astream("Well?", configs[2])]
    assert openai_server.answered == 1
    assert len(fresh) > 2
    assert hit == fresh == later
    assert len({tuple(each.tokens) for each in handlers}) <= 1
    assert not any(each.spent for each in handlers[1:])


class Listener(BaseCallbackHandler):
    """Notes the tokens of a stream, and what the whole answer cost."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.spent: int | None = None

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(str(token))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        usage = response.generations[0][0].message.usage_metadata
        self.spent = usage and usage["total_tokens"]


@pytest.mark.skipif(not HAS_EVENTS_V3, reason="this release has no such events")
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
@pytest.mark.parametrize("first", [*WAYS, events])
async def test_events_tell_the_usage_that_was(fresh_cache, chat_openai, openai_server, first):
    """A hit's newest events tell the tokens of the answer that was paid for."""
    fresh_cache()
    llm = chat_openai(use_responses_api=True)
    fresh, *hits = [await way(llm, "Well?") for way in (first, events, aevents)]
    assert [hit.usage_metadata for hit in hits] == [fresh.usage_metadata] * 2
    assert [hit.text for hit in hits] == [fresh.text] * 2
    assert openai_server.answered == 1


@pytest.mark.skipif(not HAS_EVENTS_V3, reason="this release has no such events")
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("form", FORMS)
async def test_a_conversation_by_events_goes_on(
    fresh_cache, chat_openai, openai_server, form, reply
):
    """The next turn of an answer by events hits, fresh or cached, sync or not; in every mixture
    where all that ways make of it says the same to the provider.
    """
    openai_server.reply = lambda _: REPLIES[reply]
    llm = chat_openai(**FORMS[form]).bind_tools([add])
    is_one_form = form == "chat" or (reply == "text" and form != "responses, v0")
    ways = (*WAYS, events, aevents) if is_one_form else (events, aevents)
    for first, then in itertools.product(ways, ways):
        fresh_cache()
        paid = openai_server.answered
        for message in [await way(llm, "Well?") for way in (first, then, first)]:
            llm.invoke(["Well?", message, "And?"])
        assert openai_server.answered == paid + 2, (first, then)
