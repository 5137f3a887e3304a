"""Damaged rows and pages by the thousand: the user gets the right answer and no exception.

The long form: ``pytest -m slow tests/integration/stores/test_fuzz.py``.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import zlib
from argparse import Namespace
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from jupyter_llmcache.commands import subcommands
from jupyter_llmcache.errors import LLMCacheError, StoreError
from jupyter_llmcache.ledger import LEDGER
from jupyter_llmcache.seam.cache import SQLiteCache
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.unit.stores.entries import large_answer_to
from tests.unit.stores.folders import is_sound

ENTRIES = 200
PAGE_BYTES = 4096
COLUMNS = (
    *("key", "request_id", "created_at", "used_at", "provider_s", "hits", "size_bytes"),
    *("checksum", "title", "answer", "prompt"),
)
ODD_VALUES = (
    None,
    0,
    -1,
    2**63 - 1,
    float("inf"),
    -1e300,
    "",
    "no number",
    b"",
    b"\x01",
    b"\xff\xfe",
)


class Echo(BaseChatModel):
    """Answers each prompt with a text that only belongs to it."""

    model: str = "echo"

    @property
    def _llm_type(self) -> str:
        return "echo"

    def cache_key(self):
        return []

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        message = AIMessage(answer_to(messages[0].text))
        return ChatResult(generations=[ChatGeneration(message=message)])


def prompt_of(n: int) -> str:
    return f"question {n} " + "again and again " * (300 if n % 7 == 0 else 1)


def answer_to(prompt: str) -> str:
    size_bytes = (40, 400, 6000)[zlib.crc32(prompt.encode()) % 3]
    return f"the answer to {prompt}: {large_answer_to(prompt, size_bytes).hex()}"


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A file that was closed."""
    path = tmp_path_factory.mktemp("closed") / "course.db"
    with closing(SQLiteCache(path)) as cache:
        ask(cache, range(ENTRIES))
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A file whose kernel was killed, so that half of it is in the -wal."""
    path = tmp_path_factory.mktemp("killed") / "course.db"
    with closing(SQLiteCache(path.with_name("live.db"))) as cache:
        ask(cache, range(ENTRIES // 2))
        cache.store.flush()
        ask(cache, range(ENTRIES // 2, ENTRIES))
        shutil.copyfile(path.with_name("live.db"), path)
        shutil.copyfile(path.with_name("live.db-wal"), path.with_name("course.db-wal"))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "course.db"


def ask(cache, numbers) -> None:
    """Ask as the user does; each answer must be the one to its prompt."""
    model = Echo(cache=cache)
    for n in numbers:
        assert model.invoke(prompt_of(n)).content == answer_to(prompt_of(n))


def check_is_one_line(error: LLMCacheError, path="") -> None:
    assert "\n" not in str(error)
    assert str(path) in str(error)


def check_is_untouched(path, content: bytes) -> None:
    assert path.read_bytes() == content


def look_around(store) -> None:
    """Do what else users do with a file; a fault is one line and never another exception."""
    known = subcommands("notebook")
    no_filter = {"model": None, "grep": None, "since": None, "sort": "recent", "number": 20}
    uses: tuple[Callable[[], Any], ...] = (
        lambda: str(known["list"].handler(store, LEDGER, Namespace(**no_filter))),
        lambda: str(known["stats"].handler(store, LEDGER, Namespace())),
        lambda: list(store.entries(text_contains="question", request_contains="echo")),
        lambda: list(store.entries()),
        store.requests,
        store.life_totals,
        store.count,
        store.verify,
    )
    for use in uses:
        try:
            use()
        except LLMCacheError as error:
            check_is_one_line(error)


# --- rows ---


def damaged_value(value: Any, others: list[Any], chance: random.Random) -> Any:
    if isinstance(value, bytes | str) and value and chance.random() < 0.6:
        data = bytearray(value if isinstance(value, bytes) else value.encode())
        place = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                del data[place:]
            case _:
                data[place:place] = chance.randbytes(chance.randrange(1, 9))
        return bytes(data) if isinstance(value, bytes) else bytes(data).decode("latin-1")
    return chance.choice((*ODD_VALUES, chance.choice(others), chance.randbytes(20)))


def damage_rows(path, chance: random.Random) -> None:
    """Damage one column of every row."""
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = connection.execute(f"SELECT id, {', '.join(COLUMNS)} FROM llmcache_entries")
        for id_, *values in (found := rows.fetchall()):
            column = chance.randrange(len(COLUMNS))
            others = [other[column + 1] for other in found]
            with suppress(sqlite3.IntegrityError):
                connection.execute(
                    f"UPDATE llmcache_entries SET {COLUMNS[column]} = ? WHERE id = ?",
                    (damaged_value(values[column], others, chance), id_),
                )
        if chance.random() < 0.3:
            texts = connection.execute("SELECT text FROM llmcache_requests").fetchall()
            text = damaged_value(texts[0][0], [b"[]"], chance)
            with suppress(sqlite3.IntegrityError):
                connection.execute("UPDATE llmcache_requests SET text = ?", (text,))


def up_to(short: int, long: int):
    """Run a test with ``short`` rounds, and with ``long`` where long forms are selected."""
    marks = [pytest.mark.slow, pytest.mark.timeout(3600)]
    return pytest.mark.parametrize("rounds", [short, pytest.param(long, marks=marks)])


@up_to(3, 10_000 // ENTRIES)
def test_damaged_rows(closed, path, rounds):
    """Of damaged rows by the hundred none is an answer or an exception; repair takes them out."""
    for round_ in range(rounds):
        chance = random.Random(round_)
        shutil.copyfile(closed, path)
        damage_rows(path, chance)
        with closing(SQLiteCache(path)) as cache:
            look_around(cache.store)
            ask(cache, range(ENTRIES))
            cache.store.verify(repair=True)
            look_around(cache.store)
            assert cache.store.verify().is_sound
            ask(cache, range(ENTRIES))


@up_to(2, 10_000 // ENTRIES)
def test_forged_rows(closed, path, rounds):
    """A row whose checksum somebody made right again is an answer or a miss, never an exception."""
    with closing(SQLiteStore(closed)) as store:
        records = list(store.entries())
    for round_ in range(rounds):
        chance = random.Random(round_)
        shutil.copyfile(closed, path)
        with closing(SQLiteStore(path)) as store:
            answers = [damaged_value(r.answer, [b"[]", b"null", b"{}"], chance) for r in records]
            store.put_many(
                [
                    record._replace(
                        answer=answer if type(answer) is bytes else repr(answer).encode()
                    )
                    for record, answer in zip(records, answers, strict=True)
                ]
            )
        with closing(SQLiteCache(path)) as cache:
            model = Echo(cache=cache)
            for n in range(ENTRIES):
                assert isinstance(model.invoke(prompt_of(n)), AIMessage)


# --- pages ---


def damage_page(data: bytearray, chance: random.Random) -> None:
    """Damage one page, or the frame of a -wal that holds one."""
    pages = len(data) // PAGE_BYTES
    start = chance.randrange(pages) * PAGE_BYTES
    end = start + PAGE_BYTES
    match chance.randrange(6):
        case 0:
            data[start:end] = chance.randbytes(PAGE_BYTES)
        case 1:
            data[start:end] = bytes(PAGE_BYTES)
        case 2:
            other = chance.randrange(pages) * PAGE_BYTES
            data[start:end] = data[other : other + PAGE_BYTES]
        case 3:
            for _ in range(chance.randrange(1, 30)):
                data[chance.randrange(start, end)] = chance.randrange(256)
        case 4:  # the page's own header and its list of cells
            for _ in range(chance.randrange(1, 6)):
                data[chance.randrange(start, start + 40)] = chance.randrange(256)
        case _:
            del data[chance.randrange(start, end) :]


def check_damaged_pages(templates, path, rounds: range) -> int:
    """Return how many files could still be opened."""
    opened = 0
    for round_ in rounds:
        chance = random.Random(round_)
        folder = path.parent / str(round_)
        shutil.copytree(templates[round_ % 2].parent, folder, ignore=lambda *_: LIVE)
        file = folder / path.name
        wal = folder / f"{path.name}-wal"
        target = wal if wal.exists() and chance.random() < 0.5 else file
        data = bytearray(target.read_bytes())
        damage_page(data, chance)
        target.write_bytes(data)
        opened += check_damaged_file(file, chance)
        shutil.rmtree(folder)
    return opened


LIVE = {"live.db", "live.db-wal", "live.db-shm"}


def check_damaged_file(path, chance: random.Random) -> bool:
    content = path.read_bytes()
    try:
        cache = SQLiteCache(path)
    except StoreError as error:
        check_is_one_line(error, path)
        check_is_untouched(path, content)
        return False
    some = chance.sample(range(ENTRIES), 4)
    ask(cache, some)
    if chance.random() < 0.2:
        look_around(cache.store)
    if chance.random() < 0.2:
        repair(cache, some)
    ask(cache, some)
    cache.close()
    with suppress(StoreError), closing(SQLiteCache(path)) as again:
        ask(again, chance.sample(range(ENTRIES), 2))
    return True


def repair(cache, some) -> None:
    """After a repair that tells of success the file is sound and takes answers."""
    try:
        report = cache.store.verify(repair=True)
    except StoreError:
        return
    assert report.repaired
    ask(cache, some)
    assert cache.store.verify().is_sound
    cache.store.flush()
    assert is_sound(cache.store.path)


@up_to(60, 10_000)
def test_damaged_pages(closed, killed, path, rounds):
    """From files with a damaged page come right answers, or one line when they are opened."""
    assert check_damaged_pages((closed, killed), path, range(rounds)) > rounds / 3


def test_a_damaged_table_definition(closed, path):
    """A file whose table definition is damaged in the middle is refused in one line."""
    path.write_bytes(closed.read_bytes().replace(b"provider_s REAL", b'"rovider_s REAL', 1))
    with pytest.raises(StoreError) as error:
        SQLiteCache(path)
    check_is_one_line(error.value, path)
