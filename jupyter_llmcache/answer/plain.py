"""JSON text and the plain data in it: lossless one way, guarded the other."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from pydantic_core import from_json

from ..errors import DamagedEntryError

#: Nothing larger is stored or decoded.
MAX_ANSWER_BYTES = 256 * 1024 * 1024
#: How deep lists and dicts may nest in an answer: far below Python's own bound, far above what
#: models answer.
MAX_DEPTH = 100
#: The levels around an answer's fields, and marks, come on top.
_MAX_LEVELS = 2 * MAX_DEPTH

#: Marks a JSON object that stands for what JSON cannot say.
_MARK = "$llmcache"
_MARK_TEXT = f'"{_MARK}"'.encode()


class NotStorableError(Exception):
    """An answer that cannot be kept exactly as it is, and so must not be stored.

    Args:
        reason: A few words for the annotation, as in ``generation_info holds a ndarray``.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """Return ``value`` as plain JSON data that ``restored`` turns back into an equal value.

    Args:
        value: What to keep.
        where: The field it stands in.
        depth: How deep it stands in that field.

    Raises:
        NotStorableError: ``value`` holds what has no such form.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        number = float(value)
        return number if math.isfinite(number) else {_MARK: "float", "value": repr(number)}
    if isinstance(value, bytes):
        return {_MARK: "bytes", "value": base64.b64encode(value).decode()}
    if depth > MAX_DEPTH:
        raise NotStorableError(f"{where} nests too deep")
    if isinstance(value, list):
        return [plain(item, where, depth + 1) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        items = {str.__str__(key): plain(item, where, depth + 1) for key, item in value.items()}
        return {_MARK: "dict", "value": list(items.items())} if _MARK in items else items
    kind = "dict whose keys are no text" if isinstance(value, dict) else type(value).__name__
    raise NotStorableError(f"{where} holds a {kind}")


def restored(value: Any) -> Any:
    """Undo ``plain``.

    Raises:
        DamagedEntryError, ValueError, TypeError, KeyError: ``value`` was not made by ``plain``.
    """
    if isinstance(value, list):
        return [restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value.get(_MARK):
        case None:
            return {key: restored(item) for key, item in value.items()}
        case "float":
            return float(value["value"])
        case "bytes":
            return base64.b64decode(value["value"], validate=True)
        case "dict":
            return {str(key): restored(item) for key, item in value["value"]}
        case _:
            raise damaged("it holds a mark of no meaning")


def dump(data: Any) -> bytes:
    """Return plain data as compact UTF-8 JSON.

    Raises:
        NotStorableError: An integer is too long to be written.
    """
    try:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate pair is no UTF-8, but can be escaped
        return json.dumps(data, separators=(",", ":")).encode()
    except ValueError as error:
        raise NotStorableError("an integer too long to write down") from error


def load(text: bytes) -> Any:
    """Return the data of a JSON text in UTF-8, with what ``plain`` marked as it was.

    Raises:
        DamagedEntryError: It is no JSON, too large, nests too deep, or holds wrong marks.
    """
    if len(text) > MAX_ANSWER_BYTES:
        raise damaged("it is too large")
    try:
        data = _parse(text)
        _check_depth(data, text)
        return restored(data) if _MARK_TEXT in text else data
    except DamagedEntryError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise damaged("it is no JSON of ours") from error


def _parse(text: bytes) -> Any:
    try:
        return from_json(text)  # takes half as long
    except ValueError:  # half a surrogate pair
        return json.loads(text.decode())


def _check_depth(data: Any, text: bytes) -> None:
    """Refuse what nests so deep that copying or writing it would fail later."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return
    level, depth = [data], 0
    while level:
        depth += 1
        if depth > _MAX_LEVELS:
            raise damaged("it nests too deep")
        level = [
            item
            for parent in level
            if isinstance(parent, dict | list)
            for item in (parent.values() if isinstance(parent, dict) else parent)
        ]


def damaged(why: str) -> DamagedEntryError:
    """Return the error for an entry at fault."""
    return DamagedEntryError(
        f"an entry of the cache is damaged: {why}", "It is fetched anew when it is asked for"
    )
