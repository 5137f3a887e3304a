"""Answers and values on a page, safe: here an answer's text, its formats, and where a drawing goes.

A long answer is more than one output: a front end draws each by itself, so that none blocks the
page, and an answer that grows need not be drawn again from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from ..text import cut, format_count, one_line, settled, visible
from .sanitize import drawing, text_html

if TYPE_CHECKING:
    from markdown_it.token import Token

#: What stands behind ``-f``: a name of ``FORMATS``.
Format = str
#: One output, by media type.
Bundle = dict[str, str]

#: An output ends with the block in which it reaches so many characters, and before the one with
#: which it would have more formulas.
PART_CHARS, PART_FORMULAS = 4_000, 8
#: What begins behind so many characters unfolds by a click.
FOLDED_CHARS, FOLD_LABEL_CHARS = 12_000, 50
EMPTY = "The answer is empty."
#: What an output becomes that is gone: a kernel cannot take out one alone, and no front end draws
#: one without data, where an empty element takes a line.
NOTHING: Bundle = {}


def answer_bundles(text: str, drawn_as: Format) -> list[Bundle]:
    """Return an answer's outputs: the same bytes fresh and cached, streamed and not."""
    if not text.strip():
        return [{"text/html": f"<div><em>{EMPTY}</em></div>", "text/plain": EMPTY}]
    if drawn_as == "markdown":
        return GrowingAnswer().bundles(text, ended=True)
    return [{"text/html": FORMATS[drawn_as](text), "text/plain": cut(visible(text))}]


def answer_html(text: str, drawn_as: Format, *, formulas: bool = True) -> str:
    """Return an answer as one piece of safe HTML, for a place inside a larger drawing.

    ``formulas``: whether they are set, or stand as they were typed.
    """
    if formulas or drawn_as != "markdown" or not text.strip():
        drawn = answer_bundles(text, drawn_as)
    else:
        drawn = GrowingAnswer(formulas=False).bundles(text, ended=True)
    return "".join(bundle["text/html"] for bundle in drawn)


def _json(text: str) -> str:
    from .code import json_html

    return json_html(text)


def _code(text: str) -> str:
    from .markdown import code_answer_html

    return code_answer_html(text)


#: What makes safe HTML of an answer's text, by the name behind ``-f``; Markdown grows in parts.
FORMATS: dict[str, Callable[[str], str]] = {
    "markdown": partial(answer_html, drawn_as="markdown"),
    "text": text_html,
    "json": _json,
    "code": _code,
}


class GrowingAnswer:
    """Makes the outputs of one Markdown text that grows, at the cost of what is new.

    Args:
        formulas: Whether formulas are set.
    """

    def __init__(self, *, formulas: bool = True) -> None:
        self._sets_formulas = formulas
        self._forget()

    def _forget(self) -> None:
        self._done: list[Bundle] = []
        self._done_source = ""
        self._env: dict[str, Any] = {}

    def bundles(self, text: str, *, ended: bool = False) -> list[Bundle]:
        """Return the outputs of ``text``, which begins with the text of the call before.

        Until it has ended, the last one shows formulas as they were typed. What a later line
        changes in an earlier output shows when the whole is drawn anew.
        """
        from .markdown import is_deep, is_short, parse

        source = visible(text if ended else settled(text))
        if not source.startswith(self._done_source):
            self._forget()
        rest = source[len(self._done_source) :]
        tokens = parse(rest, self._env) if is_short(text) else []
        if not is_short(text) or is_deep(tokens):
            return [{"text/html": text_html(text), "text/plain": cut(visible(text))}]
        lines = rest.splitlines(keepends=True)
        *whole, last = _parts(tokens, lines)
        for part, plain in whole:
            self._done.append(self._bundle(part, plain, formulas=True))
            self._done_source += plain
        return [*self._done, self._bundle(*last, formulas=ended)]

    def _bundle(self, tokens: Sequence[Token], plain: str, *, formulas: bool) -> Bundle:
        from .markdown import tokens_html

        html = tokens_html(tokens, self._env, formulas=formulas and self._sets_formulas)
        if formulas and len(self._done_source) >= FOLDED_CHARS:
            html = f"<details><summary>{_told(tokens, plain)}</summary>{html}</details>"
        return {"text/html": drawing(html), "text/plain": plain.rstrip("\n")}


def _told(tokens: Sequence[Token], plain: str) -> str:
    """Return the headings of a part that unfolds, or its first words, and how much it is."""
    heads = [inline for begin, inline in pairwise(tokens) if begin.type == "heading_open"]
    firsts = heads or [token for token in tokens if token.content][:1]
    texts = ("".join(part.content for part in each.children or [each]) for each in firsts)
    words = one_line(" · ".join(texts), FOLD_LABEL_CHARS)
    return escape(f"{words} … {format_count(len(plain), 'more character')}")


@dataclass
class _Block:
    """A block of the text itself, or an item of a list that is too long for one output."""

    tokens: list[Token]
    first_line: int
    last_line: int
    within: tuple[Token, Token] | None = None

    def formulas(self) -> int:
        """Return how many formulas it holds."""
        return sum(
            token.type == "formula_block"
            or sum(child.type == "formula" for child in token.children or ())
            for token in self.tokens
        )


def _parts(tokens: Sequence[Token], lines: Sequence[str]) -> Iterator[tuple[list[Token], str]]:
    """Yield the blocks of every output, and their text."""
    part: list[_Block] = []
    first_line = formulas = chars = 0
    for block in _blocks(tokens):
        more = block.formulas()
        if part and (chars >= PART_CHARS or formulas + more > PART_FORMULAS):
            yield _joined(part), "".join(lines[first_line : block.first_line])
            part, first_line, formulas = [], block.first_line, 0
        part.append(block)
        formulas += more
        chars = sum(map(len, lines[first_line : block.last_line]))
    yield _joined(part), "".join(lines[first_line:])


def _blocks(tokens: Sequence[Token], level: int = 0) -> Iterator[_Block]:
    begins = [i for i, t in enumerate(tokens) if t.level == level and t.nesting >= 0 and t.map]
    for begin, end in zip(begins, [*begins[1:], len(tokens)], strict=False):
        first, last = tokens[begin].map or (0, 0)
        block = _Block(list(tokens[begin:end]), first, last)
        is_list = level == 0 and tokens[begin].type in ("bullet_list_open", "ordered_list_open")
        if is_list and block.formulas() > PART_FORMULAS:
            for item in _blocks(block.tokens[1:-1], 1):
                item.within = (block.tokens[0], block.tokens[-1])
                yield item
        else:
            yield block


def _joined(blocks: Sequence[_Block]) -> list[Token]:
    """Return the tokens of an output; of a list that is in several each has a part."""
    joined: list[Token] = []
    for within, group in groupby(blocks, key=lambda block: block.within):
        inner = [token for block in group for token in block.tokens]
        if within:
            opening, closing = within
            attrs: dict[str, str | int | float] = dict(opening.attrs)
            if opening.tag == "ol":
                attrs["start"] = inner[0].info
            inner = [opening.copy(attrs=attrs), *inner, closing]
        joined += inner
    return joined


def draws_html() -> bool:
    """Return whether the shell has a front end that draws HTML; a terminal only prints text."""
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell is not None and type(shell.display_pub) is not DisplayPublisher


def publish(bundle: Bundle, *, display_id: str | None = None, update: bool = False) -> None:
    """Send one output to the front end, or put it in the place of the one of that id."""
    from IPython.core.getipython import get_ipython

    transient = {"display_id": display_id} if display_id else {}
    shell = get_ipython()
    if shell is not None:
        shell.display_pub.publish(bundle, metadata={}, transient=transient, update=update)
