"""What seeing and managing costs, over a bare scan of keys and titles of the same file.

Run: python benchmarks/manage.py [ENTRIES], 100,000 where none are given
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import sqlite3
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import compare
from jupyter_llmcache.commands import subcommands
from jupyter_llmcache.ledger import LEDGER, Entry
from jupyter_llmcache.stores.sqlite import SQLiteStore

_WORDS = [
    *("explain", "why", "the", "energy", "of", "moving", "particle", "grows", "list", "three"),
    *("causes", "for", "loops", "python", "tell", "joke", "about", "numbers", "prime", "median"),
    *("translate", "following", "sentence", "german", "summarise", "article", "cells", "write"),
    *("function", "sorts", "names", "given", "dictionary", "difference", "between", "mean"),
]
_ROUNDS = 5
#: Of the processor time that a bare scan of keys and titles takes, where there is a goal.
_GOALS = {"list --grep prime": 2.0, "explain": 1.5}


def records(count: int) -> Iterator[Entry]:
    """Yield made-up entries of about 1 KB each: 20 models' settings, prompts of 5 to 60 words."""
    chance = random.Random(7)
    for index in range(count):
        question = " ".join(chance.choices(_WORDS, k=chance.randrange(5, 60)))
        request = json.dumps(
            {
                "schema": 1,
                "class": "langchain_openai.ChatOpenAI",
                "provider": "openai",
                "model": f"gpt-{chance.randrange(4)}",
                "endpoint": "https://api.openai.com/v1",
                "parameters": {"temperature": chance.randrange(5) / 10},
            },
            separators=(",", ":"),
        )
        prompt = json.dumps(
            [
                {"content": "You are a patient teacher.", "role": "system"},
                {"content": f"{question} ({index})", "role": "human"},
            ],
            separators=(",", ":"),
        )
        answer = json.dumps(
            {
                "format": 1,
                "versions": {"langchain-core": "1.8.3"},
                "generations": [{"text": " ".join(chance.choices(_WORDS, k=100))}],
            }
        )
        key = hashlib.blake2b((request + prompt).encode(), digest_size=16).digest()
        created_at = 1.7e9 + index
        texts = {"request": request, "prompt": prompt, "title": question[:120]}
        yield Entry(key, answer.encode(), created_at, 0.8, **texts)


def actions(store: SQLiteStore) -> dict[str, Callable[[], Any]]:
    """Return what is measured, by name."""
    known = subcommands("notebook")
    some = list(store.entries(limit=3, sort="size", texts=False))
    key = some[0].key.hex()[:8]
    listing = {"model": None, "grep": None, "since": None, "sort": "recent", "number": 20}
    forgetting = {"keys": [], "model": None, "grep": None, "older_than": None, "yes": False}

    def run(name: str, **options: Any) -> Callable[[], Any]:
        return lambda: known[name].handler(store, LEDGER, Namespace(**options))

    return {
        "list": run("list", **listing),
        "list --sort saved": run("list", **listing | {"sort": "saved"}),
        "list --grep prime": run("list", **listing | {"grep": "prime mean"}),
        "list --model gpt-2": run("list", **listing | {"model": "gpt-2"}),
        "show": run("show", key=key),
        "explain": run("explain", key=key),
        "forget KEY": run("forget", **forgetting | {"keys": [key]}),
        "forget --grep": run("forget", **forgetting | {"grep": "prime mean median"}),
        "forget --model": run("forget", **forgetting | {"model": "gpt-2"}),
        "stats": run("stats"),
        "status": lambda: (store.count(), store.size_bytes()),
    }


def scan(path: Path) -> None:
    """Read all keys and titles with bare sqlite3: what no list of everything can go below."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT key, title FROM llmcache_entries").fetchall()


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.db"
        with closing(SQLiteStore(path)) as store:
            store.put_many(list(records(count)))
        with closing(SQLiteStore(path)) as store:
            print(f"{count:,} entries, {path.stat().st_size / 1e6:.0f} MB")
            measure(store, path)


def measure(store: SQLiteStore, path: Path) -> None:
    """Print one line for each action; they and the bare scan take turns."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took = compare({"bare scan": lambda: scan(path), **actions(store)}, _ROUNDS)
    print(f"{'':<20} {'wall ms':>8} {'cpu ms':>8} {'x scan':>7}  goal at a million")
    for name, (wall_s, cpu_s) in took.items():
        ratio, goal = cpu_s / took["bare scan"].cpu_s, _GOALS.get(name)
        line = f"{name:<20} {wall_s * 1e3:8.1f} {cpu_s * 1e3:8.1f} {ratio:7.2f}  {goal or ''}"
        print(line + ("  OVER" if goal and ratio > goal else ""), flush=True)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"peak memory grew by {grown_kib / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
