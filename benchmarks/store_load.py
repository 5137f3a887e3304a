"""Many users of one cache at once: calls a second, errors, and how long the slowest wait."""

from __future__ import annotations

import multiprocessing
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_community.cache import SQLiteCache as CommunityCache

from benchmarks.store_entries import (
    LLM_STRING,
    POOL,
    fill,
    generations_of,
    key_of,
    record_of,
    text_of,
)
from jupyter_llmcache.stores.sqlite import SQLiteStore


def opened(kind: str, path: str) -> tuple[Callable[[int], Any], Callable[[int], Any]]:
    """Return how to look up and how to update an entry by its number."""
    if kind == "ours":
        store = SQLiteStore(path)
        return (lambda n: store.get(key_of(n))), (lambda n: store.put(record_of(n)))
    cache, answers = CommunityCache(path), [generations_of(n) for n in range(POOL)]
    return (
        lambda n: cache.lookup(text_of(n, 1000), LLM_STRING),
        lambda n: cache.update(text_of(n, 1000), LLM_STRING, answers[n % POOL]),
    )


def mixed(
    kind: str, path: str, seed: int, for_s: float, ways: Any = None
) -> tuple[int, int, float]:
    """Look up four times and update once, again and again; return calls, errors and p99 in s."""
    get, put = ways or opened(kind, path)
    chance = random.Random(seed)
    took, errors, number = [], 0, 1_000_000 * (seed + 1)
    deadline = time.perf_counter() + for_s
    while time.perf_counter() < deadline:
        number += 1
        writes = number % 5 == 0
        began = time.perf_counter()
        try:
            put(number) if writes else get(chance.randrange(1000))
        except Exception:  # noqa: BLE001  # that is what is counted
            errors += 1
        took.append(time.perf_counter() - began)
    return len(took), errors, statistics.quantiles(took, n=100)[98] if len(took) > 1 else 0.0


def many(for_s: float) -> None:
    """Print calls a second with 8 threads, and with 4 processes, of ours and of community."""
    goals = {"8 threads": 14, "4 processes": 25}
    for name, run in (("8 threads", threads), ("4 processes", processes)):
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), 1000, 1000)
            ours = run("ours", f"{folder}/ours.db", for_s)
            peer = run("community", f"{folder}/community.db", for_s)
        print(f"\n{name}, one call of five an update: calls, errors, p99 in ms")
        for who, (calls, errors, p99_s) in (("ours", ours), ("community", peer)):
            print(f"  {who:<12} {calls / for_s:9.0f}/s {errors:6} {p99_s * 1e3:10.2f}")
        ratio = ours[0] / max(1, peer[0])
        verdict = "" if ratio >= goals[name] else "  MISSED"
        print(f"  ours / community{'':<29} {ratio:8.1f}  goal {goals[name]}{verdict}", flush=True)


Told = tuple[int, int, float]


def summed(told_by: list[Told]) -> Told:
    """Return all calls, all errors and the worst p99."""
    return sum(t[0] for t in told_by), sum(t[1] for t in told_by), max(t[2] for t in told_by)


def threads(kind: str, path: str, for_s: float) -> Told:
    """Let eight threads share one cache."""
    ways, done = opened(kind, path), []
    workers = [
        threading.Thread(target=lambda n=n: done.append(mixed(kind, path, n, for_s, ways)))
        for n in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return summed(done)


def processes(kind: str, path: str, for_s: float) -> Told:
    """Let four processes share one file."""
    with multiprocessing.get_context("fork").Pool(4) as pool:
        return summed(pool.starmap(mixed, [(kind, path, n, for_s) for n in range(4)]))
