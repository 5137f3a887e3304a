"""JSON that folds: ``details`` elements, no script."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from ..text import format_count, visible
from .code import code_html, colour_style
from .markdown import MAX_MARKDOWN_CHARS
from .sanitize import drawing, text_html

#: Beyond these the JSON is drawn as code, or as text.
MAX_NODES = 5_000
MAX_DEPTH = 40
_OPEN_DEPTH = 2
#: Objects of so many keys at most are drawn as the rows of a table.
MAX_TABLE_COLUMNS = 12
_CELL = "text-align:left;padding:1px 12px 1px 0"

_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?```\s*\Z", re.DOTALL)


class _Number(str):
    """A number as it was typed: 1.0 stays 1.0, and no digit is lost."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """An object's members in their order, also those whose name comes twice."""


def json_html(text: str) -> str:
    """Return ``text`` as a folding tree where it is JSON, else as plain text."""
    source = unfenced(text)
    try:
        value = _load(source)
        nodes = sum(1 for _ in _walk(value, 0))
    except (ValueError, RecursionError):
        return text_html(text)
    if nodes > MAX_NODES:
        return drawing(code_html(visible(source), "json"))
    return drawing(_draw(value, 0))


def unfenced(text: str) -> str:
    """Return ``text`` without the Markdown fence that models like to put around JSON."""
    match = _FENCED.match(text)
    return match.group(1) if match else text


def _load(source: str) -> Any:
    if len(source) > MAX_MARKDOWN_CHARS:
        raise ValueError
    return json.loads(
        source,
        parse_int=_Number,
        parse_float=_Number,
        parse_constant=_Number,
        object_pairs_hook=_Pairs,
    )


def _walk(value: Any, depth: int) -> Iterator[None]:
    """Yield once for every value.

    Raises:
        RecursionError: The values nest too deeply to be drawn.
    """
    if depth > MAX_DEPTH:
        raise RecursionError
    yield
    if isinstance(value, _Pairs):
        for _, member in value:
            yield from _walk(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            yield from _walk(member, depth + 1)


def _draw(value: Any, depth: int, name: str = "") -> str:
    if not isinstance(value, list) or not value:
        return f'<div dir="ltr" style="padding-left:1.2em">{name}{_leaf(value)}</div>'
    if isinstance(value, _Pairs):
        count = f"{{…}} {format_count(len(value), 'key')}"
        members = "".join(_draw(v, depth + 1, f"{_string(k, 'tag')}: ") for k, v in value)
    else:
        count = f"[…] {format_count(len(value), 'item')}"
        members = _table(value) or "".join(
            _draw(v, depth + 1, f"{i}: ") for i, v in enumerate(value)
        )
    opened = " open" if depth < _OPEN_DEPTH else ""
    return (
        f'<details{opened} dir="ltr" style="padding-left:1.2em"><summary>{name}{count}</summary>'
        f"{members}</details>"
    )


def _table(rows: list[Any]) -> str:
    """Return objects of the same kind, without others in them, as a table; else nothing."""
    if not all(isinstance(row, _Pairs) for row in rows):
        return ""
    names = list(dict.fromkeys(name for row in rows for name, _ in row))
    is_flat = all(not isinstance(value, list) or not value for row in rows for _, value in row)
    is_alike = all(len(row) == len(dict(row)) >= len(names) / 2 for row in rows)
    if not (is_flat and is_alike and len(names) <= MAX_TABLE_COLUMNS):
        return ""
    head = "".join(
        f'<th scope="col" dir="auto" style="{_CELL}">{_text(name)}</th>' for name in names
    )
    body = "".join(f"<tr>{_table_cells(dict(row), names)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _table_cells(row: Mapping[str, Any], names: Iterable[str]) -> str:
    values = (row.get(name, "") for name in names)
    # A number as it was typed is a text, too, but has a colour.
    drawn = (_text(value) if type(value) is str else _leaf(value) for value in values)
    return "".join(f'<td dir="auto" style="{_CELL}">{each}</td>' for each in drawn)


def _text(text: str) -> str:
    return escape(visible(text)).replace("\n", "<br>")


def _leaf(value: Any) -> str:
    if isinstance(value, _Pairs):
        return "{}"
    if isinstance(value, list):
        return "[]"
    if isinstance(value, _Number):
        return _coloured(visible(value), "m", "number")
    if isinstance(value, str):
        return _string(value, "string")
    return _coloured(json.dumps(value), "kc", "atom")


def _string(text: str, colour: str) -> str:
    quoted = visible(json.dumps(text, ensure_ascii=False))
    return _coloured(quoted, "s", colour)


def _coloured(text: str, css_class: str, colour: str) -> str:
    style = f"{colour_style(colour)};white-space:pre-wrap"
    return f'<span class="{css_class}" dir="auto" style="{style}">{escape(text)}</span>'
