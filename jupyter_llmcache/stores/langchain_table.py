"""The table of LangChain's own SQLite cache, read in place and never written."""

from __future__ import annotations

import sqlite3


def responses(connection: sqlite3.Connection, prompt: str, llm_string: str) -> list[str]:
    """Return the responses to ``prompt`` in order; empty texts where a row holds no text."""
    rows = connection.execute(
        "SELECT response FROM full_llm_cache WHERE prompt = ? AND llm = ? ORDER BY idx",
        (prompt, llm_string),
    ).fetchall()
    return [_text(response) for (response,) in rows]


def _text(response: object) -> str:
    return response if isinstance(response, str) else ""
