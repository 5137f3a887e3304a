"""The benchmark of the stores works; its figures are not judged here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_short_form_of_the_benchmark():
    """The short form of the benchmark prints every ratio and names the caches that it compares."""
    command = [sys.executable, "benchmarks/store.py", "--quick"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        *("sqlite / community", "sqlite / floor", "memory / InMemoryCache"),
        *("lookup / community", "update / community", "file / community", "embedded texts"),
        *("8 threads", "4 processes", "first hit"),
    ):
        assert line in done.stdout
