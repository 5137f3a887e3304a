"""Keys are the same in every process, under every hash seed, Python and LangChain release."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import environments

SCRIPT = Path(__file__).with_name("versions.py")


def _keys(python: Path | str = sys.executable, **variables: str) -> dict[str, str]:
    done = subprocess.run(
        [python, "-W", "ignore", SCRIPT],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    """The keys of this Python with hash seed 1."""
    return _keys(PYTHONHASHSEED="1")


def _assert_same(keys: dict[str, str], expected: dict[str, str]) -> None:
    assert len(expected) > 200
    assert {n: k for n, k in keys.items() if expected[n] != k} == {}
    assert keys.keys() == expected.keys()


def test_another_process_with_another_hash_seed_makes_the_same_keys(expected):
    """Neither the process nor the order of sets counts."""
    _assert_same(_keys(PYTHONHASHSEED="4242"), expected)


@pytest.mark.slow
@pytest.mark.parametrize("langchain", environments.LANGCHAIN)
def test_another_langchain_makes_the_same_keys(langchain, expected):
    """A recorded file is hit by older and newer releases of LangChain."""
    _assert_same(_keys(environments.environment(langchain)), expected)


@pytest.mark.slow
@pytest.mark.parametrize("python", environments.pythons())
def test_another_python_makes_the_same_keys(python, expected):
    """A recorded file is hit under another Python."""
    _assert_same(_keys(environments.environment(python=python)), expected)
