"""Virtual environments with other versions of Python and of what the package builds on.

They are kept in a cache folder (``LLMCACHE_TEST_ENVIRONMENTS``, by default the user's), so that
only the first run pays for making them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: The variables that this process began with; a test has others, which lead nowhere.
OUTSIDE = dict(os.environ)
CURRENT = f"{sys.version_info.major}.{sys.version_info.minor}"

#: What a LangChain release stands for in the version tests; each with the oldest that fits.
LANGCHAIN: dict[str, tuple[str, ...]] = {
    "1.0": ("langchain-core==1.0.0", "langchain-openai==1.0.0"),
    "1.4": ("langchain-core==1.4.0", "langchain-openai==1.2.0"),
    "1.6": ("langchain-core==1.6.0", "langchain-openai==1.5.0"),
    # Whatever the tests themselves run with.
    "newest": tuple(f"{name}=={version(name)}" for name in ("langchain-core", "langchain-openai")),
}
#: What the package needs beside LangChain.
REST = ("ipython", "markdown-it-py", "nh3", "pygments", "traitlets")


def environment(langchain: str = "newest", *more: str, python: str = CURRENT) -> Path:
    """Return the interpreter of an environment, made now where the cache folder has none.

    Args:
        langchain: A name in ``LANGCHAIN``.
        more: Further requirements, as ``ipython==7.34.0``.
        python: ``3.x``; one of ``pythons()``.
    """
    if (langchain, more, python) == ("newest", (), CURRENT):
        return Path(sys.executable)
    requirements = [*LANGCHAIN[langchain], *more]
    requirements += [name for name in REST if not any(r.startswith(name) for r in more)]
    name = hashlib.sha256(repr((python, requirements)).encode()).hexdigest()[:12]
    folder = _cache_folder() / f"{python}-{langchain}-{name}"
    if not folder.exists():
        make(folder, interpreter(python), requirements)
    return python_in(folder)


def run(python: Path, code: str, *arguments: str, **options: Any) -> str:
    """Run ``code``, which may import this package, by ``python`` and return what it prints."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    variables = {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    variables |= options.pop("env", {})
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code, *arguments],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=options.pop("timeout", 280),
        **options,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@cache
def pythons() -> tuple[str, ...]:
    """Return the versions of Python from 3.11 on that this machine has, as ``3.x``."""
    return tuple(v for v in (f"3.{minor}" for minor in range(11, 20)) if _find(v) is not None)


def elsewhere() -> list[tuple[str, str]]:
    """Return pairs of LangChain and Python: each release with this Python, each Python once."""
    return [
        *((langchain, CURRENT) for langchain in LANGCHAIN),
        *(("newest", python) for python in pythons() if python != CURRENT),
    ]


def interpreter(python: str) -> Path:
    """Return a Python of version ``python``.

    Raises:
        FileNotFoundError: This machine has none.
    """
    found = _find(python)
    if found is None:
        raise FileNotFoundError(f"no Python {python} on this machine")
    return found


@cache
def _find(python: str) -> Path | None:
    if python == CURRENT:
        return Path(sys.executable)
    names = [shutil.which(f"python{python}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    names += sorted(map(str, pyenv.glob(f"{python}.*/bin/python")))
    return next((Path(name) for name in names if name and _works(name)), None)


def _works(name: str) -> bool:
    """Return whether ``name`` starts; a version manager's placeholder may not."""
    return (
        subprocess.run([name, "-c", "import venv"], capture_output=True, check=False).returncode
        == 0
    )


def make(folder: Path, base: Path, requirements: Sequence[str]) -> Path:
    """Make an environment in ``folder`` with the interpreter ``base``; return its interpreter.

    It is made beside its place and moved there, as another process may make the same one.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as scratch:
        new = Path(scratch, "venv")
        subprocess.run([base, "-m", "venv", "--without-pip", new], check=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python"]
        subprocess.run(
            [*pip, python_in(new), "install", "-qq", "--no-compile", *requirements],
            env=OUTSIDE,
            check=True,
        )
        try:
            new.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    return python_in(folder)


def _cache_folder() -> Path:
    named = os.environ.get("LLMCACHE_TEST_ENVIRONMENTS")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "jupyter_llmcache-tests")


def python_in(folder: Path) -> Path:
    """Return the interpreter of the environment in ``folder``."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
