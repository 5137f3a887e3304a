"""A kernel killed at any moment: the file is sound, and no answer that was acknowledged is lost.

The long form: ``pytest -m slow tests/system/stores/test_kill.py``.
"""

from __future__ import annotations

import random
import signal
import time
from contextlib import closing

import pytest

from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.system.stores.processes import start_python
from tests.unit.stores.entries import answer_to, key_of, large_answer_to
from tests.unit.stores.folders import is_sound, names

# Each line tells of an answer that put has called committed.
WRITE_UNTIL_KILLED = """
store = SQLiteStore(sys.argv[1], max_entries=100_000)
kill = sys.argv[2]
print("ready", flush=True)
for n in range(1_000_000):
    if n % 10 == 3:
        if store.put_many([entry((kill, n, part)) for part in range(20)]):
            print(n, 20, flush=True)
    elif n % 50 == 7:
        store.flush()
    elif n % 10 == 5:
        if store.put(entry((kill, n, 0), answer=large_answer_to((kill, n, 0), 50_000))):
            print(n, 1, flush=True)
    else:
        if store.put(entry((kill, n, 0))):
            print(n, 1, flush=True)
    store.get(key_of((kill, n, 0)))
"""


def expected_answer(kill: str, n: int, part: int) -> bytes:
    name = (kill, n, part)
    return large_answer_to(name, 50_000) if n % 10 == 5 else answer_to(name)


def write_and_kill(path, kill: str, seconds: float) -> set[tuple[str, int, int]]:
    """Kill a writer after ``seconds`` of work; return the entries that it had acknowledged."""
    with start_python(WRITE_UNTIL_KILLED, path, kill) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().splitlines(keepends=True)
    whole = [line.split() for line in lines if line.endswith("\n")]
    return {(kill, int(n), part) for n, parts in whole for part in range(int(parts))}


def check_after_kills(path, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    acknowledged: set[tuple[str, int, int]] = set()
    for kill in map(str, range(kills)):
        # Half of the kills hit the making of the file, its first writes, or the folding of a -wal.
        seconds = moments.choice([moments.uniform(0.0, 0.02), moments.uniform(0.02, 0.3)])
        written = write_and_kill(path, kill, seconds)
        acknowledged |= written
        with closing(SQLiteStore(path)) as store:
            assert all(store.get(key_of(name)).answer == expected_answer(*name) for name in written)
        assert not path.exists() or is_sound(path)
    with closing(SQLiteStore(path)) as store:
        found = {record.key: record for record in store.entries()}
        assert store.verify().is_sound
    assert all(found[key_of(name)].answer == expected_answer(*name) for name in acknowledged)
    # Beside the acknowledged ones there is at most what each killed writer was about to tell of.
    assert len(found) <= len(acknowledged) + 20 * kills
    assert acknowledged
    assert [name for name in names(path.parent) if name.startswith(path.name)] == [path.name]


def test_kills(tmp_path):
    """Five writers killed at random moments leave a sound file with every answer they told of."""
    check_after_kills(tmp_path / "course.db", kills=5, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_kills(tmp_path):
    """So do a hundred and fifty, a third of them in new files."""
    for number in range(50):
        check_after_kills(tmp_path / f"{number}.db", kills=3, seed=number)
