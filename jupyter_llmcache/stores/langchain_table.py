"""The table of LangChain's own SQLite cache, read in place and never written."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_FIRST_PAGE = "SELECT DISTINCT prompt, llm FROM full_llm_cache ORDER BY prompt, llm LIMIT 200"
_NEXT_PAGE = """
    SELECT DISTINCT prompt, llm FROM full_llm_cache WHERE (prompt, llm) > (?, ?)
    ORDER BY prompt, llm LIMIT 200
"""


@dataclass(frozen=True, slots=True)
class LangChainRows:
    """What LangChain keeps for one prompt and one model.

    Attributes:
        prompt: LangChain's text of the prompt.
        llm_string: LangChain's text of the model and its parameters.
        responses: One serialised generation each, in order.
    """

    prompt: str
    llm_string: str
    responses: tuple[str, ...]


def responses(connection: sqlite3.Connection, prompt: str, llm_string: str) -> list[str]:
    """Return the responses to ``prompt`` in order; empty texts where a row holds no text."""
    rows = connection.execute(
        "SELECT response FROM full_llm_cache WHERE prompt = ? AND llm = ? ORDER BY idx",
        (prompt, llm_string),
    ).fetchall()
    return [_text(response) for (response,) in rows]


def count(connection: sqlite3.Connection) -> int:
    """Return how many prompts have responses."""
    (entries,) = connection.execute(
        "SELECT count(*) FROM (SELECT DISTINCT prompt, llm FROM full_llm_cache)"
    ).fetchone()
    return int(entries)


def rows_after(
    connection: sqlite3.Connection, place: tuple[str, str] | None
) -> list[LangChainRows]:
    """Return the next prompts after ``place`` with their responses, in order; none at the end."""
    page = connection.execute(_NEXT_PAGE, place) if place else connection.execute(_FIRST_PAGE)
    found = page.fetchall()
    return [
        LangChainRows(prompt, llm_string, tuple(responses(connection, prompt, llm_string)))
        for prompt, llm_string in found
    ]


def _text(response: object) -> str:
    return response if isinstance(response, str) else ""
