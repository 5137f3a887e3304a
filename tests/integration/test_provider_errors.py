"""One clear line for what providers raise, tried against real servers."""

from __future__ import annotations

import pytest

from jupyter_llmcache.commands.faults import explain_provider_error
from jupyter_llmcache.commands.models import choose
from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.settings import LLMCache
from tests.servers import openai
from tests.servers.base import Failure

QUOTA = Failure(
    429, {"error": {"message": "You exceeded your current quota, check your plan and billing"}}
)
TOO_LONG = Failure(
    400, {"error": {"message": "This model's maximum context length is 8192 tokens"}}
)
BAD = Failure(400, {"error": {"message": "temperature must be at most 2"}})
KEY_ECHO = Failure(
    401,
    {"error": {"message": "Incorrect API key: sk-proj-abcdefghijklmnop1234567890\nsecond line"}},
)


def explain(model, **kwargs):
    try:
        model.invoke("hi", **kwargs)
    except Exception as error:
        explained = explain_provider_error(error, "openai:gpt-test")
        assert isinstance(explained, LLMCacheError)
        line = str(explained)
        assert "\n" not in line
        assert line.startswith("openai:gpt-test")
        return line
    raise AssertionError("no error")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (openai.invalid_key(), "the key was refused (HTTP 401): Incorrect API key provided"),
        (openai.unknown_model("gpt-test"), "there is no such model or address (HTTP 404): The mod"),
        (openai.rate_limited(), "too many requests (HTTP 429): Rate limit reached"),
        (QUOTA, "the account's quota is used up (HTTP 429)"),
        (openai.server_error(), "the provider failed (HTTP 500): The server had an error"),
        (
            Failure(529, {"error": {"message": "Overloaded"}}),
            "the provider is overloaded (HTTP 529)",
        ),
        (Failure(418, {}), "the provider refused the request (HTTP 418)"),
        (TOO_LONG, "the prompt is too long (HTTP 400)"),
        (BAD, "the provider refused the request (HTTP 400): temperature must be at most 2"),
    ],
)
def test_http_errors(failure, message, chat_openai, openai_server):
    """An HTTP error says what it means, what the provider said, and what to do."""
    openai_server.fail(failure)
    line = explain(chat_openai())
    assert message in line
    assert line.count(". ") >= 1


def test_no_key_is_repeated(chat_openai, openai_server):
    """A key that a provider echoes does not reach the notebook."""
    openai_server.fail(KEY_ECHO)
    line = explain(chat_openai())
    assert "Incorrect API key: … second line" in line


def test_unreachable(chat_openai, openai_server):
    """A server that does not run is named with its address."""
    model = chat_openai()
    openai_server.stop()
    line = explain(model)
    assert f"the server cannot be reached at {openai_server.url}/chat/completions" in line
    assert "whether the server runs" in line


def test_unknown_host(chat_openai):
    """A host that nobody knows cannot be reached; user and password are not told."""
    line = explain(chat_openai(base_url="http://user:secret@no-such-host.invalid/v1"))
    assert "cannot be reached at http://no-such-host.invalid/v1/chat/completions" in line
    assert "secret" not in line


def test_hang_up_and_timeout(chat_openai, openai_server):
    """A server that hangs up, or takes too long, is told apart."""
    openai_server.hang_up = True
    assert "cannot be reached" in explain(chat_openai())
    openai_server.hang_up = False
    openai_server.delay_s = 0.5
    assert "no answer came in time" in explain(chat_openai(timeout=0.05))


def test_unknown_parameter(chat_openai, openai_server):
    """A parameter that the provider's package does not know is named."""
    line = explain(chat_openai(), temprature=1)
    assert line == "openai:gpt-test takes no parameter 'temprature'. Check the name behind -p"
    assert not openai_server.requests


def test_ollama(ollama_server):
    """Another provider's errors are read as well."""
    ollama_server.fail(Failure(404, {"error": "model 'x' not found, try pulling it first"}))
    model = choose("ollama:x", {}, {"base_url": ollama_server.root}, LLMCache()).model
    assert "no such model or address (HTTP 404): model 'x' not found" in explain(model)
    ollama_server.stop()
    assert "cannot be reached" in explain(model)


def test_anthropic(openai_server):
    """A server that does not speak Anthropic's protocol is a clear error."""
    parameters = {"base_url": openai_server.root, "api_key": "made-up", "max_retries": 0}
    model = choose("anthropic:claude-x", {}, parameters, LLMCache()).model
    openai_server.fail(openai.rate_limited())
    assert "too many requests (HTTP 429)" in explain(model)


def test_other_errors():
    """Any other error is told with its class, and an error of ours comes through as it is."""
    line = str(explain_provider_error(ValueError("first\nsecond"), "chain"))
    assert line == "chain failed: ValueError: first second. %tb shows the whole traceback"
    ours = LLMCacheError("ours")
    outer = RuntimeError("outer")
    outer.__cause__ = ours
    assert explain_provider_error(outer, "chain") is ours
