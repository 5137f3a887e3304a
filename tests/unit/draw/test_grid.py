"""Answers side by side: what is compared in columns, items in rows, samples in a cell."""

from __future__ import annotations

import sys
from collections import Counter

from jupyter_llmcache.draw.grid import AnswerCell, AnswersTable
from tests.unit.draw import hostile
from tests.unit.draw.reading import STEERING, hit, miss, problems, read

_CELLS = [
    AnswerCell("cats", "a", "Cats *purr*.", (hit(),), 0.0011),
    AnswerCell("cats", "b", "Cats hiss.", (miss(),), 0.829),
    AnswerCell("dogs", "a", "Dogs bark.", (miss(),), 0.829),
    AnswerCell("dogs", "b", "", (), 0.1, error="429: too many requests"),
]


def html(cells, **options) -> str:
    (bundle,) = AnswersTable(cells, wall_s=1.2, **options).bundles()
    return bundle["text/html"]


def test_items_are_rows_and_models_columns() -> None:
    """Every answer stands in its place as safe Markdown, with its word and its time."""
    drawn = html(_CELLS)
    assert drawn.count('scope="col"') == drawn.count('scope="row"') == 2
    assert "Cats <em>purr</em>." in drawn
    for part in ("cached · 1.1 ms", "fresh · 829 ms", "failed · 100 ms429: too many requests"):
        assert part in read(drawn).text
    assert drawn.startswith("<div")
    assert "\n" not in drawn


def test_the_totals_stand_below() -> None:
    """One line counts answers, cached and fresh, time, tokens."""
    text = read(html(_CELLS)).text
    assert text.endswith("4 answers · 1 cached · 2 fresh · 1.2 s · saved 828 ms · 72 tokens")


def test_samples_share_a_cell() -> None:
    """Several answers of one place stand in it, one below the other."""
    cells = [AnswerCell("", "a", f"Sample {number}", (hit(),)) for number in range(3)]
    drawn = html(cells)
    assert drawn.count("<td style") == 1
    assert drawn.count("<hr ") == 2
    assert 'scope="row"' not in drawn


def test_a_long_answer_has_a_frame() -> None:
    """It scrolls, also by the keyboard, and is pulled larger at its corner."""
    drawn = html([AnswerCell("", "a", "word " * 200, (hit(),))])
    assert "resize:vertical" in drawn
    assert "resize" not in html([AnswerCell("", "a", "word", (hit(),))])
    rows = '{"rows": [\n' + ",\n".join('{\n"n":\n1}' for _ in range(4)) + "]}"
    assert "resize" not in html([AnswerCell("", "a", rows, (hit(),), 0, "", "json")])
    many = rows.replace("[", "[" + '{"n": 2},' * 20)
    assert "resize" in html([AnswerCell("", "a", many, (hit(),), 0, "", "json")])


def test_what_is_beyond_ten_is_folded() -> None:
    """The first ten rows and columns are open, the others behind lines that name them."""
    rows, columns = [f"r{n}" for n in range(12)], [f"c{n}" for n in range(11)]
    cells = [AnswerCell(row, column, "x", (hit(),)) for row in rows for column in columns]
    bundles = AnswersTable(cells, wall_s=1).bundles()
    texts = [read(bundle["text/html"]).text for bundle in bundles]
    assert [text[: text.rindex(" of 1") + 6] for text in texts[1:]] == [
        "rows 11 to 12 of 12, columns 1 to 10 of 11",
        "columns 11 to 11 of 11",
    ]
    assert "<details" not in bundles[0]["text/html"]
    assert sum(bundle["text/html"].count("<td style") for bundle in bundles) == 132
    assert [bool(bundle["text/plain"]) for bundle in bundles] == [True, False, False]


def test_a_thousand_answers_are_few_outputs() -> None:
    """However they lie, folded tables have a hundred answers each."""
    for shape in ((1000, 1, 1), (1, 1000, 1), (1, 1, 1000), (10, 10, 10), (20, 25, 2)):
        rows, columns, samples = ([str(n) for n in range(count)] for count in shape)
        # One that failed is drawn at once.
        cells = [
            AnswerCell(r, c, "", (hit(),), error="x")
            for r in rows
            for c in columns
            for _ in samples
        ]
        bundles = AnswersTable(cells, wall_s=1).bundles()
        counts = [bundle["text/html"].count("<strong") for bundle in bundles]
        assert sum(counts) == 1000
        assert max(counts) <= 200
        assert len(counts) <= 24
        assert "1,000 answers · 1,000 cached" in bundles[0]["text/html"]
        assert len({*map(str, bundles)}) == len(bundles)


def test_only_the_open_table_sets_formulas() -> None:
    """A front end would set those of folded tables one by one, though nobody sees them."""
    cells = [AnswerCell(str(number), "a", "$x$", (hit(),)) for number in range(30)]
    first, *others = [bundle["text/html"] for bundle in AnswersTable(cells, wall_s=1).bundles()]
    assert first.count("mathjax_process") == first.count("<strong") == 10
    assert others
    assert not any("mathjax_process" in html for html in others)


def test_no_answers_are_told() -> None:
    """Where nothing was found the line says so."""
    assert "0 answers" in html([])


def test_differences_are_marked() -> None:
    """In both columns the words that the other has not are underlined, in text as typed."""
    drawn = html(_CELLS[:2], diff=True)
    style = 'style="text-decoration:underline"'
    assert f"Cats <ins {style}>hiss</ins>." in drawn
    assert f"Cats <del {style}>*purr*</del>." in drawn
    longer = [AnswerCell("", "a", "one two three"), AnswerCell("", "b", "one three")]
    assert f"one <del {style}>two </del>three" in html(longer, diff=True)


def test_canned_answers_are_told_in_a_table_too() -> None:
    """The line under the table says that they came from a list."""
    cells = [AnswerCell("", "a", "x", (hit(canned=True),))]
    assert read(html(cells)).text.endswith("canned")


def test_a_terminal_has_the_same_as_text() -> None:
    """Under each item stand the columns with word, time and the beginning of the answer."""
    long = AnswerCell("dogs", "a", "line\x1b[2J\n" * 20, (miss(),), 0.829)
    text = str(AnswersTable([*_CELLS[:2], long], wall_s=1.2))
    lines = text.split("\n")
    assert lines[:4] == [
        "--- cats ---",
        "a · cached · 1.1 ms",
        "  Cats *purr*.",
        "b · fresh · 829 ms",
    ]
    assert "  … 14 more lines" in lines
    assert not STEERING.search(text)


def test_no_answer_acts_in_a_table() -> None:
    """Texts, labels and errors of strangers are drawn without harm, marked differences too."""
    for text in list(hostile.snippets("http://127.0.0.1:9").values())[::4]:
        cells = [
            AnswerCell(text, "a", text, (hit(),)),
            AnswerCell(text, text, f"{text} x", (hit(),)),
            AnswerCell(text, text, "", (), error=text),
        ]
        drawn = html(cells, diff=True)
        found = [each for each in problems(drawn) if "element in <ins>" not in each]
        assert [each for each in found if not each.startswith("style")] == []


def test_no_answer_is_drawn_twice() -> None:
    """Twice the answers take twice the steps to draw, and no more."""
    steps = Counter[int]()
    for rows in (5, 10):
        names = [f"r{number}" for number in range(rows)]
        text = "The *answer* to `{}`:\n\n- one\n- two"
        cells = [AnswerCell(row, c, text.format(row), (hit(),)) for row in names for c in "abcd"]
        sys.setprofile(lambda *_, rows=rows: steps.update([rows]))
        try:
            AnswersTable(cells, wall_s=1).bundles()
        finally:
            sys.setprofile(None)
    assert 1000 < steps[10] < 2.1 * steps[5]
