"""The tables of pairs over real HTTP, with the requests counted at the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI

import jupyter_llmcache
from jupyter_llmcache import MemoryCache
from jupyter_llmcache.request import describe
from tests.servers.anthropic import AnthropicServer
from tests.servers.base import RecordingServer
from tests.servers.ollama import OllamaServer
from tests.servers.openai import OpenAIServer, Reply, instance_of
from tests.unit.request.pairs import AGREE, DIFFER, Pair, possible
from tests.unit.request.sides import anthropic_model

pytestmark = pytest.mark.filterwarnings("ignore")  # what the providers' classes say of odd fields

#: A model of the user's own asks the same server in its own way.
_SERVERS = {
    "openai": "openai",
    "responses": "openai",
    "own": "openai",
    "ollama": "ollama",
    "anthropic": "anthropic",
}

#: What OpenAI's client cannot write as JSON, though other clients can.
_NEVER_SENT = {"openai: order of a set", "openai: an enumeration"}
if "profile" not in ChatOpenAI.model_fields:  # older releases send what they do not know
    _NEVER_SENT.add("openai: profile")


def _reply(server: OpenAIServer, body: dict[str, Any]) -> Any:
    """Call the tool that a request insists on; else answer as the server does."""
    if isinstance(body.get("tool_choice"), dict):
        function = body["tools"][0]["function"]
        return Reply(None, [(function["name"], instance_of(function["parameters"]))])
    return server.default_reply(body)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, RecordingServer]]:
    """A running server a protocol."""
    with OpenAIServer() as openai, OllamaServer() as ollama, AnthropicServer() as anthropic:
        openai.reply = lambda body: _reply(openai, body)
        yield {"openai": openai, "ollama": ollama, "anthropic": anthropic}


def _asked(pair: Pair, server: RecordingServer) -> tuple[list[str], int]:
    """Ask both sides in turn; return what became of the calls, and how many requests were sent."""
    sides = pair.one(server.root), pair.other(server.root)
    cache = MemoryCache()
    set_llm_cache(cache)
    before = len(server.requests)
    mark = len(jupyter_llmcache.calls())
    try:
        for side in sides:
            side.run()
    finally:
        set_llm_cache(None)
        cache.close()
    calls = jupyter_llmcache.calls()[mark:]
    assert all(call.stored for call in calls if call.kind == "miss"), calls
    sent = len(server.requests) - before
    return [call.kind for call in calls], sent


@pytest.mark.parametrize("kind", _SERVERS)
def test_requests_that_may_be_answered_differently_are_both_sent(kind, servers):
    """Two requests that differ in anything the provider sees never share an answer."""
    for pair in possible(DIFFER, [kind]):
        assert _asked(pair, servers[_SERVERS[kind]]) == (["miss", "miss"], 2), pair.name


@pytest.mark.parametrize("kind", _SERVERS)
def test_requests_that_say_the_same_are_sent_once(kind, servers):
    """Two requests that say the same to the provider are paid for once."""
    for pair in possible(AGREE, [kind]):
        if pair.name not in _NEVER_SENT:
            assert _asked(pair, servers[_SERVERS[kind]]) == (["miss", "hit"], 1), pair.name


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("api", ["chat completions", "responses"])
def test_a_conversation_that_is_run_again_hits_on_every_turn(
    api, streamed, chat_openai, openai_server
):
    """Three turns are three requests, run again none; each hit is a new message with the usage of
    the first run.
    """
    llm = chat_openai(use_responses_api=api == "responses", stream_usage=True)
    set_llm_cache(MemoryCache())

    def answered(messages: list[Any]) -> AIMessage:
        if not streamed:
            return llm.invoke(messages)
        first, *others = llm.stream(messages)
        return sum(others, first)

    def conversation() -> list[AIMessage]:
        messages: list[Any] = []
        for text in ("What is the capital of France?", "And of Spain?", "Which is larger?"):
            messages.append(HumanMessage(text))
            messages.append(answered(messages))
        return messages[1::2]

    fresh, cached = conversation(), conversation()
    assert len(openai_server.requests) == 3
    assert [call.kind for call in jupyter_llmcache.calls()] == ["miss"] * 3 + ["hit"] * 3
    assert [message.text for message in cached] == [message.text for message in fresh]
    for one, other in zip(fresh, cached, strict=True):
        assert other.usage_metadata == one.usage_metadata
        assert other.usage_metadata["total_tokens"] > 0
        assert other.id != one.id


def test_anthropics_class_is_described_like_the_others():
    """Its label and its own bound are read, and its credential is nowhere and does not count."""
    ours, theirs = (
        describe(
            anthropic_model("http://127.0.0.1:9", api_key=secret), [HumanMessage("Hi")], None, {}
        )
        for secret in ("hunter-2-hunter-2", "swordfish")
    )
    assert ours.model == "anthropic:claude-x"
    assert ours.limits_tokens  # it always sends max_tokens
    assert (ours.key, ours.description) == (theirs.key, theirs.description)
    assert "hunter-2-hunter-2" not in ours.description
