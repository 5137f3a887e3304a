"""What the key costs: a hit with it against a hit with a key that is known at once, in one run.

Both are whole calls of ``invoke`` that a memory cache of ours answers; in the second, describing
the request returns what was made before. Beside them the share of the description alone in a hit of
LangChain's own path with a cache that answers at once. All is processor time of the thread, the
least of many short rounds. Ratios count; microseconds depend on the machine.

    python benchmarks/key.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import cycle, repeat
from typing import Any
from unittest.mock import patch

from langchain_core.caches import BaseCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from langchain_openai import ChatOpenAI

from jupyter_llmcache import MemoryCache
from jupyter_llmcache import answer as entry
from jupyter_llmcache import request as keys
from jupyter_llmcache.seam.place import entry_of

ROUNDS, CALLS = 400, 6

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


def seconds_per_call(call: Callable[[], Any]) -> float:
    """Return how long one ``call`` takes, averaged over a few."""
    began = time.thread_time()
    for _ in range(CALLS):
        call()
    return (time.thread_time() - began) / CALLS


def keep(cache: MemoryCache, request: keys.Request) -> None:
    """Put an answer to ``request`` into ``cache``."""
    answer = entry.encode([ChatGeneration(message=AIMessage("Paris."))], versions={})
    cache.store.put(entry_of(request, answer, 1.7e9, 0.8))


def measure(messages: Iterator[list[BaseMessage]], kwargs: dict[str, Any]) -> tuple[float, ...]:
    """Return the seconds of a hit with the key, of one without, of LangChain's, and of the key."""
    model = ChatOpenAI(model="gpt-x", api_key="sk-none", temperature=0)
    theirs = model.model_copy(update={"cache": ConstantCache()})
    cache = MemoryCache()
    requests = [keys.describe(model, next(messages), None, kwargs) for _ in range(TEXTS)]
    for request in requests:
        keep(cache, request)

    def hit() -> None:
        model.invoke(next(messages), **kwargs)

    def hit_without() -> None:
        with patch.object(keys, "describe", lambda *_: requests[0]):
            return seconds_per_call(hit)

    set_llm_cache(cache)
    rounds = [  # turn about, so that all see the same machine
        (
            seconds_per_call(hit),
            hit_without(),
            seconds_per_call(lambda: theirs.invoke(next(messages), **kwargs)),
            seconds_per_call(lambda: keys.describe(model, next(messages), None, kwargs)),
        )
        for _ in range(ROUNDS)
    ]
    set_llm_cache(None)
    return tuple(map(min, zip(*rounds, strict=True)))


def main() -> None:
    """Print a table."""
    print("goal: hit / without at most 1.2 for a short prompt")
    print("floor: LangChain's own path with a constant cache")
    names = f"{'hit':>10}{'without key':>13}{'ratio':>8}{'floor':>13}{'key':>9}"
    print(f"{'shape':15}{names}{'(floor + key) / floor':>24}")
    for name, (messages, kwargs) in shapes().items():
        hit, without, theirs, key = (s * 1e6 for s in measure(messages, kwargs))
        print(
            f"{name:15}{hit:7.0f} us{without:10.0f} us{hit / without:8.3f}{theirs:10.0f} us"
            f"{key:6.0f} us{1 + key / theirs:24.3f}"
        )


if __name__ == "__main__":
    main()
