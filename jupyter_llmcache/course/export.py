"""Entries into one clean file, for others: a SQLite database, or sorted JSON lines.

The same entries give the same bytes, wherever and whenever (see ``stores.sqlite_copy``). JSON lines
are for a person to review and for git to compare: the first line says what the file is, every other
one is one entry, with what was asked and what was answered as JSON, not as text in JSON.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..answer import vector
from ..errors import StoreError
from ..ledger import Entry
from ..stores.base import Store
from ..stores.sqlite_copy import write_clean
from ..stores.sqlite_open import resolve, side_file
from ..text import json_or_text

FORMAT = 1
HEADER = {"jupyter_llmcache": "course", "format": FORMAT}


def export_database(
    store: Store,
    path: str | os.PathLike[str],
    keys: Collection[bytes] | None = None,
    counting: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> int:
    """Write entries to a new SQLite file and return how many.

    Args:
        store: Where the entries are.
        path: The file; an old one is replaced when the new one is complete.
        keys: Which entries; None: all.
        counting: Hands the entries on, and tells of them, as ``Progress.counting``.

    Raises:
        StoreError: The file cannot be written, is the one in use, or an entry is damaged.
    """
    with _new_file(path, store) as new:
        return write_clean(new, counting(store.payloads(keys)))


# --- as JSON lines ---


def export_lines(
    store: Store,
    path: str | os.PathLike[str],
    keys: Collection[bytes] | None = None,
    counting: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> int:
    """Write entries to a new file of JSON lines and return how many; as ``export_database``."""
    count = 0
    with _new_file(path, store) as new, new.open("wb") as file:
        file.write(_line(HEADER))
        for count, record in enumerate(counting(store.entries(keys=keys)), 1):  # noqa: B007  # it is the result
            file.write(_line(_readable(record)))
    return count


def plain_title(record: Entry) -> str:
    """Return the title as files keep it: half surrogate pairs, which no UTF-8 holds, as ``?``."""
    return record.title.encode("utf-8", "replace").decode()


def _line(data: Any) -> bytes:
    try:
        text = json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        text = json.dumps(data).encode()
    return text + b"\n"


def _readable(record: Entry) -> dict[str, Any]:
    return {
        "key": record.key.hex(),
        "title": plain_title(record),
        "created_at": record.created_at,
        "provider_s": record.provider_s,
        "kind": record.kind,
        "request": _opened(record.request),
        "prompt": _opened(record.prompt),
        "answer": _readable_answer(record),
    }


def _readable_answer(record: Entry) -> Any:
    """Return an answer as JSON, a vector as its numbers, what the web sent as base64."""
    if record.kind == "answer":
        return _opened(record.answer.decode())
    if record.kind == "embedding":
        return vector.decode(record.answer)
    return base64.b64encode(record.answer).decode()


def _opened(text: str) -> Any:
    """Return the JSON in ``text`` where the very same text can be made of it, else the text."""
    data = json_or_text(text)
    return data if isinstance(data, dict | list) and closed(data) == text else text


def closed(data: Any) -> Any:
    """Return the text that an export opened as JSON."""
    is_json = isinstance(data, dict | list)
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")) if is_json else data


# --- a finished file in the place of an old one, all or nothing ---


@contextmanager
def _new_file(location: str | os.PathLike[str], source: Store) -> Iterator[Path]:
    """Yield the path of an empty file to fill; it takes the place of ``location`` when the block
    ends well.

    Until then, and whatever kills the process, an old file stays as it is. Folders that are missing
    are made. The file gets the mode of the old one, or of any new file of the user.

    Args:
        location: Where the file shall be; taken literally but for a leading ``~``.
        source: The store that it is filled from; its own file is not replaced.

    Raises:
        StoreError: The place cannot be written, or a SQLite database there is in use.
    """
    path = Path(os.path.realpath(resolve(os.fspath(location))))
    if source.path is not None and path == Path(os.path.realpath(source.path)):
        raise StoreError(f"{os.fspath(location)} is the cache in use", "Choose another name")
    _refuse_live_database(path, location)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        os.close(number)
    except OSError as error:
        raise _cannot_write(location, error) from error
    new = Path(name)
    try:
        yield new
        _write_down(new)
        new.chmod(mode)
        _refuse_live_database(path, location)
        new.replace(path)
        _write_down(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise _cannot_write(location, error) from error
    finally:
        new.unlink(missing_ok=True)


def _refuse_live_database(path: Path, location: str | os.PathLike[str]) -> None:
    # Whoever has the old file open would go on writing its -wal, and SQLite would take that for the
    # new file's.
    if side_file(path, "-wal").exists():
        raise StoreError(
            f"{os.fspath(location)} is in use: {path.name}-wal stands beside it",
            "Turn the cache off that uses it, or choose another name",
        )


def _write_down(path: Path) -> None:
    """See to it that a file or folder outlasts a loss of power."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    number = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _cannot_write(location: str | os.PathLike[str], error: OSError | sqlite3.Error) -> StoreError:
    why = getattr(error, "strerror", None) or str(error)
    return StoreError(
        f"{os.fspath(location)} cannot be written: {why}", "Choose a file that can be written"
    )
