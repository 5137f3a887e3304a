"""On an event loop no file is touched, and nobody waits for one."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from blockbuster import blockbuster_ctx
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from jupyter_llmcache import SQLiteCache, calls, mode
from jupyter_llmcache.stores.sqlite_file import SQLiteFile

#: The longest that a caller may wait for the file, in seconds.
MAX_LATE_S = 0.05
#: How often the loop goes round while a file is used, in these tests.
TURNS = 20
#: Who waits so long waits for ever, in seconds.
LONG_S = 120


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


@pytest.fixture
def patience_s(monkeypatch) -> dict[int, list[float]]:
    """How long each caller's thread waits for other threads and programs, each time that it writes.

    Whatever else waits for them does so for ever, so that the test would not end.
    """
    given: dict[int, list[float]] = {}
    set_patience = SQLiteFile.set_patience

    def noting(file: SQLiteFile, seconds: float) -> None:
        if seconds >= 0 and threading.current_thread().name != "jupyter_llmcache-store":
            given.setdefault(threading.get_ident(), []).append(2 * seconds)
        set_patience(file, seconds if seconds >= 0 else 10 * LONG_S)

    monkeypatch.setattr(SQLiteFile, "set_patience", noting)
    return given


@contextmanager
def slow_files() -> Iterator[list[int]]:
    """Let each use of a file last until the running loop has gone round some times.

    The list tells which threads used one. What used a file on the loop would hold it for good.
    """
    loop, used = asyncio.get_running_loop(), []
    set_patience = SQLiteFile.set_patience

    def turn(left: int, turned: threading.Event) -> None:
        if left:
            loop.call_soon(turn, left - 1, turned)
        else:
            turned.set()

    def slowly(file: SQLiteFile, seconds: float) -> None:
        used.append(threading.get_ident())
        turned = threading.Event()
        loop.call_soon_threadsafe(turn, TURNS, turned)
        assert threading.get_ident() != threading.main_thread().ident
        assert turned.wait(LONG_S)
        set_patience(file, seconds)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SQLiteFile, "set_patience", slowly)
        yield used


def is_all_stored(path: Path) -> bool:
    """Whether what the calls say they keep is found by another process's eyes."""
    assert get_llm_cache().store.flush(LONG_S) == 0
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
    with locked(tmp_path / "answers.db"), slow_files() as used:
        await fetch(pages.root, "hello")
        await fetch(pages.root, "new")
    assert used
    assert threading.get_ident() not in used
    assert all(call.stored or call.pending for call in calls() if call.kind == "miss")
    assert [call.warning for call in calls() if call.warning] == []
    assert await asyncio.to_thread(cache.store.flush, LONG_S) == 0
    cache.close()


@pytest.mark.parametrize("way", WAYS)
async def test_a_locked_file_holds_no_loop(path, desk, way, patience_s):
    """While another program holds the file the loop goes on, and nothing is lost by it."""
    await WAYS[way](desk, "known")
    assert await asyncio.to_thread(is_all_stored, path)
    patience_s.clear()
    with locked(path), slow_files() as used:
        for prompt in ("known", "new"):
            await WAYS[way](desk, prompt)
    assert used
    assert threading.get_ident() not in used
    assert max(map(sum, patience_s.values()), default=0.0) <= MAX_LATE_S
    assert await asyncio.to_thread(is_all_stored, path)


@pytest.mark.parametrize("way", SYNC_WAYS)
def test_sync_code_does_not_wait_for_the_file(path, desk, way, patience_s):
    """A caller in sync code has his answer in time, too, and nothing is lost by it."""
    ask = SYNC_WAYS[way]
    ask(desk, "known")
    assert is_all_stored(path)
    patience_s.clear()
    with locked(path):
        for prompt in ("known", "new"):
            ask(desk, prompt)
        assert calls()[-1].pending
    assert max(map(sum, patience_s.values()), default=0.0) <= MAX_LATE_S
    assert is_all_stored(path)


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
        "with freed: desk.llm.invoke('freed');\nassert get_llm_cache().store.flush(60) == 0"
    )
    assert calls()[-1].pending
    assert "fresh" in freed.seen
    assert "not yet stored" not in freed.seen
    assert is_all_stored(path)
