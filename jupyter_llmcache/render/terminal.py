"""Text that can be shown anywhere: control, escape and bidi characters become visible."""

from __future__ import annotations

import re

_ESCAPED = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff"
_CONTROL = re.compile(f"[{_ESCAPED}\U000e0000-\U000e007f]")
_WHITE_SPACE = re.compile(r"\s+")
#: Control pictures: U+2400 shows U+0000, and so on up to U+001F.
_PICTURES = 0x2400
_DELETE, _DELETE_PICTURE = "\x7f", "\u2421"


def visible(text: str) -> str:
    """Return ``text`` with every character that steers a terminal or hides text made visible.

    Tabs and line ends stay; ``\\r\\n`` becomes ``\\n``. C0 characters become control pictures
    (``␛``), all others their code point (``⟨U+202E⟩``).
    """
    return _CONTROL.sub(_show, text.replace("\r\n", "\n"))


def one_line(text: object, limit: int = 120) -> str:
    """Return ``text`` made visible, on one line, cut in the middle after ``limit`` characters."""
    line = _WHITE_SPACE.sub(" ", visible(str(text))).strip()
    if len(line) <= limit:
        return line
    head = (limit - 1) * 2 // 3
    return f"{line[:head]}…{line[head + 1 - limit :]}"


def _show(match: re.Match[str]) -> str:
    character = match.group()
    if character < " ":
        return chr(_PICTURES + ord(character))
    if character == _DELETE:
        return _DELETE_PICTURE
    return f"⟨U+{ord(character):04X}⟩"
