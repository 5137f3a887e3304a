"""Many answers side by side: columns to compare, rows of items, samples inside a cell."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice, zip_longest
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


class _Part(NamedTuple):
    """What one table shows of all rows, columns and samples."""

    rows: range
    columns: range
    samples: range


class AnswersTable:
    """A table of answers: a row for every item, a column for every model, in their order.

    Args:
        cells: The answers there are; a place without one stays empty.
        wall_s: How long all of it took, in seconds.
        diff: Whether to mark where the second column differs from the first.
    """

    def __init__(self, cells: Sequence[AnswerCell], *, wall_s: float, diff: bool = False) -> None:
        self._held: dict[tuple[str, str], list[AnswerCell]] = {}
        for cell in cells:
            self._held.setdefault((cell.row, cell.column), []).append(cell)
        self._rows = list(dict.fromkeys(cell.row for cell in cells))
        self._columns = list(dict.fromkeys(cell.column for cell in cells))
        self._compared = self._columns[:2] if diff and self._columns[1:] else ["", ""]
        self._pictures = list(dict.fromkeys(p for cell in cells for p in cell.behind.pictures))
        calls = [call for cell in cells for call in cell.calls]
        stable = any(cell.stable for cell in cells)
        self._totals = totals_line(calls, len(cells), wall_s, stable=stable)

    def __str__(self) -> str:
        """Return it for a terminal: under every item what each column answers."""
        lines: list[str] = []
        for row in self._rows:
            lines += [f"--- {_label(row)} ---"] if row else []
            for column in self._columns:
                for cell in self._held.get((row, column), ()):
                    word = "" if cell.stable else _word(cell, cell.state)
                    lines.append(SEPARATOR.join(filter(None, (_label(column), word))))
                    lines += [f"  {line}" for line in _clipped(cell.error or cell.text)]
        return "\n".join(wrapped(line, 2) for line in [*lines, self._totals])

    def bundles(self) -> list[Bundle]:
        """Return its outputs, the first open, the others folded."""
        samples = max(map(len, self._held.values()), default=0)
        whole = _Part(range(len(self._rows)), range(len(self._columns)), range(samples))
        first, *others = [*_parts(whole)] or [whole]
        below = unfolding(escape(self._totals), Behind((), self._pictures))
        tables = [f'{self._table_html(first)}<div style="{LINE_STYLE}">{below}</div>']
        # A front end would set formulas that nobody sees, one by one.
        tables += (
            f"<details><summary>{_described(whole, part)}</summary>"
            f"{self._table_html(part, formulas=False)}</details>"
            for part in others
        )
        return [
            {
                "text/html": f'<div class="{IGNORE_MATH}" style="overflow-x:auto">{html}</div>',
                "text/plain": text,
            }
            for html, text in zip_longest(tables, [str(self)], fillvalue="")
        ]

    def _table_html(self, part: _Part, *, formulas: bool = True) -> str:
        rows, columns = [self._rows[i] for i in part.rows], [self._columns[i] for i in part.columns]
        labelled = any(rows)
        head = "".join(
            f'<th scope="col" style="{_LABEL}">{escape(_label(column))}</th>' for column in columns
        )
        corner = "<td></td>" if labelled else ""
        body = ""
        for row in rows:
            places = (self._place_html(row, column, part.samples, formulas) for column in columns)
            cells = "".join(f'<td style="{_CELL}">{place}</td>' for place in places)
            label = f'<th scope="row" dir="auto" style="{_LABEL}">{escape(_label(row))}</th>'
            body += f"<tr>{label if labelled else ''}{cells}</tr>"
        return (
            '<div style="overflow-x:auto" tabindex="0" role="group" aria-label="answers">'
            f'<table style="margin:2px 0"><thead><tr>{corner}{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _place_html(self, row: str, column: str, samples: range, formulas: bool) -> str:
        base, other = self._compared
        others = self._held.get((row, other if column == base else base), []) if other else []
        compared = {number: each.text for number, each in enumerate(others)}
        tag = "del" if column == base else "ins"
        return _RULE.join(
            _cell_html(cell, compared.get(number), tag, formulas=formulas)
            for number, cell in enumerate(self._held.get((row, column), []))
            if number in samples
        )


def _clipped(text: str) -> Iterator[str]:
    lines = visible(text).strip().split("\n")
    yield from (one_line(line, 400) for line in lines[:MAX_TEXT_LINES])
    if len(lines) > MAX_TEXT_LINES:
        yield f"… {format_count(len(lines) - MAX_TEXT_LINES, 'more line')}"


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


def _label(text: str) -> str:
    return one_line(text, MAX_LABEL_CHARS)


def _cell_html(cell: AnswerCell, compared_with: str | None, tag: str, *, formulas: bool) -> str:
    line = ""
    if not cell.stable:
        # A picture that went with every question is drawn once, under the table.
        steps = Behind(cell.behind.rows)
        line = f"<div>{unfolding(_word(cell, pill_html(cell.state, cell.state)), steps)}</div>"
    if cell.error:
        why = escape(one_line(cell.error, 300))
        if cell.text:  # it does not fit what was asked for
            came = f'<div style="white-space:pre-wrap">{escape(visible(cell.text))}</div>'
            why = f"<details><summary>{why}</summary>{came}</details>"
        return f'{line}<div dir="auto">{why}</div>'
    if compared_with is not None:
        return line + _framed(cell.text, _marked(compared_with, cell.text, tag))
    html = answer_html(cell.text, cell.drawn_as, formulas=formulas)
    is_small = cell.drawn_as == "json" and _is_small(html)
    return line + (html if is_small else _framed(cell.text, html))


def _is_small(tree: str) -> bool:
    """Return whether the tree of an object is drawn in a few lines, however it was typed."""
    return sum(map(tree.count, ("<div", "<summary", "<tr"))) <= MAX_OPEN_LINES


def _word(cell: AnswerCell, state: str) -> str:
    return f"{state}{SEPARATOR}{format_seconds(cell.wall_s)}"


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
