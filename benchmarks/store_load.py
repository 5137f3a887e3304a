"""Many users of one cache at once: calls a second, errors, and how long the slowest wait."""

from __future__ import annotations

import multiprocessing
import random
import statistics
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.store_entries import fill, key_of, record_of
from jupyter_llmcache.stores.sqlite import SQLiteStore

Told = tuple[int, int, float]


def mixed(path: str, seed: int, for_s: float, shared: SQLiteStore | None = None) -> Told:
    """Look up four times and update once, again and again; return calls, errors and p99 in s."""
    store = shared or SQLiteStore(path)
    chance = random.Random(seed)
    took, errors, number = [], 0, 1_000_000 * (seed + 1)
    deadline = time.perf_counter() + for_s
    while time.perf_counter() < deadline:
        number += 1
        writes = number % 5 == 0
        began = time.perf_counter()
        try:
            store.put(record_of(number)) if writes else store.get(key_of(chance.randrange(1000)))
        except Exception:  # noqa: BLE001  # that is what is counted
            errors += 1
        took.append(time.perf_counter() - began)
    return len(took), errors, statistics.quantiles(took, n=100)[98] if len(took) > 1 else 0.0


def many(for_s: float) -> None:
    """Print calls a second, errors and p99 with 8 threads, and with 4 processes, on one file."""
    for name, run in (("8 threads", threads), ("4 processes", processes)):
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), 1000, 0)
            told_by = run(f"{folder}/ours.db", for_s)
        calls, errors = sum(t[0] for t in told_by), sum(t[1] for t in told_by)
        p99_ms = max(t[2] for t in told_by) * 1e3
        print(f"\n{name}, one call of five an update")
        print(f"  {calls / for_s:.0f}/s, {errors} errors, p99 {p99_ms:.2f} ms", flush=True)


def threads(path: str, for_s: float) -> list[Told]:
    """Let eight threads share one cache."""
    store, done = SQLiteStore(path), []
    workers = [
        threading.Thread(target=lambda n=n: done.append(mixed(path, n, for_s, store)))
        for n in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    store.close()
    return done


def processes(path: str, for_s: float) -> list[Told]:
    """Let four processes share one file."""
    with multiprocessing.get_context("fork").Pool(4) as pool:
        return pool.starmap(mixed, [(path, n, for_s) for n in range(4)])
