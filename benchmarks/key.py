"""What the key costs: a hit with it against a hit with a key that is known at once, in one run.

Both are whole calls of ``invoke``, answered from the memory and from a file; where the key is
known, describing the request returns what was made before. Beside them the key alone, and its share
of a hit of LangChain's own path with a cache that answers at once. Processor time of the thread;
ratios count, microseconds depend on the machine.

    python benchmarks/key.py
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from langchain_core.caches import BaseCache  # noqa: E402
from langchain_core.globals import set_llm_cache  # noqa: E402
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage  # noqa: E402
from langchain_core.outputs import ChatGeneration  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402

from benchmarks.common import compare  # noqa: E402
from jupyter_llmcache import MemoryCache, SQLiteCache  # noqa: E402
from jupyter_llmcache import answer as entry  # noqa: E402
from jupyter_llmcache import request as keys  # noqa: E402
from jupyter_llmcache.seam.place import entry_of  # noqa: E402

ROUNDS, CALLS = 300, 6

#: More long texts than are remembered between calls.
TEXTS = 200

Shape = tuple[Iterator[list[BaseMessage]], dict[str, Any]]


class ConstantCache(BaseCache):
    """Answers every lookup at once with the same message."""

    def lookup(self, prompt: str, llm_string: str) -> list[ChatGeneration]:  # noqa: ARG002
        """Return one answer."""
        return [ChatGeneration(message=AIMessage("Paris."))]

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        """Keep nothing."""

    def clear(self, **kwargs: Any) -> None:
        """There is nothing to delete."""


def shapes() -> dict[str, Shape]:
    """Return the requests that are timed, by name."""
    short = [HumanMessage("What is the capital of France?")]
    turns: list[BaseMessage] = []
    for number in range(10):
        usage = {"input_tokens": 12, "output_tokens": 34, "total_tokens": 46}
        question, answer = f"Question {number}: " * 8, f"Answer {number}, at length. " * 12
        turns += [HumanMessage(question), AIMessage(answer, usage_metadata=usage, id=f"{number}")]
    long = [[HumanMessage(f"{number} A quick brown fox. " * 4800)] for number in range(TEXTS)]
    return {
        "short prompt": (repeat(short), {}),
        "100 KB prompt": (repeat(long[0]), {}),
        "the same, new": (cycle(long), {}),
        "20-turn chat": (repeat([*turns, *short]), {}),
        "20 tools": (repeat(short), {"tools": [tool(number) for number in range(20)]}),
    }


def tool(number: int) -> dict[str, Any]:
    """Return a tool's schema with four parameters."""
    properties = {
        name: {"type": "string", "description": f"The {name} to look for."}
        for name in ("city", "country", "day", "unit")
    }
    parameters = {"type": "object", "properties": properties, "required": ["city"]}
    text = "Tells what the weather was, is or will be at a place."
    function = {"name": f"weather_{number}", "description": text, "parameters": parameters}
    return {"type": "function", "function": function}


def measure(messages: Iterator[list[BaseMessage]], kwargs: dict[str, Any]) -> dict[str, float]:
    """Return what a call takes, in microseconds, by the way that it goes."""
    model = ChatOpenAI(model="gpt-x", api_key="sk-none", temperature=0)
    theirs = model.model_copy(update={"cache": ConstantCache()})
    requests = [keys.describe(model, next(messages), None, kwargs, False) for _ in range(TEXTS)]
    answer = entry.encode([ChatGeneration(message=AIMessage("Paris."))], versions={})
    describe = keys.describe

    def known(*_: Any) -> keys.Request:
        return requests[0]

    def hit() -> None:
        model.invoke(next(messages), **kwargs)

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as cleanup:
        caches = {"memory": MemoryCache(), "file": SQLiteCache(Path(folder, "answers.db"))}
        for cache in caches.values():
            cleanup.callback(cache.close)
            for request in {request.key: request for request in requests}.values():
                cache.store.put(entry_of(request, answer, 1.7e9, 0.8))
        cleanup.callback(set_llm_cache, None)
        cleanup.callback(setattr, keys, "describe", describe)

        def before(name: str) -> None:
            place, _, is_known = name.partition(" ")
            set_llm_cache(caches.get(place))
            keys.describe = known if is_known else describe

        ways = {f"{place}{how}": hit for place in caches for how in ("", " known")}
        ways["floor"] = lambda: theirs.invoke(next(messages), **kwargs)
        ways["key"] = lambda: describe(model, next(messages), None, kwargs, False)
        took = compare(ways, ROUNDS, CALLS, before)
    return {name: each.cpu_s * 1e6 for name, each in took.items()}


def main() -> None:
    """Print a table."""
    print("goal: a short prompt at most 1.2 of the same with a key that is known")
    print("floor: LangChain's own path with a constant cache")
    names = "".join(f"{place:>10}{'key known':>12}{'ratio':>7}" for place in ("memory", "file"))
    print(f"{'shape':15}{names}{'floor':>10}{'key':>9}{'(floor + key) / floor':>24}")
    for name, (messages, kwargs) in shapes().items():
        us = measure(messages, kwargs)
        pairs = [(us[place], us[f"{place} known"]) for place in ("memory", "file")]
        hits = "".join(f"{hit:7.0f} us{known:9.0f} us{hit / known:7.2f}" for hit, known in pairs)
        share = 1 + us["key"] / us["floor"]
        print(f"{name:15}{hits}{us['floor']:7.0f} us{us['key']:6.0f} us{share:24.2f}", flush=True)


if __name__ == "__main__":
    main()
