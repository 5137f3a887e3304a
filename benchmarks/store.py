"""What a hit and a new answer cost in each cache, as ratios to peers in one run; how it grows.

    python benchmarks/store.py            the table, in some minutes
    python benchmarks/store.py --full     also a million entries, and docs/growth.png
    python benchmarks/store.py --quick    a few rounds, to see that everything works

Ways that are compared take turns in an order that is shuffled each time; ratios are those of median
processor times, for the clock also tells of what else the machine does (wall/CPU are printed in
microseconds). Each does the same work: it is given generations and returns generations. The peers:
LangChain's own caches, diskcache and joblib where they are installed, Redis where a server is, a
cache that answers at once ("floor"). Ours runs with all that keeps it safe.
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
from hashlib import blake2b
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
    Took,
    encoded,
    fill,
    generations_of,
    key_of,
    line,
    record_of,
    shuffled,
    text_of,
    told,
)
from benchmarks.store_load import many  # noqa: E402
from benchmarks.streams import ConstantCache, prompts, tools  # noqa: E402
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


class JoblibCache(DiskCache):
    """The shortest LangChain cache over joblib's store of results."""

    def __init__(self, folder: Path) -> None:
        import joblib

        self._dump, self._load, self._folder = joblib.dump, joblib.load, folder
        folder.mkdir()

    def _path(self, prompt: str, llm_string: str) -> Path:
        return self._folder / blake2b(f"{prompt}{llm_string}".encode(), digest_size=16).hexdigest()

    def lookup(self, prompt: str, llm_string: str) -> Any:
        """Return what was stored for the two strings, or None."""
        path = self._path(prompt, llm_string)
        return self._load(path) if path.exists() else None

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        """Store it."""
        self._dump(return_val, self._path(prompt, llm_string))


@contextlib.contextmanager
def redis_cache(folder: Path) -> Iterator[BaseCache | None]:
    """Yield LangChain's own cache on a server of its own, where there is one."""
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None or importlib.util.find_spec("redis") is None:
        yield None
        return
    import redis
    from langchain_community.cache import RedisCache

    path = folder / "redis.sock"
    command = [server, "--port", "0", "--unixsocket", str(path), "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            while not path.exists():
                time.sleep(0.02)
            with redis.Redis(unix_socket_path=str(path)) as client:
                yield RedisCache(redis_=client)
        finally:
            process.terminate()


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
    for name, cls in (("diskcache", DiskCache), ("joblib", JoblibCache)):
        if importlib.util.find_spec(name):
            found[name] = cls(folder / name)
    try:
        with redis_cache(folder) as redis:
            yield found | ({"redis": redis} if redis else {})
    finally:
        set_llm_cache(None)
        sqlite.close()
        memory.close()


def invoking(cache: BaseCache, ask: Callable[[], Any]) -> Callable[[], Any]:
    """Return what asks with ``cache`` as LangChain's global one."""

    def invoke() -> Any:
        set_llm_cache(cache)
        return ask()

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
            print_hits(shape, shuffled(ways, max(5, rounds // slower)))
        numbers = iter(range(1_000_000))
        puts = {
            name: invoking(cache, lambda: plain.invoke(text_of(next(numbers), 40)))
            for name, cache in all_caches.items()
        }
        del puts["floor"]  # it finds what it was given last
        took = shuffled(puts, max(5, rounds // 4))
        print("\na new answer end to end, the provider on this machine")
        print(line(took))
        told("sqlite / InMemoryCache", took["sqlite"].cpu_s / took["InMemoryCache"].cpu_s, None)


def print_hits(shape: str, took: dict[str, Took]) -> None:
    """Print the ratios of one shape of request."""
    print(f"\nhit end to end, {shape}")
    print(line(took))
    short = shape == "short prompt"
    cpu = {name: each.cpu_s for name, each in took.items()}
    told("sqlite / community", cpu["sqlite"] / cpu["community"], GOALS[shape])
    told("sqlite / floor", cpu["sqlite"] / cpu["floor"], 1.4 if short else None)
    told("sqlite / InMemoryCache", cpu["sqlite"] / cpu["InMemoryCache"], 1.0 if short else None)
    told("memory / InMemoryCache", cpu["memory"] / cpu["InMemoryCache"], 1.0 if short else None)


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

            took = shuffled(
                {
                    "lookup": lookup(store, entries),
                    "memory lookup": lookup(memory, 1000),
                    "community lookup": community_get,
                    "update": lambda: store.put(encoded(next(numbers))),
                    "community update": community_put,
                },
                rounds,
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
            took = shuffled({"a hundred neighbours": lambda: store.get_many(keys)}, 50)
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


def plot(points: dict[int, dict[str, Any]], path: Path) -> None:
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
        ("hit, community", "community lookup", "C1o-"),
        ("put", "update", "C0s--"),
        ("put, community", "community update", "C1s--"),
    ):
        times.loglog(
            measured(key), [points[n][key].cpu_s * 1e6 for n in measured(key)], style, label=name
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


def growth(counts: list[int], rounds: int) -> dict[int, dict[str, Any]]:
    """Print and return what the stores take at each number of entries."""
    points = {}
    for count in counts:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        # A million of its rows are 5 GB, which takes longer to write than all else together.
        of_community = min(count, 100_000, free // 20_000)
        points[count] = stores_alone(count, of_community, rounds)
        print_stores(points[count], count)
    flat = points[counts[-1]]["lookup"].cpu_s / points[counts[0]]["lookup"].cpu_s
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
    embeddings(200 if args.quick else 10_000)
    held()
    many(0.1 if args.quick else 4.0)
    if args.full:
        plot(points, ROOT / "docs" / "growth.png")


if __name__ == "__main__":
    main()
