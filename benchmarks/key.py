"""What the key costs: describing a request, as a share of a whole hit, in one run.

A hit is timed as ``invoke`` with LangChain's own interface and a cache that answers at once (its
floor), and beside it the description of the same request. Ratios count; microseconds depend on the
machine.

    python benchmarks/key.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import cycle, repeat
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from langchain_openai import ChatOpenAI

from jupyter_llmcache.keys import describe

ROUNDS, CALLS = 15, 60

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
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - began) / CALLS


def main() -> None:
    """Print a table."""
    model = ChatOpenAI(model="gpt-x", api_key="sk-none", temperature=0, cache=ConstantCache())
    print(f"{'shape':15}{'hit without key':>17}{'key':>10}{'with / without':>16}")
    for name, (messages, kwargs) in shapes().items():
        floors, keys = [], []
        for _ in range(ROUNDS):  # turn about, so that both see the same machine
            floors.append(seconds_per_call(lambda m=messages, k=kwargs: model.invoke(next(m), **k)))
            keys.append(
                seconds_per_call(lambda m=messages, k=kwargs: describe(model, next(m), None, k))
            )
        floor_us, key_us = min(floors) * 1e6, min(keys) * 1e6
        ratio = (floor_us + key_us) / floor_us
        print(f"{name:15}{floor_us:14.0f} us{key_us:7.0f} us{ratio:16.3f}")


if __name__ == "__main__":
    main()
