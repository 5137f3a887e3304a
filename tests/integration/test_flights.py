"""Equal requests in flight are paid once, and nobody ever hangs."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.globals import set_llm_cache

from jupyter_llmcache import ledger
from jupyter_llmcache.answer import verdict
from jupyter_llmcache.seam import call as opencall
from jupyter_llmcache.seam.cache import MemoryCache, SQLiteCache, mode
from tests.environments import run
from tests.integration.matrix import desks
from tests.integration.matrix.models import AsyncDeskChat, DeskChat, DeskText

#: Longer than anything here takes when it does not hang, in seconds, however busy the machine.
SOON_S = 120


@pytest.fixture(autouse=True)
def cache(monkeypatch) -> Iterator[MemoryCache]:
    """A cache under which who waits for another in vain waits longer than a test may take."""
    monkeypatch.setattr(opencall, "MAX_WAIT_S", 10 * SOON_S)
    cache = MemoryCache()
    set_llm_cache(cache)
    yield cache
    assert cache.flights._flights == {}, "a flight was left in the air"
    cache.close()


def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Start ``function`` in a thread of its own; ``.result()`` of what is returned waits for it."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(function, *args)
    finally:
        pool.shutdown(wait=False)


def wait_until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


async def until(condition: Callable[[], Any]) -> None:
    """The same, while the loop goes on."""
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110  # what is waited for is no event
            await asyncio.sleep(0.002)


def followers(cache: MemoryCache) -> int:
    """How many tasks and threads wait for the flights in the air."""
    landings = [flight._landed for flight in list(cache.flights._flights.values())]
    return sum(len(landed._done_callbacks) + len(landed._waiters) for landed in landings)


def ask_64_times(llm: Any, openai_server: Any) -> list[Any]:
    """Ask the same in 32 threads and 32 tasks at once; exceptions among the answers."""

    def one(_: int) -> Any:
        try:
            return llm.invoke("the same")
        except Exception as error:
            return error

    async def many() -> list[Any]:
        tasks = [llm.ainvoke("the same") for _ in range(32)]
        gathered = asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.4)
        openai_server.pass_on.set()
        return await gathered

    openai_server.pass_on.clear()
    with ThreadPoolExecutor(32) as pool:
        threads = pool.map(one, range(32))
        wait_until(lambda: openai_server.requests)
        return [*asyncio.run(many()), *threads]


def test_64_equal_requests_are_paid_once(chat_openai, openai_server):
    """Of 64 equal requests from threads and tasks one reaches the server; all get its answer."""
    answers = ask_64_times(chat_openai(), openai_server)
    assert len(openai_server.requests) == 1
    assert {answer.content for answer in answers} == {"answer 1: the same"}
    assert len({answer.id for answer in answers}) == 64
    kinds = [call.kind for call in ledger.calls()]
    assert (kinds.count("miss"), kinds.count("hit")) == (1, 63)


def test_a_failing_leader_lets_the_others_pay(cache):
    """When the first of equal requests fails, the others ask at once, as without a cache."""
    together = threading.Barrier(7)

    def fail_once(number: int) -> None:
        if number == 1:
            wait_until(lambda: followers(cache) == 7)
            raise ConnectionError
        together.wait(SOON_S)

    desk = desks.new("down", fail_once)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(DeskChat(model="down").invoke, "hello") for _ in range(8)]
        errors = [call.exception(SOON_S) for call in calls]
    assert [type(error) for error in errors if error] == [ConnectionError]
    assert len(desk.asked) == 8


def test_a_saved_second_is_not_counted_twice(cache):
    """A follower saved what it did not wait for: no tokens, and next to no time."""

    def slow(_: int) -> None:
        wait_until(lambda: followers(cache))
        time.sleep(0.3)

    desks.new("slow", slow)
    DeskChat(model="slow").batch(["hello", "hello"])
    hit, miss = sorted(ledger.calls(), key=lambda call: call.kind)
    assert hit.saved_s <= miss.provider_s - 0.3
    assert hit.lookup_s <= hit.wall_s - 0.3


async def left_behind(cache, llm, begun) -> list:
    """What five calls get that follow one which is cancelled after it has ``begun``."""
    leader = asyncio.create_task(llm.ainvoke("hello"))
    await until(begun)
    others = [asyncio.create_task(llm.ainvoke("hello")) for _ in range(5)]
    await until(lambda: followers(cache) == 5)
    leader.cancel()
    return await asyncio.wait_for(asyncio.gather(*others), SOON_S)


async def test_a_cancelled_leader_passes_the_lead_on(cache):
    """The followers of a cancelled task are answered, by one more request."""
    gate = threading.Event()
    desk = desks.new("cancelled", lambda number: gate.wait(SOON_S) if number == 1 else None)
    answers = await left_behind(cache, DeskChat(model="cancelled"), lambda: desk.asked)
    gate.set()
    assert {answer.content for answer in answers} == {"answer 2"}
    assert len(desk.asked) == 2


async def test_a_leader_cancelled_while_its_answer_is_kept_leaves_it(cache, monkeypatch):
    """What came before its caller went away is kept, and the followers have it."""
    desk = desks.new("kept")
    gate, judged, judge = threading.Event(), [], verdict.verdict

    def slow_judge(*args: Any, **options: Any) -> Any:
        judged.append(args)
        gate.wait(SOON_S)
        return judge(*args, **options)

    monkeypatch.setattr(verdict, "verdict", slow_judge)
    llm = DeskChat(model="kept")
    leader = asyncio.create_task(llm.ainvoke("hello"))
    await until(lambda: judged)
    others = [asyncio.create_task(llm.ainvoke("hello")) for _ in range(5)]
    await until(lambda: followers(cache) == 5)
    leader.cancel()
    await asyncio.sleep(0.05)
    gate.set()
    answers = await asyncio.wait_for(asyncio.gather(*others), SOON_S)
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert {answer.content for answer in answers} == {"answer 1"}
    assert (len(desk.asked), cache.store.count()) == (1, 1)


async def test_a_leader_that_leaves_before_it_pays_passes_the_lead_on(cache, monkeypatch):
    """The followers of a task that is cancelled on its way to the provider are paid for once."""
    desk = desks.new("undecided")
    gate, claims, claim = threading.Event(), [], cache.claim

    def slow_claim(request: Any) -> Any:
        claims.append(request)
        if len(claims) == 1:
            gate.wait(SOON_S)
        return claim(request)

    monkeypatch.setattr(cache, "claim", slow_claim)
    monkeypatch.setattr(type(cache.store), "is_shared", True)  # else no claim is asked for
    answers = await left_behind(cache, DeskChat(model="undecided"), lambda: claims)
    gate.set()
    assert {answer.content for answer in answers} == {"answer 1"}
    assert len(desk.asked) == 1


def test_a_reader_may_ask_the_same_while_reading():
    """A call from the loop over a stream never waits for that stream."""
    desks.new("reader")
    llm = DeskChat(model="reader")
    answers = [llm.invoke("hello").content for _ in llm.stream("hello")]
    assert answers[0] == "answer 1"


async def test_an_async_reader_may_ask_the_same_while_reading():
    """The same for an async stream, and for tasks that its reader starts."""
    desks.new("async reader")
    llm = AsyncDeskChat(model="async reader")
    async for _ in llm.astream("hello"):
        first, second = await asyncio.gather(llm.ainvoke("hello"), llm.ainvoke("hello"))
        assert first.content == second.content


def test_a_request_inside_an_equal_request_is_paid():
    """A model that asks itself the same while it answers does not wait for itself."""
    llm = DeskChat(model="nested")
    inner = []
    desk = desks.new("nested", lambda n: inner.append(llm.invoke("hello")) if n == 1 else None)
    assert llm.invoke("hello").content == "answer 1"
    assert inner[0].content == "answer 2"
    assert len(desk.asked) == 2


def test_a_request_inside_an_equal_request_in_other_threads_is_paid():
    """The same when the inner requests are made in a pool."""
    llm = DeskChat(model="nested pool")
    inner = []
    deed = lambda n: inner.extend(llm.batch(["hello"] * 3)) if n == 1 else None  # noqa: E731
    desks.new("nested pool", deed)
    llm.invoke("hello")
    assert {answer.content for answer in inner} == {"answer 2"}


async def test_a_sync_call_does_not_wait_for_its_own_loop():
    """A sync call in a coroutine is not blocked by a task of the same loop."""
    desks.new("own loop")
    llm = AsyncDeskChat(model="own loop")
    task = asyncio.create_task(llm.ainvoke("hello"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert llm.invoke("hello").content == "answer 1"
    assert (await task).content in ("answer 1", "answer 2")


async def test_a_blocked_loop_holds_nobody():
    """Threads that block a loop while one of its tasks pays do not wait for that task."""
    desk = desks.new("blocked")
    llm = AsyncDeskChat(model="blocked")
    task = asyncio.create_task(llm.ainvoke("hello"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answers = llm.batch(["hello"] * 4)
    assert {answer.content[:6] for answer in answers} == {"answer"}
    await task
    assert len(desk.asked) <= 5


def test_nobody_waits_for_ever(monkeypatch):
    """A leader that takes too long is waited for no longer than the bound, then all pay."""
    monkeypatch.setattr(opencall, "MAX_WAIT_S", 0.3)
    gate = threading.Event()
    desk = desks.new("hanging", lambda number: gate.wait(SOON_S) if number == 1 else None)
    llm = DeskChat(model="hanging")
    leader = in_thread(llm.invoke, "hello")
    wait_until(lambda: desk.asked)
    assert llm.invoke("hello").content == "answer 2"
    gate.set()
    assert leader.result(SOON_S).content == "answer 1"


def test_a_stream_is_waited_for_by_nobody():
    """A stream neither leads nor follows: whoever asks the same meanwhile pays."""
    desk = desks.new("reader")
    llm = DeskChat(model="reader")
    stream = llm.stream("hello")
    next(stream)
    assert in_thread(llm.invoke, "hello").result(SOON_S).content == "answer 1"
    assert "".join(chunk.content for chunk in stream) == "2"
    assert len(desk.asked) == 2


def test_an_interrupt_ends_the_waiting_and_nothing_else():
    """Interrupting a kernel that waits for another thread's answer leaves that answer alone."""
    gate = threading.Event()
    desk = desks.new("interrupted", lambda _: gate.wait(SOON_S))
    llm = DeskChat(model="interrupted")
    leader = in_thread(llm.invoke, "hello")
    wait_until(lambda: desk.asked)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        llm.invoke("hello")
    gate.set()
    assert leader.result(SOON_S).content == "answer 1"
    assert llm.invoke("hello").content == "answer 1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_waits_for_nobody(cache):
    """A child forked while a request is in flight does not wait for its parent's thread."""
    gate = threading.Event()
    desk = desks.new("forked", lambda number: gate.wait(SOON_S) if number == 1 else None)
    llm = DeskChat(model="forked")
    leader = in_thread(llm.invoke, "hello")
    wait_until(lambda: desk.asked)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if llm.invoke("hello").content == "answer 2" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.set()
    leader.result(SOON_S)


def test_equal_texts_in_one_batch_are_paid_once():
    """Duplicates in a batch of a text model are sent once, and each caller has its own copy."""
    desk = desks.new("duplicates")
    result = DeskText(model="duplicates").generate(["a", "b", "a"])
    assert desk.asked == [["a", "b"]]
    first, _, third = (generations[0] for generations in result.generations)
    assert first.text == third.text
    assert first is not third


def test_no_gap_between_looking_and_leading(cache, monkeypatch):
    """An answer that is stored after the look and before the lead is found."""
    desk = desks.new("gap")
    llm = DeskChat(model="gap")
    looked, stored = threading.Event(), threading.Event()
    find = cache.find

    def slow_find(*args: Any) -> Any:
        found = find(*args)
        if not looked.is_set():
            looked.set()
            stored.wait(SOON_S)
        return found

    monkeypatch.setattr(cache, "find", slow_find)
    late = in_thread(llm.invoke, "hello")
    looked.wait(SOON_S)
    llm.invoke("hello")
    stored.set()
    assert late.result(SOON_S).content == "answer 1"
    assert len(desk.asked) == 1


def test_refresh_and_bypass_pay_each():
    """Who asks past what is stored is not given another's answer."""
    for name in ("refresh", "bypass"):
        desk = desks.new(name, lambda _: time.sleep(0.05))
        llm = DeskChat(model=name)
        with mode(name):
            llm.batch(["hello"] * 3)
        assert len(desk.asked) == 3


def test_a_read_only_file_still_shares(tmp_path):
    """Equal requests are paid once also where nothing can be stored."""
    cache = SQLiteCache(tmp_path / "x.db")
    set_llm_cache(cache)
    DeskChat(model="another").invoke("hello")
    cache.close()
    cache = SQLiteCache(tmp_path / "x.db", read_only=True)
    set_llm_cache(cache)
    desk = desks.new("read only", lambda _: wait_until(lambda: followers(cache) == 3))
    answers = DeskChat(model="read only").batch(["hello"] * 4)
    assert {answer.content for answer in answers} == {"answer 1"}
    assert len(desk.asked) == 1
    cache.close()


PROCESS = """
import sys
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI
from jupyter_llmcache import SQLiteCache
set_llm_cache(SQLiteCache("shared.db"))
llm = ChatOpenAI(model="gpt-test", api_key="k", base_url=sys.argv[1], max_retries=0)
print(llm.invoke("the same").content)
"""


def test_two_processes_pay_twice_and_store_once(openai_server, tmp_path):
    """Across processes that share a file nobody waits; all are answered, one entry stays."""
    openai_server.pass_on.clear()
    command = (sys.executable, PROCESS, openai_server.url)
    with ThreadPoolExecutor(2) as pool:
        processes = [pool.submit(run, *map(str, command), cwd=tmp_path) for _ in range(2)]
        wait_until(lambda: len(openai_server.requests) == 2)
        openai_server.pass_on.set()
        told = {process.result(SOON_S).strip() for process in processes}
    assert told == {"answer 1: the same", "answer 2: the same"}
    assert run(*map(str, command), cwd=tmp_path).strip() in told
    assert len(openai_server.requests) == 2
    shared = SQLiteCache(tmp_path / "shared.db", read_only=True)
    assert shared.store.count() == 1
    shared.close()


# --- random schedules ---


class Schedule:
    """A random handful of equal requests, some of which fail, are cancelled or left.

    Args:
        seed: Of the random choices.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.name = f"schedule {seed}"
        self.fails = self.random.choice([0, 0, 0, 1, 1, 3])
        self.desk = desks.new(self.name, self._deed)
        kind = self.random.choice([DeskChat, AsyncDeskChat])
        self.llm = kind(model=self.name)
        self.answers: list[str] = []
        self.errors = 0
        self.left = 0
        self.alone = 0

    def _deed(self, number: int) -> None:
        time.sleep(self.random.random() * 0.004)
        if number <= self.fails:
            raise ConnectionError

    def sync(self, pause_s: float, way: str) -> None:
        time.sleep(pause_s)
        try:
            if way == "invoke":
                self.answers.append(self.llm.invoke("hello").content)
            elif way == "stream":
                self.answers.append("".join(c.content for c in self.llm.stream("hello")))
            else:
                self.left += 1
                stream = self.llm.stream("hello")
                next(stream)
                stream.close()
        except ConnectionError:
            self.errors += way != "leave"

    async def task(self, pause_s: float, way: str) -> None:
        await asyncio.sleep(pause_s)
        try:
            if way == "invoke":
                self.answers.append((await self.llm.ainvoke("hello")).content)
            elif way == "stream":
                parts = [chunk.content async for chunk in self.llm.astream("hello")]
                self.answers.append("".join(parts))
            else:
                self.left += 1
                async with asyncio.timeout(self.random.random() * 0.01):
                    await self.llm.ainvoke("hello")
        except ConnectionError:
            self.errors += way != "leave"
        except TimeoutError:
            pass

    def run(self) -> None:
        ways = [self.random.choice(["invoke", "invoke", "stream", "leave"]) for _ in range(8)]
        pauses = [self.random.random() * 0.008 for _ in ways]
        half = self.random.randint(0, 8)
        # A stream, or somebody who left, may each cost one more; so may a sync call where a task
        # leads, for it does not wait for tasks.
        led_by_task = {"invoke", "leave"} & {*ways[half:]}
        beside_tasks = ways[:half].count("invoke") if led_by_task else 0
        self.alone = 8 - ways.count("invoke") + beside_tasks
        threads = [
            threading.Thread(target=self.sync, args=pair)
            for pair in zip(pauses[:half], ways[:half], strict=True)
        ]
        for thread in threads:
            thread.start()

        async def tasks() -> None:
            pairs = zip(pauses[half:], ways[half:], strict=True)
            await asyncio.gather(*(self.task(*pair) for pair in pairs))

        asyncio.run(asyncio.wait_for(tasks(), SOON_S))
        for thread in threads:
            thread.join(SOON_S)
            assert not thread.is_alive()

    def check(self) -> None:
        """Everybody was served, by no more requests than the failed and left ones explain."""
        requests = len(self.desk.asked)
        assert len(self.answers) + self.errors + self.left == 8
        assert self.errors <= self.fails
        bound = 8 if self.fails else 1 + self.alone  # a failure lets everybody pay
        assert requests <= bound, (requests, bound)


def run_schedules(seeds: range) -> None:
    for seed in seeds:
        schedule = Schedule(seed)
        schedule.run()
        schedule.check()


def test_random_schedules_end_and_pay_once():
    """Whatever the order of threads, tasks, failures and departures, all end and few pay."""
    run_schedules(range(30))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_random_schedules():
    """The same, a thousand times."""
    run_schedules(range(1000, 1500))
