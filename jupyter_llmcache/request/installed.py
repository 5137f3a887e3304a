"""Whose a module, a class or a function is: a library's, that is installed, or the user's."""

from __future__ import annotations

import json
import os
import site
import sys
import sysconfig
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any
from urllib.parse import unquote, urlsplit

#: CPython's flag of classes that were made by running Python (``Py_TPFLAGS_HEAPTYPE``).
_MADE_BY_PYTHON = 1 << 9

OUR_PACKAGE = __name__.partition(".")[0]


@lru_cache(maxsize=4096)
def is_installed(module: str) -> bool:
    """Whether a module is Python's, or belongs to an installed distribution, also an editable one
    or one whose folder of sources is on the path.
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in (OUR_PACKAGE, "builtins"):
        return True
    if top == "__main__":  # the notebook, which has a kernel launcher's file
        return False
    known = sys.modules.get(module) or sys.modules.get(top)
    file = getattr(known, "__file__", None) or next(iter(getattr(known, "__path__", ())), None)
    if file is None:
        return False
    real = _real(file)
    if os.path.normcase(real).startswith(_library_folders()):
        return True
    path = Path(real)
    depth = module.count(".") + (path.name == "__init__.py")
    return _has_distribution(top, path.parents[min(depth, len(path.parents) - 1)])


@lru_cache(maxsize=4096)
def _real(path: str) -> str:
    """Return where ``path`` really lies; each folder on its way is looked at once."""
    folder, name = os.path.split(path)
    if name in ("", ".", ".."):
        return os.path.realpath(path)
    path = os.path.join(_real(folder), name)  # noqa: PTH118  # text, as it is compared
    return os.path.realpath(path) if os.path.islink(path) else path  # noqa: PTH114  # as above


@lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    """Return how paths of libraries begin. As texts they are compared ten times as fast."""
    paths = {*map(sysconfig.get_paths().get, ("purelib", "platlib", "stdlib"))}
    paths |= {*site.getsitepackages(), site.getusersitepackages()}
    real = (os.path.normcase(os.path.realpath(path)) for path in paths if path)
    return tuple(f"{path}{os.sep}" for path in real)


def _has_distribution(top: str, folder: Path) -> bool:
    name = f"name:{top.lower()}"
    changed_ns = folder.stat().st_mtime_ns if folder.exists() else 0
    beside = _modules_beside(folder, changed_ns)
    if not beside.isdisjoint((top, name)):
        return True
    for one in metadata.distributions():
        source = _source_folder(one)
        if source is None or not folder.is_relative_to(source):
            continue
        if not _modules_of(one).isdisjoint((top, name)) or folder in _paths_of(one) - {source}:
            return True
    return False


def _paths_of(editable: metadata.Distribution) -> set[Path]:
    """Return what it put on Python's path; a folder below its own holds its sources alone."""
    listed = [str(file) for file in editable.files or () if file.suffix == ".pth"]
    texts = [editable.read_text(f"../{file}") or "" for file in listed]  # beside its metadata
    return {Path(line).resolve() for text in texts for line in text.splitlines()}


@lru_cache(maxsize=64)
def _modules_beside(folder: Path, _: int) -> frozenset[str]:
    """Return what the distributions in ``folder`` bring, read once for each time of its change.

    Where libraries lie in a folder of their own on the path they are hundreds.
    """
    found = metadata.distributions(path=[str(folder)])
    return frozenset(module for one in found for module in _modules_of(one))


def _modules_of(distribution: metadata.Distribution) -> set[str]:
    """Return the modules at its top, and ``name:`` with its own name as a module has it."""
    record = distribution.read_text("RECORD")
    files = record.splitlines() if record else map(str, distribution.files or ())
    tops = {line.partition(",")[0].partition("/")[0].removesuffix(".py") for line in files}
    name = (distribution.metadata["Name"] or "").replace("-", "_").replace(".", "_")
    listed = (distribution.read_text("top_level.txt") or "").split()
    return {*tops, *listed, f"name:{name.lower()}"}


def _source_folder(distribution: metadata.Distribution) -> Path | None:
    """Return the folder that an editable installation was made from; None for another one."""
    told = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not told.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(told["url"]).path)).resolve()


def is_users(value: Any) -> bool:
    """Whether a class or a function was written by the user."""
    if isinstance(value, MethodType):
        value = value.__func__
    if isinstance(value, FunctionType):
        # ``functools.wraps`` copies ``__module__``; where a function was written it cannot change.
        return not is_installed(module_of(value))
    return isinstance(value, type) and (not is_installed(value.__module__) or _seems_pythons(value))


def module_of(function: FunctionType) -> str:
    """Return the module in which a function was written, whatever it says of itself."""
    return str(function.__globals__.get("__name__"))


def _seems_pythons(cls: type) -> bool:
    """Whether a class only seems to be Python's own.

    What ``type()`` makes of an abstract class tells ``abc`` as its module, whoever calls it, and
    what ``exec()`` makes where nothing is named tells ``builtins``.
    """
    if cls.__module__ not in ("abc", "builtins") or not cls.__flags__ & _MADE_BY_PYTHON:
        return False
    return vars(sys.modules[cls.__module__]).get(cls.__name__) is not cls
