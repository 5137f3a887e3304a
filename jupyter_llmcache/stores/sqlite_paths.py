"""Where a cache file is, what its first bytes and its neighbours tell, and how SQLite is told."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from ..errors import StoreError

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_WAL_VERSION = 2

Access = Literal["ro", "rw"]


@dataclass(frozen=True, slots=True)
class Header:
    """What the first bytes of a SQLite file say.

    Attributes:
        application_id: Whose file it is; 0 when nobody said.
        is_wal: Whether it is written through a ``-wal`` file.
    """

    application_id: int
    is_wal: bool


def resolve(location: str) -> Path:
    """Return ``location`` as an absolute path, taken literally but for a leading ``~``.

    Raises:
        StoreError: It is empty or holds a NUL.
    """
    if not location:
        raise StoreError("the path of the cache file is empty", "Give a path, as in course.db")
    if "\x00" in location:
        raise StoreError(f"{location!r} is no path: it holds a NUL", "Give a path, as in course.db")
    return Path(os.path.abspath(os.path.expanduser(location)))  # noqa: PTH100, PTH111  # Path raises for ~nobody


def uri(path: Path, access: Access, *, immutable: bool = False) -> str:
    """Return the URI by which SQLite opens exactly ``path``, whatever characters it holds."""
    text = path.as_posix()
    if not text.startswith("/"):
        text = "/" + text  # a Windows drive
    return f"file://{quote(os.fsencode(text))}?mode={access}" + (
        "&immutable=1" if immutable else ""
    )


def side_file(path: Path, suffix: Literal["-wal", "-shm"]) -> Path:
    """Return the path of SQLite's file beside ``path``; SQLite follows links first."""
    return Path(os.path.realpath(path) + suffix)


def move_with_side_files(path: Path, target: Path) -> None:
    """Rename a database that nobody here has open, and what SQLite left beside it."""
    real = Path(os.path.realpath(path))
    real.replace(target)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{real}{suffix}").replace(f"{target}{suffix}")


def size_of(path: Path) -> int:
    """Return the size of ``path`` in bytes; 0 when it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def read_header(path: Path, location: str) -> Header | None:
    """Return the header of ``path``; None when the file is empty.

    Raises:
        StoreError: It is a folder, a device, no SQLite database.
        OSError: It is missing or may not be read.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no ordinary file"
        raise StoreError(f"{location} is {kind}", "Give the path of a file, as in course.db")
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    if not start:
        return None
    if len(start) < _HEADER_BYTES or not start.startswith(_MAGIC):
        raise StoreError(f"{location} is no SQLite database", "Choose another file")
    return Header(int.from_bytes(start[68:72], "big"), start[18] == _WAL_VERSION)
