"""What a course file of 10,000 entries costs to export and to import, against plain SQLite.

Run: python benchmarks/course.py [ENTRIES]

The measure of the machine is a plain copy of the same file by SQLite's own backup.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from langchain_openai import ChatOpenAI

from jupyter_llmcache import answer as entry
from jupyter_llmcache import course
from jupyter_llmcache import request as keys
from jupyter_llmcache.seam.place import entry_of
from jupyter_llmcache.stores.memory import MemoryStore
from jupyter_llmcache.stores.sqlite import SQLiteStore

GOAL_S = 2.0
ROUNDS = 3


def fill(store: MemoryStore, count: int) -> None:
    """Put ``count`` entries of a chat model into ``store``, with 1 KB prompts and answers."""
    llm = ChatOpenAI(model="gpt-x", api_key="none", temperature=0)
    for number in range(count):
        text = f"Question {number}: " + "why does the energy of a particle grow? " * 25
        request = keys.describe(llm, [HumanMessage(text)], None, {})
        answer = AIMessage(f"Answer {number}: " + "because it moves faster and faster. " * 28)
        store.put(
            entry_of(
                request,
                entry.encode([ChatGeneration(message=answer)], versions={"langchain-core": "1"}),
                1.7e9 + number,
                0.8,
            )
        )


def fastest_s(action: Callable[[], Any]) -> float:
    """Return how long ``action`` takes at best, in seconds."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return min(times)


def backup(source: Path, target: Path) -> None:
    """Copy a database as SQLite does it."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def import_into_new(source: Path, target: Path) -> None:
    """Import ``source`` into a new cache file."""
    target.unlink(missing_ok=True)
    store = SQLiteStore(target)
    course.import_file(store, source)
    store.close()


def main(count: int) -> int:
    """Print the table; return 1 where the goal is missed."""
    store = MemoryStore()
    fill(store, count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database, lines, new = folder / "course.db", folder / "course.jsonl", folder / "new.db"
        rows = {
            "export course.db": lambda: course.export_database(store, database),
            "export course.jsonl": lambda: course.export_lines(store, lines),
            "SQLite's own copy": lambda: backup(database, folder / "copy.db"),
            "import course.db": lambda: import_into_new(database, new),
            "import course.jsonl": lambda: import_into_new(lines, new),
        }
        times = {row: fastest_s(action) for row, action in rows.items()}
        sizes = database.stat().st_size / 1e6, lines.stat().st_size / 1e6
    copy_s = times["SQLite's own copy"]
    print(f"{count:,} entries: {sizes[0]:.1f} MB as a database, {sizes[1]:.1f} MB as lines")
    for row, took_s in times.items():
        goal = f"goal: under {GOAL_S:.0f} s" if row.startswith("import") else ""
        print(f"{row:20} {took_s:7.2f} s  {took_s / copy_s:6.1f} x the copy  {goal}")
    return int(any(times[row] >= GOAL_S for row in times if row.startswith("import")))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
