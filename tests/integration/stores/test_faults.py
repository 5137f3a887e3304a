"""Faults of the medium, brought about for real: nothing lost, nothing wrong, one clear line."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
import zlib
from contextlib import closing, suppress
from pathlib import Path, PurePosixPath

import pytest

from jupyter_llmcache.errors import StoreError
from jupyter_llmcache.stores import (
    sqlite_file,
    sqlite_open,
    sqlite_rows,
    sqlite_tables,
    write_behind,
)
from jupyter_llmcache.stores.sqlite import SQLiteStore
from jupyter_llmcache.stores.sqlite_open import mounted_type, network_type
from tests.integration.stores.disks import fill, read_only_view, small_disk
from tests.system.stores.processes import run_python, start_python
from tests.unit.stores.entries import (
    START,
    answer_to,
    as_put,
    entry,
    key_of,
    large_answer_to,
    listed,
)
from tests.unit.stores.folders import is_sound, names, query, snapshot
from tests.unit.stores.langchain_files import write_langchain_file

needs_posix = pytest.mark.skipif(os.name != "posix", reason="this system has no such files")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "course.db"


@pytest.fixture
def written(path):
    """A closed file with three entries."""
    with closing(SQLiteStore(path)) as store:
        store.put_many([entry(n) for n in range(3)])
    return path


@pytest.fixture
def watchful(monkeypatch):
    """Look at the file before every read, so that no test must wait."""
    monkeypatch.setattr(sqlite_open, "CHECK_EVERY_S", 0.0)


def check_line(error, location) -> str:
    """Check that an error is one line that names the file; return it."""
    line = str(error.value)
    assert str(location) in line
    assert "\n" not in line.replace(str(location), "")
    return line


# --- locks ---

HOLD_LOCK = """
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
print("locked", flush=True)
time.sleep(float(sys.argv[3]))
connection.rollback()
connection.close()
"""


def lock(path, statement, seconds):
    process = start_python(HOLD_LOCK, path, statement, seconds)
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_file_locked_for_long(written):
    """While another program writes, a put waits a moment, its entry is found, and stored later."""
    with closing(SQLiteStore(written, busy_timeout_s=600)) as store:
        with lock(written, "BEGIN IMMEDIATE", 600) as process:
            for number in (9, 10, 9):
                assert store.put(entry(number)) is False
                assert store.get(key_of(number)) == entry(number).answer_alone()
            assert as_put(store.read(key_of(9))) == entry(9)
            assert "not yet stored: 2 answers" in store.notice
            assert (store.count(), store.flush()) == (3, 2)
            assert store.get(key_of(1)).answer == answer_to(1)
            process.kill()
        assert store.flush(60) == 0
        assert store.notice is None
        assert store.count() == 5
        assert store.put(entry(11)) is True


def test_what_is_pending_is_stored_in_the_background(written):
    """Nobody need ask for it: when the file is free, what is pending is stored."""
    with closing(SQLiteStore(written)) as store:
        with lock(written, "BEGIN IMMEDIATE", 0.4) as process:
            assert not store.put(entry(9))
            process.wait()
        while store.count() == 3:
            time.sleep(0.02)
        assert store.count() == 4


def test_what_is_pending_can_be_deleted(written):
    """Deleting waits for the file and takes what is pending too; clearing likewise."""
    with closing(SQLiteStore(written)) as store:
        with lock(written, "BEGIN IMMEDIATE", 0.3):
            store.put_many([entry(8), entry(9)])
            assert store.delete([key_of(9)]) == 1
        assert store.get(key_of(9)) is None
        assert store.get(key_of(8))
        with lock(written, "BEGIN IMMEDIATE", 0.3):
            store.put_many([entry(8), entry(9)])  # 8 is stored already
            assert store.delete([key_of(1), key_of(8), key_of(9), key_of(99)]) == 3
        with lock(written, "BEGIN IMMEDIATE", 0.3):
            store.put(entry(9))
            store.clear()
        assert (store.flush(1), store.count(), store.get(key_of(9))) == (0, 0, None)


@pytest.mark.parametrize("ask", [lambda store: store.delete([key_of(9)]), SQLiteStore.clear])
def test_what_is_pending_for_a_new_file_can_be_deleted(ask, tmp_path):
    """A file that holds nothing of ours yet gets nothing of what was deleted while it waited."""
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE full_llm_cache (prompt, llm, idx, response)")
    with closing(SQLiteStore(path)) as store:
        with lock(path, "BEGIN IMMEDIATE", 0.3):
            assert store.put(entry(9)) is False
            ask(store)
        assert (store.flush(1), store.count(), store.get(key_of(9))) == (0, 0, None)


def test_what_is_pending_is_bounded(written, monkeypatch):
    """More than memory should hold is not kept pending but refused, and costs nothing else."""
    monkeypatch.setattr(write_behind, "MAX_WAITING_BYTES", 10_000)
    with closing(SQLiteStore(written)) as store:
        with lock(written, "BEGIN IMMEDIATE", 30) as process:
            store.put(entry(8))
            with pytest.raises(StoreError, match="1 answer not yet stored"):
                store.put(entry(9, answer=bytes(20_000)))
            process.kill()
        assert store.flush(5) == 0
        assert store.get(key_of(8))


def test_what_is_lost_at_the_end_is_told(written, monkeypatch, capsys):
    """A file that stays locked to the end costs what is pending, and one line says how much."""
    monkeypatch.setattr(write_behind, "_LAST_PATIENCE_S", 0.2)
    store = SQLiteStore(written, busy_timeout_s=0.1)
    with lock(written, "BEGIN IMMEDIATE", 30) as process:
        store.put(entry(9))
        store.close()
        process.kill()
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "not stored: 1 answer:" in told


def test_what_cannot_be_stored_later_is_told(written):
    """What was pending and meets another fault later is lost, and the notice says so."""
    with closing(SQLiteStore(written)) as store:
        with lock(written, "BEGIN IMMEDIATE", 30) as process:
            store.put(entry(9))
            written.write_bytes(b"another file" * 100)
            process.kill()
        store.flush(1)
        assert "not stored: 1 answer:" in store.notice


def test_a_loss_is_told_of_what_was_lost_alone(written):
    """A lost answer stays told of; what is put later, or again, is stored and said to be."""
    with closing(SQLiteStore(written)) as store:
        with lock(written, "BEGIN IMMEDIATE", 30) as process:
            store.put_many([entry(8), entry(9)])
            whole = written.read_bytes()
            written.write_bytes(b"another file" * 100)
            process.kill()
        store.flush(1)
        assert write_behind.hurry(0) == {key_of(8), key_of(9)}
        written.write_bytes(whole)
        with lock(written, "BEGIN IMMEDIATE", 30) as process:
            store.put_many([entry(9), entry(10)])
            assert write_behind.hurry(0) == {key_of(8), key_of(9), key_of(10)}
            assert "not stored: 1 answer:" in store.notice
            assert "not yet stored: 2 answers:" in store.notice
            process.kill()
        assert store.flush(60) == 0
        assert write_behind.hurry(0) == {key_of(8)}


def test_a_fault_that_nobody_knows_does_not_end_the_writing(written, monkeypatch):
    """Whatever goes wrong with what waits, it is told, and later answers are stored."""
    with closing(SQLiteStore(written)) as store:
        with lock(written, "BEGIN IMMEDIATE", 30) as process, monkeypatch.context() as patched:
            patched.setattr(sqlite_tables, "put", lambda *_: 1 / 0)
            store.put(entry(8))
            process.kill()
            while "not stored: 1 answer: division by zero" not in (store.notice or ""):
                time.sleep(0.02)
        with lock(written, "BEGIN IMMEDIATE", 0.4) as process:
            store.put(entry(9))
            process.wait()
        while store.count() == 3:
            time.sleep(0.02)


def test_a_rollback_file_locked_against_readers(path):
    """A program that locks out readers too costs a reader one error, until it is done."""
    write_langchain_file(path, [("p", "l", "t")])
    with closing(SQLiteStore(path, busy_timeout_s=0.2)) as store:
        with lock(path, "BEGIN EXCLUSIVE", 30) as process:
            with pytest.raises(StoreError, match="locked") as error:
                store.langchain_rows("p", "l")
            check_line(error, path)
            assert store.put(entry(1)) is False
            process.kill()
        assert len(store.langchain_rows("p", "l")) == 1
        assert store.flush(5) == 0


def test_a_rollback_file_that_is_being_read(path):
    """A file in the old journal mode waits for its readers, then becomes one with the new mode."""
    write_langchain_file(path, [("p", "l", "t")])
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as reader,
        closing(SQLiteStore(path, busy_timeout_s=0.2)) as store,
    ):
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM full_llm_cache").fetchall()
        assert store.put(entry(1)) is False
        assert len(store.langchain_rows("p", "l")) == 1
        reader.execute("COMMIT")
        assert store.flush(5) == 0
        assert query(path, "PRAGMA journal_mode") == [("wal",)]


# --- disks ---


@pytest.mark.disks
def test_a_disk_that_fills_up(tmp_path):
    """On a full disk a write is one error, what was stored is there, and with space it goes on."""
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        path = disk / "cache.db"
        reserve = disk / "reserve"
        reserve.write_bytes(bytes(300_000))
        store = SQLiteStore(path)
        stored = []

        def put_until_full():
            for n in range(1000):
                store.put(entry(n, answer=large_answer_to(n, 5000)))
                stored.append(n)

        with pytest.raises(StoreError, match="disk is full") as error:
            put_until_full()
        check_line(error, path)
        assert len(stored) > 20
        assert all(store.get(key_of(n)).answer == large_answer_to(n, 5000) for n in stored)
        reserve.unlink()
        store.put(entry("after"))
        store.close()
        assert is_sound(path)
        with closing(SQLiteStore(path)) as again:
            assert again.get(key_of("after")).answer == answer_to("after")
            assert again.count() == len(stored) + 1


@pytest.mark.disks
def test_reading_on_a_full_disk(tmp_path):
    """On a disk without room for SQLite's side files the answers can still be read."""
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        path = disk / "cache.db"
        with closing(SQLiteStore(path)) as store:
            store.put_many([entry(n) for n in range(3)])
        filler = fill(disk)
        with closing(SQLiteStore(path)) as store:
            assert store.get(key_of(1)).answer == answer_to(1)
            with pytest.raises(StoreError, match="Check that the disk has space") as error:
                store.put(entry(9))
            check_line(error, path)
            assert store.get(key_of(2)).answer == answer_to(2)
            filler.unlink()
            store.put(entry(9))
            assert store.get(key_of(9))


@pytest.mark.disks
def test_making_a_file_on_a_full_disk(tmp_path):
    """On a full disk a new file cannot be made, and can as soon as there is room."""
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        filler = fill(disk)
        with closing(SQLiteStore(disk / "cache.db")) as store:
            with pytest.raises(StoreError) as error:
                store.put(entry(1))
            check_line(error, disk)
            assert store.get(key_of(1)) is None
            filler.unlink()
            store.put(entry(1))
            assert store.get(key_of(1))


@pytest.mark.disks
@pytest.mark.parametrize("asked", [False, True])
def test_a_read_only_disk(tmp_path, written, asked):
    """A file on a read-only disk is read, says that it cannot be written, and keeps its bytes."""
    before = snapshot(tmp_path)
    with read_only_view(tmp_path) as view:
        with closing(SQLiteStore(view / "course.db", read_only=asked)) as store:
            assert store.get(key_of(1)).answer == answer_to(1)
            assert store.read_only
            assert (store.notice is None) == asked
            with pytest.raises(StoreError, match="read-only") as error:
                store.put(entry(9))
            check_line(error, view)
            for change in (store.clear, store.prune, lambda: store.delete([key_of(1)])):
                with pytest.raises(StoreError, match="read-only"):
                    change()
            assert store.count() == 3
        assert snapshot(tmp_path) == before


@pytest.mark.disks
def test_a_new_file_on_a_read_only_disk(tmp_path):
    """No file can be made on a read-only disk, and that is said at once."""
    with read_only_view(tmp_path) as view:
        for name in ("cache.db", "folder/cache.db"):
            with pytest.raises(StoreError) as error:
                SQLiteStore(view / name)
            check_line(error, view / name)
    assert names(tmp_path) == []


WRITE_AND_DIE = """
store = SQLiteStore(sys.argv[1])
for n in range(3):
    store.put(entry(n))
store.flush()
for n in range(3, 6):
    store.put(entry(n))
os._exit(9)
"""


def leave_wal(path):
    """Leave a file whose last three of six entries are only in its -wal."""
    with start_python(WRITE_AND_DIE, path) as process:
        process.wait()
    assert path.with_name(path.name + "-wal").stat().st_size > 0


@needs_posix
@pytest.mark.disks
@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("disk_is_read_only", [True, False])
def test_reading_what_a_killed_kernel_left(tmp_path, with_index, disk_is_read_only):
    """Read-only, the answers that are only in the -wal are found, and no byte changes."""
    folder = tmp_path / "left"
    folder.mkdir()
    path = folder / "course.db"
    leave_wal(path)
    if not with_index:
        (folder / "course.db-shm").unlink()

    def check(place):
        before = snapshot(folder)
        with closing(SQLiteStore(place / "course.db", read_only=True)) as store:
            assert [store.get(key_of(n)).answer for n in range(6)] == [
                answer_to(n) for n in range(6)
            ]
        after = snapshot(folder)
        before.pop("course.db-shm", None)  # holds the locks of readers
        after.pop("course.db-shm", None)
        assert after == before

    if disk_is_read_only:
        with read_only_view(folder) as view:
            check(view)
    else:
        check(folder)


def test_writing_after_a_killed_kernel(tmp_path, path):
    """The next kernel finds all answers of a killed one and leaves one whole file."""
    leave_wal(path)
    with closing(SQLiteStore(path)) as store:
        assert [store.get(key_of(n)).answer for n in range(6)] == [answer_to(n) for n in range(6)]
        store.put(entry(6))
    assert names(tmp_path) == ["course.db"]
    assert is_sound(path)


KILLED_IN_ROLLBACK = """
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 2")
connection.execute("BEGIN")
connection.execute("DELETE FROM full_llm_cache")
connection.execute("INSERT INTO full_llm_cache VALUES ('p', 'l', 0, hex(randomblob(200000)))")
os._exit(9)
"""


def test_a_journal_that_a_killed_program_left(path):
    """A file with a half-done write of a killed program is put right, as SQLite does it."""
    write_langchain_file(path, [("p", "l", "t" * 100_000)])
    with start_python(KILLED_IN_ROLLBACK, path) as process:
        process.wait()
    assert path.with_name("course.db-journal").exists()
    with pytest.raises(StoreError) as error:
        SQLiteStore(path, read_only=True)
    check_line(error, path)
    with closing(SQLiteStore(path)) as store:
        assert "t" * 100_000 in store.langchain_rows("p", "l")[0]


@pytest.mark.usefixtures("watchful")
def test_a_writer_beside_a_read_only_reader(written):
    """A read-only reader sees what a live writer adds, changes and folds."""
    with (
        closing(SQLiteStore(written, read_only=True)) as reader,
        closing(SQLiteStore(written)) as writer,
    ):
        assert reader.get(key_of(1))
        for n in range(10, 60):
            writer.put(entry(n))
            assert reader.get(key_of(n)).answer == answer_to(n)
            if n % 10 == 0:
                writer.flush()
                assert reader.get(key_of(n)).answer == answer_to(n)
        writer.delete([key_of(1)])
        assert reader.get(key_of(1)) is None
        writer.close()
        assert reader.count() == 52


# --- the file goes, changes, shrinks while it is open ---


def settled(store, n):
    """Return what ``store`` says of entry ``n``: an answer, None, or StoreError."""
    try:
        hit = store.get(key_of(n))
    except StoreError:
        return StoreError
    return hit and hit.answer


@needs_posix
@pytest.mark.usefixtures("watchful")
@pytest.mark.parametrize("with_side_files", [True, False])
def test_deleted_while_open(tmp_path, path, with_side_files):
    """After the file is deleted lookups miss, and the next answer makes a new, sound file."""
    with closing(SQLiteStore(path)) as store:
        store.put(entry(1))
        for file in list(tmp_path.iterdir()):
            if file == path or with_side_files:
                file.unlink()
        assert store.get(key_of(1)) is None
        assert store.count() == 0
        store.put(entry(2))
        assert store.get(key_of(2)).answer == answer_to(2)
        assert store.get(key_of(1)) is None
    assert names(tmp_path) == ["course.db"]
    assert is_sound(path)


@needs_posix
def test_deleted_just_before_a_put(tmp_path, path):
    """An answer never goes into a file that was deleted a moment ago."""
    with closing(SQLiteStore(path)) as store:
        store.put(entry(1))
        path.unlink()
        store.put(entry(2))
    with closing(SQLiteStore(path)) as store:
        assert (store.count(), store.get(key_of(2)).answer) == (1, answer_to(2))


@needs_posix
def test_deleted_folder(tmp_path):
    """A deleted folder is made again with the next answer."""
    path = tmp_path / "folder" / "cache.db"
    with closing(SQLiteStore(path)) as store:
        store.put(entry(1))
        shutil.rmtree(path.parent)
        store.put(entry(2))
        assert store.get(key_of(2))
        shutil.rmtree(path.parent)
    assert not path.exists()


@needs_posix
@pytest.mark.usefixtures("watchful")
def test_a_read_only_file_that_is_deleted(written):
    """A read-only file that is gone is one error, and works again when it is back."""
    copy = written.with_name("copy.db")
    shutil.copyfile(written, copy)
    with closing(SQLiteStore(written, read_only=True)) as store:
        assert store.get(key_of(1))
        written.unlink()
        for _ in range(2):
            with pytest.raises(StoreError) as error:
                store.get(key_of(1))
            check_line(error, written)
        copy.rename(written)
        assert store.get(key_of(1)).answer == answer_to(1)


@needs_posix
@pytest.mark.usefixtures("watchful")
@pytest.mark.parametrize("flushed", [True, False])
@pytest.mark.parametrize("read_only", [True, False])
def test_replaced_while_open(tmp_path, written, flushed, read_only):
    """After another file takes the place, its entries are served and it stays sound."""
    other = tmp_path / "other.db"
    with closing(SQLiteStore(other)) as store:
        store.put_many([entry(n) for n in range(100, 400)])
    content = other.read_bytes()
    with closing(SQLiteStore(written)) as writer:
        store = SQLiteStore(written, read_only=read_only)
        writer.put_many([entry(n) for n in range(50)])
        assert store.get(key_of(1))
        if flushed:
            writer.flush()
        other.replace(written)
        if read_only:
            writer.close()  # takes its -wal along
        assert settled(store, 1) is None
        assert settled(store, 100) == answer_to(100)
        assert store.count() == 300
        if read_only:
            assert written.read_bytes() == content
        else:
            store.put(entry("new"))
            assert store.get(key_of("new"))
        store.close()
    assert is_sound(written)
    assert names(tmp_path) == ["course.db"]


@needs_posix
def test_replaced_just_before_a_put(tmp_path, written):
    """An answer goes into the file that is at the path now."""
    other = tmp_path / "other.db"
    shutil.copyfile(written, other)
    with closing(SQLiteStore(written)) as store:
        store.put(entry("old"))
        other.replace(written)
        store.put(entry("new"))
    with closing(SQLiteStore(written)) as store:
        assert store.get(key_of("new"))
        assert store.get(key_of("old")) is None
    assert is_sound(written)


@needs_posix
@pytest.mark.usefixtures("watchful")
def test_replaced_by_something_else(tmp_path, written):
    """A file of another kind that takes the place is refused, and left alone."""
    with closing(SQLiteStore(written)) as store:
        store.put(entry(9))
        (tmp_path / "other").write_text("no database")
        (tmp_path / "other").replace(written)
        for use in (lambda: store.get(key_of(1)), lambda: store.put(entry(1))):
            with pytest.raises(StoreError, match="not an SQLite database") as error:
                use()
            check_line(error, written)
    assert written.read_text() == "no database"


@needs_posix
@pytest.mark.usefixtures("watchful")
@pytest.mark.parametrize("flushed", [True, False])
def test_emptied_while_open(tmp_path, written, flushed):
    """A file that somebody emptied is an empty cache, not a damaged one."""
    with closing(SQLiteStore(written)) as store:
        store.put_many([entry(n) for n in range(50)])
        if flushed:
            store.flush()
        os.truncate(written, 0)
        assert store.get(key_of(1)) is None
        store.put(entry("new"))
        assert store.get(key_of("new")).answer == answer_to("new")
        assert store.count() == 1
    assert names(tmp_path) == ["course.db"]
    assert is_sound(written)


@needs_posix
@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.6, 0.9, 0.999])
def test_cut_while_open(path, kept, read_only):
    """From a file cut short come right answers, misses and one-line errors, nothing else."""
    with closing(SQLiteStore(path)) as store:
        store.put_many([entry(n) for n in range(300)])
    store = SQLiteStore(path, read_only=read_only)
    store.get(key_of(0))
    os.truncate(path, int(path.stat().st_size * kept))
    allowed = {n: (answer_to(n), None, StoreError) for n in range(300)}
    assert all(settled(store, n) in allowed[n] for n in range(300))
    for use in (
        store.count,
        lambda: listed(store),
        lambda: store.put(entry(9)),
        store.verify,
    ):
        with suppress(StoreError):
            use()
    store.close()


@needs_posix
def test_overwritten_in_place_while_open(tmp_path, written):
    """From a file whose content another program replaces in place come no wrong answers."""
    other = tmp_path / "other.db"
    with closing(SQLiteStore(other)) as store:
        store.put_many([entry(n, answer=b"other") for n in range(100, 400)])
    store = SQLiteStore(written)
    store.put_many([entry(n) for n in range(50)])
    store.get(key_of(1))
    written.write_bytes(other.read_bytes())
    assert all(settled(store, n) in (answer_to(n), None, StoreError) for n in range(50))
    assert all(settled(store, n) in (b"other", None, StoreError) for n in range(100, 400))
    store.close()


# --- broken content ---


def break_pages(path, *numbers, page_bytes=4096):
    with path.open("r+b") as file:
        for number in numbers:
            file.seek((number - 1) * page_bytes)
            file.write(b"\xa5" * page_bytes)


def test_a_broken_page(tmp_path, path):
    """A broken page is told by verify, costs its own rows, and repair saves the others."""
    with closing(SQLiteStore(path)) as store:
        store.put_many([entry(n) for n in range(300)])
        store.get(key_of(1))
        store.put(entry(300))
    (leaf,) = query(
        path,
        "SELECT pageno FROM dbstat WHERE name = 'llmcache_entries' AND pagetype = 'leaf'"
        " LIMIT 1 OFFSET 5",
    )[0]
    break_pages(path, leaf)
    broken = path.read_bytes()
    with closing(SQLiteStore(path)) as store:
        assert all(settled(store, n) in (answer_to(n), None, StoreError) for n in range(301))
        report = store.verify()
        assert report.faults
        assert not report.is_sound
        report = store.verify(repair=True)
        assert report.repaired
        assert 250 < report.entries < 301
        good = [n for n in range(301) if store.get(key_of(n))]
        assert len(good) == report.entries
        assert all(store.get(key_of(n)).answer == answer_to(n) for n in good)
        assert store.verify().is_sound
        store.put(entry("new"))
    assert names(tmp_path) == ["course.db", "course.db.broken1"]
    assert (tmp_path / "course.db.broken1").read_bytes() == broken
    assert is_sound(path)


@pytest.mark.parametrize("table", ["llmcache_entries_key", "llmcache_entries_small"])
def test_a_broken_index_costs_nothing(path, table):
    """When only an index is broken, repair saves every entry."""
    with closing(SQLiteStore(path)) as store:
        store.put_many([entry(n) for n in range(300)])
    (page,) = query(
        path, f"SELECT pageno FROM dbstat WHERE name = '{table}' AND pagetype = 'leaf' LIMIT 1"
    )[0]
    break_pages(path, page)
    with closing(SQLiteStore(path)) as store:
        report = store.verify(repair=True)
        assert report.faults
        assert report.entries == 300
        assert all(store.get(key_of(n)).answer == answer_to(n) for n in range(300))


def test_repair_keeps_langchains_rows(path):
    """Repair saves LangChain's table too."""
    rows = [(f"p{n}", "l", f"text {n} " * 50) for n in range(30)]
    write_langchain_file(path, rows)
    with closing(SQLiteStore(path)) as store:
        store.put_many([entry(n) for n in range(300)])
    (page,) = query(
        path,
        "SELECT pageno FROM dbstat WHERE name = 'llmcache_entries' AND pagetype = 'leaf' LIMIT 1",
    )[0]
    break_pages(path, page)
    with closing(SQLiteStore(path)) as store:
        assert store.verify(repair=True).repaired
        assert all(text in store.langchain_rows(prompt, "l")[0] for prompt, _, text in rows)
        assert store.count() > 250


def test_repair_of_single_entries(written):
    """Damaged entries and request texts that nobody uses are deleted by repair, nothing else."""
    query(written, "UPDATE llmcache_entries SET answer = x'00' WHERE title = 'question 1'")
    query(written, "INSERT INTO llmcache_requests VALUES (5, 'unused')")
    with closing(SQLiteStore(written)) as store:
        report = store.verify()
        assert (report.entries, report.damaged, report.orphans) == (3, (key_of(1),), 1)
        assert (report.faults, report.repaired) == ((), False)
        assert store.verify(repair=True).repaired
        assert store.verify().is_sound
        assert [n for n in range(3) if store.get(key_of(n))] == [0, 2]


def test_a_compressed_bomb(written, monkeypatch):
    """A row that would unpack to more than any answer is damaged, and cheap to refuse."""
    monkeypatch.setattr(sqlite_rows, "MAX_UNPACKED_BYTES", 1 << 20)
    bomb = b"\x01" + zlib.compress(bytes(1 << 24))
    digest = sqlite_rows.checksum(key_of(1), 0, START, 0.5, bomb) + bytes(8)
    with closing(sqlite3.connect(written)) as connection, connection:
        connection.execute(
            "UPDATE llmcache_entries SET answer = ?, checksum = ? WHERE key = ?",
            (bomb, digest, key_of(1)),
        )
    with closing(SQLiteStore(written)) as store, pytest.raises(StoreError, match="damaged"):
        store.get(key_of(1))


def test_an_entry_too_large_to_keep(path, monkeypatch):
    """What is larger than any row may be is refused, and the store goes on."""
    monkeypatch.setattr(sqlite_rows, "MAX_UNPACKED_BYTES", 1 << 20)
    with closing(SQLiteStore(path)) as store:
        for changes in ({"answer": bytes(1 << 21)}, {"prompt": "x" * (1 << 21)}):
            with pytest.raises(StoreError, match="larger"):
                store.put(entry(1, **changes))
        store.put(entry(2))
        assert store.count() == 1


# --- what is no file of ours ---


def make_foreign(path, *, wal=False, application_id=0):
    with closing(sqlite3.connect(path)) as connection, connection:
        if wal:
            connection.execute("PRAGMA journal_mode = wal")
        connection.execute(f"PRAGMA application_id = {application_id}")
        connection.execute("CREATE TABLE bookmarks (url)")
        connection.execute("INSERT INTO bookmarks VALUES ('https://example.org')")


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("wal", [False, True])
@pytest.mark.parametrize("application_id", [0, 77])
def test_the_database_of_another_program(tmp_path, path, read_only, wal, application_id):
    """Another program's database is refused, and not a byte of it or beside it changes."""
    make_foreign(path, wal=wal, application_id=application_id)
    before = snapshot(tmp_path)
    with pytest.raises(StoreError, match="another program") as error:
        SQLiteStore(path, read_only=read_only)
    check_line(error, path)
    assert snapshot(tmp_path) == before


def test_a_database_that_another_program_is_writing(tmp_path, path):
    """Another program's live database is refused and not folded, locked or deleted."""
    make_foreign(path, wal=True)
    with closing(sqlite3.connect(path)) as live:
        live.execute("INSERT INTO bookmarks VALUES ('https://example.com')")
        live.commit()
        live.execute("INSERT INTO bookmarks VALUES ('unfinished')")
        before = snapshot(tmp_path)
        with pytest.raises(StoreError, match="another program"):
            SQLiteStore(path)
        before.pop("course.db-shm")
        after = snapshot(tmp_path)
        after.pop("course.db-shm")
        assert after == before
        live.commit()
        assert live.execute("SELECT count(*) FROM bookmarks").fetchone() == (3,)


def test_a_newer_version(tmp_path, written):
    """A file of a newer release is refused, with what to do, and left alone."""
    query(written, "PRAGMA user_version = 99")
    before = snapshot(tmp_path)
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"newer release.*99.*Upgrade") as error:
            SQLiteStore(written, read_only=read_only)
        check_line(error, written)
    assert snapshot(tmp_path) == before


def test_a_newer_version_appears_while_open(written):
    """A file that a newer release upgrades meanwhile is refused from then on."""
    with closing(SQLiteStore(written)) as store:
        query(written, "CREATE TABLE llmcache_news (id)")
        query(written, "PRAGMA user_version = 99")
        with pytest.raises(StoreError, match="newer release"):
            store.put(entry(9))


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"SQLite format 3\x00",
        b"{}\n" * 100,
        bytes(5000),
        b"SQLite format 3\x00" + b"\xff" * 99,
    ],
    ids=["one byte", "only the magic", "text", "zeros", "garbage"],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_no_database(tmp_path, path, content, read_only):
    """A file that is no database is refused and left alone."""
    path.write_bytes(content)
    with pytest.raises(StoreError) as error:
        SQLiteStore(path, read_only=read_only)
    check_line(error, path)
    assert path.read_bytes() == content
    assert names(tmp_path) == ["course.db"]


def test_paths_that_are_none(tmp_path):
    """No path, a folder, a path through a file and a name too long are refused by name."""
    (tmp_path / "file").write_text("")
    for bad in ("", str(tmp_path), str(tmp_path / "file" / "x.db"), "x\x00y", "n" * 300):
        with pytest.raises(StoreError) as error:
            SQLiteStore(bad)
        assert "\n" not in str(error.value)
        assert bad[:20].split("\x00")[0] in str(error.value)


@needs_posix
def test_pipes_and_devices(tmp_path):
    """What is no ordinary file is refused without waiting for it."""
    os.mkfifo(tmp_path / "pipe")
    for bad in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(StoreError, match="no ordinary file"):
            SQLiteStore(bad)


def test_a_missing_file_to_read(path):
    """Reading only what does not exist is an error, and makes no file."""
    with pytest.raises(StoreError, match="does not exist") as error:
        SQLiteStore(path, read_only=True)
    check_line(error, path)
    assert not path.exists()


# --- permissions, seen by a user who has none ---

AS_NOBODY = """
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    store = SQLiteStore(sys.argv[1], read_only="--read-only" in sys.argv)
    hit = store.get(key_of(1))
    print("read-only" if store.read_only else "writable", hit and hit.answer == answer_to(1))
    try:
        store.put(entry(9))
        print("stored")
    except StoreError as error:
        print("not stored:", error)
    store.close()
except StoreError as error:
    print("refused:", error)
"""


@pytest.fixture
def open_folder(tmp_path_factory):
    """A folder that other users can reach."""
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has no file modes")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        let_others(folder, 0o755)
        yield folder
        folder.chmod(0o755)


def let_others(path, mode):
    """Set a mode, of which the last digit counts: for others, or for us who cannot become them."""
    others = mode & 7
    path.chmod(mode if os.geteuid() == 0 else others << 6 | others << 3 | others)


def as_nobody(path, *args):
    return run_python(AS_NOBODY, path, *args)


def make_file(folder, mode):
    path = folder / "course.db"
    folder.chmod(0o755)
    with closing(SQLiteStore(path)) as store:
        store.put(entry(1))
    let_others(path, mode)
    let_others(folder, 0o755)
    return path


def test_a_file_one_may_not_write(open_folder):
    """A file and folder that one may only read is used read-only, without a trace."""
    path = make_file(open_folder, 0o644)
    before = snapshot(open_folder)
    printed = as_nobody(path)
    assert printed.startswith("read-only True\nnot stored:")
    assert str(path) in printed
    assert snapshot(open_folder) == before


def test_a_folder_one_may_not_write(open_folder):
    """A file that one may write, in a folder that one may not, is used read-only."""
    path = make_file(open_folder, 0o666)
    assert as_nobody(path).startswith("read-only True\nnot stored:")
    assert names(open_folder) == ["course.db"]


def test_a_file_one_may_not_read(open_folder):
    """A file that one may not read is refused in one line."""
    path = make_file(open_folder, 0o600)
    printed = as_nobody(path)
    assert printed.startswith("refused:")
    assert str(path) in printed
    assert "permission" in printed
    assert printed.count("\n") == 1


def test_a_new_file_where_one_may_not_write(open_folder):
    """A file that cannot be made is refused at once."""
    for name in ("new.db", "folder/new.db"):
        printed = as_nobody(open_folder / name)
        assert printed.startswith("refused:")
        assert str(open_folder / name) in printed
    assert names(open_folder) == []


def test_permission_lost_while_open(open_folder):
    """When file and folder become read-only, reads go on and a write is one error."""
    path = make_file(open_folder, 0o666)
    let_others(open_folder, 0o777)
    code = AS_NOBODY.replace(
        "hit = store.get(key_of(1))",
        "hit = store.get(key_of(1)); print('open', flush=True); input()",
    )
    with start_python(code, path) as process:
        assert process.stdout.readline() == "open\n"
        let_others(path, 0o444)
        let_others(open_folder, 0o755)
        printed, _ = process.communicate("\n", timeout=60)
    assert printed.splitlines()[0] == "writable True"
    assert process.returncode == 0


# --- network file systems ---

MOUNTS = r"""
/dev/vda / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/me/local\040disk ext4 rw 0 0
//server/share /mnt/share cifs rw 0 0
me@host:/ /mnt/ssh fuse.sshfs rw 0 0
/dev/vdc /mnt/share ext4 rw 0 0
""".strip()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/tmp/x.db", "ext4"),
        ("/home/me/x.db", "nfs4"),
        ("/homes/x.db", "ext4"),
        ("/home/me/local disk/x.db", "ext4"),
        ("/mnt/share/x.db", "ext4"),
        ("/mnt/ssh/a/b/c.db", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_counts(tmp_path, path, expected):
    """The type of a file's disk is that of the last mount nearest above it."""
    assert mounted_type(MOUNTS, PurePosixPath(path)) == expected


def test_local_disks_are_no_network(tmp_path):
    """A disk of this machine is no network file system."""
    assert network_type(tmp_path / "not" / "yet.db") is None


def test_a_network_file_system(written, monkeypatch):
    """A network file system gets the journal that is safe there, and a notice."""
    monkeypatch.setattr(sqlite_file, "network_type", lambda path: "nfs4")
    before = written.read_bytes()
    with closing(SQLiteStore(written)) as store:
        assert "nfs4" in store.notice
        assert store.get(key_of(1)).answer == answer_to(1)
    assert written.read_bytes() == before
    with closing(SQLiteStore(written)) as store:
        store.put(entry(9))
        assert names(written.parent) == ["course.db"]
        assert store.get(key_of(1)).answer == answer_to(1)
        assert store.get(key_of(9)).answer == answer_to(9)
    assert query(written, "PRAGMA journal_mode") == [("delete",)]
    monkeypatch.undo()
    with closing(SQLiteStore(written)) as store:
        assert store.notice is None
        store.put(entry(10))
        assert store.count() == 5
