"""Files that somebody sends: refused where they could run something, never an exception to read."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI

from jupyter_llmcache import SQLiteCache, mode
from jupyter_llmcache.__main__ import main
from jupyter_llmcache.errors import DamagedEntryError, ReplayMissError, StoreError
from jupyter_llmcache.ledger import Entry
from jupyter_llmcache.stores import sqlite_rows
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.unit.stores.entries import START, answer_to, as_put, entry, key_of, listed
from tests.unit.stores.folders import is_sound, names, query
from tests.unit.stores.langchain_files import write_langchain_file

DEEP = "[" * 100_000
NESTED = "[" * 600 + "]" * 600


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "course.db"
    with closing(SQLiteStore(path)) as store:
        store.put_many([entry(n) for n in range(3)])
    return path


# --- what could run ---


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON llmcache_entries BEGIN DELETE FROM llmcache_totals; END",
        "CREATE TRIGGER t BEFORE UPDATE ON llmcache_totals BEGIN SELECT 1; END",
        "CREATE VIEW full_llm_cache AS SELECT 'p' prompt, 'l' llm, 0 idx, 'r' response",
        "CREATE VIEW v AS WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT n FROM r) SELECT * FROM r",
        "CREATE INDEX i ON llmcache_entries (abs(created_at))",
        "CREATE INDEX i ON llmcache_requests (text) WHERE length(text) > 3",
        "CREATE TABLE llmcache_more (id)",
        "ALTER TABLE llmcache_entries ADD COLUMN more TEXT",
        "ALTER TABLE llmcache_entries ADD COLUMN more AS (zeroblob(1000000000))",
        "ALTER TABLE llmcache_totals RENAME COLUMN hits TO hit",
        "DROP INDEX llmcache_entries_small",
        "CREATE VIRTUAL TABLE f USING fts5(text)",
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_another_schema_is_refused(path, statement, read_only):
    """A file whose tables are not as we make them is refused in one line and stays as it is."""
    query(path, statement)
    before = path.read_bytes()
    with pytest.raises(StoreError) as error:
        SQLiteStore(path, read_only=read_only)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before
    assert names(path.parent) == ["course.db"]


def test_a_view_in_place_of_a_table(path):
    """A view that looks like our table is refused, and is never evaluated."""
    query(path, "ALTER TABLE llmcache_totals RENAME TO llmcache_other")
    query(
        path,
        "CREATE VIEW llmcache_totals AS WITH RECURSIVE r(n) AS"
        " (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) AS hits, 0 AS saved_s FROM r",
    )
    with pytest.raises(StoreError):
        SQLiteStore(path)


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("CREATE INDEX i ON full_llm_cache (prompt, llm, upper(response))", 1),
        ("ALTER TABLE full_llm_cache ADD COLUMN more AS (zeroblob(1000000000))", 0),
    ],
)
def test_langchains_table_with_additions(tmp_path, statement, rows):
    """In LangChain's table only its key's index is used; one with computed columns is let be."""
    path = tmp_path / "langchain.db"
    write_langchain_file(path, [("p", "l", "text")])
    query(path, statement)
    with closing(SQLiteStore(path)) as store:
        assert len(store.langchain_rows("p", "l")) == rows
        store.put(entry(1))
        assert store.get(key_of(1))


def test_a_trigger_in_langchains_file(tmp_path):
    """A file of LangChain's with a trigger is refused too."""
    path = tmp_path / "langchain.db"
    write_langchain_file(path, [("p", "l", "text")])
    query(path, "CREATE TRIGGER t AFTER INSERT ON full_llm_cache BEGIN SELECT 1; END")
    with pytest.raises(StoreError, match="trigger"):
        SQLiteStore(path)


# --- rows of any bytes ---

TEXTS = [DEEP, NESTED, '{"a":' * 50_000, "no JSON", "", "null", "[1]", '{"provider":{},"model":[]}']
TEXTS += ['{"provider":"openai","model":"gpt-x","endpoint":{},"parameters":7}', "\x00\ud800", '"x"']


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:12]))
def test_texts_that_are_not_what_we_write(path, text, capsys):
    """Whatever stands as request, prompt and title, every command of the shell gets by."""
    with closing(SQLiteStore(path)) as store:
        store.put(Entry(b"k" * 16, b"no answer", START, 1.0, "answer", text, text, text))
        store.put(Entry(b"w" * 16, b"no answer", START, 1.0, "web", text, text, text))
    for words in (
        ("list", "course.db"),
        ("list", "course.db", "--json"),
        ("list", "course.db", "--grep", "x"),
        ("stats", "course.db"),
        ("show", "course.db", key_of(1).hex()),
        ("explain", "course.db", (b"k" * 16).hex()),
        ("export", "course.db", "out.jsonl"),
        ("verify", "course.db"),
    ):
        assert main(list(words)) in (0, 1, 2), words
        told = capsys.readouterr()
        assert "Traceback" not in told.err + told.out, words
    assert main(["verify", "course.db", "--repair"]) == 0
    assert main(["verify", "course.db"]) == 0


def test_replay_gets_by(path):
    """In replay a file of such texts is a miss that names what is near, and never another error."""
    with closing(SQLiteStore(path)) as store:
        texts = [(request, prompt) for request in TEXTS for prompt in TEXTS]
        store.put_many(
            [
                Entry(bytes([n]) * 16, b"no answer", START, 1.0, "answer", *both, "well")
                for n, both in enumerate(texts)
            ]
        )
    model = ChatOpenAI(model="gpt-x", api_key="k", base_url="http://127.0.0.1:9/v1")
    cache = SQLiteCache(path, read_only=True)
    try:
        with mode("replay"):
            for use in (model.invoke, lambda text: list(model.stream(text))):
                set_llm_cache(cache)
                with pytest.raises(ReplayMissError):
                    use("well?")
    finally:
        set_llm_cache(None)
        cache.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("created_at", 1e300),
        ("created_at", -5.0),
        ("created_at", 9e15),
        ("provider_s", 1e300),
        ("provider_s", -1.0),
    ],
)
def test_times_are_bounded(path, column, value):
    """A time that cannot be is damage, though somebody made its checksum right."""
    times = {"created_at": START, "provider_s": 0.5, column: value}
    with closing(SQLiteStore(path)) as store:
        store.put(entry(1, **times))
        with pytest.raises(DamagedEntryError):
            store.get(key_of(1))
        assert 0 <= listed(store)[0].created_at < 3e11
        assert store.verify().damaged == (key_of(1),)


@pytest.mark.parametrize("figure", ["1e300", "-7", "'many'", "x'00'", "9223372036854775807"])
def test_figures_are_bounded(path, figure):
    """Sizes, hits and times of use that nobody guards are numbers that a person can be told."""
    for column in ("size_bytes", "hits", "used_at"):
        query(path, f"UPDATE OR IGNORE llmcache_entries SET {column} = {figure}")
    with closing(SQLiteStore(path)) as store:
        for each in (*listed(store), *store.entries()):
            assert 0 <= each.size_bytes < 1e15
            assert 0 <= each.hits < 1e15
            assert 0 <= each.used_at < 3e11


@pytest.mark.parametrize("figure", ["1e300", "-7", "7", "'many'", "x'00'", "9223372036854775807"])
@pytest.mark.parametrize("column", ["size_bytes", "hits", "used_at"])
def test_figures_are_mended(path, column, figure):
    """A size that is not the entry's, and hits and times that cannot be, are damage; repair is not
    at the cost of the answer.
    """
    change = f"UPDATE llmcache_entries SET {column} = {figure} WHERE title = 'question 1'"
    query(path, change)
    with closing(SQLiteStore(path)) as store:
        can_be = figure == "7" and column != "size_bytes"
        assert store.verify().damaged == (() if can_be else (key_of(1),))
        store.verify(repair=True)
        assert store.verify().is_sound
        assert as_put(store.read(key_of(1))) == entry(1)


# --- what is no file ---


def _put_beside(path, suffix, kind):
    place = path.with_name(path.name + suffix)
    if suffix == "":
        place.unlink()
    kind(place)
    return place


NO_FILES = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a loop": lambda place: place.symlink_to(place),
    "a device": lambda place: place.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_not_waited_for(path, suffix, kind, capsys):
    """A pipe, a folder, a device and a link to itself are refused in a line, also beside a file."""
    place = _put_beside(path, suffix, NO_FILES[kind])
    refused = (1, 2) if suffix == "" or kind != "a loop" else (0, 1)  # a link to nothing is nothing
    for words in (["list"], ["verify"], ["export", "out.jsonl"]):
        assert main([words[0], str(path), *words[1:]]) in refused
        assert len(capsys.readouterr().err.splitlines()) <= 1
    if suffix == "":
        assert main(["import", "fresh.db", str(path)]) in (1, 2)
        with pytest.raises(StoreError) as error:
            SQLiteStore(path)
        assert "\n" not in str(error.value)
    assert place.is_symlink() or place.exists()


def test_a_name_that_is_too_long(path, capsys):
    """It is refused in one line."""
    for words in (["list"], ["verify"], ["import", "course.db"]):
        assert main([*words, f"{'x' * 300}.db"]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("change", ["title = 'another'", "prompt = 'another'", "prompt = 7"])
def test_texts_are_under_the_checksum(path, change):
    """A changed prompt or title is damage; repair keeps the answer without them."""
    query(path, f"UPDATE llmcache_entries SET {change} WHERE title = 'question 1'")
    with closing(SQLiteStore(path)) as store:
        assert store.get(key_of(1)).answer == answer_to(1)
        with pytest.raises(DamagedEntryError):
            store.read(key_of(1))
        assert store.verify().damaged == (key_of(1),)
        assert store.verify(repair=True).repaired
        assert store.verify().is_sound
        assert as_put(store.read(key_of(1))) == entry(1, prompt="", title="")


def test_a_request_text_is_under_its_number(path):
    """A changed request text is not told as the entry's; repair keeps the answers."""
    query(path, 'UPDATE llmcache_requests SET text = \'{"model":"another"}\'')
    with closing(SQLiteStore(path)) as store:
        assert store.requests() == [""]
        assert len(store.verify().damaged) == 3
        assert store.verify(repair=True).repaired
        assert store.verify().is_sound
        assert store.get(key_of(1)).answer == answer_to(1)


@pytest.mark.parametrize("key", ["text", -1, 1e308, b""])
def test_a_key_of_another_kind(path, key, capsys):
    """A row whose key is not 16 bytes is found by verify, and repair saves the others."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        change = "UPDATE llmcache_entries SET key = ? WHERE title = 'question 1'"
        connection.execute(change, (key,))
    assert main(["verify", "course.db"]) == 1
    assert "--repair mends it" in capsys.readouterr().out
    with closing(SQLiteStore(path)) as store:
        assert "CHECK" in store.verify().faults[0]
        assert len(listed(store)) == 3
        assert store.verify(repair=True).repaired
        assert store.verify().is_sound
        assert store.count() == 2


# --- files that were cut off ---


@pytest.fixture(scope="module")
def long_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "course.db"
    with closing(SQLiteStore(path)) as store:
        for n in range(202):
            store.put(entry(n, answer=os.urandom(3000)))
    return path


@pytest.mark.parametrize("kept", [0.99, 0.7, 0.4, 0.1])
def test_a_file_that_was_cut_off(path, long_file, kept, capsys):
    """A cut file is refused with the one way out, which saves what is there, at the first try."""
    data = long_file.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(StoreError, match=r"verify --repair .*course\.db"):
        SQLiteStore(path)
    assert main(["verify", "course.db"]) == 1
    assert main(["verify", "course.db", "--repair"]) == 0
    assert "kept" in capsys.readouterr().out
    assert {"course.db", "course.db.broken1"} <= set(names(path.parent))
    with closing(SQLiteStore(path)) as store:
        assert store.count() >= int(202 * kept) - 12
        assert store.verify().is_sound
        store.put(entry("new"))
    assert is_sound(path)


@pytest.mark.parametrize("number", [1 << 40, (1 << 63) - 1])
def test_a_row_number_out_of_all_order(path, long_file, number, capsys):
    """What a broken page tells of a far row costs neither the rows that are there nor an age."""
    shutil.copyfile(long_file, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE llmcache_entries SET id = ? WHERE id = 2", (number,))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    assert main(["verify", "course.db", "--repair"]) == 0
    assert "kept" in capsys.readouterr().out
    with closing(SQLiteStore(path)) as store:
        assert store.count() >= int(202 * 0.7) - 12


@pytest.mark.parametrize("kept", [0, 50, 99, 100, 4096])
def test_a_file_of_which_nothing_is_left(path, long_file, kept, capsys):
    """Where nothing can be saved, repair says so in one line and leaves the file."""
    path.write_bytes(long_file.read_bytes()[:kept])
    status = main(["verify", "course.db", "--repair"])
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    if status:
        assert told.err.count("\n") == 1
        assert path.stat().st_size == kept


def test_a_cut_wal(path, tmp_path):
    """A -wal that was cut costs what was in it, and nothing else."""
    other = tmp_path / "other"
    other.mkdir()
    with closing(SQLiteStore(path)) as store:
        store.put_many([entry(n) for n in range(3, 50)])
        shutil.copyfile(path, other / "course.db")
        wal = Path(f"{path}-wal").read_bytes()
        (other / "course.db-wal").write_bytes(wal[: len(wal) // 2])
    with closing(SQLiteStore(other / "course.db")) as store:
        assert store.get(key_of(1)).answer == answer_to(1)
        assert store.verify().is_sound


def test_a_compressed_text_that_is_too_large(path, monkeypatch):
    """A prompt that would unpack to more than any prompt is damage, and cheap to refuse."""
    with closing(SQLiteStore(path)) as store:
        store.put(entry(1, prompt="x" * 100_000))
        monkeypatch.setattr(sqlite_rows, "MAX_UNPACKED_BYTES", 50_000)
        assert store.verify().damaged == (key_of(1),)
