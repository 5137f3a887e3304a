"""On an event loop no file is touched, and nobody waits for one."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.globals import get_llm_cache, set_llm_cache

from jupyter_llmcache import SQLiteCache, calls

#: The longest that the loop may stand still, and that an answer may be late, in seconds. The bounds
#: are 20 ms and 50 ms; the rest is for a machine that does other things too.
MAX_LAG_S, MAX_LATE_S = 0.1, 0.3


async def read(chunks: Any) -> str:
    return "".join([chunk.text async for chunk in chunks])


WAYS = {
    "ainvoke": lambda llm, prompt: llm.ainvoke(prompt),
    "astream": lambda llm, prompt: read(llm.astream(prompt)),
    "abatch": lambda llm, prompt: llm.abatch([prompt, prompt + "!"]),
}


@pytest.fixture
def path(tmp_path) -> Iterator[Path]:
    cache = SQLiteCache(tmp_path / "answers.db")
    set_llm_cache(cache)
    yield tmp_path / "answers.db"
    cache.close()


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Let another connection hold the file for writing, for ``seconds`` or until the end."""
    is_held, end = threading.Event(), threading.Event()

    def hold() -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        is_held.set()
        end.wait(seconds)
        other.execute("ROLLBACK")
        other.close()

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    try:
        yield
    finally:
        end.set()
        thread.join()


@contextmanager
def lag() -> Iterator[list[float]]:
    """Collect by how much a task that wakes every 5 ms is late, in seconds."""
    late: list[float] = []

    async def beat() -> None:
        while True:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - due)

    task = asyncio.get_running_loop().create_task(beat())
    try:
        yield late
    finally:
        task.cancel()


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_blocks_the_loop(path, chat_openai, way):
    """Where blocking calls are forbidden on a loop, hits and misses go on, and are stored."""
    llm = chat_openai()
    await llm.ainvoke("warm up the client")
    with blockbuster_ctx("jupyter_llmcache"):
        await WAYS[way](llm, "hello")
        await WAYS[way](llm, "hello")
    kinds = [call.kind for call in calls()[1:]]
    half = len(kinds) // 2
    assert kinds == ["miss"] * half + ["hit"] * half
    assert all(call.stored for call in calls()[: half + 1])
    assert [call.warning for call in calls() if call.warning] == []


@pytest.mark.parametrize("way", WAYS)
async def test_a_locked_file_holds_nobody(path, chat_openai, way):
    """While another program holds the file the loop goes on and answers come in time."""
    llm = chat_openai()
    await WAYS[way](llm, "hello")
    with locked(path, 10), lag() as late:
        await asyncio.sleep(0.02)
        late.clear()
        for prompt in ("hello", "new"):
            began = time.perf_counter()
            await WAYS[way](llm, prompt)
            assert time.perf_counter() - began < MAX_LATE_S
    assert max(late) < MAX_LAG_S
    assert all(call.stored or call.pending for call in calls() if call.kind == "miss")


def test_sync_code_does_not_wait_for_the_file(path, chat_openai):
    """A caller in sync code has his answer in time, too, and nothing is lost afterwards."""
    llm = chat_openai()
    with locked(path, 10):
        began = time.perf_counter()
        llm.invoke("hello")
        assert time.perf_counter() - began < MAX_LATE_S
        assert calls()[-1].pending
    assert get_llm_cache().store.flush(5) == 0
    other = SQLiteCache(path)
    assert other.store.count() == 1
    other.close()
