"""What a hit and a new answer cost in each cache, as ratios to peers in one run; how it grows.

    python benchmarks/store.py            the table, in some minutes
    python benchmarks/store.py --full     also a million entries, and docs/growth.png
    python benchmarks/store.py --quick    a few rounds, to see that everything works

Ways that are compared take turns, so that a busy machine slows them alike; ratios are those of
medians. The peers: LangChain's own caches, diskcache, a cache that answers at once ("floor") and a
bare sqlite3 SELECT or INSERT of the same bytes ("bare"). Ours runs with all that keeps it safe.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
warnings.simplefilter("ignore")  # langchain-community warns when it is imported and used

from langchain_community.cache import SQLiteCache as CommunityCache  # noqa: E402
from langchain_core.caches import BaseCache, InMemoryCache  # noqa: E402
from langchain_core.globals import set_llm_cache  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402

from benchmarks.store_entries import (  # noqa: E402
    LLM_STRING,
    fill,
    generations_of,
    key_of,
    record_of,
    seconds,
    text_of,
    told,
)
from benchmarks.store_load import many  # noqa: E402
from benchmarks.streams import ConstantCache, prompts, take_turns, tools  # noqa: E402
from jupyter_llmcache import answer as entry  # noqa: E402
from jupyter_llmcache.seam.cache import MemoryCache, SQLiteCache  # noqa: E402
from jupyter_llmcache.stores.memory import MemoryStore  # noqa: E402
from jupyter_llmcache.stores.sqlite import SQLiteStore  # noqa: E402
from tests.servers.openai import OpenAIServer  # noqa: E402

GOALS = {  # of sqlite / community, end to end
    "short prompt": 0.30,
    "100 KB prompt": 0.45,
    "20-turn chat": 0.40,
    "1 MB image": 0.70,
    "20 tools": None,
}
Ways = dict[str, Callable[[], Any]]


class DiskCache(BaseCache):
    """The shortest LangChain cache over diskcache."""

    def __init__(self, folder: Path) -> None:
        import diskcache

        self._cache = diskcache.Cache(str(folder))

    def lookup(self, prompt: str, llm_string: str) -> Any:
        """Return what was stored for the two strings, or None."""
        return self._cache.get((prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        """Store it."""
        self._cache[prompt, llm_string] = return_val

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002  # LangChain's name
        """Forget it."""
        self._cache.clear()


# --- end to end ---


@contextlib.contextmanager
def caches(folder: Path) -> Iterator[dict[str, BaseCache]]:
    """Yield all caches by name."""
    sqlite, memory = SQLiteCache(folder / "ours.db"), MemoryCache()
    found: dict[str, BaseCache] = {
        "floor": ConstantCache(),
        "InMemoryCache": InMemoryCache(),
        "memory": memory,
        "sqlite": sqlite,
        "community": CommunityCache(str(folder / "community.db")),
    }
    if importlib.util.find_spec("diskcache"):
        found["diskcache"] = DiskCache(folder / "diskcache")
    try:
        yield found
    finally:
        set_llm_cache(None)
        sqlite.close()
        memory.close()


def invoking(cache: BaseCache, ask: Callable[[], Any]) -> Callable[[], float]:
    """Return what asks with ``cache`` as LangChain's global one, and returns the seconds taken."""

    def invoke() -> float:
        set_llm_cache(cache)
        began = time.perf_counter()
        ask()
        return time.perf_counter() - began

    return invoke


def end_to_end(rounds: int) -> None:
    """Print ratios of whole ``invoke`` calls: hits of every shape, and new answers."""
    with (
        tempfile.TemporaryDirectory() as name,
        OpenAIServer(lambda _: text_of(1, 1000)) as server,
        caches(Path(name)) as all_caches,
    ):
        plain: Any = ChatOpenAI(model="gpt-x", api_key="k", base_url=server.url, max_retries=0)
        for shape, prompt in prompts().items():
            llm = plain.bind_tools(tools()) if shape == "20 tools" else plain
            ways = {
                name: invoking(cache, lambda llm=llm, prompt=prompt: llm.invoke(prompt))
                for name, cache in all_caches.items()
            }
            slower = 20 if shape == "1 MB image" else 4 if shape == "100 KB prompt" else 1
            print_hits(shape, take_turns(ways, max(5, rounds // slower)))
        numbers = iter(range(1_000_000))
        puts = {
            name: invoking(cache, lambda: plain.invoke(text_of(next(numbers), 40)))
            for name, cache in all_caches.items()
        }
        took = take_turns(puts, max(5, rounds // 4))
        alone = took["floor"]
        print("\na new answer end to end, the provider on this machine, in milliseconds")
        print("  " + "  ".join(f"{name} {seconds * 1e3:.2f}" for name, seconds in took.items()))
        print(f"  (the floor, {alone * 1e3:.2f} ms, finds what it was given last: a hit)")


def print_hits(shape: str, took: dict[str, float]) -> None:
    """Print the ratios of one shape of request."""
    print(f"\nhit end to end, {shape}, in microseconds")
    print("  " + "  ".join(f"{name} {seconds * 1e6:.0f}" for name, seconds in took.items()))
    short = shape == "short prompt"
    told("sqlite / community", took["sqlite"] / took["community"], GOALS[shape])
    told("sqlite / floor", took["sqlite"] / took["floor"], 1.4 if short else None)
    told("memory / InMemoryCache", took["memory"] / took["InMemoryCache"], 1.2 if short else None)


# --- the stores alone ---


def bare_ways(folder: Path, entries: int, number: Callable[[], int]) -> Ways:
    """Return a SELECT and an INSERT of our bytes by sqlite3 alone."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, key BLOB UNIQUE, answer, prompt)")
    packed = record_of(0)
    insert = "INSERT INTO t (key, answer, prompt) VALUES (?, ?, ?)"
    rows = ((key_of(n), packed.answer, packed.prompt) for n in range(min(entries, 100_000)))
    connection.execute("BEGIN")
    connection.executemany(insert, rows)
    connection.execute("COMMIT")
    chance = random.Random(0)

    def get() -> float:
        key = key_of(chance.randrange(min(entries, 100_000)))
        return seconds(
            lambda: connection.execute("SELECT answer FROM t WHERE key = ?", (key,)).fetchone()
        )

    def put() -> float:
        row = (key_of(number()), packed.answer, packed.prompt)
        return seconds(lambda: connection.execute(insert, row))

    return {"get": get, "put": put}


def stores_alone(entries: int, community_entries: int, rounds: int) -> dict[str, float]:
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

            def lookup(of: Any, among: int, *, decoding: bool = True) -> Callable[[], float]:
                def get() -> float:
                    key = key_of(chance.randrange(among))
                    return seconds(
                        (lambda: entry.decode(of.get(key).answer))
                        if decoding
                        else (lambda: of.get(key))
                    )

                return get

            def community_get() -> float:
                prompt = text_of(chance.randrange(community_entries), 1000)
                return seconds(lambda: community.lookup(prompt, LLM_STRING))

            def put() -> float:
                record = record_of(next(numbers))
                return seconds(lambda: store.put(record))

            def community_put() -> float:
                number = next(numbers)
                prompt, answer = text_of(number, 1000), generations_of(number)
                return seconds(lambda: community.update(prompt, LLM_STRING, answer))

            bare = bare_ways(folder, entries, lambda: next(numbers))
            took = take_turns(
                {
                    "get": lookup(store, entries, decoding=False),
                    "lookup": lookup(store, entries),
                    "memory get": lookup(memory, 1000, decoding=False),
                    "memory lookup": lookup(memory, 1000),
                    "community get": community_get,
                    "put": put,
                    "community put": community_put,
                    "bare get": bare["get"],
                    "bare put": bare["put"],
                },
                rounds,
            )
            took["clear"] = seconds(store.clear)
            took["cleared bytes"] = store.size_bytes()
        return took | sizes | {"community entries": community_entries}


def print_stores(took: dict[str, float], entries: int) -> None:
    """Print the ratios of the stores alone."""
    print(f"\nthe stores alone, {entries:,} entries of 1 KB prompts and answers, in microseconds")
    if took["community entries"] != entries:
        print(f"  (community: {took['community entries']:,.0f}, all that is written for it)")
    units = ("bytes", "entries")
    shown = [(name, value) for name, value in took.items() if not name.endswith(units)]
    print("  " + "  ".join(f"{name} {value * 1e6:.1f}" for name, value in shown))
    told("lookup (get and decode) / community", took["lookup"] / took["community get"], 0.12)
    told("get / bare SELECT", took["get"] / took["bare get"], None)
    told("update / community", took["put"] / took["community put"], 0.08)
    told("put / bare INSERT", took["put"] / took["bare put"], None)
    told("file / community", took["ours bytes"] / took["community bytes"], 0.35)
    print(f"  clear {took['clear'] * 1e3:.0f} ms; the file has {took['cleared bytes']:.0f} bytes")


# --- a new process ---

FIRST_HIT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(model="gpt-x", api_key="k", base_url=sys.argv[3], max_retries=0)
set_llm_cache(InMemoryCache())
llm.invoke("the first"), llm.invoke("the first")
began = time.perf_counter()
from jupyter_llmcache import SQLiteCache
set_llm_cache(SQLiteCache(sys.argv[2]))
llm.invoke("the first")
print(time.perf_counter() - began)
"""


def first_hit(processes_: int) -> None:
    """Print how long a new process takes from importing ours to its first answer."""
    with (
        tempfile.TemporaryDirectory() as folder,
        OpenAIServer(lambda _: text_of(1, 1000)) as server,
    ):
        command = [sys.executable, "-c", FIRST_HIT, str(ROOT), f"{folder}/ours.db", server.url]
        took = [
            float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            for _ in range(processes_ + 1)
        ]
    found_ms = statistics.median(took[1:]) * 1e3  # the first one asks the provider
    print("\na new process, from importing ours to its first hit, LangChain warm")
    print(f"  {found_ms:.1f} ms  goal 15{'' if found_ms < 15 else '  MISSED'}")


# --- growth ---


def plot(points: dict[int, dict[str, float]], path: Path) -> None:
    """Draw times and bytes over the number of entries."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (times, sizes) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")

    def measured(key: str) -> list[int]:
        """Return the numbers of entries that the file in question really had."""
        of_peer = key.startswith("community")
        return [n for n in sorted(points) if not of_peer or points[n]["community entries"] == n]

    for name, key, style in (
        ("hit", "lookup", "C0o-"),
        ("hit, community", "community get", "C1o-"),
        ("put", "put", "C0s--"),
        ("put, community", "community put", "C1s--"),
    ):
        times.loglog(
            measured(key), [points[n][key] * 1e6 for n in measured(key)], style, label=name
        )
    times.set(
        xlabel="entries", ylabel="microseconds", title="one call of the store", ylim=(5, None)
    )
    for name, key, style in (
        ("ours", "ours bytes", "C0o-"),
        ("community", "community bytes", "C1o-"),
    ):
        sizes.loglog(
            measured(key), [points[n][key] * n / 1e6 for n in measured(key)], style, label=name
        )
    sizes.set(xlabel="entries", ylabel="MB", title="the file, 1 KB prompts and answers")
    for axes in (times, sizes):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)


def growth(counts: list[int], rounds: int) -> dict[int, dict[str, float]]:
    """Print and return what the stores take at each number of entries."""
    points = {}
    for count in counts:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        # A million of its rows are 5 GB, which takes longer to write than all else together.
        of_community = min(count, 100_000, free // 20_000)
        points[count] = stores_alone(count, of_community, rounds)
        print_stores(points[count], count)
    flat = points[counts[-1]]["lookup"] / points[counts[0]]["lookup"]
    told(f"lookup at {counts[-1]:,} / at {counts[0]:,}", flat, 1.5)
    return points


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few rounds")
    parser.add_argument("--full", action="store_true", help="a million entries, docs/growth.png")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # LangChain turned its own on again
    end_to_end(5 if args.quick else 400)
    first_hit(1 if args.quick else 7)
    counts = [100, 200] if args.quick else [1000, 10_000, 100_000]
    points = growth(counts + [1_000_000] * args.full, 5 if args.quick else 500)
    many(0.1 if args.quick else 4.0)
    if args.full:
        plot(points, ROOT / "docs" / "growth.png")


if __name__ == "__main__":
    main()
