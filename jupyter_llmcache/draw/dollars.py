r"""Which ``$``, ``\(`` and ``\[`` of a Markdown text begin a formula.

A code span, a link and a price win over ``$``. Whoever writes a formula puts no blank inside its
dollars unless it has a command, no letter or digit beside them unless it is raised or lowered, and
no sentence between them; neighbours count as ASCII letters, so that scripts without blanks have
formulas too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .tex import ENVIRONMENTS, MARKS, MAX_CHARS

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

_BEGIN = re.compile(rf"\\begin\{{((?:{'|'.join(sorted(ENVIRONMENTS))})\*?)\}}")
#: Raised or lowered beside a word or a number, as in m$^2$ and H$_2$O.
_BESIDE = re.compile(r"\$(?:[\^_](?:\{[^{}$]{1,40}\}|\\[a-zA-Z]+|[-+]?[A-Za-z0-9]|[-+*]))+\$(?!\$)")
_COMMAND = re.compile(r"\\[a-zA-Z]")
_OPENERS = re.compile(r"\$\$?(?!\$)|\\\(|\\\[")
#: What may stand before a formula and behind it, marks of emphasis apart.
_BEFORE = re.compile(r"(?:\A|[\s(\[{'\"\-/|>=,:;<\\]|[^\x00-\x7f])[*_~]*\Z")
_BEHIND = re.compile(r"[*_~]*(?:\Z|[\s.,;:!?)\]}'\"\-/|<=+>\\]|[^\x00-\x7f]|(?:th|st|nd|rd)\b)")
_NOT_BEHIND = re.compile(r"[(\[:\\*+?{]")
_ADDRESS = re.compile(r"://\S*\Z")

_SAID = re.compile(r"\\(?:text\w*|mbox|math\w+|operatorname\*?)\s*\{[^{}]*\}|\\[a-zA-Z]+")
_NAMES = re.compile(
    r"(?<![A-Za-z])(?:a?(?:sin|cos|tan)h?|log|ln|exp|max|min|sup|inf|lim|det|gcd|mod|d[a-z])"
    r"(?![A-Za-z])"
)
#: Scripts whose words stand in formulas seldom, and never behind a number.
_SCRIPTS = "\u0400-\u04ff\u0590-\u06ff\u0900-\u0dff\u3040-\u9fff\uac00-\ud7af"
_SENTENCE = re.compile(
    # Two words; or one where nothing is reckoned; or a number with a word, which is a price.
    rf"[A-Za-z]{{2,}}[,;:.]?\s+[A-Za-z]{{2,}}"
    rf"|\A(?=[^=+\-*/^_\\<>]*\Z).*?\s(?:[A-Za-z]{{2,}}|[{_SCRIPTS}])"
    rf"|\A\s*\d.*?(?:\s[A-Za-z]{{2,}}|[A-Za-z]{{3,}}|[{_SCRIPTS}])",
    re.DOTALL,
)
#: What a command leads to; as a formula it is refused whole, so that nothing of it is a link.
_LED_TO = re.compile(r"\\[a-zA-Z]+\{https?://[^{}\s]*\}")
#: No formula holds these.
_FOREIGN = re.compile(r"[`\"]|\]\(|://|\*\*|[=!]~\s")


def add_rules(markdown: MarkdownIt) -> None:
    """Teach ``markdown`` formulas: tokens ``formula`` and ``formula_block`` with the source."""
    markdown.inline.ruler.before("escape", "formula", _inline_rule)
    markdown.block.ruler.before(
        "fence", "formula_block", _block_rule, {"alt": ["paragraph", "reference", "blockquote"]}
    )


def _inline_rule(state: StateInline, silent: bool) -> bool:
    end = _formula_end(state.src, state.pos, state.posMax)
    if end is None:
        return False
    if not silent:
        state.push("formula", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _formula_end(text: str, start: int, limit: int) -> int | None:
    """Return where the formula that begins at ``start`` ends; None where none begins there."""
    if text[start] not in "$\\":
        return None
    if begin := _BEGIN.match(text, start):
        end = text.find(f"\\end{{{begin[1]}}}", start, min(limit, start + MAX_CHARS))
        return None if end < 0 else end + len(begin.group()) - 2
    opener = _OPENERS.match(text, start)
    before = text[max(0, start - 200) : start]
    if opener is None or _ADDRESS.search(before):
        return None
    if beside := _BESIDE.match(text, start, limit):
        return beside.end()
    if not _BEFORE.search(before):
        return None
    found = _closed(text, opener.group(), opener.end(), limit)
    if found is None:
        return None
    end = found + len(MARKS[opener.group()])
    behind = text[end : min(limit, end + 20)]
    if not _BEHIND.match(behind) or (opener.group()[0] == "\\" and _NOT_BEHIND.match(behind)):
        return None
    return end


def _closed(text: str, opener: str, inside: int, limit: int) -> int | None:
    """Return where the formula's closing mark begins; None where what is inside is no formula."""
    closer = MARKS[opener]
    ends = _unescaped(text, closer, inside, min(limit, inside + MAX_CHARS))
    if ends is None:
        return None
    body = text[inside:ends]
    wrong = not body.strip() or _FOREIGN.search(_LED_TO.sub("x", body)) or body[-1] in ":/"
    if wrong or (opener == "$" and _is_loose(body)) or _is_said(body, opener):
        return None
    return ends


def _is_loose(body: str) -> bool:
    """Return whether blanks set ``body`` off from its dollars; a formula has a command then."""
    blanks = body[0].isspace() + body[-1].isspace()
    return blanks == 1 or (blanks == 2 and not _COMMAND.search(body))


def _is_said(body: str, opener: str) -> bool:
    """Return whether ``body`` is a sentence, a price, or what brackets with a backslash hold."""
    if opener == r"\[" and (len(body) == 1 or body.isdigit()):
        return True
    return bool(_SENTENCE.search(_NAMES.sub("x", _SAID.sub(r" \\ ", body))))


def _unescaped(text: str, closer: str, start: int, limit: int) -> int | None:
    """Return where ``closer`` stands first; a dollar of another kind ends the search."""
    place = start
    while place < limit:
        if text.startswith(closer, place) and not text.startswith("$", place + len(closer)):
            return place
        if text[place] == "$":
            return None
        place += 2 if text[place] == "\\" else 1
    return None


def _block_rule(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """A formula that begins a line, ends one, and may hold anything between."""
    if state.is_code_block(first):
        return False
    start = state.bMarks[first] + state.tShift[first]
    line = _closing_line(state, start, first, last)
    if line is None:
        return False
    if not silent:
        token = state.push("formula_block", "", 0)
        token.content = state.getLines(first, line + 1, state.blkIndent, False).strip()
        token.map = [first, line + 1]
        state.line = line + 1
    return True


def _closing_line(state: StateBlock, start: int, first: int, last: int) -> int | None:
    text = state.src
    if not text.startswith(("$$", r"\[", r"\begin{"), start):
        return None
    end = _formula_end(text, start, state.eMarks[last - 1])
    if end is None:
        return None
    line = first
    while state.eMarks[line] < end:
        line += 1
        if not state.isEmpty(line) and state.sCount[line] < state.blkIndent:
            return None
    return None if text[end : state.eMarks[line]].strip() else line
