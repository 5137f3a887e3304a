"""What the cache costs and saves on the way through LangChain, as ratios to peers in one run.

    python benchmarks/streams.py [--quick]

Every figure compares ways that take turns call by call, so that a busy machine slows them alike;
the ratio is that of the medians. Requests go to a small server on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from langchain_core.caches import BaseCache, InMemoryCache  # noqa: E402
from langchain_core.globals import set_llm_cache  # noqa: E402
from langchain_core.messages import AIMessage, HumanMessage  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402

from jupyter_llmcache.seam.cache import MemoryCache, SQLiteCache  # noqa: E402
from tests.servers.openai import OpenAIServer  # noqa: E402

ANSWER = "The quick brown fox jumps over the lazy dog. " * 20


class ConstantCache(BaseCache):
    """Finds the same answer at once: what is left is LangChain's own time."""

    def __init__(self) -> None:
        self.answer: Any = None

    def lookup(self, prompt: str, llm_string: str) -> Any:  # noqa: ARG002  # LangChain's names
        """Return what was stored last."""
        return self.answer

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:  # noqa: ARG002  # as above
        """Store it."""
        self.answer = list(return_val)

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002  # as above
        """Forget it."""
        self.answer = None


def prompts() -> dict[str, Any]:
    """The questions, from small to large."""
    words = "All work and no play makes Jack a dull boy. "
    turns: list[Any] = []
    usage = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}
    for number in range(20):
        turns.append(HumanMessage(f"{number}: {words * 3}"))
        turns.append(AIMessage(words * 4, usage_metadata=usage, id=f"run-{number}"))
    image = {"type": "image", "base64": "iVBORw0KGgo" * 95_000, "mime_type": "image/png"}
    return {
        "short prompt": "What is the capital of Norway?",
        "100 KB prompt": words * (100_000 // len(words)),
        "20-turn chat": [*turns, HumanMessage("and now?")],
        "1 MB image": [HumanMessage([{"type": "text", "text": "What is it?"}, image])],
        "20 tools": "Which tool?",
    }


def tools() -> list[dict[str, Any]]:
    """Twenty tools with five parameters each."""
    text = {"type": "string", "description": "What it is about."}
    parameters = {"type": "object", "properties": {f"p{i}": text for i in range(5)}}
    return [
        {
            "type": "function",
            "function": {"name": f"tool_{i}", "description": "Does it.", "parameters": parameters},
        }
        for i in range(20)
    ]


def deeper(levels: int, function: Callable[[], Any]) -> Any:
    """Call ``function`` from so many frames further down the stack."""
    return deeper(levels - 1, function) if levels else function()


def take_turns(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median time of each way in seconds; they are called in turn.

    The depth of the stack changes from round to round: CPython pays for every call that crosses the
    end of a piece of its stack, and where that is would be a matter of luck.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for round_ in range(rounds):
        for name, way in ways.items():
            times[name].append(deeper(round_ % 50, way))
    return {name: statistics.median(taken) for name, taken in times.items()}


def timed(function: Callable[[], Any]) -> Callable[[], float]:
    """Let ``function`` return how long it took, in seconds."""

    def run() -> float:
        began = time.perf_counter()
        function()
        return time.perf_counter() - began

    return run


def asking(model: Any, prompt: Any, cache: BaseCache) -> Callable[[], float]:
    """Let a call return how long one question under ``cache`` took, in seconds."""
    ask = timed(lambda: model.invoke(prompt))

    def run() -> float:
        set_llm_cache(cache)
        return ask()

    return run


def hits(llm: Any, rounds: int) -> None:
    """Compare a whole hit with LangChain's floor and with its own caches."""
    print("\nend-to-end invoke on a hit, as ratios")
    print(f"{'':16}{'sqlite':>9} | {'sqlite over':>20} | {'memory over':>22}")
    print(f"{'':16}{'us':>9} | {'community':>11} {'floor':>8} | {'InMemoryCache':>13} {'floor':>8}")
    with tempfile.TemporaryDirectory() as folder, peers(Path(folder)) as caches:
        for name, prompt in prompts().items():
            model = llm.bind_tools(tools()) if name == "20 tools" else llm

            ask = functools.partial(asking, model, prompt)
            few = rounds // 4 if "MB" in name or "KB" in name else rounds
            took = take_turns({kind: ask(cache) for kind, cache in caches.items()}, few)
            print(
                f"{name:16}{took['sqlite'] * 1e6:9.0f} |"
                f" {took['sqlite'] / took['community']:11.2f}"
                f" {took['sqlite'] / took['floor']:8.2f} |"
                f" {took['memory'] / took['InMemoryCache']:13.2f}"
                f" {took['memory'] / took['floor']:8.2f}"
            )
    set_llm_cache(None)


@contextmanager
def peers(folder: Path) -> Iterator[dict[str, BaseCache]]:
    """Yield the caches that are compared."""
    # It warns when it is imported, and at its first hit.
    warnings.simplefilter("ignore")
    from langchain_community.cache import SQLiteCache as CommunityCache

    community = CommunityCache(str(folder / "community.db"))
    sqlite, memory = SQLiteCache(folder / "ours.db"), MemoryCache()
    yield {
        "floor": ConstantCache(),
        "InMemoryCache": InMemoryCache(),
        "memory": memory,
        "sqlite": sqlite,
        "community": community,
    }
    sqlite.close()
    memory.close()


def first_token(chunks: Iterator[Any]) -> float:
    """Return when the first text came, in seconds; read the rest."""
    began = time.perf_counter()
    first = 0.0
    for chunk in chunks:
        if chunk.content and not first:
            first = time.perf_counter() - began
    return first


def streams(llm: Any, rounds: int) -> None:
    """Compare the time to the first token."""
    cache = MemoryCache()
    numbers = iter(range(10**9))

    def plain() -> float:
        set_llm_cache(None)
        return first_token(llm.stream(f"question {next(numbers)}"))

    def miss() -> float:
        set_llm_cache(cache)
        return first_token(llm.stream(f"question {next(numbers)}"))

    def hit() -> float:
        set_llm_cache(cache)
        return first_token(llm.stream("question"))

    took = take_turns({"plain": plain, "miss": miss, "hit": hit}, rounds)
    set_llm_cache(None)
    cache.close()
    print("\ntime to the first streamed token")
    print(f"  miss / LangChain alone   {took['miss'] / took['plain']:.3f}    (at most 1.05)")
    print(f"  hit                      {took['hit'] * 1e3:.2f} ms (under 5 ms)")


def uncached(llm: Any, rounds: int) -> None:
    """Compare an uncached call with and without our methods in LangChain's place."""
    from jupyter_llmcache.seam import patch as seams

    other = MemoryCache()

    def alone() -> float:
        seams.uninstall(other)
        return timed(lambda: llm.invoke("hello"))()

    def beside() -> float:
        seams.install(other)
        return timed(lambda: llm.invoke("hello"))()

    set_llm_cache(None)
    took = take_turns({"alone": alone, "again": alone, "beside": beside}, rounds)
    other.close()
    print("\nan uncached call while a cache of ours lives elsewhere / LangChain alone")
    print(f"  ratio                    {took['beside'] / took['alone']:.3f}    (at most 1.03)")
    print(f"  LangChain alone twice    {took['again'] / took['alone']:.3f}    (the noise)")


def single_flight(llm: Any, server: OpenAIServer) -> None:
    """Count the requests of equal calls at once."""

    async def many() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(llm.ainvoke("the same") for _ in range(64)))
        return time.perf_counter() - began

    cache = MemoryCache()
    server.delay_s = 0.2
    before = len(server.requests)
    set_llm_cache(None)
    with asyncio.Runner() as runner:
        without = runner.run(many())
        paid = len(server.requests) - before
        set_llm_cache(cache)
        with_ours = runner.run(many())
    ours = len(server.requests) - before - paid
    set_llm_cache(None)
    cache.close()
    server.delay_s = 0.0
    print("\n64 equal requests at once")
    print(f"  requests                 {ours} (LangChain alone: {paid})")
    print(f"  time / LangChain alone   {with_ours / without:.2f}")


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    rounds = 60 if parser.parse_args().quick else 600
    with OpenAIServer(lambda _: ANSWER) as server:
        llm = ChatOpenAI(model="gpt-test", api_key="k", base_url=server.url, max_retries=0)
        hits(llm, rounds)
        streams(llm, rounds // 2)
        uncached(llm, rounds // 2)
        single_flight(llm, server)


if __name__ == "__main__":
    main()
