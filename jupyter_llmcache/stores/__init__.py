"""Where entries are kept: a module of one word is a store and registers itself by its name.

A store of another package is registered by an entry point of the group ``jupyter_llmcache.stores``.
Nothing is imported before it is asked for.
"""

from __future__ import annotations

import functools
import pkgutil
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeGuard

from ..errors import LLMCacheError
from ..text import one_line
from .base import Store

GROUP = "jupyter_llmcache.stores"


@functools.cache
def names() -> tuple[str, ...]:
    """Return the names of all stores that are installed, those of this package first."""
    return (*_built_in(), *(name for name in _installed() if name not in _built_in()))


def find(name: str) -> type[Store]:
    """Return the class of a store by its name.

    Raises:
        LLMCacheError: There is no such store, or it cannot be imported.
    """
    if name in _built_in():
        module = import_module(f".{name}", __name__)
        classes = [cls for cls in vars(module).values() if _is_store(cls)]
        return next(cls for cls in classes if getattr(cls, "backend", None) == name)
    point = _installed().get(name)
    if point is None:
        raise LLMCacheError(f"there is no store {name!r}", f"Choose one of {', '.join(names())}")
    try:
        cls = point.load()
    except Exception as error:
        why = one_line(f"{type(error).__name__}: {error}")
        raise LLMCacheError(f"the store {name!r} cannot be imported: {why}") from error
    if not _is_store(cls):
        raise LLMCacheError(f"the store {name!r} ({point.value}) is not a class of Store")
    return cls


def find_by_url(place: str) -> type[Store] | None:
    """Return the class of the store that a URL names; None where ``place`` is not a URL.

    Raises:
        LLMCacheError: No store that is installed is at URLs that begin so.
    """
    scheme, colon, _ = place.partition("://")
    if not colon:
        return None
    classes = []
    for name in names():
        with suppress(LLMCacheError):  # one that is broken must not hide the others
            classes.append(find(name))
    for cls in classes:
        if scheme.lower() in cls.url_schemes:
            return cls
    known = ", ".join(f"{scheme}://" for cls in classes for scheme in cls.url_schemes)
    raise LLMCacheError(f"no store is at {scheme[:20]}://", f"Give a path, or one of {known}")


@functools.cache
def _built_in() -> tuple[str, ...]:
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(name for name in modules if "_" not in name and name != "base")


@functools.cache
def _installed() -> dict[str, Any]:
    from importlib.metadata import entry_points  # reads the metadata of every installed package

    return {point.name: point for point in entry_points(group=GROUP)}


def _is_store(value: Any) -> TypeGuard[type[Store]]:
    return isinstance(value, type) and issubclass(value, Store)
