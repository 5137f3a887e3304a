"""Requests: secrets stay out, what cannot be described is refused, labels, titles, addresses."""

import json
import threading
from array import array
from typing import Any

import httpx2
import pytest
from langchain_core.language_models import (
    FakeListChatModel,
    FakeListLLM,
    FakeMessagesListChatModel,
    GenericFakeChatModel,
)
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import Field

from jupyter_llmcache import request
from jupyter_llmcache import request as keys
from jupyter_llmcache.errors import NotDescribableError
from jupyter_llmcache.request import describe, describe_strings
from jupyter_llmcache.request.canonical import address_shown, text_digest
from tests.unit.request import sides
from tests.unit.request.sides import (
    TAKES_KEY_FUNCTIONS,
    Parrot,
    ollama_model,
    openai_model,
    weather_tool,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # what the providers' classes say of odd fields

ROOT = "http://127.0.0.1:9"
HI = [HumanMessage("Hi")]
TOOLS = [weather_tool("a tool " * 40, *"ba") for _ in range(8)]


@pytest.fixture(scope="module")
def openai():
    return openai_model(ROOT, temperature=0.5)


def azure_model():
    from langchain_openai import AzureChatOpenAI

    return AzureChatOpenAI(
        azure_deployment="our-gpt", azure_endpoint=ROOT, api_version="2024-06-01", api_key="x"
    )


def _text(model, prompt=HI, stop=None, kwargs=None) -> str:
    described = describe(model, prompt, stop, kwargs or {})
    return described.description + described.prompt


# --- what a person reads ---


def test_the_description_is_json_that_a_person_reads(openai):
    """Class, provider, model, endpoint and parameters stand in it by name."""
    assert json.loads(describe(openai, HI, ["x"], {"seed": 1}).description) == {
        "schema": keys.KEY_SCHEMA,
        "class": "langchain_openai.ChatOpenAI",
        "provider": "openai",
        "model": "gpt-x",
        "endpoint": f"{ROOT}/v1",
        "parameters": {"seed": 1, "stop": ["x"], "temperature": 0.5},
    }


def test_the_prompt_is_the_messages_as_json(openai):
    """Each message has its type and content, and nothing that the provider is not sent."""
    messages = [SystemMessage("Be brief.", id="1"), HumanMessage("Hi", name="ann")]
    assert json.loads(describe(openai, messages, None, {}).prompt) == [
        {"content": "Be brief.", "type": "system"},
        {"content": "Hi", "name": "ann", "type": "human"},
    ]


def test_the_prompt_of_a_text_model_is_its_text():
    """A text model's prompt is one string."""
    described = describe(FakeListLLM(responses=["a"]), "Say é", None, {})
    assert described.prompt == '"Say é"'
    assert described.title == "Say é"


def test_the_data_of_pictures_is_kept_as_a_digest(openai):
    """An entry does not hold a second copy of the picture."""
    assert len(describe(openai, sides.picture(0, 100_000), None, {}).prompt) < 400


def test_lone_surrogates_do_not_break_a_request(openai):
    """Half a character, as tokenisers leave it, can be written and counts."""
    one, other = (describe(openai, [HumanMessage(t)], None, {}) for t in ("\ud800", "\ud801"))
    one.prompt.encode()
    assert one.key != other.key


@pytest.mark.parametrize(
    ("messages", "title"),
    [
        (HI, "Hi"),
        ([HumanMessage("One"), AIMessage("x"), HumanMessage("Two\n  lines")], "Two lines"),
        ([SystemMessage("Only this")], "Only this"),
        ([HumanMessage("a" * 500)], "a" * 119 + "…"),
        (sides.picture(0), "What is it? [image_url]"),
        ([], ""),
    ],
)
def test_the_title_is_the_beginning_of_the_last_question_on_one_line(openai, messages, title):
    """It is at most 120 characters long."""
    assert describe(openai, messages, None, {}).title == title


def test_a_request_cannot_be_changed(openai):
    """It is what was asked at one moment."""
    with pytest.raises(AttributeError):
        describe(openai, HI, None, {}).key = b""


def test_a_request_is_not_changed_by_what_happens_to_its_messages(openai):
    """Messages that a caller goes on using are read when the request is described."""
    messages = [HumanMessage([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])]
    described = describe(openai, messages, None, {})
    messages[0].content[0]["text"] = "changed"
    assert "changed" not in described.prompt


# --- labels ---


@pytest.mark.parametrize(
    ("build", "label"),
    [
        (lambda: openai_model(ROOT), "openai:gpt-x"),
        (lambda: ollama_model(ROOT, model="llama:1b"), "ollama:llama:1b"),
        (azure_model, "azure_openai:our-gpt"),
        (lambda: FakeListChatModel(responses=["a"]), "fake-list-chat-model"),
        (lambda: FakeListLLM(responses=["a"]), "fake-list-llm"),
        (Parrot, "parrot"),
    ],
)
def test_a_label_names_provider_and_model(build, label):
    """A model without a name is called by its class."""
    model = build()
    assert keys.model_label(model, {}) == label
    assert describe(model, HI, None, {}).model == label


def test_a_label_follows_the_call(openai):
    """The model that the call names is the one that answers."""
    assert keys.model_label(openai, {"model": "gpt-y"}) == "openai:gpt-y"


def test_a_label_never_raises():
    """Anything has a label."""
    assert keys.model_label(object(), {}) == "object"


# --- secrets ---

SECRET = "hunter-2-hunter-2"


@pytest.mark.parametrize(
    "build",
    [
        lambda secret: openai_model(ROOT, api_key=secret),
        *([lambda secret: openai_model(ROOT, api_key=lambda: secret)] * TAKES_KEY_FUNCTIONS),
        lambda secret: openai_model(ROOT, base_url=f"http://ann:{secret}@127.0.0.1:9/v1"),
        lambda secret: openai_model(ROOT, default_headers={"Authorization": f"Bearer {secret}"}),
        lambda secret: openai_model(ROOT, default_headers={"X-Api-Key": secret}),
        lambda secret: openai_model(ROOT, organization=secret),
        lambda secret: openai_model(ROOT, openai_proxy=f"http://ann:{secret}@127.0.0.1:1"),
        lambda secret: openai_model(ROOT, http_client=httpx2.Client(auth=("ann", secret))),
        lambda secret: ollama_model(ROOT.replace("://", f"://ann:{secret}@")),
        lambda secret: ollama_model(ROOT, client_kwargs={"auth": ("ann", secret)}),
        lambda secret: ollama_model(ROOT, client_kwargs={"headers": {"authorization": secret}}),
    ],
)
def test_declared_credentials_neither_stand_in_a_request_nor_count(build):
    """Another key, user or ``Authorization`` makes the same request."""
    text = _text(build(SECRET))
    assert SECRET not in text
    assert _text(build("swordfish")) == text


class Tuned(FakeListChatModel):
    """A class of the user's with fields of its own, and no code."""

    groq_token: str = ""
    notes: list[str] = Field(default_factory=list)


@pytest.mark.parametrize(
    "build",
    [
        lambda secret: openai_model(ROOT, base_url=f"{ROOT}/v1?api_key={secret}"),
        lambda secret: openai_model(ROOT, base_url=f"{ROOT}/{secret}{secret}0/v1"),
        lambda secret: openai_model(ROOT, default_query={"api-key": secret}),
        lambda secret: openai_model(ROOT, default_headers={"Cookie": f"a={secret}"}),
        lambda secret: openai_model(ROOT, default_headers={"X-Route": secret}),
        lambda secret: openai_model(ROOT, extra_body={"api_key": secret}),
        lambda secret: openai_model(ROOT, extra_body={"variables": {"who": f"{secret}-2"}}),
        lambda secret: openai_model(ROOT, model_kwargs={"password": secret}),
        lambda secret: openai_model(ROOT, http_client=httpx2.Client(cookies={"a": secret})),
        lambda secret: openai_model(ROOT, http_client=httpx2.Client(params={"a": secret})),
        lambda secret: openai_model(ROOT).bind(user=f"sk-{secret}{secret}"),
        lambda secret: openai_model(ROOT).bind(extra_headers={"X-Route": secret}),
        lambda secret: openai_model(ROOT).bind(extra_query={"route": secret}),
        lambda secret: openai_model(ROOT).bind(extra_body={"token": secret}),
        lambda secret: openai_model(ROOT).bind(
            prompt={"id": "p", "variables": {"x": f"{secret}1"}}
        ),
        *(
            lambda secret, entry=entry: openai_model(ROOT).bind(
                tools=[{"type": "mcp", **json.loads(json.dumps(entry).replace("SECRET", secret))}]
            )
            for entry in (
                {"server_url": "https://x/?token=SECRET"},
                {"server_url": "https://ann:SECRET@x/"},
                {"headers": {"X-Key": "SECRET"}},
                {"authorization": "SECRET"},
                {"description": "Ask postgres://ann:SECRET@db/x with password: SECRET"},
                {"description": "Ask https://x/?code=SECRET&a=b"},
            )
        ),
        lambda secret: openai_model(ROOT).bind(tools=[sides.tool_with_default("password", secret)]),
        lambda secret: Tuned(responses=["a"], groq_token=secret),
        lambda secret: Tuned(responses=["a"], notes=[f"sk-{secret}"]),
    ],
)
def test_what_may_be_a_secret_counts_and_is_never_shown(build):
    """A digest stands in its place, so that hidden is not dropped."""
    one, other = (_text(*_parts(build(word))) for word in ("hunter2-hunter2", "swordfish-7-7"))
    assert "hunter2-hunter2" not in one
    assert one != other


def _parts(model):
    return (model.bound, HI, None, model.kwargs) if hasattr(model, "bound") else (model,)


def test_a_tool_may_speak_of_passwords(openai):
    """A property of a tool that is called like a credential is none."""
    one, other = (
        describe(openai, HI, None, {"tools": [weather_tool("a", "password", name)]})
        for name in ("token", "tokens")
    )
    assert '"password":{"type":"string"}' in one.description
    assert one.key != other.key


def test_what_cache_key_says_is_not_shown(monkeypatch):
    """What a user's class says of itself counts as a digest."""
    plain = _text(Parrot())
    monkeypatch.setattr(Parrot, "STYLE", SECRET)
    assert SECRET not in _text(Parrot()) != plain


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("HTTPS://API.Example.com:443/V1/", "https://api.example.com/V1"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("http://ann:pw@host/v1?api-version=1", "http://host/v1?api-version=1"),
        ("http://host/v1?key=k", f"http://host/v1?key={text_digest('k')}"),
        ("ann:pw@host:11434", "://host:11434"),
        ("host/v1?route=a", f"://host/v1?route={text_digest('a')}"),
        ("http://host:port", text_digest("http://host:port")),
    ],
)
def test_addresses_have_one_spelling_without_credentials(url, clean):
    """What names the same place is written the same."""
    assert address_shown(url) == clean


# --- refusals ---


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"extra_body": {"a": object()}}, "an object of class object in extra_body"),
        ({"extra_body": {"a": print}}, "builtin_function_or_method in extra_body"),
        ({"response_format": int}, "the class int in response_format"),
        ({"tools": [object()]}, "an object of class object in tools"),
        ({"seed": iter({1})}, "set_iterator in seed"),
    ],
)
def test_a_parameter_without_content_is_refused_by_its_name(openai, kwargs, reason):
    """The reason is a few words that name the field."""
    with pytest.raises(NotDescribableError) as caught:
        describe(openai, HI, None, kwargs)
    assert reason in caught.value.reason
    assert len(caught.value.reason) < 80


def test_a_value_that_holds_itself_is_refused(openai):
    """An endless value has no text."""
    endless = []
    endless.append(endless)
    with pytest.raises(NotDescribableError, match="logit_bias is nested too deeply"):
        describe(openai, HI, None, {"logit_bias": endless})


def test_messages_without_content_are_refused(openai):
    """An object in a message is no text that a provider could see."""
    message = HumanMessage([{"type": "image", "data": object()}])
    with pytest.raises(NotDescribableError, match="an object of class object in the messages"):
        describe(openai, [message], None, {})


# --- canned models ---


def test_a_canned_model_counts_by_its_list():
    """How often it was asked does not count; what it could answer does."""
    model = FakeListChatModel(responses=["a", "b"])
    first = describe(model, HI, None, {})
    model.invoke("x")
    assert describe(model, HI, None, {}).key == first.key
    other = FakeListChatModel(responses=["a", "c"])
    assert describe(other, HI, None, {}).key != first.key


def test_a_model_with_canned_messages_counts_by_them():
    """Messages count without their ids."""
    one, same, other = (
        describe(FakeMessagesListChatModel(responses=[m]), HI, None, {}).key
        for m in (AIMessage("a"), AIMessage("a", id="1"), AIMessage("b"))
    )
    assert one == same != other


def test_a_model_that_reads_a_list_counts_by_the_list():
    """Two generic fakes with other answers do not share one."""
    model = GenericFakeChatModel(messages=iter(["a", "b"]))
    first = describe(model, HI, None, {})
    model.invoke("x")
    assert describe(model, HI, None, {}).key == first.key
    other = GenericFakeChatModel(messages=iter(["a", "c"]))
    assert describe(other, HI, None, {}).key != first.key


def test_a_model_that_reads_a_generator_is_refused():
    """What a generator will say cannot be known."""
    model = GenericFakeChatModel(messages=(text for text in "ab"))
    with pytest.raises(NotDescribableError, match="messages"):
        describe(model, HI, None, {})


# --- another address ---


@pytest.mark.parametrize("kwargs", [{}, {"tools": TOOLS, "extra_body": {"a": 0.1}}])
def test_a_request_to_another_address_has_the_key_of_a_model_there(openai, kwargs):
    """Only the address changes, long parameters included, and changing back gives the first key."""
    here = describe(openai, HI, None, kwargs)
    there = describe(openai_model(f"{ROOT}0", temperature=0.5), HI, None, kwargs)
    moved = here.with_endpoint(f"{ROOT}0/v1")
    assert (moved.key, moved.description) == (there.key, there.description)
    assert moved.with_endpoint(f"{ROOT}/v1") == here


@pytest.mark.parametrize(
    ("address", "shares"), [("https://api.openai.com/v1", True), (f"{ROOT}/v1", False)]
)
@pytest.mark.parametrize("name", ["user", "safety_identifier"])
def test_who_asks_counts_at_a_gateway_alone(name, address, shares):
    """The provider itself answers everybody alike; a gateway may route by the name."""
    given, beside = {name: "ann"}, {"extra_body": {name: "ann"}}
    ways = ({}, {}), ({"model_kwargs": given}, {}), ({}, given), (beside, {}), ({}, beside)
    plain, by_field, by_call, beside_fields, beside_call = (
        describe(sides.openai_model(ROOT, base_url=address, **fields), HI, None, call)
        for fields, call in ways
    )
    assert by_field.key == by_call.key
    assert beside_fields.key == beside_call.key
    assert {plain.key == by_call.key, plain.key == beside_call.key} == {shares}


@pytest.mark.parametrize(
    ("body", "shares"),
    [
        ({}, True),
        ({"service_tier": "flex", "store": True}, True),
        ({"prompt_cache_key": "a"}, True),
        ({"timeout": 3}, False),
        ({"foo": None}, False),
        ([], False),
    ],
)
def test_what_is_sent_beside_the_parameters_counts_like_one(openai, body, shares):
    """What changes no answer does not do so in ``extra_body``; what only a gateway knows may."""
    plain, beside = (describe(openai, HI, None, kw) for kw in ({}, {"extra_body": body}))
    assert (plain.key == beside.key) is shares


def test_the_endpoints_of_the_same_model_are_found(openai):
    """Entries of other models and providers tell nothing of where this one was asked."""
    here = describe(openai, HI, None, {})
    others = [
        here.description,
        here.with_endpoint("http://b").description,
        describe(openai, HI, None, {"model": "gpt-y"}).with_endpoint("http://c").description,
        describe(ollama_model(ROOT, model="gpt-x"), HI, None, {}).description,
    ]
    assert keys.endpoints_like(here, others) == {(f"{ROOT}/v1", None), ("http://b", None)}


@pytest.mark.parametrize(
    ("model", "kwargs", "limited"),
    [
        (openai_model(ROOT), {}, False),
        (openai_model(ROOT, max_tokens=5), {}, True),
        (openai_model(ROOT), {"max_completion_tokens": 5}, True),
        (ollama_model(ROOT, num_predict=5), {}, True),
    ],
)
def test_a_request_tells_whether_it_bounds_its_answer(model, kwargs, limited):
    """An answer that was cut at the request's own bound is a good answer."""
    assert describe(model, HI, None, kwargs).limits_tokens is limited


# --- another schema, and LangChain's strings ---


def test_the_schema_counts(openai, monkeypatch):
    """Two schemas never share a key by chance."""
    before = describe(openai, HI, None, {}).key
    monkeypatch.setattr(request, "KEY_SCHEMA", request.KEY_SCHEMA + 1)
    assert describe(openai, HI, None, {}).key != before


def test_langchains_strings_have_a_namespace_of_their_own(openai):
    """Prompt and string count, neither is mixed up with a described model, secrets are not kept."""
    named = f"[('_type', 'x'), ('model_name', 'gpt-x'), ('h', '{SECRET}')]"
    one = describe_strings("Hi", named)
    assert one.model == "langchain:gpt-x"
    assert SECRET not in one.description
    others = [describe_strings("Ho", named), describe_strings("Hi", named + " ")]
    assert len({one.key, *(o.key for o in others), describe(openai, HI, None, {}).key}) == 4


@pytest.mark.parametrize(
    "llm_string",
    [
        '{"kwargs": {"model_name": "gpt-x"}}---[(\'stop\', None)]',
        "{'model': 'x', 'stop': None}",
        "[('_type', 'x'), ('model', 'm')]",
    ],
)
def test_a_string_that_names_a_model_is_taken(llm_string):
    """LangChain writes models as JSON or as pairs."""
    assert describe_strings("Hi", llm_string).key


@pytest.mark.parametrize(
    "llm_string", ["", "[('_type', 'chat-ollama'), ('stop', None)]", "[('model', None)]"]
)
def test_a_string_that_names_no_model_is_refused(llm_string):
    """Two models would share an answer."""
    with pytest.raises(NotDescribableError, match="names no model"):
        describe_strings("Hi", llm_string)


def test_threads_make_the_same_keys(openai):
    """Nothing that is remembered between calls mixes two of them up."""
    asked = [{"tools": [weather_tool(str(n))]} for n in range(20)]
    expected = [describe(openai, HI, None, kwargs).key for kwargs in asked]
    found = []

    def work():
        found.append([describe(openai, HI, None, kwargs).key for kwargs in asked])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_what_is_remembered_is_what_would_be_made_anew(openai):
    """Values that only look alike have keys of their own, whichever was seen before."""
    values = ({"a": 1}, {"a": True}, {"a": "1"}, {"a": [1]}, {"a": {"b": 1}}, {"a": b"1"})
    asked = [{"extra_body": value} for value in values * 2]
    found = [describe(openai, HI, None, kwargs).key for kwargs in asked]
    assert found[:6] == found[6:]
    assert len(set(found)) == 6


def test_an_object_that_holds_bytes_is_never_taken_for_them(openai):
    """What has no canonical form is refused also when equal bytes were described before."""
    describe(openai, HI, None, {"extra_body": {"a": b"\x01"}})
    with pytest.raises(NotDescribableError, match="an object of class array"):
        describe(openai, HI, None, {"extra_body": {"a": array("b", [1])}})


class Network:
    """What PyTorch's networks have: weights that can be read, and so be trained."""

    def state_dict(self):
        return {}


class Local(FakeListLLM):
    """A model with its weights in the notebook, or in a file."""

    network: Any = None
    model_path: str = "m"


class KeyedLocal(Local):
    def cache_key(self):
        return "my weights, second run"


def test_a_function_that_moves_to_another_method_counts_anew(openai, monkeypatch):
    """The same function over another inherited method of a class is another request."""

    def mine(self: Any) -> str:
        return "mine"

    made = [describe(openai, HI, None, {}).key]
    for name in ("_convert_input", "_combine_llm_outputs"):
        with monkeypatch.context() as patched:
            patched.setattr(type(openai), name, mine)
            made.append(describe(openai, HI, None, {}).key)
    assert len({*made}) == 3


def test_weights_that_can_be_trained_need_a_cache_key():
    """A network in a model keeps its name when it is trained, so that somebody has to say more."""
    with pytest.raises(NotDescribableError) as caught:
        describe(Local(responses=["a"], network=Network()), "hi", None, {})
    assert caught.value.reason == "Local holds weights that can be trained; give it cache_key()"
    keyed = [KeyedLocal(responses=["a"], network=Network()) for _ in range(2)]
    assert len({describe(each, "hi", None, {}).key for each in keyed}) == 1


def test_a_file_of_weights_counts_by_what_it_holds(tmp_path):
    """Other weights under the same path are another model; the same ones, touched, are not."""
    file = tmp_path / "m.gguf"

    def key(data: bytes) -> bytes:
        file.write_bytes(data)
        return describe(Local(responses=["a"], model_path=str(file)), "hi", None, {}).key

    first = key(b"a" * 3_000_000)
    assert key(b"a" * 2_999_999) != first
    assert key(b"b" * 3_000_000) != first
    assert key(b"a" * 3_000_000) == first
