"""Doors in other people's modules: methods of ours that stand before theirs for a while."""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any, NamedTuple

Method = Callable[..., Any]
#: What makes a door's method: gets the original and the module.
Wrap = Callable[[Method, ModuleType], Method]


class Door(NamedTuple):
    """A method of a module's class (``owner``), or a function of the module (no ``owner``)."""

    module: str
    owner: str
    name: str
    wrap: Wrap


class Doors(importlib.abc.MetaPathFinder):
    """Doors that are put in while somebody needs them, also into modules imported meanwhile."""

    def __init__(self, doors: Sequence[Door]) -> None:
        self._doors = doors
        self._modules = {door.module for door in doors}
        self._owners: weakref.WeakSet[object] = weakref.WeakSet()
        self._put: list[tuple[Any, str, Method, Method]] = []
        self._lock = threading.RLock()
        self._finding: ContextVar[str | None] = ContextVar("llmcache_finding", default=None)

    def install(self, owner: object) -> None:
        """Put the doors in for as long as ``owner`` lives or until ``uninstall``."""
        with self._lock:
            self._owners.add(owner)
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)
                for name in self._modules & sys.modules.keys():
                    self._enter(sys.modules[name])

    def uninstall(self, owner: object) -> None:
        """Take the doors out once no owner is left; what other code put over them stays."""
        with self._lock:
            self._owners.discard(owner)
            if self._owners or self not in sys.meta_path:
                return
            sys.meta_path.remove(self)
            for place, name, original, ours in reversed(self._put):
                if vars(place).get(name) is ours:
                    delattr(place, name)
                    if getattr(place, name, None) is not original:  # it was its own, not inherited
                        setattr(place, name, original)
            self._put.clear()

    def _enter(self, module: ModuleType) -> None:
        for door in self._doors:
            place = getattr(module, door.owner, None) if door.owner else module
            original = getattr(place, door.name, None)
            if door.module != module.__name__ or original is None:
                continue
            ours = functools.wraps(original)(door.wrap(original, module))
            try:
                setattr(place, door.name, ours)
            except TypeError:  # a class written in C that takes nothing
                continue
            self._put.append((place, door.name, original, ours))

    def find_spec(
        self,
        name: str,
        path: Any,  # noqa: ARG002  # as Python calls it
        target: ModuleType | None = None,  # noqa: ARG002  # as Python calls it
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a client's module as Python does, and put its doors in after it was run."""
        if name not in self._modules or self._finding.get() == name:
            return None
        token = self._finding.set(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._finding.reset(token)
        loader = spec.loader if spec else None
        if spec is None or loader is None:
            return spec
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            with self._lock:
                if self._owners:
                    self._enter(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


# --- what doors read of clients' arguments ---


def pairs(headers: Any) -> list[tuple[str, str]]:
    """Return headers, however a client holds them, as pairs of text."""
    found = headers.items() if hasattr(headers, "items") else headers or ()
    return [(text(name), text(value)) for name, value in found]


def text(value: Any) -> str:
    """Return text or bytes of a header as text."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def whole(body: Any) -> tuple[bytes | None, Any]:
    """Return what ``body`` holds, or None, and what to send in its place."""
    if body is None:
        return b"", None
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass"), body
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), body
    if hasattr(body, "read") and hasattr(body, "seek"):
        place = body.tell()
        data = body.read()
        body.seek(place)
        return whole(data)[0], body
    return None, body
