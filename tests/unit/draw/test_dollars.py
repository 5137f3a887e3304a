"""Of a sentence with dollars, backslashes and brackets only formulas are formulas."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pytest

from tests.unit.draw.reading import markdown_html, read

_TABLE = Path(__file__).with_name("dollars.txt").read_text("utf-8").splitlines()
SENTENCES = [line.split("\t") for line in _TABLE if "\t" in line]


def test_only_formulas_are_formulas() -> None:
    """Prices, shells, PHP, Excel, regexes, code and links are text; formulas are handed on."""
    assert len(SENTENCES) >= 570
    wrong = []
    for sentence, wanted in SENTENCES:
        found = read(markdown_html(sentence.replace("⏎", "\n"))).formulas
        expected = wanted.replace("⏎", " ").split(" ¦ ") if wanted else []
        if found != expected:
            wrong.append((sentence, found))
    assert wrong == []


@pytest.mark.parametrize(
    "formula",
    [
        r"$\href{https://a.example}{x}$",
        r"$$\url{https://a.example/b?c=1}$$",
        r"\(\htmlData{https://a.example}{x}\)",
        r"\[ x \href{http://a.example}{y} \]",
    ],
)
def test_a_formula_that_links_is_code(formula: str) -> None:
    """A formula that leads somewhere stands as typed, and nothing of it is a link."""
    html = markdown_html(f"So {formula} holds." if formula.startswith("$\\") else formula)
    assert read(html).formulas == []
    assert "<a " not in html
    assert escape(formula, quote=False) in html
