"""Markdown is drawn as its writer meant it."""

from __future__ import annotations

import re

import pytest

from jupyter_llmcache import draw as parts
from jupyter_llmcache.draw import GrowingAnswer, answer_bundles, answer_html
from jupyter_llmcache.draw import markdown as drawing
from jupyter_llmcache.draw.markdown import (
    code_answer_html,
    code_blocks,
)
from tests.unit.draw.reading import markdown_html, read


def test_markdown_becomes_html() -> None:
    """Headings, emphasis, lists, quotations, code, tables, links and scripts of all directions."""
    for markdown, html in [
        ("# Title", '<h1 dir="auto">Title</h1>'),
        ("a **b** *c* ~~d~~", "a <strong>b</strong> <em>c</em> <s>d</s>"),
        ("- a\n  - b", "<ul> <li>b</li> </ul>"),
        ("3. a", '<ol start="3">'),
        ("> a", "<blockquote>"),
        ("`a$b$`", '<code dir="ltr">a$b$</code>'),
        ("| a | b |\n|---|--:|\n| 1 | 2 |", 'style="text-align:right">2</td>'),
        ("| a |\n|---|\n| 1 |", 'style="text-align:start">1</td>'),
        ("```python\nx = 1\n```", '<span class="m'),
        ("[x](https://a.org)", 'href="https://a.org" target="_blank" rel="noopener'),
        ("see https://a.org/b_(c).", '<a href="https://a.org/b_(c)"'),
        ("![cat](https://a.org/c.png)", ">[image: cat]</a>"),
        ("[![b](https://a.org/b.svg)](https://b.org)", ">[image: b]</a>"),
        ("שלום", '<p dir="rtl" style="text-align:right'),
        ("- שלום", '<ul dir="rtl"'),
        ("漢字 🙂", "漢字 🙂"),
        ("line one\nline two", "line one line two"),
        ("- [ ] a\n- [x] b", "<li>\u2610 a</li> <li>\u2611 b</li>"),
        ("| a |\n|---|\n| b<br>c<BR />d |", "b<br> c<br> d"),
        ("x[^1]\n\n[^1]: https://a.org", "[^1]: <a "),
        ("x[^1]\n\n[^1]: note\n[^2]: more", "[^1]: note</p> <p"),
        ("[x](#anchor) y", ">x y</p>"),
    ]:
        assert html in markdown_html(markdown)


def test_formulas_are_left_to_the_front_end() -> None:
    """Formulas are handed on as typed; currency, code and macros that act are not."""
    for markdown, formulas in [
        ("It costs $5 and $7.", []),
        ("From $5 to $7 a month", []),
        ("US$5, $ 5$ and 5 $", []),
        ("`$x$` and\n\n    $y$", []),
        ("```\n$x$\n```", []),
        ("\\$x\\$", []),
        ("$x$, $a+b$", ["$x$", "$a+b$"]),
        ("$\\{a_1, *b*\\}$", ["$\\{a_1, *b*\\}$"]),
        ("\\(x_1 * x_2 * x_3\\)", ["\\(x_1 * x_2 * x_3\\)"]),
        ("a $$x$$ b", ["$$x$$"]),
        ("$$\n\\int\n\n= x\n- y\n$$", ["$$ \\int  = x - y $$"]),
        ("\\[\na\n\\]", ["\\[ a \\]"]),
        ("- a\n\n  $$\n  x\n  $$", ["$$ x $$"]),
        ("\\begin{align}a&=b\\\\c&<d\\end{align}", ["\\begin{align}a&=b\\\\c&<d\\end{align}"]),
        ("| a |\n|---|\n| $x$ |", ["$x$"]),
        ("$x \\label{eq}\\tag{1}$", ["$x \\qquad(1)$"]),
        ("$\\href{https://a.org}{x}$", []),
        ("$\\color{red}{x}$", ["${x}$"]),
        ("$\\hspace{-9em}x$", ["$\\quad x$"]),
    ]:
        assert read(markdown_html(markdown)).formulas == formulas


def test_too_many_formulas_are_text() -> None:
    """Beyond the bound formulas stand as typed, and the answer keeps its form."""
    page = read(markdown_html("# T\n\n" + "$x$ " * (drawing.MAX_FORMULAS + 50)))
    assert len(page.formulas) == drawing.MAX_FORMULAS
    assert page.text.count("$x$") == drawing.MAX_FORMULAS + 50


@pytest.mark.parametrize(
    "text",
    [
        "*a* " * 30_000,
        "> " * 90 + "deep",
        "\n".join(" " * 2 * depth + "- x" for depth in range(90)),
        "[" * 20_000,
    ],
)
def test_what_is_too_much_is_plain_text(text: str) -> None:
    """A text that is too long, too deep or too twisted is drawn as it is, and nothing is lost."""
    page = read(markdown_html(text))
    assert page.text == text
    assert "<pre" in markdown_html(text)


def test_a_table_with_too_many_columns_is_plain_text() -> None:
    """Only the table is drawn as it was typed; what stands around it keeps its form."""
    table = "\n".join("|a" * 100 + "|" if row != 1 else "|-" * 100 + "|" for row in range(4))
    html = markdown_html(f"*before*\n\n{table}\n\n*after*")
    assert "<table" not in html
    assert "<em>before</em>" in html
    assert "<em>after</em>" in html
    assert table in read(html).text


def test_a_very_long_answer_is_cut_where_it_is_drawn() -> None:
    """Beyond a million characters the drawing says how many are missing and where they are."""
    text = read(markdown_html("x" * 1_000_500)).text
    assert text.endswith("… 500 more characters: see answer.text")


def test_code_is_found_in_an_answer() -> None:
    """The fenced blocks with their languages, or all of the text where there is none."""
    assert code_blocks("Do:\n```python\nx = 1\n```\nor\n```\ny\n```") == [
        ("python", "x = 1\n"),
        ("", "y\n"),
    ]
    assert code_blocks("x = 1") == [("", "x = 1")]


def test_an_answer_as_code_leaves_the_prose_out() -> None:
    """With ``-f code`` only the code is drawn."""
    assert read(code_answer_html("Do:\n```\nx = 1\n```\nDone.")).text == "x = 1\n"


def test_a_growing_text_is_drawn_like_the_whole() -> None:
    """Every beginning is drawn as it would be alone, formulas apart."""
    text = (
        "# T\n\na *b*\n\n- x\n- y\n\n```python\nx = 1\n```\n\n| a |\n|---|\n| b |\n\n> end\n\nlast"
    )
    growing = GrowingAnswer()
    for end in range(1, len(text) + 1):
        assert growing.bundles(text[:end]) == answer_bundles(text[:end], "markdown")


def test_a_long_answer_is_several_outputs() -> None:
    """Each ends with a block, holds no more formulas than a page sets at once, and none is lost."""
    text = "\n\n".join(f"Paragraph {number} with $x_{{{number}}}$ in it." for number in range(85))
    text += "\n\n" + "\n\n".join("$a$ $b$ $c$ $d$ $e$" for _ in range(3))
    bundles = answer_bundles(text, "markdown")
    formulas = [read(bundle["text/html"]).formulas for bundle in bundles]
    assert sum(map(len, formulas)) == 100
    assert max(map(len, formulas)) <= parts.PART_FORMULAS
    assert "\n\n".join(bundle["text/plain"] for bundle in bundles) == text


def test_a_long_list_of_formulas_is_several_outputs() -> None:
    """Its items go on with their numbers, in a growing text as in the whole."""
    text = "\n".join(f"{number}. Item with $x_{{{number}}}$" for number in range(1, 31))
    bundles = answer_bundles(text, "markdown")
    starts = re.findall(r'<ol start="(\d+)"', "".join(bundle["text/html"] for bundle in bundles))
    assert starts == ["9", "17", "25"]
    assert sum(len(read(bundle["text/html"]).formulas) for bundle in bundles) == 30
    growing = GrowingAnswer()
    for end in range(0, len(text), 40):
        drawn = growing.bundles(text[:end])
    assert drawn[:-1] == bundles[: len(drawn) - 1]


def test_an_answer_that_grows_ends_in_the_same_outputs() -> None:
    """What was drawn of finished parts while the text grew is what is drawn of the whole."""
    text = "\n\n".join(f"Paragraph {n} with $x_{{{n}}}$ and\n\n    code {n}" for n in range(60))
    growing = GrowingAnswer()
    for end in range(0, len(text), 200):
        drawn = growing.bundles(text[:end])
    assert len(drawn) > 2
    assert drawn[:-1] == answer_bundles(text, "markdown")[: len(drawn) - 1]


def test_the_end_of_a_very_long_answer_unfolds() -> None:
    """What stands beyond a few screens is behind a line that says how much it is."""
    text = "\n\n".join(["word " * 200] * 30)
    titled = "\n\n".join(f"# Part *{number}*\n\n{'word ' * 300}" for number in range(12))
    assert "<summary>Part 9 · Part 10 · Part 11 … " in answer_html(titled, "markdown")
    first, *_, last = answer_bundles(text, "markdown")
    assert "<details" not in first["text/html"]
    assert "<summary>word word word " in last["text/html"]
    assert "more characters</summary>" in last["text/html"]


def test_an_empty_answer_says_so() -> None:
    """Nothing, and blanks alone, are told in words."""
    for nothing in ("", " \n"):
        (bundle,) = answer_bundles(nothing, "markdown")
        assert bundle["text/plain"] == "The answer is empty."


def test_a_growing_text_that_begins_anew_is_drawn_anew() -> None:
    """Where a model starts over, nothing of the first beginning stays."""
    growing = GrowingAnswer()
    growing.bundles("one\n\ntwo\n\nthree")
    assert growing.bundles("other\n\ntext") == answer_bundles("other\n\ntext", "markdown")


def test_every_colour_of_a_theme_has_another() -> None:
    """Where a front end knows no variable of JupyterLab's, code is coloured all the same."""
    drawn = answer_html("```python\n@a\ndef f(x): return 'y' # z\n```", "markdown")
    drawn += answer_html('{"a": [1, null]}', "json")
    variables = re.findall(r"var\([^)]*\)", drawn)
    assert len(variables) > 8
    assert all(re.search(r",\s*#[0-9a-f]{6}\)", variable) for variable in variables)
