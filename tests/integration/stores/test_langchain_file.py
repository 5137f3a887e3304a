"""A file that LangChain's own SQLite cache wrote, shared with it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jupyter_llmcache.stores.base import Store
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.unit.stores.contract import BoundedStoreContract
from tests.unit.stores.entries import answer_to, entry, key_of
from tests.unit.stores.folders import is_sound, query, snapshot
from tests.unit.stores.langchain_files import (
    langchain_cache,
    langchain_table,
    lookup_with_langchain,
    write_langchain_file,
)

ROWS = [("hi", "model a", "hello"), ("hi", "model b", "bonjour"), ("你好 🦜", "model a", "世界")]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("langchain") / "template.db"
    write_langchain_file(path, ROWS)
    return path


@pytest.fixture
def path(template, tmp_path):
    shutil.copyfile(template, tmp_path / "langchain.db")
    return tmp_path / "langchain.db"


def test_rows_are_read_in_place(tmp_path, path):
    """LangChain's rows are found by its two strings, and the file keeps its bytes."""
    before = snapshot(tmp_path)
    for read_only in (False, True):
        with closing(SQLiteStore(path, read_only=read_only)) as store:
            assert store.has_langchain_rows
            for prompt, llm_string, text in ROWS:
                (row,) = store.langchain_rows(prompt, llm_string)
                assert text in row or text.encode("unicode_escape").decode() in row
            assert store.langchain_rows("hi", "model c") == []
            assert (store.count(), store.get(key_of(1))) == (0, None)
            assert store.verify().is_sound
        assert snapshot(tmp_path) == before


def test_rows_of_one_prompt(path):
    """All of LangChain's rows of one prompt are told, in their order."""
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = [("p", "l", idx, f"r{idx}") for idx in (1, 0)]
        connection.executemany("INSERT INTO full_llm_cache VALUES (?, ?, ?, ?)", rows)
    with closing(SQLiteStore(path)) as store:
        assert store.langchain_rows("p", "l") == ["r0", "r1"]


@pytest.mark.parametrize("value", ["NULL", "7", "x'ff00'"])
def test_a_row_without_text(path, value):
    """What is no text in LangChain's table comes out as an empty text, which no decoder takes."""
    query(path, f"UPDATE full_llm_cache SET response = {value} WHERE llm = 'model b'")
    with closing(SQLiteStore(path)) as store:
        (response,) = store.langchain_rows("hi", "model b")
    assert response in ("", "7")  # the column's type makes a text of a number


def test_ours_beside_theirs(path):
    """After our answers and a clear, LangChain's table is what it was and LangChain goes on."""
    before = langchain_table(path)
    with closing(SQLiteStore(path)) as store:
        store.put_many([entry(n) for n in range(100)])
        assert store.get(key_of(1)).answer == answer_to(1)
        assert len(store.langchain_rows("hi", "model a")) == 1
    assert langchain_table(path) == before
    assert lookup_with_langchain(path, "hi", "model a") == ["hello"]
    with closing(SQLiteStore(path)) as store:
        store.clear()
        assert store.count() == 0
    assert langchain_table(path) == before
    assert is_sound(path)


def test_langchain_writes_while_ours_is_open(path):
    """Both caches write to one open file, and each finds what it and LangChain wrote."""
    from langchain_core.outputs import Generation

    theirs = langchain_cache(path)
    with closing(SQLiteStore(path)) as store:
        for n in range(20):
            theirs.update(f"new {n}", "l", [Generation(text=f"text {n}")])
            store.put(entry(n))
            assert f"text {n}" in store.langchain_rows(f"new {n}", "l")[0]
        assert all(store.get(key_of(n)) for n in range(20))
    theirs.engine.dispose()
    assert lookup_with_langchain(path, "new 7", "l") == ["text 7"]
    assert is_sound(path)


def test_langchain_opens_our_file(tmp_path):
    """LangChain's cache works in a file that we made, and its table is not cleared with ours."""
    path = tmp_path / "ours.db"
    with closing(SQLiteStore(path)) as store:
        store.put(entry(1))
        assert not store.has_langchain_rows
        assert store.langchain_rows("hi", "l") == []
        write_langchain_file(path, ROWS)
        store.clear()
    assert lookup_with_langchain(path, "hi", "model a") == ["hello"]
    with closing(SQLiteStore(path)) as store:
        assert store.has_langchain_rows
        assert store.count() == 0


# --- the contract of every store, in a file that LangChain's own cache wrote ---


class TestLangChainFile(BoundedStoreContract):
    """In a file that LangChain's own cache wrote, which keeps its table through every test."""

    # LangChain makes files that keep their free pages: one entry goes in before another goes out.
    slack_bytes = 20_000

    @pytest.fixture(autouse=True)
    def table_stays(self, template, tmp_path):
        shutil.copyfile(template, tmp_path / "store.db")
        yield
        assert langchain_table(tmp_path / "store.db") == langchain_table(template)

    def open(self, folder: Path, **options: Any) -> Store:
        return SQLiteStore(folder / "store.db", **options)
