"""The stand-in servers say what real clients understand."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from tests.servers import ollama
from tests.servers import openai as openai_protocol
from tests.servers.openai import Reply, vector_of


class Capital(BaseModel):
    city: str
    people: int


def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"fine in {city}"


@pytest.fixture(params=[False, True], ids=["chat", "responses"])
def llm(request, chat_openai) -> ChatOpenAI:
    return chat_openai(use_responses_api=request.param, stream_usage=True)


def whole(llm, *args, **kwargs):
    """The message of a stream, added up."""
    message = None
    for chunk in llm.stream(*args, **kwargs):
        message = chunk if message is None else message + chunk
    return message


def test_text_and_usage_arrive(llm, openai_server):
    """The answer's text and its tokens reach the caller."""
    message = llm.invoke("Say it, please")
    assert message.text == "answer 1: Say it, please"
    assert message.usage_metadata["input_tokens"] == 3
    assert message.usage_metadata["output_tokens"] == 5
    assert openai_server.bodies[0]["model"] == "gpt-test"


def test_stream_adds_up_to_the_answer(llm, openai_server):
    """A stream comes in several chunks that add up to the same text and usage."""
    assert len(list(llm.stream("one two three four"))) > 4
    message = whole(llm, "one two three four")
    assert message.text == "answer 2: one two three four"
    assert message.usage_metadata["output_tokens"] == 6
    assert openai_server.bodies[1]["stream"] is True


@pytest.mark.parametrize("ask", [lambda llm: llm.invoke("?"), lambda llm: whole(llm, "?")])
def test_tool_calls_arrive(llm, openai_server, ask):
    """Tool calls arrive with their names, arguments and ids, whole and streamed."""
    openai_server.reply = lambda body: Reply(
        tool_calls=[("get_weather", {"city": "Köln"}), ("get_weather", {"city": "北京"})]
    )
    message = ask(llm.bind_tools([get_weather]))
    assert [call["args"]["city"] for call in message.tool_calls] == ["Köln", "北京"]
    assert len({call["id"] for call in message.tool_calls}) == 2
    assert openai_server.bodies[0]["tools"]


def test_structured_output_follows_the_schema(llm):
    """A request with a JSON schema is answered by a value of it."""
    answer = llm.with_structured_output(Capital, method="json_schema").invoke("Which?")
    assert answer == Capital(city="text", people=1)


def test_refusal_arrives(llm, chat_openai, openai_server):
    """A refusal arrives, but for chat streams, from which LangChain drops it."""
    openai_server.reply = lambda body: Reply(refusal="I can't help with that")
    assert "I can't help with that" in str(llm.invoke("?").model_dump())
    streamed = whole(chat_openai(use_responses_api=True), "?")
    assert "I can't help with that" in str(streamed.model_dump())


def test_reasoning_arrives_with_the_responses_api(chat_openai, openai_server):
    """Reasoning summaries arrive as blocks, whole and streamed."""
    openai_server.reply = lambda body: Reply("42", reasoning="six times seven")
    llm = chat_openai(use_responses_api=True, output_version="responses/v1")
    for message in (llm.invoke("?"), whole(llm, "?")):
        assert "six times seven" in str(message.content)
        assert message.text == "42"
        assert message.usage_metadata["output_token_details"]["reasoning"] == 3


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_finish_reason_arrives(chat_openai, openai_server, reason):
    """An unfinished answer says why it ended."""
    openai_server.reply = lambda body: Reply("half an", finish_reason=reason)
    llm = chat_openai()
    assert llm.invoke("?").response_metadata["finish_reason"] == reason
    assert whole(llm, "?").response_metadata["finish_reason"] == reason
    answer = chat_openai(use_responses_api=True).invoke("?")
    assert answer.response_metadata["status"] == "incomplete"


def test_n_choices_and_logprobs_arrive(chat_openai, openai_server):
    """Several choices arrive as several generations, log probabilities with them."""
    result = chat_openai(n=3).generate([[HumanMessage("?")]])
    assert len({generation.text for generation in result.generations[0]}) == 3
    openai_server.reply = lambda body: Reply("a b", logprobs=True)
    metadata = chat_openai(logprobs=True).invoke("?").response_metadata
    assert len(metadata["logprobs"]["content"]) == 2


def test_empty_text_arrives(llm, openai_server):
    """An empty answer is an answer."""
    openai_server.reply = lambda body: ""
    assert llm.invoke("?").text == ""


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (openai_protocol.invalid_key(), openai.AuthenticationError),
        (openai_protocol.unknown_model(), openai.NotFoundError),
        (openai_protocol.rate_limited(), openai.RateLimitError),
        (openai_protocol.server_error(), openai.InternalServerError),
    ],
)
def test_failures_raise_what_the_real_ones_raise(llm, openai_server, failure, error):
    """Each HTTP error becomes the client's own exception, until the server recovers."""
    openai_server.fail(failure)
    for _ in range(2):
        with pytest.raises(error, match=failure.body["error"]["message"][:20]):
            llm.invoke("?")
    openai_server.recover()
    assert llm.invoke("?").text


def test_retries_get_through(chat_openai, openai_server):
    """A failure that lasts for two requests is over at the third."""
    openai_server.fail(openai_protocol.rate_limited(), times=2)
    assert chat_openai(max_retries=2).invoke("?").text == "answer 1: ?"
    assert len(openai_server.requests) == 3


def test_cut_stream_looks_ended(chat_openai, openai_server):
    """A stream that is cut as HTTP ends a body just stops, without a finish reason."""
    openai_server.cut_after = 3
    message = whole(chat_openai(), "one two three four")
    assert message.text == "answer 1: "
    assert "finish_reason" not in message.response_metadata


def test_dropped_stream_raises(chat_openai, openai_server):
    """A connection that is closed inside a stream is an error of the client's."""
    openai_server.cut_after, openai_server.cut_cleanly = 3, False
    with pytest.raises(
        (openai.APIError, httpx.HTTPError)
    ):  # which one, depends on the client's age
        whole(chat_openai(), "one two three four")


def test_hang_up_raises(llm, openai_server):
    """A connection that is closed without an answer is a connection error."""
    openai_server.hang_up = True
    with pytest.raises(openai.APIConnectionError):
        llm.invoke("?")


def test_delay_and_pace_are_kept(chat_openai, openai_server):
    """The first byte waits for the delay, and tokens come at the pace that was set."""
    openai_server.delay_s, openai_server.tokens_per_s = 0.1, 50
    began = time.perf_counter()
    chat_openai().invoke("?")
    assert time.perf_counter() - began >= 0.1
    began = time.perf_counter()
    whole(chat_openai(), "one two three four")
    assert time.perf_counter() - began >= 0.1 + 7 / 50


def test_connections_are_kept_alive_and_counted(chat_openai, openai_server):
    """Two calls of one model go through one connection."""
    llm = chat_openai()
    llm.invoke("one")
    llm.invoke("two")
    assert (openai_server.connections, len(openai_server.requests)) == (1, 2)


def test_requests_are_kept_byte_for_byte(chat_openai, openai_server):
    """The raw body and the headers of a request are there to be looked at."""
    chat_openai(default_headers={"x-course": "7"}).invoke("Größe 🙂 \\frac{1}{2}")
    (seen,) = openai_server.requests
    assert json.loads(seen.raw)["messages"][0]["content"] == "Größe 🙂 \\frac{1}{2}"
    assert seen.headers["x-course"] == "7"
    assert seen.headers["authorization"] == "Bearer test-key"


def test_a_closed_door_holds_requests(chat_openai, openai_server):
    """Requests wait while the server is told to hold them, and are counted as they overlap."""
    openai_server.pass_on.clear()
    llm = chat_openai()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(llm.invoke, str(i)) for i in range(4)]
        while openai_server.most_at_once < 4:
            time.sleep(0.01)
        openai_server.pass_on.set()
        assert all(w.result().text for w in waiting)


def test_text_completions(openai_server):
    """The completions API answers a text model, whole and streamed, several prompts at once."""
    llm = OpenAI(model="text-test", api_key="k", base_url=openai_server.url, max_retries=0)
    assert llm.invoke("one two") == "answer 1: one two"
    assert "".join(llm.stream("one two")) == "answer 2: one two"
    assert len(llm.generate(["a", "b"]).generations) == 2


def test_embeddings(openai_server):
    """Embeddings come back as vectors of numbers."""
    model = OpenAIEmbeddings(
        api_key="k", base_url=openai_server.url, check_embedding_ctx_length=False
    )
    assert model.embed_query("text") == vector_of("text", 3).tolist()


async def test_async_clients_too(llm):
    """The same server answers async calls and streams."""
    assert (await llm.ainvoke("?")).text == "answer 1: ?"
    assert "".join([chunk.text async for chunk in llm.astream("a b c")]) == "answer 2: a b c"


def test_ollama_chat(ollama_server):
    """The stand-in for Ollama answers ChatOllama, whole and streamed."""
    llm = ChatOllama(model="tiny", base_url=ollama_server.url, num_ctx=512)
    message = llm.invoke("one two")
    assert message.text == "answer 1: one two"
    assert message.usage_metadata["output_tokens"] == 4
    assert "".join(chunk.text for chunk in llm.stream("one two")) == "answer 2: one two"
    assert ollama_server.bodies[0]["options"]["num_ctx"] == 512


def test_ollama_tools_and_errors(ollama_server):
    """Tool calls and an unknown model arrive as from Ollama."""
    ollama_server.reply = lambda body: Reply(tool_calls=[("get_weather", {"city": "Ulm"})])
    llm = ChatOllama(model="tiny", base_url=ollama_server.url)
    assert llm.bind_tools([get_weather]).invoke("?").tool_calls[0]["args"] == {"city": "Ulm"}
    ollama_server.fail(ollama.unknown_model())
    with pytest.raises(Exception, match="not found, try pulling it first"):
        llm.invoke("?")
