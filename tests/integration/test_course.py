"""The course file: the same bytes for the same entries, and nothing untrue comes in."""

from __future__ import annotations

import getpass
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from jupyter_llmcache import (
    MemoryCache,
    SQLiteCache,
    calls,
    course,
    mode,
)
from jupyter_llmcache import (
    answer as entry,
)
from jupyter_llmcache import (
    request as keys,
)
from jupyter_llmcache.answer import vector
from jupyter_llmcache.course import Imported, export_database, export_lines, import_file
from jupyter_llmcache.draw.live import Progress
from jupyter_llmcache.errors import LLMCacheError, StoreError
from jupyter_llmcache.ledger import Entry
from jupyter_llmcache.seam import web_answer
from jupyter_llmcache.seam.place import entry_of
from jupyter_llmcache.seam.web_request import WebRequest
from jupyter_llmcache.stores import sqlite_rows
from jupyter_llmcache.stores.memory import MemoryStore
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.unit.stores.entries import as_put
from tests.unit.stores.langchain_files import write_langchain_file

EXPORTS = [export_database, export_lines]
NAMES = ["database", "lines"]
each_export = pytest.mark.parametrize("export", EXPORTS, ids=NAMES)

MODEL = ChatOpenAI(model="gpt-test", api_key="test-key", base_url="http://127.0.0.1:9/v1")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 900}}


def record_of(prompt: Any, text: str = "an answer", at: float = 1e9, **kwargs: Any) -> Entry:
    messages = [HumanMessage(prompt)] if isinstance(prompt, str) else prompt
    request = keys.describe(MODEL, messages, None, kwargs)
    message = AIMessage(text, usage_metadata=dict.fromkeys(USAGE, 3))
    generation = ChatGeneration(message=message, generation_info={"finish_reason": "stop"})
    answer = entry.encode([generation], versions={"langchain-core": "1.8.3"})
    return entry_of(request, answer, at, 0.5)


def embedded(text: str, numbers: list[float]) -> Entry:
    embeddings = OpenAIEmbeddings(model="m", api_key="test-key", base_url="http://127.0.0.1:9/v1")
    request = keys.describe(embeddings, text, None, {})
    return entry_of(request, vector.encode(numbers), 1e9, 0.5)._replace(kind="embedding")


def fetched(path: str, body: bytes) -> Entry:
    asked = WebRequest("GET", f"http://127.0.0.1:9/{path}", [])
    answer = web_answer.encode(web_answer.WebAnswer(200, "OK", [], body), signed=False)
    texts = (asked.request_text, asked.prompt_text, asked.title)
    return Entry(asked.key(0), answer, 1e9, 0.5, "web", *texts)


USAGE = ("input_tokens", "output_tokens", "total_tokens")
RECORDS = [
    record_of("Well?"),
    record_of("Größe? 北京 \u2028 \x00 \U0001f600", "größer\n" * 400, at=1e9 + 0.25),
    record_of([SystemMessage("Be brief"), HumanMessage([{"type": "text", "text": "?"}, IMAGE])]),
    record_of(
        [
            HumanMessage("Weather?"),
            AIMessage("", tool_calls=[{"name": "f", "args": {"b": 1, "a": [2.5]}, "id": "1"}]),
            ToolMessage("fine", tool_call_id="1"),
        ],
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        temperature=0.25,
    ),
    record_of("half \ud800 a pair", "also \udfff"),
    record_of("a long text " * 400, "short"),
    record_of("no time")._replace(provider_s=None),
    embedded("a text", [0.5, -0.0, 1.0]),
    embedded("another", [0.1, 2.0]),
    embedded("whole numbers", [1, 2]),
    fetched("page", b"\xff\x00 a page"),
    fetched("long", b"a long page " * 900),
]


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.put_many(RECORDS)
    return store


def sqlite_store(name: str, records: list[Entry] | None = None, **options: Any) -> SQLiteStore:
    store = SQLiteStore(name, **options)
    for record in records or ():
        store.put(record)
    return store


def contents(store) -> list[Entry]:
    """All entries, their titles as files keep them, without the store's own figures."""
    return [
        record._replace(
            title=record.title.encode("utf-8", "replace").decode(),
            size_bytes=0,
            hits=0,
            used_at=0.0,
        )
        for record in store.entries()
    ]


def names(folder: str = ".") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


# --- the same entries give the same bytes ---


@each_export
def test_the_same_entries_give_the_same_bytes(export, store, tmp_path):
    """Order, hits, overwritten and deleted entries, kind of store: none changes a byte."""
    assert export(store, "first") == len(RECORDS)
    expected = Path("first").read_bytes()
    shuffled = [*RECORDS]
    for seed in range(3):
        random.Random(seed).shuffle(shuffled)
        other = sqlite_store(f"{seed}.db", [*shuffled, record_of("gone"), record_of("Well?", "x")])
        other.delete([record_of("gone").key])
        other.put(record_of("Well?"))
        for record in shuffled[seed:]:
            other.get(record.key)
        export(other, "again")
        other.close()
        assert Path("again").read_bytes() == expected
        reopened = sqlite_store(f"{seed}.db", read_only=True)
        export(reopened, "again")
        reopened.close()
        assert Path("again").read_bytes() == expected


@each_export
def test_exporting_over_itself_changes_nothing(export, store, tmp_path):
    """A second export to the same name leaves the same bytes, so that git sees no change."""
    export(store, "course")
    expected = Path("course").read_bytes()
    export(store, "course")
    assert Path("course").read_bytes() == expected
    assert names() == ["course"]


@each_export
def test_a_merge_and_an_export_give_the_same_bytes(export, store):
    """What was imported, from either form, is exported as the same bytes."""
    for make in EXPORTS:
        make(store, "course")
        other = MemoryStore()
        import_file(other, "course")
        export(store, "expected")
        export(other, "again")
        assert Path("again").read_bytes() == Path("expected").read_bytes()


def test_one_entry_more_is_another_file(store):
    """Exports of different entries differ."""
    export_database(store, "first.db")
    store.put(record_of("one more"))
    export_database(store, "second.db")
    assert Path("first.db").read_bytes() != Path("second.db").read_bytes()


def test_payloads_are_copied_as_they_are(tmp_path):
    """A payload that another zlib packed is not packed anew."""
    source = sqlite_store("source.db", [record_of("Well?", "long " * 500)])
    source.close()
    with closing(sqlite3.connect("source.db")) as connection, connection:
        [row] = connection.execute(sqlite_rows.READ).fetchall()
        other = b"\x01" + zlib.compress(sqlite_rows.unpack_answer(row[5]), 1)
        assert other != row[5]
        digest = sqlite_rows.checksum(*row[:4], other) + row[4][8:]
        connection.execute("UPDATE llmcache_entries SET answer = ?, checksum = ?", (other, digest))
    source = sqlite_store("source.db", read_only=True)
    export_database(source, "copy.db")
    source.close()
    with closing(sqlite3.connect("copy.db")) as connection:
        assert connection.execute("SELECT answer FROM llmcache_entries").fetchall() == [(other,)]


# --- what the file is ---


def test_the_database_is_one_whole_file(store):
    """It passes SQLite's own check, has no free pages, no journal and nothing beside it."""
    export_database(store, "course.db")
    assert names() == ["course.db"]
    header = Path("course.db").read_bytes()[:100]
    assert header[18:20] == b"\x01\x01"
    assert header[24:28] == header[92:96]
    with closing(sqlite3.connect("course.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA freelist_count").fetchall() == [(0,)]
        [(pages,)] = connection.execute("PRAGMA page_count").fetchall()
    assert pages * 4096 == Path("course.db").stat().st_size


def test_the_database_is_a_cache_like_any(store):
    """It opens as a cache, read-only and to be written, with every entry as it was."""
    export_database(store, "course.db")
    before = Path("course.db").read_bytes()
    with closing(SQLiteStore("course.db", read_only=True)) as opened:
        assert contents(opened) == contents(store)
        assert opened.get(RECORDS[0].key).provider_s == 0.5
    assert Path("course.db").read_bytes() == before
    with closing(SQLiteStore("course.db")) as opened:
        opened.put(record_of("one more"))
        assert opened.count() == len(RECORDS) + 1


@each_export
def test_only_the_chosen_entries_go_out(export, store):
    """With keys, only these are exported, and unknown ones are no error."""
    chosen = [RECORDS[2].key, RECORDS[0].key, b"\x00" * 16]
    with closing(sqlite_store("source.db", RECORDS)) as source:
        assert export(source, "from_file", chosen) == export(store, "from_memory", chosen) == 2
    assert Path("from_file").read_bytes() == Path("from_memory").read_bytes()
    other = MemoryStore()
    import_file(other, "from_file")
    assert {record.key for record in contents(other)} == set(chosen[:2])


@each_export
def test_an_empty_cache_gives_an_empty_course(export):
    """Without entries a good file without entries is made."""
    assert export(MemoryStore(), "course") == 0
    assert import_file(MemoryStore(), "course") == Imported(0, 0, 0)


@each_export
def test_nothing_names_who_recorded(export, chat_openai, tmp_path, monkeypatch):
    """User, host, path and key of the recording machine are not in the file."""
    monkeypatch.setenv("USER", "recording-user")
    with closing(SQLiteCache(tmp_path / "recorded-here.db")) as cache:
        chat_openai(cache=cache, api_key="sk-recording-key").invoke("Well?")
        export(cache.store, "course")
    data = Path("course").read_bytes()
    if export is export_database:
        with closing(sqlite3.connect("course")) as connection:
            data = "\n".join(connection.iterdump()).encode()
        [record] = contents(SQLiteStore("course", read_only=True))
        data += repr(record).encode()
    for word in (getpass.getuser(), socket.gethostname(), str(tmp_path), "recorded-here", "sk-"):
        assert word.encode() not in data


def test_lines_can_be_reviewed(store):
    """After the first line each line is one entry in key order, its texts as JSON to be read."""
    export_lines(store, "course.jsonl")
    header, *lines = Path("course.jsonl").read_bytes().splitlines()
    assert json.loads(header) == {"jupyter_llmcache": "course", "format": 1}
    data = [json.loads(line) for line in lines]
    assert [line["key"] for line in data] == sorted(record.key.hex() for record in RECORDS)
    [line] = [line for line in data if line["title"] == "Well?"]
    assert line["prompt"] == [{"content": "Well?", "type": "human"}]
    assert line["request"]["model"] == "gpt-test"
    message = line["answer"]["generations"][0]["message"]
    assert message["content"] == "an answer"
    assert line["answer"]["versions"] == {"langchain-core": "1.8.3"}
    assert "größer".encode() in Path("course.jsonl").read_bytes()


# --- writing: all or nothing ---


@each_export
def test_the_file_in_use_is_not_overwritten(export, tmp_path):
    """An export onto the cache in use is one error line, by whatever name, and changes nothing."""
    store = sqlite_store("course.db", RECORDS[:1])
    Path("link.db").symlink_to("course.db")
    for name in ("course.db", tmp_path / "course.db", "link.db"):
        with pytest.raises(StoreError, match="in use"):
            export(store, name)
    store.close()
    with closing(SQLiteStore("course.db", read_only=True)) as opened:
        assert opened.count() == 1
        with pytest.raises(StoreError, match="in use"):
            export(opened, "course.db")


@each_export
def test_a_file_that_another_cache_has_open_is_not_overwritten(export, store):
    """A database with a living -wal is left alone: SQLite would mix the two files."""
    with closing(sqlite_store("course.db", RECORDS[:1])) as other:
        with pytest.raises(StoreError, match=r"course\.db-wal"):
            export(store, "course.db")
        assert other.count() == 1
    export(store, "course.db")


@each_export
def test_a_damaged_entry_stops_the_export(export, store):
    """A damaged entry is named, and the old file stays."""
    with closing(sqlite_store("source.db", RECORDS)):
        pass
    export(store, "course")
    before = Path("course").read_bytes()
    with closing(sqlite3.connect("source.db")) as connection, connection:
        connection.execute(
            "UPDATE llmcache_entries SET answer = x'00' WHERE key = ?", (RECORDS[3].key,)
        )
    with (
        closing(SQLiteStore("source.db")) as source,
        pytest.raises(StoreError, match=RECORDS[3].key.hex()),
    ):
        export(source, "course")
    assert Path("course").read_bytes() == before
    assert [name for name in names() if name.endswith(".new")] == []


@each_export
def test_places_that_cannot_be_written_are_told(export, store, tmp_path):
    """A folder, or a path through a file, is one error line with the path in it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for name in ("folder", "file/course.db"):
        with pytest.raises(StoreError, match=name) as caught:
            export(store, name)
        assert "\n" not in str(caught.value)
    assert names() == ["file", "folder"]


@each_export
def test_the_old_files_mode_stays(export, store):
    """A new file can be read by others as any new file; an old one keeps its mode; links stay."""
    mask = os.umask(0o022)
    try:
        export(store, "new/course")
    finally:
        os.umask(mask)
    assert Path("new/course").stat().st_mode & 0o777 == 0o644
    Path("new/course").chmod(0o640)
    Path("link").symlink_to("new/course")
    export(store, "link")
    assert Path("link").is_symlink()
    assert Path("new/course").stat().st_mode & 0o777 == 0o640


KILLED = """
import sys
from jupyter_llmcache import course
from jupyter_llmcache.stores.sqlite import SQLiteStore
stores = [SQLiteStore(name, read_only=True) for name in ("one.db", "two.db")]
export = getattr(course, sys.argv[1])
print("ready", flush=True)
while True:
    for store in stores:
        export(store, "course")
"""


def kill_at_random(export, times: int) -> None:
    """Kill a process that exports two files in turn; each time one of the two must be whole."""
    wholes = set()
    for name, records in (("one", RECORDS[:3]), ("two", RECORDS)):
        with closing(sqlite_store(f"{name}.db", records)) as source:
            export(source, name)
        wholes.add(Path(name).read_bytes())
    export(SQLiteStore("one.db", read_only=True), "course")
    for _ in range(times):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, export.__name__], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert Path("course").read_bytes() in wholes


@each_export
def test_killing_an_export_leaves_a_whole_file(export):
    """A process killed while it exports leaves the old file or the new one."""
    kill_at_random(export, 3)


@pytest.mark.slow
@each_export
def test_killing_many_exports_leaves_a_whole_file(export):
    """The same, a hundred times."""
    kill_at_random(export, 100)


# --- reading ---


@each_export
def test_new_same_and_different_are_told(export, store):
    """Entries are counted as new, same or different; a different answer of one's own is kept."""
    export(store, "course")
    own = MemoryStore()
    own.put(RECORDS[0])
    own.put(RECORDS[1]._replace(created_at=5.0))
    own.put(RECORDS[2]._replace(answer=RECORDS[1].answer))
    own.put(record_of("my own"))
    assert import_file(own, "course") == Imported(len(RECORDS) - 3, 2, 1)
    assert own.read(RECORDS[2].key).answer == RECORDS[1].answer
    assert as_put(own.read(RECORDS[3].key)) == RECORDS[3]
    assert own.count() == len(RECORDS) + 1
    assert import_file(own, "course") == Imported(0, len(RECORDS) - 1, 1)


@each_export
def test_entries_come_in_as_they_went_out(export, store):
    """Every field of every entry survives, odd texts included, in a file too."""
    export(store, "course")
    with closing(SQLiteStore("mine.db")) as own:
        assert import_file(own, "course") == Imported(len(RECORDS), 0, 0)
        assert contents(own) == contents(store)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(st.text(max_size=20), st.text(min_size=1), st.floats(0, 2.5e11)), max_size=4)
)
@each_export
def test_any_texts_survive(export, tmp_path, asked):
    """Prompts and answers of any characters, and any times, survive both forms."""
    store, other = MemoryStore(), MemoryStore()
    for prompt, text, at in asked:
        store.put(record_of(prompt, text, at))
    export(store, "course")
    import_file(other, "course")
    assert contents(other) == contents(store)


def test_progress_is_told(store):
    """Entries are counted as they are written and read."""
    progress = Progress("copying")
    export_lines(store, "course.jsonl", counting=progress.counting)
    export_database(store, "course.db", counting=progress.counting)
    import_file(MemoryStore(), "course.jsonl", progress.counting)
    assert progress.done == 3 * len(RECORDS)


def test_lines_of_other_editors_are_read(store):
    """A byte order mark and Windows' line ends, which editors and git add, do no harm."""
    export_lines(store, "course.jsonl")
    data = Path("course.jsonl").read_bytes()
    Path("course.jsonl").write_bytes(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
    assert import_file(MemoryStore(), "course.jsonl").new == len(RECORDS)


def test_an_answer_may_be_mended_by_hand(store):
    """A reviewer may change an answer in the lines; it is what is replayed."""
    export_lines(store, "course.jsonl")
    data = Path("course.jsonl").read_text("utf-8")
    Path("course.jsonl").write_text(data.replace("an answer", "another answer"), "utf-8")
    own = MemoryStore()
    import_file(own, "course.jsonl")
    [generation] = entry.decode(own.get(RECORDS[0].key).answer)
    assert generation.text == "another answer"


def test_a_damaged_entry_of_ones_own_is_replaced(store):
    """Where the own entry is damaged, the imported one counts as new."""
    export_lines(store, "course.jsonl")
    with closing(sqlite_store("mine.db", RECORDS)):
        pass
    with closing(sqlite3.connect("mine.db")) as connection, connection:
        connection.execute(
            "UPDATE llmcache_entries SET answer = x'00' WHERE key = ?", (RECORDS[3].key,)
        )
    with closing(SQLiteStore("mine.db")) as own:
        assert import_file(own, "course.jsonl") == Imported(1, len(RECORDS) - 1, 0)
        assert contents(own) == contents(store)


# --- what is refused ---

GOOD_LINE = {
    "key": RECORDS[0].key.hex(),
    "title": RECORDS[0].title,
    "created_at": 1e9,
    "kind": "answer",
    "provider_s": 0.5,
    "request": json.loads(RECORDS[0].request),
    "prompt": json.loads(RECORDS[0].prompt),
    "answer": json.loads(RECORDS[0].answer),
}
OTHER_PROMPT = [{"content": "What you did not ask", "type": "human"}]


def line(**changed: Any) -> bytes:
    return json.dumps({**GOOD_LINE, **changed}).encode()


def answer(**changed: Any) -> dict[str, Any]:
    return {**GOOD_LINE["answer"], **changed}


BAD_LINES = {
    "an empty line": b"",
    "no JSON": b"hello",
    "cut": line()[:-9],
    "no UTF-8": b'{"key": "\xff"}',
    "deep": b"[" * 100_000,
    "a long number": line().replace(b"0.5", b"9" * 5000),
    "a list": b"[]",
    "a text": b'"hello"',
    "a field more": line(more=1),
    "a field less": json.dumps({k: v for k, v in GOOD_LINE.items() if k != "title"}).encode(),
    "a short key": line(key="00"),
    "a key that is none": line(key="z" * 32),
    "a key of another kind": line(key=7),
    "another prompt": line(prompt=OTHER_PROMPT),
    "another model": line(request={**GOOD_LINE["request"], "model": "other"}),
    "another key": line(key=RECORDS[1].key.hex()),
    "a request that is none": line(request="hello"),
    "a request of another kind": line(request=7),
    "a list for a request": line(request=[1]),
    "a prompt that is none": line(prompt="hello"),
    "a title of another kind": line(title=["x"]),
    "a time of another kind": line(created_at="now"),
    "a time that is none": line(created_at=float("nan")),
    "a negative time": line(created_at=-1),
    "true for a time": line(created_at=True),
    "an endless time": line(provider_s=float("inf")),
    "no answer": line(answer=None),
    "an answer that is none": line(answer="hello"),
    "an answer without generations": line(answer=answer(generations=[])),
    "an answer of a newer form": line(answer=answer(format=99)),
    "an object for an answer": line(
        answer={"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {}}
    ),
    "an answer of another shape": line(answer=answer(generations=[{"message": {"content": 5}}])),
    "an unknown kind": line(kind="poem"),
    "an answer for a vector": line(kind="embedding"),
    "a vector for an answer": line(answer=[0.5]),
    "a vector of words": line(kind="embedding", answer=["a"]),
    "a web answer that is none": line(kind="web", answer="AAAA"),
    "a web answer of another kind": line(kind="web", answer=7),
    "the same key again": json.dumps(
        {**GOOD_LINE, "key": RECORDS[1].key.hex(), "prompt": json.loads(RECORDS[1].prompt)}
    ).encode(),
}


@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_one_bad_line_refuses_the_file(bad):
    """A bad line is named by its number, in one line, and nothing at all is imported."""
    store = MemoryStore()
    store.put(RECORDS[1])
    export_lines(store, "course.jsonl")
    with Path("course.jsonl").open("ab") as file:
        file.write(bad + b"\n")
    own = MemoryStore()
    with pytest.raises(LLMCacheError) as caught:
        import_file(own, "course.jsonl")
    assert str(caught.value).startswith("nothing was imported: line 3: ")
    assert "\n" not in str(caught.value)
    assert own.count() == 0


def test_a_cut_file_is_refused(store):
    """A file without its last line end was cut, and is refused."""
    export_lines(store, "course.jsonl")
    data = Path("course.jsonl").read_bytes()
    Path("course.jsonl").write_bytes(data[:-1])
    with pytest.raises(LLMCacheError, match=f"line {len(RECORDS) + 1}: it is cut"):
        import_file(MemoryStore(), "course.jsonl")


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (b'{"a": 1}\n', "line 1"),
        (line() + b"\n", "line 1"),
        (b'{"jupyter_llmcache": "course", "format": 2}\n', "Upgrade jupyter_llmcache"),
        (b"hello\n", "not a course file"),
        (b"", "not a course file"),
        (b"\x00" * 100, "not a course file"),
        (b"SQLite format 3\x00" + b"\xff" * 200, "course"),
    ],
)
def test_other_files_are_refused(first, told):
    """What is not a course file is refused with one line that says so."""
    Path("course").write_bytes(first)
    own = MemoryStore()
    with pytest.raises(LLMCacheError, match=told) as caught:
        import_file(own, "course")
    assert "\n" not in str(caught.value)
    assert own.count() == 0


def test_other_databases_are_refused():
    """A database of another program, or of LangChain alone, is refused with the way out."""
    with closing(sqlite3.connect("other.db")) as connection, connection:
        connection.execute("CREATE TABLE things (a)")
    write_langchain_file(Path("langchain.db"), [("prompt", "llm", "text")])
    with pytest.raises(LLMCacheError, match="another program"):
        import_file(MemoryStore(), "other.db")
    with pytest.raises(LLMCacheError, match=r"%llm_cache sqlite langchain\.db"):
        import_file(MemoryStore(), "langchain.db")


def test_files_that_are_not_there_are_told():
    """A missing file, or a folder, is one error line with its name."""
    Path("folder").mkdir()
    for name in ("missing.db", "folder"):
        with pytest.raises(StoreError, match=name):
            import_file(MemoryStore(), name)


@pytest.mark.parametrize("field", ["answer", "prompt", "key", "created_at", "checksum"])
def test_a_damaged_database_is_refused(store, field):
    """A database with one damaged or exchanged entry is refused whole, and the entry is named."""
    export_database(store, "course.db")
    with closing(sqlite3.connect("course.db")) as connection, connection:
        value = {"created_at": 7.0, "prompt": json.dumps(OTHER_PROMPT)}.get(field, b"\x07" * 16)
        connection.execute(
            f"UPDATE llmcache_entries SET {field} = ? WHERE key = ?", (value, RECORDS[3].key)
        )
    own = MemoryStore()
    with pytest.raises(LLMCacheError) as caught:
        import_file(own, "course.db")
    named = b"\x07" * 16 if field == "key" else RECORDS[3].key
    assert f"entry {named.hex()}" in str(caught.value)
    assert own.count() == 0


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
@each_export
def test_damaged_files_import_all_or_nothing(export, tmp_path, data):
    """Whatever happened to a file's bytes, it is imported with true entries or refused."""
    store, own = MemoryStore(), MemoryStore()
    store.put_many(RECORDS[:4])
    export(store, "course")
    damaged = bytearray(Path("course").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    Path("course").write_bytes(damaged)
    try:
        imported = import_file(own, "course")
    except LLMCacheError:
        assert own.count() == 0
        return
    assert own.count() == imported.new
    for record in own.entries():
        assert entry.decode(record.answer)


# --- from end to end ---


@each_export
def test_a_course_replays(export, chat_openai, openai_server):
    """What one cache recorded answers in another, in replay mode, after its journey as a file."""
    first = MemoryCache()
    asked = ["Well?", "And?", [HumanMessage("Weather?"), AIMessage("Fine."), HumanMessage("So?")]]
    texts = [chat_openai(cache=first).invoke(prompt).text for prompt in asked]
    export(first.store, "course")
    second = MemoryCache()
    course.import_file(second.store, "course")
    with mode("replay"):
        assert [chat_openai(cache=second).invoke(prompt).text for prompt in asked] == texts
    assert openai_server.answered == 3
    assert [call.kind for call in calls()] == ["miss"] * 3 + ["hit"] * 3
