"""The store on a server: the contract, its own faults, and who pays."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from jupyter_llmcache.errors import DamagedEntryError, LLMCacheError, StoreError
from jupyter_llmcache.stores import redis_link, write_behind
from jupyter_llmcache.stores.base import Store
from jupyter_llmcache.stores.redis import RedisStore
from tests.servers.redis import RedisServer, wait_until
from tests.unit.stores.contract import StoreContract
from tests.unit.stores.entries import as_put, entry, key_of

SECRET = "correct-horse-battery"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


class TestRedisStore(StoreContract):
    """On one server."""

    @pytest.fixture(autouse=True)
    def _names(self, server, prefix):
        self.url, self.prefix = server.url, prefix

    def open(self, folder: Path, **options: Any) -> Store:
        return RedisStore(self.url, prefix=self.prefix, readable=True, **options)


def test_two_machines_share(server, prefix):
    """What one store puts, another one on the same server finds."""
    one, other = RedisStore(server.url, prefix=prefix), RedisStore(server.url, prefix=prefix)
    one.put(entry(1))
    assert other.get(key_of(1)).answer == entry(1).answer


def test_without_readable_the_server_holds_no_prompt(server, prefix):
    """Only the process that put an entry can tell what was asked."""
    one, other = RedisStore(server.url, prefix=prefix), RedisStore(server.url, prefix=prefix)
    one.put(entry(1, prompt="a private question", title="private"))
    assert as_put(one.read(key_of(1))).prompt == "a private question"
    assert other.read(key_of(1)).prompt == ""
    stored = [server.client().dump(name) for name in server.client().scan_iter(f"{prefix}:*")]
    assert not any(b"private" in value for value in stored)


def test_clear_leaves_other_prefixes_alone(server, prefix):
    """A prefix that reads like a pattern clears only itself."""
    mine, near = RedisStore(server.url, prefix=f"{prefix}*"), RedisStore(server.url, prefix=prefix)
    mine.put(entry(1))
    near.put(entry(2))
    mine.clear()
    assert mine.count() == 0
    assert near.count() == 1


def test_damage_is_never_an_answer(server, prefix):
    """A value that was changed, cut off or is of another type is damaged, not an answer."""
    store, client = RedisStore(server.url, prefix=prefix), server.client()
    name = f"{prefix}:e:".encode() + key_of(1)
    store.put(entry(1))
    whole = client.get(name)
    for value in (whole[:-1], whole[:10], b"", b"text", whole[:30] + b"x" + whole[31:]):
        client.set(name, value)
        store._hot.clear()
        with pytest.raises(DamagedEntryError):
            store.get(key_of(1))
        with pytest.raises(DamagedEntryError):
            store.read(key_of(1))
        assert store.verify().damaged == (key_of(1),)
    client.delete(name)
    client.lpush(name, "x")
    with pytest.raises(StoreError, match="foreign data"):
        store.get(key_of(1))


def test_an_entry_under_another_key_is_refused(server, prefix):
    """A value that was copied to another key does not answer there."""
    store, client = RedisStore(server.url, prefix=prefix), server.client()
    store.put(entry(1))
    names = [f"{prefix}:e:".encode() + key_of(n) for n in (1, 2)]
    client.copy(*names)
    with pytest.raises(DamagedEntryError):
        store.get(key_of(2))


def test_signed_entries_refuse_others(server, prefix, monkeypatch):
    """With ``sign`` an entry counts only where it was signed with the same secret."""
    RedisStore(server.url, prefix=prefix).put(entry(1))
    with pytest.raises(LLMCacheError, match="LLMCACHE_REDIS_SECRET"):
        RedisStore(server.url, prefix=prefix, sign=True)
    monkeypatch.setenv("LLMCACHE_REDIS_SECRET", SECRET)
    signing = RedisStore(server.url, prefix=prefix, sign=True)
    with pytest.raises(DamagedEntryError, match="not signed"):
        signing.get(key_of(1))
    signing.put(entry(2))
    assert RedisStore(server.url, prefix=prefix, sign=True).get(key_of(2))
    monkeypatch.setenv("LLMCACHE_REDIS_SECRET", "another")
    with pytest.raises(DamagedEntryError):
        RedisStore(server.url, prefix=prefix, sign=True).get(key_of(2))


def test_ttl_is_the_servers_too(server, prefix):
    """An entry with a lifetime leaves the server by itself."""
    store = RedisStore(server.url, prefix=prefix, ttl_s=0.2)
    store.put(entry(1, created_at=time.time()))
    wait_until(lambda: not server.client().exists(f"{prefix}:e:".encode() + key_of(1)))


def test_a_read_only_store_writes_nothing(server, prefix):
    """Reading with ``read_only`` leaves every byte on the server as it was."""
    RedisStore(server.url, prefix=prefix).put(entry(1))
    before = sorted(server.client().scan_iter(f"{prefix}:*"))
    store = RedisStore(server.url, prefix=prefix, read_only=True)
    assert store.get(key_of(1))
    with pytest.raises(StoreError, match="read-only"):
        store.put(entry(2))
    store.close()
    assert sorted(server.client().scan_iter(f"{prefix}:*")) == before


# --- faults ---


def test_away_at_the_start():
    """A server that is not there is one line that names it."""
    with pytest.raises(StoreError, match=r"redis://127\.0\.0\.1:1/0 does not answer"):
        RedisStore("redis://user:s3same@127.0.0.1:1/0")


@pytest.mark.parametrize(
    "url",
    ["http://x", "course.db", "redis://host:port/0", "redis+sentinel://nohost/name/0", "redis://["],
)
def test_addresses_that_are_none(url):
    """An address that is not valid is one line that says how to write one."""
    with pytest.raises(LLMCacheError, match=r"redis://host:6379/0|does not answer"):
        RedisStore(url)


def test_away_later_and_back(own_server):
    """While the server is away nobody waits, and what was put meanwhile is stored afterwards."""
    store = RedisStore(own_server.url)
    store.put(entry(1))
    own_server.kill()
    with pytest.raises(StoreError, match="does not answer"):
        store.get(key_of(3))
    with waits() as waited:
        assert store.put(entry(2)) is False
        assert store.get(key_of(2)).answer == entry(2).answer
    assert waited == []
    assert store.notice.startswith("not yet stored: 1 answer: redis://")
    own_server.start()
    assert store.flush(10) == 0
    assert RedisStore(own_server.url).get(key_of(2)).answer == entry(2).answer


@contextmanager
def waits() -> Iterator[list[str]]:
    """Note how often this thread waits for a server, for a connection or an answer."""
    waited: list[str] = []

    def noting(name: str) -> Callable[..., Any]:
        method = getattr(redis.Connection, name)

        def wait(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                waited.append(name)
            return method(*args, **kwargs)

        return wait

    with pytest.MonkeyPatch.context() as patched:
        for name in ("connect", "read_response"):
            patched.setattr(redis.Connection, name, noting(name))
        yield waited


def test_a_look_that_was_broken_off_leaves_no_answer_for_the_next(server, prefix, monkeypatch):
    """An answer of the server that nobody has read is not taken for the next question's."""
    store = RedisStore(server.url, prefix=prefix)
    store.put_many([entry(1), entry(2)])
    with monkeypatch.context() as patched:
        patched.setattr(redis.Connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.get(key_of(1))
    assert store.get(key_of(2)).answer == entry(2).answer


def interrupted(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


def test_a_fork_asks_on_its_own(server, prefix):
    """A forked process and its parent, which ask at the same time, each get their own answers."""
    store = RedisStore(server.url, prefix=prefix)
    store.put_many([entry(1), entry(2)])
    store.get(key_of(1))
    child = os.fork()
    mine = entry(1 if child else 2)
    is_right = True
    for _ in range(300):
        store._hot.clear()
        is_right = is_right and store.get(mine.key).answer == mine.answer
    if not child:
        os._exit(not is_right)
    assert is_right
    assert os.waitpid(child, 0)[1] == 0


def test_what_waits_keeps_its_order(own_server):
    """An answer that waited never replaces a newer one, and one that was deleted stays away."""
    store = RedisStore(own_server.url)
    own_server.kill()
    assert store.put_many([entry(1), entry(2)]) is False
    assert store.put(entry(1)._replace(answer=b"newer")) is False
    own_server.start()
    assert store.flush(10) == 0
    assert store.get(key_of(1)).answer == b"newer"
    own_server.kill()
    assert store.put_many([entry(3), entry(4)]) is False
    with pytest.raises(StoreError, match="does not answer"):
        store.delete([key_of(3)])
    assert store.put(entry(5)) is False
    own_server.start()
    wait_until(lambda: not store._link._is_away)
    assert store.delete([key_of(5), key_of(6)]) == 1
    assert store.flush(10) == 0
    there = RedisStore(own_server.url)
    assert there.get(key_of(5)) is None
    assert there.get(key_of(3)) is None
    assert there.get(key_of(4)).answer == entry(4).answer


def test_what_is_lost_at_the_end_is_told(own_server, monkeypatch, capsys):
    """A server that stays away to the end costs what waits, and one line says how much."""
    monkeypatch.setattr(write_behind, "_LAST_PATIENCE_S", 0.2)
    store = RedisStore(own_server.url)
    own_server.kill()
    store.put_many([entry(1), entry(2)])
    store.close()
    store.close()
    told = capsys.readouterr().err
    assert told.startswith("jupyter_llmcache: not stored: 2 answers: redis://127.0.0.1")
    assert told.count("\n") == 1


def test_a_server_that_hangs_costs_a_quarter_of_a_second(own_server):
    """Of a server that takes questions and does not answer one answer is waited for, 0.25 s."""
    import signal

    store = RedisStore(own_server.url)
    store.put(entry(1))
    store._hot.clear()
    os.kill(own_server._process.pid, signal.SIGSTOP)
    try:
        with waits() as waited:
            for n in range(20):
                with pytest.raises(StoreError):
                    store.get(key_of(n))
            assert store.put(entry(2)) is False
        assert waited == ["read_response"]
        assert redis_link._CALL_S <= 0.25
    finally:
        os.kill(own_server._process.pid, signal.SIGCONT)
    assert store.flush(10) == 0


def test_a_full_server():
    """A server without memory refuses in one line that says what to do."""
    with RedisServer(maxmemory="1500kb") as server:
        store = RedisStore(server.url)
        with pytest.raises(StoreError, match=r"is full.*maxmemory"):
            store.put_many([entry(n, answer=os.urandom(100_000)) for n in range(50)])


def test_a_replica():
    """A replica that cannot be written says so, and serves what it has."""
    with (
        RedisServer() as primary,
        RedisServer(replicaof=f"127.0.0.1 {primary.port}") as replica,
    ):
        RedisStore(primary.url).put(entry(1))
        wait_until(lambda: replica.client().info("replication")["master_link_status"] == "up")
        store = RedisStore(replica.url)
        wait_until(lambda: store.get(key_of(1)) is not None)
        with pytest.raises(StoreError, match="replica"):
            store.put(entry(2))


def test_passwords(monkeypatch, capfd):
    """A password works from the address and from the environment, and stands nowhere."""
    with RedisServer(requirepass=SECRET) as server:
        with pytest.raises(StoreError, match="refuses the user or the password") as refused:
            RedisStore(server.url)
        wrong = server.url.replace("//", "//:wr0ng@")
        with pytest.raises(StoreError) as told:
            RedisStore(wrong)
        typed = RedisStore(server.url.replace("//", f"//:{SECRET}@"))
        typed.put(entry(1))
        assert "REDIS_PASSWORD" in typed.notice
        monkeypatch.setenv("REDIS_PASSWORD", SECRET)
        quiet = RedisStore(server.url)
        assert quiet.get(key_of(1))
        assert quiet.notice is None
        shown = f"{refused.value} {told.value} {typed.location} {typed!r} {typed.notice}"
        assert SECRET not in shown
        assert "wr0ng" not in shown


def rules(password: str) -> list[str]:
    """The words of the rule in the documentation that sets this password."""
    page = Path(__file__).parents[3] / "docs" / "shared_cache.md"
    lines = [line for line in page.read_text("utf-8").splitlines() if f">{password} " in line]
    assert len(lines) == 1
    return lines[0].split()


def as_student(server: RedisServer, password: str) -> RedisStore:
    server.client().execute_command(*rules(password))
    return RedisStore(server.url.replace("//", f"//student:{password}@"))


def test_the_rule_for_a_recorded_lesson(own_server):
    """Students who may only read get answers; what they put is refused in one line."""
    RedisStore(own_server.url).put(entry(1))
    store = as_student(own_server, "lesson")
    assert store.get(key_of(1)).answer == entry(1).answer
    assert store.count() == len(list(store.entries())) == 1
    with pytest.raises(StoreError, match="does not let this user"):
        store.put(entry(2))
    assert store.claim(key_of(2)) is None
    with pytest.raises(StoreError, match="does not let this user"):
        store.clear()
    assert RedisStore(own_server.url).count() == 1


def test_the_rule_for_a_lab_hour(own_server):
    """Students who may write share what they pay for, and can delete nothing of others."""
    own_server.client().set("other", "theirs")
    store = as_student(own_server, "lab")
    claim = store.claim(key_of(1))
    assert claim.leads
    assert store.put(entry(1)) is True
    claim.free()
    assert store.get(key_of(1))
    assert store.flush() == 0
    assert store.verify().is_sound
    store.clear()
    assert own_server.client().get("other") == b"theirs"


# --- who pays ---


def test_one_claim_a_key(server, prefix):
    """Of two machines one leads; the other waits until the first is done."""
    one, other = RedisStore(server.url, prefix=prefix), RedisStore(server.url, prefix=prefix)
    mine, theirs = one.claim(key_of(1)), other.claim(key_of(1))
    assert mine.leads
    assert not theirs.leads
    assert theirs.wait(0.1) is False
    threading.Timer(0.1, mine.free).start()
    assert theirs.wait(10) is True
    assert other.claim(key_of(1)).leads


def test_a_dead_owner_is_followed(server, prefix, monkeypatch):
    """A claim that nobody renews ends by itself."""
    monkeypatch.setattr("jupyter_llmcache.stores.redis_link._CLAIM_S", 0.3)
    one, other = RedisStore(server.url, prefix=prefix), RedisStore(server.url, prefix=prefix)
    assert one.claim(key_of(1)).leads
    one._claims._closed.set()
    assert other.claim(key_of(1)).wait(60) is True


def test_a_living_owner_keeps_its_claim(server, prefix, monkeypatch):
    """A claim is renewed for as long as its owner works."""
    monkeypatch.setattr("jupyter_llmcache.stores.redis_link._CLAIM_S", 0.3)
    one, other = RedisStore(server.url, prefix=prefix), RedisStore(server.url, prefix=prefix)
    mine = one.claim(key_of(1))
    assert other.claim(key_of(1)).wait(1.0) is False
    mine.free()
    assert other.claim(key_of(1)).leads


def test_a_claim_of_a_server_that_is_away_is_none(own_server):
    """Where nobody can tell, each pays for itself."""
    store = RedisStore(own_server.url)
    own_server.kill()
    assert store.claim(key_of(1)) is None
