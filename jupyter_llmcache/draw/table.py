"""Lists and reports as values that draw themselves, in HTML and in text.

A name tells what stands under it and how it is drawn, as names do everywhere in this package:
``saved_s`` are seconds, ``size_bytes`` bytes, ``recorded_at`` Unix times, ``price_usd`` dollars.
The values keep the plain numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from html import escape
from typing import Any, overload

from ..text import (
    Printed,
    columns_of,
    cut,
    format_bytes,
    format_count,
    format_moment,
    format_seconds,
    format_usd,
    narrowed,
    one_line,
    terminal_columns,
    visible,
    wrapped,
)
from . import Format, answer_html
from .sanitize import IGNORE_MATH, SCROLLS, text_html

SEPARATOR = " · "
LINE_STYLE = "font-family:var(--jp-ui-font-family,sans-serif);font-size:12px;line-height:1.7"
#: Rows that are drawn; the others are counted under the table. More than a few scroll.
MAX_DRAWN_ROWS, MAX_OPEN_ROWS = 200, 40
MAX_CELL_CHARS = 100
#: Between columns; what texts keep at least, and before moments are cut.
_GAP, _LEAST_COLUMNS, _EASY_COLUMNS = "  ", 8, 20
#: The date of a moment, and the date and the minute.
_DATE_CHARS, _MINUTE_CHARS = 10, 16
#: A value of a report is drawn up to this many characters.
_VALUE_CHARS = 300

#: A shorter text of a table is not broken into lines.
_UNBROKEN_CHARS = 30
_CELL = "vertical-align:top;padding:1px 12px 1px 0"
_NAME = f"{_CELL};text-align:left;white-space:nowrap"
_VALUE = f"{_CELL};text-align:left;overflow-wrap:anywhere"

_UNITS: dict[str, Callable[[Any], str]] = {
    "_s": format_seconds,
    "_bytes": format_bytes,
    "_at": lambda unix_s: format_moment(unix_s)[:_MINUTE_CHARS],  # a second's use is elsewhere
    "_usd": lambda amount: format_usd(Decimal(str(amount))),
}


#: A heading and a text, or these and how the text is drawn.
Section = tuple[str, str] | tuple[str, str, Format]


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

    def to_pandas(self) -> Any:
        """Return the rows, as plain numbers and texts, as a pandas DataFrame."""
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]

        return pd.DataFrame(list(self.rows), columns=list(self.columns))

    def _columns(self) -> list[_Column]:
        return [
            _column(name, [row[number] for row in self.rows])
            for number, name in enumerate(self.columns)
        ]

    def _rest(self) -> str:
        """How many rows are not drawn; empty when all are."""
        rest = len(self.rows) - MAX_DRAWN_ROWS
        return f"… {format_count(rest, 'more row')}" if rest > 0 else ""

    def __str__(self) -> str:
        limit = terminal_columns()
        title = wrapped(one_line(self.title, _VALUE_CHARS)) if self.title else ""
        rows = zip(*(column.padded() for column in _fitted(self._columns(), limit)), strict=True)
        lines = [narrowed(_GAP.join(row).rstrip(), limit) for row in rows]
        return "\n".join([*([title] if title else []), *lines, *filter(None, [self._rest()])])

    def _repr_html_(self) -> str:
        drawn = zip(*(column.html() for column in self._columns()), strict=True)
        rows = [f"<tr>{''.join(cells)}</tr>" for cells in drawn]
        title = escape(one_line(self.title, _VALUE_CHARS))
        # Outside the frame, so that a narrow page breaks it and does not cut it.
        above = f'<div style="{LINE_STYLE}"><strong>{title}</strong></div>' if title else ""
        many = f";{SCROLLS}" if len(self.rows) > MAX_OPEN_ROWS else ""
        rest = f'<div style="{LINE_STYLE}">{escape(self._rest())}</div>' if self._rest() else ""
        return (
            f'<div class="{IGNORE_MATH}">{above}<div style="overflow-x:auto{many}" tabindex="0" '
            f'role="group" aria-label="{title or "table"}">'
            f'<table style="{LINE_STYLE};margin:2px 0">'
            f"<thead>{''.join(rows[:1])}</thead><tbody>{''.join(rows[1:])}</tbody></table></div>"
            f"{rest}</div>"
        )


@dataclass
class _Column:
    """A column as it is drawn, its heading first."""

    cells: list[str]
    right: bool
    is_moment: bool
    says_something: bool
    width: int = 0

    def html(self) -> Iterator[str]:
        side = "right" if self.right else "left"
        heading, *texts = self.cells
        yield f'<th scope="col" style="{_CELL};text-align:{side}">{escape(heading)}</th>'
        for text in texts:
            wrap = ";white-space:nowrap" if len(text) <= _UNBROKEN_CHARS else ";min-width:12em"
            yield f'<td dir="auto" style="{_CELL};text-align:{side}{wrap}">{escape(text)}</td>'

    def padded(self) -> Iterator[str]:
        """Yield the cells as wide as the column is in a terminal."""
        for cell in self.cells:
            text = narrowed(cell, self.width)
            blanks = " " * (self.width - columns_of(text))
            yield blanks + text if self.right else text + blanks


def _column(name: str, values: Sequence[Any]) -> _Column:
    heading, draw = _drawn_by(name)
    is_moment = name.endswith("_at")
    # Numbers stand on the right.
    right = all(isinstance(each, int | float) for each in values if each is not None)
    cells = [_drawn(value, draw, MAX_CELL_CHARS) for value in values[:MAX_DRAWN_ROWS]]
    return _Column([heading, *cells], right and not is_moment, is_moment, any(values))


def _fitted(columns: list[_Column], limit: int) -> list[_Column]:
    """Return ``columns`` so narrow that a line fits.

    Where there is no room, columns of nothing and zeros go, moments are dates, texts are cut, and
    at last what is told of the fewest rows goes.
    """

    def excess() -> int:
        return sum(column.width + len(_GAP) for column in columns) - len(_GAP) - limit

    for column in columns:
        column.width = max(map(columns_of, column.cells))
    texts = [column for column in columns if not (column.right or column.is_moment)]
    if excess() > 0:
        columns = [column for column in columns if column.says_something] or columns
    if excess() > sum(max(0, column.width - _EASY_COLUMNS) for column in texts):
        for column in columns:
            if column.is_moment:
                column.width = min(column.width, _DATE_CHARS)
                column.cells = [cell[:_DATE_CHARS] for cell in column.cells]
    while excess() > sum(max(0, text.width - _LEAST_COLUMNS) for text in texts) and columns[1:]:
        least = max(columns[:0:-1], key=lambda column: column.cells.count(""))
        columns, texts = ([each for each in some if each is not least] for some in (columns, texts))
    while excess() > 0 and any(column.width > _LEAST_COLUMNS for column in texts):
        max(texts, key=lambda column: column.width).width -= 1
    return columns


@dataclass(frozen=True, repr=False)
class Report(Printed):
    """A title, rows of names and values, then texts under headings.

    Attributes:
        title: The result on one line.
        rows: Names and values; a name tells how its value is drawn, as a column's does.
        sections: Headings and texts, or headings, texts and how they are drawn.
        data: The same for programs, as JSON values.
        ok: Whether all is well; a shell's exit status is made of it.
        details: More rows, which a page shows when it is asked to.
    """

    title: str
    rows: Sequence[tuple[str, Any]] = ()
    sections: Sequence[Section] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    ok: bool = True
    details: Sequence[tuple[str, Any]] = ()

    def __str__(self) -> str:
        sections = (
            f"\n{wrapped(one_line(head))}\n{cut(visible(text))}" for head, text, *_ in self.sections
        )
        rows, details = row_lines(self.rows), row_lines(self.details)
        blank = [""] if self.sections and details else []
        return "\n".join([wrapped(one_line(self.title, 400)), *rows, *sections, *blank, *details])

    def _repr_html_(self) -> str:
        title = f"<div>{escape(one_line(self.title, 400))}</div>"
        details = rows_html(self.details)
        if details:
            details = f"<details><summary>details</summary>{details}</details>"
        inner = f"{title}{rows_html(self.rows)}{sections_html(self.sections)}{details}"
        return f'<div class="{IGNORE_MATH}">{inner}</div>'


def _drawn_rows(rows: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    told = []
    for name, value in rows:
        # A text has no unit, and its name may be a model's own parameter.
        drawn_as, draw = (name, None) if isinstance(value, str) else _drawn_by(name)
        if text := _drawn(value, draw, _VALUE_CHARS):
            told.append((drawn_as, text))
    return told


def row_lines(rows: Iterable[tuple[str, Any]]) -> list[str]:
    """Return names and values for a terminal; a value that is long goes on below itself."""
    drawn = _drawn_rows(rows)
    width = max((len(name) for name, _ in drawn), default=0)
    if width > terminal_columns() // 2:  # as the path of a notebook: there is no room beside it
        return [line for name, value in drawn for line in (name, wrapped(f"{_GAP}{value}", 2))]
    return [wrapped(f"{name:<{width}}{_GAP}{value}", width + len(_GAP)) for name, value in drawn]


def rows_html(rows: Iterable[tuple[str, Any]]) -> str:
    """Return names and values as a table of two columns; nothing where there is no value."""
    drawn = "".join(
        f'<tr><th scope="row" style="{_NAME}">{escape(name)}</th>'
        f'<td style="{_VALUE}">{escape(value)}</td></tr>'
        for name, value in _drawn_rows(rows)
    )
    return f'<div><table style="{LINE_STYLE};margin:2px 0">{drawn}</table></div>' if drawn else ""


def sections_html(sections: Iterable[Section]) -> str:
    """Return texts under headings, as typed, or drawn as an answer is."""
    return "".join(
        f"<div><strong>{escape(one_line(heading))}</strong></div>"
        + (answer_html(text, *drawn_as) if drawn_as else text_html(text))
        for heading, text, *drawn_as in sections
    )


def _drawn_by(column: str) -> tuple[str, Callable[[Any], str] | None]:
    for ending, draw in _UNITS.items():
        if column.endswith(ending):
            return column.removesuffix(ending).replace("_", " "), draw
    return column.replace("_", " "), None


def _drawn(value: Any, draw: Callable[[Any], str] | None, limit: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) or draw is None:
        return format_count(value) if isinstance(value, int) else one_line(value, limit)
    return draw(value)
