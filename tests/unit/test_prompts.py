"""``{{name}}`` in a prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llmcache.commands.parser import fill
from jupyter_llmcache.errors import LLMCacheError


class Thing:
    colour = "red"

    @property
    def broken(self):
        raise RuntimeError("no paint")

    def __str__(self):
        raise ValueError("no text")


NAMES = {
    "name": "Ada",
    "number": 3,
    "d": {"k": "v", "a b": "blank", "it's": "quote", 0: "zero"},
    "l": ["first", {"x": "deep"}, "last"],
    "thing": Thing(),
    "braces": "{{name}}",
    "名字": "小明",
    "fi": "ligature",
    "नाम": "आदा",
    "caf\u00e9": {"ชื่อ": "tea"},
}


def test_placeholders():
    """A variable, an attribute, an index or a key takes the placeholder's place."""
    for text, filled in [
        ("{{name}}", "Ada"),
        ("{{ name }} and {{\tname\t}}", "Ada and Ada"),
        ("{{number}}{{number}}", "33"),
        ("{{thing.colour}}", "red"),
        ('{{d[\'k\']}} {{d["a b"]}} {{d["it\'s"]}} {{d[0]}}', "v blank quote zero"),
        ("{{l[0]}} {{l[-1]}} {{l[1]['x']}}", "first last deep"),
        ("{{名字}}", "小明"),
        ("{{\ufb01}}", "ligature"),
        ("{{नाम}} {{cafe\u0301['ชื่อ']}}", "आदा tea"),
        ("{{{name}}}", "{Ada}"),
        ('{{"{{"}}name}}', "{{name}}"),
    ]:
        assert fill(text, NAMES) == filled


@pytest.mark.parametrize(
    "text",
    [
        '{"name": {"a": 1}}',
        '{{"a": 1}}',
        r"\frac{{1}}{{2}} \mathbf{x}_{i} $x$ 5 % {name}",
        "{{name()}} {{1 + 1}} {{name!r}} {{name:>10}} {{}} {{ }} {{name",
        "{{% for x in y %}} {{#if a}} {{'x'}} {{l[name]}} {{l[0:2]}} {{na me}}",
        "{{\nname\n}}",
        "{{“name”}} {{name—number}} {{name…}} {{٣}} {{thing.“colour”}} {{👩‍👧}}",
        "f'{{{'",
    ],
)
def test_all_else_as_typed(text):
    """What has not a placeholder's form stays as it was typed."""
    assert fill(text, NAMES) == text


@given(st.text(alphabet="{}ab.[]\"' \n0é"), st.text(alphabet="{}ab.[]\"' \n0é"))
def test_values_are_not_read_again(before, value):
    """A value that looks like a placeholder is sent as it is."""
    text = before.replace("{{", "") + "|{{x}}|"
    assert fill(text, {"x": value + "{{a}}"}) == text.replace("{{x}}", value + "{{a}}")


def test_faults():
    """What cannot be put in is one clear error that names the nearest."""
    for text, message in [
        ("{{nam}}", "{{nam}}: there is no variable 'nam'. Did you mean 'name'?"),
        ("{{zzzz}}", "there is no variable 'zzzz'. Define it, or give --raw"),
        ("{{thing.color}}", "thing, a Thing, has no attribute 'color'. Did you mean 'colour'?"),
        ("{{d['kk']}}", "d, a dict, has no item ['kk']. Did you mean \"'k'\"?"),
        ("{{l[9]}}", "l, a list, has no item [9]"),
        ("{{number[0]}}", "number, an int, has no item [0]"),
        ("{{l[1].x}}", "l[1], a dict, has no attribute 'x'"),
        ("{{thing.broken}}", "'broken' (RuntimeError: no paint)"),
        ("{{thing}}", "this Thing cannot be made a text (ValueError: no text)"),
    ]:
        with pytest.raises(LLMCacheError) as caught:
            fill(f"before {text} after", NAMES)
        assert message in str(caught.value)


def test_hidden_names_are_not_offered():
    """Names that begin with an underscore are found but not suggested."""
    assert fill("{{_x}}", {"_x": 1}) == "1"
    with pytest.raises(LLMCacheError) as caught:
        fill("{{_xy}}", {"_xyz": 1})
    assert "Did you mean" not in str(caught.value)
