"""The rooms of the package: who may import whom."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import jupyter_llmcache

PACKAGE = Path(jupyter_llmcache.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

#: Who may import whom, lowest first: a room may know the rooms of the lines above its own, late
#: imports and those for type checkers counted. Rooms of one line do not know each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("text",),
    ("modes",),
    ("settings",),
    ("provider_row",),
    ("providers",),
    ("ledger",),
    ("request", "answer", "stores", "draw"),
    ("seam",),
    ("course",),
    ("commands",),
    ("jupyter", "__main__"),
    ("__init__",),
)
#: Rooms that may know IPython.
IPYTHON_ROOMS = {"__init__", "commands", "draw", "jupyter", "settings"}
#: Rooms that may import LangChain when they are imported themselves.
LANGCHAIN_ROOMS = {"answer", "commands", "course", "request", "seam"}
#: No module is longer, and no package has more entries at its top.
MAX_LINES, MAX_ENTRIES = 400, 20
#: What the whole package has, rounded up.
MAX_MODULES, MAX_TOTAL_LINES, MAX_STATEMENTS = 87, 24_400, 13_855


def room_of(path: Path) -> str:
    """The first name below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


class Statement(NamedTuple):
    """One statement of a file.

    ``late``: inside a function; ``typing``: under ``TYPE_CHECKING``.
    """

    node: ast.AST
    late: bool
    typing: bool


@cache
def statements(path: Path) -> list[Statement]:
    """What a file says, read once, in its order."""
    found: list[Statement] = []

    def walk(node: ast.AST, late: bool, typing: bool) -> None:
        late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        typing = typing or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for part in ("body", "handlers", "cases", "orelse", "finalbody"):
            for child in getattr(node, part, ()):
                if isinstance(child, ast.stmt):
                    found.append(Statement(child, late, typing))
                walk(child, late, typing)

    walk(ast.parse(path.read_text("utf-8")), late=False, typing=False)
    return found


def imports(path: Path, *, late: bool = True, typing: bool = True) -> Iterator[str]:
    """Yield the full names that ``path`` imports.

    ``late``: those inside functions too; ``typing``: those under ``TYPE_CHECKING`` too.
    """
    package = ("jupyter_llmcache", *path.relative_to(PACKAGE).parts[:-1])
    for node, is_late, is_typing in statements(path):
        if (is_late and not late) or (is_typing and not typing):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{name}.{alias.name}" for alias in node.names)


def module_of(path: Path) -> str:
    """The full name of a file's module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


@cache
def known_modules(path: Path) -> set[str]:
    """The package's own modules that ``path`` imports anywhere."""
    known = set()
    for name in imports(path):
        while name and name not in MODULES:
            name = name.rpartition(".")[0]  # noqa: PLW2901  # from the imported name to its module
        known.add(name)
    return known & set(MODULES) - {module_of(path)}


def test_imports_run_one_way():
    """A room knows only rooms that stand below it."""
    level = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
    wrong = [
        f"{module_of(path)} imports {name}"
        for path in FILES
        for name in sorted(known_modules(path))
        if (other := room_of(MODULES[name])) != room_of(path)
        and level[other] >= level[room_of(path)]
    ]
    assert wrong == []


def test_files_form_no_circle():
    """No file imports, over however many others, one that imports it."""
    graph = {module_of(path): known_modules(path) for path in FILES}
    TopologicalSorter(graph).prepare()


def test_a_circle_is_seen(tmp_path, monkeypatch):
    """Imports for type checkers alone, and late ones, count for a circle."""
    package = tmp_path / "jupyter_llmcache"
    package.mkdir()
    (package / "a.py").write_text("if TYPE_CHECKING:\n    from .b import B\n")
    (package / "b.py").write_text("def f():\n    from . import a\n")
    files = sorted(package.glob("*.py"))
    monkeypatch.setitem(globals(), "PACKAGE", package)
    monkeypatch.setitem(globals(), "MODULES", {module_of(file): file for file in files})
    graph = {module_of(path): known_modules(path) for path in files}
    with pytest.raises(CycleError):
        TopologicalSorter(graph).prepare()


def test_only_some_rooms_know_ipython():
    """IPython is imported where a person is talked to, and nowhere else."""
    knowing = {room_of(f) for f in FILES if any(n.split(".")[0] == "IPython" for n in imports(f))}
    assert knowing <= IPYTHON_ROOMS


def test_only_some_rooms_know_langchain():
    """LangChain is imported early only where models and messages are."""
    early = {
        room_of(file)
        for file in FILES
        if any(name.startswith("langchain") for name in imports(file, late=False, typing=False))
    }
    assert early <= LANGCHAIN_ROOMS


def test_the_house_stays_small():
    """No module is longer than a person reads at one sitting; the top of the house is short."""
    assert [str(f) for f in FILES if len(f.read_text("utf-8").splitlines()) > MAX_LINES] == []
    top = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(top) <= MAX_ENTRIES


def test_the_house_does_not_grow_unseen():
    """Whoever adds modules, lines or statements raises a number here, and so says that he does.

    The bounds are what the package has, and a little: what grows by a few lines each time is never
    seen to grow. What makes the package shorter may lower them.
    """
    said = sum(len(statements(file)) for file in FILES)
    lines = sum(len(file.read_text("utf-8").splitlines()) for file in FILES)
    assert len(FILES) <= MAX_MODULES
    assert lines <= MAX_TOTAL_LINES
    assert said <= MAX_STATEMENTS


def test_the_map_names_what_there_is():
    """Each file of docs/architecture.md is there, and has the names that stand behind it."""
    table = (PACKAGE.parent / "docs" / "architecture.md").read_text("utf-8")
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")]
    for row in rows:
        folder, text = PACKAGE, ""
        for word in re.findall(r"`([^`]+)`", row):
            if word.endswith(".py"):
                files = [each for each in (PACKAGE / word, folder / word) if each.exists()]
                assert files, (word, row)
                folder, text = files[0].parent, files[0].read_text("utf-8")
            elif text and word.isidentifier():
                assert re.search(rf"\b{word}\b", text), (word, row)


@pytest.mark.parametrize("name", jupyter_llmcache.__all__)
def test_public_names_have_docstrings(name):
    """Every public name says what it is for."""
    assert getattr(jupyter_llmcache, name).__doc__
