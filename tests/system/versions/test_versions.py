"""Keys and recorded files are good in every process, hash seed, Python and LangChain release.

The long form, over all of them: ``pytest -m slow tests/system/versions``.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import environments
from tests.servers.openai import OpenAIServer, Reply, instance_of
from tests.unit.request.pairs import NEEDED_FIELDS

KEYS = Path(__file__).with_name("versions.py")
COURSE = Path(__file__).with_name("course.py")
#: What langchain-core 1.0.0 and langchain-openai 1.0.0 recorded on Python 3.11, and what the course
#: printed then.
OLDEST = Path(__file__).with_name("recorded_by_oldest.db")
OLDEST_ANSWERS = OLDEST.with_suffix(".json")
#: Nobody listens there.
NOWHERE = "http://127.0.0.1:9/v1"


def _run(python: Path | str, script: Path, *words: object, **variables: str) -> Any:
    done = subprocess.run(
        [python, "-W", "ignore", script, *map(str, words)],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def _keys(python: Path | str = sys.executable, **variables: str) -> dict[str, str]:
    return _run(python, KEYS, **variables)


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    """The keys of this Python with hash seed 1."""
    return _keys(PYTHONHASHSEED="1")


def _assert_same(keys: dict[str, str], expected: dict[str, str]) -> None:
    assert len(expected) > 200
    assert {n: k for n, k in keys.items() if expected[n] != k} == {}
    missing = expected.keys() - keys.keys()  # rows about a field that this release does not have
    assert [name for name in missing if not any(row in name for row in NEEDED_FIELDS)] == []


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


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A server that calls a tool where it is given one."""
    with OpenAIServer() as running:

        def reply(body: dict[str, Any]) -> Any:
            if "tools" not in body:
                return running.default_reply(body)
            function = body["tools"][0]["function"]
            return Reply(None, [(function["name"], instance_of(function["parameters"]))])

        running.reply = reply
        yield running


def _assert_replayed(told: dict[str, Any], recorded: dict[str, Any]) -> None:
    assert recorded["kinds"].count("miss") == len(recorded["kinds"]) - 1  # one of a batch is twice
    assert set(told["kinds"]) == {"hit"}
    assert told["answers"] == recorded["answers"]


def test_what_the_oldest_release_recorded_is_hit():
    """A file of langchain-core 1.0.0 replays, every answer as it was."""
    told = _run(sys.executable, COURSE, "replay", OLDEST, NOWHERE)
    assert set(told["kinds"]) == {"hit"}
    assert told["answers"] == json.loads(OLDEST_ANSWERS.read_text())


@pytest.mark.slow
@pytest.mark.parametrize(("langchain", "python"), environments.elsewhere())
def test_a_file_recorded_elsewhere_is_hit_here_and_the_other_way_round(
    langchain, python, server, tmp_path
):
    """Whichever release of LangChain or Python recorded a file, the others replay all of it."""
    other = environments.environment(langchain, python=python)
    for number, (recorder, reader) in enumerate([(other, sys.executable), (sys.executable, other)]):
        path = tmp_path / f"{number}.db"
        recorded = _run(recorder, COURSE, "record", path, server.url)
        sent = len(server.requests)
        _assert_replayed(_run(reader, COURSE, "replay", path, NOWHERE), recorded)
        assert len(server.requests) == sent
