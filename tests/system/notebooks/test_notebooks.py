"""The notebooks run, in a real kernel, and show what their text says."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from tests.local_model import MODEL
from tools.show_notebook import execute, text_of

NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"
GUIDES = ["caching_chat_models.ipynb", "caching_chat_models.zh.ipynb"]
#: The annotation of an answer, or the line that sums up an ordinary cell.
TELLS = re.compile(
    r"^(fresh|cached) · ([\d.]+ (?:µs|ms|s))|^1 LLM call · 1 (fresh|cached)", re.MULTILINE
)
#: How long something took, of all that a replay shows the one thing that differs from run to run.
TOOK = re.compile(r"\b[\d.]+ (?:µs|ms|s)\b")


def texts(notebook) -> list[str]:
    """What each cell of code showed."""
    return [
        "\n".join(map(text_of, cell.outputs)) for cell in notebook.cells if cell.cell_type == "code"
    ]


def told(notebook) -> list[str]:
    """Fresh or cached, for each call that the notebook tells of, in order."""
    found = [match for text in texts(notebook) for match in TELLS.finditer(text)]
    return [match[1] or match[3] for match in found]


def seconds(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"µs": 1e-6, "ms": 1e-3, "s": 1.0}[unit]


def read(name: str):
    return nbformat.read(NOTEBOOKS / name, as_version=4)


@pytest.fixture
def kernel_folder(tmp_path, monkeypatch) -> Path:
    """An empty folder for a kernel that has no settings of anybody's."""
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOKS.parent)]))
    folder = tmp_path / "notebook"
    folder.mkdir()
    return folder


def test_quickstart_shows_fresh_then_cached(kernel_folder):
    """The quickstart tells of fresh answers first and of cached ones after, as it is committed."""
    notebook = execute(NOTEBOOKS / "quickstart.ipynb", kernel_folder)
    assert len(notebook.cells) < 10
    assert told(notebook) == ["fresh", "cached"]
    shown = texts(notebook)
    assert shown[2].splitlines()[0] == shown[3].splitlines()[0]
    assert "3 LLM calls · 2 cached · 1 fresh" in shown[4]
    assert "demo" in shown[2]
    committed = texts(read("quickstart.ipynb"))
    assert [TOOK.sub("…", text) for text in shown] == [TOOK.sub("…", text) for text in committed]


def test_experiments_replay_as_committed(kernel_folder):
    """Tables, samples, a conversation, objects and a picture come from the file, without a key,
    and every cell shows what is committed.
    """
    for name in ("experiments.db", "chart.png"):
        shutil.copy(NOTEBOOKS / name, kernel_folder)
    replayed = texts(execute(NOTEBOOKS / "experiments.ipynb", kernel_folder))
    assert [TOOK.sub("…", text) for text in replayed] == [
        TOOK.sub("…", text) for text in texts(read("experiments.ipynb"))
    ]
    assert "18 answers · 18 cached" in "\n".join(replayed)
    assert "26 calls · 26 cached" in replayed[-1]
    held = (kernel_folder / "experiments.db").read_bytes()
    assert held == (NOTEBOOKS / "experiments.db").read_bytes()


@pytest.mark.slow  # the model's library is compiled
@pytest.mark.parametrize("name", GUIDES)
def test_guide_against_a_real_model(name, kernel_folder, local_model, monkeypatch):
    """The guide shows fresh answers of a real model, then cached ones, also after a restart."""
    monkeypatch.setenv("OPENAI_BASE_URL", local_model)
    notebook = execute(NOTEBOOKS / name, kernel_folder)
    assert told(notebook) == told(read(name)) == GUIDE_TELLS
    times = [
        (match[1], seconds(match[2]))
        for text in texts(notebook)
        for match in TELLS.finditer(text)
        if match[1]
    ]
    slowest_hit = max(time for kind, time in times if kind == "cached")
    fastest_miss = min(time for kind, time in times if kind == "fresh")
    assert slowest_hit < fastest_miss


#: In memory: magic twice, plain twice; in a file: magic twice, plain; after a restart: both.
GUIDE_TELLS = [
    *("fresh", "cached", "fresh", "cached"),
    *("fresh", "cached", "cached"),
    *("cached", "cached"),
]


@pytest.mark.parametrize("name", GUIDES)
def test_committed_outputs_are_of_a_whole_run(name):
    """What is committed was run from top to bottom, without an error, by the model it names."""
    notebook = read(name)
    shown = "\n".join(texts(notebook))
    assert told(notebook) == GUIDE_TELLS
    assert f"openai:{MODEL}" in shown
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    restart = counts.index(1, 1)
    assert counts == [*range(1, restart + 1), *range(1, len(counts) - restart + 1)]
    kinds = {out.output_type for c in notebook.cells for out in c.get("outputs", [])}
    assert "error" not in kinds


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.rglob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_name_no_machine(path):
    """No committed notebook holds the path of a folder on somebody's machine."""
    content = path.read_text("utf-8")
    assert not re.search(r"/(home|root|Users|tmp|work|private|mnt)/|[A-Z]:\\\\", content)
    # A server of the lesson on the reader's own machine may be named.
    assert set(re.findall(r"127\.0\.0\.1(:\d+)?", content)) <= {":8000", ":8931"}


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.rglob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_show_the_words_of_today(path):
    """What is committed was drawn with one vocabulary: cached, fresh, not recorded, failed."""
    shown = "\n".join(texts(nbformat.read(path, as_version=4)))
    assert not re.search(r"\d (?:hits?|miss(?:es)?)\b|billed|stored in|past the cache", shown)


def test_guides_say_the_same_in_both_languages():
    """The Chinese guide has the same cells as the English one, with the joke asked in Chinese."""
    english, chinese = (read(name) for name in GUIDES)
    assert [cell.cell_type for cell in english.cells] == [c.cell_type for c in chinese.cells]
    asked = [c.source for c in chinese.cells if c.source.startswith("%%llm\n")]
    assert len(asked) == 5
    assert all(re.search("[\u4e00-\u9fff]", text) for text in asked)
