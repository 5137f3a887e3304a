"""Formulas in Markdown: found by us, handed to the front end's MathJax as typed, or shown as text.

An answer is drawn inside a class that MathJax skips; only what these rules take for a formula is
opened to it. So ``$5 and $7`` stays currency, and a macro that could act never reaches MathJax.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

#: Longer ones are text, in characters.
MAX_FORMULA_CHARS = 4_000
_MAX_BRACES = 60

_ENVIRONMENTS = (
    "align|alignat|aligned|alignedat|array|Bmatrix|bmatrix|cases|CD|dcases|eqnarray|equation|"
    "flalign|gather|gathered|matrix|multline|pmatrix|rcases|smallmatrix|split|subarray|Vmatrix|"
    "vmatrix"
)
_BEGIN = re.compile(rf"\\begin\{{((?:{_ENVIRONMENTS})\*?)\}}")
#: An opening $ has no space after it; a closing one no space before and no digit after it.
_DOLLAR = re.compile(r"\$(?=[^\s$])(?:[^\\$]|\\.){0,1000}?(?<!\s)\$(?!\d)", re.DOTALL)
_LABEL = re.compile(r"\\label\s*\{[^{}]*\}")
_TAG = re.compile(r"\\tag\s*\*?\s*\{([^{}]*)\}")

# Macros that link, style, name, show on hover, fetch, load or define ...
_ACTING = (
    r"href|url|style|class|cssId|data|html\w*|texttip|mathtip|tooltip|(?:math)?toggle|action\w*|"
    r"mmlToken|unicode|bbox|enclose|f?colorbox|(?:eq)?ref|label|tag|includegraphics|input|require|"
    r"[gex]?def|let|csname|(?:re)?new\w+|provide\w+|Declare\w+|Newextarrow|sandbox|begingroup"
)
# ... and those that paint outside their place, over what others say.
_STRAYING = (
    r"[Rr]ule|Space|[hvm]skip|[mv]space|m?kern|raise(?:box)?|lower|move(?:left|right)|smash|"
    r"(?:math)?[lrc]lap"
)
_LENGTH = r"\s*\d{1,2}(?:\.\d+)?\s*(?:em|ex|cm|mm|pt)\s*"
_UNWANTED = re.compile(
    rf"\\(?:{_ACTING}|{_STRAYING})(?![a-zA-Z])"
    rf"|\\begin(?!\s*\{{(?:{_ENVIRONMENTS})\*?\}})"
    r"|\\(?:text)?color(?!\s*(?:\[\w+\]\s*)?\{[\w#,. ]*\})(?![a-zA-Z])"
    rf"|\\hspace(?!\*?\{{{_LENGTH}\}})"
    rf"|\\\\\*?\s*\[(?!{_LENGTH}\])"
)


def harmless(formula: str) -> str | None:
    """Return ``formula`` fit for MathJax, labels dropped; None where it has to be shown as text."""
    cleaned = _TAG.sub(r"\\qquad(\1)", _LABEL.sub("", formula))
    if _UNWANTED.search(cleaned) or cleaned.count("{") > _MAX_BRACES * 10:
        return None
    return cleaned if _depth(cleaned) <= _MAX_BRACES else None


def add_rules(markdown: MarkdownIt) -> None:
    """Teach ``markdown`` formulas: tokens ``formula`` and ``formula_block`` with the source."""
    markdown.inline.ruler.before("escape", "formula", _inline_rule)
    markdown.block.ruler.before(
        "fence", "formula_block", _block_rule, {"alt": ["paragraph", "reference", "blockquote"]}
    )


def _depth(formula: str) -> int:
    depth = deepest = 0
    for character in formula:
        if character in "{}":
            depth += 1 if character == "{" else -1
            deepest = max(deepest, depth)
    return deepest


def _inline_rule(state: StateInline, silent: bool) -> bool:
    end = _formula_end(state.src, state.pos)
    if end is None or end > state.posMax:
        return False
    if not silent:
        token = state.push("formula", "span", 0)
        token.content = state.src[state.pos : end]
    state.pos = end
    return True


def _formula_end(text: str, start: int) -> int | None:
    """Return where the formula that begins at ``start`` ends; None where none begins there."""
    opener = _opener(text, start)
    if opener == "$":
        match = _DOLLAR.match(text, start)
        return match.end() if match else None
    if not opener:
        return None
    closer = _closer(opener)
    inside = start + len(opener)
    found = text.find(closer, inside, inside + MAX_FORMULA_CHARS)
    if found < 0 or not text[inside:found].strip():
        return None
    return found + len(closer)


def _opener(text: str, start: int) -> str:
    for opener in ("$$", "$", "\\(", "\\["):
        if text.startswith(opener, start):
            return opener
    begin = _BEGIN.match(text, start)
    return begin.group() if begin else ""


def _closer(opener: str) -> str:
    pairs = {"$$": "$$", "\\(": "\\)", "\\[": "\\]"}
    return pairs.get(opener) or opener.replace("begin", "end")


def _block_rule(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """A formula that begins a line, ends one, and may hold anything between, blank lines too."""
    if state.is_code_block(first):
        return False
    start = state.bMarks[first] + state.tShift[first]
    opener = _opener(state.src, start)
    if opener in ("", "$", "\\("):
        return False
    line = _closing_line(state, first, last, opener)
    if line is None:
        return False
    if silent:
        return True
    token = state.push("formula_block", "div", 0)
    token.content = state.getLines(first, line + 1, state.blkIndent, False).strip()
    token.map = [first, line + 1]
    state.line = line + 1
    return True


def _closing_line(state: StateBlock, first: int, last: int, opener: str) -> int | None:
    closer = _closer(opener)
    inside = state.bMarks[first] + state.tShift[first] + len(opener)
    limit = min(inside + MAX_FORMULA_CHARS, state.eMarks[last - 1])
    closes = state.src.find(closer, inside, limit)
    if closes < 0 or not state.src[inside:closes].strip():
        return None
    line = first
    while state.eMarks[line] < closes:
        line += 1
        if not state.isEmpty(line) and state.sCount[line] < state.blkIndent:
            return None
    stands_last = not state.src[closes + len(closer) : state.eMarks[line]].strip()
    return line if stands_last else None
