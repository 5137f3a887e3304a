"""Runs inside the kernel of a notebook under check, and counts what would leave the machine.

``begin`` is called before the first cell, ``take`` after each.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from .. import modes
from ..errors import ReplayMissError
from ..ledger import LEDGER
from ..seam import cache
from ..seam import patch as streams
from ..stores import SQLiteStore

#: What a class of embeddings implements to ask its provider.
_EMBEDDING_METHODS = ("embed_documents", "embed_query", "aembed_documents", "aembed_query")
#: Modules whose embeddings ask nobody: canned ones, and a cache in front of others.
_HARMLESS = ("langchain_core.embeddings", "langchain_classic.embeddings.cache")

_misses: list[str] = []
_embeddings: Counter[str] = Counter()
_is_embedding: ContextVar[bool] = ContextVar("llmcache_is_embedding", default=False)
_mark = 0


def begin(cache_path: str | None) -> None:
    """Answer every call from ``cache_path``, whatever file the notebook chooses; else from its own.

    Raises:
        StoreError: The file cannot be read.
    """
    modes.set_session_mode("replay")
    _count_misses()
    _count_embeddings()
    if cache_path is None:
        streams.install(_Owner.it)
        return
    _serve_only(cache_path)
    from langchain_core.globals import set_llm_cache

    set_llm_cache(cache.MemoryCache())


def take() -> str:
    """Return what happened since the last time, as JSON: hits, misses in words, embeddings."""
    global _mark  # noqa: PLW0603  # one kernel has one ledger
    hits = sum(call.kind == "hit" for call in LEDGER.since(_mark))
    _mark = LEDGER.mark()
    told = {"hits": hits, "misses": list(_misses), "embeddings": dict(_embeddings)}
    _misses.clear()
    _embeddings.clear()
    return json.dumps(told)


class _Owner:
    """Keeps models' calls led to the cache while the kernel lives."""

    it: _Owner


_Owner.it = _Owner()


def _serve_only(path: str) -> None:
    """Let every cache that is made from now on serve the file ``path``, and write nothing."""

    class Course(SQLiteStore):
        """The store of the file, whatever else is asked for."""

        def __init__(self, *_: Any, **__: Any) -> None:
            super().__init__(path, read_only=True)

    Course().close()
    for name in ("MemoryStore", "SQLiteStore"):
        setattr(cache, name, Course)


def _count_misses() -> None:
    """Note every replay miss where it is made, because a notebook may catch it."""
    make = ReplayMissError.__init__

    def counted(self: ReplayMissError, what: str, remedy: str = "") -> None:
        _misses.append(what)
        make(self, what, remedy)

    setattr(ReplayMissError, "__init__", counted)  # noqa: B010  # mypy forbids the plain assignment


# --- embeddings ---


def _count_embeddings() -> None:
    from langchain_core.embeddings import Embeddings

    for cls in _subclasses(Embeddings):
        _watch_class(cls)
    setattr(Embeddings, "__init_subclass__", classmethod(_watch_new))  # noqa: B010  # as above


def _watch_new(cls: type[Any], /, **_: Any) -> None:
    _watch_class(cls)


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    below: list[type[Any]] = cls.__subclasses__()
    for each in below:
        yield each
        yield from _subclasses(each)


def _watch_class(cls: type) -> None:
    if cls.__module__.startswith(_HARMLESS):
        return
    for name in _EMBEDDING_METHODS:
        if name in cls.__dict__:
            setattr(cls, name, _counting(cls.__dict__[name], cls.__name__))


def _counting(method: Callable[..., Any], owner: str) -> Callable[..., Any]:
    """Count the outermost call; one method of a class often asks another."""

    @functools.wraps(method)
    def counted(*args: Any, **kwargs: Any) -> Any:
        if _is_embedding.get():
            return method(*args, **kwargs)
        _embeddings[owner] += 1
        token = _is_embedding.set(True)
        try:
            return method(*args, **kwargs)
        finally:
            _is_embedding.reset(token)

    return counted
