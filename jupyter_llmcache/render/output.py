"""Where a drawing goes: to a notebook's front end, or to a terminal as text."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .annotation import annotation_text
from .terminal import visible

if TYPE_CHECKING:
    from .values import Answer

Bundle = dict[str, str]


def draws_html() -> bool:
    """Return whether the shell has a front end that draws HTML; a terminal only prints text."""
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.getipython import get_ipython

    shell = get_ipython()  # type: ignore[no-untyped-call,unused-ignore]
    return shell is not None and type(shell.display_pub) is not DisplayPublisher


def publish(bundle: Bundle) -> None:
    """Send one output to the front end."""
    from IPython.display import display

    display(bundle, raw=True)  # type: ignore[no-untyped-call,unused-ignore]


def answer_bundle(answer: Answer) -> Bundle:
    """Return the answer's drawing: the same bytes fresh and cached."""
    text = visible(answer.text)
    return {"text/html": f'<pre dir="auto">{escape(text)}</pre>', "text/plain": text}


def annotation_bundle(answer: Answer) -> Bundle:
    """Return the drawing of the line under the answer."""
    line = annotation_text(answer)
    return {"text/html": f"<div>{escape(line)}</div>", "text/plain": line}


def show_answer(answer: Answer) -> None:
    """Draw the answer and its annotation as two outputs.

    Raises:
        NotImplementedError: The shell only prints; IPython then asks for the text.
    """
    if not draws_html():
        raise NotImplementedError
    publish(answer_bundle(answer))
    publish(annotation_bundle(answer))


def terminal_text(answer: Answer) -> str:
    """Return the answer and its annotation for a terminal."""
    return f"{visible(answer.text)}\n\n{annotation_text(answer)}"
