"""Tables are sequences of plain values that draw themselves."""

from __future__ import annotations

import pickle
import re

import pytest

from jupyter_llmcache.draw.table import MAX_DRAWN_ROWS, Report, Table
from jupyter_llmcache.text import columns_of

_TABLE = Table(
    ("key", "title", "size_bytes", "wall_s", "hits"),
    [("ab12", "漢字", 1234, 0.5, 1204), ("cd34", "a\x1b[2J\n\u202eb", None, None, 1)],
    "Entries",
)


def test_a_table_is_a_sequence_of_rows() -> None:
    """Rows are counted, taken, sliced and compared, with their plain values."""
    assert len(_TABLE) == 2
    assert _TABLE[0] == ("ab12", "漢字", 1234, 0.5, 1204)
    assert list(_TABLE[:1]) == [_TABLE[0]]
    assert pickle.loads(pickle.dumps(_TABLE)).rows == _TABLE.rows


def test_a_table_prints_in_columns() -> None:
    """The text has titles without units, numbers on the right, wide characters counted twice."""
    assert str(_TABLE).split("\n") == [
        "Entries",
        "key   title              size    wall   hits",
        "ab12  漢字             1.2 kB  500 ms  1,204",
        "cd34  a␛[2J ⟨U+202E⟩b                      1",
    ]


def test_a_table_draws_itself() -> None:
    """The HTML has a title outside its frame, headings of columns, and nothing that acts."""
    html = _TABLE._repr_html_()
    assert '<strong>Entries</strong></div><div style="overflow-x:auto' in html
    assert 'scope="col"' in html
    assert "\x1b" not in html
    assert "<b>" not in Table(("a",), [("<b>x</b>",)])._repr_html_()


def test_a_long_table_counts_what_it_does_not_draw() -> None:
    """Below the last row drawn stands how many more there are."""
    table = Table(("n",), [(number,) for number in range(MAX_DRAWN_ROWS + 7)])
    assert str(table).endswith("… 7 more rows")
    assert "… 7 more rows" in table._repr_html_()


def test_an_empty_table_is_a_table() -> None:
    """No rows are drawn as headings alone."""
    assert str(Table(("key", "hits"), [])) == "key  hits"


def test_a_texts_name_stands_as_it_is() -> None:
    """A number's name tells its unit; a model's parameter is named as it is typed."""
    report = Report("t", [("tokens_per_s", "20"), ("wall_s", 0.5)])
    assert str(report) == "t\ntokens_per_s  20\nwall          500 ms"


_WIDE = Table(
    ("key", "prompt", "model", "recorded_at", "remark", "hits"),
    [("ab12cd34", "漢字" * 30, "openai:gpt-4o-mini", 1e9, None, 1)] * 2,
    "a title of a file with a name of more than a line: " + "x " * 50,
)


@pytest.mark.parametrize("columns", [50, 80, 120, 200])
def test_a_table_fits_the_terminal(monkeypatch, columns) -> None:
    """No line is wider than the terminal; keys and numbers stay, and texts take what is left."""
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = str(_WIDE).split("\n")
    assert max(map(columns_of, lines)) <= columns
    assert all(line.startswith("ab12cd34") and line.endswith("  1") for line in lines[-2:])
    assert bool(re.search(r"\d\d:\d\d", lines[-1])) == (columns >= 80)


_CALLS = Table(
    [
        "cell",
        "call",
        "model",
        "wall_s",
        "provider_s",
        "tokens",
        "price_usd",
        "saved_s",
        "key",
        "remark",
    ],
    [
        (29, "fresh", "openai:gpt-4o-mini", 0.057, 0.05, 11, 1e-5, None, "03fde631", None),
        (26, "failed", "openai:gpt-4o-mini", 0.021, 0.014, None, None, None, "7f008cca", "Value…"),
        (24, "cached", "openai:gpt-4o", 0.008, None, 17, 1e-4, 0.053, "e76746a1", None),
    ],
)


@pytest.mark.parametrize("columns", [40, 50, 60, 70, 80, 100])
def test_columns_stay_columns_where_there_is_no_room(monkeypatch, columns) -> None:
    """Of too many columns those go that tell of the fewest rows; the others stand in line."""
    monkeypatch.setenv("COLUMNS", str(columns))
    head, *lines = str(_CALLS).split("\n")
    assert len(lines) == 3
    assert max(map(len, [head, *lines])) <= columns
    assert {line[head.index("call") :].split()[0] for line in lines} == {
        "fresh",
        "failed",
        "cached",
    }
    starts = {line.find(row[8]) for line, row in zip(lines, _CALLS, strict=True)}
    assert starts == {head.find("key")}
    assert ("remark" in head) == (columns >= 100)


def test_a_report_fits_the_terminal(monkeypatch) -> None:
    """A long value goes on below itself, and a path in it stays whole."""
    monkeypatch.setenv("COLUMNS", "60")
    path = f"/{'folder/' * 5}course.db"
    told = str(Report("done", [("file", f"entries are kept in {path} now"), ("said", "漢字" * 40)]))
    assert max(map(columns_of, told.split("\n"))) <= 60
    assert path in told
    assert f"\n      {path} now" in told
