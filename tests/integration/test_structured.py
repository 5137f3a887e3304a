"""Structured output: what the caller's own class makes of an answer, fresh and recalled."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.globals import set_llm_cache
from pydantic import BaseModel, Field, ValidationError, field_validator

from jupyter_llmcache import MemoryCache, SQLiteCache, call_of, calls
from jupyter_llmcache.seam.cache import mode
from jupyter_llmcache.seam.structured import refused
from tests.servers.openai import Reply

BAD = '{"city": "Bonn", "people": "many"}'


class City(BaseModel):
    city: str
    people: int

    @field_validator("city")
    @classmethod
    def is_capital(cls, city: str) -> str:
        if city == "Bonn":
            raise ValueError("no capital any more")
        return city


async def gather(chunks: Any) -> Any:
    return [chunk async for chunk in chunks]


WAYS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda llm: llm.invoke("Which?"),
    "stream": lambda llm: list(llm.stream("Which?")),
    "batch": lambda llm: llm.batch(["Which?"]),
    "ainvoke": lambda llm: asyncio.run(llm.ainvoke("Which?")),
    "astream": lambda llm: asyncio.run(gather(llm.astream("Which?"))),
}


@pytest.fixture
def cache():
    cache = SQLiteCache("answers.db")
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)
    cache.close()


def told(llm: Any, way: str) -> str:
    with pytest.raises(ValidationError) as caught:
        WAYS[way](llm)
    return str(caught.value)


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
@pytest.mark.parametrize(("first", "then"), [*zip(WAYS, [*list(WAYS)[1:], "invoke"], strict=True)])
def test_a_refused_answer_is_paid_for_once(
    cache, chat_openai, openai_server, responses, first, then
):
    """The second ask of an answer that the class refuses shows the same error for nothing."""
    openai_server.reply = lambda _: BAD
    llm = chat_openai(use_responses_api=responses).with_structured_output(
        City, method="json_schema"
    )
    fresh = told(llm, first)
    assert "2 validation errors for City" in fresh
    assert told(llm, then) == fresh
    with mode("replay"):
        assert told(llm, "invoke") == fresh
    assert openai_server.answered == 1
    assert [call.kind for call in calls()] == ["error", "hit", "hit"]
    assert calls()[0].stored


def test_an_answer_that_its_class_accepts_now_is_read(cache, chat_openai, openai_server):
    """Once the class is mended, the kept answer is read by it instead of being asked for again."""
    openai_server.reply = lambda _: '{"city": "Bonn", "people": 3}'
    llm = chat_openai().with_structured_output(City, method="json_schema")
    assert "no capital any more" in told(llm, "invoke")
    accept = type("City", (BaseModel,), {"__annotations__": {"city": str, "people": int}})
    mended = chat_openai().with_structured_output(accept, method="json_schema")
    assert mended.invoke("Which?").city == "Bonn"
    assert openai_server.answered == 1


@pytest.mark.parametrize("body", [None, "", "{", "[]", '{"text": "{}"}', "[" * 5000])
def test_an_error_without_its_answer_is_not_kept(body):
    """Only the text that the class refuses with this very error is kept: others tell nothing."""
    with pytest.raises(ValidationError) as caught:
        City.model_validate_json(BAD)
    if body is not None:
        caught.value.response = types.SimpleNamespace(text=body)
    assert refused(caught.value, {"response_format": City}, "") == []
    assert refused(caught.value, {}, BAD) == []
    assert refused(caught.value, {"response_format": City}, BAD)[0].text == BAD


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_a_recalled_object_is_the_callers_own(cache, chat_openai, openai_server, responses):
    """The message of a recalled structured answer reads like the fresh one, its object included."""
    openai_server.reply = lambda _: '{"city": "Rome", "people": 3}'
    llm = chat_openai(use_responses_api=responses).bind(response_format=City)
    fresh, recalled = (llm.invoke("Which?") for _ in range(2))
    assert recalled.additional_kwargs == fresh.additional_kwargs
    assert recalled.additional_kwargs["parsed"] == City(city="Rome", people=3)
    assert openai_server.answered == 1


@pytest.mark.parametrize("output_version", ["v0", "v1"])
@pytest.mark.parametrize("way", ["invoke", "stream", "batch"])
def test_a_refusal_is_raised_as_without_a_cache(chat_openai, openai_server, output_version, way):
    """A model that refuses raises LangChain's own error, with a cache on as without one."""
    openai_server.reply = lambda *_: Reply(None, refusal="I cannot tell that.")
    llm = chat_openai(output_version=output_version).with_structured_output(City)
    raised = []
    for cache in (None, MemoryCache()):
        set_llm_cache(cache)
        with pytest.raises(Exception, match="cannot tell") as caught:
            WAYS[way](llm)
        raised.append(type(caught.value))
    assert raised[0] is raised[1]


class Town(BaseModel):
    city: str = Field(alias="cityName")
    people: list[int]


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_an_object_with_aliases_is_recalled(cache, chat_openai, openai_server, responses):
    """A recalled structured answer is an object of the user's class, with aliases too."""
    llm = chat_openai(use_responses_api=responses)
    ask = llm.with_structured_output(Town, method="json_schema", include_raw=True)
    answers = [ask.invoke("Which city?") for _ in range(3)]
    assert openai_server.answered == 1
    assert [answer["parsed"] for answer in answers] == [Town(cityName="text", people=[1])] * 3
    assert call_of(answers[1]["raw"]).kind == "hit"
