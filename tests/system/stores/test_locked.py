"""Another program holds the file for ten seconds: nobody waits for it, and nothing is lost."""

from __future__ import annotations

import threading
import time
from contextlib import closing

from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.system.stores.processes import start_python
from tests.unit.stores.entries import answer_to, entry, key_of
from tests.unit.stores.folders import is_sound

HOLD = """
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(10)
connection.execute("ROLLBACK")
"""


def test_a_file_that_is_held_for_ten_seconds(tmp_path):
    """A put waits at most a moment, what is pending is found at once, and all of it is stored."""
    path = tmp_path / "course.db"
    slowest_s: list[float] = []
    counts: dict[int, int] = {}

    def work(thread: int) -> None:
        deadline = time.monotonic() + 6
        n = 0
        while time.monotonic() < deadline:
            began = time.monotonic()
            store.put(entry((thread, n)))
            found = store.get(key_of((thread, n)))
            slowest_s.append(time.monotonic() - began)
            assert found
            assert found.answer == answer_to((thread, n))
            n += 1
            time.sleep(0.02)
        counts[thread] = n

    with closing(SQLiteStore(path)) as store:
        store.put(entry("before"))
        with start_python(HOLD, path) as holder:
            assert holder.stdout.readline() == "locked\n"
            threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert store.count() == 1
        assert len(counts) == 3
        assert store.flush(5) == 0
        assert store.count() == 1 + sum(counts.values())
    assert is_sound(path)
    # Each passes twice through a lock that others hold for a moment; this machine may be busy.
    assert sorted(slowest_s)[len(slowest_s) * 99 // 100] < 0.15
