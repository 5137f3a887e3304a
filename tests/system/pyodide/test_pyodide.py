"""The course's lesson in Pyodide, which JupyterLite runs its notebooks in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[3]
PYTHON, PLATFORM = "3.14", "pyemscripten_2026_0_wasm32"
#: What a lesson needs of what the registries have for Pyodide: with all that these need ...
WITH_NEEDS = ("pydantic", "ipython")
#: ... and without what there is none of, which a lesson does not use.
_NAMES = (
    "anyio distro h11 httpcore httpcore2 httpx httpx2 httpx2-jsfetch jiter jsonpatch jsonpointer "
    "langchain-core langchain-openai langchain-protocol langsmith markdown-it-py mdurl openai "
    "packaging requests requests-toolbelt sniffio tenacity urllib3 idna certifi websockets xxhash "
    "charset-normalizer uuid-utils<1"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """What each cell showed."""
    folder = tmp_path_factory.mktemp("pyodide")
    subprocess.run(["npm", "install", "--silent", "pyodide"], cwd=folder, check=True, timeout=300)
    site = _site(folder)
    for name in ("run.mjs", "lesson.py"):
        shutil.copy(HERE / name, folder)
    done = subprocess.run(
        ["node", "run.mjs", site, ROOT, "lesson.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.partition("\nTOLD")[2])


def _site(folder: Path) -> Path:
    """Unpack wheels for Pyodide into a folder."""
    tags = f"--python-version {PYTHON} --platform {PLATFORM} --platform any --implementation cp"
    abis = "--abi cp314 --abi abi3 --abi none --only-binary=:all:"
    pip = [sys.executable, "-m", "pip", "download", "-q", *f"{tags} {abis}".split()]
    for names in (WITH_NEEDS, ("--no-deps", *_NAMES.split())):
        subprocess.run([*pip, "-d", folder / "wheels", *names], check=True, timeout=600)
    site = folder / "site"
    for wheel in (folder / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    # Pyodide has its own build; without the part in C it runs anywhere.
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(Path(yaml.__file__).parent, site / "yaml", ignore=ignore)
    return site


def _cells(told: list[dict[str, str]], begin: str) -> list[dict[str, str]]:
    return [cell for cell in told if cell["source"].startswith(begin)]


def test_the_lesson_replays(told: list[dict[str, str]]) -> None:
    """Questions, a stream and a conversation are answered from the file; a new one is refused."""
    first, second, new = _cells(told, '%%llm -s "You answer') + _cells(told, "%%llm\nExplain")
    assert "language model" in first["outputs"][0]
    assert "nothing recorded answers this request" in second["error"]
    assert new["outputs"][-1] == "openai:SmolLM2-135M-Instruct"
    (stream,) = _cells(told, "pieces =")
    (talk,) = _cells(told, "from langchain_core.messages")
    assert (stream["error"], talk["error"]) == ("", "")


def test_threads_are_langchains_own_affair(told: list[dict[str, str]]) -> None:
    """``chain.batch`` needs threads of LangChain; everything else of the lesson runs."""
    faults = [cell["error"] for cell in told if cell["error"]]
    assert len(faults) == 2
    assert faults[0] == "RuntimeError: can't start new thread"


def test_a_new_file_keeps_answers(told: list[dict[str, str]]) -> None:
    """The canned model is asked once, a table of answers comes, and a course is imported."""
    fresh, cached, table = _cells(told, "%%llm -m demo")
    assert fresh["outputs"][-1].startswith("fresh · ")
    assert cached["outputs"][-1].startswith("cached · ")
    assert "--- dogs ---" in table["outputs"][0]
    (imported,) = _cells(told, "%llm_cache import")
    assert imported["result"].startswith("imported course.db: ")
