"""Markdown of a stranger as HTML: structure, code, tables and formulas, but nothing that acts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any
from unicodedata import bidirectional

from ..text import cut, settled, visible
from .code import code_html
from .formulas import add_rules, harmless
from .sanitize import IGNORE_MATH, LINK_SCHEMES, READ_MATH, sanitize

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

#: Beyond these an answer, or the part that is too much, is drawn as plain text.
MAX_MARKDOWN_CHARS = 100_000
#: The parser looks from every bracket for the one that closes it.
MAX_BRACKETS = 10_000
MAX_DEPTH = 60
MAX_COLUMNS = 60
MAX_FORMULAS = 300

_RIGHT_TO_LEFT = ("R", "AL")
_NOT_IN_URL = r"\s<>\"'`\\|\u3000-\u303f\uff00-\uff60"
_BARE_URL = re.compile(rf"https?://[^{_NOT_IN_URL}]*[^{_NOT_IN_URL}.,:;!?()\[\]{{}}*_~]")
_RIGHT_TO_LEFT_STYLES = {
    "paragraph_open": "text-align:right",
    "heading_open": "text-align:right",
    "bullet_list_open": "padding-left:0;padding-right:2em",
    "ordered_list_open": "padding-left:0;padding-right:2em",
}
_DIRECTED = ("paragraph_open", "heading_open")
_Env = MutableMapping[str, Any]


def markdown_html(text: str) -> str:
    """Return ``text`` as safe HTML; as plain text where it is too long or nests too deeply."""
    if not is_short(text):
        return text_html(text)
    source = visible(text)
    env: _Env = {}
    tokens = _parser().parse(source, env)
    if any(token.level >= MAX_DEPTH for token in tokens):
        return text_html(text)
    return wrap(sanitize(tokens_html(tokens, source, env)))


def is_short(text: str) -> bool:
    """Return whether ``text`` can be parsed in a reasonable time."""
    return len(text) <= MAX_MARKDOWN_CHARS and text.count("[") <= MAX_BRACKETS


def tokens_html(tokens: Sequence[Token], source: str, env: _Env, *, formulas: bool = True) -> str:
    """Return parsed Markdown as HTML that still has to be sanitized.

    Args:
        tokens: What the parser made of ``source``.
        source: The text itself, for the parts that are drawn as they were typed.
        env: The parser's own memory of the text.
        formulas: Whether formulas are handed to MathJax.
    """
    parser = _parser()
    env["formulas_left"] = MAX_FORMULAS if formulas else 0
    drawn = list(_with_plain_tables(tokens, source.split("\n")))
    return str(parser.renderer.render(drawn, parser.options, env))


def code_answer_html(text: str) -> str:
    """Return the code of an answer: its fenced blocks, or all of it."""
    if not is_short(text):
        return text_html(text)
    blocks = code_blocks(visible(text))
    return wrap(sanitize("".join(code_html(code, language) for language, code in blocks)))


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Return (language, code) of every fenced block of ``text``; the whole text where none is."""
    fences = [token for token in parse(text, {}) if token.type == "fence"]
    if not fences:
        return [("", text)]
    return [((token.info.split() or [""])[0], token.content) for token in fences]


def wrap(inner: str) -> str:
    """Return safe HTML in the block that every answer is drawn in."""
    return (
        f'<div class="{IGNORE_MATH}" style="overflow-x:auto;overflow-wrap:anywhere">{inner}</div>'
    )


def text_html(text: str) -> str:
    """Return ``text`` as it is, lines and spaces kept."""
    drawn = escape(cut(visible(text)))
    return wrap(sanitize(f'<pre dir="auto" style="white-space:pre-wrap">{drawn}</pre>'))


def parse(source: str, env: _Env) -> list[Token]:
    """Return the tokens of ``source``, in which control characters are visible already."""
    return _parser().parse(source, env)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_DEPTH + 20})
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    # Whether a link's target is fit to be one is decided here and again by the sanitizer.
    parser.validateLink = _is_safe_link  # type: ignore[method-assign]
    add_rules(parser)
    parser.core.ruler.push("links", lambda state: _link(state.tokens))
    parser.core.ruler.push("directions", lambda state: _direct(state.tokens))
    rules = {
        "fence": _draw_fence,
        "code_block": _draw_fence,
        "code_inline": _draw_code,
        "formula": _draw_formula,
        "formula_block": _draw_formula,
        "table_open": _draw_table_open,
        "table_close": lambda *_: "</table></div>\n",
        "th_open": _draw_cell_open,
        "td_open": _draw_cell_open,
    }
    for name, rule in rules.items():
        parser.add_render_rule(name, lambda _, *args, rule=rule: rule(*args))
    return parser


def _is_safe_link(url: str) -> bool:
    scheme, colon, _ = url.strip().partition(":")
    return bool(colon) and scheme.lower() in LINK_SCHEMES


def _with_plain_tables(tokens: Sequence[Token], lines: Sequence[str]) -> Iterator[Token]:
    """Yield ``tokens`` with every table that has too many columns as the text it was."""
    from markdown_it.token import Token

    wide = False
    for index, token in enumerate(tokens):
        if token.type == "table_open" and token.map and _columns(tokens, index) > MAX_COLUMNS:
            wide = True
            yield Token("fence", "code", 0, content="\n".join(lines[slice(*token.map)]))
        if not wide:
            yield token
        if token.type == "table_close":
            wide = False


def _columns(tokens: Sequence[Token], start: int) -> int:
    count = 0
    for token in tokens[start:]:
        if token.type == "tr_close":
            break
        count += token.type == "th_open"
    return count


def _link(tokens: Iterable[Token]) -> None:
    """Make links of bare addresses, and of images: one that loads tells its server who reads."""
    for block in tokens:
        if block.type == "inline" and ("://" in block.content or "![" in block.content):
            block.children = list(_linked(block.children or []))


def _linked(tokens: Iterable[Token]) -> Iterator[Token]:
    depth = 0
    for token in tokens:
        depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        if token.type == "image":
            url = str(token.attrs["src"])
            yield from _anchor("" if depth else url, f"[image: {token.content or url}]")
        elif token.type == "text" and not depth:
            yield from _with_bare_urls(token.content)
        else:
            yield token


def _with_bare_urls(text: str) -> Iterator[Token]:
    end = 0
    for match in _BARE_URL.finditer(text):
        yield from _anchor("", text[end : match.start()])
        url, end = match.group(), match.end()
        if url.count("(") > url.count(")") and text.startswith(")", end):
            url, end = f"{url})", end + 1
        yield from _anchor(url, url)
    yield from _anchor("", text[end:])


def _anchor(url: str, text: str) -> Iterator[Token]:
    """Yield ``text`` as a link to ``url``, or as it is where there is no address."""
    from markdown_it.token import Token

    if url:
        yield Token("link_open", "a", 1, attrs={"href": url})
    yield Token("text", "", 0, content=text)
    if url:
        yield Token("link_close", "a", -1)


def _direct(tokens: Sequence[Token]) -> None:
    """Let every block follow the direction of its own script, against the theme's alignment."""
    right_to_left = False  # of the first text inside
    for token in reversed(tokens):
        if token.type == "inline":
            right_to_left = _is_right_to_left(token.content)
        elif right_to_left and token.type in _RIGHT_TO_LEFT_STYLES:
            token.attrSet("dir", "rtl")
            token.attrSet("style", _RIGHT_TO_LEFT_STYLES[token.type])
        elif token.type in _DIRECTED:
            token.attrSet("dir", "auto")


def _is_right_to_left(text: str) -> bool:
    strong = (kind for kind in map(bidirectional, text) if kind in ("L", *_RIGHT_TO_LEFT))
    return next(strong, "L") in _RIGHT_TO_LEFT


def _draw_fence(tokens: Sequence[Token], index: int, *_: object) -> str:
    info = tokens[index].info.split()
    return code_html(tokens[index].content, info[0] if info else "")


def _draw_code(tokens: Sequence[Token], index: int, *_: object) -> str:
    return f'<code dir="ltr">{escape(tokens[index].content)}</code>'


def _draw_formula(tokens: Sequence[Token], index: int, _: object, env: _Env) -> str:
    token = tokens[index]
    formula = harmless(token.content) if env["formulas_left"] > 0 else None
    env["formulas_left"] -= 1
    if formula is None:
        return f'<{token.tag} dir="ltr">{escape(token.content)}</{token.tag}>'
    return f'<{token.tag} class="{READ_MATH}" dir="ltr">{escape(formula)}</{token.tag}>'


def _draw_table_open(*_: object) -> str:
    return (
        '<div style="overflow-x:auto" tabindex="0" role="group" aria-label="table">'
        '<table dir="auto" style="margin:0 0 1em">\n'
    )


def _draw_cell_open(tokens: Sequence[Token], index: int, *_: object) -> str:
    token = tokens[index]
    style = token.attrs.get("style", "text-align:start")
    scope = ' scope="col"' if token.tag == "th" else ""
    return f'<{token.tag}{scope} dir="auto" style="{escape(str(style))}">'


class GrowingMarkdown:
    """Draws the beginnings of one text. Blocks that are complete are drawn once and kept.

    Formulas stand as they were typed until the end: MathJax would set all of them again with every
    drawing. What a later line changes in an earlier block shows in the answer's own drawing.
    """

    def __init__(self) -> None:
        self._forget()

    def html(self, text: str) -> str:
        """Return ``text``, which begins with the text of the call before, as safe HTML."""
        if not is_short(text):
            return text_html(text)
        source = visible(settled(text))
        if not source.startswith(self._kept_source):
            self._forget()
        rest = source[len(self._kept_source) :]
        tokens = parse(rest, self._env)
        last = _last_block(tokens)
        complete, growing = self._draw(tokens[:last], rest), self._draw(tokens[last:], rest)
        if complete:
            self._kept_html += complete
            self._kept_source += _before_line(rest, tokens[last])
        return wrap(self._kept_html + growing)

    def _draw(self, tokens: Sequence[Token], source: str) -> str:
        return sanitize(tokens_html(tokens, source, self._env, formulas=False))

    def _forget(self) -> None:
        self._kept_html = ""
        self._kept_source = ""
        self._env: dict[str, Any] = {}


def _last_block(tokens: Sequence[Token]) -> int:
    """Return where the last block of the text itself begins in ``tokens``."""
    begins = (i for i, t in enumerate(tokens) if t.level == 0 and t.nesting >= 0 and t.map)
    return max(begins, default=0)


def _before_line(source: str, token: Token) -> str:
    line = token.map[0] if token.map else 0
    return "".join(source.splitlines(keepends=True)[:line])
