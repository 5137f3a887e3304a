"""Where the front end sets no TeX, formulas are set when they are drawn."""

from __future__ import annotations

import pytest

from jupyter_llmcache.draw import answer_html
from jupyter_llmcache.draw.formulas import MAX_DEPTH, harmless
from tests.unit.draw import hostile
from tests.unit.draw.reading import read
from tests.unit.draw.test_dollars import SENTENCES

pytest.importorskip("math_core", reason="math-core is not installed")


@pytest.fixture(autouse=True)
def front_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of VS Code."""
    monkeypatch.setenv("VSCODE_PID", "1")


def test_who_sets_formulas_is_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Colab as in VS Code they are set here, elsewhere they are left to MathJax."""
    assert "<math" in answer_html("$x$", "markdown")
    monkeypatch.delenv("VSCODE_PID")
    assert "mathjax_process" in answer_html("$x$", "markdown")
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    assert "<math" in answer_html("$x$", "markdown")


@pytest.mark.parametrize(
    ("formula", "part"),
    [
        ("$x^2$", "<msup><mi>x</mi><mn>2</mn></msup>"),
        (r"$$\frac{a}{b}$$", "<mfrac>"),
        (r"\[\sqrt{x}\]", "<msqrt>"),
        (r"\begin{align}a&=b\\c&=d\end{align}", "<mtable"),
        (r"$\begin{pmatrix}1&2\\3&4\end{pmatrix}$", "<mtable"),
    ],
)
def test_formulas_are_mathml(formula: str, part: str) -> None:
    """Inline and displayed formulas and environments come as MathML, which passes the sanitizer."""
    html = answer_html(formula, "markdown")
    assert part in html
    assert "<math" in html
    assert "mathjax_process" not in html


def test_most_formulas_can_be_set() -> None:
    """What the table of sentences holds for formulas becomes MathML."""
    sentences = [sentence.replace("⏎", "\n") for sentence, wanted in SENTENCES if wanted]
    left = [s for s in sentences if "mathjax_process" in answer_html(s, "markdown")]
    assert len(left) <= len(sentences) / 40, left


def test_no_formula_acts_as_mathml() -> None:
    """No hostile answer gives a link, a style of its own, an image or a script."""
    for name, text in hostile.snippets("http://127.0.0.1:9").items():
        if "$" not in text and "\\" not in text:
            continue  # no formula begins in it
        found = read(answer_html(text, "markdown")).problems
        assert [each for each in found if not _is_mathml(each)] == [], name


def _is_mathml(problem: str) -> bool:
    """Whether the reader only does not know an element of MathML or its plain attributes."""
    tag = problem.rpartition("<")[2].rstrip(">")
    return tag.startswith("m") and problem.split(" ", maxsplit=1)[0] in (
        "element",
        "attribute",
        "class",
    )


def test_what_nests_deeply_does_not_reach_the_setter() -> None:
    """It would end the process; the bound stands before it."""
    deep = "$" + "{" * (MAX_DEPTH + 1) + "x" + "}" * (MAX_DEPTH + 1) + "$"
    assert harmless(deep) is None
    assert "<math" not in answer_html(deep, "markdown")


@pytest.mark.parametrize("name", ["align", "equation", "gather", "multline"])
def test_no_formula_is_numbered(name: str) -> None:
    """The same answer has no numbers in one front end that it has not in another."""
    html = answer_html(rf"\begin{{{name}}}a = b\end{{{name}}}", "markdown")
    assert "<math" in html
    assert "(1)" not in read(html).text
