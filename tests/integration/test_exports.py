"""What we draw, taken elsewhere: into Markdown, a terminal, a data frame."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from jupyter_llmcache.draw import answer_bundles
from jupyter_llmcache.draw.table import Table
from tests.unit.draw import hostile
from tests.unit.draw.reading import problems, read

_CODE = "\n\n    two lines\n\n\t\n\n<img src=x>\n\n![i](https://a.org/i.png)\n\n# no heading\r\n"
TEXTS = {
    "code": f"Before\n\n```python\n{_CODE}```\n\nAfter **this**.",
    "indented": "    a\n\n\n    ![i](https://a.org/i.png)\n\nAfter.",
    "table": "| a | b |\n|---|---|\n| `x` | $y$ |\n\n1. one\n\n   two\n2. three",
    "formula": "$$\na\n\nb\n$$\n\n$$\n\\foo\n\n![i](https://a.org/i.png)\n$$\n\nAfter.",
    **hostile.snippets("http://127.0.0.1:9"),
}


def exported(bundles: list[dict[str, str]]) -> str:
    """The page that a reader of CommonMark makes of the notebook's Markdown."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    exporters = pytest.importorskip("nbconvert.exporters", reason="nbconvert is not installed")
    outputs = [nbformat.v4.new_output("display_data", data=bundle) for bundle in bundles]
    cell = nbformat.v4.new_code_cell("", outputs=outputs)
    markdown, _ = exporters.MarkdownExporter().from_notebook_node(
        nbformat.v4.new_notebook(cells=[cell])
    )
    return MarkdownIt("commonmark").render(markdown)


@pytest.fixture(scope="module")
def page() -> str:
    """All texts in all formats, exported."""
    drawn = [
        bundle
        for drawn_as in ("markdown", "text", "json", "code")
        for text in TEXTS.values()
        for bundle in answer_bundles(text, drawn_as)  # type: ignore[arg-type]
    ]
    assert all(bundle["text/html"].startswith("<div") for bundle in drawn)
    assert not any("\n" in bundle["text/html"] for bundle in drawn)
    return exported(drawn)


def test_nothing_comes_alive_in_markdown(page: str) -> None:
    """No element, attribute or link is in the exported page that was not in the output."""
    assert problems(page) == []


@pytest.mark.parametrize("name", ["code", "indented", "table", "formula"])
def test_an_exported_answer_reads_as_it_was_drawn(name: str) -> None:
    """Code with blank lines at any place, tables, lists and formulas say what they said."""
    (bundle,) = answer_bundles(TEXTS[name], "markdown")
    before, after = read(bundle["text/html"]), read(exported([bundle]))
    assert after.text.strip() == before.text.strip()
    assert after.formulas == before.formulas


def test_code_keeps_its_first_and_blank_lines() -> None:
    """A parser drops a line end that follows ``pre``; the one of the code is another."""
    (bundle,) = answer_bundles("```\n\n\na\n\nb\n```", "markdown")
    assert "<pre" in bundle["text/html"]
    inside = bundle["text/html"].partition("<pre")[2].partition(">")[2]
    assert inside.startswith("&#10;&#10;&#10;a&#10;&#10;b")


def test_a_table_becomes_a_data_frame() -> None:
    """``to_pandas`` gives the plain values under the columns' own names."""
    pytest.importorskip("pandas", reason="pandas is not installed")
    table = Table(("key", "size_bytes"), [("ab12", 1234)])
    frame = table.to_pandas()
    assert list(frame.columns) == list(table.columns)
    assert frame["size_bytes"][0] == 1234


def test_a_terminal_prints_the_answer_and_then_the_annotation(tmp_path: Path) -> None:
    """A real terminal IPython prints text without escapes, the annotation last; no HTML is made."""
    code = [
        "import sys; from tests.unit.draw.reading import answer, hit",
        "answer(hit(), text='*Four.*\\x1b[2J')",
        "print('loaded:', {'markdown_it', 'nh3'} & set(sys.modules))",
    ]
    shown = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        input="\n".join(code),
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert "\n*Four.*␛[2J\n\ncached · 1.1 ms · saved 828 ms" in shown
    assert "loaded: set()" in shown
    assert "<" not in shown
