"""Small, full and read-only disks, for real."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a disk of this size at ``folder``."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def read_only_view(source: Path) -> Iterator[Path]:
    """Yield a folder that is ``source``, but where nothing can be written, even by root."""
    with tempfile.TemporaryDirectory() as folder:
        _mount("--bind", str(source), folder)
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk to the last byte, and return the file that does."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for chunk in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * chunk)
    return path


def _mount(*arguments: str) -> None:
    if sys.platform != "linux":
        pytest.skip("this system has no disks in memory")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this user may not mount a disk: {done.stderr.strip()}")
