"""Lists and reports as values that draw themselves, in HTML and in text.

A column's name tells what stands in it and how it is drawn, as names do everywhere in this
package: ``saved_s`` are seconds, ``size_bytes`` bytes, ``recorded_at`` Unix times. The rows keep
the plain numbers.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, overload

from ..text import (
    Printed,
    cut,
    format_bytes,
    format_count,
    format_moment,
    format_seconds,
    one_line,
    visible,
)
from .sanitize import IGNORE_MATH

SEPARATOR = " · "
LINE_STYLE = "font-family:var(--jp-ui-font-family,sans-serif);font-size:12px;line-height:1.7"
_CAPTION = "caption-side:top;text-align:left;font-weight:600"
_CELL = "vertical-align:top;padding:1px 12px 1px 0"
_VALUE = f"{_CELL};text-align:left;overflow-wrap:anywhere"

#: Rows that are drawn; the others are counted under the table.
MAX_DRAWN_ROWS = 200
MAX_CELL_CHARS = 100

_UNITS: dict[str, Callable[[Any], str]] = {
    "_s": format_seconds,
    "_bytes": format_bytes,
    "_at": format_moment,
}


class Table(Printed, Sequence[tuple[Any, ...]]):
    """Rows under named columns.

    Args:
        columns: Names, with the unit as ending where there is one.
        rows: One value for every column; None where there is none.
        title: What the table is, on one line.
    """

    def __init__(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = ""
    ) -> None:
        self.columns = tuple(columns)
        self.rows = tuple(tuple(row) for row in rows)
        self.title = title

    @overload
    def __getitem__(self, index: int) -> tuple[Any, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> Table: ...
    def __getitem__(self, index: int | slice) -> tuple[Any, ...] | Table:
        if isinstance(index, slice):
            return Table(self.columns, self.rows[index], self.title)
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return (self.columns, self.rows) == (other.columns, other.rows)

    def __hash__(self) -> int:
        return hash((self.columns, len(self.rows)))

    def to_pandas(self) -> Any:
        """Return the rows, as plain numbers and texts, as a pandas DataFrame."""
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]

        return pd.DataFrame(list(self.rows), columns=list(self.columns))

    def headings(self) -> list[str]:
        """Return the columns' names as they are drawn: without unit."""
        return [_drawn_by(column)[0] for column in self.columns]

    def drawn_rows(self) -> list[list[str]]:
        """Return the cells as they are drawn, of the first rows."""
        formats = [_drawn_by(column)[1] for column in self.columns]
        return [
            ["" if value is None else draw(value) for draw, value in zip(formats, row, strict=True)]
            for row in self.rows[:MAX_DRAWN_ROWS]
        ]

    def numeric(self) -> list[bool]:
        """Return for every column whether its values are numbers, which stand on the right."""
        return [
            all(isinstance(row[i], int | float) for row in self.rows if row[i] is not None)
            and not column.endswith("_at")
            for i, column in enumerate(self.columns)
        ]

    def footnote(self) -> str:
        """Return how many rows are not drawn; empty when all are."""
        rest = len(self.rows) - MAX_DRAWN_ROWS
        return f"… {format_count(rest, 'more row')}" if rest > 0 else ""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.title:
            yield one_line(self.title)
        rows = [self.headings(), *self.drawn_rows()]
        widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = zip(row, widths, self.numeric(), strict=True)
            yield "  ".join(_padded(*cell) for cell in cells).rstrip()
        if self.footnote():
            yield self.footnote()

    def _repr_html_(self) -> str:
        return table_html(self)


def _drawn_by(column: str) -> tuple[str, Callable[[Any], str]]:
    for ending, draw in _UNITS.items():
        if column.endswith(ending):
            return column.removesuffix(ending).replace("_", " "), draw
    return column.replace("_", " "), _plain


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_count(value) if isinstance(value, int) else one_line(value, MAX_CELL_CHARS)


def _width(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _padded(text: str, width: int, right: bool) -> str:
    spaces = " " * (width - _width(text))
    return spaces + text if right else text + spaces


#: A value of a row is drawn up to this many characters.
_VALUE_CHARS = 300


@dataclass(frozen=True, repr=False)
class Report(Printed):
    """A title, rows of names and values, then longer texts under headings.

    Attributes:
        title: The result on one line.
        rows: Names and values.
        sections: Headings and texts.
        data: The same for programs, as JSON values.
        ok: Whether all is well; a shell's exit status is made of it.
    """

    title: str
    rows: Sequence[tuple[str, str]] = ()
    sections: Sequence[tuple[str, str]] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    ok: bool = True

    def __str__(self) -> str:
        width = max((len(name) for name, value in self.rows if value), default=0)
        rows = [
            f"{name:<{width}}  {one_line(value, _VALUE_CHARS)}"
            for name, value in self.rows
            if value
        ]
        sections = [
            f"\n{one_line(heading)}\n{cut(visible(text))}" for heading, text in self.sections
        ]
        return "\n".join(part for part in (one_line(self.title, 400), *rows, *sections) if part)

    def _repr_html_(self) -> str:
        drawn = [(name, one_line(value, _VALUE_CHARS)) for name, value in self.rows]
        title = f"<div>{escape(one_line(self.title, 400))}</div>"
        rows = rows_html(drawn) if any(value for _, value in drawn) else ""
        return f'<div class="{IGNORE_MATH}">{title}{rows}{sections_html(self.sections)}</div>'


def sections_html(sections: Iterable[tuple[str, str]]) -> str:
    """Return texts under headings, lines and spaces kept."""
    return "".join(
        f'<div style="font-weight:600">{escape(one_line(heading))}</div>'
        f'<pre dir="auto" style="white-space:pre-wrap">{escape(cut(visible(text)))}</pre>'
        for heading, text in sections
    )


def rows_html(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a table of two columns."""
    drawn = "".join(
        f'<tr><th scope="row" style="{_VALUE}">{escape(name)}</th>'
        f'<td style="{_VALUE}">{escape(value)}</td></tr>'
        for name, value in rows
        if value
    )
    return f'<table style="{LINE_STYLE};margin:2px 0">{drawn}</table>'


def table_html(table: Table) -> str:
    """Return a table with its title as caption."""
    sides = ["right" if numeric else "left" for numeric in table.numeric()]
    head = "".join(
        f'<th scope="col" style="{_CELL};text-align:{side}">{escape(name)}</th>'
        for name, side in zip(table.headings(), sides, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_table_cell(*cell) for cell in zip(row, sides, strict=True))}</tr>"
        for row in table.drawn_rows()
    )
    caption = f'<caption style="{_CAPTION}">{escape(one_line(table.title))}</caption>'
    return (
        f'<div class="{IGNORE_MATH}" style="overflow-x:auto">'
        f'<table style="{LINE_STYLE};margin:2px 0">{caption if table.title else ""}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f'<div style="{LINE_STYLE}">{escape(table.footnote())}</div></div>'
    )


def _table_cell(text: str, side: str) -> str:
    return f'<td dir="auto" style="{_CELL};text-align:{side}">{escape(text)}</td>'
