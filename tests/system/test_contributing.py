"""The recipes of CONTRIBUTING.md, followed in a copy as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

#: What the recipes promise, tried in a shell.
PROMISED = '''
import sys
from pathlib import Path

import jupyter_llmcache
from tests.shells import open_shell

ACME = """
from langchain_core.language_models.fake_chat_models import FakeListChatModel

class ChatAcme(FakeListChatModel):
    model: str
    responses: list = ["large says hello"]
"""

with open_shell(Path(sys.argv[1])) as shell:
    def say(cell):
        run = shell.run(cell)
        print(run.seen)
        return run

    def completed(line):
        return shell.complete(line, line)[1]

    say("%load_ext jupyter_llmcache")
    assert "a store on a shelf of this process" in say("%llm_cache -h").seen
    assert "--ttl" in say("%llm_cache shelf -h").seen
    assert "shelf" in completed("%llm_cache sh"), completed("%llm_cache sh")
    assert "--ttl" in completed("%llm_cache shelf --t"), completed("%llm_cache shelf --t")
    assert "shelf · pine" in say("%llm_cache shelf pine --ttl 7d").seen
    say("%%llm -m demo\\nTell me a joke")
    assert "cached" in say("%%llm -m demo\\nTell me a joke").seen
    assert "1 entry" in say("%llm_cache").seen
    assert jupyter_llmcache.ShelfCache("oak").store.location == "oak"

    assert "ACME_API_KEY is not set" in str(shell.run("%llm -m acme:x hello", check=False).error)
    Path("langchain_acme.py").write_text(ACME)
    say("import os, sys; sys.path.append(''); os.environ['ACME_API_KEY'] = 'k'")
    assert "large says hello" in say("%llm -m acme:large hello").seen
    assert "acme:" in completed("%llm -m ac"), completed("%llm -m ac")

    assert "--shout" in say("%llm -h").seen
    assert "--shout" in completed("%llm --sh"), completed("%llm --sh")
    say("%llm -m demo --shout hello")

    assert "oldest entry: 20" in say("%llm_cache oldest").seen
    assert "oldest" in completed("%llm_cache ol"), completed("%llm_cache ol")

    (loud,) = [o for o in say("%%llm -m demo -f loud\\nTell me a joke").outputs if "WHY" in o.html]
    assert "loud" in completed("%llm -f lo"), completed("%llm -f lo")
    say("%config LLMCache.format = 'loud'")
    say("%llm_cache sqlite course.db")
    say("%%llm -m demo\\nTell me a joke")
'''


def _put(path: Path, block: str, *, behind: str = "") -> None:
    """Write ``block`` behind a line of a file, or at its end."""
    text = path.read_text("utf-8") if path.exists() else ""
    assert behind in text
    head, middle, tail = text.partition(behind) if behind else (text, "", "")
    path.write_text(head + middle + block + tail, "utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the code with every recipe in it."""
    copy = tmp_path_factory.mktemp("recipes") / "copy"
    shutil.copytree(ROOT / "jupyter_llmcache", copy / "jupyter_llmcache")
    shutil.copytree(ROOT / "tests", copy / "tests")
    shutil.copy(ROOT / "pyproject.toml", copy)
    package = copy / "jupyter_llmcache"
    recipes = RECIPES.partition("## A store")[2]
    blocks = re.findall(r"^```(?:python)?\n(.*?)^```$", recipes, re.MULTILINE | re.DOTALL)
    store, contract, provider, judged, flag, subcommand, drawn = blocks
    _put(package / "stores/shelf.py", store)
    _put(copy / "tests/unit/stores/test_shelf.py", contract)
    _put(package / "providers.py", provider, behind="ROWS: tuple[Provider, ...] = (\n")
    subjects = copy / "tests/integration/wire/subjects.py"
    _put(subjects, judged, behind="SUBJECTS: Mapping[str, tuple[Subject, ...]] = {\n")
    _put(package / "commands/flags.py", flag, behind="ASKING: tuple[Argument, ...] = (\n")
    _put(package / "commands/oldest.py", subcommand)
    _put(package / "commands/__init__.py", ', "oldest"', behind='"history", "files"')
    _put(package / "draw/__init__.py", f"\n\n{drawn}")
    return copy


def _run(copy: Path, *command: object) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_recipes_give_what_they_promise(copy, tmp_path):
    """A store, a provider, a flag, a subcommand and a format work as soon as they are written."""
    _run(copy, "-c", PROMISED, tmp_path)
    told = _run(copy, "-m", "jupyter_llmcache", "oldest", copy / "course.db", "--json")
    assert "oldest entry: 20" in told


def test_the_wire_knows_the_provider_of_the_recipe(copy):
    """Its class is among those that the wire judges."""
    code = "from tests.integration.wire.subjects import SUBJECTS; print(SUBJECTS['langchain-acme'])"
    assert "ChatAcme" in _run(copy, "-c", code)


def test_the_store_of_the_recipe_holds_the_contract(copy):
    """The recipe's store passes the tests that every store passes."""
    _run(copy, "-m", "pytest", "-q", "-n", "0", "tests/unit/stores/test_shelf.py")


def test_the_recipes_fit_into_the_house(copy):
    """With all of them written no module is too long, and no room knows one above it."""
    rules = [
        "unit/test_structure.py::test_the_house_stays_small",
        "unit/test_structure.py::test_imports_run_one_way",
        "integration/test_extension.py::test_subcommands_stand_in_one_order",
    ]
    tests = [f"tests/{rule}" for rule in rules]
    _run(copy, "-m", "pytest", "-q", "-n", "0", *tests)
