"""JSON folds; what is none is shown as it is."""

from __future__ import annotations

import pytest

from jupyter_llmcache.draw.code import MAX_NODES, json_html
from tests.unit.draw.reading import problems, read


def test_json_folds() -> None:
    """Objects and lists are parts that fold, with the number of what is in them."""
    html = json_html('{"a": [1, 2.50], "b": {"c": null}, "d": {}, "e": []}')
    assert html.count("<details") == 3
    text = read(html).text
    for part in ("{…} 4 keys", "[…] 2 items", '"a"', "2.50", "null", "{}", "[]"):
        assert part in text


def test_nothing_of_the_json_is_lost() -> None:
    """Digits stay as typed, and a name that comes twice is shown twice."""
    text = read(json_html('{"n": 1.10, "n": 12345678901234567890123, "x": 1e400}')).text
    assert text.count('"n"') == 2
    assert "1.10" in text
    assert "12345678901234567890123" in text
    assert "1e400" in text


def test_a_fence_around_json_is_taken_off() -> None:
    """Models like to put JSON into a Markdown fence."""
    assert "<details" in json_html('```json\n{"a": 1}\n```')


@pytest.mark.parametrize("text", ["no JSON", "", '{"a": ', "[" * 50 + "]" * 50, "[" * 10_000])
def test_what_is_no_json_is_text(text: str) -> None:
    """A text that is no JSON, or nests too deeply, is shown as it is."""
    assert read(json_html(text)).text == text


def test_much_json_is_code() -> None:
    """Beyond the bound JSON is drawn unfolded."""
    html = json_html(str(list(range(MAX_NODES + 1))))
    assert "<details" not in html
    assert problems(html) == []


def test_objects_of_one_kind_are_a_table() -> None:
    """Objects without others in them are rows; what nests or is of many kinds stays a tree."""
    html = json_html('{"people": [{"name": "A<b>", "age": 1.50}, {"name": "B", "sex": null}]}')
    assert html.count("<tr>") == 3
    assert [heading in html for heading in (">name</th>", ">age</th>", ">sex</th>")] == [True] * 3
    assert "A&lt;b&gt;" in html
    assert ">1.50</span>" in html
    for tree in ('[{"a": [1]}]', "[1, 2]", '[{"a": 1}, 2]', '[{"a": 1, "a": 2}]', "[]"):
        assert "<table" not in json_html(tree)
