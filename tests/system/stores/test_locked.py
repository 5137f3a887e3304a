"""Another program holds the file for long: nobody waits for it, and nothing is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.system.stores.processes import start_python
from tests.unit.stores.entries import answer_to, entry, key_of
from tests.unit.stores.folders import is_sound

HOLD = """
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(600)
"""


def test_a_file_that_is_held(tmp_path):
    """No put waits for another program, what is pending is found at once, and all is stored."""
    path = tmp_path / "course.db"

    def work(thread: int) -> None:
        for n in range(100):
            assert store.put(entry((thread, n))) is False
            found = store.get(key_of((thread, n)))
            assert found
            assert found.answer == answer_to((thread, n))

    with closing(SQLiteStore(path, busy_timeout_s=600)) as store:
        store.put(entry("before"))
        with start_python(HOLD, path) as holder, ThreadPoolExecutor(3) as pool:
            assert holder.stdout.readline() == "locked\n"
            assert list(pool.map(work, range(3))) == [None] * 3
            assert store.count() == 1
            holder.kill()
        assert store.flush(60) == 0
        assert store.count() == 301
    assert is_sound(path)
