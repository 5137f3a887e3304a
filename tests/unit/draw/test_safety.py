"""Whatever an answer holds, its drawing holds nothing that acts, fetches, names or steers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llmcache.draw import GrowingAnswer, answer_bundles
from jupyter_llmcache.draw.formulas import harmless
from jupyter_llmcache.draw.sanitize import sanitize
from jupyter_llmcache.text import settled, visible
from tests.unit.draw import hostile
from tests.unit.draw.reading import (
    STEERING,
    answer,
    drawn_line,
    hit,
    markdown_html,
    miss,
    problems,
    read,
)

_SNIPPETS = hostile.snippets("http://127.0.0.1:9")
_FORMATS = ("markdown", "text", "json", "code")

#: What soups are cooked of: pieces of the snippets, syntax of Markdown, HTML, TeX and terminals.
_MARKDOWN = "` `` ``` ~~~ * ** _ ~~ # > - 1. | |- ! [ ] ( ) [x]( < > </ <!-- --> & &lt; ; : \\ \" '"
_TEX = "$ $$ \\( \\) \\[ \\] \\begin{align} \\end{align} \\href \\def { } % ^ @@0@@ mathjax"
_HTML = "onerror= id= style= class= data-x= <img <script> src=x top.PWNED=1 javascript: data:"
_PIECES = [
    *(text for text in _SNIPPETS.values() if len(text) < 1_000),
    *f"{_MARKDOWN} {_TEX} {_HTML}".split(" "),
    *("\n", "\n\n", "    ", "\t", " ", "\r", "\x00", "\x1b[", "\x9b", "\u202e", "\u2028", "\ud800"),
    *(
        "א",
        "漢",
        "é",
        "🏴\U000e0067\U000e0062\U000e007f",
        "\ufeff",
        "a",
        "1",
        "https://example.org",
    ),
]
soups = st.lists(st.sampled_from(_PIECES), max_size=25).map("".join)


@pytest.mark.parametrize("drawn_as", _FORMATS)
def test_a_hostile_answer_is_drawn_without_harm(drawn_as: str) -> None:
    """Each snippet, in each format, gives HTML of known parts only and text without controls."""
    for name, text in _SNIPPETS.items():
        for bundle in answer_bundles(text, drawn_as):
            assert problems(bundle["text/html"]) == [], name
            assert not STEERING.search(bundle["text/plain"]), name
            assert set(bundle) == {"text/html", "text/plain"}


@given(soups, st.sampled_from(_FORMATS))
def test_no_soup_of_syntax_gets_through(soup: str, drawn_as: str) -> None:
    """Random mixtures of hostile syntax give HTML of known parts only, whole and balanced."""
    assert all(problems(each["text/html"]) == [] for each in answer_bundles(soup, drawn_as))


@given(st.text(max_size=300))
def test_no_random_text_gets_through(text: str) -> None:
    """Random Unicode, surrogates too, gives safe HTML and text that can be sent as UTF-8."""
    for bundle in answer_bundles(text, "markdown"):
        assert problems(bundle["text/html"]) == []
        bundle["text/plain"].encode()


@given(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=15))
def test_no_soup_gets_through_while_it_grows(pieces: list[str]) -> None:
    """Every beginning of a growing answer is drawn as safely as a whole one."""
    growing = GrowingAnswer()
    text = ""
    for piece in pieces:
        text += piece
        assert all(problems(each["text/html"]) == [] for each in growing.bundles(text))


@given(soups)
def test_only_harmless_formulas_are_opened_to_mathjax(soup: str) -> None:
    """What stands in a class that MathJax reads is a formula that may do nothing but be set."""
    for formula in read(markdown_html(soup)).formulas:
        assert harmless(formula) == formula
        assert formula.lstrip().startswith(("$", "\\(", "\\[", "\\begin{"))


def test_the_line_escapes_what_it_tells() -> None:
    """Model names, places, reasons and warnings of a foreign file stand as text in the line."""
    for name, text in _SNIPPETS.items():
        call = miss(model=text, location=text, reason=text, warning=text, note=text, key=text)
        bundle = drawn_line(answer(call, model=text))
        assert problems(_without_frame(bundle["text/html"])) == [], name
        assert "\n" not in bundle["text/plain"]
        assert not STEERING.search(bundle["text/plain"])


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, 1e300])
def test_no_number_of_a_foreign_file_breaks_the_annotation(number: float) -> None:
    """Times that are no times are left out or shown as unknown."""
    strange = hit(recorded_at=number, saved_s=number, usage={"input_tokens": number})
    assert drawn_line(answer(strange, saved_s=number))["text/plain"].startswith("cached")


def test_the_sanitizer_alone_would_do() -> None:
    """Raw HTML, which the parser never lets through, does not pass the sanitizer either."""
    for text in map(visible, _SNIPPETS.values()):
        assert [p for p in problems(sanitize(text)) if not p.startswith("character")] == []


def test_the_reader_finds_what_raw_html_holds() -> None:
    """The check itself tells scripts, handlers, names, styles and links of raw snippets."""
    found = " ".join(" ".join(read(text).problems) for text in _SNIPPETS.values())
    for sign in ("element in <script>", "attribute onerror", "attribute id", "style ", "link java"):
        assert sign in found


@given(soups)
def test_text_that_is_made_visible_stays_so(soup: str) -> None:
    """Made visible twice, a text is what it was made visible once."""
    assert visible(visible(soup)) == visible(soup)


@given(soups, st.integers(0, 400))
def test_a_settled_beginning_is_a_beginning_of_the_whole(soup: str, length: int) -> None:
    """What a terminal has printed of a growing text is never changed by what follows."""
    assert visible(soup).startswith(visible(settled(soup[:length])))


def _without_frame(drawn: str) -> str:
    """Leave our own frame out, whose style answers may not have; what it tells stays."""
    return re.sub(r' role="note"| style="[^"<>]*"', "", drawn)
