"""HTML of a text that grows, at the cost of what is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..text import settled, visible
from .markdown import is_short, parse, text_html, tokens_html, wrap
from .sanitize import sanitize

if TYPE_CHECKING:
    from markdown_it.token import Token


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
