"""Set up this checkout in ``.venv`` and run its main job or its tests; needs CPython 3.11 and pip.

python3 run.py quickstart    notebooks/quickstart.ipynb in a real kernel, what it shows as text
python3 run.py tests         the unit and integration tests; further words go to pytest
python3 run.py tests --all   all tests, also those of kernels, browsers, other versions
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
FOLDER = ROOT / ".venv"
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST_PYTHON = (3, 11)


def set_up(extra: str) -> None:
    """Make the virtual environment where it is missing, and install the package with ``extra``."""
    began = time.monotonic()
    print(f"Setting up .venv with jupyter_llmcache[{extra}] ...", flush=True)
    if not PYTHON.exists():
        # Without pip inside: some systems ship Python without what puts it there.
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", FOLDER], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", PYTHON]
    subprocess.run([*pip, "install", "-qq", "-e", f"{ROOT}[{extra}]"], check=True)
    print(f"Set up in {time.monotonic() - began:.0f} s.\n", flush=True)


def main(words: list[str]) -> int:
    """Do what ``words`` say and return the exit status."""
    if sys.version_info < OLDEST_PYTHON:
        print("This needs Python 3.11 or later; it runs on", sys.version.split()[0])
        return 2
    match words:
        case ["quickstart"]:
            set_up("notebook")
            job = ["tools/show_notebook.py", "notebooks/quickstart.ipynb"]
        case ["tests", "--all", *more]:
            set_up("test")
            job = ["-m", "pytest", "-n", "auto", "tests", *more]
        case ["tests", *more]:
            set_up("test")
            job = ["-m", "pytest", "-n", "auto", "tests/unit", "tests/integration", *more]
        case _:
            print(__doc__)
            return 2
    return subprocess.run([PYTHON, *job], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
