"""Lists as values: a sequence of rows that draws itself as a table, in HTML and in text.

A column's name tells what stands in it and how it is drawn, as names do everywhere in this
package: ``saved_s`` are seconds, ``size_bytes`` bytes, ``recorded_at`` Unix times. The rows keep
the plain numbers.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

from ..numbers import format_bytes, format_count, format_moment, format_seconds
from ..text import Printed, one_line

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
        from .frame import table_html

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
