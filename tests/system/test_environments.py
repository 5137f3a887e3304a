"""Other versions of Python and LangChain are there to be tested against."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import environments

TELL = "from importlib.metadata import version; print(version('langchain-core'))"


@pytest.mark.slow  # other releases are installed
@pytest.mark.parametrize("langchain", ["1.0", "1.4", "1.6"])
def test_environment_has_the_version_it_is_named_for(langchain):
    """An environment holds the LangChain of its name, and the package can be imported in it."""
    python = environments.environment(langchain)
    told = environments.run(python, f"import jupyter_llmcache; {TELL}")
    assert told.startswith(f"{langchain}.")


def test_newest_is_what_runs_the_tests():
    """The newest versions are those of this very process."""
    assert environments.environment("newest") == Path(sys.executable)


def test_environment_is_made_once(monkeypatch, tmp_path):
    """A second request for the same environment installs nothing."""
    monkeypatch.setenv("LLMCACHE_TEST_ENVIRONMENTS", str(tmp_path))
    made = []
    monkeypatch.setattr(environments, "make", lambda folder, *rest: made.append(folder.mkdir()))
    assert environments.environment("1.0") == environments.environment("1.0")
    assert len(made) == 1


def test_this_python_is_among_the_pythons():
    """The versions of Python that can be tested include the running one."""
    assert environments.CURRENT in environments.pythons()
