"""The recorded lesson replays: without a key, without a network, the same wherever it runs.

The long form, over releases of LangChain and Python:
``pytest -m slow tests/notebooks/test_lesson.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import environments

SCRIPT = Path(__file__).with_name("replay_lesson.py")
FOLDER = Path(__file__).resolve().parents[3] / "notebooks" / "course"
LESSON, COURSE = FOLDER / "lesson.ipynb", FOLDER / "course.db"


def replayed(python: Path | str) -> dict[str, Any]:
    """Replay the lesson in a new process without a key, beside a copy of the course file."""
    shutil.copyfile(COURSE, COURSE.name)
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "LLMCACHE_"))}
    done = subprocess.run(
        [python, "-W", "ignore", SCRIPT, LESSON],
        env={**variables, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def committed() -> list[list[Any]]:
    """What the cells of the committed notebook show, in the form of ``replay_lesson``."""
    cells = json.loads(LESSON.read_text("utf-8"))["cells"]
    return [list(map(_shown, cell["outputs"])) for cell in cells if cell["cell_type"] == "code"]


def _shown(output: dict[str, Any]) -> Any:
    if output["output_type"] == "stream":
        return "".join(output["text"])
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    data = output["data"]
    return ["".join(data.get(kind, "")) for kind in ("text/plain", "text/html")]


def assert_replayed(told: dict[str, Any]) -> None:
    """Nothing was sent, all but the last question were hits, and all was shown as committed."""
    assert told["attempts"] == []
    assert told["kinds"] == ["hit"] * 7 + ["error"]
    for shown, expected in zip(told["shown"], committed(), strict=True):
        # What is printed and what is displayed may come in another order in a notebook.
        assert sorted(map(str, shown)) == sorted(map(str, expected))


def test_the_lesson_replays_without_key_and_network(request):
    """Every recorded question hits, every output is the committed one, the new one is an error;
    the course file stays as it is.
    """
    told = replayed(sys.executable)
    assert_replayed(told)
    assert Path(COURSE.name).read_bytes() == COURSE.read_bytes()
    assert [path.name for path in Path().iterdir()] == [COURSE.name]
    took = f"the lesson replayed in {told['took_s']:.1f} s, the imports included"
    request.config.get_terminal_writer().line(f"\n{took}")


@pytest.mark.slow
@pytest.mark.parametrize(("langchain", "python"), environments.elsewhere())
def test_the_lesson_replays_elsewhere(langchain, python):
    """The same file gives the same outputs under other releases of LangChain and Python."""
    assert_replayed(replayed(environments.environment(langchain, python=python)))
