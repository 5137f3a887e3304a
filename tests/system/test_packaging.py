"""The built wheel holds the package and nothing else, and works alone."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from tests import environments
from tests.environments import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package as it would be published."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-qq", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", folder, ROOT], check=True)
    (built,) = folder.glob("jupyter_llmcache-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of a new environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    return environments.make(folder, Path(sys.executable), [str(wheel)])


def installed(python: Path, code: str, folder: Path) -> str:
    """Run ``code`` where this checkout cannot be imported by mistake."""
    return environments.run(python, code, cwd=folder, env={"PYTHONPATH": ""})


def test_wheel_holds_the_whole_package_and_no_more(wheel):
    """Every module and the mark of its types are in the wheel; tests and notebooks are not."""
    names = zipfile.ZipFile(wheel).namelist()
    package = {str(p.relative_to(ROOT)) for p in (ROOT / "jupyter_llmcache").rglob("*.py")}
    assert {n for n in names if ".dist-info/" not in n} == package | {"jupyter_llmcache/py.typed"}


def test_metadata_tells_version_licence_and_needs(wheel):
    """The wheel's metadata is that of the project, README and licence included."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
    metadata = message_from_string(archive.read(name).decode())
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata.get_payload().startswith("# jupyter_llmcache")
    assert any(n.endswith("/licenses/LICENSE") for n in archive.namelist())


def test_every_module_imports_without_extras(python, tmp_path):
    """Without any extra each module can be imported, from the wheel."""
    code = (
        "import importlib, pkgutil, jupyter_llmcache as p\n"
        "names = [m.name for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.')]\n"
        "[importlib.import_module(n) for n in names if not n.endswith('__main__')]\n"
        "print(len(names), p.__file__)"
    )
    count, file = installed(python, code, tmp_path).split()
    assert int(count) > 20
    assert Path(file).is_relative_to(python.parents[1])


ASK = """
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
shell.run_line_magic("load_ext", "jupyter_llmcache")
shell.run_line_magic("llm_cache", "sqlite answers.db")
for _ in range(2):
    answer = shell.run_cell_magic("llm", "-m demo --no-stream", "Tell me a joke\\n")
    print(answer.cached)
"""


def test_wheel_asks_and_remembers(python, tmp_path):
    """From the wheel alone a question is answered fresh, and then from the file."""
    told = installed(python, ASK, tmp_path).split()
    assert [word for word in told if word in ("True", "False")] == ["False", "True"]
    assert (tmp_path / "answers.db").stat().st_size > 0


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"]))
def test_extras_are_named_in_the_project_only_once(extra):
    """An extra lists no requirement twice, and none that the package needs anyway."""
    wanted = PROJECT["optional-dependencies"][extra]
    names = [requirement.split(">")[0].split("=")[0] for requirement in wanted]
    needed = {requirement.split(">")[0] for requirement in PROJECT["dependencies"]}
    assert len(set(names)) == len(names)
    assert not needed & set(names)
