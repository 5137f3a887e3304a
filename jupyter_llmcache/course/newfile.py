"""Putting a finished file in the place of an old one, all or nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError
from ..stores import SQLiteStore
from ..stores.base import Store
from ..stores.sqlite_paths import resolve, side_file


@contextmanager
def new_file(location: str | os.PathLike[str], source: Store) -> Iterator[Path]:
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
    if isinstance(source, SQLiteStore) and path == Path(os.path.realpath(source.path)):
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
    except OSError as error:
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


def _cannot_write(location: str | os.PathLike[str], error: OSError) -> StoreError:
    why = error.strerror or str(error)
    return StoreError(
        f"{os.fspath(location)} cannot be written: {why}", "Choose a file that can be written"
    )
