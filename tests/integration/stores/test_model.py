"""Stores against a model of them, driven by hypothesis.

The long form: ``pytest -m slow tests/integration/stores/test_model.py``.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jupyter_llmcache.ledger import Entry
from jupyter_llmcache.stores.base import LifeTotals, Store
from jupyter_llmcache.stores.memory import MemoryStore
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.unit.stores.entries import Clock, as_put, entry, key_of, large_answer_to
from tests.unit.stores.folders import is_sound, names

NAMES = st.integers(0, 9)
ANSWERS = st.one_of(
    st.binary(max_size=300),
    st.builds(large_answer_to, st.integers(), st.integers(0, 20_000)),
)
PROMPTS = st.one_of(st.text(st.characters(), max_size=50), st.text(min_size=3000, max_size=3010))
MAX_ENTRIES, TTL_S = 6, 50


@dataclass
class Row:
    """What is stored of an entry."""

    record: Entry
    used_at: float
    place: int
    hits: int = 0


@dataclass
class Uses:
    """What a session knows of an entry's hits and has not written."""

    hits: int = 0
    used_at: float = 0.0


@dataclass
class Model:
    """The simplest store that does what a store promises."""

    clock: Clock
    #: Whether an entry that is stored again keeps its place among those used at the same moment.
    keeps_place: bool = False
    rows: dict[bytes, Row] = field(default_factory=dict)
    pending: dict[bytes, Uses] = field(default_factory=dict)
    pending_hits: int = 0
    written_hits: int = 0
    stored: bool = False
    #: Whether an answer was stored since the last flush, or since what was deleted was given back.
    unfolded: bool = False
    exists: bool = False

    def is_old(self, row: Row) -> bool:
        return row.record.created_at <= self.clock.now - TTL_S

    def get(self, key: bytes) -> Entry | None:
        row = self.rows.get(key)
        if row is None or self.is_old(row):
            return None
        uses = self.pending.setdefault(key, Uses())
        uses.hits += 1
        uses.used_at = self.clock.now
        self.pending_hits += 1
        return Entry(key, row.record.answer, row.record.created_at, row.record.provider_s)

    def put_many(self, records: list[Entry]) -> None:
        self.write_pending()
        for record in records:
            old = self.rows.get(record.key)
            place = 1 + max((r.place for r in self.rows.values()), default=0)
            if old and self.keeps_place:
                place = old.place
            self.rows[record.key] = Row(record, self.clock.now, place)
        self.stored = self.unfolded = self.exists = True
        self.evict()

    def gave_back(self) -> None:
        """Space was given back, which also folds the file."""
        self.stored |= self.exists
        self.unfolded = False

    def flush(self) -> None:
        if self.unfolded:
            self.write_pending()
            self.unfolded = False

    def evict(self) -> int:
        before = len(self.rows)
        if before > MAX_ENTRIES:
            self.expire()
            for row in sorted(self.rows.values(), key=lambda row: (row.used_at, row.place)):
                if len(self.rows) > MAX_ENTRIES:
                    del self.rows[row.record.key]
        return before - len(self.rows)

    def expire(self) -> int:
        old = [key for key, row in self.rows.items() if self.is_old(row)]
        for key in old:
            del self.rows[key]
        return len(old)

    def write_pending(self) -> None:
        for key, uses in self.pending.items():
            if key in self.rows:
                self.rows[key].hits += uses.hits
                self.rows[key].used_at = max(self.rows[key].used_at, uses.used_at)
        self.written_hits += self.pending_hits
        self.forget_pending()

    def forget_pending(self) -> None:
        self.pending = {}
        self.pending_hits = 0


class MemoryMachine(RuleBasedStateMachine):
    """Puts, gets, expires, evicts, deletes, clears."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.model = Model(self.clock)
        self.store = self.open()

    def open(self) -> Store:
        return MemoryStore(max_entries=MAX_ENTRIES, ttl_s=TTL_S, clock=self.clock)

    def after_hit(self) -> None:
        self.model.write_pending()  # memory has nothing to write, so it forgets nothing

    @rule(name=NAMES, answer=ANSWERS, prompt=PROMPTS, age=st.integers(0, TTL_S + 5))
    def put(self, name, answer, prompt, age):
        self.clock.tick()
        record = entry(
            name,
            answer=answer,
            prompt=prompt,
            created_at=self.clock.now - age,
            request=f"m{name % 3}",
        )
        self.store.put(record)
        self.model.put_many([record])

    @rule(names=st.lists(NAMES, max_size=4, unique=True))
    def put_many(self, names):
        self.clock.tick()
        records = [entry(name, created_at=self.clock.now) for name in names]
        self.store.put_many(records)
        self.model.put_many(records)

    @rule(name=NAMES)
    def get(self, name):
        self.clock.tick()
        assert self.store.get(key_of(name)) == self.model.get(key_of(name))
        self.after_hit()

    @rule(seconds=st.integers(1, TTL_S + 5))
    def wait(self, seconds):
        self.clock.tick(seconds)

    @rule(names=st.lists(NAMES, max_size=3))
    def delete(self, names):
        keys = {key_of(name) for name in names}
        gone = [self.model.rows.pop(key) for key in keys if key in self.model.rows]
        assert self.store.delete(keys) == len(gone)
        self.model.gave_back()

    @rule()
    def prune(self):
        expected = self.model.expire() + self.model.evict()
        assert self.store.prune() == expected
        self.model.gave_back()

    @rule()
    def clear(self):
        self.store.clear()
        self.model.rows.clear()
        self.model.gave_back()
        if self.model.exists:
            self.model.write_pending()

    @invariant()
    def same_entries(self):
        rows = self.model.rows
        assert self.store.count() == len(rows)
        records = [rows[key].record for key in sorted(rows)]
        assert list(map(as_put, self.store.entries())) == records
        assert set(self.store.requests()) >= {record.request for record in records}
        for line in self.store.entries(texts=False):
            row, uses = rows[line.key], self.model.pending.get(line.key, Uses())
            assert line.hits == row.hits + uses.hits
            assert line.used_at == max(row.used_at, uses.used_at)

    @invariant()
    def same_totals(self):
        hits = self.model.written_hits + self.model.pending_hits * self.model.stored
        assert self.store.life_totals() == LifeTotals(hits, hits * 0.5)

    def teardown(self):
        self.store.close()


class SQLiteMachine(MemoryMachine):
    """The same in a file, which is also closed, opened by two, and left by killed kernels."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "0", "course.db")
        self.kills = 0
        super().__init__()
        self.model.keeps_place = True

    def open(self) -> Store:
        return SQLiteStore(self.path, max_entries=MAX_ENTRIES, ttl_s=TTL_S, clock=self.clock)

    def after_hit(self) -> None:
        """Hits wait for the next write."""

    @rule()
    def reopen(self):
        self.store.close()
        if self.model.stored:
            self.model.write_pending()
        assert names(self.path.parent) == ["course.db"] * self.model.exists
        self.start_session()

    @rule()
    def flush(self):
        self.store.flush()
        self.model.flush()

    @precondition(lambda self: self.model.exists)
    @rule()
    def kill(self):
        """Go on with the files as SIGKILL would leave them now."""
        self.kills += 1
        left = Path(self.folder.name, str(self.kills))
        left.mkdir()
        for file in self.path.parent.iterdir():
            if not file.name.endswith("-shm"):
                shutil.copyfile(file, left / file.name)
        self.store.close()
        self.path = left / "course.db"
        self.start_session()

    def start_session(self):
        self.model.forget_pending()
        self.model.stored = self.model.unfolded = False
        self.store = self.open()

    def teardown(self):
        super().teardown()
        if self.model.exists:
            assert is_sound(self.path)
        self.folder.cleanup()


SHORT = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(SHORT, max_examples=1000, stateful_step_count=60)


@pytest.mark.parametrize("machine", [MemoryMachine, SQLiteMachine])
def test_store_does_what_its_model_does(machine):
    """Whatever is done to a store in whatever order, it holds what its model holds."""
    run_state_machine_as_test(machine, settings=SHORT)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", [MemoryMachine, SQLiteMachine])
def test_store_does_what_its_model_does_at_length(machine):
    """The same, forty times as often and twice as long."""
    run_state_machine_as_test(machine, settings=LONG)
