"""On an event loop no file is touched, and nobody waits for one."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from blockbuster import blockbuster_ctx
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_openai import OpenAIEmbeddings

from jupyter_llmcache import SQLiteCache, calls, mode

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


@functools.cache  # to make a client takes longer than the loop may stand still
def embeddings(url: str) -> OpenAIEmbeddings:
    options: dict[str, Any] = {"check_embedding_ctx_length": False, "max_retries": 0}
    return OpenAIEmbeddings(base_url=url, api_key="sk-none", **options)


async def embed(url: str, text: str) -> Any:
    made = embeddings(url)
    return [await made.aembed_documents([text, text + "!"]), await made.aembed_query(text)]


async def fetch(url: str, text: str) -> Any:
    address = f"{url}/page?q={text}"
    async with httpx.AsyncClient(verify=False) as client, aiohttp.ClientSession() as session:
        first = (await client.get(address)).status_code
        async with session.get(address + "&by=aiohttp") as answer:
            return [first, answer.status, await answer.text()]


@pytest.mark.parametrize("way", [embed, fetch])
async def test_embeddings_and_the_web_block_nothing(tmp_path, openai_server, pages, way):
    """Neither on a loop where blocking calls are forbidden, nor while the file is locked."""
    url = openai_server.url if way is embed else pages.root
    cache = SQLiteCache(tmp_path / "answers.db", record_web=True)
    set_llm_cache(cache)
    first = await way(url, "warm up")
    with blockbuster_ctx("jupyter_llmcache"):
        await way(url, "hello")
    with mode("replay"), blockbuster_ctx("jupyter_llmcache"):
        assert await way(url, "warm up") == first
    with locked(tmp_path / "answers.db", 10), lag() as late:
        await asyncio.sleep(0.02)
        late.clear()
        for text in ("hello", "new"):
            began = time.perf_counter()
            await way(url, text)
            assert time.perf_counter() - began < MAX_LATE_S
    assert max(late) < MAX_LAG_S
    assert all(call.stored or call.pending for call in calls() if call.kind == "miss")
    assert [call.warning for call in calls() if call.warning] == []
    assert cache.store.flush(5) == 0
    cache.close()


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
