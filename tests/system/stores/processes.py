"""Other processes, for what one process cannot show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]
_PREAMBLE = """
import os, signal, sqlite3, sys, time
from pathlib import Path
from jupyter_llmcache.errors import DamagedEntryError, StoreError
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.unit.stores.entries import *
"""


def start_python(code: str, *args: object, **options: Any) -> subprocess.Popen[str]:
    """Start ``code`` in a new process; ``sys.argv[1:]`` are ``args``."""
    return subprocess.Popen(
        [sys.executable, "-c", _PREAMBLE + code, *map(str, args)],
        env={**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def run_python(code: str, *args: object, **options: Any) -> str:
    """Run ``code`` in a new process and return what it printed."""
    with start_python(code, *args, **options) as process:
        printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return printed
