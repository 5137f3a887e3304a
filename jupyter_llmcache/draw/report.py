"""What a subcommand returns when it is no list: named values and texts, drawn both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from ..text import Printed, cut, one_line, visible

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
        from .frame import rows_html
        from .sanitize import IGNORE_MATH

        drawn = [(name, one_line(value, _VALUE_CHARS)) for name, value in self.rows]
        sections = "".join(
            f'<div style="font-weight:600">{escape(one_line(heading))}</div>'
            f'<pre dir="auto" style="white-space:pre-wrap">{escape(cut(visible(text)))}</pre>'
            for heading, text in self.sections
        )
        return (
            f'<div class="{IGNORE_MATH}"><div>{escape(one_line(self.title, 400))}</div>'
            f"{rows_html(drawn) if any(value for _, value in drawn) else ''}{sections}</div>"
        )
