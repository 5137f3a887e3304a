"""Files as langchain-community's own SQLite cache writes them."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any


def langchain_cache(path: Path) -> Any:
    """Return langchain-community's SQLiteCache over ``path``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_community.cache import SQLiteCache

        return SQLiteCache(database_path=str(path))


def write_langchain_file(path: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    """Write (prompt, llm_string, text) rows by LangChain's class."""
    from langchain_core.outputs import Generation

    cache = langchain_cache(path)
    for prompt, llm_string, text in rows:
        cache.update(prompt, llm_string, [Generation(text=text)])
    cache.engine.dispose()


def lookup_with_langchain(path: Path, prompt: str, llm_string: str) -> list[str] | None:
    """Return the texts that LangChain's class finds."""
    cache = langchain_cache(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = cache.lookup(prompt, llm_string)
    finally:
        cache.engine.dispose()
    return None if found is None else [generation.text for generation in found]


def langchain_table(path: Path) -> list[Any]:
    """Return what stands in LangChain's table, its definition first."""
    with closing(sqlite3.connect(path)) as connection:
        definition = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'full_llm_cache'"
        ).fetchall()
        rows = connection.execute("SELECT rowid, * FROM full_llm_cache ORDER BY rowid").fetchall()
    return [definition, *rows]
