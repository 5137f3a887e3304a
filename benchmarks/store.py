"""What the stores cost alone, as ratios to langchain-community's; how that grows; many users.

    python benchmarks/store.py            the tables, in some minutes
    python benchmarks/store.py --full     also a million entries
    python benchmarks/store.py --quick    a few rounds, to see that everything works

Both are given generations and return generations. How ways are compared is told in common.py; what
whole calls of models cost, in calls.py. Times are wall/processor microseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
warnings.simplefilter("ignore")  # langchain-community warns when it is imported and used

from langchain_community.cache import SQLiteCache as CommunityCache  # noqa: E402

from benchmarks.common import (  # noqa: E402
    LLM_STRING,
    Took,
    compare,
    encoded,
    fill,
    generations_of,
    key_of,
    line,
    record_of,
    text_of,
    told,
)
from jupyter_llmcache import answer as entry  # noqa: E402
from jupyter_llmcache.stores.memory import MemoryStore  # noqa: E402
from jupyter_llmcache.stores.sqlite import SQLiteStore  # noqa: E402

# --- the stores alone ---


def stores_alone(entries: int, community_entries: int, rounds: int) -> dict[str, Any]:
    """Return medians in seconds and sizes in bytes an entry, with so many entries in the files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, entries, community_entries)
        sizes = {
            "ours bytes": (folder / "ours.db").stat().st_size / entries,
            "community bytes": (folder / "community.db").stat().st_size / community_entries,
        }
        numbers = iter(range(10_000_000, 20_000_000))
        chance = random.Random(1)
        community = CommunityCache(str(folder / "community.db"))
        memory = MemoryStore()
        memory.put_many([record_of(n) for n in range(1000)])
        with contextlib.closing(SQLiteStore(folder / "ours.db")) as store:

            def lookup(of: Any, among: int) -> Callable[[], Any]:
                return lambda: entry.decode(of.get(key_of(chance.randrange(among))).answer)

            def community_get() -> Any:
                return community.lookup(
                    text_of(chance.randrange(community_entries), 1000), LLM_STRING
                )

            def community_put() -> None:
                number = next(numbers)
                community.update(text_of(number, 1000), LLM_STRING, generations_of(number))

            took = compare(
                {
                    "lookup": lookup(store, entries),
                    "memory lookup": lookup(memory, 1000),
                    "community lookup": community_get,
                    "update": lambda: store.put(encoded(next(numbers))),
                    "community update": community_put,
                },
                rounds,
                10,
            )
            began = time.perf_counter()
            store.clear()
            cleared = {"clear s": time.perf_counter() - began, "cleared bytes": store.size_bytes()}
        found = took | sizes | cleared
        return found | {"community entries": community_entries}


def print_stores(took: dict[str, Any], entries: int) -> None:
    """Print the ratios of the stores alone."""
    print(f"\nthe stores alone, {entries:,} entries of 1 KB prompts and answers, with coding")
    if took["community entries"] != entries:
        print(f"  (community: {took['community entries']:,.0f}, all that is written for it)")
    ways = {name: each for name, each in took.items() if isinstance(each, Took)}
    print(line(ways))
    cpu = {name: each.cpu_s for name, each in ways.items()}
    told("lookup / community", cpu["lookup"] / cpu["community lookup"], 0.12)
    told("update / community", cpu["update"] / cpu["community update"], 0.12)
    told("file / community", took["ours bytes"] / took["community bytes"], 0.35)
    print(f"  clear {took['clear s'] * 1e3:.0f} ms; the file has {took['cleared bytes']:.0f} bytes")


def embeddings(number: int) -> None:
    """Print what vectors of 1,536 dimensions take in the file, and how fast a hundred are found."""
    raw = 1536 * 4
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "vectors.db")
        with contextlib.closing(SQLiteStore(path)) as store:
            for start in range(0, number, 100):
                store.put_many(
                    [
                        record_of(n)._replace(
                            kind="embedding",
                            answer=random.Random(n).randbytes(raw),
                            prompt=text_of(n, 100),
                            title=text_of(n, 20),
                        )
                        for n in range(start, min(number, start + 100))
                    ]
                )
            store.flush()
            keys = [key_of(n) for n in range(number // 2, number // 2 + 100)]
            took = compare({"a hundred neighbours": lambda: store.get_many(keys)}, 50)
        print(f"\n{number:,} embedded texts")
        print(line(took))
        told("file / (1.05 raw + 200 each)", path.stat().st_size / (number * (1.05 * raw + 200)), 1)
        told("a hundred texts, in ms of CPU", next(iter(took.values())).cpu_s * 1e3, 6)


def held() -> None:
    """Print how long puts take while another program holds the file, and what is lost by it."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "held.db")
        with contextlib.closing(SQLiteStore(path)) as store:
            store.put(record_of(0))
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            took = []
            for n in range(1, 51):
                began = time.perf_counter()
                store.put(record_of(n))
                took.append(time.perf_counter() - began)
            other.close()
            lost = store.flush(5)
        print("\n50 answers while another program holds the file")
        told("the slowest put, in ms", max(took) * 1e3, 50)
        told("lost", lost, 0)


# --- many users ---

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


# --- growth ---


def growth(counts: list[int], rounds: int) -> None:
    """Print what the stores take at each number of entries."""
    points = {}
    for count in counts:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        # A million of its rows are 5 GB, which takes longer to write than all else together.
        of_community = min(count, 100_000, free // 20_000)
        points[count] = stores_alone(count, of_community, rounds)
        print_stores(points[count], count)
    flat = points[counts[-1]]["lookup"].cpu_s / points[counts[0]]["lookup"].cpu_s
    told(f"lookup at {counts[-1]:,} / at {counts[0]:,}", flat, 1.5)


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few rounds")
    parser.add_argument("--full", action="store_true", help="also a million entries")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # LangChain turned its own on again
    counts = [100, 200] if args.quick else [1000, 10_000, 100_000]
    growth(counts + [1_000_000] * args.full, 3 if args.quick else 60)
    embeddings(200 if args.quick else 10_000)
    held()
    many(0.1 if args.quick else 4.0)


if __name__ == "__main__":
    main()
