"""Many answers side by side: columns to compare, rows of items, samples inside a cell."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from itertools import islice
from typing import NamedTuple

from ..ledger import Call
from ..text import format_count, format_seconds, one_line, visible, wrapped
from . import Bundle, Format, answer_html
from .line import NOTHING_BEHIND, Behind, pill_html, state_of_all, totals_line, unfolding
from .sanitize import IGNORE_MATH
from .table import LINE_STYLE, SEPARATOR

#: The open table has so many rows, columns and samples at most; what is beyond is folded ...
MAX_ROWS, MAX_COLUMNS, MAX_SAMPLES = 10, 10, 10
#: ... in tables of so many answers: more would block the page, and a page shows few outputs.
MAX_FOLDED = 100
#: A longer answer has a frame that scrolls and is pulled larger at its corner: characters, lines.
MAX_OPEN_CHARS, MAX_OPEN_LINES = 400, 8
MAX_LABEL_CHARS = 60
#: More words are compared less finely: the time grows with their square.
MAX_COMPARED_WORDS = 1_000
#: Lines of an answer in a terminal.
MAX_TEXT_LINES = 6

_FRAME = "height:11em;overflow:auto;resize:vertical"
_CELL = "vertical-align:top;text-align:left;padding:4px 12px 4px 0;min-width:11em;max-width:40em"
_RULE = '<hr style="border:0;border-top:1px solid var(--jp-border-color2,#9e9e9e);margin:4px 0">'
_LABEL = "vertical-align:top;text-align:left;padding:4px 12px 4px 0;overflow-wrap:break-word"
_WORD = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class AnswerCell:
    """One answer of a table of answers; several of one row and column are samples.

    Attributes:
        row: Which item it belongs to, as in ``rows``; empty where there is one row alone.
        column: Which model or parameters, as in ``columns``.
        text: The answer.
        calls: The model calls that gave it.
        wall_s: How long it took, in seconds.
        error: What went wrong; empty where there is an answer.
        drawn_as: How the text is drawn.
        stable: Whether only what a re-run repeats is drawn.
        behind: What stands under its line's triangle.
    """

    row: str
    column: str
    text: str
    calls: Sequence[Call] = ()
    wall_s: float = 0.0
    error: str = ""
    drawn_as: Format = "markdown"
    stable: bool = False
    behind: Behind = NOTHING_BEHIND

    @property
    def state(self) -> str:
        """The word in the pill."""
        if not self.error:
            return state_of_all(self.calls)
        return "not recorded" if any(call.unrecorded for call in self.calls) else "failed"


_Cells = dict[tuple[str, str], list[AnswerCell]]


class _Part(NamedTuple):
    """What one table shows of all rows, columns and samples."""

    rows: range
    columns: range
    samples: range


def answers_bundles(
    cells: Sequence[AnswerCell],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    wall_s: float,
    diff: bool = False,
) -> list[Bundle]:
    """Return the outputs of a table of answers, the first open, the others folded.

    Args:
        cells: The answers there are; a place without one stays empty.
        rows: The items' labels, in order; ``("",)`` where there are none.
        columns: The labels of what is compared, in order.
        wall_s: How long all of it took, in seconds.
        diff: Whether to mark where the second column differs from the first.
    """
    held: _Cells = {}
    for cell in cells:
        held.setdefault((cell.row, cell.column), []).append(cell)
    compared = (columns[0], columns[1]) if diff and len(columns) > 1 else None
    whole = _Part(*map(range, (len(rows), len(columns), max(map(len, held.values()), default=0))))
    bundles = []
    for number, part in enumerate([*_parts(whole)] or [whole]):
        some_rows, some_columns = (
            [all_[i] for i in some] for all_, some in ((rows, part.rows), (columns, part.columns))
        )
        place = partial(_place_html, held, part.samples, compared, number > 0)
        html = _table_html(some_rows, some_columns, place)
        if number:
            what = escape(_described(whole, part))
            html = f"<details><summary>{what}</summary>{html}</details>"
        else:
            line = escape(_totals(cells, wall_s))
            pictures = dict.fromkeys(p for cell in cells for p in cell.behind.pictures)
            html += f'<div style="{LINE_STYLE}">{unfolding(line, Behind((), [*pictures]))}</div>'
        text = answers_text(cells, rows, columns, wall_s=wall_s) if number == 0 else ""
        html = f'<div class="{IGNORE_MATH}" style="overflow-x:auto">{html}</div>'
        bundles.append({"text/html": html, "text/plain": text})
    return bundles


def answers_text(
    cells: Sequence[AnswerCell], rows: Sequence[str], columns: Sequence[str], *, wall_s: float
) -> str:
    """Return a table of answers for a terminal: under every item what each column answers."""
    places = {(row, column): number for number, (row, column) in enumerate(_places(rows, columns))}
    last = len(places)
    lines: list[str] = []
    row = None
    for cell in sorted(cells, key=lambda each: places.get((each.row, each.column), last)):
        if cell.row != row:
            row = cell.row
            lines += [f"--- {_label(row)} ---"] if row else []
        lines.append(SEPARATOR.join(filter(None, (_label(cell.column), *_head(cell)))))
        lines += [f"  {line}" for line in _clipped(cell.error or cell.text)]
    return "\n".join(wrapped(line, 2) for line in [*lines, _totals(cells, wall_s)])


def _totals(cells: Sequence[AnswerCell], wall_s: float) -> str:
    calls = [call for cell in cells for call in cell.calls]
    stable = any(cell.stable for cell in cells)
    return totals_line(calls, len(cells), wall_s, stable=stable)


def _clipped(text: str) -> Iterator[str]:
    lines = visible(text).strip().split("\n")
    yield from (one_line(line, 400) for line in lines[:MAX_TEXT_LINES])
    if len(lines) > MAX_TEXT_LINES:
        yield f"… {format_count(len(lines) - MAX_TEXT_LINES, 'more line')}"


def _places(rows: Sequence[str], columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((row, column) for row in rows for column in columns)


def _parts(whole: _Part) -> Iterator[_Part]:
    """Yield what each table shows, the open one first."""
    rows, columns, samples = map(len, whole)
    places = max(1, min(rows, MAX_ROWS) * min(columns, MAX_COLUMNS))
    first = min(MAX_SAMPLES, max(2, MAX_FOLDED // places))
    for some_samples in _ranges(samples, first, max(1, MAX_FOLDED // places)):
        wide = max(MAX_COLUMNS, MAX_FOLDED // (rows * len(some_samples)))
        for some_columns in _ranges(columns, MAX_COLUMNS, wide):
            is_open = not (some_samples.start or some_columns.start)
            most = max(1, MAX_FOLDED // (len(some_samples) * len(some_columns)))
            for some_rows in _ranges(rows, MAX_ROWS if is_open else most, most):
                yield _Part(some_rows, some_columns, some_samples)


def _ranges(count: int, first: int, then: int) -> Iterator[range]:
    """Yield the numbers below ``count`` in ranges: ``first`` of them, then so many each time."""
    start, stop = 0, first
    while start < count:
        yield range(start, min(stop, count))
        start, stop = stop, stop + then


def _described(whole: _Part, part: _Part) -> str:
    return ", ".join(
        f"{name} {some.start + 1:,} to {some.stop:,} of {len(of):,}"
        for name, of, some in zip(_Part._fields, whole, part, strict=True)
        if len(some) < len(of)
    )


def _table_html(
    rows: Sequence[str], columns: Sequence[str], place: Callable[[str, str], str]
) -> str:
    labelled = any(rows)
    head = "".join(
        f'<th scope="col" style="{_LABEL}">{escape(_label(column))}</th>' for column in columns
    )
    corner = "<td></td>" if labelled else ""
    body = "".join(
        f"<tr>{_row_head(row) if labelled else ''}"
        f"{''.join(f'<td style={_CELL!r}>{place(row, column)}</td>' for column in columns)}</tr>"
        for row in rows
    )
    return (
        f'<div style="overflow-x:auto" tabindex="0" role="group" aria-label="answers"><table '
        f'style="margin:2px 0"><thead><tr>{corner}{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def _row_head(row: str) -> str:
    return f'<th scope="row" dir="auto" style="{_LABEL}">{escape(_label(row))}</th>'


def _label(text: str) -> str:
    return one_line(text, MAX_LABEL_CHARS)


def _place_html(
    held: _Cells,
    samples: range,
    compared: tuple[str, str] | None,
    folded: bool,
    row: str,
    column: str,
) -> str:
    base, other = compared or ("", "")
    others = held.get((row, other if column == base else base), []) if compared else []
    tag = "del" if column == base else "ins"
    return _RULE.join(
        _cell_html(cell, others[number].text if number < len(others) else None, tag, folded=folded)
        for number, cell in enumerate(held.get((row, column), []))
        if number in samples
    )


def _cell_html(cell: AnswerCell, compared_with: str | None, tag: str, *, folded: bool) -> str:
    line = _line_html(cell)
    if cell.error:
        why = escape(one_line(cell.error, 300))
        if cell.text:  # it does not fit what was asked for
            came = f'<div style="white-space:pre-wrap">{escape(visible(cell.text))}</div>'
            why = f"<details><summary>{why}</summary>{came}</details>"
        return f'{line}<div dir="auto">{why}</div>'
    if compared_with is not None:
        return line + _framed(cell.text, _marked(compared_with, cell.text, tag))
    # A front end would set formulas that nobody sees, one by one.
    html = answer_html(cell.text, cell.drawn_as, formulas=not folded)
    return line + (
        html if cell.drawn_as == "json" and _is_small(html) else _framed(cell.text, html)
    )


def _is_small(tree: str) -> bool:
    """Return whether the tree of an object is drawn in a few lines, however it was typed."""
    return sum(map(tree.count, ("<div", "<summary", "<tr"))) <= MAX_OPEN_LINES


def _line_html(cell: AnswerCell) -> str:
    if cell.stable:
        return ""
    # A picture that went with every question is drawn once, under the table.
    steps = Behind(cell.behind.rows)
    line = f"{pill_html(cell.state, cell.state)}{SEPARATOR}{format_seconds(cell.wall_s)}"
    return f"<div>{unfolding(line, steps)}</div>"


def _head(cell: AnswerCell) -> tuple[str, ...]:
    return () if cell.stable else (cell.state, format_seconds(cell.wall_s))


def _framed(text: str, html: str) -> str:
    if len(text) <= MAX_OPEN_CHARS and text.count("\n") < MAX_OPEN_LINES:
        return html
    return f'<div style="{_FRAME}" tabindex="0" role="group" aria-label="answer">{html}</div>'


def _marked(other: str, text: str, tag: str) -> str:
    """Return ``text`` as it was typed, with what ``other`` has not underlined."""
    words, others = _WORD.findall(visible(text)), _WORD.findall(visible(other))
    matcher = difflib.SequenceMatcher(None, others, words, autojunk=len(words) > MAX_COMPARED_WORDS)
    drawn = ""
    for kind, _, _, first, last in matcher.get_opcodes():
        part = escape("".join(islice(words, first, last))).replace("\n", "&#10;")
        differs = kind in ("insert", "replace") and part.strip()
        drawn += f'<{tag} style="text-decoration:underline">{part}</{tag}>' if differs else part
    return f'<div dir="auto" style="white-space:pre-wrap">{drawn}</div>'
