"""Answers as data: nothing lost, nothing built but messages, nothing shared."""

from __future__ import annotations

import copy
import enum
import json
import math
import struct
import warnings
from datetime import date
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolCallChunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)
from pydantic import BaseModel, ConfigDict, Field

from jupyter_llmcache import answer as entry
from jupyter_llmcache.answer.pieces import Piece, pack, pieces_of
from jupyter_llmcache.errors import DamagedEntryError
from jupyter_llmcache.ledger import usage_of

VERSIONS = {"jupyter_llmcache": "0.1.0", "langchain-core": "1.8.3"}
USAGE = {
    "input_tokens": 3,
    "output_tokens": 5,
    "total_tokens": 8,
    "input_token_details": {"cache_read": 1, "ephemeral_5m": 2},
}


def chat(content: Any = "hello", info: dict[str, Any] | None = None, **fields: Any):
    return ChatGeneration(message=AIMessage(content=content, **fields), generation_info=info)


def encode(*generations: Generation) -> bytes:
    return entry.encode(generations, versions=VERSIONS)


def back(generation: Generation) -> Generation:
    [decoded] = entry.decode(encode(generation))
    return decoded


# --- nothing is lost ---

texts = st.text(st.characters(codec="utf-8"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts | st.just("$llmcache"), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(texts | st.sampled_from(["$llmcache", "lc", "type"]), values, max_size=3)
blocks = st.fixed_dictionaries({"type": st.sampled_from(["text", "image", "reasoning"])}).flatmap(
    lambda fixed: objects.map(lambda more: {**more, **fixed, "text": "x"})
)
calls = st.fixed_dictionaries(
    {"name": texts, "args": objects, "id": st.none() | texts, "type": st.just("tool_call")}
)
invalid_calls = st.fixed_dictionaries(
    {
        **dict.fromkeys(("name", "args", "id", "error"), st.none() | texts),
        "type": st.just("invalid_tool_call"),
    }
)
counts = st.integers(0, 10**9)
usages = st.fixed_dictionaries(
    {"input_tokens": counts, "output_tokens": counts, "total_tokens": counts},
    optional={"output_token_details": st.dictionaries(texts, counts, max_size=2)},
)
chats = st.builds(
    chat,
    texts | st.lists(texts | blocks, max_size=3),
    st.none() | objects,
    name=st.none() | texts,
    id=st.none() | texts,
    additional_kwargs=objects,
    response_metadata=objects,
    tool_calls=st.lists(calls, max_size=2),
    invalid_tool_calls=st.lists(invalid_calls, max_size=2),
    usage_metadata=st.none() | usages,
)
generations = chats | st.builds(Generation, text=texts, generation_info=st.none() | objects)


def exact(value: Any) -> Any:
    """``value`` so that unequal kinds differ (True and 1, 0.0 and -0.0) and NaN equals itself."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else struct.pack("<d", value))
    return (type(value).__name__, value)


@given(generations)
def test_whatever_json_can_say_comes_back(generation):
    """An answer of any text, blocks, calls, usage and metadata comes back as it was."""
    decoded = back(generation)
    assert type(decoded) is type(generation)
    assert exact(decoded.model_dump()) == exact(generation.model_dump())
    assert decoded == generation or "nan" in repr(generation)


@given(st.lists(generations, min_size=1, max_size=4))
def test_all_generations_come_back_in_order(several):
    """Several generations of one answer come back in their order."""
    decoded = entry.decode(encode(*several))
    assert [exact(d.model_dump()) for d in decoded] == [exact(g.model_dump()) for g in several]


@pytest.mark.parametrize(
    "text", ["\ud800", "a\udfffb", "\x00", "\u2028", "\U0001f600", "\u202eabc"]
)
def test_odd_characters_come_back(text):
    """Half surrogates, NUL, line separators and the like come back."""
    assert back(chat(text)).text == text


def test_two_surrogate_halves_are_refused():
    """Two half surrogates that JSON would join to one character are not stored."""
    with pytest.raises(entry.NotStorableError):
        encode(chat("\ud83d\ude00"))


def test_the_bytes_are_utf8_json():
    """What is stored is JSON that any reader takes, with text as it is written."""
    answer = encode(chat("größer 北京", additional_kwargs={"x": math.inf, "y": b"\x00"}))
    assert "größer 北京" in answer.decode()

    def refuse(name):
        raise AssertionError(name)

    assert json.loads(answer, parse_constant=refuse)["format"] == 1


def test_equal_answers_give_equal_bytes():
    """The same answer is the same bytes, each time and after a round trip."""
    first = encode(chat("hi", {"finish_reason": "stop"}, usage_metadata=USAGE))
    assert first == entry.encode(entry.decode(first), versions=VERSIONS)


def test_chunks_come_back_as_wholes():
    """What a stream adds up to is recalled as the message that it is."""
    piece: ToolCallChunk = {"name": "f", "args": '{"a": 1}', "id": "1", "index": 0}
    chunk = AIMessageChunk(content="hi", tool_call_chunks=[piece], usage_metadata=USAGE)
    decoded = back(ChatGenerationChunk(message=chunk, generation_info={"finish_reason": "stop"}))
    assert type(decoded) is ChatGeneration
    assert type(decoded.message) is AIMessage
    assert decoded.message.tool_calls == chunk.tool_calls
    assert decoded.message.usage_metadata == USAGE
    assert type(back(GenerationChunk(text="hi"))) is Generation


def test_calls_in_additional_kwargs_stay_as_they_were():
    """Raw calls beside parsed ones are kept, and none is made up where the answer had none."""
    raw = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    generation = chat("", additional_kwargs={"tool_calls": raw})
    assert back(generation).message.tool_calls == generation.message.tool_calls != []
    generation.message.tool_calls = []
    assert back(generation).message.tool_calls == []


def test_what_providers_add_to_calls_and_usage_is_kept():
    """Unknown fields of a tool call, of usage and of the message itself come back."""
    generation = chat("hi", example=False, citations=["a"])
    generation.message.tool_calls = [{"name": "f", "args": {}, "id": "1", "extras": {"sig": "x"}}]
    generation.message.usage_metadata = {**USAGE, "total_cost": 0.5}
    message = back(generation).message
    assert message.tool_calls == generation.message.tool_calls
    assert message.usage_metadata == generation.message.usage_metadata
    assert message.model_extra == {"example": False, "citations": ["a"]}


@given(chats)
def test_a_recalled_answer_reads_like_the_fresh_one(generation):
    """A person or a program that reads the answer's ``repr`` finds the same text, key for key."""
    assert repr(back(generation)) == repr(generation)


class Colour(enum.StrEnum):
    RED = "red"


def test_enumerations_of_text_come_back_as_their_text():
    """A value that is a text is kept as that text."""
    assert back(chat(response_metadata={"c": Colour.RED})).message.response_metadata == {"c": "red"}


@pytest.mark.parametrize(
    ("generation", "reason"),
    [
        (chat(additional_kwargs={"a": (1, 2)}), "additional_kwargs holds a tuple"),
        (
            chat(additional_kwargs={1: 2}),
            "additional_kwargs holds a dict with keys that are not text",
        ),
        (chat(info={"logprobs": {1.5}}), "generation_info holds a set"),
        (chat(response_metadata={"at": date(2026, 1, 1)}), "response_metadata holds a date"),
        (ChatGeneration(message=HumanMessage("x")), "a message of class HumanMessage"),
        (chat(info={"n": 10**5000}), "an integer too long to write down"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_be_lost_is_not_stored(generation, reason):
    """What JSON cannot keep exactly is refused, and the reason says where it was."""
    with pytest.raises(entry.NotStorableError) as caught:
        encode(generation)
    assert str(caught.value) == reason


def test_bottomless_data_are_not_stored():
    """Data that contain themselves are refused."""
    data: dict[str, Any] = {}
    data["again"] = data
    with pytest.raises(entry.NotStorableError, match="nests too deep"):
        encode(chat(additional_kwargs=data))


class Sentence(Generation):
    pass


class Reply(AIMessage):
    pass


@pytest.mark.parametrize("odd", [Sentence(text="x"), ChatGeneration(message=Reply(content="x"))])
def test_classes_of_others_are_not_stored(odd):
    """A subclass, which would come back as another class, is refused."""
    with pytest.raises(entry.NotStorableError, match="class"):
        encode(odd)


# --- what a hit is good for ---


@given(chats)
def test_a_hit_passes_through_langchain(generation):
    """LangChain can write and read a recalled message as it could the original."""
    recalled, original = back(generation).message, generation.message
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = loads(dumps(original))
        except Exception:
            assume(False)  # LangChain cannot write bytes, nor what nests too deep
        assert exact(loads(dumps(recalled)).model_dump()) == exact(expected.model_dump())


def test_hits_share_nothing():
    """Changing a recalled answer changes neither the next one nor what was stored."""
    generation = chat(
        [{"type": "text", "text": "hi"}],
        {"logprobs": [1]},
        additional_kwargs={"a": [1]},
        tool_calls=[{"name": "f", "args": {"x": [1]}, "id": "1"}],
        usage_metadata=copy.deepcopy(USAGE),
    )
    answer = encode(generation)
    [first] = entry.decode(answer)
    first.message.content[0]["text"] = "poisoned"
    first.message.additional_kwargs["a"].append(2)
    first.message.tool_calls[0]["args"]["x"].append(2)
    first.message.usage_metadata["input_tokens"] = 0
    first.generation_info["logprobs"].append(2)
    [second] = entry.decode(answer)
    assert second.model_dump() == generation.model_dump()


def test_versions_and_usage_can_be_told():
    """An answer tells who recorded it and what it used."""
    answer = encode(Generation(text="a"))
    assert entry.recorded_versions(answer) == VERSIONS
    assert usage_of([chat("a"), chat("b", usage_metadata=USAGE)]) == USAGE
    assert usage_of([Generation(text="a")]) is None


# --- structured output ---


class Place(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(alias="placeName")
    on: date


class Trip(BaseModel):
    to: Place = Field(validation_alias="destination", serialization_alias="target")
    stops: list[Place] = []
    mood: Colour = Colour.RED


TRIP_TEXT = json.dumps(
    {
        "destination": {"placeName": "Köln", "on": "2026-02-01"},
        "stops": [{"placeName": "Bonn", "on": "2026-02-02"}],
        "mood": "red",
    }
)


@pytest.mark.parametrize("text", [TRIP_TEXT, "no JSON"], ids=["from the text", "from the object"])
def test_the_parsed_object_is_kept_as_data(text):
    """A parsed object is kept as data of which its class makes an equal one, nested and renamed."""
    parsed = Place.model_validate_json('{"placeName": "Köln", "on": "2026-02-01"}')
    if text == TRIP_TEXT:
        parsed = Trip.model_validate_json(text)
    message = back(chat(text, additional_kwargs={"parsed": parsed})).message
    assert type(parsed)(**message.additional_kwargs["parsed"]) == parsed
    json.dumps(message.additional_kwargs)


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    on: date


def test_an_object_that_no_data_make_is_not_stored():
    """Where a class takes no plain data, the answer is not stored rather than stored wrong."""
    parsed = Strict(on=date(2026, 1, 1))
    with pytest.raises(entry.NotStorableError, match="additional_kwargs holds a Strict"):
        encode(chat('{"on": "2026-01-01"}', additional_kwargs={"parsed": parsed}))


# --- the pieces of a stream ---


def in_pieces(packed: Any, whole: Generation) -> list[Any] | None:
    found = pieces_of(entry.encode([whole], VERSIONS, packed), whole)
    return None if found is None else list(found)


def test_pieces_come_back():
    """The pieces of a stream are kept beside its answer, and come back as they were."""
    said = {"response_metadata": {"model_provider": "openai"}}
    pieces = [Piece(text, said, None) for text in ("", "hel", "lo")]
    pieces.append(Piece("", {"usage_metadata": USAGE}, {"finish_reason": "stop"}))
    packed = pack(pieces, chat())
    assert packed is not None
    assert packed[1:3] == [3, 2]
    assert in_pieces(packed, chat()) == pieces
    assert in_pieces([2, 3], Generation(text="hello")) == [("he", {}, None), ("llo", {}, None)]


@pytest.mark.parametrize(
    "pieces",
    [
        [Piece("hello", {}, None)],
        [Piece("hel", {}, None), Piece("p", {}, None)],
        [Piece("hel", {"extra": 1}, None), Piece("lo", {}, None)],
        [Piece("hel", {"additional_kwargs": {"a": date(2024, 5, 1)}}, None)] * 2,
        [Piece(["hello"], {}, None), Piece("", {}, None)],
        [],
    ],
)
def test_pieces_that_do_not_make_the_answer_are_not_kept(pieces):
    """What is one piece, says something unknown, or adds up to something else has no pieces."""
    assert pack(pieces, chat()) is None


def test_damaged_pieces_are_none():
    """Pieces of another form, or of another text, are left aside; the answer is there."""
    for packed in [
        *("hello", {"a": 1}, [], [None], [2, "3"], [2, 2], [-1, 6], [True, 4], [5, [1]], [[5]]),
        *([[5, 1]], [[5, {"content": 1}]], [[5, {"id": "x"}]], [[5, {"info": 1}]]),
        *([[5, {"usage_metadata": {}}]], [[5, {"tool_call_chunks": [1]}]]),
        *([[5, {"tool_call_chunks": [{"name": 1}]}]], [[5, {"chunk_position": "x"}]], [10**400]),
    ]:
        assert in_pieces(packed, chat()) is None


# --- damage ---

GOOD = encode(
    chat(
        [{"type": "text", "text": "hi"}],
        {"finish_reason": "stop", "logprobs": {"x": math.nan}},
        tool_calls=[{"name": "f", "args": {"a": 1}, "id": "1"}],
        invalid_tool_calls=[{"name": "f", "args": "{", "id": "1", "error": None}],
        usage_metadata=USAGE,
        additional_kwargs={"b": b"\x00\xff"},
        response_metadata={"$llmcache": "user"},
    ),
    Generation(text="plain"),
)


@settings(max_examples=4 * settings.default.max_examples)
@given(st.data())
def test_damaged_bytes_raise_one_error(data):
    """Whatever happened to the bytes, they decode to generations or raise DamagedEntryError."""
    answer = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(answer) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "double", "symbol"])):
            case "flip":
                answer[place] ^= data.draw(st.integers(1, 255))
            case "cut":
                del answer[place : place + data.draw(st.integers(1, 30))]
            case "double":
                answer[place:place] = answer[place : place + 20]
            case "symbol":
                answer[place : place + 1] = data.draw(st.sampled_from([b"{", b"[", b"null", b"1"]))
        if not answer:
            break
    try:
        decoded = entry.decode(bytes(answer))
    except DamagedEntryError:
        return
    assert decoded
    assert all(isinstance(generation, Generation) for generation in decoded)


def replaced(path: str, value: Any) -> bytes:
    """A good answer in which one value is another."""
    data = json.loads(encode(chat("hi", usage_metadata=USAGE)))
    *folders, name = path.split(".")
    place = data
    for folder in folders:
        place = place[int(folder) if folder.isdigit() else folder]
    place[name] = value
    return json.dumps(data).encode()


HOSTILE = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"hello"',
    "no JSON": b"hello",
    "no UTF-8": b'{"format": 1, "x": "\xff"}',
    "a long number": b'{"format": ' + b"9" * 10_000 + b"}",
    "deep lists": b'{"format":1,"versions":{},"generations":' + b"[" * 500 + b"]" * 500 + b"}",
    "very deep lists": b"[" * 200_000,
    "no format": replaced("format", None),
    "format true": replaced("format", True),
    "no generations": replaced("generations", []),
    "generations of another kind": replaced("generations", {"0": {}}),
    "versions of another kind": replaced("versions", {"a": 1}),
    "a generation that is none": replaced("generations", [None]),
    "a text of another kind": replaced("generations", [{"text": 1}]),
    "info of another kind": replaced("generations", [{"text": "a", "info": []}]),
    "content of another kind": replaced("generations.0.message.content", 7),
    "null content": replaced("generations.0.message.content", None),
    "additional_kwargs of another kind": replaced("generations.0.message.additional_kwargs", []),
    "a name of another kind": replaced("generations.0.message.name", 7),
    "an id of another kind": replaced("generations.0.message.id", 7),
    "metadata of another kind": replaced("generations.0.message.response_metadata", "x"),
    "a block of another kind": replaced("generations.0.message.content", ["a", 7]),
    "a field of no meaning": replaced("generations.0.message.type", "human"),
    "usage without counts": replaced("generations.0.message.usage_metadata", {"total_cost": 0}),
    "usage of another kind": replaced("generations.0.message.usage_metadata", []),
    "calls of another kind": replaced("generations.0.message.tool_calls", {"name": "f"}),
    "a call without arguments": replaced("generations.0.message.tool_calls", [{"name": "f"}]),
    "a call that is none": replaced("generations.0.message.tool_calls", ["f"]),
    "an invalid call of another kind": replaced("generations.0.message.invalid_tool_calls", [{}]),
    "an id smuggled in": replaced("generations.0.message.extra", {"id": "run-1"}),
    "a type smuggled in": replaced("generations.0.message.extra", {"type": "human"}),
    "blocks smuggled in": replaced("generations.0.message.extra", {"content_blocks": []}),
    "extras of another kind": replaced("generations.0.message.extra", [1]),
    "a mark of no meaning": replaced("generations.0.info", {"$llmcache": "object", "value": "os"}),
    "bytes that are none": replaced("generations.0.info", {"$llmcache": "bytes", "value": "!"}),
    "a dict that is none": replaced("generations.0.info", {"$llmcache": "dict", "value": [1]}),
}


def test_hostile_bytes_are_refused():
    """Bytes of another shape raise DamagedEntryError, in one line."""
    for answer in HOSTILE.values():
        with pytest.raises(DamagedEntryError) as caught:
            entry.decode(answer)
        assert "\n" not in str(caught.value)


def test_an_entry_of_a_newer_release_says_so():
    """A newer form is not read by guess; the error says what to do."""
    with pytest.raises(DamagedEntryError, match="Upgrade"):
        entry.decode(replaced("format", 2))


def test_objects_are_not_built_from_data():
    """What looks like LangChain's or Python's serialised objects stays the data that it is."""
    data = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain_core", "prompts", "PromptTemplate"],
        "kwargs": {"template": "x"},
        "__reduce__": ["os.system", "true"],
    }
    secret = {"lc": 1, "type": "secret", "id": ["HOME"]}
    generation = chat("hi", additional_kwargs={"a": data, "b": secret})
    assert back(generation).message.additional_kwargs == {"a": data, "b": secret}
