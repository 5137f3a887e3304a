"""The benchmarks of stores and of whole calls work; their figures are not judged here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOLD = {
    "store.py": (
        *("lookup / community", "update / community", "file / community", "embedded texts"),
        *("8 threads", "4 processes", "the slowest put"),
    ),
    "calls.py": (
        *("sqlite / community", "sqlite / InMemoryCache", "memory / InMemoryCache", "ainvoke"),
        *(
            "abatch",
            "first token",
            "own code / own code alone",
            "beyond no cache",
            "64 equal requests",
        ),
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_the_short_form_of_the_benchmark(name):
    """The short form of a benchmark prints every ratio and names the caches that it compares."""
    command = [sys.executable, "-W", "ignore", f"benchmarks/{name}", "--quick"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for line in TOLD[name]:
        assert line in done.stdout
