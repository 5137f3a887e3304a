"""Which code is a library's and which a user's own, by where it stands, over real HTTP.

A library's class is cached as it is; a user's, with code on the way to an answer, says by
``cache_key()`` what that stands on, or is not cached.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.globals import set_llm_cache

from jupyter_llmcache import MemoryCache, calls
from jupyter_llmcache.request import installed

CODE = """
from langchain_openai import ChatOpenAI

class Acme(ChatOpenAI):
    def _get_request_payload(self, input_, *, stop=None, **kwargs):
        return super()._get_request_payload(input_, stop=stop, **kwargs)
"""
METADATA = "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def editable(folder: Path, path: list[str]) -> None:
    """As ``pip install -e`` leaves it: what tells of it in one place, the sources in another."""
    source = folder / "work" / "src"
    write(source / "acme" / "__init__.py", CODE)
    told = {"url": (folder / "work").as_uri(), "dir_info": {"editable": True}}
    info = folder / "site" / "acme-1.0.dist-info"
    write(info / "METADATA", METADATA)
    write(info / "RECORD", "_acme.pth,,\n")
    write(info / "direct_url.json", json.dumps(told))
    path += [str(folder / "site"), str(source)]


def editable_by_another_name(folder: Path, path: list[str]) -> None:
    """Likewise, where only a path tells of the module, whose name is not the package's."""
    editable(folder, path)
    info = folder / "site" / "acme-1.0.dist-info"
    write(info / "METADATA", METADATA.replace("acme", "other"))
    write(folder / "site" / "_acme.pth", f"{folder / 'work' / 'src'}\n")


def developed(folder: Path, path: list[str]) -> None:
    """As ``setup.py develop`` leaves it: what tells of it stands beside the sources."""
    write(folder / "src" / "acme" / "__init__.py", CODE)
    write(folder / "src" / "acme.egg-info" / "PKG-INFO", METADATA)
    path.append(str(folder / "src"))


def wheel(folder: Path, path: list[str]) -> None:
    """A wheel that is on the path as it is."""
    with zipfile.ZipFile(folder / "acme.whl", "w") as packed:
        packed.writestr("acme.py", CODE)
        packed.writestr("acme-1.0.dist-info/METADATA", METADATA)
    path.append(str(folder / "acme.whl"))


def source_folder(folder: Path, path: list[str]) -> None:
    """A folder of sources that nobody installed."""
    write(folder / "src" / "acme" / "__init__.py", CODE)
    write(folder / "pyproject.toml", '[project]\nname = "acme"\nversion = "1.0"\n')
    path.append(str(folder / "src"))


def beside_the_notebook(folder: Path, path: list[str]) -> None:
    """A module in the notebook's folder."""
    write(folder / "acme.py", CODE)
    path.append(str(folder))


def beside_an_editable(folder: Path, path: list[str]) -> None:
    """A module in the folder of a package that is installed to be edited, and not of it."""
    editable(folder, path)
    (folder / "work" / "src" / "acme" / "__init__.py").rename(folder / "work" / "acme.py")
    write(folder / "site" / "_acme.pth", f"{folder / 'work'}\n")
    info = folder / "site" / "acme-1.0.dist-info"
    write(info / "METADATA", METADATA.replace("acme", "other"))
    path[-1] = str(folder / "work")


def packed(folder: Path, path: list[str]) -> None:
    """A zip of one's own."""
    with zipfile.ZipFile(folder / "own.zip", "w") as archive:
        archive.writestr("acme.py", CODE)
    path.append(str(folder / "own.zip"))


@pytest.fixture
def importing(tmp_path, monkeypatch):
    """Import ``acme`` from where a function put it."""

    def imported(put: Callable[[Path, list[str]], None]) -> type:
        path: list[str] = []
        put(tmp_path, path)
        monkeypatch.setattr(sys, "path", [*path, *sys.path])
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        forget()
        return importlib.import_module("acme").Acme

    def forget() -> None:
        sys.modules.pop("acme", None)
        importlib.invalidate_caches()
        installed.is_installed.cache_clear()

    yield imported
    forget()


def asked_twice(cls: type, fields: dict[str, Any]) -> list[str]:
    set_llm_cache(MemoryCache())
    mark = len(calls())
    for _ in range(2):
        cls(**fields).invoke("Who?")
    return [call.kind for call in calls()[mark:]]


@pytest.fixture
def fields(openai_server) -> dict[str, Any]:
    return {"model": "gpt-x", "api_key": "k", "base_url": openai_server.url, "max_retries": 0}


@pytest.mark.parametrize("put", [editable, editable_by_another_name, developed, wheel])
def test_what_is_installed_is_a_librarys(put, importing, fields):
    """An installed package's class is cached as it is, wherever its sources stand."""
    assert asked_twice(importing(put), fields) == ["miss", "hit"]


@pytest.mark.parametrize("put", [source_folder, beside_the_notebook, beside_an_editable, packed])
def test_what_nobody_installed_is_a_users(put, importing, fields):
    """A folder of sources, a module and a zip of one's own are code of the user's."""
    assert asked_twice(importing(put), fields) == ["miss", "miss"]
    assert str(calls()[-1].reason).endswith("Acme answers by code of its own; give it cache_key()")


@pytest.mark.parametrize("names", [{}, {"__name__": "__main__"}, {"__name__": "nowhere"}])
def test_code_that_is_executed_is_a_users(names, fields):
    """Also where it is executed among no names, so that its classes seem to be Python's."""
    exec(CODE, names)
    assert asked_twice(names["Acme"], fields) == ["miss", "miss"]


def test_what_a_notebook_defines_or_writes_is_a_users(shell, fields, monkeypatch):
    """A class in a cell, and one in a module that a cell wrote."""
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    shell.run(CODE)
    shell.run(f"%%writefile written_here.py\n{CODE}")
    shell.run("import written_here")
    for cls in (shell.user_ns["Acme"], shell.user_ns["written_here"].Acme):
        assert asked_twice(cls, fields) == ["miss", "miss"]
    sys.modules.pop("written_here", None)


def test_libraries_in_a_folder_of_their_own_are_read_once(tmp_path, monkeypatch):
    """A shared folder on the path holds hundreds of them, each with a long list of files."""
    read: list[Path] = []
    read_text = Path.read_text
    installed.is_installed.cache_clear()
    for name in ("acme", "other"):
        write(tmp_path / name / "__init__.py", "")
        write(tmp_path / name / "part.py", "")
        write(tmp_path / f"{name}-1.0.dist-info" / "METADATA", METADATA.replace("acme", name))
        write(tmp_path / f"{name}-1.0.dist-info" / "RECORD", f"{name}/__init__.py,,\n")

    def seen(path: Path, *args: Any, **kwargs: Any) -> str:
        if path.name == "RECORD" and path.is_relative_to(tmp_path):
            read.append(path)
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", seen)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in ("acme", "acme.part", "other", "other.part"):
        importlib.import_module(name)
        assert installed.is_installed(name)
    assert len(read) == 2
    for name in ("acme", "acme.part", "other", "other.part"):
        del sys.modules[name]
    installed.is_installed.cache_clear()


@pytest.mark.parametrize("path", ["linked/m.py", "n.py", "again.py", "linked/../a/m.py", "none.py"])
def test_links_are_followed_to_where_a_module_lies(tmp_path, path):
    """A link on the way of a module's path and one in its place lead to where it really lies."""
    write(tmp_path / "a" / "b" / "m.py", "")
    (tmp_path / "linked").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "n.py").symlink_to("linked/m.py")
    (tmp_path / "again.py").symlink_to("n.py")
    asked = str(tmp_path / path)
    assert installed._real(asked) == os.path.realpath(asked)
