"""What the benchmarks share: how ways are compared, what they ask, prompts and answers of 1 KB.

Ways that are compared take turns, in an order that is shuffled each time. A turn is one call that
is not counted, so that each finds its code and data as near as a user's next call does, and then
some that are. Ratios are those of processor times, of turns that nobody disturbed: the clock also
tells of what else the machine does.
"""

from __future__ import annotations

import contextlib
import functools
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from langchain_community.cache import SQLiteCache as CommunityCache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration

from jupyter_llmcache import answer as entry
from jupyter_llmcache.ledger import Entry
from jupyter_llmcache.stores.sqlite import SQLiteStore

LLM_STRING = "the parameters of a model, as LangChain writes them " * 8
#: How many different texts there are; each gets its number in front.
POOL = 64
WORDS = Path(__file__).read_text("utf-8").split()


@functools.cache
def pooled_text(number: int, size_bytes: int) -> str:
    """Return one of a few texts of this size."""
    return " ".join(random.Random(number).choices(WORDS, k=size_bytes // 4))[:size_bytes]


def text_of(number: int, size_bytes: int) -> str:
    """Return a text of about this size that belongs to ``number``, in next to no time."""
    return f"{number} {pooled_text(number % POOL, size_bytes)}"


def generations_of(number: int) -> list[ChatGeneration]:
    """Return an answer of 1 KB."""
    usage = {"input_tokens": 250, "output_tokens": 250, "total_tokens": 500}
    metadata = {"finish_reason": "stop", "model_name": "gpt-x", "model_provider": "openai"}
    message = AIMessage(
        text_of(number + 1, 1000),
        usage_metadata=usage,
        response_metadata=metadata,
        id=f"run-{number}",
    )
    return [ChatGeneration(message=message)]


def key_of(number: int) -> bytes:
    """Return a key that is spread like a digest."""
    return blake2b(b"%d" % number, digest_size=16).digest()


@functools.cache
def pooled_answer(number: int) -> bytes:
    """Return one of a few answers as the store is given them."""
    return entry.encode(generations_of(number), versions={"langchain-core": "1.0.0"})


def record_of(number: int) -> Entry:
    """Return an entry with a prompt and an answer of 1 KB."""
    prompt, answer = text_of(number, 1000), pooled_answer(number % POOL)
    texts = {"request": LLM_STRING, "prompt": prompt, "title": prompt[:80]}
    return Entry(key_of(number), answer, time.time(), 1.0, **texts)


def encoded(number: int) -> Entry:
    """Return such an entry, its answer encoded just now, as it is when a provider has answered."""
    answer = entry.encode(generations_of(number), versions={"langchain-core": "1.0.0"})
    return record_of(number)._replace(answer=answer)


def fill(folder: Path, entries: int, community_entries: int) -> None:
    """Fill the files of both; community's rows are what its own ``update`` writes."""
    with contextlib.closing(SQLiteStore(folder / "ours.db")) as store:
        for start in range(0, entries, 1000):
            store.put_many([record_of(n) for n in range(start, min(entries, start + 1000))])
    cache = CommunityCache(str(folder / "community.db"))
    for n in range(POOL):
        cache.update(text_of(n, 1000), LLM_STRING, generations_of(n))
    with contextlib.closing(sqlite3.connect(folder / "community.db")) as connection, connection:
        answers = connection.execute("SELECT response FROM full_llm_cache").fetchall()
        connection.executemany(
            "INSERT INTO full_llm_cache VALUES (?, ?, 0, ?)",
            (
                (text_of(n, 1000), LLM_STRING, answers[n % POOL][0])
                for n in range(POOL, community_entries)
            ),
        )


def prompts() -> dict[str, Any]:
    """Return questions of all shapes, from small to large."""
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
    """Return twenty tools with five parameters each."""
    text = {"type": "string", "description": "What it is about."}
    parameters = {"type": "object", "properties": {f"p{i}": text for i in range(5)}}
    return [
        {
            "type": "function",
            "function": {"name": f"tool_{i}", "description": "Does it.", "parameters": parameters},
        }
        for i in range(20)
    ]


# --- comparing ---


class Took(NamedTuple):
    """One way, in seconds a call: on the clock, and of processor time.

    A tenth of the turns took less: what others do on the machine only makes a turn longer.
    """

    wall_s: float
    cpu_s: float


class _Turns:
    """The turns of some ways, and what they took."""

    def __init__(self, names: Iterable[str], rounds: int) -> None:
        self._taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        self._rounds = rounds

    def __iter__(self) -> Iterator[tuple[int, str]]:
        chance, order = random.Random(7), list(self._taken)
        for round_ in range(self._rounds):
            chance.shuffle(order)
            yield from ((round_, name) for name in order)

    def note(self, name: str, calls: int, wall_s: float, cpu_s: float) -> None:
        self._taken[name].append((wall_s / calls, cpu_s / calls))

    def took(self) -> dict[str, Took]:
        return {
            name: Took(*(sorted(column)[len(column) // 10] for column in zip(*pairs, strict=True)))
            for name, pairs in self._taken.items()
        }


def compare(
    ways: dict[str, Callable[[], Any]],
    rounds: int,
    calls: int = 1,
    before: Callable[[str], Any] = lambda _: None,
) -> dict[str, Took]:
    """Return what a call of each way takes, in this thread.

    Args:
        ways: What to call, by name.
        rounds: How many turns each way has.
        calls: How many calls of a turn count.
        before: Called with the name before each turn, to make ready what does not count.
    """
    turns = _Turns(ways, rounds)
    for round_, name in turns:
        before(name)
        # CPython pays for calls that cross the end of a piece of its stack: spread the luck.
        wall_s, cpu_s = _deeper(round_ % 50, functools.partial(_turn, ways[name], calls))
        turns.note(name, calls, wall_s, cpu_s)
    return turns.took()


def _turn(way: Callable[[], Any], calls: int) -> tuple[float, float]:
    way()
    wall, cpu = time.perf_counter(), time.thread_time()
    for _ in range(calls):
        way()
    return time.perf_counter() - wall, time.thread_time() - cpu


def _deeper(levels: int, function: Callable[[], Any]) -> Any:
    return _deeper(levels - 1, function) if levels else function()


async def acompare(
    ways: dict[str, Callable[[], Awaitable[Any]]], rounds: int, calls: int = 1
) -> dict[str, Took]:
    """Like ``compare``, on an event loop; the processor time is that of all threads."""
    turns = _Turns(ways, rounds)
    for _, name in turns:
        await ways[name]()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            await ways[name]()
        turns.note(name, calls, time.perf_counter() - wall, time.process_time() - cpu)
    return turns.took()


def line(took: dict[str, Took]) -> str:
    """Return all ways with wall and processor time in microseconds."""
    return "  " + "  ".join(
        f"{name} {each.wall_s * 1e6:.0f}/{each.cpu_s * 1e6:.0f}" for name, each in took.items()
    )


def told(name: str, ratio: float, goal: float | None) -> None:
    """Print one ratio, and whether it is what it should be."""
    verdict = "" if goal is None else f"  goal {goal:.2f}{'' if ratio <= goal else '  MISSED'}"
    print(f"  {name:<44} {ratio:8.3f}{verdict}", flush=True)
