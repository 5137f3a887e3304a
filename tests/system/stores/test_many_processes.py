"""Several kernels on one file.

The long form: ``pytest -m slow tests/system/stores/test_many_processes.py``.
"""

from __future__ import annotations

import os
import threading
from contextlib import closing

import pytest

from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.system.stores.processes import start_python
from tests.unit.stores.entries import Clock, answer_to, entry, key_of
from tests.unit.stores.folders import is_sound, names, query

PROCESSES = 12
PUTS = 25

HAMMER = """
path, me, puts = sys.argv[1], sys.argv[2], int(sys.argv[3])
wrong = 0
print("ready", flush=True)
sys.stdin.readline()
for n in range(puts):
    if n % 10 == 0:
        store = SQLiteStore(path)
    store.put(entry((me, n)))
    store.put(entry(("shared", n), answer=answer_to(("shared", n))))
    wrong += store.get(key_of((me, n))).answer != answer_to((me, n))
    wrong += store.get(key_of(("shared", n))).answer != answer_to(("shared", n))
    if n % 10 == 9:
        store.close()
store.close()
print(wrong)
"""


def hammer(path, processes: int, puts: int) -> None:
    started = [start_python(HAMMER, path, number, puts) for number in range(processes)]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:  # all at once
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0] * processes
    assert told == ["0\n"] * processes
    with closing(SQLiteStore(path)) as store:
        assert store.count() == processes * puts + puts
        assert all(
            store.get(key_of((str(number), n))).answer == answer_to((str(number), n))
            for number in range(processes)
            for n in range(puts)
        )
        assert store.verify().is_sound
    assert is_sound(path)
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert [name for name in names(path.parent) if name.startswith(path.name)] == [path.name]


def test_many_processes(tmp_path):
    """Twelve processes make one new file and write to it, and nothing fails or is lost."""
    hammer(tmp_path / "course.db", PROCESSES, PUTS)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_processes_a_hundred_times(tmp_path):
    """The same a hundred times in a row."""
    for number in range(100):
        hammer(tmp_path / f"{number}.db", PROCESSES, PUTS)


CLEAR = """
store = SQLiteStore(sys.argv[1])
for n in range(40):
    store.clear() if n % 2 else store.prune()
store.close()
"""


def test_clearing_under_load(tmp_path):
    """While one process clears again and again, others write without an error."""
    path = tmp_path / "course.db"
    with closing(SQLiteStore(path, clock=Clock())) as store:
        store.put_many([entry(n) for n in range(2000)])
        with start_python(CLEAR, path) as clearing:
            n = 0
            while clearing.poll() is None:
                n += 1
                store.put(entry(("new", n)))
                hit = store.get(key_of(("new", n)))
                assert hit is None or hit.answer == answer_to(("new", n))
            assert clearing.returncode == 0
        store.put(entry("last"))
        assert store.get(key_of("last")).answer == answer_to("last")
        assert store.verify().is_sound
    assert is_sound(path)


DELETE_EVEN = """
store = SQLiteStore(sys.argv[1])
for n in range(0, 1000, 2):
    assert store.delete([key_of(n)]) == 1
store.close()
"""


def test_forgetting_under_load(tmp_path):
    """While one process forgets entries, another reads and writes, and nothing else is lost."""
    path = tmp_path / "course.db"
    with closing(SQLiteStore(path)) as store:
        store.put_many([entry(n) for n in range(1000)])
        with start_python(DELETE_EVEN, path) as deleting:
            n = 1000
            while deleting.poll() is None:
                n += 1
                store.put(entry(n))
                assert store.get(key_of(n - 1000 | 1)).answer == answer_to(n - 1000 | 1)
            assert deleting.returncode == 0
        assert store.flush(10) == 0
        kept = {record.key for record in store.entries()}
    assert kept == {key_of(m) for m in (*range(1, 1000, 2), *range(1001, n + 1))}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forks_while_threads_write(tmp_path):
    """A fork waits for the write of another thread, and no child is left with its lock."""
    path = tmp_path / "course.db"
    store = SQLiteStore(path)
    stop = threading.Event()
    faults: list[object] = []

    def work(thread: int) -> None:
        n = 0
        try:
            while not stop.is_set():
                store.put(entry((thread, n)))
                n += 1
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    statuses = []
    for number in range(10):
        child = os.fork()
        if child == 0:
            try:
                store.put(entry(("child", number)))
                os._exit(store.flush(5))
            finally:
                os._exit(1)
        statuses.append(os.waitpid(child, 0)[1])
    stop.set()
    for thread in threads:
        thread.join()
    assert store.flush(5) == 0
    assert statuses == [0] * 10
    assert faults == []
    assert all(store.get(key_of(("child", number))) for number in range(10))
    store.close()
    assert is_sound(path)
