"""An IPython extension that caches what language models answer, and says so.

``%load_ext jupyter_llmcache`` in a notebook; in a script ``MemoryCache``, ``SQLiteCache``,
``mode`` and ``calls``. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import LLMCacheError
    from .jupyter.extension import load_ipython_extension, unload_ipython_extension
    from .ledger import Call, call_of, calls
    from .modes import sample
    from .seam.cache import MemoryCache, SQLiteCache, mode

__all__ = [
    "Call",
    "LLMCacheError",
    "MemoryCache",
    "SQLiteCache",
    "call_of",
    "calls",
    "load_ipython_extension",
    "mode",
    "sample",
    "unload_ipython_extension",
]

_HOMES = {
    "Call": "ledger",
    "LLMCacheError": "errors",
    "MemoryCache": "seam.cache",
    "SQLiteCache": "seam.cache",
    "call_of": "ledger",
    "calls": "ledger",
    "load_ipython_extension": "jupyter.extension",
    "mode": "seam.cache",
    "sample": "modes",
    "unload_ipython_extension": "jupyter.extension",
}


if os.environ.get("LLMCACHE_MODE") == "replay":
    # The promise that nothing is sent holds from the first import on, in every process.
    import_module(".seam.replay", __name__).hold_process()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        if name.endswith("Cache") and (backend := name.removesuffix("Cache").lower()):
            from .stores import names  # a store of another package has a cache class too

            if backend in names():
                return import_module(".seam.cache", __name__).cache_class(backend)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
