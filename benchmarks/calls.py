"""What calls of models cost with each cache, as ratios to peers in one run.

    python benchmarks/calls.py            the table, in some minutes
    python benchmarks/calls.py --quick    a few rounds, to see that everything works

Hits of all shapes, sync and async, of streams and batches; new answers; calls that are not cached.
The peers: LangChain's own caches, diskcache, joblib and DSPy's cache where they are installed,
Redis where a server is, and a cache that answers at once ("floor"). Each is given generations and
returns generations; ours runs with all that keeps it safe. Times are wall/processor microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
warnings.simplefilter("ignore")  # langchain-community warns when it is imported and used

from langchain_community.cache import SQLiteCache as CommunityCache  # noqa: E402
from langchain_core.caches import BaseCache, InMemoryCache  # noqa: E402
from langchain_core.globals import set_llm_cache  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402

from benchmarks.common import Took, acompare, compare, line, prompts, text_of, told, tools  # noqa: E402
from jupyter_llmcache import MemoryCache, SQLiteCache, answer, modes, request  # noqa: E402
from jupyter_llmcache.answer import verdict  # noqa: E402
from jupyter_llmcache.seam import patch  # noqa: E402
from jupyter_llmcache.stores import sqlite_tables  # noqa: E402
from jupyter_llmcache.stores.sqlite import SQLiteStore  # noqa: E402
from tests.servers.openai import OpenAIServer, last_text  # noqa: E402

#: The most that a hit from SQLite may take of community's, as the first release was measured.
GOALS = {
    "short prompt": 0.30,
    "100 KB prompt": 0.45,
    "20-turn chat": 0.40,
    "1 MB image": 0.70,
    "20 tools": None,
}


#: Those beside LangChain's that may be installed.
PEERS = ("diskcache", "joblib", "dspy", "redis")

PACKING, TRANSACTION = "packing it and writing its row", "the transaction around that"
#: What keeping a new answer takes, step by step: where it is done, by what, and what it is.
STEPS: tuple[tuple[Any, str, str], ...] = (
    (request, "describe", "the key"),
    (SQLiteStore, "get", "looking into the file"),
    (patch, "_watch", "the model's copy at the provider's door"),
    (verdict, "verdict", "whether it is worth keeping"),
    (answer, "encode", "encoding it, and seeing that it comes back the same"),
    (sqlite_tables, "put", PACKING),
    (SQLiteStore, "put_many", TRANSACTION),
)


class ConstantCache(BaseCache):
    """Finds the same answer at once: what is left is LangChain's own time."""

    answer: Any = None

    def lookup(self, prompt: str, llm_string: str) -> Any:  # noqa: ARG002  # LangChain's names
        """Return what was stored last."""
        return self.answer

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:  # noqa: ARG002  # as above
        """Store it."""
        self.answer = list(return_val)

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002  # as above
        """Forget it."""
        self.answer = None


class OverCache(BaseCache):
    """The shortest LangChain cache over somebody's functions.

    Args:
        find: Returns what was stored for the two strings, or None.
        keep: Stores generations for the two strings.
    """

    def __init__(
        self, find: Callable[[tuple[str, str]], Any], keep: Callable[[tuple[str, str], Any], None]
    ) -> None:
        self._find, self._keep = find, keep

    def lookup(self, prompt: str, llm_string: str) -> Any:
        """Return what was stored for the two strings, or None."""
        return self._find((prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        """Store it."""
        self._keep((prompt, llm_string), return_val)

    def clear(self, **kwargs: Any) -> None:
        """Nobody asks."""


def over_diskcache(folder: Path) -> OverCache:
    """Return a cache over diskcache."""
    import diskcache

    cache = diskcache.Cache(str(folder))
    return OverCache(cache.get, cache.__setitem__)


def over_joblib(folder: Path) -> OverCache:
    """Return a cache over joblib's files."""
    import joblib

    folder.mkdir()

    def path(strings: tuple[str, str]) -> Path:
        return folder / blake2b("".join(strings).encode(), digest_size=16).hexdigest()

    return OverCache(
        lambda strings: joblib.load(path(strings)) if path(strings).exists() else None,
        lambda strings, answer: joblib.dump(answer, path(strings)),
    )


def over_dspy(folder: Path) -> OverCache:
    """Return a cache over what DSPy keeps answers in, on disk."""
    from dspy.clients.cache import Cache

    cache = Cache(
        enable_disk_cache=True,
        enable_memory_cache=False,
        disk_cache_dir=str(folder),
        disk_size_limit_bytes=10**9,
    )
    return OverCache(
        lambda strings: cache.get(dict(zip(("prompt", "model"), strings, strict=True))),
        lambda strings, answer: cache.put(
            dict(zip(("prompt", "model"), strings, strict=True)), answer
        ),
    )


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


@contextlib.contextmanager
def caches() -> Iterator[dict[str, BaseCache]]:
    """Yield all caches by name, in a folder of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sqlite, memory = SQLiteCache(folder / "ours.db"), MemoryCache()
        found: dict[str, BaseCache] = {
            "floor": ConstantCache(),
            "InMemoryCache": InMemoryCache(),
            "memory": memory,
            "sqlite": sqlite,
            "community": CommunityCache(str(folder / "community.db")),
        }
        peers = {"diskcache": over_diskcache, "joblib": over_joblib, "dspy": over_dspy}
        found |= {n: make(folder / n) for n, make in peers.items() if importlib.util.find_spec(n)}
        try:
            with redis_cache(folder) as redis:
                yield found | ({"redis": redis} if redis else {})
        finally:
            set_llm_cache(None)
            sqlite.close()
            memory.close()


def under(cache: BaseCache | None, ask: Callable[[], Any]) -> Callable[[], Any]:
    """Return what asks with ``cache`` as LangChain's global one."""

    def asked() -> Any:
        set_llm_cache(cache)
        return ask()

    return asked


def ratios(took: dict[str, Took], goals: dict[tuple[str, str], float | None]) -> None:
    """Print the times, and the ratios that matter with what they should be at most."""
    print(line(took))
    for (ours, peer), goal in goals.items():
        told(f"{ours} / {peer}", took[ours].cpu_s / took[peer].cpu_s, goal)


def hits(plain: Any, all_caches: dict[str, BaseCache], rounds: int) -> None:
    """Print what a whole ``invoke`` takes that the cache answers, for each shape of request."""
    for shape, prompt in prompts().items():
        llm = plain.bind_tools(tools()) if shape == "20 tools" else plain
        ways = {
            name: under(cache, lambda llm=llm, prompt=prompt: llm.invoke(prompt))
            for name, cache in all_caches.items()
        }
        slower = 20 if shape == "1 MB image" else 4 if shape == "100 KB prompt" else 1
        goals: dict[tuple[str, str], float | None] = {("sqlite", "community"): GOALS[shape]}
        goals |= {("sqlite", peer): None for peer in PEERS if peer in all_caches}
        if shape == "short prompt":
            goals |= {("sqlite", "InMemoryCache"): 1.0, ("memory", "InMemoryCache"): 1.0}
        print(f"\nhit, {shape}")
        ratios(compare(ways, max(3, rounds // slower), 10 // min(slower, 10)), goals)


def other_hits(
    llm: Any, all_caches: dict[str, BaseCache], rounds: int, runner: asyncio.Runner
) -> None:
    """Print what hits by other ways than ``invoke`` take."""
    goals: dict[tuple[str, str], float | None] = {("sqlite", "InMemoryCache"): 1.7}
    ways = {name: under(cache, lambda: llm.ainvoke("hello")) for name, cache in all_caches.items()}
    print("\nhit, ainvoke")
    ratios(runner.run(acompare(ways, rounds, 10)), goals)
    batch = [f"question {number}" for number in range(8)]
    ways = {name: under(cache, lambda: llm.abatch(batch)) for name, cache in all_caches.items()}
    print("\nhits, abatch of 8")
    ratios(runner.run(acompare(ways, max(3, rounds // 2), 3)), goals)

    print("\nfirst token of a stream; LangChain's caches see no streams, so theirs is an invoke")
    chosen = {name: all_caches[name] for name in ("memory", "sqlite")}
    first: dict[str, Callable[[], Any]] = {
        "InMemoryCache": under(all_caches["InMemoryCache"], lambda: llm.invoke("hello")),
        "miss": under(None, lambda: next(llm.stream("hello"))),
    }
    for name, cache in chosen.items():
        first[name] = under(cache, lambda: next(llm.stream("stream me")))
        under(cache, lambda: list(llm.stream("stream me")))()
    ratios(compare(first, max(3, rounds // 2), 5), {("sqlite", "InMemoryCache"): 1.7})


class OwnModel(ChatOpenAI):
    """Answers by code of its own without ``cache_key``: it is not cached."""

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        return super()._generate(*args, **kwargs)


def uncached(options: dict[str, Any], rounds: int) -> None:
    """Print what calls take that are not cached, over the same of LangChain alone."""
    llm, off, own = (
        ChatOpenAI(**options),
        ChatOpenAI(**options, cache=False),
        OwnModel(**options),
    )
    cache = MemoryCache()
    #: The model, what it is alone, and what is on.
    asked: dict[str, tuple[Any, str, str]] = {
        "alone": (llm, "", "nothing"),
        "again": (llm, "alone", "nothing"),
        "none on": (llm, "alone", "no cache"),
        "cache=False": (off, "alone", "auto"),
        "bypass": (llm, "alone", "bypass"),
        "own code alone": (own, "", "nothing"),
        "own code": (own, "own code alone", "auto"),
    }

    def before(name: str) -> None:
        on = asked[name][2]
        (patch.uninstall if on == "nothing" else patch.install)(cache)
        set_llm_cache(cache if on in ("auto", "bypass") else None)
        modes.set_session_mode("bypass" if on == "bypass" else None)

    ways = {name: functools.partial(asked[name][0].invoke, "hello") for name in asked}
    took = compare(ways, rounds, 3, before)
    modes.set_session_mode(None)
    cache.close()
    print("\na call that is not cached, the provider in another process; twice alone is the noise")
    goals = {(name, alone): 1.05 for name, (_, alone, _) in asked.items() if alone}
    ratios(took, goals)


def new_answers(llm: Any, all_caches: dict[str, BaseCache], rounds: int) -> None:
    """Print what a new answer takes, end to end and beyond a call without any cache."""
    numbers = iter(range(10_000_000))
    chosen = {name: cache for name, cache in all_caches.items() if name != "floor"}
    grown: list[tuple[float, float]] = []
    for size_bytes, fewer in ((60, 1), (1_000, 1), (10_000, 2), (100_000, 6), (1_000_000, 15)):
        ways = {
            name: under(cache, lambda n=size_bytes: llm.invoke(f"question {next(numbers)}, {n}"))
            for name, cache in (chosen | {"none": None}).items()
        }
        print(f"\na new answer of {size_bytes:,} bytes, the provider in another process")
        turns = max(3, rounds // fewer)
        took = compare(ways, turns)
        print(line(took))
        for name in chosen:
            more_ms = (took[name].cpu_s - took["none"].cpu_s) * 1e3
            goal = 0.25 if size_bytes == 60 and name == "sqlite" else None
            told(f"{name} / no cache", took[name].cpu_s / took["none"].cpu_s, None)
            told(f"{name} beyond no cache, in ms", more_ms, goal)
        text = text_of(1, size_bytes).encode()
        alone = compare({"": lambda text=text: (blake2b(text), zlib.compress(text))}, turns)[""]
        told("hashing it and compressing it, in ms", alone.cpu_s * 1e3, None)
        grown.append((took["sqlite"].cpu_s - took["none"].cpu_s, alone.cpu_s))
    (first, alone_first), *_, (last, alone_last) = grown
    told("growth from 60 bytes to 1 MB, in ms", (last - first) * 1e3, None)
    growth = (last - first) / (alone_last - alone_first)
    told("that growth / growth of hashing and compressing", growth, None)
    steps(llm, chosen["sqlite"], rounds)


def steps(llm: Any, cache: BaseCache, rounds: int) -> None:
    """Print what the steps of a new answer take that is kept in a file."""
    spent: dict[str, list[float]] = {}

    def timed(function: Callable[..., Any], step: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent.setdefault(step, []).append(time.thread_time() - began)

        return run

    set_llm_cache(cache)
    with contextlib.ExitStack() as patched:
        for owner, name, step in STEPS:
            new = timed(getattr(owner, name), step)
            patched.enter_context(mock.patch.object(owner, name, new))
        for number in range(rounds):
            llm.invoke(f"step {number}, 60")
    spent[TRANSACTION] = [
        whole - inner for whole, inner in zip(spent[TRANSACTION], spent[PACKING], strict=True)
    ]
    print("\na new answer of 60 bytes, step by step, in microseconds")
    for step, times in spent.items():
        print(f"  {step:<56} {sorted(times)[len(times) // 10] * 1e6:6.0f}")


@contextlib.contextmanager
def provider() -> Iterator[str]:
    """Yield the address of a provider in a process of its own, as long as there is this one.

    It answers with as many bytes as the last word of the question tells, or with a thousand.
    """
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as own:
        assert own.stdout is not None
        yield own.stdout.readline().strip()


def serve() -> None:
    """Be that provider until nobody writes to this process any more."""

    def reply(body: Any) -> str:
        word = last_text(body).split()[-1]
        return text_of(1, int(word) if word.isdecimal() else 1000)

    with OpenAIServer(reply) as server:
        print(server.url, flush=True)
        sys.stdin.read()


def single_flight(server: OpenAIServer, runner: asyncio.Runner) -> None:
    """Print how many of 64 equal calls at once are paid for."""
    llm = ChatOpenAI(model="gpt-x", api_key="k", base_url=server.url, max_retries=0)

    async def many() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(llm.ainvoke("the same") for _ in range(64)))
        return time.perf_counter() - began

    server.delay_s = 0.2
    before = len(server.requests)
    set_llm_cache(None)
    without = runner.run(many())
    paid = len(server.requests) - before
    set_llm_cache(cache := MemoryCache())
    with_ours = runner.run(many())
    ours = len(server.requests) - before - paid
    set_llm_cache(None)
    cache.close()
    server.delay_s = 0.0
    print("\n64 equal requests at once")
    told(f"paid for ({paid} without us)", ours, 1)
    told("time / LangChain alone", with_ours / without, None)


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few rounds")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    rounds = 3 if args.quick else 60
    warnings.simplefilter("ignore")  # LangChain turned its own on again
    with provider() as url, caches() as all_caches, asyncio.Runner() as runner:
        options = {"model": "gpt-x", "api_key": "k", "base_url": url, "max_retries": 0}
        llm = ChatOpenAI(**options)
        hits(llm, all_caches, rounds)
        other_hits(llm, all_caches, rounds, runner)
        uncached(options, 2 * rounds)
        new_answers(llm, all_caches, 2 * rounds)
        with OpenAIServer(lambda _: text_of(1, 1000)) as server:
            single_flight(server, runner)


if __name__ == "__main__":
    main()
