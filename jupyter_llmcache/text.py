"""Text that can be shown anywhere: control, escape and bidi characters become visible."""

from __future__ import annotations

import re
from typing import Any

# C0 but tab and newline, DEL and C1, line separators, bidi embeddings, overrides and isolates,
# interlinear marks, lone surrogates, tags (text that nobody sees). Marks that scripts and emoji
# need, joiners and U+200E, U+200F, stay.
_STEERING = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f"
)
#: The flags of England, Scotland and Wales are a black flag and tags.
_FLAG = "\U0001f3f4[\U000e0061-\U000e007a]{3,6}\U000e007f"
_CONTROL = re.compile(f"{_FLAG}|[{_STEERING}]")
_UNSETTLED = re.compile("(?:\r|\U0001f3f4[\U000e0061-\U000e007a]{0,6})\\Z")
#: Beyond this an answer is cut where it is drawn, in characters; ``answer.text`` has it all.
MAX_DRAWN_CHARS = 1_000_000
_WHITE_SPACE = re.compile(r"\s+")
#: Control pictures: U+2400 shows U+0000, and so on up to U+001F.
_PICTURES = 0x2400
_DELETE, _DELETE_PICTURE = "\x7f", "\u2421"


class Printed:
    """A value that prints as ``str`` of it where there is no HTML.

    A dataclass of this kind is made with ``repr=False``: IPython would take a ``__repr__`` of the
    class before what it inherits.
    """

    def __repr__(self) -> str:
        return str(self)

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))


def visible(text: str) -> str:
    r"""Return ``text`` with every character that steers a terminal or hides text made visible.

    Tabs and line ends stay; ``\r\n`` becomes ``\n``. C0 characters become control pictures
    (``␛``), all others their code point (``⟨U+202E⟩``).
    """
    return _CONTROL.sub(_show, text.replace("\r\n", "\n"))


def settled(text: str) -> str:
    """Return the beginning of a growing ``text`` whose ``visible`` form no later part changes."""
    return _UNSETTLED.sub("", text)


def cut(text: str) -> str:
    """Return ``text``, without its end where it is too long to be drawn."""
    if len(text) <= MAX_DRAWN_CHARS:
        return text
    rest = len(text) - MAX_DRAWN_CHARS
    return f"{text[:MAX_DRAWN_CHARS]}\n… {rest:,} more characters: see answer.text"


def one_line(text: object, limit: int = 120) -> str:
    """Return ``text`` made visible, on one line, cut in the middle after ``limit`` characters."""
    line = _WHITE_SPACE.sub(" ", visible(str(text))).strip()
    if len(line) <= limit:
        return line
    head = (limit - 1) * 2 // 3
    return f"{line[:head]}…{line[head + 1 - limit :]}"


def _show(match: re.Match[str]) -> str:
    character = match.group()
    if len(character) > 1:
        return character
    if character < " ":
        return chr(_PICTURES + ord(character))
    if character == _DELETE:
        return _DELETE_PICTURE
    return f"⟨U+{ord(character):04X}⟩"
