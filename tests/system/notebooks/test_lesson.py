"""The recorded lessons replay: without a key, without a network, the same wherever they run.

The long form, over releases of LangChain and Python:
``pytest -m slow tests/system/notebooks/test_lesson.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import environments

SCRIPT = Path(__file__).with_name("replay_lesson.py")
FOLDER = Path(__file__).resolve().parents[3] / "notebooks" / "course"
LESSON, COURSE = FOLDER / "lesson.ipynb", FOLDER / "course.db"
RAG, RAG_COURSE = FOLDER / "rag.ipynb", FOLDER / "rag.db"


def without_network() -> list[str]:
    """Return what starts a program in a network namespace of its own, where that is allowed."""
    unshare = ["unshare", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and subprocess.run([*unshare, "true"], check=False)
    return unshare if allowed and allowed.returncode == 0 else []


def replayed(python: Path | str, lesson: Path = LESSON, course: Path = COURSE) -> dict[str, Any]:
    """Replay a lesson in a new process without a key, beside a copy of its file."""
    shutil.copyfile(course, course.name)
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "LLMCACHE_"))}
    done = subprocess.run(
        [*without_network(), python, "-W", "ignore", SCRIPT, lesson],
        env={**variables, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def committed(lesson: Path) -> list[list[Any]]:
    """What the cells of the committed notebook show, in the form of ``replay_lesson``."""
    cells = json.loads(lesson.read_text("utf-8"))["cells"]
    return [list(_shown_by(cell["outputs"])) for cell in cells if cell["cell_type"] == "code"]


def _shown_by(outputs: list[dict[str, Any]]) -> Iterator[Any]:
    """Yield what was printed, in one piece however it came, and what was drawn."""
    pieces = (text for o in outputs if o["output_type"] == "stream" for text in o["text"])
    yield from filter(None, ["".join(pieces)])
    yield from (_shown(output) for output in outputs if output["output_type"] != "stream")


def _shown(output: dict[str, Any]) -> Any:
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    data = output["data"]
    return ["".join(data.get(kind, "")) for kind in ("text/plain", "text/html")]


def assert_replayed(told: dict[str, Any], lesson: Path = LESSON, hits: int = 7) -> None:
    """Nothing was sent, all but the last question were hits, and all was shown as committed."""
    assert told["attempts"] == []
    assert told["kinds"] == ["hit"] * hits + ["error"]
    for shown, expected in zip(told["shown"], committed(lesson), strict=True):
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


def test_a_whole_lesson_replays_without_key_and_network():
    """Page, passages, embeddings, chain, agent, search, picture and raw SDK come from the file,
    where no network is there at all.
    """
    told = replayed(sys.executable, RAG, RAG_COURSE)
    assert_replayed(told, RAG, hits=13)
    assert Path(RAG_COURSE.name).read_bytes() == RAG_COURSE.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("langchain", "python"), environments.elsewhere())
def test_the_lesson_replays_elsewhere(langchain, python):
    """The same file gives the same outputs under other releases of LangChain and Python."""
    assert_replayed(replayed(environments.environment(langchain, python=python)))
