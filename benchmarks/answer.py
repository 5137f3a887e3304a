"""What an answer costs beside its request: judging, encoding, packing, decoding, in CPU time.

Run: python benchmarks/answer.py

All ways of a size run shuffled in one run; the ratios are against what LangChain's own cache does
with the same answer (``dumps`` and ``loads``), and growth against hashing and compressing alone.
"""

from __future__ import annotations

import hashlib
import random
import statistics
import time
import warnings
import zlib
from collections.abc import Callable
from typing import Any

from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration

from jupyter_llmcache import answer as answers
from jupyter_llmcache.answer.verdict import verdict
from jupyter_llmcache.stores.sqlite_rows import pack_answer, unpack_answer

_SIZES = {"short": 60, "1 KB": 1_000, "10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000}
_ROUNDS = 60
#: The most that judging, encoding and packing a short answer may take.
_GOAL_US = 250
_VERSIONS = {"jupyter_llmcache": "0.2.0", "langchain-core": "1.8.3", "langchain-openai": "1.7.4"}


def answer_of(chars: int) -> list[ChatGeneration]:
    """Return an answer of OpenAI's chat completions with so many characters of text."""
    chance = random.Random(chars)
    words = ["energy", "of", "the", "moving", "particle", "grows", "python", "median", "because"]
    text = " ".join(chance.choices(words, k=chars // 6 + 1))[:chars]
    usage = {"input_tokens": 11, "output_tokens": 13, "total_tokens": 24}
    message = AIMessage(
        content=text,
        id="lc_run--019f-4a1b-8f60-1234567890ab-0",
        additional_kwargs={"refusal": None},
        usage_metadata={**usage, "output_token_details": {"reasoning": 0}},  # type: ignore[typeddict-item]  # as a provider sends it
        response_metadata={
            "token_usage": {"completion_tokens": 13, "prompt_tokens": 11, "total_tokens": 24},
            "model_provider": "openai",
            "model_name": "gpt-x",
            "id": "chatcmpl-CX7abcDEF",
            "finish_reason": "stop",
            "logprobs": None,
        },
    )
    return [ChatGeneration(message=message, generation_info={"finish_reason": "stop"})]


def cpu_us(ways: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the median CPU time of each way in microseconds, the ways shuffled in every round."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name in random.sample(list(ways), len(ways)):
            began = time.thread_time_ns()
            for _ in range(5):
                ways[name]()
            took[name].append((time.thread_time_ns() - began) / 5_000)
    return {name: statistics.median(times) for name, times in took.items()}


def ways_of(generations: list[ChatGeneration]) -> dict[str, Callable[[], Any]]:
    """Return what is measured, by name."""
    encoded = answers.encode(generations, versions=_VERSIONS)
    packed = pack_answer(encoded)
    written = dumps(generations[0])

    def store() -> bytes:
        verdict(generations, max_tokens_given=False)
        return pack_answer(answers.encode(generations, versions=_VERSIONS))

    return {
        "verdict": lambda: verdict(generations, max_tokens_given=False),
        "store": store,
        "recall": lambda: answers.decode(unpack_answer(packed)),
        "LangChain dumps": lambda: dumps(generations[0]),
        "LangChain loads": lambda: loads(written),
        "hash and compress": lambda: (hashlib.blake2b(encoded), zlib.compress(encoded)),
    }


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")  # LangChain announces changes of its own functions
    print("CPU us           verdict    store   recall  store/dumps  recall/loads  store/hash+zip")
    for name, chars in _SIZES.items():
        took = cpu_us(ways_of(answer_of(chars)))
        line = f"{name:<14} {took['verdict']:9.1f} {took['store']:8.1f} {took['recall']:8.1f}"
        line += f" {took['store'] / took['LangChain dumps']:12.2f}"
        line += f" {took['recall'] / took['LangChain loads']:13.2f}"
        line += f" {took['store'] / took['hash and compress']:15.2f}"
        goal = f"  goal {_GOAL_US} us" if name == "short" else ""
        print(line + goal + ("  OVER" if goal and took["store"] > _GOAL_US else ""))


if __name__ == "__main__":
    main()
