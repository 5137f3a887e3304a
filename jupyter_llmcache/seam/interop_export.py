"""Writing a file that LangChain's own SQLite cache reads, with its own class."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.runnables import Runnable

from .. import answer as entry
from ..course.newfile import new_file
from ..errors import LLMCacheError
from ..stores.base import Store
from .langchain_rows import langchain_strings, row_counts
from .rebuild import Rebuilder


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of the entries.

    Attributes:
        written: How many LangChain can find now.
        skipped: How many it could not: its strings for them are not known exactly, or they would
            answer other requests too.
    """

    written: int
    skipped: int


def export_langchain(
    store: Store,
    path: str | os.PathLike[str],
    keys: Collection[bytes] | None = None,
    models: Sequence[Runnable[Any, Any]] = (),
) -> Exported:
    """Write entries to a new file for langchain-community's ``SQLiteCache``.

    Args:
        store: Where the entries are.
        path: The file; an old one is replaced when the new one is complete.
        keys: Which entries; None: all.
        models: Live models, also with bound tools, whose requests may be among the entries.

    Raises:
        LLMCacheError: langchain-community is not installed.
        StoreError: The file cannot be written, or an entry is damaged.
    """
    rebuilder = Rebuilder(models)
    written = skipped = 0
    # LangChain's class takes its path for a part of a URL, which the name of a temporary file is.
    with new_file(path, store) as new, tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, "langchain.db")
        cache = _langchain_cache(draft)
        for record in store.records(keys):
            strings = _strings(rebuilder, record)
            if strings is None:
                skipped += 1
            else:
                cache.update(*strings, entry.decode(record.answer))
                written += 1
        cache.engine.dispose()
        shutil.copyfile(draft, new)
    return Exported(written, skipped)


def _strings(rebuilder: Rebuilder, record: Any) -> tuple[str, str] | None:
    call = rebuilder.call(record)
    if call is None:
        return None
    strings = langchain_strings(call.model, call.messages, call.stop, call.kwargs)
    return strings if strings is not None and row_counts(call.model, strings[1]) else None


def _langchain_cache(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package announces its end
            from langchain_community.cache import SQLiteCache
    except ImportError as error:
        raise LLMCacheError(
            "LangChain's format is written by LangChain's own class, which is not installed",
            "Run: pip install langchain-community",
        ) from error
    cache: BaseCache = SQLiteCache(str(path))
    return cache
