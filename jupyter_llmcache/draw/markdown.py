"""Markdown of a stranger as HTML: structure, code, tables and formulas, but nothing that acts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from functools import cache
from html import escape
from typing import Any
from unicodedata import bidirectional

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, paragraph, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from ..text import visible
from .code import MAX_PARSED_CHARS, code_html
from .formulas import add_rules, harmless, mathml
from .sanitize import LINK_SCHEMES, READ_MATH, SCROLLS, drawing, text_html

#: Beyond these an answer, or the part that is too much, is drawn as plain text; the parser looks
#: from every bracket for the one that closes it.
MAX_BRACKETS = 10_000
MAX_DEPTH = 60
MAX_COLUMNS = 60
MAX_FORMULAS = 300
#: A longer table scrolls in a frame of its own, in rows.
MAX_OPEN_ROWS = 40

_RIGHT_TO_LEFT = ("R", "AL")
_NOT_IN_URL = r"\s<>\"'`\\|\u3000-\u303f\uff00-\uff60"
_BARE_URL = re.compile(rf"https?://[^{_NOT_IN_URL}]*[^{_NOT_IN_URL}.,:;!?()\[\]{{}}*_~]")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_FOOTNOTE = re.compile(r"\[\^[^\]\s]+\]:")
_TASK = re.compile(r"\[([ xX])\]\s")
_RIGHT_TO_LEFT_STYLES = {
    "paragraph_open": "text-align:right",
    "heading_open": "text-align:right",
    "bullet_list_open": "padding-left:0;padding-right:2em",
    "ordered_list_open": "padding-left:0;padding-right:2em",
}
_CLOSED_UP = "margin-bottom:0.5em"
_DIRECTED = ("paragraph_open", "heading_open")
_Env = MutableMapping[str, Any]


def is_short(text: str) -> bool:
    """Return whether ``text`` can be parsed in a reasonable time."""
    return len(text) <= MAX_PARSED_CHARS and text.count("[") <= MAX_BRACKETS


def is_deep(tokens: Iterable[Token]) -> bool:
    """Return whether something nests so deeply that it is drawn as plain text."""
    return any(token.level >= MAX_DEPTH for token in tokens)


def tokens_html(tokens: Sequence[Token], env: _Env, *, formulas: bool = True) -> str:
    """Return parsed Markdown as HTML that still has to be sanitized.

    Args:
        tokens: What the parser made of a text.
        env: The parser's own memory of the text.
        formulas: Whether formulas are set, or stand as they were typed.
    """
    parser = _parser()
    env["formulas"] = formulas
    _close_up(tokens)
    return str(parser.renderer.render(tokens, parser.options, env))


def code_answer_html(text: str) -> str:
    """Return the code of an answer: its fenced blocks, or all of it."""
    if not is_short(text):
        return text_html(text)
    blocks = code_blocks(visible(text))
    return drawing("".join(code_html(code, language) for language, code in blocks))


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Return (language, code) of every fenced block of ``text``; the whole text where none is."""
    fences = [token for token in parse(text, {}) if token.type == "fence"]
    if not fences:
        return [("", text)]
    return [((token.info.split() or [""])[0], token.content) for token in fences]


def parse(source: str, env: _Env) -> list[Token]:
    """Return the tokens of ``source``, in which control characters are visible already."""
    return _parser(formulas="$" in source or "\\" in source).parse(source, env)


@cache
def _parser(*, formulas: bool = True) -> MarkdownIt:
    parser = MarkdownIt(
        "commonmark", {"html": False, "maxNesting": MAX_DEPTH + 20}, renderer_cls=_Renderer
    )
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    # Whether a link's target is fit to be one is decided here and again by the sanitizer.
    parser.validateLink = _may_be_target  # type: ignore[method-assign]
    if formulas:  # most texts have none, and the rules are asked at each mark
        add_rules(parser)
    parser.inline.ruler.before("autolink", "line_break", _line_break)
    parser.block.ruler.before("reference", "footnote", _footnote, {"alt": ["paragraph"]})
    parser.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    parser.core.ruler.push("tasks", _tick)
    parser.core.ruler.push("links", _link)
    parser.core.ruler.push("directions", _direct)
    return parser


def _may_be_target(url: str) -> bool:
    """Return whether ``url`` is a link, or a place in the answer, of which the text is drawn."""
    scheme, colon, _ = url.strip().partition(":")
    return url.startswith("#") or (bool(colon) and scheme.lower() in LINK_SCHEMES)


def _line_break(state: StateInline, silent: bool) -> bool:
    found = _BREAK.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


def _footnote(state: StateBlock, first: int, _last: int, silent: bool) -> bool:
    """``[^1]: ...`` is a text, not the target of a link."""
    start = state.bMarks[first] + state.tShift[first]
    if state.is_code_block(first) or not _FOOTNOTE.match(state.src, start):
        return False
    if not silent:
        last, state.lineMax = state.lineMax, first + 1
        paragraph(state, first, first + 1, silent)
        state.lineMax = last
    return True


def _table(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """A table, or the text it was where it has too many columns."""
    start = len(state.tokens)
    if not table(state, first, last, silent):
        return False
    if sum(token.type == "th_open" for token in state.tokens[start:]) > MAX_COLUMNS:
        del state.tokens[start:]
        token = state.push("fence", "code", 0)
        token.content = state.getLines(first, state.line, state.blkIndent, False)
        token.map = [first, state.line]
    return True


def _tick(state: StateCore) -> None:
    """Draw ``[ ]`` and ``[x]`` at the beginning of a list's item as a box."""
    tokens = state.tokens
    for item, block, inline in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (item.type, block.type) != ("list_item_open", "paragraph_open"):
            continue
        first = inline.children[0] if inline.children else None
        found = _TASK.match(first.content) if first and first.type == "text" else None
        if first and found:
            box = "\u2610" if found[1] == " " else "\u2611"
            first.content = f"{box} {first.content[found.end() :]}"


def _link(state: StateCore) -> None:
    """Make links of bare addresses, and of images: one that loads tells its server who reads."""
    for block in state.tokens:
        if block.type == "inline" and any(
            sign in block.content for sign in ("://", "![", "](#", "]: #", "][")
        ):
            block.children = list(_linked(block.children or []))


def _linked(tokens: Iterable[Token]) -> Iterator[Token]:
    targets: list[str] = []
    for token in tokens:
        if token.type == "link_open":
            targets.append(str(token.attrs["href"]))
        if token.type == "image":
            url = str(token.attrs["src"])
            yield from _anchor("" if targets else url, f"[image: {token.content or url}]")
        elif token.type == "text" and not targets:
            yield from _with_bare_urls(token.content)
        elif not token.type.startswith("link_") or not targets[-1].startswith("#"):
            yield token
        if token.type == "link_close":
            targets.pop()


def _with_bare_urls(text: str) -> Iterator[Token]:
    end = 0
    for match in _BARE_URL.finditer(text):
        yield from _anchor("", text[end : match.start()])
        url, end = match.group(), match.end()
        if url.count("(") > url.count(")") and text.startswith(")", end):
            url, end = f"{url})", end + 1
        yield from _anchor(url, url)
    yield from _anchor("", text[end:])


def _anchor(url: str, text: str) -> list[Token]:
    """Return ``text`` as a link to ``url``, or as it is where there is no address."""
    inside = Token("text", "", 0, content=text)
    if not url or url.startswith("#"):
        return [inside]
    return [Token("link_open", "a", 1, attrs={"href": url}), inside, Token("link_close", "a", -1)]


def _direct(state: StateCore) -> None:
    """Let every block follow the direction of its own script, against the theme's alignment."""
    right_to_left = False  # of the first text inside
    for token in reversed(state.tokens):
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


def _close_up(tokens: Sequence[Token]) -> None:
    """Let a last paragraph keep no more distance than a front end gives to an output."""
    last = [token for token in tokens[-3:] if token.type == "paragraph_open" and not token.level]
    if last and tokens[-1].type == "paragraph_close":
        style = last[-1].attrs.get("style")
        last[-1].attrSet("style", f"{style};{_CLOSED_UP}" if style else _CLOSED_UP)


class _Renderer(RendererHTML):
    def fence(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        info = tokens[idx].info.split()
        return code_html(tokens[idx].content, info[0] if info else "")

    def code_block(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        return self.fence(tokens, idx)

    def code_inline(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        return f'<code dir="ltr">{escape(tokens[idx].content)}</code>'

    def formula(self, tokens: Sequence[Token], idx: int, _: object, env: _Env) -> str:
        display = tokens[idx].type == "formula_block"
        tag, typed = ("div" if display else "span"), tokens[idx].content
        if not env["formulas"]:
            return f'<{tag} dir="ltr">{escape(typed)}</{tag}>'
        env["formulas_left"] = env.get("formulas_left", MAX_FORMULAS) - 1
        formula = harmless(typed) if env["formulas_left"] >= 0 else None
        if formula is None:
            return code_html(typed) if display else f'<code dir="ltr">{escape(typed)}</code>'
        if drawn := mathml(formula):
            return f'<{tag} dir="ltr">{drawn}</{tag}>'
        return f'<{tag} class="{READ_MATH}" dir="ltr">{escape(formula)}</{tag}>'

    formula_block = formula

    def table_open(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        first, last = tokens[idx].map or (0, 0)
        style = f"overflow-x:auto;{SCROLLS}" if last - first > MAX_OPEN_ROWS else "overflow-x:auto"
        return (
            f'<div style="{style}" tabindex="0" role="group" aria-label="table">'
            '<table dir="auto" style="margin:0 0 1em;overflow-wrap:break-word">\n'
        )

    def table_close(self, *_: object) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        token = tokens[idx]
        style = token.attrs.get("style", "text-align:start")
        scope = ' scope="col"' if token.tag == "th" else ""
        return f'<{token.tag}{scope} dir="auto" style="{escape(str(style))}">'

    td_open = th_open
