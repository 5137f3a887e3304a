"""The contract over every store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.stores import STORES, open_store
from jupyter_llmcache.stores.base import Store
from tests.unit.stores.contract import StoreContract
from tests.unit.stores.langchain_files import langchain_table, write_langchain_file

ROWS = [(f"prompt {n}", "llm", f"text {n}") for n in range(3)]


class TestMemoryStore(StoreContract):
    """In memory."""

    def open(self, folder: Path, **options: Any) -> Store:
        return open_store("memory", **options)


class TestSQLiteStore(StoreContract):
    """In a new file."""

    def open(self, folder: Path, **options: Any) -> Store:
        return open_store("sqlite", folder / "store.db", **options)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("langchain") / "written.db"
    write_langchain_file(path, ROWS)
    return path


class TestLangChainFile(StoreContract):
    """In a file that LangChain's own cache wrote, which keeps its table through every test."""

    # LangChain makes files that keep their free pages: one entry goes in before another goes out.
    slack_bytes = 20_000

    @pytest.fixture(autouse=True)
    def table_stays(self, written, tmp_path):
        shutil.copyfile(written, tmp_path / "store.db")
        yield
        assert langchain_table(tmp_path / "store.db") == langchain_table(written)

    def open(self, folder: Path, **options: Any) -> Store:
        return open_store("sqlite", folder / "store.db", **options)


def test_unknown_backend():
    """A backend that there is not is refused with the names of those there are."""
    with pytest.raises(LLMCacheError, match=r"'redis'.*memory, sqlite"):
        open_store("redis")


def test_every_backend_calls_itself_by_its_name(tmp_path):
    """The registry's name is the store's own."""
    for name in STORES:
        store = open_store(name, *([tmp_path / "x.db"] if name == "sqlite" else []))
        assert store.backend == name
        store.close()
