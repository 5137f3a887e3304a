"""Code, and JSON that folds without a script, in colours that follow the notebook's theme."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..text import format_count, visible
from .sanitize import WRAPS, drawing, text_html

if TYPE_CHECKING:
    from pygments.token import _TokenType  # type: ignore[import-untyped,unused-ignore]

#: A longer text is not parsed.
MAX_PARSED_CHARS = 100_000
#: Code that is longer, or has a longer line, is drawn without colours, in characters: lexers take
#: about 1 us each, and the square of it where somebody has bad intentions.
MAX_COLOURED_CHARS = 20_000
MAX_LINE_CHARS = 1_000
#: These lexers take the third power.
_SLOW = frozenset(("c#", "cs", "csharp", "java"))
MAX_SLOW_CHARS = 4_000

#: A frame tells code from what is said about it; a ground would take the theme's colours contrast.
_STYLE = (
    f"{WRAPS};margin:0 0 1em;padding:4px 8px;"
    "border:1px solid var(--jp-border-color2,#9e9e9e);border-radius:3px"
)

#: Lexers are regular expressions over foreign text; only common, well-tried ones are used.
_COMMON = (
    "bash c c# c++ console cpp cs csharp css diff docker dockerfile go golang haskell html ini "
    "ipython ipython3 java javascript js json jsx julia kotlin latex lua markdown "
    "matlab md octave perl php postgresql powershell py pycon python python3 r rb rs ruby rust "
    "scala sh shell sql swift tex toml ts tsx typescript xml yaml yml zsh"
)
_LANGUAGES = frozenset(_COMMON.split())

#: Pygments' token to the part of JupyterLab's variable --jp-mirror-editor-...-color.
_COLOURS = {
    "Token.Keyword": "keyword",
    "Token.Keyword.Constant": "atom",
    "Token.Name.Builtin": "builtin",
    "Token.Name.Class": "def",
    "Token.Name.Function": "def",
    "Token.Name.Decorator": "meta",
    "Token.Name.Tag": "tag",
    "Token.Name.Attribute": "attribute",
    "Token.Literal.String": "string",
    "Token.Literal.Number": "number",
    "Token.Operator": "operator",
    "Token.Operator.Word": "keyword",
    "Token.Comment": "comment",
    "Token.Generic.Heading": "header",
    "Token.Generic.Deleted": "string",
    "Token.Generic.Inserted": "keyword",
    "Token.Generic.Prompt": "comment",
}


#: Where the front end has no such variable: colours that read on white as on black.
_ELSEWHERE = {
    "keyword": "#9354d0",
    "atom": "#686ac9",
    "builtin": "#1f827a",
    "def": "#3272cf",
    "meta": "#8d7024",
    "tag": "#3f8239",
    "attribute": "#3272cf",
    "string": "#c84a42",
    "number": "#3f8239",
    "operator": "#a45b9a",
    "comment": "#767676",
    "header": "#3272cf",
}


def _colour_style(part: str) -> str:
    """Return the style that colours a part of code as the theme does."""
    return f"color:var(--jp-mirror-editor-{part}-color,{_ELSEWHERE[part]})"


def code_html(code: str, language: str = "") -> str:
    """Return ``code`` as a block; ``language`` is a name as after a Markdown fence."""
    # A parser drops the first line end.
    drawn = "".join(_spans(code.removesuffix("\n"), language))
    return f'<div class="highlight"><pre dir="ltr" style="{_STYLE}">\n{drawn}\n</pre></div>'


def _spans(code: str, language: str) -> Iterator[str]:
    name = language.strip().lower()
    limit = MAX_SLOW_CHARS if name in _SLOW else MAX_COLOURED_CHARS
    is_short = len(code) <= limit and max(map(len, code.split("\n"))) <= MAX_LINE_CHARS
    if name not in _LANGUAGES or not is_short:
        yield escape(code)
        return
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped,unused-ignore]

    lexer = get_lexer_by_name(name, stripnl=False, ensurenl=False)
    for kind, run in groupby(lexer.get_tokens(code), key=lambda token: token[0]):
        text = escape("".join(part for _, part in run))
        opening = _opening_tag(kind)
        yield f"{opening}{text}</span>" if opening else text


@cache
def _opening_tag(kind: _TokenType) -> str:
    from pygments.token import STANDARD_TYPES

    coloured = [each for each in kind.split() if str(each) in _COLOURS]
    if not coloured:
        return ""
    name = STANDARD_TYPES.get(kind) or STANDARD_TYPES[coloured[-1]]
    style = _colour_style(_COLOURS[str(coloured[-1])])
    return f'<span class="{name}" style="{style}">'


# --- JSON ---

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
    """Return ``text`` as a folding tree where it is JSON, else as plain text.

    A Markdown fence, which models like to put around JSON, is no part of it.
    """
    fenced = _FENCED.match(text)
    source = fenced[1] if fenced else text
    if len(source) > MAX_PARSED_CHARS:
        return text_html(text)
    try:
        value = json.loads(
            source,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
            object_pairs_hook=_Pairs,
        )
    except (ValueError, RecursionError):
        return text_html(text)
    nodes, depth = _size(value)
    if depth > MAX_DEPTH:
        return text_html(text)
    return drawing(code_html(visible(source), "json") if nodes > MAX_NODES else _draw(value, 0))


def _size(value: Any) -> tuple[int, int]:
    """Return how many values there are in all, and how deep they nest."""
    nodes, depth = 1, 0
    level = [value]
    while level := [member for each in level for member in _members(each)]:
        nodes, depth = nodes + len(level), depth + 1
    return nodes, depth


def _members(value: Any) -> list[Any]:
    if isinstance(value, _Pairs):
        return [member for _, member in value]
    return value if isinstance(value, list) else []


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
    if isinstance(value, list):
        return "{}" if isinstance(value, _Pairs) else "[]"
    if isinstance(value, _Number):
        return _coloured(visible(value), "m", "number")
    if isinstance(value, str):
        return _string(value, "string")
    return _coloured(json.dumps(value), "kc", "atom")


def _string(text: str, colour: str) -> str:
    quoted = visible(json.dumps(text, ensure_ascii=False))
    return _coloured(quoted, "s", colour)


def _coloured(text: str, css_class: str, colour: str) -> str:
    style = f"{_colour_style(colour)};white-space:pre-wrap"
    return f'<span class="{css_class}" dir="auto" style="{style}">{escape(text)}</span>'
