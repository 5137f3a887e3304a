"""What a user's classes and clients hold and do, over real HTTP: never another's answer."""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
import sys
import threading
from contextvars import ContextVar
from types import ModuleType
from typing import Any
from unittest import mock

import langchain_openai.chat_models.base
import openai
import pytest
import tenacity
from langchain_core.globals import set_llm_cache
from langchain_core.messages import SystemMessage
from langchain_openai import ChatOpenAI

from jupyter_llmcache import MemoryCache, calls
from jupyter_llmcache.draw.line import cell_line
from tests.servers.openai import OpenAIServer
from tests.unit.request.sides import HttpClient

#: The HTTP library that this release of OpenAI's SDK sends by.
HTTP = importlib.import_module(HttpClient.__module__.partition(".")[0])

NO_KEY = "answers by code of its own; give it cache_key()"


class Persona(ChatOpenAI):
    """Puts a system text that it was made with before the messages."""

    def __init__(self, persona: str, **fields: Any) -> None:
        super().__init__(**fields)
        self._persona = persona

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return super()._generate(
            [SystemMessage(f"You are {self._persona}."), *messages], stop, run_manager, **kwargs
        )


class Warmer(ChatOpenAI):
    """Asks at a higher temperature each time."""

    _asked: int = 0

    def _get_request_payload(self, input_, *, stop=None, **kwargs):
        self._asked += 1
        return super()._get_request_payload(input_, stop=stop, temperature=self._asked / 10)


class FromEnvironment(ChatOpenAI):
    """Reads its tone when it is asked."""

    def _get_request_payload(self, input_, *, stop=None, **kwargs):
        tone = os.environ.get("TEST_TONE", "")
        return super()._get_request_payload(input_, stop=stop, **kwargs, user=tone)


class FromFile(ChatOpenAI):
    """Reads its rules from a file when it is asked."""

    rules: str = ""

    def _get_request_payload(self, input_, *, stop=None, **kwargs):
        with open(self.rules, encoding="utf-8") as file:  # noqa: PTH123  # as a notebook writes it
            return super()._get_request_payload(input_, stop=stop, **kwargs, user=file.read())


class Keeper(ChatOpenAI):
    """Keeps documents and sends them along."""

    def __init__(self, documents: list[str], **fields: Any) -> None:
        super().__init__(**fields)
        self._documents = documents

    @property
    def _default_params(self) -> dict[str, Any]:
        return {**super()._default_params, "extra_body": {"documents": self._documents}}


class KeyedPersona(Persona):
    def cache_key(self):
        return [self._persona]


class KeyedWarmer(Warmer):
    def cache_key(self):
        return self._asked


class KeyedFromEnvironment(FromEnvironment):
    def cache_key(self):
        return os.environ.get("TEST_TONE", "")


class KeyedFromFile(FromFile):
    def cache_key(self):
        with open(self.rules, encoding="utf-8") as file:  # noqa: PTH123  # as above
            return file.read()


class KeyedKeeper(Keeper):
    def cache_key(self):
        return self._documents


class Tuned(ChatOpenAI):
    """Only sets fields."""

    temperature: float | None = 0.5


@pytest.fixture
def server():
    with OpenAIServer() as running:
        set_llm_cache(MemoryCache())
        yield running
        set_llm_cache(None)


@pytest.fixture
def fields(server) -> dict[str, Any]:
    return {"model": "gpt-x", "api_key": "k", "base_url": server.url, "max_retries": 0}


def asked(server: OpenAIServer, *models: Any) -> tuple[list[str], int]:
    """Ask each the same; return what became of the calls, and how many requests were sent."""
    before, mark = len(server.requests), len(calls())
    for model in models:
        model.invoke("Who are you?")
    return [call.kind for call in calls()[mark:]], len(server.requests) - before


@pytest.fixture
def asked_both(server):
    """Ask each the same, first synchronously and then not; say as ``asked``."""

    def ask(*models: Any) -> tuple[list[str], int]:
        before, mark = len(server.requests), len(calls())
        for model in models:
            model.invoke("Who are you?")
            runner.run(model.ainvoke("Who are you?"))
        return [call.kind for call in calls()[mark:]], len(server.requests) - before

    with asyncio.Runner() as runner:  # HTTP clients are bound to the loop that they first ran on
        yield ask


@pytest.fixture
def ways(fields, tmp_path, monkeypatch):
    """Two states of each kind of class: how to make one, given the class and the state."""
    file = tmp_path / "rules.txt"

    def persona(cls, state):
        return cls(f"a {state}", **fields)

    def warmer(cls, state):
        made = cls(**fields)
        made._asked = len(state)
        return made

    def environment(cls, state):
        monkeypatch.setenv("TEST_TONE", state)
        return cls(**fields)

    def read(cls, state):
        file.write_text(state)
        return cls(rules=str(file), **fields)

    def keeper(cls, state):
        return cls([state], **fields)

    return {
        "persona": (persona, Persona, KeyedPersona),
        "warmer": (warmer, Warmer, KeyedWarmer),
        "environment": (environment, FromEnvironment, KeyedFromEnvironment),
        "file": (read, FromFile, KeyedFromFile),
        "documents": (keeper, Keeper, KeyedKeeper),
    }


KINDS = ["persona", "warmer", "environment", "file", "documents"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_with_code_of_its_own_is_asked_each_time(kind, ways, server):
    """Without ``cache_key`` nothing is kept, and the line says how to change that."""
    make, plain, _ = ways[kind]
    for state in ("pirate", "nun", "nun"):
        kinds, sent = asked(server, make(plain, state))
        assert (kinds, sent) == (["miss"], 1)
        assert calls()[-1].reason == f"{plain.__name__} {NO_KEY}"
        assert str(cell_line(calls()[-1:])).count("not cached") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_with_cache_key_shares_what_its_answers_stand_on(kind, ways, server):
    """Another state is another request; the same state, in an object made anew, hits."""
    make, _, keyed = ways[kind]
    outcomes = [asked(server, make(keyed, state)) for state in ("pirate", "nun", "pirate", "nun")]
    if kind == "warmer":  # by how long the word is
        assert outcomes[:2] == [(["miss"], 1), (["miss"], 1)]
    assert outcomes == [(["miss"], 1), (["miss"], 1), (["hit"], 0), (["hit"], 0)]


def test_a_class_that_only_sets_fields_needs_nothing(fields, server):
    """It is cached like the library's; what it holds beside its fields counts."""
    assert asked(server, Tuned(**fields), Tuned(**fields)) == (["miss", "hit"], 1)
    other = Tuned(**fields)
    other.__dict__["tenant"] = "b"
    assert asked(server, other) == (["miss"], 1)


def test_a_cache_key_that_fails_costs_the_cache_and_not_the_call(fields, server):
    """The line says which method failed, and how."""

    class Failing(Persona):
        def cache_key(self):
            raise LookupError("no")

    assert asked(server, Failing("x", **fields)) == (["miss"], 1)
    assert calls()[-1].reason == "Failing.cache_key() raised LookupError"


# --- clients, and methods put over others ---


def add_header(value):
    def hook(request):
        request.headers["X-Tenant"] = value

    return hook


class Tenant(HTTP.Auth):
    def __init__(self, name: str) -> None:
        self.name = name

    def auth_flow(self, request):
        request.headers["X-Tenant"] = self.name
        yield request


def with_http(fields, **options):
    return ChatOpenAI(**fields, http_client=HTTP.Client(**options))


def with_options(fields, **options):
    model = ChatOpenAI(**fields)
    model.root_client = model.root_client.with_options(**options)
    model.client = model.root_client.chat.completions
    return model


def with_create(fields, user):
    """A model whose client's method was put over on the instance."""
    model = ChatOpenAI(**fields)
    create = model.client.create
    model.client.create = lambda **body: create(**body | {"user": user})
    return model


def with_generate(fields, text):
    """A model with a method put over its instance."""
    model = ChatOpenAI(**fields)
    generate = model._generate

    def louder(messages, stop=None, run_manager=None, **kwargs):
        return generate([SystemMessage(text), *messages], stop, run_manager, **kwargs)

    model.__dict__["_generate"] = louder
    return model


BY_CLIENT = {
    "headers": lambda fields, word: with_http(fields, headers={"X-Route": word}),
    "params": lambda fields, word: with_http(fields, params={"route": word}),
    "cookies": lambda fields, word: with_http(fields, cookies={"route": word}),
    "hook": lambda fields, word: with_http(fields, event_hooks={"request": [add_header(word)]}),
    "auth class": lambda fields, word: with_http(fields, auth=Tenant(word)),
    "options' header": lambda fields, word: with_options(fields, default_headers={"X-A": word}),
    "options' query": lambda fields, word: with_options(fields, default_query={"a": word}),
    "client's method": with_create,
    "instance's method": with_generate,
}


@pytest.mark.parametrize("kind", BY_CLIENT)
def test_what_a_client_sends_along_counts(kind, fields, server):
    """Another word is another request, the same word in a client made anew hits."""
    make = BY_CLIENT[kind]
    plain = ChatOpenAI(**fields)
    kinds, sent = asked(server, plain, make(fields, "red"), make(fields, "blue"))
    assert (kinds, sent) == (["miss"] * 3, 3)
    assert asked(server, make(fields, "red"), make(fields, "blue"), plain) == (["hit"] * 3, 0)


def test_a_method_put_over_a_library_class_counts(fields, server, monkeypatch):
    """Also where the model was asked before, and again when the method is taken away."""
    model = ChatOpenAI(**fields)
    assert asked(server, model, model) == (["miss", "hit"], 1)
    payload = ChatOpenAI._get_request_payload
    with monkeypatch.context() as patched:
        patched.setattr(
            ChatOpenAI,
            "_get_request_payload",
            lambda self, *args, **kwargs: {**payload(self, *args, **kwargs), "user": "me"},
        )
        assert asked(server, model, model) == (["miss", "hit"], 1)
    assert asked(server, model) == (["hit"], 0)


def sending(send, word):
    """A method of an HTTP client or a transport that adds a header."""

    def method(self, request, **options):
        request.headers["X-Tenant"] = word
        return send(self, request, **options)

    return method


def creating(create, word):
    """An SDK's method that asks for a user."""
    return lambda self, **body: create(self, **body | {"user": word})


class Creating:
    """The same as an object."""

    def __init__(self, create, word) -> None:
        self.create, self.word = create, word

    def __get__(self, resource, owner):
        return functools.partial(self, resource)

    def __call__(self, resource, **body):
        return self.create(resource, **body | {"user": self.word})


def converting(convert, word):
    return lambda message, **options: convert(message, **options) | {"name": word}


def requesting(request, word):
    def method(self, cast_to, options, **more):
        options.json_data["user"] = word
        return request(self, cast_to, options, **more)

    return method


def asending(send, word):
    async def method(self, request, **options):
        request.headers["X-Tenant"] = word
        return await send(self, request, **options)

    return method


def arequesting(request, word):
    async def method(self, cast_to, options, **more):
        options.json_data["user"] = word
        return await request(self, cast_to, options, **more)

    return method


def once(function):
    return tenacity.retry(stop=tenacity.stop_after_attempt(1))(function)


COMPLETIONS = openai.resources.chat.completions.Completions
#: Where a method is put over, which, and by what: below the client, beside it, in a module.
PUT_OVER = {
    "the HTTP client's": (HTTP.Client, "send", sending),
    "the transport's": (HTTP.HTTPTransport, "handle_request", sending),
    "the SDK client's": (openai._base_client.SyncAPIClient, "request", requesting),
    "the resource's": (COMPLETIONS, "create", creating),
    "an object": (COMPLETIONS, "create", Creating),
    "a partial method": (COMPLETIONS, "create", lambda f, w: functools.partialmethod(f, user=w)),
    "wrapped by a library": (COMPLETIONS, "create", lambda f, w: once(creating(f, w))),
    "a property": (
        openai.OpenAI,
        "default_headers",
        lambda f, w: property(lambda self: {**f.fget(self), "X-Tenant": w}),
    ),
    "a module's": (langchain_openai.chat_models.base, "_convert_message_to_dict", converting),
}


@pytest.mark.parametrize("kind", PUT_OVER)
def test_a_method_put_over_below_the_model_counts(kind, fields, server, monkeypatch):
    """Also for a model that was asked before; the same again hits, and without it the first."""
    place, name, make = PUT_OVER[kind]
    original = vars(place)[name]
    model = ChatOpenAI(**fields)
    assert asked(server, model, model) == (["miss", "hit"], 1)
    for sent in (1, 0):
        for word in ("red", "blue"):
            monkeypatch.setattr(place, name, make(original, word))
            outcome = (["miss" if sent else "hit", "hit"], sent)
            assert asked(server, model, ChatOpenAI(**fields)) == outcome
    monkeypatch.setattr(place, name, original)
    assert asked(server, model, ChatOpenAI(**fields)) == (["hit"] * 2, 0)


@pytest.mark.parametrize("kind", [*PUT_OVER, "the other API's"])
def test_what_was_put_over_before_a_model_was_made_counts_alike_at_each_call(
    kind, fields, server, monkeypatch
):
    """Parts that the SDK makes at its first request hold the method too, and say no more."""
    responses = importlib.import_module("openai.resources.responses.responses").Responses
    place, name, make = PUT_OVER.get(kind, (responses, "create", creating))
    monkeypatch.setattr(place, name, make(vars(place)[name], "red"))
    options = fields | {"use_responses_api": kind not in PUT_OVER, "http_client": HTTP.Client()}
    model = ChatOpenAI(**options)
    assert asked(server, model, model, ChatOpenAI(**options)) == (["miss", "hit", "hit"], 1)


def in_a_function(original):
    def method(*args, **kwargs):
        return original(*args, **kwargs)

    return method


#: An object below a model and the name of its method.
BELOW = {
    "a transport": (lambda model: model.root_client._client._transport, "handle_request"),
    "a part of an API": (lambda model: model.root_client.responses, "create"),
    "a part of a part": (lambda model: model.client.with_raw_response, "create"),
}


@pytest.mark.parametrize("make", [functools.partial, in_a_function])
@pytest.mark.parametrize("kind", BELOW)
def test_a_method_put_over_an_instance_below_the_model_counts(kind, make, fields, server):
    """Also where it is a function that holds the original, and also for a model asked before."""
    is_part = kind == "a part of an API"
    model = ChatOpenAI(**fields, http_client=HTTP.Client(), use_responses_api=is_part)
    assert asked(server, model) == (["miss"], 1)
    place, name = BELOW[kind][0](model), BELOW[kind][1]
    original = getattr(place, name)
    was_held = name in vars(place)
    setattr(place, name, make(original))
    assert asked(server, model, model) == (["miss", "hit"], 1)
    setattr(place, name, original) if was_held else delattr(place, name)
    assert asked(server, model) == (["hit"], 0)


ASYNC_METHODS = {
    "the HTTP client's": (HTTP.AsyncClient, "send", asending),
    "the transport's": (HTTP.AsyncHTTPTransport, "handle_async_request", asending),
    "the SDK client's": (openai._base_client.AsyncAPIClient, "request", arequesting),
}


@pytest.mark.parametrize("kind", ASYNC_METHODS)
def test_a_method_put_over_an_asynchronous_class_counts_for_asynchronous_calls(
    kind, fields, asked_both, monkeypatch
):
    """Also for a model that was asked before; a synchronous call, which does not go there, hits."""
    place, name, make = ASYNC_METHODS[kind]
    model = ChatOpenAI(**fields)
    assert asked_both(model, model) == (["miss"] + ["hit"] * 3, 1)
    for word in ("red", "blue"):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, make(vars(place)[name], word))
            outcome = (["hit", "miss", "hit", "hit"], 1)
            assert asked_both(model, ChatOpenAI(**fields)) == outcome
    assert asked_both(model) == (["hit"] * 2, 0)


def test_what_only_one_of_two_clients_sends_along_counts_for_its_own_calls(fields, asked_both):
    """A header of the synchronous client is no part of what an asynchronous call asks, nor back."""
    plain = ChatOpenAI(**fields)
    http = {"http_client": HTTP.Client(headers={"X-Tenant": "red"})}
    ahttp = {"http_async_client": HTTP.AsyncClient(headers={"X-Tenant": "red"})}
    assert asked_both(plain) == (["miss", "hit"], 1)
    assert asked_both(ChatOpenAI(**fields, **http)) == (["miss", "miss"], 2)
    assert asked_both(ChatOpenAI(**fields, **ahttp)) == (["hit", "miss"], 1)
    assert asked_both(ChatOpenAI(**fields, **http, **ahttp)) == (["hit"] * 2, 0)


def test_code_of_the_users_may_go_any_way(fields, server, monkeypatch):
    """Where a method that was put over asks the asynchronous client, what that sends counts."""

    def generate(self, *args, **kwargs):
        return asyncio.run(self._agenerate(*args, **kwargs))

    monkeypatch.setattr(ChatOpenAI, "_generate", generate)
    models = [
        ChatOpenAI(**fields, http_async_client=HTTP.AsyncClient(headers={"X-Tenant": word}))
        for word in ("red", "blue")
    ]
    assert asked(server, *models) == (["miss", "miss"], 2)


TENANTS = ContextVar("tenants", default="none")
LOCAL = threading.local()


def by_variable(request):
    request.headers["X-Tenant"] = TENANT  # noqa: F821  # set by the test


def by_text(request):
    request.headers["X-Tenant"] = globals()["TENANT"]


def by_module(request):
    request.headers["X-Tenant"] = importlib.import_module("tenants").TENANT


def by_import(request):
    import tenants  # of the test

    request.headers["X-Tenant"] = tenants.TENANT


def by_environment(request):
    request.headers["X-Tenant"] = os.environ["TENANT"]


def by_context(request):
    request.headers["X-Tenant"] = TENANTS.get()


def by_thread(request):
    request.headers["X-Tenant"] = LOCAL.tenant


def by_own_attribute(request):
    request.headers["X-Tenant"] = by_own_attribute.tenant


def everywhere(word: str, monkeypatch, tenants: ModuleType) -> None:
    """Let all that the hooks read say ``word``."""
    monkeypatch.setitem(globals(), "TENANT", word)
    monkeypatch.setattr(tenants, "TENANT", word, raising=False)
    monkeypatch.setenv("TENANT", word)
    TENANTS.set(word)
    LOCAL.tenant = word
    by_own_attribute.tenant = word  # type: ignore[attr-defined]  # any function takes some


@pytest.mark.parametrize(
    "hook",
    [
        by_variable,
        by_text,
        by_module,
        by_import,
        by_environment,
        by_context,
        by_thread,
        by_own_attribute,
    ],
)
def test_what_a_hook_reads_counts_each_time(hook, fields, server, monkeypatch):
    """What a hook puts into a header may change between two calls, wherever it comes from."""
    tenants = ModuleType("tenants")
    monkeypatch.setitem(sys.modules, "tenants", tenants)
    model = ChatOpenAI(**fields, http_client=HTTP.Client(event_hooks={"request": [hook]}))
    for word, outcome in (("red", "miss"), ("blue", "miss"), ("red", "hit")):
        everywhere(word, monkeypatch, tenants)
        assert asked(server, model, model) == ([outcome, "hit"], outcome == "miss")


def test_another_key_that_a_hook_reads_asks_the_same(fields, server, monkeypatch):
    """As a key does that stands in a field."""

    def hook(request):
        request.headers["Authorization"] = os.environ["GATEWAY_TOKEN"]

    model = ChatOpenAI(**fields, http_client=HTTP.Client(event_hooks={"request": [hook]}))
    for key, outcome in (("one", "miss"), ("another", "hit")):
        monkeypatch.setenv("GATEWAY_TOKEN", key)
        assert asked(server, model) == ([outcome], outcome == "miss")


def test_a_wrapper_of_an_installed_package_is_a_library_s(fields, server, monkeypatch):
    """What traces or retries a library's own method asks the same."""
    model = ChatOpenAI(**fields)
    assert asked(server, model) == (["miss"], 1)
    monkeypatch.setattr(COMPLETIONS, "create", once(COMPLETIONS.create))
    assert asked(server, model, ChatOpenAI(**fields)) == (["hit"] * 2, 0)


def test_what_answers_as_a_test_set_it_is_not_kept(fields, server):
    """A mock in the place of a method says why; without it the provider's answer is back."""
    model = ChatOpenAI(**fields)
    assert asked(server, model) == (["miss"], 1)
    with mock.patch.object(HTTP.Client, "send", side_effect=ValueError("mocked")):
        with pytest.raises((ValueError, openai.APIConnectionError)):  # older SDKs wrap it
            model.invoke("Who are you?")
        assert calls()[-1].key is None
    assert asked(server, model) == (["hit"], 0)


def test_what_is_changed_in_place_counts(fields, server):
    """A header that is set on a client after the first answer is seen."""
    model = ChatOpenAI(**fields, extra_body={"top_k": 1})
    assert asked(server, model, model) == (["miss", "hit"], 1)
    model.root_client._client.headers["X-Route"] = "b"
    assert asked(server, model, model) == (["miss", "hit"], 1)
    model.extra_body["top_k"] = 2
    assert asked(server, model, model) == (["miss", "hit"], 1)
    model.root_client._custom_headers = {"X-Route": "c"}
    assert asked(server, model, model) == (["miss", "hit"], 1)
