"""The contract over every store."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Unpack

import pytest

from jupyter_llmcache import stores
from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.ledger import Entry
from jupyter_llmcache.stores.base import Store, Which, select
from jupyter_llmcache.stores.memory import MemoryStore
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.unit.stores.contract import BoundedStoreContract, StoreContract


class TestMemoryStore(BoundedStoreContract):
    """In memory."""

    def open(self, folder: Path, **options: Any) -> Store:
        return MemoryStore(**options)


class TestSQLiteStore(BoundedStoreContract):
    """In a new file."""

    def open(self, folder: Path, **options: Any) -> Store:
        return SQLiteStore(folder / "store.db", **options)


class DictStore(Store):
    """The shortest store: the abstract methods, and nothing else."""

    backend = "dict"

    def __init__(self, location: str = "", **options: Any) -> None:
        super().__init__(location, **options)
        self.held: dict[bytes, Entry] = {}
        self.lock = threading.Lock()

    def get(self, key: bytes) -> Entry | None:
        with self.lock:
            entry = self.held.get(key)
            if entry is None or entry.created_at <= self.bounds.oldest_good(self._clock()):
                return None
            self.held[key] = entry._replace(hits=entry.hits + 1, used_at=self._clock())
            return entry.answer_alone()

    def put_many(self, entries: Collection[Entry]) -> bool:
        for entry in entries:
            size_bytes = len(entry.answer) + len(entry.prompt)
            kept = entry._replace(size_bytes=size_bytes, hits=0, used_at=self._clock())
            self.held[entry.key] = kept
        if self.count() > (self.bounds.max_entries or self.count()) or self.size_bytes() > (
            self.bounds.max_size_bytes or self.size_bytes()
        ):
            self.prune()
        return True

    def delete(self, keys: Collection[bytes]) -> int:
        return sum(self.held.pop(key, None) is not None for key in set(keys))

    def entries(self, **which: Unpack[Which]) -> Iterator[Entry]:
        return select(list(self.held.values()), **which)

    def count(self) -> int:
        return len(self.held)

    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in list(self.held.values()))

    def close(self) -> None:
        self.held.clear()


class TestShortestStore(StoreContract):
    """What the plug adds to a store's own few methods."""

    keeps_totals = False

    def open(self, folder: Path, **options: Any) -> Store:
        return DictStore(**options)


def test_unknown_store():
    """A store that there is not is refused with the names of those there are."""
    with pytest.raises(LLMCacheError, match=r"'tape'.*memory.*sqlite"):
        stores.find("tape")


def test_every_store_calls_itself_by_its_name():
    """A store is found by the name that it has itself."""
    assert {"memory", "sqlite"} <= set(stores.names())
    for name in stores.names():
        assert stores.find(name).backend == name


def test_a_module_of_one_word_is_a_store(tmp_path, monkeypatch, fresh_registry):
    """A file in the folder of the stores registers its store by its name."""
    (tmp_path / "drawer.py").write_text(
        "from jupyter_llmcache.stores.memory import MemoryStore\n"
        "class Drawer(MemoryStore):\n    backend = 'drawer'\n"
    )
    monkeypatch.setattr(stores, "__path__", [*stores.__path__, str(tmp_path)])
    assert "drawer" in stores.names()
    assert stores.find("drawer").backend == "drawer"


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("tests.unit.stores.test_contract:DictStore", None),
        ("tests.unit.stores.test_contract:StoreContract", "is not a class of Store"),
        ("tests.no_such_module:Store", "cannot be imported"),
    ],
)
def test_another_package_adds_a_store(tmp_path, monkeypatch, fresh_registry, value, fault):
    """An entry point of another package registers a store; one that is none is one clear line."""
    package = tmp_path / "dictstore-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: dictstore\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[{stores.GROUP}]\ndict = {value}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert stores.names()[-1] == "dict"
    if fault is None:
        assert stores.find("dict").backend == "dict"
    else:
        with pytest.raises(LLMCacheError, match=fault):
            stores.find("dict")


@pytest.fixture
def fresh_registry():
    def forget() -> None:
        for known in (stores.names, stores._built_in, stores._installed):
            known.cache_clear()

    forget()
    yield
    forget()
