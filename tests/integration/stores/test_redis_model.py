"""The store on a server against a model of it, driven by hypothesis, with the server going away."""

from __future__ import annotations

import uuid

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jupyter_llmcache.errors import StoreError
from jupyter_llmcache.stores.redis import RedisStore
from tests.servers.redis import RedisServer, wait_until
from tests.unit.stores.entries import entry, key_of

NAMES = st.integers(0, 6)
ANSWERS = st.binary(max_size=300)


class RedisMachine(RuleBasedStateMachine):
    """Two kernels on one server that keeps what it was told, through kills and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.server = RedisServer(appendonly="yes", appendfsync="always")
        self.server.start()
        self.prefix = uuid.uuid4().hex
        self.stores = [self.open(), self.open()]
        self.answers: dict[bytes, bytes] = {}
        self.is_up = True

    def open(self) -> RedisStore:
        return RedisStore(self.server.url, prefix=self.prefix, readable=True)

    def forget_hot(self) -> None:
        # What another kernel changes may be seen a second late: that is promised, and not tried.
        for store in self.stores:
            store._hot.clear()

    @rule(which=st.integers(0, 1), names=st.lists(NAMES, min_size=1, max_size=4), answer=ANSWERS)
    def put(self, which, names, answer):
        records = [entry(name, answer=answer + bytes([name])) for name in names]
        committed = self.stores[which].put_many(records)
        assert committed is self.is_up
        self.answers |= {record.key: record.answer for record in records}
        if not committed:
            # Only the kernel that put them knows them until the server is back.
            self.come_back()
        self.forget_hot()

    @precondition(lambda self: self.is_up)
    @rule(which=st.integers(0, 1), name=NAMES)
    def get(self, which, name):
        found = self.stores[which].get(key_of(name))
        assert (found.answer if found else None) == self.answers.get(key_of(name))

    @precondition(lambda self: self.is_up)
    @rule(which=st.integers(0, 1), names=st.lists(NAMES, max_size=3))
    def delete(self, which, names):
        keys = {key_of(name) for name in names}
        assert self.stores[which].delete(keys) == len(keys & self.answers.keys())
        for key in keys:
            self.answers.pop(key, None)
        self.forget_hot()

    @precondition(lambda self: self.is_up)
    @rule(which=st.integers(0, 1))
    def clear(self, which):
        self.stores[which].clear()
        self.answers.clear()
        self.forget_hot()

    @precondition(lambda self: self.is_up)
    @rule()
    def go_away(self):
        self.server.kill()
        self.is_up = False
        for store in self.stores:
            store._hot.clear()
            try:
                store.get(key_of(0))
            except StoreError:
                continue
            raise AssertionError("a server that is away answered")

    @precondition(lambda self: not self.is_up)
    @rule()
    def come_back(self):
        self.server.start()
        self.is_up = True
        for store in self.stores:
            assert store.flush(20) == 0
            wait_until(lambda store=store: not store._link._is_away)

    @invariant()
    def they_agree(self):
        if self.is_up:
            for store in self.stores:
                held = {each.key: each.answer for each in store.entries()}
                assert held == self.answers
                assert store.count() == len(self.answers)

    def teardown(self):
        for store in self.stores:
            store.close()
        self.server.__exit__()


def test_a_server_holds_what_its_model_holds():
    """Whatever two kernels do in whatever order, both see what the model holds."""
    run_state_machine_as_test(
        RedisMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
