"""The rooms of the package: who may import whom, and what loading it imports."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import jupyter_llmcache
from tests.environments import run

PACKAGE = Path(jupyter_llmcache.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

#: Rooms (modules and folders of the package) that may know IPython.
IPYTHON_ROOMS = {
    *("__init__", "extension", "magics", "rawtext", "completion", "session", "settings", "render"),
}
#: Rooms that may import LangChain when they are imported themselves.
LANGCHAIN_ROOMS = {
    *(
        "asking",
        "cache",
        "chunks",
        "course",
        "doors",
        "entry",
        "foreign",
        "hits",
        "interop",
        "keys",
    ),
    *("models", "opencall", "probe", "selfcheck", "shadow", "streams"),
}
#: Rooms that may import LangChain inside a function, when it is needed.
LATE_LANGCHAIN_ROOMS = LANGCHAIN_ROOMS | {"session"}


def room_of(path: Path) -> str:
    """The first name below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, late: bool) -> Iterator[str]:
    """Yield the full names that ``path`` imports, ``late`` those inside functions too."""
    tree = ast.parse(path.read_text("utf-8"))
    package = ("jupyter_llmcache", *path.relative_to(PACKAGE).parts[:-1])

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) + 1 - child.level] if child.level else ()
                name = ".".join([*base, *([child.module] if child.module else [])])
                yield name
                yield from (f"{name}.{alias.name}" for alias in child.names)
            elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            elif late or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from walk(child)

    return walk(tree)


def own_rooms(path: Path) -> set[str]:
    """The other rooms that ``path`` imports, also late."""
    names = {tuple(name.split(".")[:2]) for name in imports(path, late=True)}
    rooms = {name[1] for name in names if name[0] == "jupyter_llmcache" and len(name) > 1}
    known = {room_of(file) for file in FILES}
    return (rooms & known) - {room_of(path)}


@pytest.fixture(params=FILES, ids=[str(file.relative_to(PACKAGE)) for file in FILES])
def file(request) -> Path:
    return request.param


def test_imports_run_one_way():
    """No room imports, over however many others, one that imports it."""
    graph: dict[str, set[str]] = {}
    for path in FILES:
        graph.setdefault(room_of(path), set()).update(own_rooms(path))
    order = list(TopologicalSorter(graph).static_order())
    chain = [room for room in order if room in ("stores", "cache", "session", "magics")]
    assert chain == ["stores", "cache", "session", "magics"]


def test_stores_know_nothing_but_errors(file):
    """A store knows bytes and errors, and no other room."""
    if room_of(file) == "stores":
        assert own_rooms(file) <= {"errors"}


def test_only_some_rooms_know_ipython(file):
    """IPython is imported where a person is talked to, and nowhere else."""
    knows = any(name.split(".")[0] == "IPython" for name in imports(file, late=True))
    assert not knows or room_of(file) in IPYTHON_ROOMS


def test_only_some_rooms_know_langchain(file):
    """LangChain is imported where models and messages are, and late where only at times."""
    early = any(name.startswith("langchain") for name in imports(file, late=False))
    late = any(name.startswith("langchain") for name in imports(file, late=True))
    assert not early or room_of(file) in LANGCHAIN_ROOMS
    assert not late or room_of(file) in LATE_LANGCHAIN_ROOMS


def test_modules_stay_small(file):
    """No module grows beyond what a person reads at one sitting."""
    assert len(file.read_text("utf-8").splitlines()) <= 420


LOADING = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
before, touched = set(sys.modules), []
def hook(event, args):
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if writes or event.startswith(("socket.", "sqlite3.", "subprocess.", "os.mkdir")):
        touched.append([event, str(args)])
sys.addaudithook(hook)
shell.run_line_magic("load_ext", "jupyter_llmcache")
shell.run_line_magic("unload_ext", "jupyter_llmcache")
print(json.dumps({"modules": sorted(set(sys.modules) - before), "touched": touched}))
"""


def test_loading_is_lean(tmp_path):
    """Loading and unloading print nothing, import no LangChain, touch no file and no network."""
    told = json.loads(run(Path(sys.executable), LOADING, cwd=tmp_path))
    heavy = ("langchain", "langgraph", "langsmith", "openai", "pydantic", "httpx", "nh3", "sqlite3")
    assert [name for name in told["modules"] if name.startswith((*heavy, "markdown_it"))] == []
    assert told["touched"] == []


def test_importing_the_package_is_lean():
    """``import jupyter_llmcache`` imports neither LangChain nor IPython."""
    code = "import sys, jupyter_llmcache as j; print({m.split('.')[0] for m in sys.modules})"
    told = run(Path(sys.executable), code)
    assert "jupyter_llmcache" in told
    assert "langchain" not in told
    assert "IPython" not in told


@pytest.mark.parametrize("name", jupyter_llmcache.__all__)
def test_public_names_have_docstrings(name):
    """Every public name says what it is for."""
    assert getattr(jupyter_llmcache, name).__doc__
