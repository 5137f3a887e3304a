"""Values of every type have one canonical text."""

import dataclasses
import hashlib
import json
import math
from collections import OrderedDict, UserDict
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from functools import partial
from pathlib import PurePosixPath, PureWindowsPath
from types import MappingProxyType
from uuid import UUID

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr

from jupyter_llmcache.request.canonical import Canon, IndescribableError, dump, long_digest
from jupyter_llmcache.request.parameters import Values

VALUES = Values(lambda model: None)
MOMENT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


class Size(Enum):
    SMALL = "small"


class Number(IntEnum):
    ONE = 1


class Name(StrEnum):
    ANN = "ann"


class Point(BaseModel):
    x: int = 0
    key: SecretStr | None = None


@dataclasses.dataclass
class Range:
    start: int
    end: int | None = None


def test_a_value_has_one_text():
    """The text is JSON, the same for whatever is written alike, and its own canonical form."""
    for value, text in [
        (None, "null"),
        (True, "true"),
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (1e300, str(int(1e300))),
        (0.1, "0.1"),
        (10**30, "1" + "0" * 30),
        ("é\n", '"é\\n"'),
        ("\ud800", '"\\ud800"'),
        ("\\ud800", '"\\\\ud800"'),
        ((1, [2]), "[1,[2]]"),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
        ({2: "a", 2.5: "b", None: "c", False: "d"}, '{"2":"a","2.5":"b","false":"d","null":"c"}'),
        (
            {"properties": {"b": {"y": 1, "x": 2}, "a": 1}},
            '{"properties":{"b":{"x":2,"y":1},"a":1}}',
        ),
        (
            {"properties": {"properties": {"b": 1, "a": 2}}},
            '{"properties":{"properties":{"a":2,"b":1}}}',
        ),
        ({"properties": [2, 1]}, '{"properties":[2,1]}'),
        (OrderedDict(b=1, a=2), '{"a":2,"b":1}'),
        (MappingProxyType({"a": 1}), '{"a":1}'),
        (UserDict({"a": 1}), '{"a":1}'),
        # Sets carry an id: their repr differs between the processes that share the tests.
        ({"y", "x"}, '["x","y"]'),
        (frozenset({10, 9}), "[10,9]"),
        (Size.SMALL, '"small"'),
        (Number.ONE, "1"),
        (Name.ANN, '"ann"'),
        ({Name.ANN: 1, Size.SMALL: 2}, '{"ann":1,"small":2}'),
        (MOMENT, '"2026-01-02T03:04:00+00:00"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (PurePosixPath("a/b"), '"a/b"'),
        (PureWindowsPath("a\\b"), '"a/b"'),
        (Decimal("1.50"), '"1.50"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (math.inf, '{"llmcache:number":"inf"}'),
        (math.nan, '{"llmcache:number":"nan"}'),
        ({"llmcache:number": "inf"}, '{"llmcache:llmcache:number":"inf"}'),
    ]:
        assert dump(Canon().plain(value)) == text
        assert dump(json.loads(text)) == text
        text.encode()


def test_different_values_have_different_texts():
    """No two values that a provider could tell apart share a text."""
    for one, other in [
        (b"a", b"b"),
        (b"a", "a"),
        (1, True),
        (0, False),
        (1, "1"),
        (None, "null"),
        ([1], {1: 1}),
        ([], {}),
        (math.inf, -math.inf),
        (math.inf, "inf"),
        (0.1, 0.1 + 1e-16),
        (2**53, 2**53 + 1),
        ("é", "e\u0301"),
        ("\ud800", "\\ud800"),
        ({"properties": {"a": 1, "b": 2}}, {"properties": {"b": 2, "a": 1}}),
        ({"a": None}, {}),
        ([1, None], [1]),
    ]:
        assert dump(Canon().plain(one)) != dump(Canon().plain(other))


def test_what_has_no_form_is_refused_in_a_few_words():
    """An object that is not known never enters by its repr."""
    for value, reason in [
        (object(), "an object of class object"),
        ([object()], "an object of class object"),
        (Fraction(1, 3), "an object of class Fraction"),
        (iter({1}), "an object of class set_iterator"),
        ({(1, 2): 3}, "a key of class tuple"),
        ({1: "a", "1": "b"}, "two keys that JSON writes alike"),
        (1j, "an object of class complex"),
        (print, "an object of class builtin_function_or_method"),
        (int, "the class int"),
    ]:
        with pytest.raises(IndescribableError, match=reason):
            VALUES.plain(value)


def test_records_count_by_their_fields():
    """Pydantic objects and dataclasses are their fields, without nulls and secrets."""
    assert VALUES.plain(Point(x=1, key=SecretStr("s"))) == {"x": 1}
    assert VALUES.plain(Range(1)) == {"start": 1}


def test_messages_in_parameters_count_as_messages():
    """A canned message's id is no part of it."""
    assert VALUES.plain(HumanMessage("a", id="1")) == VALUES.plain(HumanMessage("a"))


def test_an_iterator_over_a_list_counts_as_the_list():
    """How far a canned list was read does not count."""
    read = iter(["a", "b"])
    next(read)
    assert VALUES.plain(read) == ["a", "b"]


def test_a_tool_counts_as_its_schema():
    """A function, a LangChain tool and the dict they make are one."""

    def weather(city: str) -> str:
        """Tell the weather."""

    made = tool(weather)
    assert VALUES.tool(weather) == VALUES.tool(made)
    assert VALUES.tool(made)["function"]["name"] == "weather"


def test_a_tool_without_a_schema_is_refused():
    """A function that makes no schema has no content that a provider could see."""
    with pytest.raises(IndescribableError, match="a tool without a schema"):
        VALUES.tool(partial(print))


def test_long_texts_that_look_alike_have_digests_of_their_own():
    """A text is never taken for another of the same length, beginning and end."""
    texts = ["a" * 900 + letter + "a" * 900 for letter in "bcbdcb"]
    digests = [long_digest(text) for text in texts]
    expected = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    assert digests == expected


@pytest.mark.parametrize("before", range(4))
def test_a_very_long_text_has_the_digest_of_all_of_it(before):
    """Characters of all widths and half surrogate pairs count, wherever they stand."""
    text = "a" * before + "x\xe9\u20ac\U0001f600\ud83d\ude00" * 50_000
    whole = text.encode("utf-8", "surrogatepass")
    assert long_digest(text) == hashlib.sha256(whole).hexdigest()
