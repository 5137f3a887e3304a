"""In what pieces a stream brought its answer, as data beside it: a hit comes in the same pieces.

A piece is how many characters of the answer's text it brings; where what else it says is not what
the piece before said, it is these two: ``[characters, fields]``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.outputs import Generation

from . import FIELD_CHECKS, NotStorableError, load, plain


class Piece(NamedTuple):
    """One chunk of a stream: its text or blocks, what else its message has, and its info."""

    content: Any
    fields: Mapping[str, Any]
    info: dict[str, Any] | None


def _is_call_piece(call: Any) -> bool:
    texts = all(isinstance(call.get(name), str | None) for name in ("name", "args", "id"))
    return texts and type(call.get("index")) in (int, str, type(None))


#: What is kept of a piece beside its text, each with the check of its type.
_CHECKS: dict[str, Callable[[Any], bool]] = {
    **{name: FIELD_CHECKS[name] for name in ("content", "additional_kwargs", "response_metadata")},
    "usage_metadata": FIELD_CHECKS["usage_metadata"],
    "tool_call_chunks": lambda calls: isinstance(calls, list) and all(map(_is_call_piece, calls)),
    "chunk_position": lambda position: position == "last",
    "info": lambda info: isinstance(info, dict),
}
#: What follows from the others, or from the whole answer.
_FOLLOWS = frozenset({"type", "id", "tool_calls", "invalid_tool_calls"})


def pack(pieces: Sequence[Piece], whole: Generation) -> list[Any] | None:
    """Return the pieces as plain data; None where ``whole`` would not come of them again."""
    text = _text_of(whole)
    packed: list[Any] = []
    said: Mapping[str, Any] | None = None
    count = 0
    try:
        for piece in pieces:
            given = {name: value for name, value in piece.fields.items() if value}
            if piece.info:
                given["info"] = piece.info
            in_text = isinstance(piece.content, str) and text is not None
            if not in_text:
                given["content"] = piece.content
            if not given.keys() - _FOLLOWS <= _CHECKS.keys():
                return None
            fields = {name: plain(given[name], name) for name in _CHECKS if name in given}
            size = len(piece.content) if in_text else 0
            count += size
            packed.append(size if fields == said else [size, fields])
            said = fields
    except NotStorableError:
        return None
    return packed if len(packed) > 1 and count == len(text or "") else None


def pieces_of(answer: bytes, whole: Generation) -> Iterator[Piece] | None:
    """Return in what pieces ``whole``, the answer in ``answer``, came; None: it was in one.

    Pieces that do not make the answer are taken for none.
    """
    packed = load(answer).get("pieces")
    text = _text_of(whole) or ""
    if not isinstance(packed, list) or not packed:
        return None
    try:
        sizes = packed[:]
        said = [(place, each) for place, each in enumerate(packed) if type(each) is list]
        for place, (size, _) in said:
            sizes[place] = size
        are_right = all(_CHECKS[n](value) for _, (_, told) in said for n, value in told.items())
        are_sizes = {int} == set(map(type, sizes)) and min(sizes) >= 0
        if are_right and are_sizes and sum(sizes) == len(text):
            return _unpacked(packed, sizes, text)
    except (AttributeError, LookupError, TypeError, ValueError):
        pass
    return None


def _unpacked(packed: list[Any], sizes: list[int], text: str) -> Iterator[Piece]:
    said: Mapping[str, Any] = {}
    at = 0
    for each, size in zip(packed, sizes, strict=True):
        said = each[1] if isinstance(each, list) else said
        fields = {name: copy.copy(value) for name, value in said.items()}
        info = fields.pop("info", None)
        yield Piece(fields.pop("content", text[at : at + size]), fields, info)
        at += size


def _text_of(whole: Generation) -> str | None:
    """Return the text that pieces add up to; None where they add up to blocks."""
    content = getattr(whole, "message", whole)
    content = getattr(content, "content", whole.text)
    return content if isinstance(content, str) else None
