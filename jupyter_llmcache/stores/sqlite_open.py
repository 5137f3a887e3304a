"""Where a cache file is, the two ways it is open (live or apart), and what its faults mean."""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import sqlite3
import stat
import sys
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from urllib.parse import quote

from ..errors import StoreError
from .base import BusyError

#: How long reads may go on in a file that was deleted or replaced.
CHECK_EVERY_S = 0.5
_CACHE_KIB = 16 * 1024
_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_WAL_VERSION = 2
#: File systems in /proc/self/mounts on which WAL is not safe: it needs memory shared by all users.
_NETWORK_TYPES = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.gcsfuse", "fuse.glusterfs"),
        *("fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs"),
        *("nfs", "nfs4", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs"),
    }
)
_MOUNTS = Path("/proc/self/mounts")

FileId = tuple[int, int]

# --- faults ---


class DamagedFileError(StoreError):
    """The file itself is broken."""


_REPAIR = "Run: python -m jupyter_llmcache verify --repair FILE, which saves what can be read"
_CHECK_DISK = "Check that the disk has space and is sound, or choose another folder"
_MEANINGS: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_BUSY: ("is locked by another program", "Close that program or try again"),
    sqlite3.SQLITE_LOCKED: ("is locked by another program", "Close that program or try again"),
    sqlite3.SQLITE_PERM: ("may not be opened", "Check its permissions"),
    sqlite3.SQLITE_AUTH: ("may not be opened", "Check its permissions"),
    sqlite3.SQLITE_READONLY: ("cannot be written", "Check the permissions of file and folder"),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "Free some space"),
    sqlite3.SQLITE_IOERR: ("cannot be used", _CHECK_DISK),
    sqlite3.SQLITE_PROTOCOL: ("cannot be used", _CHECK_DISK),  # a folder of the network
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check that file and folder are there"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _REPAIR),
    sqlite3.SQLITE_NOTADB: ("is damaged", _REPAIR),
}
_SYSTEM_MEANINGS: dict[int, tuple[str, str]] = {
    errno.EACCES: ("may not be used", "Check the permissions of file and folder"),
    errno.EPERM: ("may not be used", "Check the permissions of file and folder"),
    errno.EROFS: ("cannot be made on a read-only disk", "Choose another folder"),
    errno.ENOSPC: ("cannot grow: the disk is full", "Free some space"),
    errno.EDQUOT: ("cannot grow: the disk is full", "Free some space"),
    errno.EIO: ("cannot be used", _CHECK_DISK),
    errno.ENOENT: ("is not there", "Check the path, or put the file back"),
    errno.ENOTDIR: ("has a file where a folder should be", "Choose another path"),
}
_MAX_DETAIL = 160
_UNKNOWN = ("cannot be used", "")
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


#: What SQLite and the system raise at a fault of the file, or at values that no file can take.
FAULTS = (sqlite3.Error, OSError, OverflowError, UnicodeError, MemoryError)


def store_error(location: str, error: BaseException) -> StoreError:
    """Return what ``error`` means for the person, in one line."""
    if isinstance(error, OSError):
        what, remedy = _SYSTEM_MEANINGS.get(error.errno or 0, _UNKNOWN)
        detail = error.strerror or str(error)
    else:
        what, remedy = _MEANINGS.get(primary_code(error), _UNKNOWN)
        detail = str(error)
    # SQLite quotes damaged table definitions, which have lines.
    detail = " ".join(detail.split())[:_MAX_DETAIL] or type(error).__name__
    kind = BusyError if is_busy(error) else DamagedFileError if is_damage(error) else StoreError
    return kind(f"{location} {what} ({detail})", remedy.replace("FILE", location))


def primary_code(error: BaseException) -> int:
    """Return SQLite's result code of ``error``; 0 when it has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def is_busy(error: BaseException) -> bool:
    """Tell whether ``error`` says that another connection is in the way."""
    return primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_damage(error: BaseException) -> bool:
    """Tell whether ``error`` says that the file itself is broken."""
    return primary_code(error) in _DAMAGED


# --- places ---


def resolve(location: str) -> Path:
    """Return ``location`` as an absolute path, taken literally but for a leading ``~``.

    Raises:
        StoreError: It is empty or holds a NUL.
    """
    if not location or "\x00" in location:
        raise StoreError(f"{location!r} is not a path", "Give a path, as in course.db")
    return Path(os.path.abspath(os.path.expanduser(location)))  # noqa: PTH100, PTH111  # Path raises for ~nobody


def side_file(path: Path, suffix: Literal["-wal", "-shm", "-journal"]) -> Path:
    """Return the path of SQLite's file beside ``path``; SQLite follows links first."""
    return Path(os.path.realpath(path) + suffix)


def move_with_side_files(path: Path, target: Path) -> None:
    """Rename a database that nobody here has open, and what SQLite left beside it."""
    real = Path(os.path.realpath(path))
    real.replace(target)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{real}{suffix}").replace(f"{target}{suffix}")


def is_wal_file(path: Path, location: str) -> bool:
    """Return whether ``path`` is written through a ``-wal``; an empty file is not.

    Raises:
        StoreError: It, or what SQLite would read with it, is a folder, a device, or a pipe, for
            which SQLite would wait.
        OSError: It is missing or may not be read.
    """
    mode = path.stat().st_mode
    for suffix in ("-wal", "-shm", "-journal"):
        beside = side_file(path, suffix)
        if stat.S_ISREG(mode) and beside.exists() and not beside.is_file():
            mode, location = beside.stat().st_mode, f"{location}{suffix}"
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no ordinary file"
        raise StoreError(f"{location} is {kind}", "Give the path of a file, as in course.db")
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    if start and (len(start) < _HEADER_BYTES or not start.startswith(_MAGIC)):
        raise StoreError(f"{location} is not an SQLite database", "Choose another file")
    return bool(start) and start[18] == _WAL_VERSION


def network_type(path: Path) -> str | None:
    """Return the type of the network file system that holds ``path``.

    None on a local one, and on systems without /proc, where nobody tells.
    """
    try:
        table = _MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    kind = mounted_type(table, Path(os.path.realpath(path)))
    return kind if kind in _NETWORK_TYPES else None


def mounted_type(table: str, path: Path) -> str | None:
    """Return the type of the innermost mount of ``table`` (as in /proc/mounts) above ``path``."""
    best, best_length = None, 0
    for line in table.splitlines():
        _, target, kind, *_ = line.split(" ")
        for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
            target = target.replace(code, character)
        mount = target.rstrip("/") + "/"
        # A later mount on the same place hides the earlier one.
        if f"{path}/".startswith(mount) and len(mount) >= best_length:
            best, best_length = kind, len(mount)
    return best


def can_write(path: Path) -> bool:
    """Tell whether this process may write a file and beside it."""
    return os.access(path, os.W_OK) and os.access(folder_of(path), os.W_OK)


def folder_of(path: Path) -> Path:
    """Return the folder in which a file really is."""
    return Path(os.path.realpath(path)).parent


def make_private_file(path: Path) -> None:
    """Make an empty file for the user alone; SQLite gives its side files the same mode."""
    folder_of(path).mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def free_name(path: Path, word: str) -> Path:
    """Return a path beside ``path`` that nothing has yet."""
    path = Path(os.path.realpath(path))
    names = (path.with_name(f"{path.name}.{word}{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


# --- connections ---


def connect(
    path: Path,
    access: Literal["ro", "rw"],
    busy_timeout_s: float,
    *,
    immutable: bool = False,
    broken: bool = False,
) -> sqlite3.Connection:
    """Return a connection in autocommit mode, to be shared by threads behind a lock.

    It opens exactly ``path``, whatever characters that holds, and runs nothing that a file brings.
    """
    text = path.as_posix()
    text = text if text.startswith("/") else "/" + text  # a Windows drive
    address = f"file://{quote(os.fsencode(text))}?mode={access}{'&immutable=1' * immutable}"
    connection = sqlite3.connect(
        address, uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    if broken:  # without this SQLite opens no file that is shorter than it says
        connection.execute("PRAGMA writable_schema = ON")
    for setting in ("temp_store = MEMORY", "trusted_schema = OFF", "cell_size_check = ON"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
    return connection


def choose_journal(connection: sqlite3.Connection, wanted: str, patience_s: float) -> str:
    """Switch to the journal ``wanted``, write as safely as it allows, and return which it is.

    With several processes at once the switch can fail in spite of the busy timeout. A file that
    stays busy is written with its old journal, more slowly, and switched next time.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            (mode,) = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode == wanted or time.monotonic() > deadline:
            break
        time.sleep(random.uniform(0.001, 0.02))  # noqa: S311  # spreads processes
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
    return str(mode)


class LiveOpening:
    """A connection that reads and writes the file together with other programs.

    Attributes:
        good_until: When it is time to ask ``is_stale`` again, by the monotonic clock, in seconds.

    Raises:
        sqlite3.Error, OSError: The file cannot be opened.
    """

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self._path = path
        self.good_until = time.monotonic() + CHECK_EVERY_S
        self.connection = connect(path, "rw", busy_timeout_s)
        try:
            self.connection.execute("PRAGMA schema_version").fetchone()  # makes the side files
            self._file_id, _ = _look_at(path)
            self._wal_id: FileId | None = None
            self.notice_content()
        except BaseException:
            self.connection.close()
            raise

    def notice_content(self) -> None:
        """Remember that the file holds something now, and which ``-wal`` belongs to it."""
        self._had_content = _look_at(self._path)[1] > 0
        self._wal_id = _look_at(side_file(self._path, "-wal"))[0]

    def is_stale(self) -> bool:
        """Tell whether the file was deleted, replaced or emptied."""
        self.good_until = time.monotonic() + CHECK_EVERY_S
        file_id, size_bytes = _look_at(self._path)
        return file_id != self._file_id or (self._had_content and not size_bytes)

    def close(self) -> None:
        """Give the connection back; the last one folds the ``-wal`` into the file."""
        if not self.is_stale():
            self.connection.close()
            return
        # SQLite takes a -wal for that of whatever lies beside it. A file that was emptied would get
        # its old pages back; once unlinked it is let be. A successor would be read through them.
        if _look_at(self._path)[0] == self._file_id:
            self._path.unlink()
        self.connection.close()
        if self._wal_id and self._wal_id == _look_at(side_file(self._path, "-wal"))[0]:
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    side_file(self._path, suffix).unlink()


class ApartOpening:
    """A connection that changes no byte of the file or its folder.

    SQLite's own read-only mode leaves side files beside a file in WAL mode, and the mode that
    leaves none (``immutable``) does not look into the ``-wal`` of a live writer. So: ``immutable``
    while there is nothing in a ``-wal``, the ordinary mode while there is, and a private copy where
    a ``-wal`` lies beside the file without its index.

    Args:
        path: The file.
        is_wal: Whether it is written through a ``-wal``.
        busy_timeout_s: How long to wait for writers, in seconds.
        broken: Read a private copy in any case, and in it what is there of a file that was cut.

    Raises:
        sqlite3.Error, OSError: The file cannot be opened.
    """

    good_until = 0.0  # the file may change at any time

    def __init__(
        self, path: Path, busy_timeout_s: float, *, is_wal: bool, broken: bool = False
    ) -> None:
        self._path = path
        self._signature = _signature(path)
        wal = self._signature[-1]
        with ExitStack() as opened:
            if broken or (is_wal and wal == "alone"):
                folder = TemporaryDirectory(prefix="llmcache-", ignore_cleanup_errors=True)
                copy = _copied(path, Path(opened.enter_context(folder), "copy.db"))
                self.connection = connect(copy, "rw", busy_timeout_s, broken=broken)
            else:
                immutable = is_wal and wal == "empty"
                self.connection = connect(path, "ro", busy_timeout_s, immutable=immutable)
            opened.callback(self.connection.close)
            self._opened = opened.pop_all()

    def is_stale(self) -> bool:
        """Tell whether the file changed in a way that this connection cannot see."""
        return _signature(self._path) != self._signature

    def close(self) -> None:
        """Give the connection back, and remove the copy if there is one."""
        self._opened.close()


def _copied(path: Path, copy: Path) -> Path:
    shutil.copyfile(path, copy)
    with suppress(FileNotFoundError):
        shutil.copyfile(side_file(path, "-wal"), side_file(copy, "-wal"))
    return copy


def _signature(path: Path) -> tuple[object, ...]:
    """Return what changes when somebody writes to a file or replaces it.

    Its last item tells of the ``-wal``: ``empty``, or ``alone`` or ``shared`` without or with its
    index.
    """
    status = path.stat()
    wal = "empty"
    if _look_at(side_file(path, "-wal"))[1]:
        wal = "shared" if side_file(path, "-shm").exists() else "alone"
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, wal)


def _look_at(path: Path) -> tuple[FileId | None, int]:
    """Return what tells ``path`` from a successor, and its size in bytes; None and 0 without it."""
    try:
        status = os.stat(path)  # noqa: PTH116  # before every write: half the time of Path.stat
    except OSError:
        return None, 0
    return (status.st_dev, status.st_ino), status.st_size
