"""What once was answered by another's answer, over real HTTP: each kind differs, and hits again.

Every kind makes a request of a word. Two words are two requests, and either of them asked again, of
objects made anew, is none: nothing is right because nothing is kept.
"""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import httpx2
import openai
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI

from jupyter_llmcache import MemoryCache, calls
from tests.servers.anthropic import AnthropicServer
from tests.servers.base import RecordingServer
from tests.servers.openai import OpenAIServer

pytestmark = pytest.mark.filterwarnings("ignore")  # what the classes say of fields they do not know

#: A model, the arguments of a call, and the messages.
WebRequest = tuple[Any, dict[str, Any], Any]
WORDS = ("red", "blueish")


class Keyed(ChatOpenAI):
    """Has code of its own on the way to an answer, which stands on nothing but its fields."""

    def _get_request_payload(self, input_, *, stop=None, **kwargs):
        return super()._get_request_payload(input_, stop=stop, **kwargs)

    def cache_key(self):
        return []


class KeyedAnthropic(ChatAnthropic):
    """Likewise."""

    def _get_request_payload(self, input_, *, stop=None, **kwargs):
        return super()._get_request_payload(input_, stop=stop, **kwargs)

    def cache_key(self):
        return []


class Unkeyed(ChatOpenAI):
    """Likewise, and does not say so."""

    def _get_request_payload(self, input_, *, stop=None, **kwargs):
        return super()._get_request_payload(input_, stop=stop, **kwargs)


@pytest.fixture
def servers() -> Iterator[dict[str, RecordingServer]]:
    with OpenAIServer() as first, AnthropicServer() as second:
        set_llm_cache(MemoryCache())
        yield {"openai": first, "anthropic": second}
        set_llm_cache(None)


@pytest.fixture
def fields(servers) -> dict[str, Any]:
    return {"model": "gpt-x", "api_key": "k", "base_url": servers["openai"].url, "max_retries": 0}


def asked(servers, model: Any, call: dict[str, Any], messages: Any) -> tuple[str, int]:
    """Ask once; return what became of it, and how many requests were sent."""
    before = sum(len(server.requests) for server in servers.values())
    model.invoke(messages, **call)
    sent = sum(len(server.requests) for server in servers.values()) - before
    return calls()[-1].kind, sent


def outcomes(servers, make: Callable[[str], WebRequest]) -> list[tuple[str, int]]:
    """Ask with each word, and again."""
    return [asked(servers, *make(word)) for word in (*WORDS, *WORDS)]


DIFFER_AND_HIT = [("miss", 1), ("miss", 1), ("hit", 0), ("hit", 0)]
NEVER_KEPT = [("miss", 1)] * 4


# --- what a class of the notebook holds and does ---


def by_global(keyed: type[ChatOpenAI], fields: dict[str, Any], word: str) -> Any:
    """Reads a variable of the notebook."""
    Rules.TEXT = word

    class Ruled(keyed):
        def _get_request_payload(self, input_, *, stop=None, **kwargs):
            return super()._get_request_payload(input_, stop=stop, **kwargs | {"user": Rules.TEXT})

        def cache_key(self):
            return Rules.TEXT

    return Ruled(**fields)


class Rules:
    TEXT: ClassVar[str] = ""


def by_call(keyed: type[ChatOpenAI], fields: dict[str, Any], word: str) -> Any:
    """Made by a call of ``type``, which tells no module of the notebook."""

    def payload(self, input_, *, stop=None, **kwargs):
        return ChatOpenAI._get_request_payload(self, input_, stop=stop, **kwargs, user=word)

    made = {"_get_request_payload": payload, "cache_key": lambda _: word}
    return type("Made", (keyed,), made)(**fields)


def by_new_class(keyed: type[ChatOpenAI], fields: dict[str, Any], word: str) -> Any:
    """Made by ``types.new_class``, with a method that is no function."""
    own = {
        "_generate": functools.partialmethod(ChatOpenAI._generate, user=word),
        "cache_key": lambda _: word,
    }
    return types.new_class("Made", (keyed,), {}, lambda space: space.update(own))(**fields)


def by_mixin(keyed: type[ChatOpenAI], fields: dict[str, Any], word: str) -> Any:
    """Takes its code from a class that is no model."""
    os.environ["TEST_TENANT"] = word

    class Mixin:
        def _get_request_payload(self, input_, *, stop=None, **kwargs):
            tenant = os.environ["TEST_TENANT"]
            return super()._get_request_payload(input_, stop=stop, **kwargs | {"user": tenant})

        def cache_key(self):
            return os.environ["TEST_TENANT"]

    class Mixed(Mixin, keyed):
        pass

    return Mixed(**fields)


def by_attribute(keyed: type[ChatOpenAI], fields: dict[str, Any], word: str) -> Any:
    """Says another temperature than it holds."""
    os.environ["TEST_HEAT"] = str(len(word) / 10)

    class Heated(keyed):
        def __getattribute__(self, name):
            if name == "temperature":
                return float(os.environ["TEST_HEAT"])
            return super().__getattribute__(name)

        def cache_key(self):
            return self.temperature

    return Heated(**fields)


def set_later(keyed: type[ChatOpenAI], fields: dict[str, Any], word: str) -> Any:
    """Is given its method after it was made."""

    class Later(keyed):
        pass

    def payload(self, input_, *, stop=None, **kwargs):
        return ChatOpenAI._get_request_payload(self, input_, stop=stop, **kwargs, user=word)

    Later._get_request_payload = payload
    Later.cache_key = lambda _: word
    return Later(**fields)


OWN_CODE = [by_global, by_call, by_new_class, by_mixin, by_attribute, set_later]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("TEST_TENANT", "TEST_HEAT"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize("kind", OWN_CODE)
def test_what_a_class_does_counts_by_its_cache_key(kind, fields, servers):
    """A class that says what its answers stand on shares them where that is the same."""
    made = outcomes(servers, lambda word: (kind(ChatOpenAI, fields, word), {}, "Who?"))
    assert made == DIFFER_AND_HIT


@pytest.mark.parametrize("kind", OWN_CODE)
def test_without_a_cache_key_it_is_asked_each_time(kind, fields, servers, monkeypatch):
    """However a class came by code of its own, it is not cached until it says on what it stands."""

    def make(word: str) -> WebRequest:
        model = kind(ChatOpenAI, fields, word)
        for cls in type(model).__mro__:
            if "cache_key" in vars(cls):
                delattr(cls, "cache_key")
        return model, {}, "Who?"

    assert outcomes(servers, make) == NEVER_KEPT
    assert str(calls()[-1].reason).endswith("answers by code of its own; give it cache_key()")


class Wrapper(BaseChatModel):
    """Answers by another model, which it tells who it is."""

    inner: Any
    persona: str

    @property
    def _llm_type(self):
        return "wrapper"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        answer = self.inner.invoke([SystemMessage(f"You are {self.persona}."), *messages])
        return ChatResult(generations=[ChatGeneration(message=answer)])


class KeyedWrapper(Wrapper):
    def cache_key(self):
        return []


def test_a_model_around_another_shares_nothing_and_the_inner_one_its_own(fields, servers):
    """What the model inside is asked is kept; with ``cache_key`` the outer one's fields count."""
    inner = ChatOpenAI(**fields)
    plain = [asked(servers, Wrapper(inner=inner, persona=word), {}, "Who?") for word in WORDS * 2]
    assert [sent for _, sent in plain] == [1, 1, 0, 0]
    keyed = outcomes(servers, lambda word: (KeyedWrapper(inner=inner, persona=word), {}, "Well?"))
    assert keyed == DIFFER_AND_HIT


# --- clients ---


def add_header(word: str) -> Callable[[Any], None]:
    def hook(request):
        request.headers["X-Route"] = word

    return hook


class Routed(httpx2.HTTPTransport):
    """Sends a header of its own."""

    def __init__(self, route: str) -> None:
        super().__init__()
        self.route = route

    def handle_request(self, request):
        request.headers["X-Route"] = self.route
        return super().handle_request(request)


class Gateway(openai.OpenAI):
    """An SDK's client of the user's own."""

    def __init__(self, route: str, **options: Any) -> None:
        super().__init__(**options)
        self.route = route

    @property
    def default_headers(self):
        return {**super().default_headers, "X-Route": self.route}


def by_partial(model: Any, word: str) -> None:
    model.client.create = functools.partial(model.client.create, user=word)


def by_own_client(model: Any, word: str) -> None:
    model.root_client = Gateway(word, api_key="k", base_url=str(model.root_client.base_url))
    model.client = model.root_client.chat.completions


def by_copied_client(model: Any, word: str) -> None:
    model.root_client = model.root_client.copy(default_headers={"X-Route": word})
    model.client = model.root_client.chat.completions


def by_resource_alone(model: Any, word: str) -> None:
    model.client = model.root_client.with_options(default_query={"route": word}).chat.completions


def by_sent_request(model: Any, word: str) -> None:
    http, send = model.root_client._client, model.root_client._client.send

    def sending(request, **options):
        request.headers["X-Route"] = word
        return send(request, **options)

    http.send = sending


def by_later_hook(model: Any, word: str) -> None:
    model.root_client._client.event_hooks = {"request": [add_header(word)]}


def by_hook_in_place(model: Any, word: str) -> None:
    model.root_client._client.event_hooks["request"] = [add_header(word)]


def by_later_cookie(model: Any, word: str) -> None:
    model.root_client._client.cookies.set("route", word)


def by_later_mount(model: Any, word: str) -> None:
    model.root_client._client._mounts |= httpx2.Client(mounts={"http://": Routed(word)})._mounts


CHANGES = [
    by_partial,
    by_own_client,
    by_copied_client,
    by_resource_alone,
    by_sent_request,
    by_later_hook,
    by_hook_in_place,
    by_later_cookie,
    by_later_mount,
]
CLIENTS = {
    "headers": lambda word: {"headers": {"X-Route": word}},
    "params": lambda word: {"params": {"route": word}},
    "hooks": lambda word: {"event_hooks": {"request": [add_header(word)]}},
    "transport": lambda word: {"transport": Routed(word)},
    "mounts": lambda word: {"mounts": {"http://": Routed(word)}},
}


@pytest.mark.parametrize("cls", [ChatOpenAI, Keyed])
@pytest.mark.parametrize("client", CLIENTS)
def test_what_an_http_client_sends_along_counts(client, cls, fields, servers):
    """Also a transport of the user's own."""

    def make(word: str) -> WebRequest:
        http = httpx2.Client(**CLIENTS[client](word))
        return cls(**fields, http_client=http), {}, "Who?"

    assert outcomes(servers, make) == DIFFER_AND_HIT


@pytest.mark.parametrize("cls", [ChatOpenAI, Keyed])
@pytest.mark.parametrize("change", CHANGES)
def test_a_client_that_was_changed_or_replaced_counts(change, cls, fields, servers):
    """Also after the model was asked as it was."""

    def make(word: str) -> WebRequest:
        model = cls(**fields, http_client=httpx2.Client())  # else models share one
        for _ in range(2):  # the SDK makes some of its parts at the first request
            model.invoke("before")
        change(model, word)
        return model, {}, "Who?"

    assert outcomes(servers, make) == DIFFER_AND_HIT


@pytest.mark.parametrize("cls", [ChatOpenAI, Keyed])
def test_a_method_put_over_the_sdk_counts(cls, fields, servers, monkeypatch):
    """A gateway's method in the place of the SDK's is seen, also by a model asked before."""
    resource = openai.resources.chat.completions.Completions
    create = resource.create
    model = cls(**fields)
    model.invoke("Who?")

    def make(word: str) -> WebRequest:
        monkeypatch.setattr(
            resource, "create", lambda self, **b: create(self, **b | {"user": word})
        )
        return model, {}, "Who?"

    assert outcomes(servers, make) == DIFFER_AND_HIT


# --- names ---


def tool(text: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    function = {"name": "f", "description": text, "parameters": parameters}
    return {"tools": [{"type": "function", "function": function}]}


def mcp(word: str, name: str) -> dict[str, Any]:
    return {
        "tools": [{"type": "mcp", "server_label": "a", "server_url": f"https://m/?{name}={word}"}]
    }


#: Fields and arguments of a call, by the word.
NAMED: dict[str, Callable[[str], tuple[dict[str, Any], dict[str, Any]]]] = {
    "a variable called secret": lambda w: ({"extra_body": {"variables": {"secret": w}}}, {}),
    "a password's default": lambda w: ({}, tool("", password={"type": "string", "default": w})),
    **{
        f"?{name}= in a tool's text": lambda w, n=name: ({}, tool(f"GET https://h/?{n}={w}"))
        for name in ("key", "code", "token")
    },
    **{
        f"?{name}= of an MCP server": lambda w, n=name: ({"use_responses_api": True}, mcp(w, n))
        for name in ("key", "code", "token")
    },
    **{
        f"the header {name}": lambda w, n=name: ({"default_headers": {n: w}}, {})
        for name in ("x-max-tokens", "X-Auth-Tier", "Cookie", "X-Session-Affinity")
    },
    # Others of their kind:
    "stop that looks like a key": lambda w: ({}, {"stop": [f"sk-{w * 9}"]}),
    "a token among values": lambda w: ({}, tool("", token={"enum": [w]})),
    "Bearer in a tool's text": lambda w: ({}, tool(f"Send Bearer {w * 9}")),
    "authorization in the body": lambda w: ({"extra_body": {"authorization": w}}, {}),
    "the query session": lambda w: ({"default_query": {"session": w}}, {}),
    "a model named like a key": lambda w: ({"model": f"ft:gpt:sk-{w * 9}"}, {}),
    "a virtual key of the call": lambda w: ({}, {"extra_headers": {"X-Virtual-Key": w}}),
}


@pytest.mark.parametrize("cls", [ChatOpenAI, Keyed])
@pytest.mark.parametrize("name", NAMED)
def test_what_is_called_like_a_secret_counts(name, cls, fields, servers):
    """Nothing is left out of the key because its name or form sounds like a secret."""

    def make(word: str) -> WebRequest:
        more, call = NAMED[name](word)
        return cls(**fields | more), call, "Who?"

    assert outcomes(servers, make) == DIFFER_AND_HIT


# --- what the server or a block holds ---

CALL = {"name": "f", "args": {"a": "x"}, "id": "c1"}


def answered(content: Any, **more: Any) -> list[Any]:
    return [HumanMessage("One?"), AIMessage(content, **more), HumanMessage("Two?")]


def called(block: dict[str, Any]) -> list[Any]:
    answer = AIMessage([block], tool_calls=[CALL])
    return [HumanMessage("One?"), answer, ToolMessage("done", tool_call_id="c1")]


def responses(**more: Any) -> dict[str, Any]:
    return {"use_responses_api": True, **more}


#: The API, fields, arguments of a call and messages, by the word.
HELD: dict[str, Callable[[str], tuple[str, dict[str, Any], dict[str, Any], Any]]] = {
    "an earlier response": lambda w: (
        "openai",
        responses(use_previous_response_id=True),
        {},
        answered("Yes.", response_metadata={"id": f"resp_{w}"}),
    ),
    "the last container": lambda w: (
        "anthropic",
        {"reuse_last_container": True},
        {},
        answered("Yes.", response_metadata={"container": {"id": w}}),
    ),
    "an edited function call": lambda w: (
        "openai",
        responses(),
        {},
        called(
            {
                "type": "function_call",
                "call_id": "c1",
                "id": "fc_1",
                "name": "f",
                "arguments": f'{{"a": "{w}"}}',
            }
        ),
    ),
    "a tool's caller": lambda w: (
        "anthropic",
        {},
        {},
        called(
            {
                "type": "tool_use",
                "id": "c1",
                "name": "f",
                "input": {"a": "x"},
                "caller": {"type": "code_execution_20250825", "tool_id": w},
            }
        ),
    ),
    # Others of their kind:
    "a conversation": lambda w: ("openai", responses(), {"conversation": f"conv_{w}"}, "Who?"),
    "a container by its number": lambda w: ("anthropic", {}, {"container": w}, "Who?"),
    "a file by its number": lambda w: (
        "openai",
        responses(),
        {},
        [HumanMessage([{"type": "file", "file": {"file_id": w}}])],
    ),
    "a store of documents": lambda w: (
        "openai",
        responses(),
        {"tools": [{"type": "file_search", "vector_store_ids": [w]}]},
        "Who?",
    ),
    "encrypted thoughts": lambda w: (
        "openai",
        responses(),
        {},
        answered(
            [
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": w},
                {"type": "text", "text": "Yes."},
            ]
        ),
    ),
    "a thought's signature": lambda w: (
        "anthropic",
        {},
        {},
        answered(
            [
                {"type": "thinking", "thinking": "Hm.", "signature": w},
                {"type": "text", "text": "Yes."},
            ]
        ),
    ),
    "a picture that was made": lambda w: (
        "openai",
        responses(),
        {},
        answered([{"type": "image_generation_call", "id": w, "result": "aaaa"}]),
    ),
}


@pytest.mark.parametrize("with_key", [False, True])
@pytest.mark.parametrize("kind", HELD)
def test_what_the_server_holds_counts_as_what_names_it(kind, with_key, fields, servers):
    """So does a block that is sent by itself, whatever stands beside it."""
    classes = {
        "openai": Keyed if with_key else ChatOpenAI,
        "anthropic": KeyedAnthropic if with_key else ChatAnthropic,
    }

    def make(word: str) -> WebRequest:
        api, more, call, messages = HELD[kind](word)
        if not more.keys() <= classes[api].model_fields.keys():
            pytest.skip("this release has no such field")
        url = servers[api].url if api == "openai" else servers[api].root
        return classes[api](**fields | {"base_url": url} | more), call, messages

    assert outcomes(servers, make) == DIFFER_AND_HIT


@pytest.mark.parametrize(
    "block",
    [
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
        },
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "source_type": "id", "id": "file_1"},
    ],
    ids=["document", "sound", "file"],
)
def test_a_block_that_langchain_numbers_anew_hits(block, fields, servers):
    """LangChain numbers files and sounds anew each time that they are asked of; nobody is told."""
    results = [asked(servers, ChatOpenAI(**fields), {}, [HumanMessage([block])]) for _ in range(3)]
    assert results == [("miss", 1), ("hit", 0), ("hit", 0)]


def test_without_cache_key_nothing_of_all_that_is_kept(fields, servers):
    """Code of a class's own wins over all that is known of its clients and messages."""
    assert outcomes(servers, lambda word: (Unkeyed(**fields, user=word), {}, word)) == NEVER_KEPT
