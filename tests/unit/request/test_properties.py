"""Over generated requests: keys are equal exactly when a naive normal form is; none collide."""

import base64
import copy
import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from jupyter_llmcache.request import describe
from jupyter_llmcache.request.canonical import dump
from tests.unit.request.sides import openai_model

MODEL = openai_model("http://127.0.0.1:9")

# --- a naive normal form, written without a look at the package ---


def normal(value, ordered=False):
    """Tagged tuples in which numbers are equal by value, and dicts without regard to order."""
    if isinstance(value, bool) or value is None:
        return ("word", repr(value))
    if isinstance(value, (int, float)):
        return ("number", repr(value) if isinstance(value, float) and math.isnan(value) else value)
    if isinstance(value, str):
        return ("text", value)
    if isinstance(value, (list, tuple)):
        return ("list", tuple(normal(item) for item in value))
    items = [
        (name, normal(item, name == "properties" and not ordered)) for name, item in value.items()
    ]
    return ("dict", tuple(items) if ordered else frozenset(items))


def normal_content(content):
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return normal([{"type": "text", "text": b} if isinstance(b, str) else b for b in blocks])


def normal_message(message):
    kind = next(
        c for c in (HumanMessage, AIMessage, SystemMessage, ToolMessage) if isinstance(message, c)
    )
    calls = [(c["name"], normal(c["args"]), c["id"]) for c in getattr(message, "tool_calls", [])]
    return (
        kind.__name__,
        message.name or None,
        normal_content(message.content),
        tuple(calls),
        getattr(message, "tool_call_id", None),
    )  # OpenAI is not sent whether a tool failed


def normal_request(messages, kwargs):
    nothing = {"extra_body": {}}  # no part of a request's body
    set_ones = {n: v for n, v in kwargs.items() if v not in (None, nothing.get(n))}
    return (tuple(map(normal_message, messages)), normal(set_ones))


# --- generated requests: few values, so that two of them are often equal ---

WORDS = st.sampled_from(
    ["a", "b", "", "é", "e\u0301", "日本", "😀", "a\nb", '"', "\\ud800", "\ud800"]
)
NAMES = st.sampled_from(["a", "b", "type", "x y", "properties"])
NUMBERS = st.sampled_from([0, 1, -1, 1.0, 0.5, -0.0, 2**60, 1e20, math.inf, math.nan])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=5,
)
PICTURES = st.builds(
    lambda byte, size: {
        "type": "image_url",
        "image_url": {
            "url": "data:image/png;base64," + base64.b64encode(bytes([byte]) * size).decode()
        },
    },
    st.sampled_from([0, 1]),
    st.sampled_from([1, 3, 3000]),
)
TEXT_BLOCKS = st.builds(lambda text: {"type": "text", "text": text}, WORDS)
CONTENTS = WORDS | st.lists(WORDS | TEXT_BLOCKS | PICTURES, min_size=1, max_size=2)
CALLS = st.builds(
    lambda name, args, call_id: {"name": name, "args": args, "id": call_id, "type": "tool_call"},
    st.sampled_from(["f", "g"]),
    st.dictionaries(NAMES, VALUES, max_size=2),
    st.sampled_from(["1", "2"]),
)
SPEAKERS = st.sampled_from([None, "ann"])
MESSAGES = st.one_of(
    st.builds(HumanMessage, CONTENTS, name=SPEAKERS),
    st.builds(SystemMessage, CONTENTS),
    st.builds(AIMessage, CONTENTS, tool_calls=st.lists(CALLS, max_size=2)),
    st.builds(
        ToolMessage,
        WORDS,
        tool_call_id=st.sampled_from(["1", "2"]),
        status=st.sampled_from(["success", "error"]),
    ),
)
KWARGS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0, 0.5, 1, 1.0, None]),
        "seed": st.sampled_from([1, 2, None]),
        "extra_body": st.dictionaries(NAMES, VALUES, max_size=3),
        # A tool of another type is the server's own and leads to another API.
        "tools": st.lists(
            st.dictionaries(NAMES, VALUES, max_size=2).map(lambda t: t | {"type": "function"}),
            max_size=2,
        ),
        "logit_bias": st.dictionaries(st.sampled_from(["1", "2"]), NUMBERS, max_size=2),
    },
)
REQUESTS = st.tuples(st.lists(MESSAGES, min_size=1, max_size=3), KWARGS)


def key(messages, kwargs):
    return describe(MODEL, messages, None, kwargs).key


def turned(value, ordered=False):
    """The same value, its dicts in another order and its numbers of another type."""
    if isinstance(value, dict):
        items = [(n, turned(v, n == "properties" and not ordered)) for n, v in value.items()]
        return dict(items if ordered else reversed(items))
    if isinstance(value, list):
        return [turned(item) for item in value]
    if type(value) is int and abs(value) < 2**53:
        return float(value)
    return value


def noisy(message, chance: random.Random):
    """The same message with all that a provider is not sent."""
    fields = copy.deepcopy(dict(message.__dict__))
    fields |= {"id": f"run-{chance.random()}", "response_metadata": {"at": chance.random()}}
    fields["additional_kwargs"] = {"parsed": object()}
    if isinstance(fields["content"], str) and chance.random() < 0.5:
        fields["content"] = [{"type": "text", "text": fields["content"]}]
    kind = type(message)
    if kind is AIMessage:
        fields["usage_metadata"] = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        kind = chance.choice([AIMessage, AIMessageChunk])
    elif kind is ToolMessage:
        fields["artifact"] = object()
    fields["type"] = kind.model_fields["type"].default
    return kind.model_construct(**fields)


thorough = settings(
    max_examples=3 * settings.default.max_examples, suppress_health_check=list(HealthCheck)
)


@thorough
@given(REQUESTS, REQUESTS)
def test_keys_are_equal_exactly_when_the_normal_forms_are(one, other):
    """Two requests that a provider could tell apart have two keys, and others one."""
    assert (key(*one) == key(*other)) == (normal_request(*one) == normal_request(*other))


@thorough
@given(REQUESTS, st.integers(), st.data())
def test_one_changed_message_or_parameter_changes_the_key_exactly_if_it_says_more(one, place, data):
    """Requests that are nearly the same are told apart."""
    messages, kwargs = list(one[0]), dict(one[1])
    if place % 2:
        messages[place % len(messages)] = data.draw(MESSAGES)
    else:
        kwargs["extra_body"] = data.draw(KWARGS).get("extra_body")
    same = normal_request(*one) == normal_request(messages, kwargs)
    assert (key(*one) == key(messages, kwargs)) == same


@thorough
@given(REQUESTS, st.randoms(use_true_random=False))
def test_noise_does_not_change_the_key(one, chance):
    """Ids, metadata, the order of dicts and the type of numbers are nothing that is said."""
    messages, kwargs = one
    kwargs = {name: turned(value) for name, value in kwargs.items()}
    assert key([noisy(message, chance) for message in messages], kwargs) == key(*one)


# --- no collisions ---


@given(st.text(st.characters(exclude_categories=())))
def test_a_quoted_text_is_the_text_as_json(text):
    """The quick way to write a text gives what the general one does, half surrogates included."""
    assert f"[{dump(text)}]" == dump([text])


def _generated(count: int):
    """Yield ``count`` requests, each different from every other."""
    chance = random.Random(20261125)
    alphabet = 'ab é"\\{}[]:,\n0123'
    for number in range(count):
        text = "".join(chance.choices(alphabet, k=chance.randrange(30)))
        # The number is split among places, so that neighbours differ in one of them alone.
        a, b, c, d = number % 7, number // 7 % 11, number // 77 % 101, number // 7777
        content = [{"type": "text", "text": f"{a}"}, {"type": "text", "text": text}]
        messages = [HumanMessage(content), AIMessage(f"{b}"), HumanMessage(text)]
        yield messages, {"seed": c, "extra_body": {"a": {"b": [d, str(a)]}}}


def _assert_no_collision(count: int) -> None:
    assert len({key(*request) for request in _generated(count)}) == count


def test_no_two_of_many_requests_share_a_key():
    """Two thousand generated requests have two thousand keys."""
    _assert_no_collision(2_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_two_of_a_million_requests_share_a_key():
    """A million generated requests have a million keys."""
    _assert_no_collision(1_000_000)
