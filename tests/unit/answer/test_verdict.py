"""Which answers are good enough to keep."""

from __future__ import annotations

import time

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation

from jupyter_llmcache.answer.verdict import Verdict, verdict

GOOD = Verdict(None, None)


def judge(content="hello", info=None, *, max_tokens=False, **fields) -> Verdict:
    message = AIMessage(content=content, **fields)
    generation = ChatGeneration(message=message, generation_info=info)
    return verdict([generation], max_tokens_given=max_tokens)


def test_complete_answers_are_good():
    """An answer that ended as it should is kept, whoever gave it."""
    for told in [
        {"finish_reason": "stop", "model_provider": "openai"},
        {"finish_reason": "tool_calls", "model_provider": "openai"},
        {"finish_reason": "stopstop", "model_provider": "openai"},
        {"status": "completed", "model_provider": "openai"},
        {"stop_reason": "end_turn", "model_provider": "anthropic"},
        {"stop_reason": "stop_sequence", "model_provider": "anthropic"},
        {"stop_reason": "tool_use", "model_provider": "anthropic"},
        {"stop_reason": "pause_turn", "model_provider": "anthropic"},
        {"finish_reason": "STOP", "model_provider": "google_genai"},
        {"finish_reason": "FinishReason.STOP", "model_provider": "google_genai"},
        {"done_reason": "stop", "done": True, "model_provider": "ollama"},
        {"stopReason": "end_turn", "model_provider": "bedrock_converse"},
        {"finish_reason": "eos_token"},
        {"finish_reason": "COMPLETE"},
        {},
    ]:
        assert judge(response_metadata=told) == GOOD
        assert judge(info=told) == GOOD


@pytest.mark.parametrize(
    "told",
    [
        {"finish_reason": "length", "model_provider": "openai"},
        {
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "model_provider": "openai",
        },
        {"stop_reason": "max_tokens", "model_provider": "anthropic"},
        {"finish_reason": "MAX_TOKENS", "model_provider": "google_genai"},
        {"finish_reason": "MAX_TOKENSMAX_TOKENS", "model_provider": "google_genai"},
        {"done_reason": "length", "done": True, "model_provider": "ollama"},
        {"stopReason": "max_tokens", "model_provider": "bedrock_converse"},
    ],
)
def test_a_cut_answer_is_kept_where_the_request_asked_for_it(told):
    """An answer cut by the request's own limit is kept and marked, one cut by another is not."""
    assert judge(response_metadata=told, max_tokens=True) == Verdict(None, "cut at max_tokens")
    assert judge(response_metadata=told).reason.startswith("unfinished answer (")


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"finish_reason": "content_filter", "model_provider": "openai"}, "content_filter"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content_filter",
        ),
        ({"stop_reason": "refusal", "model_provider": "anthropic"}, "refusal"),
        ({"finish_reason": "SAFETY", "model_provider": "google_genai"}, "safety"),
        ({"finish_reason": "RECITATION", "model_provider": "google_genai"}, "recitation"),
        ({"prompt_feedback": {"block_reason": 2}, "model_provider": "google_genai"}, "safety"),
        ({"stopReason": "guardrail_intervened"}, "guardrail_intervened"),
    ],
)
def test_filtered_answers_are_not_kept(told, word):
    """What a provider's filter stopped is not kept, with or without a token limit."""
    expected = Verdict(f"filtered answer ({word})", None)
    assert judge(response_metadata=told) == judge(info=told, max_tokens=True) == expected


def test_broken_answers_are_not_kept():
    """An answer whose end is missing, or that failed on its way, is not kept."""
    for told in [
        {"status": "failed", "model_provider": "openai"},
        {"status": "in_progress", "model_provider": "openai"},
        {"stop_reason": "model_context_window_exceeded", "model_provider": "anthropic"},
        {"finish_reason": "MALFORMED_FUNCTION_CALL", "model_provider": "google_genai"},
        {"finish_reason": "error"},
        {"finish_reason": "insufficient_system_resource", "model_provider": "deepseek"},
        {"done": False, "model_provider": "ollama"},
        {"done_reason": "load", "done": True, "model_provider": "ollama"},
        {"model_provider": "openai"},
        {"model_provider": "anthropic", "stop_reason": None},
        {"finish_reason": None},
    ]:
        assert judge(response_metadata=told, max_tokens=True).reason.startswith(
            "unfinished answer ("
        )


@pytest.mark.parametrize("content", ["", " \n", [], [{"type": "text", "text": ""}], ["", ""]])
def test_empty_answers_are_not_kept(content):
    """An answer without text, call or block is not kept."""
    assert judge(content) == Verdict("empty answer", None)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": [{"type": "image", "url": "x"}]},
        {"tool_calls": [{"name": "f", "args": {}, "id": "1"}]},
        {"additional_kwargs": {"audio": {"data": "x"}}},
        {"additional_kwargs": {"function_call": {"name": "f", "arguments": "{}"}}},
    ],
)
def test_an_answer_need_not_be_text(fields):
    """Calls, images, sounds and other blocks are answers without text."""
    assert judge(**{"content": "", **fields}) == GOOD


@pytest.mark.parametrize(
    "fields",
    [
        {"additional_kwargs": {"refusal": "I can't"}},
        {"content": [{"type": "refusal", "refusal": "I can't"}]},
    ],
)
def test_refusals_are_not_kept(fields):
    """A refusal that the provider marks as one is not kept."""
    told = {"response_metadata": {"finish_reason": "stop"}}
    assert judge(**{**told, **fields}) == Verdict("refused answer", None)


def test_calls_that_are_no_json_are_not_kept():
    """A call whose arguments cannot be read is not kept, so that asking again can mend it."""
    call = {"name": "f", "args": "{", "id": "1", "error": "cut"}
    assert judge("hi", invalid_tool_calls=[call]).reason == "a tool call that is not JSON"


def test_one_bad_generation_spoils_the_answer():
    """Several generations are kept or refused together, and so is none at all."""
    good, empty = Generation(text="a"), Generation(text="")
    assert verdict([good, good], max_tokens_given=False) == GOOD
    assert verdict([good, empty], max_tokens_given=False).reason == "empty answer"
    assert verdict([], max_tokens_given=False).reason == "empty answer"


def test_what_shows_nothing_is_empty():
    """Invisible characters are no answer, nor are thoughts without one."""
    for content in [
        "\u200b",
        "\u2060\ufeff \u00ad\n",
        "\u3164\u2800",
        "\U000e0041\ufe0f",
        [{"type": "text", "text": "\u200d"}],
        [{"type": "reasoning", "reasoning": "Hm."}],
        [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": " "}],
        [{"type": "redacted_thinking", "data": "x"}],
    ]:
        assert judge(content).reason == "empty answer"
        assert judge("", additional_kwargs={"reasoning_content": "Hm."}).reason == "empty answer"


@pytest.mark.parametrize(
    "fields",
    [
        {"content": [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "0"}]},
        {"content": [{"type": "image", "base64": "x"}]},
        {"content": "\u0663"},
        {"content": "\U0001f600"},
        {
            "content": [{"type": "thinking", "thinking": "Hm."}],
            "tool_calls": [{"name": "f", "args": {}, "id": "1"}],
        },
    ],
)
def test_what_shows_something_is_not_empty(fields):
    """A thought beside text, a picture or a call is an answer."""
    assert judge(**fields) == GOOD


def test_the_length_of_a_text_costs_nothing():
    """The verdict on a long text takes about as long as that on a short one."""

    def took_s(text: str) -> float:
        generations = [ChatGeneration(message=AIMessage(text))]
        times = []
        for _ in range(20):
            began = time.thread_time()
            verdict(generations, max_tokens_given=False)
            times.append(time.thread_time() - began)
        return min(times)

    assert took_s("word " * 400_000) < 20 * took_s("word")
