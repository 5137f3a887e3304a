"""What differs between two requests, and which recorded request is nearest."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI

from jupyter_llmcache import request as keys
from jupyter_llmcache.ledger import Entry
from jupyter_llmcache.request.compare import differences
from jupyter_llmcache.seam.nearest import nearest, unrecorded
from jupyter_llmcache.seam.place import entry_of
from jupyter_llmcache.stores.base import Store
from jupyter_llmcache.stores.memory import MemoryStore
from jupyter_llmcache.stores.sqlite import SQLiteStore

IMAGE = base64.b64encode(bytes(range(256)) * 8).decode()
OTHER_IMAGE = base64.b64encode(bytes(range(256)) * 7 + bytes(reversed(range(256)))).decode()
LONG = "You are a patient teacher. " * 20


def tool(name: str = "weather", **changes: Any) -> dict[str, Any]:
    properties = {"city": {"type": "string"}, "days": {"type": "integer"}}
    function = {
        "name": name,
        "description": "Tell the weather",
        "parameters": {"type": "object", "properties": properties, "required": ["city"]},
    }
    return {"type": "function", "function": {**function, **changes}}


def parameters(**properties: Any) -> dict[str, Any]:
    return {
        "parameters": {"type": "object", "properties": properties, "required": ["city"]},
    }


def openai(settings: dict[str, Any], kwargs: dict[str, Any], messages: list[BaseMessage]) -> Any:
    model = ChatOpenAI(**{"model": "gpt-x", "api_key": "sk-very-secret", **settings})
    return keys.describe(model, messages, None, kwargs)


def settings(*changes: dict[str, Any]) -> tuple[Any, Any]:
    one, other = changes
    return tuple(openai(change, {}, [HumanMessage("hi")]) for change in (one, other))  # type: ignore[return-value]


def call(one: dict[str, Any], other: dict[str, Any]) -> tuple[Any, Any]:
    return tuple(openai({}, kwargs, [HumanMessage("hi")]) for kwargs in (one, other))  # type: ignore[return-value]


def chat(one: list[BaseMessage], other: list[BaseMessage]) -> tuple[Any, Any]:
    return tuple(openai({}, {}, messages) for messages in (one, other))  # type: ignore[return-value]


def anthropic(one: list[BaseMessage], other: list[BaseMessage]) -> tuple[Any, Any]:
    model = ChatAnthropic(model="claude", api_key="k")
    return tuple(keys.describe(model, messages, None, {}) for messages in (one, other))  # type: ignore[return-value]


def ollama(one: dict[str, Any], other: dict[str, Any]) -> tuple[Any, Any]:
    models = (ChatOllama(**{"model": "llama", **change}) for change in (one, other))
    return tuple(keys.describe(model, [HumanMessage("hi")], None, {}) for model in models)  # type: ignore[return-value]


def user(text: Any) -> HumanMessage:
    return HumanMessage(text)


def asked(args: dict[str, Any], name: str = "weather", call_id: str = "c1") -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": call_id}])


def image(data: str, detail: str = "low") -> HumanMessage:
    url = {"url": f"data:image/png;base64,{data}", "detail": detail}
    return HumanMessage(
        [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": url}]
    )


SINGLE_DIFFERENCES: dict[str, tuple[Callable[[], tuple[Any, Any]], str, str]] = {
    # name: (two requests, the field, a part of the text)
    "temperature": (
        lambda: settings({"temperature": 0}, {"temperature": 0.7}),
        "temperature",
        "temperature 0 -> 0.7",
    ),
    "temperature unset": (
        lambda: settings({}, {"temperature": 0}),
        "temperature",
        "temperature unset -> 0",
    ),
    "top_p": (lambda: settings({"top_p": 1}, {"top_p": 0.5}), "top_p", "1 -> 0.5"),
    "max_tokens": (
        lambda: settings({"max_tokens": 10}, {"max_tokens": 20}),
        "max_tokens",
        "10 -> 20",
    ),
    "seed": (lambda: settings({"seed": 1}, {"seed": 2}), "seed", "seed 1 -> 2"),
    "n": (lambda: settings({"n": 1}, {"n": 2}), "n", "n 1 -> 2"),
    "presence_penalty": (
        lambda: settings({"presence_penalty": 0.1}, {"presence_penalty": 0.2}),
        "presence_penalty",
        "0.1 -> 0.2",
    ),
    "frequency_penalty": (
        lambda: settings({"frequency_penalty": 0.1}, {}),
        "frequency_penalty",
        "0.1 -> unset",
    ),
    "logprobs": (lambda: settings({"logprobs": True}, {}), "logprobs", "true -> unset"),
    "top_logprobs": (
        lambda: settings({"top_logprobs": 2}, {"top_logprobs": 3}),
        "top_logprobs",
        "2 -> 3",
    ),
    "logit_bias": (
        lambda: settings({"logit_bias": {50256: -100}}, {"logit_bias": {50256: 100}}),
        "logit_bias.50256",
        "-100 -> 100",
    ),
    "reasoning_effort": (
        lambda: settings({"reasoning_effort": "low"}, {"reasoning_effort": "high"}),
        "reasoning_effort",
        "'low' -> 'high'",
    ),
    "model": (lambda: settings({}, {"model": "gpt-y"}), "model", "model 'gpt-x' -> 'gpt-y'"),
    "endpoint": (
        lambda: settings({"base_url": "http://a/v1"}, {"base_url": "http://b/v1"}),
        "endpoint",
        "'http://a/v1' -> 'http://b/v1'",
    ),
    "extra_body": (
        lambda: settings({"extra_body": {"top_k": 1}}, {"extra_body": {"top_k": 2}}),
        "extra_body.top_k",
        "1 -> 2",
    ),
    "model_kwargs": (
        lambda: settings({"model_kwargs": {"top_a": "a"}}, {"model_kwargs": {"top_a": "b"}}),
        "top_a",
        "'a' -> 'b'",
    ),
    "a header": (
        lambda: settings(
            {"default_headers": {"X-Mode": "a"}}, {"default_headers": {"X-Mode": "b"}}
        ),
        "default_headers.x-mode",
        " -> ",
    ),
    "responses api": (
        lambda: settings({}, {"use_responses_api": True}),
        "use_responses_api",
        "unset -> true",
    ),
    "stop": (lambda: call({"stop": ["a"]}, {"stop": ["a", "b"]}), "stop", '["a"] -> ["a", "b"]'),
    "tool choice": (
        lambda: call({"tool_choice": "auto"}, {"tool_choice": "none"}),
        "tool_choice",
        "'auto' -> 'none'",
    ),
    "tools at all": (lambda: call({}, {"tools": [tool()]}), "tools", "tools unset -> "),
    "a new tool": (
        lambda: call({"tools": [tool()]}, {"tools": [tool(), tool("time")]}),
        "tools[time]",
        "is new",
    ),
    "a tool less": (
        lambda: call({"tools": [tool(), tool("time")]}, {"tools": [tool()]}),
        "tools[time]",
        "is gone",
    ),
    "a tool's description": (
        lambda: call({"tools": [tool()]}, {"tools": [tool(description="Tell the news")]}),
        "tools[weather].function.description",
        "'Tell the weather' -> 'Tell the news'",
    ),
    "a tool's parameter": (
        lambda: call(
            {"tools": [tool()]},
            {"tools": [tool(**parameters(city={"type": "string"}, days={"type": "number"}))]},
        ),
        "tools[weather].function.parameters.properties.days.type",
        "'integer' -> 'number'",
    ),
    "the order of a tool's properties": (
        lambda: call(
            {"tools": [tool()]},
            {"tools": [tool(**parameters(days={"type": "integer"}, city={"type": "string"}))]},
        ),
        "tools[weather].function.parameters.properties order",
        '["city", "days"] -> ["days", "city"]',
    ),
    "the order of tools": (
        lambda: call({"tools": [tool(), tool("time")]}, {"tools": [tool("time"), tool()]}),
        "tools order",
        '["weather", "time"] -> ["time", "weather"]',
    ),
    "strict": (
        lambda: call({"tools": [tool()]}, {"tools": [tool(strict=True)]}),
        "tools[weather].function.strict",
        "unset -> true",
    ),
    "response format": (
        lambda: call(
            {"response_format": {"type": "text"}}, {"response_format": {"type": "json_object"}}
        ),
        "response_format.type",
        "'text' -> 'json_object'",
    ),
    "human text": (
        lambda: chat([user("hi")], [user("ho")]),
        "message 1 (human) text",
        "'hi' -> 'ho'",
    ),
    "a capital letter": (
        lambda: chat([user("hi")], [user("Hi")]),
        "message 1 (human) text",
        "'hi' -> 'Hi'",
    ),
    "a blank more": (
        lambda: chat([user("Say hi")], [user("Say  hi")]),
        "message 1 (human) text",
        "differs at character 5 in what is not seen: U+0068 -> U+0020",
    ),
    "a sign that is not seen": (
        lambda: chat([user("hi " * 40)], [user("hi " * 40 + "\u200b")]),
        "message 1 (human) text",
        "differs at character 121 in what is not seen: the end -> U+200B",
    ),
    "another spelling of the same letter": (
        lambda: chat([user("caf\u00e9")], [user("cafe\u0301")]),
        "message 1 (human) text",
        "differs at character 4 in what is not seen: U+00E9 -> U+0065",
    ),
    "long system text": (
        lambda: chat(
            [SystemMessage(LONG), user("hi")],
            [SystemMessage(LONG[:122] + "X" + LONG[123:]), user("hi")],
        ),
        "system text",
        "system text differs at character 123: '…",
    ),
    "longer system text": (
        lambda: chat([SystemMessage(LONG), user("hi")], [SystemMessage(LONG + "!"), user("hi")]),
        "system text",
        "differs at character 541",
    ),
    "Chinese text": (
        lambda: chat([user("讲一个笑话")], [user("讲两个笑话")]),
        "message 1 (human) text",
        "'讲一个笑话' -> '讲两个笑话'",
    ),
    "an earlier answer": (
        lambda: chat(
            [user("hi"), AIMessage("yes"), user("why")], [user("hi"), AIMessage("no"), user("why")]
        ),
        "message 2 (ai) text",
        "'yes' -> 'no'",
    ),
    "a role": (
        lambda: chat([SystemMessage("hi"), user("a")], [user("hi"), user("a")]),
        "message 1 role",
        "system -> human",
    ),
    "a name": (
        lambda: chat([HumanMessage("hi", name="ann")], [HumanMessage("hi", name="bob")]),
        "message 1 (human) name",
        "'ann' -> 'bob'",
    ),
    "arguments of a tool call": (
        lambda: chat([user("a"), asked({"city": "Bern"})], [user("a"), asked({"city": "Rome"})]),
        "message 2 (ai) tool calls[weather].args.city",
        "'Bern' -> 'Rome'",
    ),
    "a tool's result": (
        lambda: chat(
            [user("a"), asked({}), ToolMessage("sun", tool_call_id="c1")],
            [user("a"), asked({}), ToolMessage("rain", tool_call_id="c1")],
        ),
        "message 3 (tool) text",
        "'sun' -> 'rain'",
    ),
    "a failed tool": (
        # OpenAI is not told whether a tool failed.
        lambda: anthropic(
            [user("a"), asked({}), ToolMessage("x", tool_call_id="c1")],
            [user("a"), asked({}), ToolMessage("x", tool_call_id="c1", status="error")],
        ),
        "message 3 (tool) is error",
        "unset -> true",
    ),
    "the bytes of an image": (
        lambda: chat([image(IMAGE)], [image(OTHER_IMAGE)]),
        "message 1 (human) block 2.image_url.url",
        "is other data",
    ),
    "the detail of an image": (
        lambda: chat([image(IMAGE)], [image(IMAGE, "high")]),
        "message 1 (human) block 2.image_url.detail",
        "'low' -> 'high'",
    ),
    "num_ctx of another provider": (
        lambda: ollama({"num_ctx": 1024}, {"num_ctx": 2048}),
        "num_ctx",
        "1024 -> 2048",
    ),
    "top_k of another provider": (
        lambda: ollama({"top_k": 10}, {"top_k": 20}),
        "top_k",
        "10 -> 20",
    ),
    "format of another provider": (
        lambda: ollama({}, {"format": "json"}),
        "format",
        "unset -> 'json'",
    ),
    "endpoint of another provider": (
        lambda: ollama({"base_url": "http://a:1"}, {"base_url": "http://b:1"}),
        "endpoint",
        "'http://a:1' -> 'http://b:1'",
    ),
}


def compare(one: Any, other: Any) -> list[Any]:
    return differences(one.description, one.prompt, other.description, other.prompt)


@pytest.mark.parametrize("name", SINGLE_DIFFERENCES)
def test_a_single_difference_is_named(name):
    """Of two requests that differ in one field that field is named in words, and no other."""
    make, field, text = SINGLE_DIFFERENCES[name]
    one, other = make()
    assert one.key != other.key
    found = compare(one, other)
    assert [difference.field for difference in found] == [field]
    assert text in found[0].text
    assert "very-secret" not in found[0].text


def test_equal_requests_do_not_differ():
    """Nothing differs between a request and itself."""
    one, other = settings({"temperature": 0}, {"temperature": 0, "timeout": 3})
    assert compare(one, other) == []


def test_true_is_not_one():
    """A switch and a number are told apart, though Python calls them equal."""
    found = differences('{"x":1}', '"a"', '{"x":true}', '"a"')
    assert [difference.text for difference in found] == ["x 1 -> true"]


def test_a_longer_conversation_tells_the_new_messages():
    """A turn more is told as the number of messages and what is new."""
    one, other = chat([user("hi")], [user("hi"), AIMessage("hello"), user("why")])
    assert [difference.text for difference in compare(one, other)] == [
        "1 -> 3 messages",
        "message 2 (ai) is new: 'hello'",
        "message 3 (human) is new: 'why'",
    ]


@pytest.mark.parametrize("texts", [("", "x"), ("no json", "{"), ("null", "[]"), ("[[]]", "[1]")])
def test_any_text_can_be_compared(texts):
    """A description that is no JSON of ours is compared all the same."""
    one, other = texts
    assert differences(one, one, other, other)


# --- the nearest ---


def record(request: Any, title: str | None = None) -> Entry:
    title = request.title if title is None else title
    return entry_of(request, b"{}", 1.0, 0.5)._replace(title=title)


def made_up(index: int, chance: random.Random, *, one_title: bool = False) -> Entry:
    words = ["why", "is", "the", "sky", "blue", "explain", "sort", "cats", "in", "python"]
    text = "the same question" if one_title else " ".join(chance.choices(words, k=14))
    description = json.dumps(
        {
            "schema": 1,
            "provider": "openai",
            "model": "gpt" if one_title else f"gpt-{chance.randrange(3)}",
            "parameters": {"temperature": 0 if one_title else chance.randrange(4) / 4},
        },
        separators=(",", ":"),
    )
    system = " ".join(chance.choices(words, k=30))
    prompt = json.dumps(
        [{"content": f"{system} {index}", "role": "system"}, {"content": text, "role": "human"}]
    )
    key = hashlib.blake2b((description + prompt).encode(), digest_size=16).digest()
    texts = {"request": description, "prompt": prompt, "title": text[:120]}
    return Entry(key, b"{}", float(index), 0.5, **texts)


def changed(target: Entry, change: str) -> Entry:
    description, prompt = json.loads(target.request), json.loads(target.prompt)
    title = target.title
    if change == "temperature":
        description["parameters"]["temperature"] = 0.9
    elif change == "model":
        description["model"] = "gpt-new"
    elif change == "system":
        prompt[0]["content"] = prompt[0]["content"].replace(" ", " really ", 1)
    elif change == "question":
        title = prompt[1]["content"] = prompt[1]["content"].replace(" ", "  ", 3)
    return Entry(
        b"another request!",
        b"",
        0.0,
        None,
        request=json.dumps(description, separators=(",", ":")),
        prompt=json.dumps(prompt),
        title=title,
    )


@pytest.fixture(scope="module", params=["different titles", "one title"])
def many(request, tmp_path_factory):
    chance = random.Random(3)
    one_title = request.param == "one title"
    records = [made_up(index, chance, one_title=one_title) for index in range(10_000)]
    store = SQLiteStore(tmp_path_factory.mktemp("many") / "many.db")
    store.put_many(records)
    yield store, records
    store.close()


@pytest.mark.parametrize("change", ["temperature", "model", "system", "question"])
def test_the_nearest_of_ten_thousand_is_first(many, change):
    """The entry that differs in one field is first among 10,000, with that field named."""
    store, records = many
    for target in random.Random(change).sample(records, 3):
        found = nearest(store, changed(target, change))
        assert found.record.key == target.key
        assert len(found.differences) == 1
        assert change in found.differences[0].field or change == "question"


def test_a_picture_is_told_of_by_its_kind() -> None:
    """No data of a picture stands in a difference, whether it is another, new or gone."""
    small = base64.b64encode(bytes(range(200))).decode()
    plain = "hi"
    one, other, third = (
        [
            {"type": "text", "text": plain},
            {"type": "image", "base64": data, "mime_type": "image/png"},
        ]
        for data in (IMAGE, OTHER_IMAGE, small)
    )
    for before, after, told in (
        (one, other, "message 1 (human) block 2.base64 is other data"),
        (one, third, "message 1 (human) block 2.base64 is other data"),
        (plain, one, "message 1 (human) block 2 (image) is new"),
        (one, plain, "message 1 (human) block 2 (image) is gone"),
    ):
        asked = [openai({}, {}, [HumanMessage(content)]) for content in (before, after)]
        assert [str(each) for each in compare(*asked)] == [told]


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path) -> Store:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "a.db")


def test_the_line_names_key_title_and_difference(store):
    """The line for a replay miss names the nearest entry's key and prompt, and what differs."""
    one, other = settings({"temperature": 0}, {"temperature": 0.7})
    store.put(record(one))
    assert unrecorded(store, entry_of(other)) == (
        "temperature differs",
        f"the nearest recorded one is {one.key.hex()[:8]} 'hi': temperature 0 -> 0.7",
    )


def test_the_line_says_that_nothing_is_recorded(store):
    """Of an empty store the line says that it is empty."""
    _, other = settings({}, {})
    assert unrecorded(store, entry_of(other)) == (
        "nothing is recorded yet",
        f"{store.location} holds no entry yet",
    )


@pytest.mark.parametrize("text", ["Be short.", LONG])
def test_the_same_question_with_other_instructions_is_near(store, text):
    """A system text that is new or gone is told of, however long, and with one more change."""
    plain, told = chat([user("What is 2 + 2?")], [SystemMessage(text), user("What is 2 + 2?")])
    for recorded, asked, word in [(plain, told, "new"), (told, plain, "gone")]:
        store.put(record(recorded))
        line = unrecorded(store, entry_of(asked))[1]
        assert "'What is 2 + 2?'" in line
        assert f"{word}: '{text[:9]}" in line
        store.clear()


def test_what_is_not_near_is_not_told_of(store):
    """An entry that has nothing in common with the request explains nothing."""
    one, other = chat([user("Why is the sky blue?")], [user("Sort 3, 1, 2 downwards")])
    store.put(record(one))
    assert nearest(store, entry_of(other)) is None
    assert unrecorded(store, entry_of(other))[1] == "nothing like it is recorded"


def test_the_line_counts_what_does_not_fit(store):
    """Of many differences the line tells the first three and counts the others."""
    one, other = settings({}, {"temperature": 0, "top_p": 0.1, "seed": 1, "max_tokens": 3})
    store.put(record(one))
    short, line = unrecorded(store, entry_of(other))
    assert line.count("unset -> ") == 3
    assert line.endswith("; and 1 more")
    assert short.endswith(" differs and 3 more")


def test_the_line_shows_no_control_characters(store):
    """Escape sequences in a prompt are made visible, and the line stays one line."""
    one, other = chat([user("a\x1b]0;owned\x07\nb")], [user("a\x1b]0;other\x07\nb")])
    store.put(record(one))
    short, line = unrecorded(store, entry_of(other))
    assert line.isprintable()
    assert short.isprintable()


def test_a_fault_of_the_store_costs_no_second_error(tmp_path):
    """A store that cannot be read says so, and raises nothing."""
    store = SQLiteStore(tmp_path / "a.db")
    one, other = settings({}, {"seed": 1})
    store.put(record(one))
    store.close()
    Path(tmp_path / "a.db").write_bytes(b"no database at all " * 1000)
    assert unrecorded(store, entry_of(other))[0] == "what is recorded cannot be read"


def test_a_damaged_entry_is_passed_over(tmp_path):
    """An entry whose checksum is wrong is not told of; the next one is."""
    import sqlite3

    store = SQLiteStore(tmp_path / "a.db")
    one, other = settings({"seed": 1}, {"seed": 2})
    third = openai({"seed": 3, "top_p": 0.5}, {}, [user("hi")])
    store.put_many([record(one), record(third)])
    store.close()
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE llmcache_entries SET checksum = x'00' WHERE key = ?", (one.key,))
    connection.close()
    again = SQLiteStore(tmp_path / "a.db")
    assert nearest(again, entry_of(other)).record.key == third.key
    again.close()
