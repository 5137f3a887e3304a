"""Doors in other people's modules: methods of ours that stand before theirs for a while."""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any, NamedTuple

from .. import modes

Method = Callable[..., Any]
#: What makes a door's method: gets the original and the module.
Wrap = Callable[[Method, ModuleType], Method]
_HOOK = "__init_subclass__"


class Owner:
    """Who needs doors for a while."""


class Door(NamedTuple):
    """A method of a module's class (``owner``); without ``owner``, a function or class of it."""

    module: str
    owner: str
    name: str
    wrap: Wrap


class _Put(NamedTuple):
    """One method of ours, where it stands, and what stood there.

    ``held`` is what the place itself held; None where it had the method from a class above it.
    """

    place: Any
    original: Method
    held: Any
    ours: Method


class Doors(importlib.abc.MetaPathFinder):
    """Doors that are put in while somebody needs them, also into modules imported meanwhile."""

    def __init__(self, doors: Sequence[Door]) -> None:
        self._doors = doors
        self._modules = {door.module for door in doors}
        self.owners: weakref.WeakSet[object] = weakref.WeakSet()
        self._put: dict[Door, _Put] = {}
        self._lock = threading.RLock()
        self._finding: ContextVar[str | None] = ContextVar("llmcache_finding", default=None)

    def install(self, owner: object) -> None:
        """Put the doors in for as long as ``owner`` lives or until ``uninstall``.

        Where other code has put the original back meanwhile, ours is put in again.
        """
        with self._lock:
            self.owners.add(owner)
            if self not in sys.meta_path and self._modules - sys.modules.keys():
                sys.meta_path.insert(0, self)
            for name in self._modules & sys.modules.keys():
                self._enter(sys.modules[name])

    def uninstall(self, owner: object) -> None:
        """Take the doors out once no owner is left; what other code put over them stays."""
        with self._lock:
            self.owners.discard(owner)
            if self.owners:
                return
            if self in (sys.meta_path or ()):  # none is left when Python ends
                sys.meta_path.remove(self)
            for door, (place, original, held, ours) in list(self._put.items()):
                now = getattr(place, door.name, None)
                if now is ours and held is not None:
                    setattr(place, door.name, held)
                elif now is ours:
                    delattr(place, door.name)
                if now in (ours, original):
                    del self._put[door]

    def lost(self) -> list[str]:
        """Return the methods, as ``Class.method``, where other code has put the original back."""
        with self._lock:
            return [
                f"{door.owner}.{door.name}"
                for door, put in self._put.items()
                if self.owners and getattr(put.place, door.name, None) is put.original
            ]

    def _enter(self, module: ModuleType) -> None:
        for door in self._doors:
            place = getattr(module, door.owner, None) if door.owner else module
            original = getattr(place, door.name, None)
            if door.module != module.__name__ or original is None or self._stands(door, original):
                continue
            held = vars(place).get(door.name)
            ours = door.wrap(original, module)
            if not isinstance(ours, type):
                functools.update_wrapper(ours, original)
            try:
                setattr(place, door.name, ours)
            except TypeError:  # a class written in C that takes nothing
                continue
            self._put[door] = _Put(place, original, held, ours)

    def _stands(self, door: Door, method: object) -> bool:
        """Whether ``method`` is ours or wraps it, as far as wrappers tell what they wrap."""
        put = self._put.get(door)
        while put is not None and method is not None and method is not put.ours:
            method = getattr(method, "__wrapped__", None)
        return put is not None and method is not None

    def find_spec(
        self,
        name: str,
        path: Any,  # noqa: ARG002  # as Python calls it
        target: ModuleType | None = None,  # noqa: ARG002  # as Python calls it
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a client's module as Python does, and put its doors in after it was run."""
        if name not in self._modules or self._finding.get() == name:
            return None
        with modes.setting(self._finding, name):
            spec = importlib.util.find_spec(name)
        loader = spec.loader if spec else None
        if spec is None or loader is None:
            return spec
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            with self._lock:
                if self.owners:
                    self._enter(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


class SubclassDoors:
    """Methods of ours in every class below some, also in those that are made meanwhile.

    Args:
        names: The names of the methods.
        wrap: Returns ours for a method and its name; None: it stays as it is.
    """

    def __init__(
        self, names: Collection[str], wrap: Callable[[Method, str], Method | None]
    ) -> None:
        self._names, self._wrap = names, wrap
        self._hooks: dict[type, tuple[Any, Any]] = {}
        self._originals: weakref.WeakKeyDictionary[Any, Method] = weakref.WeakKeyDictionary()
        self._lock = threading.RLock()

    def put(self, base: type) -> None:
        """Wrap the methods of all classes below ``base``, now and when they are made."""
        with self._lock:
            for cls in _below(base):
                self._enter(cls)
            if base not in self._hooks:
                original = vars(base).get(_HOOK)
                ours = classmethod(functools.partial(self._see_new, base, original))
                self._hooks[base] = original, ours
                setattr(base, _HOOK, ours)

    def take(self) -> None:
        """Put every original back, unless other code stands over ours."""
        with self._lock:
            for base, (original, ours) in self._hooks.items():
                if vars(base).get(_HOOK) is not ours:
                    continue
                if original is None:
                    delattr(base, _HOOK)
                else:
                    setattr(base, _HOOK, original)
            for cls, name in ((c, n) for b in self._hooks for c in _below(b) for n in self._names):
                method = vars(cls).get(name)
                original = self._originals.get(method) if callable(method) else None
                if original is not None:
                    setattr(cls, name, original)
            self._hooks.clear()

    def _see_new(self, base: Any, original: Any, cls: Any, /, **kwargs: Any) -> None:
        if original is None:
            super(base, cls).__init_subclass__(**kwargs)
        else:
            original.__get__(None, cls)(**kwargs)
        with self._lock:
            if base in self._hooks:
                self._enter(cls)

    def _enter(self, cls: type) -> None:
        for name in self._names:
            method = vars(cls).get(name)
            if callable(method) and method not in self._originals:
                ours = self._wrap(method, name)
                if ours is not None:
                    self._originals[ours] = method
                    setattr(cls, name, ours)


def _below(base: type[Any]) -> Iterator[type[Any]]:
    below: list[type[Any]] = base.__subclasses__()
    for cls in below:
        yield cls
        yield from _below(cls)


# --- what doors read of clients' arguments ---


def pairs(headers: Any) -> list[tuple[str, str]]:
    """Return headers, however a client holds them, as pairs of text."""
    found = headers.items() if hasattr(headers, "items") else headers or ()
    return [(text(name), text(value)) for name, value in found]


def text(value: Any) -> str:
    """Return text or bytes of a header as text."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def whole(body: Any) -> bytes | None:
    """Return what ``body`` holds, which stays as it is; None where it can be read but once."""
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    if body is None or isinstance(body, bytes | bytearray | memoryview):
        return bytes(body or b"")
    if hasattr(body, "read") and hasattr(body, "seek"):
        place = body.tell()
        data = body.read()
        body.seek(place)
        return whole(data)
    return None
