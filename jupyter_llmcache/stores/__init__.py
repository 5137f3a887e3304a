"""Where entries are kept: one file a backend, one line in the registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import LLMCacheError
from .base import Store
from .memory import MemoryStore
from .sqlite import SQLiteStore

#: What each backend's name opens; SQLite takes the path of the file first.
STORES: dict[str, Callable[..., Store]] = {"memory": MemoryStore, "sqlite": SQLiteStore}


def open_store(backend: str, *args: Any, **options: Any) -> Store:
    """Return a new store of ``backend``; arguments are those of its class.

    Raises:
        LLMCacheError: There is no such backend, or it cannot be opened with these arguments.
    """
    if backend not in STORES:
        raise LLMCacheError(f"there is no store {backend!r}", f"Choose one of {', '.join(STORES)}")
    return STORES[backend](*args, **options)


__all__ = ["STORES", "MemoryStore", "SQLiteStore", "Store", "open_store"]
