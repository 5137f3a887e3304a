"""The cache on a server, as a person types it and as a script uses it."""

from __future__ import annotations

import json

import pytest
from langchain_core.globals import set_llm_cache

import jupyter_llmcache
from jupyter_llmcache.__main__ import main
from jupyter_llmcache.errors import LLMCacheError, ReplayMissError
from tests.servers.redis import RedisServer

SECRET = "correct-horse"


@pytest.fixture
def server():
    with RedisServer() as running:
        yield running


@pytest.fixture
def run(shell):
    shell.run_line_magic("load_ext", "jupyter_llmcache")
    return lambda line: shell.run_line_magic("llm_cache", line)


def test_a_cell_is_answered_by_the_server(shell, run, server, chat_openai):
    """An answer that one kernel paid for is there in a new one on the same server."""
    assert run(f"redis {server.url}").backend == "redis"
    shell.user_ns["llm"] = chat_openai()
    fresh = shell.run_cell_magic("llm", "", "Hello")
    run("off")
    run(f"redis {server.url}")
    again = shell.run_cell_magic("llm", "", "Hello")
    assert (fresh.cached, again.cached, again.text) == (False, True, fresh.text)


def test_addresses_from_elsewhere(shell, run, server, monkeypatch):
    """The address may come from a variable of the notebook, the setting or the environment."""
    shell.user_ns["url"] = server.url
    assert run("redis {{url}}").location == server.url
    monkeypatch.setenv("LLMCACHE_REDIS_URL", server.url)
    assert run("redis").location == server.url
    shell.run_line_magic("config", f"LLMCache.redis_url = 'redis://localhost:{server.port}/0'")
    assert run("redis").location == f"redis://localhost:{server.port}/0"


def test_a_server_that_is_away_leaves_the_old_cache_on(run):
    """Where the server does not answer, one line says so, and what was on stays on."""
    run("memory")
    with pytest.raises(LLMCacheError, match=r"does not answer\. Check that it runs"):
        run("redis redis://127.0.0.1:1/0")
    assert run("").backend == "memory"


def test_what_is_on_is_told_while_the_server_is_away(run, server):
    """The status says that the server is away, and a mode is set without an error."""
    run(f"redis {server.url}")
    server.kill()
    status = run("")
    assert (status.backend, status.location, status.entries) == ("redis", server.url, None)
    assert "does not answer" in str(status)
    assert run("mode bypass").mode == "bypass"


def test_a_password_is_never_shown(shell, run):
    """A password that was typed works, is warned of once, and stands in no output."""
    with RedisServer(requirepass=SECRET) as server:
        status = run(f"redis redis://:{SECRET}@127.0.0.1:{server.port}/0")
        assert "REDIS_PASSWORD" in str(status)
        assert SECRET not in f"{status} {status!r} {status._repr_html_()}"
        assert SECRET not in str(run("list"))


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_answer_between_the_look_and_the_claim(
    server, chat_openai, openai_server, monkeypatch, is_async
):
    """What another machine got after this one looked, and before it claimed, is not paid again."""
    mine, theirs = (jupyter_llmcache.RedisCache(server.url) for _ in range(2))
    claim = mine.store.claim

    def late(key: bytes):
        chat_openai(cache=theirs).invoke("Hello")
        return claim(key)

    monkeypatch.setattr(mine.store, "claim", late)
    llm = chat_openai(cache=mine)
    assert (await llm.ainvoke("Hello") if is_async else llm.invoke("Hello")).text
    assert openai_server.answered == 1
    assert [call.kind for call in jupyter_llmcache.calls()] == ["miss", "hit"]


def test_an_answer_is_delivered_while_the_server_is_away(shell, run, server, chat_openai):
    """A server that goes away costs no answer; what was paid then is stored when it is back."""
    run(f"redis {server.url}")
    llm = chat_openai()
    llm.invoke("before")
    server.kill()
    assert llm.invoke("meanwhile").text
    (call,) = jupyter_llmcache.calls()[-1:]
    assert (call.kind, call.stored, call.pending) == ("miss", False, True)
    assert "does not answer" in call.warning
    server.start()
    cache = shell._jupyter_llmcache.session.cache
    assert cache.store.flush(10) == 0
    llm.invoke("meanwhile")
    assert jupyter_llmcache.calls()[-1].kind == "hit"


def test_replay_fails_closed(run, server, chat_openai, openai_server):
    """In replay a server that is away is an error, and nothing is asked."""
    run(f"redis {server.url}")
    llm = chat_openai()
    llm.invoke("recorded")
    run("mode replay")
    assert llm.invoke("recorded").text
    server.kill()
    with pytest.raises(ReplayMissError, match="does not answer"):
        llm.invoke("not recorded")
    assert len(openai_server.requests) == 1


def test_in_a_script(server, chat_openai, openai_server):
    """``RedisCache`` takes an address or a client, for the global cache and for one model."""
    import redis

    llm = chat_openai()
    set_llm_cache(jupyter_llmcache.RedisCache(server.url))
    first = llm.invoke("Hello").text
    set_llm_cache(None)
    other = chat_openai(cache=jupyter_llmcache.RedisCache(client=redis.Redis(port=server.port)))
    assert other.invoke("Hello").text == first
    assert len(openai_server.requests) == 1


def test_a_course_moves_from_file_to_server_and_back(run, server, chat_openai, tmp_path):
    """Entries go from a file to a server and into another file, and answer there."""
    run("sqlite first.db")
    llm = chat_openai()
    first = llm.invoke("Hello").text
    run("export course.db")
    run(f"redis {server.url} --readable")
    run("import course.db")
    assert llm.invoke("Hello").text == first
    run("export back.db")
    run("sqlite back.db --read-only")
    run("mode replay")
    assert llm.invoke("Hello").text == first


@pytest.mark.parametrize(
    "line",
    [
        "list",
        "list -g Hello",
        "show",
        "explain",
        "stats",
        "history",
        "verify",
        "forget last -y",
        "prune --older-than 1d -y",
        "clear -y",
    ],
)
def test_every_command_works(run, server, chat_openai, line):
    """What can be done with a file can be done with a server."""
    run(f"redis {server.url} --readable")
    chat_openai().invoke("Hello")
    assert str(run(line))


def test_a_server_is_listed_from_the_shell(shell, run, server, chat_openai, capsys):
    """Where a command takes a file it takes a server's URL, too; of other URLs one line says so."""
    shell.user_ns["llm"] = chat_openai()
    run(f"redis {server.url}")
    shell.run_cell_magic("llm", "", "Hello")
    run("off")
    capsys.readouterr()
    assert main(["list", server.url, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1
    assert main(["clear", server.url, "--yes"]) == 0
    assert main(["list", server.url]) == 0
    assert "Hello" not in capsys.readouterr().out
    assert main(["list", "http://localhost/a.db"]) == 2
    assert "no store is at http://" in capsys.readouterr().err
    assert main(["list", "redis://127.0.0.1:1/0"]) == 1
    assert "does not answer" in capsys.readouterr().err
