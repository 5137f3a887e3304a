"""Answers and values on a page, safe: here an answer's text, its formats, and where a drawing goes.

A long answer is more than one output: a front end draws each by itself, so that none blocks the
page, and an answer that grows need not be drawn again from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape
from itertools import pairwise
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


def answer_bundles(text: str, drawn_as: Format, *, formulas: bool = True) -> list[Bundle]:
    """Return an answer's outputs: the same bytes fresh and cached, streamed and not.

    ``formulas``: whether they are set, or stand as they were typed.
    """
    if not text.strip():
        return [{"text/html": f"<div><em>{EMPTY}</em></div>", "text/plain": EMPTY}]
    if drawn_as == "markdown":
        return GrowingAnswer(formulas=formulas).bundles(text, ended=True)
    return [{"text/html": FORMATS[drawn_as](text), "text/plain": cut(visible(text))}]


def answer_html(text: str, drawn_as: Format, *, formulas: bool = True) -> str:
    """Return an answer as one piece of safe HTML, for a place inside a larger drawing."""
    drawn = answer_bundles(text, drawn_as, formulas=formulas)
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
            self._done, self._done_source, self._env = [], "", {}
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


def _parts(tokens: Sequence[Token], lines: Sequence[str]) -> Iterator[tuple[list[Token], str]]:
    """Yield the tokens of every output, and their text."""
    starts = list(_starts(tokens))
    ends = [*(start for start, *_ in starts[1:]), len(tokens)]
    begin = first_line = formulas = chars = 0
    head: list[Token] = []
    for (start, block, within), end in zip(starts, ends, strict=False):
        first, last = block.map or (0, 0)
        more = _formulas(tokens[start:end])
        if start > begin and (chars >= PART_CHARS or formulas + more > PART_FORMULAS):
            yield [*head, *tokens[begin:start], *within[1:]], "".join(lines[first_line:first])
            begin, first_line, formulas = start, first, 0
            goes_on = {"start": block.info} if block.info else {}
            head = [each.copy(attrs={**each.attrs, **goes_on}) for each in within[:1]]
        formulas += more
        chars = sum(map(len, lines[first_line:last]))
    yield [*head, *tokens[begin:]], "".join(lines[first_line:])


def _starts(tokens: Sequence[Token]) -> Iterator[tuple[int, Token, Sequence[Token]]]:
    """Yield where an output may begin, which block that is, and the ends of the list around it.

    It is a block of the text itself, or an item of a list that is too long for one output.
    """
    begins = [i for i, t in enumerate(tokens) if not t.level and t.nesting >= 0 and t.map]
    for begin, end in zip(begins, [*begins[1:], len(tokens)], strict=False):
        blocks = tokens[begin:end]
        is_long = blocks[0].type.endswith("_list_open") and _formulas(blocks) > PART_FORMULAS
        inside = enumerate(blocks if is_long else (), begin)
        items = [(i, t) for i, t in inside if t.type == "list_item_open" and t.level == 1]
        yield begin, items[0][1] if items else blocks[0], ()
        yield from ((start, item, (blocks[0], blocks[-1])) for start, item in items[1:])


def _formulas(tokens: Sequence[Token]) -> int:
    inner = (child for token in tokens for child in (token, *(token.children or ())))
    return sum(token.type in ("formula", "formula_block") for token in inner)


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
