"""What ``-m`` names, and how parameters reach a model."""

from __future__ import annotations

import importlib.util
import sys
import time
from types import ModuleType

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from jupyter_llmcache import modes
from jupyter_llmcache.commands.local import Demo
from jupyter_llmcache.commands.models import choose, variables
from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.provider_row import Provider
from jupyter_llmcache.providers import PROVIDERS
from jupyter_llmcache.settings import LLMCache


def pick(spec=None, namespace=None, parameters=None, *, mode=None, **settings):
    return choose(spec, namespace or {}, parameters or {}, LLMCache(**settings), mode)


def fault(*args, **kwargs):
    with pytest.raises(LLMCacheError) as caught:
        pick(*args, **kwargs)
    return str(caught.value)


# --- variables ---


def test_variables_of_every_kind(chat_openai):
    """A variable that holds a chat model, a chain or another Runnable is asked, also in a dict."""
    model = chat_openai()
    chain = ChatPromptTemplate.from_template("{x}") | model | StrOutputParser()
    namespace = {"gpt": model, "chain": chain, "bound": model.bind(stop=["x"]), "d": {"a": model}}
    for spec, value in [
        ("gpt", model),
        ("chain", chain),
        ("bound", namespace["bound"]),
        ('d["a"]', model),
    ]:
        chosen = pick(spec, namespace)
        assert chosen.model is value
        assert chosen.label == spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gtp", "-m gtp: there is no variable of this name. Did you mean 'gpt'?"),
        ("dmo", "Did you mean 'demo'?"),
        ("openia", "Did you mean 'openai'?"),
        ("gpt-4o", "A provider goes before a model: openai:gpt-4o"),
        ("text", "-m text: a str is not a model"),
        ("Demo", "-m Demo: this is a class, not a model. Call it: Demo(...)"),
        ("openai:", "-m openai: names no model. Write one behind the colon: openai:MODEL"),
        ("opanai:x", "there is no provider 'opanai'. Did you mean 'openai'?"),
        ("zzz:x", "there is no provider 'zzz'. Known: openai, anthropic"),
    ],
)
def test_wrong_names(spec, message):
    """A name that leads to no model is one clear error that names the nearest."""
    assert message in fault(spec, {"gpt": Demo(), "text": "x", "Demo": Demo})


def test_a_variable_wins_over_a_built_in_name_only_with_a_model():
    """A variable named demo is asked when it holds a model, and is no obstacle otherwise."""
    own = FakeListChatModel(responses=["x"])
    assert pick("demo", {"demo": own}).model is own
    assert isinstance(pick("demo", {"demo": 3}).model, Demo)


def test_variables_lists_models_only():
    """Names for TAB are those of variables that can be asked."""
    assert variables({"a": Demo(), "b": 1, "_c": Demo()}) == ["a"]


# --- the default ---


def test_default_order(monkeypatch):
    """Without -m: the setting, a chat model named llm, OpenAI by its key or URL, else an error."""
    llm = Demo()
    assert "no model is named, and none is set up. Try -m demo" in fault()
    assert "no model is named" in fault(None, {"llm": "text"})
    monkeypatch.setenv("OPENAI_API_KEY", "made-up")
    assert pick(openai_model="gpt-x").model.model_name == "gpt-x"
    assert pick().label == "openai:gpt-4o-mini"
    assert pick(None, {"llm": llm}).model is llm
    assert pick(None, {"llm": llm, "other": Demo()}, model="other").label == "other"
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert str(pick().model.root_client.base_url) == "http://127.0.0.1:9/v1/"


# --- providers ---


def test_openai_without_a_key():
    """Without a key there is one error that lists the ways; with a base URL none is needed."""
    message = fault("openai:gpt-x")
    assert message.startswith(
        "openai:gpt-x needs a key, and OPENAI_API_KEY is not set. Try -m demo"
    )
    assert "\n" not in message
    assert "-m demo" in message
    local = pick("openai:gpt-x", parameters={"base_url": "http://127.0.0.1:9/v1"})
    assert str(local.model.root_client.base_url) == "http://127.0.0.1:9/v1/"


@pytest.mark.parametrize("way", ["flag", "session", "environment"])
def test_replay_needs_no_key(way, monkeypatch):
    """In replay a provider's model is made without a key, and is OpenAI's by default."""
    if way == "session":
        modes.set_session_mode("replay")
    if way == "environment":
        monkeypatch.setenv("LLMCACHE_MODE", "replay")
    mode = "replay" if way == "flag" else None
    assert pick("openai:gpt-x", mode=mode).model.model_name == "gpt-x"
    assert pick("anthropic:claude-x", mode=mode).model.model == "claude-x"
    assert pick(mode=mode).label == "openai:gpt-4o-mini"


def test_other_providers(ollama_server):
    """Another provider's model is made by LangChain, and gets its connection from -p."""
    chosen = pick("ollama:llama-test:8b", parameters={"base_url": ollama_server.root})
    assert chosen.model.model == "llama-test:8b"
    assert chosen.label == "ollama:llama-test:8b"
    assert chosen.model.invoke("hi").text


def test_a_provider_that_langchain_does_not_make(monkeypatch):
    """A row is enough for -m: the first class that it names is made."""

    class ChatAcme(FakeListChatModel):
        model: str
        responses: list[str] = ["hi"]  # noqa: RUF012  # pydantic copies it

    package = ModuleType("langchain_acme")
    package.ChatAcme = ChatAcme
    monkeypatch.setitem(sys.modules, "langchain_acme", package)
    row = Provider("acme", "langchain-acme", "ChatAcme", keys=("ACME_API_KEY",))
    monkeypatch.setitem(PROVIDERS, "acme", row)
    monkeypatch.setenv("ACME_API_KEY", "k")
    model = pick("acme:large").model
    assert (type(model), model.model) == (ChatAcme, "large")


def test_other_provider_without_its_key_or_package():
    """A missing key or package is one error with the variable or the pip line."""
    assert fault("anthropic:claude-x").startswith(
        "anthropic:claude-x needs a key, and ANTHROPIC_API_KEY is not set. Set it: "
    )
    modes.set_session_mode("replay")
    assert fault("groq:x") == "groq:x needs langchain-groq. Run %pip install langchain-groq"


def test_without_langchain(monkeypatch):
    """Where langchain is not installed, the error has the whole pip line."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "langchain" else find(name, *a),
    )
    message = fault("mistralai:x", mode="replay")
    assert message == (
        "mistralai:x needs langchain. Run %pip install langchain langchain-mistralai"
    )
    assert "there is no provider 'mistrals'" in fault("mistrals:x")


# --- parameters ---


def sent(server):
    return server.bodies[-1]


@pytest.mark.parametrize("made", ["variable", "bound", "spec"])
def test_parameters_reach_the_provider(made, chat_openai, openai_server):
    """A field, an alias and any other parameter reach the provider, and override what was set."""
    model = chat_openai(temperature=0.1)
    wanted = {"temperature": 0.7, "max_tokens": 5, "seed": 3, "logit_bias": {"1": 2}, "user": "u"}
    if made == "spec":
        connection = {"base_url": openai_server.url, "api_key": "made-up"}
        chosen = pick("openai:gpt-test", parameters={**wanted, **connection})
    elif made == "bound":
        bound = model.bind(temperature=0.2, stop=["x"])
        chosen = pick("m", {"m": bound}, wanted)
    else:
        chosen = pick("m", {"m": model}, wanted)
    chosen.model.invoke("hi")
    body = sent(openai_server)
    assert (body["temperature"], body["max_completion_tokens"], body["seed"]) == (0.7, 5, 3)
    assert (body["logit_bias"], body["user"]) == ({"1": 2}, "u")
    if made == "bound":
        assert body["stop"] == ["x"]
    assert model.temperature == 0.1


def test_ollama_gets_its_options(ollama_server):
    """A temperature reaches Ollama among the options it belongs to."""
    parameters = {"base_url": ollama_server.root, "temperature": 0.7, "num_ctx": 99}
    pick("ollama:llama-test", parameters=parameters).model.invoke("hi")
    options = sent(ollama_server)["options"]
    assert (options["temperature"], options["num_ctx"]) == (0.7, 99)


def test_parameters_that_cannot_reach(chat_openai):
    """A chain takes no parameters, and a made model no new address; both are errors."""
    model = chat_openai()
    chain = ChatPromptTemplate.from_template("{x}") | model
    assert "-m c: a RunnableSequence takes no -t, -p or --vary" in fault(
        "c", {"c": chain}, {"top_p": 1}
    )
    message = fault("m", {"m": model}, {"base_url": "http://127.0.0.1:9"})
    assert message.startswith("base_url: m is made already")


def test_configurable_models_take_parameters(chat_openai, openai_server):
    """Parameters reach a model with configurable alternatives, too."""
    from langchain_core.runnables import ConfigurableField

    model = chat_openai().configurable_fields(temperature=ConfigurableField(id="t"))
    pick("m", {"m": model}, {"seed": 5}).model.invoke("hi")
    assert sent(openai_server)["seed"] == 5


# --- demo ---


def test_demo_is_deterministic_and_says_that_it_is_canned():
    """The demo answers the same prompt alike, streamed or not, and Chinese in Chinese."""
    demo = pick("demo", parameters={"sleep": 0}).model
    assert demo.canned
    whole = demo.invoke("Tell me a joke")
    assert whole.text == demo.invoke("Tell me a joke").text
    parts = list(demo.stream("Tell me a joke"))
    assert len(parts) > 5
    total = sum(parts[1:], parts[0])
    assert (total.text, total.usage_metadata) == (whole.text, whole.usage_metadata)
    assert whole.usage_metadata["output_tokens"] > 5
    assert "的" in demo.invoke("讲个笑话").text + demo.invoke("缓存").text
    assert len({demo.invoke(f"question {n}").text for n in range(30)}) > 2


@pytest.mark.parametrize("streamed", [False, True])
def test_demo_takes_its_time(streamed):
    """The demo takes as long as it says, streamed or not, and -p sleep changes it."""
    demo = pick("demo", parameters={"sleep": 0.15}).model
    began = time.perf_counter()
    _ = list(demo.stream("hi")) if streamed else demo.invoke("hi")
    assert time.perf_counter() - began >= 0.15
    assert Demo().sleep == 0.8
