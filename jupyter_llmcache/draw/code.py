"""Code with colours that follow the notebook's theme."""

from __future__ import annotations

from functools import cache
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from .sanitize import WRAPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pygments.token import _TokenType  # type: ignore[import-untyped,unused-ignore]

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
    "Keyword": "keyword",
    "Keyword.Constant": "atom",
    "Name.Builtin": "builtin",
    "Name.Class": "def",
    "Name.Function": "def",
    "Name.Decorator": "meta",
    "Name.Tag": "tag",
    "Name.Attribute": "attribute",
    "Literal.String": "string",
    "Literal.Number": "number",
    "Operator": "operator",
    "Operator.Word": "keyword",
    "Comment": "comment",
    "Generic.Heading": "header",
    "Generic.Deleted": "string",
    "Generic.Inserted": "keyword",
    "Generic.Prompt": "comment",
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


def colour_style(part: str) -> str:
    """Return the style that colours a part of code as the theme does."""
    return f"color:var(--jp-mirror-editor-{part}-color,{_ELSEWHERE[part]})"


def code_html(code: str, language: str = "") -> str:
    """Return ``code`` as a block; ``language`` is a name as after a Markdown fence."""
    # A parser drops the first line end.
    drawn = "".join(_spans(code.removesuffix("\n"), language))
    return f'<div class="highlight"><pre dir="ltr" style="{_STYLE}">\n{drawn}\n</pre></div>'


def _spans(code: str, language: str) -> Iterator[str]:
    name = language.strip().lower()
    if name not in _LANGUAGES or not _is_short(code, name):
        yield escape(code)
        return
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped,unused-ignore]

    lexer = get_lexer_by_name(name, stripnl=False, ensurenl=False)
    for kind, run in groupby(lexer.get_tokens(code), key=lambda token: token[0]):
        text = escape("".join(part for _, part in run))
        opening = _opening_tag(kind)
        yield f"{opening}{text}</span>" if opening else text


def _is_short(code: str, name: str) -> bool:
    limit = MAX_SLOW_CHARS if name in _SLOW else MAX_COLOURED_CHARS
    return len(code) <= limit and max(map(len, code.split("\n"))) <= MAX_LINE_CHARS


@cache
def _opening_tag(kind: _TokenType) -> str:
    from pygments.token import STANDARD_TYPES

    coloured = kind
    while coloured and str(coloured).removeprefix("Token.") not in _COLOURS:
        coloured = coloured.parent
    if not coloured:
        return ""
    name = STANDARD_TYPES.get(kind) or STANDARD_TYPES[coloured]
    style = colour_style(_COLOURS[str(coloured).removeprefix("Token.")])
    return f'<span class="{name}" style="{style}">'
