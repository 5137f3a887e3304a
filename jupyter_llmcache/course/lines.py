"""Entries as sorted JSON lines, for a person to review and for git to compare.

The first line says what the file is. Every other line is one entry: what was asked and what was
answered stand there as JSON, not as text in JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from .. import answer as entry
from ..errors import DamagedEntryError, LLMCacheError, StoreError
from ..stores.base import Record, Store
from .newfile import new_file

FORMAT = 1
HEADER = {"jupyter_llmcache": "course", "format": FORMAT}

_FIELDS = ("key", "title", "created_at", "provider_s", "request", "prompt", "answer")
#: A longer line is no entry: it holds an answer, a prompt and a request, escaped at worst.
_MAX_LINE_BYTES = 4 * entry.MAX_ANSWER_BYTES


def export_lines(
    store: Store,
    path: str | os.PathLike[str],
    keys: Collection[bytes] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Write entries to a new file of JSON lines and return how many.

    Args:
        store: Where the entries are.
        path: The file; an old one is replaced when the new one is complete.
        keys: Which entries; None: all.
        on_progress: Called with the number of entries written so far.

    Raises:
        StoreError: The file cannot be written, or an entry is damaged.
    """
    count = 0
    with new_file(path, store) as new, new.open("wb") as file:
        file.write(_line(HEADER))
        for record in store.records(keys):
            file.write(_line(_readable(record)))
            count += 1
            if on_progress:
                on_progress(count)
    return count


def read_lines(path: Path) -> Iterator[tuple[str, Record]]:
    """Yield each entry of a file of JSON lines, with the place where it stands.

    Raises:
        LLMCacheError: A line is no entry; the message names its number.
        StoreError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), 1):
                place = f"line {number}"
                data = _parsed(line, place)
                if number == 1:
                    _check_header(data)
                else:
                    yield place, _record(data, place)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def refused(place: str, why: str) -> LLMCacheError:
    """Return the error for a file that is refused because of one entry."""
    return LLMCacheError(f"nothing was imported: {place}: {why}", "Mend it, or export it again")


def plain_title(record: Record) -> str:
    """Return the title as files keep it: half surrogate pairs, which no UTF-8 holds, as ``?``."""
    return record.title.encode("utf-8", "replace").decode()


# --- one line ---


def _line(data: Any) -> bytes:
    try:
        text = json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        text = json.dumps(data).encode()
    return text + b"\n"


def _readable(record: Record) -> dict[str, Any]:
    return {
        "key": record.key.hex(),
        "title": plain_title(record),
        "created_at": record.created_at,
        "provider_s": record.provider_s,
        "request": _opened(record.request),
        "prompt": _opened(record.prompt),
        "answer": _opened(record.answer.decode()),
    }


def _opened(text: str) -> Any:
    """Return the JSON in ``text`` where the very same text can be made of it, else the text."""
    try:
        data = json.loads(text)
    except ValueError:
        return text
    return data if isinstance(data, dict | list) and _closed(data) == text else text


def _closed(data: Any) -> Any:
    """Undo ``_opened``."""
    if not isinstance(data, dict | list):
        return data
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _parsed(line: bytes, place: str) -> Any:
    try:
        if not line.endswith(b"\n"):
            raise refused(place, "it is cut")
        return json.loads(line.removeprefix(b"\xef\xbb\xbf").decode())
    except (ValueError, RecursionError) as error:
        raise refused(place, "it is no JSON") from error


def _check_header(data: Any) -> None:
    if not isinstance(data, dict) or data.get("jupyter_llmcache") != "course":
        raise refused("line 1", "it does not say that this is a course file")
    if data.get("format") != FORMAT:
        raise LLMCacheError(
            f"nothing was imported: its format is {data.get('format')!r}, "
            f"this release reads {FORMAT}",
            "Upgrade jupyter_llmcache",
        )


def _record(data: Any, place: str) -> Record:
    if not isinstance(data, dict) or set(data) != set(_FIELDS):
        raise refused(place, f"it has not the fields {', '.join(_FIELDS)}")
    try:
        return Record(
            key=bytes.fromhex(data["key"]),
            request=_closed(data["request"]),
            prompt=_closed(data["prompt"]),
            title=data["title"],
            answer=_closed(data["answer"]).encode(),
            created_at=data["created_at"],
            provider_s=data["provider_s"],
        )
    except (ValueError, TypeError, AttributeError, RecursionError, DamagedEntryError) as error:
        raise refused(place, "a field is of another kind") from error
