"""On an event loop no file is touched, and nobody waits for one."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from blockbuster import blockbuster_ctx
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from jupyter_llmcache import SQLiteCache, calls, mode

#: The longest that the loop may stand still, and that the file may keep an answer, in seconds.
MAX_LAG_S, MAX_LATE_S = 0.02, 0.05
#: The same where clients are made on the loop, which is not our doing.
SLOW_LAG_S = 0.2
#: A busy machine may miss the bounds by itself; what waits for the file misses them each time.
ATTEMPTS = 12


class Desk:
    """A chat model and a model of embeddings that ask the same server."""

    def __init__(self, url: str) -> None:
        options = {"api_key": "test-key", "base_url": url, "max_retries": 0}
        self.llm = ChatOpenAI(model="gpt-test", **options)
        self.embeddings = OpenAIEmbeddings(check_embedding_ctx_length=False, **options)


async def read(chunks: Any) -> str:
    return "".join([chunk.text async for chunk in chunks])


WAYS: dict[str, Callable[[Desk, str], Any]] = {
    "ainvoke": lambda desk, prompt: desk.llm.ainvoke(prompt),
    "astream": lambda desk, prompt: read(desk.llm.astream(prompt)),
    "abatch": lambda desk, prompt: desk.llm.abatch([prompt, prompt + "!"]),
    "aembed": lambda desk, prompt: desk.embeddings.aembed_documents([prompt, prompt + "!"]),
}
SYNC_WAYS: dict[str, Callable[[Desk, str], Any]] = {
    "invoke": lambda desk, prompt: desk.llm.invoke(prompt),
    "stream": lambda desk, prompt: list(desk.llm.stream(prompt)),
    "batch": lambda desk, prompt: desk.llm.batch([prompt, prompt + "!"]),
    "embed": lambda desk, prompt: desk.embeddings.embed_documents([prompt, prompt + "!"]),
}

#: Asks a model of each kind twice where no blocking call is allowed, in a process that has asked
#: none before, and tells what the calls were.
COLD = """
import asyncio, sys, warnings
warnings.simplefilter("ignore")
from blockbuster import blockbuster_ctx
from langchain_core.embeddings import Embeddings
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from pydantic import BaseModel
from jupyter_llmcache import MemoryCache, SQLiteCache, calls

class Own(FakeListChatModel):
    def cache_key(self):
        return 1

class Embeds(BaseModel, Embeddings):
    api_url: str = "http://127.0.0.1:9"

    def cache_key(self):
        return 1

    def embed_documents(self, texts):
        raise NotImplementedError

    def embed_query(self, text):
        raise NotImplementedError

    async def aembed_documents(self, texts):
        return [[1.0, 0.5] for _ in texts]

async def ask():
    with blockbuster_ctx("jupyter_llmcache"):
        for cls in (FakeListChatModel, Own, FakeListLLM):
            llm = cls(responses=["a"])
            for _ in range(2):
                await llm.ainvoke("one")
                [chunk async for chunk in llm.astream("two")]
                await llm.abatch(["three", "four"])
        for _ in range(2):
            await Embeds().aembed_documents(["five"])

set_llm_cache(SQLiteCache("answers.db") if sys.argv[1] == "sqlite" else MemoryCache())
asyncio.run(ask())
print(*(call.warning or call.reason or call.kind for call in calls()))
"""


@pytest.fixture
def path(tmp_path) -> Iterator[Path]:
    cache = SQLiteCache(tmp_path / "answers.db")
    set_llm_cache(cache)
    yield tmp_path / "answers.db"
    cache.close()


@pytest.fixture
def desk(openai_server) -> Desk:
    return Desk(openai_server.url)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let another connection hold the file for writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def lag() -> Iterator[list[float]]:
    """Collect by how much a task that wakes every 2 ms is late, in seconds."""
    late: list[float] = []

    async def beat() -> None:
        while True:
            due = time.perf_counter() + 0.002
            await asyncio.sleep(0.002)
            late.append(time.perf_counter() - due)

    task = asyncio.get_running_loop().create_task(beat())
    try:
        yield late
    finally:
        task.cancel()


async def took_s(asked: Any) -> float:
    began = time.perf_counter()
    await asked
    return time.perf_counter() - began


def is_all_stored(path: Path) -> bool:
    """Whether what the calls say they keep is found by another process's eyes."""
    assert get_llm_cache().store.flush(5) == 0
    fresh = [call for call in calls() if call.kind == "miss"]
    keys = {key for call in fresh for key in call.keys or (bytes.fromhex(call.key or ""),)}
    with closing(sqlite3.connect(path)) as other:
        stored = {key for (key,) in other.execute("SELECT key FROM llmcache_entries")}
    return bool(keys) and keys == stored


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_blocks_the_loop(path, desk, way):
    """Where blocking calls are forbidden on a loop, hits and misses go on, and are stored."""
    await WAYS[way](desk, "warm up the client")
    with blockbuster_ctx("jupyter_llmcache"):
        await WAYS[way](desk, "hello")
        await WAYS[way](desk, "hello")
    assert [call.warning or call.reason for call in calls() if call.warning or call.reason] == []
    assert [call.kind for call in calls()][-1] == "hit"
    assert is_all_stored(path)


@pytest.mark.parametrize("cache", ["memory", "sqlite"])
def test_nothing_blocks_the_loop_of_a_new_process(tmp_path, cache):
    """The first look at a class, at its packages' versions and at the file is not on the loop."""
    command = [sys.executable, "-c", COLD, cache]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    each = "miss miss miss miss hit hit hit hit"
    assert done.stdout.split() == f"{each} {each} {each} miss hit".split()


async def fetch(url: str, text: str) -> Any:
    address = f"{url}/page?q={text}"
    async with httpx.AsyncClient(verify=False) as client, aiohttp.ClientSession() as session:
        first = (await client.get(address)).status_code
        async with session.get(address + "&by=aiohttp") as answer:
            return [first, answer.status, await answer.text()]


async def test_the_web_blocks_nothing(tmp_path, pages):
    """What is fetched by HTTP is found and kept off the loop, too, also while the file is held."""
    cache = SQLiteCache(tmp_path / "answers.db", record_web=True)
    set_llm_cache(cache)
    first = await fetch(pages.root, "warm up")
    with blockbuster_ctx("jupyter_llmcache"):
        await fetch(pages.root, "hello")
    with mode("replay"), blockbuster_ctx("jupyter_llmcache"):
        assert await fetch(pages.root, "warm up") == first
    with locked(tmp_path / "answers.db"), lag() as late:
        await fetch(pages.root, "hello")
        await fetch(pages.root, "new")
    assert max(late) < SLOW_LAG_S
    assert all(call.stored or call.pending for call in calls() if call.kind == "miss")
    assert [call.warning for call in calls() if call.warning] == []
    assert cache.store.flush(5) == 0
    cache.close()


@pytest.mark.parametrize("way", WAYS)
async def test_a_locked_file_holds_no_loop(path, desk, way):
    """While another program holds the file the loop goes on, and nothing is lost by it."""
    await WAYS[way](desk, "known")
    for attempt in count(1):
        free_s = await took_s(WAYS[way](desk, f"free {attempt}"))
        with locked(path), lag() as late:
            hit_s = await took_s(WAYS[way](desk, "known"))
            miss_s = await took_s(WAYS[way](desk, f"new {attempt}"))
        assert is_all_stored(path)
        if max(late) < MAX_LAG_S and hit_s < MAX_LATE_S and miss_s - free_s < MAX_LATE_S:
            break
        assert attempt < ATTEMPTS, (max(late), hit_s, miss_s - free_s)


@pytest.mark.parametrize("way", SYNC_WAYS)
def test_sync_code_does_not_wait_for_the_file(path, desk, way):
    """A caller in sync code has his answer in time, too, and nothing is lost by it."""
    ask = SYNC_WAYS[way]
    ask(desk, "known")
    for attempt in count(1):
        times = [time.perf_counter()]
        ask(desk, f"free {attempt}")
        times.append(time.perf_counter())
        with locked(path):
            for prompt in ("known", f"new {attempt}"):
                ask(desk, prompt)
                times.append(time.perf_counter())
        assert is_all_stored(path)
        free_s, hit_s, miss_s = (end - begin for begin, end in pairwise(times))
        if hit_s < MAX_LATE_S and miss_s - free_s < MAX_LATE_S:
            break
        assert attempt < ATTEMPTS, (hit_s, miss_s - free_s)


def test_the_line_under_a_cell_says_what_waits(path, desk, shell):
    """At the end of a cell what waits is tried again; the line says what is not yet stored."""
    shell.user_ns |= {"desk": desk, "get_llm_cache": get_llm_cache}
    shell.run_line_magic("load_ext", "jupyter_llmcache")
    with locked(path):
        held = shell.run("desk.llm.invoke('held');")
        assert "not yet stored" in held.seen
        assert calls()[-1].pending
    shell.user_ns["freed"] = locked(path)
    freed = shell.run(
        "with freed: desk.llm.invoke('freed');\nassert get_llm_cache().store.flush(5) == 0"
    )
    assert calls()[-1].pending
    assert "fresh" in freed.seen
    assert "not yet stored" not in freed.seen
    assert is_all_stored(path)
