"""What the benchmarks of the stores put into them: prompts and answers of 1 KB."""

from __future__ import annotations

import contextlib
import functools
import random
import sqlite3
import statistics
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from langchain_community.cache import SQLiteCache as CommunityCache
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration

from benchmarks.streams import deeper
from jupyter_llmcache import answer as entry
from jupyter_llmcache.entry import Entry
from jupyter_llmcache.stores.sqlite import SQLiteStore

LLM_STRING = "the parameters of a model, as LangChain writes them " * 8
#: How many different texts there are; each gets its number in front.
POOL = 64
WORDS = Path(__file__).read_text("utf-8").split()


@functools.cache
def pooled_text(number: int, size_bytes: int) -> str:
    """Return one of a few texts of this size."""
    return " ".join(random.Random(number).choices(WORDS, k=size_bytes // 4))[:size_bytes]


def text_of(number: int, size_bytes: int) -> str:
    """Return a text of about this size that belongs to ``number``, in next to no time."""
    return f"{number} {pooled_text(number % POOL, size_bytes)}"


def generations_of(number: int) -> list[ChatGeneration]:
    """Return an answer of 1 KB."""
    usage = {"input_tokens": 250, "output_tokens": 250, "total_tokens": 500}
    metadata = {"finish_reason": "stop", "model_name": "gpt-x", "model_provider": "openai"}
    message = AIMessage(
        text_of(number + 1, 1000),
        usage_metadata=usage,
        response_metadata=metadata,
        id=f"run-{number}",
    )
    return [ChatGeneration(message=message)]


def key_of(number: int) -> bytes:
    """Return a key that is spread like a digest."""
    return blake2b(b"%d" % number, digest_size=16).digest()


@functools.cache
def pooled_answer(number: int) -> bytes:
    """Return one of a few answers as the store is given them."""
    return entry.encode(generations_of(number), versions={"langchain-core": "1.0.0"})


def record_of(number: int) -> Entry:
    """Return an entry with a prompt and an answer of 1 KB."""
    prompt, answer = text_of(number, 1000), pooled_answer(number % POOL)
    texts = {"request": LLM_STRING, "prompt": prompt, "title": prompt[:80]}
    return Entry(key_of(number), answer, time.time(), 1.0, **texts)


def encoded(number: int) -> Entry:
    """Return such an entry, its answer encoded just now, as it is when a provider has answered."""
    answer = entry.encode(generations_of(number), versions={"langchain-core": "1.0.0"})
    return record_of(number)._replace(answer=answer)


def told(name: str, ratio: float, goal: float | None) -> None:
    """Print one ratio, and whether it is what it should be."""
    verdict = "" if goal is None else f"  goal {goal:.2f}{'' if ratio <= goal else '  MISSED'}"
    print(f"  {name:<44} {ratio:8.3f}{verdict}", flush=True)


def fill(folder: Path, entries: int, community_entries: int) -> None:
    """Fill the files of both; community's rows are what its own ``update`` writes."""
    with contextlib.closing(SQLiteStore(folder / "ours.db")) as store:
        for start in range(0, entries, 1000):
            store.put_many([record_of(n) for n in range(start, min(entries, start + 1000))])
    cache = CommunityCache(str(folder / "community.db"))
    for n in range(POOL):
        cache.update(text_of(n, 1000), LLM_STRING, generations_of(n))
    with contextlib.closing(sqlite3.connect(folder / "community.db")) as connection, connection:
        answers = connection.execute("SELECT response FROM full_llm_cache").fetchall()
        connection.executemany(
            "INSERT INTO full_llm_cache VALUES (?, ?, 0, ?)",
            (
                (text_of(n, 1000), LLM_STRING, answers[n % POOL][0])
                for n in range(POOL, community_entries)
            ),
        )


class Took(NamedTuple):
    """Medians of one way, in seconds: on the clock, and of this thread's processor time."""

    wall_s: float
    cpu_s: float


def shuffled(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Took]:
    """Return what each way takes; in each round they are called in another order."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    order = list(ways)
    chance = random.Random(7)
    for way in ways.values():
        way()
    for round_ in range(rounds):
        chance.shuffle(order)
        for name in order:
            wall, cpu = time.perf_counter(), time.thread_time()
            # CPython pays for calls that cross the end of a piece of its stack: spread the luck.
            deeper(round_ % 50, ways[name])
            taken[name].append((time.perf_counter() - wall, time.thread_time() - cpu))
    return {
        name: Took(*(statistics.median(column) for column in zip(*pairs, strict=True)))
        for name, pairs in taken.items()
    }


def line(took: dict[str, Took]) -> str:
    """Return all ways with wall and processor time in microseconds."""
    return "  " + "  ".join(
        f"{name} {each.wall_s * 1e6:.0f}/{each.cpu_s * 1e6:.0f}" for name, each in took.items()
    )
