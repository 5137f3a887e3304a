"""An answer's text as HTML and as plain text, and where a drawing goes."""

from __future__ import annotations

from typing import Literal

from ..text import cut, visible

Format = Literal["markdown", "text", "json", "code"]
#: One output, by media type.
Bundle = dict[str, str]


def answer_bundle(text: str, drawn_as: Format) -> Bundle:
    """Return an answer's drawing: the same bytes fresh and cached, streamed and not."""
    return {"text/html": answer_html(text, drawn_as), "text/plain": cut(visible(text))}


def answer_html(text: str, drawn_as: Format) -> str:
    """Return ``text`` as safe HTML."""
    if drawn_as == "json":
        from .json_tree import json_html

        return json_html(text)
    from .markdown import code_answer_html, markdown_html, text_html

    draw = {"markdown": markdown_html, "code": code_answer_html}.get(drawn_as, text_html)
    return draw(text)


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
