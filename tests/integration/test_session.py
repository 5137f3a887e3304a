"""Choosing a cache, and the line under an ordinary cell."""

from __future__ import annotations

import pytest
from langchain_core.globals import get_llm_cache

from jupyter_llmcache import call_of


@pytest.fixture
def llm_shell(shell, chat_openai):
    """A shell with the extension, a memory cache, and a model named ``llm`` at a real server."""
    shell.run("%load_ext jupyter_llmcache")
    shell.run("%llm_cache memory")
    shell.user_ns["llm"] = chat_openai()
    return shell


def summaries(run):
    return [text for text in run.texts if " LLM call" in text]


def test_an_ordinary_cell_is_followed_by_one_line(llm_shell, openai_server):
    """Three calls, one of them new, are summed up in one line under the cell."""
    openai_server.delay_s = 0.05
    llm_shell.run("llm.invoke('a'); llm.invoke('b'); None")
    run = llm_shell.run("for prompt in 'abc': llm.invoke(prompt)")
    (line,) = summaries(run)
    assert line.startswith("3 LLM calls · 2 cached · 1 fresh · ")
    assert "saved" in line
    assert len(openai_server.requests) == 3


def test_a_cell_that_calls_no_model_gets_no_line(llm_shell):
    """An ordinary cell without a model call stays as it is."""
    assert llm_shell.run("1 + 1").texts == ["2"]


def test_a_drawn_answer_is_not_told_twice(llm_shell):
    """%%llm draws its own annotation, and the cell gets no second line for it."""
    run = llm_shell.run("%%llm\nhello")
    assert summaries(run) == []
    assert sum("fresh · " in text for text in run.texts) == 1


def test_an_answer_that_is_not_drawn_gets_the_line(llm_shell):
    """An assigned %llm draws nothing of itself, so that the cell's line tells of the call."""
    run = llm_shell.run("x = %llm hello")
    assert len(summaries(run)) == 1


@pytest.mark.parametrize(
    "cell",
    [
        "await llm.ainvoke('a'); await llm.ainvoke('b'); None",
        "llm.batch(['a', 'b']); None",
        "await llm.abatch(['a', 'b']); None",
        (
            "from threading import Thread\n"
            "threads = [Thread(target=llm.invoke, args=(p,)) for p in 'ab']\n"
            "[t.start() for t in threads]; [t.join() for t in threads]; None"
        ),
        "list(llm.stream('a')); list(llm.stream('b')); None",
        "get_ipython().run_cell('llm.invoke(\"a\"); None'); llm.invoke('b'); None",
    ],
    ids=["await", "batch", "abatch", "threads", "stream", "nested"],
)
def test_every_way_of_calling_is_counted(llm_shell, cell):
    """Top-level await, batches, threads, streams and nested cells are all told of."""
    run = llm_shell.run(cell)
    told = sum(int(line.split(" ", 1)[0]) for line in summaries(run))
    assert told == 2


def test_annotate_off_switches_the_line_off(llm_shell):
    """After %llm_cache annotate off ordinary cells are left alone, and on brings the line back."""
    llm_shell.run("%llm_cache annotate off")
    assert summaries(llm_shell.run("llm.invoke('a'); None")) == []
    llm_shell.run("%llm_cache annotate on")
    assert len(summaries(llm_shell.run("llm.invoke('a'); None"))) == 1


def test_calls_know_their_cell(llm_shell):
    """Each event of the ledger names the cell that made the call."""
    from jupyter_llmcache import calls

    number = llm_shell.execution_count
    llm_shell.run("llm.invoke('a'); None")
    llm_shell.run("llm.invoke('a'); None")
    assert [call.cell for call in calls()] == [number, number + 1]


def test_a_plain_call_shares_its_entry_with_the_magic(llm_shell, openai_server):
    """%%llm and llm.invoke of one request make one request at the server."""
    openai_server.delay_s = 0.05
    assert llm_shell.run("%%llm --no-stream\nTell me a joke").value.cached is False
    message = llm_shell.run("llm.invoke('Tell me a joke')").value
    assert call_of(message).kind == "hit"
    assert llm_shell.run("%llm Tell me a joke").value.cached is True
    assert len(openai_server.requests) == 1


@pytest.mark.parametrize("kind", ["memory", "sqlite joke.db"])
def test_fresh_and_cached_tell_what_a_person_wants_to_know(llm_shell, openai_server, kind):
    """The first answer is fresh with the wait, the second cached with the saved time."""
    openai_server.delay_s = 0.3
    llm_shell.run(f"%llm_cache {kind}")
    fresh = llm_shell.run("%%llm\nTell me a joke").value
    cached = llm_shell.run("%%llm\nTell me a joke").value
    assert not fresh.cached
    assert fresh.wall_s >= 0.3
    assert fresh.saved_s is None
    assert cached.cached
    assert cached.text == fresh.text
    assert cached.saved_s == pytest.approx(fresh.calls[0].provider_s)
    assert cached.key == fresh.key
    assert cached.message.id != fresh.message.id
    assert cached.usage == fresh.usage
    assert len(openai_server.requests) == 1


def test_a_failed_opening_keeps_the_cache_that_was_on(llm_shell, tmp_path):
    """A path that cannot be opened is one error, and the old cache goes on serving."""
    llm_shell.run("%llm hello")
    (tmp_path / "folder").mkdir()
    run = llm_shell.run("%llm_cache sqlite folder", check=False)
    assert "folder" in str(run.error)
    assert llm_shell.run("%llm hello").value.cached


def test_status_tells_what_is_on(llm_shell):
    """A bare %llm_cache returns the backend, the file and this session's counts."""
    llm_shell.run("%llm_cache sqlite 'a b.db'")
    llm_shell.run("%llm hello")
    llm_shell.run("%llm hello")
    status = llm_shell.run("%llm_cache").value
    assert (status.backend, status.location, status.mode) == ("sqlite", "a b.db", "auto")
    assert (status.entries, status.hits, status.misses, status.stored) == (1, 1, 1, 1)
    assert status.size_bytes > 0
    assert status.saved_s > 0


def test_without_a_cache_an_answer_is_fresh_and_says_that_none_is_on(llm_shell, openai_server):
    """%%llm works with the cache off, and the annotation says that nothing was stored."""
    llm_shell.run("%llm_cache off")
    answer = llm_shell.run("%llm hello").value
    again = llm_shell.run("%llm hello")
    assert not answer.cached
    assert not again.value.cached
    assert "no cache is on" in again.seen
    assert len(openai_server.requests) == 2
    assert get_llm_cache() is None


def test_the_entry_outlives_the_shell(shell, chat_openai, openai_server):
    """What one session stored in a SQLite file is a hit in the next."""
    shell.user_ns["llm"] = chat_openai()
    for expected in (False, True):
        shell.run("%load_ext jupyter_llmcache")
        shell.run("%llm_cache sqlite joke.db")
        assert shell.run("%llm Tell me a joke").value.cached is expected
        shell.run("%unload_ext jupyter_llmcache")
    assert len(openai_server.requests) == 1


@pytest.mark.parametrize(
    ("flags", "requests", "cached_after"),
    [("--refresh", 1, True), ("--no-cache", 1, True), ("", 0, True)],
)
def test_flags_decide_for_one_question(llm_shell, openai_server, flags, requests, cached_after):
    """--refresh and --no-cache ask again; afterwards the entry still answers."""
    llm_shell.run("%llm hello")
    before = len(openai_server.requests)
    llm_shell.run(f"%llm {flags} hello")
    assert len(openai_server.requests) - before == requests
    assert llm_shell.run("%llm hello").value.cached is cached_after


def test_refresh_overwrites_and_bypass_does_not(llm_shell, openai_server):
    """After --refresh the new answer is the cached one; --no-cache leaves the old one."""
    first = llm_shell.run("%llm hello").value.text
    bypassed = llm_shell.run("%llm --no-cache hello").value.text
    assert llm_shell.run("%llm hello").value.text == first != bypassed
    refreshed = llm_shell.run("%llm --refresh hello").value.text
    assert llm_shell.run("%llm hello").value.text == refreshed != first


def test_replay_of_an_unknown_prompt_sends_nothing(llm_shell, openai_server):
    """--replay of what was never recorded fails in one line and makes no request."""
    llm_shell.run("%llm Tell me a joke")
    before = openai_server.connections
    run = llm_shell.run("%llm --replay Tell me a story", check=False)
    assert "replay" in str(run.error)
    assert "joke" in str(run.error)
    assert len(openai_server.requests) == 1
    assert openai_server.connections == before


def test_a_chain_is_asked_like_a_model(llm_shell, openai_server):
    """A chain as -m gets the prompt; its calls make the answer's facts."""
    llm_shell.run(
        "from langchain_core.prompts import ChatPromptTemplate\n"
        "from langchain_core.output_parsers import StrOutputParser\n"
        "chain = ChatPromptTemplate.from_template('About {topic}') | llm | StrOutputParser()"
    )
    fresh = llm_shell.run("%llm -m chain bears").value
    cached = llm_shell.run("%llm -m chain bears").value
    assert (fresh.cached, cached.cached) == (False, True)
    assert fresh.result == fresh.text == cached.text
    assert cached.key == fresh.key is not None
    assert openai_server.requests[0].body["messages"][0]["content"] == "About bears"


def test_a_chain_of_two_calls_has_no_single_key(llm_shell):
    """Where a chain calls the model twice, key and message are None and cached means all."""
    llm_shell.run(
        "from langchain_core.runnables import RunnableLambda\n"
        "chain = RunnableLambda(lambda p: llm.invoke(p + '!')) | (lambda m: llm.invoke('again'))"
    )
    first = llm_shell.run("%llm -m chain one").value
    other = llm_shell.run("%llm -m chain two").value
    again = llm_shell.run("%llm -m chain one").value
    assert len(first.calls) == 2
    assert first.key is None
    assert first.message is None
    assert (first.cached, other.cached, again.cached) == (False, False, True)


def test_show_prompt_sends_nothing_and_tells_whether_it_is_cached(llm_shell, openai_server):
    """--show-prompt shows the messages, and whether the cache holds them, without a request."""
    before = llm_shell.run("%llm --show-prompt -s 'Be short' hello").value
    assert openai_server.requests == []
    assert before.cached is False
    assert before.messages == (("system", "Be short"), ("human", "hello"))
    llm_shell.run("%llm -s 'Be short' hello")
    after = llm_shell.run("%llm --show-prompt -s 'Be short' hello").value
    assert after.cached is True
    assert len(openai_server.requests) == 1


def test_show_prompt_leaves_no_event(llm_shell):
    """A preview is no call."""
    from jupyter_llmcache import calls

    llm_shell.run("%llm --show-prompt hello")
    assert calls() == []


def test_cpu_time_is_in_the_answer(llm_shell, openai_server):
    """Processor time is measured, and is less than the wait for a slow provider."""
    openai_server.delay_s = 0.3
    answer = llm_shell.run("%llm hello").value
    assert 0 < answer.cpu_s < answer.wall_s


def test_a_keyboard_interrupt_stops_the_call_and_stores_nothing(llm_shell, openai_server):
    """An interrupted call fails the cell, and the next one asks again and works."""
    import _thread
    import threading

    openai_server.delay_s = 2
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    run = llm_shell.run("%llm hello", check=False)
    timer.join()
    assert isinstance(run.error, KeyboardInterrupt)
    openai_server.delay_s = 0
    assert llm_shell.run("%llm hello").value.cached is False
    assert llm_shell.run("%llm hello").value.cached is True


def test_the_notebooks_own_cache_is_annotated(shell, chat_openai):
    """With the extension alone the line tells fresh and cached for a cache of LangChain's guide."""
    shell.run("%load_ext jupyter_llmcache")
    shell.run("from langchain_core.caches import InMemoryCache")
    shell.run("from langchain_core.globals import set_llm_cache; set_llm_cache(InMemoryCache())")
    shell.user_ns["llm"] = chat_openai()
    (fresh,) = summaries(shell.run("llm.invoke('a'); None"))
    (cached,) = summaries(shell.run("llm.invoke('a'); None"))
    assert "fresh" in fresh
    assert "cached" in cached
    shell.run("%unload_ext jupyter_llmcache")
    assert summaries(shell.run("llm.invoke('a'); None")) == []
