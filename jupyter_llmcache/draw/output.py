"""Where a drawing goes: to a notebook's front end, or to a terminal as text."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from ..ledger import LEDGER
from ..text import cut, visible
from .line import annotation_text

if TYPE_CHECKING:
    from .answer import Answer

Bundle = dict[str, str]

#: The answer that a stream has drawn last, and the cell it stands in: the display hook, which gets
#: the same answer as the cell's value, must not draw it a second time.
_streamed: tuple[weakref.ref[Answer], int | None] | None = None


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


def answer_bundle(answer: Answer) -> Bundle:
    """Return the answer's drawing: the same bytes fresh and cached, streamed and not."""
    return {"text/html": _answer_html(answer), "text/plain": cut(visible(answer.text))}


def annotation_bundle(answer: Answer) -> Bundle:
    """Return the drawing of the line under the answer."""
    from .frame import annotation_html

    return {"text/html": annotation_html(answer), "text/plain": annotation_text(answer)}


def show_answer(answer: Answer) -> None:
    """Draw the answer and its annotation as two outputs, once.

    Raises:
        NotImplementedError: The shell only prints; IPython then asks for the text.
    """
    if not draws_html():
        raise NotImplementedError
    if not take_streamed(answer):
        publish(answer_bundle(answer))
        show_annotation(answer)


def show_annotation(answer: Answer) -> None:
    """Draw the line under the answer."""
    publish(annotation_bundle(answer))
    LEDGER.tell(answer.calls)


def terminal_text(answer: Answer) -> str:
    """Return what a terminal prints of the answer; the annotation is always the last line.

    Of an answer that was streamed the text stands there already.
    """
    LEDGER.tell(answer.calls)
    line = annotation_text(answer)
    return line if take_streamed(answer) else f"{cut(visible(answer.text))}\n\n{line}"


def note_streamed(answer: Answer) -> None:
    """Note that a stream has drawn ``answer`` in this cell."""
    global _streamed  # noqa: PLW0603  # a process has one display hook at work
    _streamed = (weakref.ref(answer), LEDGER.cell)


def take_streamed(answer: Answer) -> bool:
    """Return whether a stream has drawn ``answer`` in this cell; asked again, say no."""
    global _streamed  # a process has one display hook at work
    if _streamed is None or _streamed[0]() is not answer:
        return False
    cell, _streamed = _streamed[1], None
    return cell == LEDGER.cell


def _answer_html(answer: Answer) -> str:
    if answer.format == "json":
        from .json_tree import json_html

        return json_html(answer.text)
    from .markdown import code_answer_html, markdown_html, text_html

    draw = {"markdown": markdown_html, "code": code_answer_html}.get(answer.format, text_html)
    return draw(answer.text)
