"""The ordinary life of a cache file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
from contextlib import closing

import pytest

from jupyter_llmcache.errors import DamagedEntryError, StoreError
from jupyter_llmcache.stores import sqlite_tables
from jupyter_llmcache.stores.base import LifeTotals
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.system.stores.processes import run_python
from tests.unit.stores.entries import (
    START,
    Clock,
    answer_to,
    as_put,
    entry,
    key_of,
    large_answer_to,
    listed,
)
from tests.unit.stores.folders import is_sound, names, query, snapshot

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
needs_modes = pytest.mark.skipif(os.name != "posix", reason="this system has no file modes")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "course.db"


@pytest.fixture
def written(path):
    """A closed file with three entries."""
    with closing(SQLiteStore(path, clock=Clock())) as store:
        store.put_many([entry(n) for n in range(3)])
    return path


# --- making ---


def test_no_file_before_the_first_answer(tmp_path, path):
    """A session that stores nothing makes no file."""
    with closing(SQLiteStore(path)) as store:
        assert store.get(key_of(1)) is None
        assert (store.count(), store.size_bytes(), listed(store)) == (0, 0, [])
        assert (store.requests(), list(store.entries()), store.find("")) == ([], [], [])
        assert store.life_totals() == LifeTotals(0, 0.0)
        store.clear()
        store.prune()
        store.flush()
        assert store.verify(repair=True).is_sound
    assert names(tmp_path) == []


def test_missing_folders_are_made(tmp_path):
    """Folders that are missing are made."""
    with closing(SQLiteStore(tmp_path / "a" / "b" / "c.db")) as store:
        store.put(entry(1))
    assert (tmp_path / "a" / "b" / "c.db").exists()


def test_home(tmp_path, monkeypatch):
    """A leading ~ is the home folder, and the store is called what the user called it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with closing(SQLiteStore("~/cache.db")) as store:
        store.put(entry(1))
        assert store.location == "~/cache.db"
    assert names(tmp_path) == ["cache.db"]


def test_relative_path_stays_where_it_was(tmp_path, monkeypatch):
    """Changing the folder later does not change the file."""
    (tmp_path / "elsewhere").mkdir()
    with closing(SQLiteStore("cache.db")) as store:
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.put(entry(1))
    assert names(tmp_path) == ["cache.db", "elsewhere"]
    assert names(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    "name",
    [
        "we?ird#1.db",
        "a%20b.db",
        "100%.db",
        " spaces .db",
        "new\nline\ttab.db",
        "中文🦜ñ.db",
        ":memory:",
        "file:x.db?mode=memory&cache=shared",
        "quote'\".db",
        "-dash;semi&amp=.db",
        "back\\slash.db",
        "~",
        "no extension",
        "x" * 200,
        os.fsdecode(b"not-utf8-\xff.db"),
    ],
    ids=ascii,
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems forbid some of these names")
def test_the_path_is_taken_literally(tmp_path, name):
    """Whatever characters the path holds, exactly that file is made and read again."""
    with closing(SQLiteStore(tmp_path / name)) as store:
        store.put(entry(1))
    assert names(tmp_path) == [name]
    for read_only in (False, True):
        with closing(SQLiteStore(str(tmp_path / name), read_only=read_only)) as store:
            assert store.get(key_of(1)).answer == answer_to(1)
    assert names(tmp_path) == [name]


@needs_modes
def test_new_files_are_the_users_alone(tmp_path, path):
    """Nobody else may read a new file, nor what SQLite puts beside it."""
    with closing(SQLiteStore(path)) as store:
        store.put(entry(1))
        modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        assert len(names(tmp_path)) == 3
    assert modes == {0o600}


def test_an_empty_file_is_fine(path):
    """A file of no bytes is a cache without entries, and stays so until the first answer."""
    path.touch()
    with closing(SQLiteStore(path)) as store:
        assert store.get(key_of(1)) is None
        assert path.read_bytes() == b""
        store.put(entry(1))
        assert store.get(key_of(1))
    assert is_sound(path)


def test_what_the_file_says_of_itself(written):
    """The file names its application and version, and can give space back."""
    values = [query(written, f"PRAGMA {name}")[0][0] for name in ("application_id", "user_version")]
    assert values == [sqlite_tables.APPLICATION_ID, 1]
    assert query(written, "PRAGMA auto_vacuum") == [(2,)]
    assert query(written, "PRAGMA journal_mode") == [("wal",)]


def test_a_link_is_followed(tmp_path):
    """A link leads to the file, and SQLite's side files are beside the file."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "real" / "cache.db")
    with closing(SQLiteStore(link)) as store:
        store.put(entry(1))
        assert len(names(tmp_path / "real")) == 3
        assert names(tmp_path) == ["link.db", "real"]
    assert is_sound(tmp_path / "real" / "cache.db")


# --- leaving alone ---


@pytest.mark.parametrize("read_only", [False, True])
def test_a_session_without_answers_changes_no_byte(tmp_path, written, read_only):
    """After lookups, lists and closing, the folder is what it was, to the byte."""
    before = snapshot(tmp_path)
    with closing(SQLiteStore(written, read_only=read_only)) as store:
        for n in range(5):
            store.get(key_of(n))
        assert len(listed(store, text_contains="question")) == 3
        assert len(list(store.entries())) == 3
        assert store.verify().is_sound
        store.flush()
        if read_only:
            assert snapshot(tmp_path) == before
    assert snapshot(tmp_path) == before


def test_hits_of_a_session_that_stored_nothing_are_forgotten(written):
    """Such hits would be a write of their own."""
    with closing(SQLiteStore(written, clock=Clock(START + 1))) as store:
        store.get(key_of(1))
        assert listed(store, sort="used")[0].hits == 1
        assert store.life_totals() == LifeTotals(0, 0.0)
    with closing(SQLiteStore(written)) as store:
        assert {line.hits for line in listed(store)} == {0}


def test_hits_are_written_with_an_answer(written):
    """Hits before and after an answer in the same session are there next time."""
    with closing(SQLiteStore(written)) as store:
        store.get(key_of(1))
        store.put(entry(9))
        store.get(key_of(1))
        store.get(key_of(2))
        assert store.life_totals() == LifeTotals(3, 1.5)
    with closing(SQLiteStore(written)) as store:
        assert store.life_totals() == LifeTotals(3, 1.5)
        hits = {line.key: line.hits for line in listed(store)}
    assert [hits[key_of(n)] for n in (0, 1, 2, 9)] == [0, 2, 1, 0]


def test_a_hit_writes_nothing(tmp_path, written):
    """Hits alone change no file, also in a session that stored something and was flushed."""
    with closing(SQLiteStore(written)) as store:
        store.put(entry(9))
        store.flush()
        before = snapshot(tmp_path)
        for n in range(3):
            store.get(key_of(n))
        store.flush()
        after = snapshot(tmp_path)
    before.pop("course.db-shm")  # holds the locks of readers
    after.pop("course.db-shm")
    assert after == before


def test_flush_makes_the_file_whole(tmp_path, path):
    """After flush a copy of the file alone holds everything, though it is still open."""
    with closing(SQLiteStore(path)) as store:
        store.put(entry(1))
        store.flush()
        shutil.copyfile(path, tmp_path / "copy.db")
    with closing(SQLiteStore(tmp_path / "copy.db", read_only=True)) as copy:
        assert copy.get(key_of(1)).answer == answer_to(1)


def test_close_leaves_one_file(tmp_path, path):
    """A closed file stands alone, however many stores had it open."""
    first, second = SQLiteStore(path), SQLiteStore(path)
    first.put(entry(1))
    second.put(entry(2))
    first.close()
    assert second.get(key_of(1))
    second.close()
    assert names(tmp_path) == ["course.db"]


def test_a_process_that_ends_leaves_one_file(tmp_path, path):
    """Without close, the end of the process folds the file and writes the hits."""
    run_python(
        "s = SQLiteStore(sys.argv[1]); s.put(entry(1)); s.get(key_of(1)); globals()['s'] = s", path
    )
    assert names(tmp_path) == ["course.db"]
    with closing(SQLiteStore(path)) as store:
        assert store.life_totals().hits == 1


def test_a_closed_store_says_so(written):
    """Using a closed store is one clear error."""
    store = SQLiteStore(written)
    store.close()
    for use in (lambda: store.get(key_of(1)), lambda: store.put(entry(1)), store.count):
        with pytest.raises(StoreError, match="is closed"):
            use()


# --- content ---


def test_two_stores_share_a_file(path):
    """What one stores the other finds, also before it has stored anything itself."""
    with closing(SQLiteStore(path)) as first, closing(SQLiteStore(path)) as second:
        assert second.get(key_of(1)) is None
        first.put(entry(1))
        assert second.get(key_of(1)).answer == answer_to(1)
        second.delete([key_of(1)])
        assert first.get(key_of(1)) is None


def test_two_stores_hold_one_bound(path):
    """A bound holds for the file, whoever fills it."""
    clock = Clock()
    with (
        closing(SQLiteStore(path, max_entries=10, clock=clock)) as first,
        closing(SQLiteStore(path, max_entries=10, clock=clock)) as second,
    ):
        for n in range(40):
            clock.tick()
            (first, second)[n % 2].put(entry(n))
            assert first.count() <= 10
        assert first.get(key_of(39))


def test_a_request_text_is_kept_once(path):
    """A thousand entries of one model do not repeat its description."""
    with closing(SQLiteStore(path)) as store:
        store.put_many([entry(n, request="x" * 2000) for n in range(1000)])
        assert store.size_bytes() < 1_000_000
        assert len(store.requests()) == 1


def test_ordinary_prompts_can_be_read_in_the_file(path):
    """Prompts of ordinary length stand in the file as text; long ones are compressed."""
    with closing(SQLiteStore(path)) as store:
        store.put(entry(1, prompt="What is a monad?"))
        store.put(entry(2, prompt="long " * 20_000))
        assert store.size_bytes() < 60_000
    found = query(path, "SELECT prompt FROM llmcache_entries WHERE typeof(prompt) = 'text'")
    assert found == [("What is a monad?",)]


def test_space_is_given_back(path):
    """After deleting and pruning the file is small again."""
    with closing(SQLiteStore(path, ttl_s=10, clock=Clock(START + 5))) as store:
        store.put_many([entry(n, answer=large_answer_to(n, 5000)) for n in range(500)])
        store.delete([key_of(n) for n in range(400)])
        store.flush()
        assert path.stat().st_size < 800_000
    with closing(SQLiteStore(path, ttl_s=10, clock=Clock(START + 20))) as store:
        assert store.prune() == 100
    assert path.stat().st_size < 60_000
    assert is_sound(path)


@pytest.mark.parametrize(
    "change",
    [
        "answer = (SELECT answer FROM llmcache_entries WHERE title = 'question 2')",
        "checksum = x'0000000000000000'",
        "checksum = 7",
        "answer = substr(answer, 1, 40)",
        "answer = 'text'",
        "answer = 3.5",
        "answer = x''",
        "created_at = created_at + 1",
        "created_at = 'yesterday'",
        "provider_s = 77",
        "provider_s = 'long'",
        "provider_s = NULL",
        "provider_s = x'00'",
    ],
)
def test_a_changed_row_is_never_an_answer(written, change):
    """A change to an answer or its times makes the entry damaged, until it is replaced."""
    query(written, f"UPDATE llmcache_entries SET {change} WHERE title = 'question 1'")
    with closing(SQLiteStore(written)) as store:
        for look in (store.get, store.read):
            with pytest.raises(DamagedEntryError, match=key_of(1).hex()):
                look(key_of(1))
        with pytest.raises(DamagedEntryError):
            list(store.entries())
        assert store.get(key_of(2)).answer == answer_to(2)
        assert store.verify().damaged == (key_of(1),)
        store.put(entry(1))
        assert store.get(key_of(1)).answer == answer_to(1)
        assert store.verify().is_sound


def test_an_entry_under_another_key_is_damaged(written):
    """An answer that was moved to another key is never that key's answer."""
    other = key_of("other").hex()
    query(written, f"UPDATE llmcache_entries SET key = x'{other}' WHERE title = 'question 1'")
    with closing(SQLiteStore(written)) as store, pytest.raises(DamagedEntryError):
        store.get(key_of("other"))


def test_a_lost_request_text_costs_no_answer(written):
    """Without the text that describes its model an entry is still an answer."""
    query(written, "DELETE FROM llmcache_requests")
    with closing(SQLiteStore(written)) as store:
        assert store.get(key_of(1)).answer == answer_to(1)
        assert as_put(store.read(key_of(1))) == entry(1, request="")
        assert listed(store)[0].request == ""


# --- versions ---


def add_version(monkeypatch, *statements):
    monkeypatch.setattr(sqlite_tables, "MIGRATIONS", [*sqlite_tables.MIGRATIONS, tuple(statements)])


ADD_TABLE = "CREATE TABLE llmcache_notes (note TEXT)"


def test_an_older_file_is_read_as_it_is(tmp_path, written, monkeypatch):
    """Reading a file of an older version leaves its bytes, with and without the right to write."""
    before = snapshot(tmp_path)
    add_version(monkeypatch, ADD_TABLE)
    for read_only in (False, True):
        with closing(SQLiteStore(written, read_only=read_only)) as store:
            assert store.get(key_of(1)).answer == answer_to(1)
            assert store.count() == 3
        assert snapshot(tmp_path) == before


def test_an_older_file_is_upgraded_with_the_first_answer(written, monkeypatch):
    """The first answer brings an older file up to date, and all entries are there."""
    add_version(monkeypatch, ADD_TABLE)
    with closing(SQLiteStore(written)) as store:
        store.put(entry(9))
        assert [n for n in (0, 1, 2, 9) if store.get(key_of(n))] == [0, 1, 2, 9]
    assert query(written, "PRAGMA user_version") == [(2,)]
    assert query(written, "SELECT count(*) FROM llmcache_notes") == [(0,)]


def test_an_upgrade_happens_whole_or_not_at_all(written, monkeypatch):
    """An upgrade that fails half way leaves the file as it was, and readable."""
    add_version(monkeypatch, ADD_TABLE, "CREATE TABLE llmcache_entries (id)")
    before = written.read_bytes()
    with (
        closing(sqlite3.connect(written, isolation_level=None)) as connection,
        pytest.raises(sqlite3.OperationalError, match="already exists"),
    ):
        sqlite_tables.migrate(connection, "course.db")
    assert written.read_bytes() == before
    monkeypatch.undo()
    with closing(SQLiteStore(written)) as store:
        assert store.get(key_of(1))
    assert query(written, "PRAGMA user_version") == [(1,)]


@needs_fork
def test_a_forked_child_opens_the_file_itself(tmp_path, path):
    """Parent and child both go on reading and writing after a fork, and nothing is lost."""
    store = SQLiteStore(path)
    store.put(entry("before"))
    store.get(key_of("before"))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            good = store.get(key_of("before")).answer == answer_to("before")
            for n in range(20):
                store.put(entry(("child", n)))
            store.close()
            status = 0 if good else 1
        finally:
            os._exit(status)
    for n in range(20):
        store.put(entry(("parent", n)))
    assert os.waitpid(child, 0)[1] == 0
    for side in ("parent", "child"):
        assert all(store.get(key_of((side, n))) for n in range(20))
    store.close()
    assert names(tmp_path) == ["course.db"]
    assert is_sound(path)
    with closing(SQLiteStore(path)) as store:
        # 1 in the parent before the fork, 40 after it, and the child's own one, counted once each.
        assert store.life_totals().hits == 42


def test_sqlite_without_our_package_reads_the_file(written):
    """The file is an ordinary SQLite file for any program."""
    with closing(sqlite3.connect(written)) as connection:
        titles = connection.execute("SELECT title FROM llmcache_entries ORDER BY title").fetchall()
    assert titles == [("question 0",), ("question 1",), ("question 2",)]
