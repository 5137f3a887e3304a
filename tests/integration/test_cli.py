"""``python -m jupyter_llmcache``: text and JSON, exit statuses, one line for a wrong use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from jupyter_llmcache import request as keys
from jupyter_llmcache.__main__ import main
from jupyter_llmcache.commands import subcommands
from jupyter_llmcache.ledger import Entry
from jupyter_llmcache.seam.place import entry_of
from jupyter_llmcache.stores.sqlite import SQLiteStore

ANSWER = b'{"format":1,"versions":{"langchain-core":"1.0.0"},"generations":[{"text":"blue"}]}'


def record(number: int, title: str) -> Entry:
    description = (
        '{"schema":1,"class":"x.X","provider":"openai","model":"gpt-x","endpoint":null,'
        f'"parameters":{{"seed":{number}}}}}'
    )
    content = [{"content": title, "role": "human"}]
    request = keys.Request(b"", "openai:gpt-x", description, content).with_endpoint(None)
    return entry_of(request, ANSWER, 1.7e9 + number, 2.0)


CAT, DOG = (record(number, title).key.hex() for number, title in enumerate(["a cat", "a dog"]))


@pytest.fixture
def file(tmp_path) -> Path:
    """A file of three entries."""
    store = SQLiteStore(tmp_path / "a.db")
    store.put_many([record(0, "a cat"), record(1, "a dog"), record(2, "a cow")])
    store.close()
    return tmp_path / "a.db"


class Shell:
    def __init__(self, capsys):
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        status = main(words)
        told = self._capsys.readouterr()
        return status, told.out, told.err


@pytest.fixture
def run(capsys) -> Shell:
    return Shell(capsys)


def titles(path: Path) -> set[str]:
    store = SQLiteStore(path, read_only=True)
    found = {line.title for line in store.entries(texts=False)}
    store.close()
    return found


def test_list_as_text_and_as_json(file, run):
    """List prints a table, or with --json an array of rows with plain numbers."""
    status, out, _ = run("list", "a.db", "--grep", "CAT")
    assert status == 0
    assert "1 of 3 entries in a.db" in out
    status, out, _ = run("list", "a.db", "--json", "-n", "2")
    rows = json.loads(out)
    assert status == 0
    assert [row["prompt"] for row in rows] == ["a cow", "a dog"]
    assert rows[0]["recorded_at"] == 1.7e9 + 2


def test_show_and_explain(file, run):
    """Show prints the entry, explain what differs from its neighbours; ``last`` is the newest."""
    assert "blue" in run("show", "a.db", "last")[1]
    assert json.loads(run("show", "a.db", CAT[:6], "--json")[1])["answers"] == ["blue"]
    assert "seed" in run("explain", "a.db", CAT[:6])[1]
    near = json.loads(run("explain", "a.db", "--json")[1])["nearest"]
    assert {entry["title"] for entry in near} <= {"a cat", "a dog"}


def test_stats(file, run):
    """Stats tells entries, models and what the file saved in its life."""
    data = json.loads(run("stats", "a.db", "--json")[1])
    assert (data["entries"], data["models"]) == (3, ["openai:gpt-x"])
    assert data["life"] == {"hits": 0, "saved_s": 0.0}


def test_forget_needs_yes(file, run):
    """Without --yes forget tells what would go, and its exit status says that nothing was done."""
    status, out, _ = run("forget", "a.db", "--grep", "cat")
    assert status == 1
    assert "would delete 1 entry" in out
    assert "took 2.0 s to record" in out
    assert titles(file) == {"a cat", "a dog", "a cow"}
    assert run("forget", "a.db", DOG[:6], "--grep", "dog", "--yes")[0] == 0
    assert titles(file) == {"a cat", "a cow"}
    assert run("clear", "a.db", "--yes")[0] == 0
    assert titles(file) == set()


@pytest.mark.parametrize(("answer", "left"), [("y", 2), ("", 3), ("no", 3)])
def test_forget_asks_a_person(file, run, monkeypatch, answer, left):
    """At a terminal forget asks, and goes on at y alone."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    status = run("forget", "a.db", "--grep", "cat")[0]
    assert status == (0 if left == 2 else 1)
    assert len(titles(file)) == left


def test_prune(file, run):
    """Prune keeps the entries that were used last."""
    data = json.loads(run("prune", "a.db", "--max-entries", "1", "--yes", "--json")[1])
    assert (data["done"], data["entries"]) == (True, 2)
    assert len(titles(file)) == 1


def test_verify_tells_by_its_status(file, run):
    """Verify gives 0 for a sound file, 1 for a damaged one, and 0 after --repair."""
    assert run("verify", "a.db")[0] == 0
    damaged = SQLiteStore(file)
    damaged.put(Entry(b"z" * 16, b"no answer", 1.0, None, request="{}", prompt='"p"', title="p"))
    damaged.close()
    status, out, _ = run("verify", "a.db")
    assert status == 1
    assert "python -m jupyter_llmcache verify --repair" in out or "verify --repair" in out
    assert run("verify", "a.db", "--repair")[0] == 0
    assert run("verify", "a.db")[0] == 0


def test_export_and_import(file, run):
    """What is exported from one file can be imported into a new one."""
    assert run("export", "a.db", "b.jsonl")[0] == 0
    assert run("import", "c.db", "b.jsonl")[0] == 0
    assert titles(Path("c.db")) == titles(file)
    again = json.loads(run("import", "c.db", "b.jsonl", "--json")[1])
    assert (again["new"], again["same"]) == (0, 3)


@pytest.mark.parametrize(
    "words",
    [("list",), ("show", "last"), ("explain",), ("stats",), ("verify",), ("export", "x.db")],
)
def test_reading_leaves_the_file_and_its_folder(file, run, tmp_path, words):
    """What only reads changes no byte of the file and leaves nothing beside it."""
    before = file.read_bytes()
    name, *rest = words
    assert run(name, "a.db", *rest)[0] == 0
    assert file.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {"a.db", "x.db"}


WRONG_USES = [
    ((), ""),
    (("lst", "a.db"), "Did you mean 'list'?"),
    (("history", "a.db"), "has no subcommand 'history'. It works in a notebook only"),
    (("list",), "FILE"),
    (("list", "b.db"), "there is no file b.db. Did you mean 'a.db'?"),
    (("list", "."), ". is a folder. Give the path of a cache file"),
    (("list", "a.db", "--sort"), "--sort lacks its value"),
    (("list", "a.db", "--sort", "recnt"), "Did you mean 'recent'?"),
    (("list", "a.db", "--modle", "x"), "Did you mean '--model'?"),
    (("list", "a.db", "--model", "gpt-y"), "Did you mean 'gpt-x'?"),
    (("list", "a.db", "--since", "soon"), "'soon' is not a duration"),
    (("show", "a.db", "zz"), "'zz' is not a key"),
    (("show", "a.db", "0" * 32), "no entry's key begins with 0000"),
    (("forget", "a.db"), "Give keys"),
    (("prune", "a.db"), "Give --older-than"),
    (("export", "a.db"), "PATH"),
    (("export", "a.db", "x.db", "--used"), "has used no entry"),
    (("check",), "NOTEBOOK"),
    (("check", "no.ipynb"), "there is no notebook no.ipynb"),
]


@pytest.mark.parametrize(("words", "told"), WRONG_USES)
def test_a_wrong_use_is_one_line_and_status_two(file, run, words, told):
    """A wrong use gives exit status 2 and one line that says what to do."""
    status, _, err = run(*words)
    assert status == 2
    assert told in err
    assert err.count("\n") <= 1
    assert "%llm_cache" not in err


@pytest.mark.parametrize(
    "words", [("list",), ("check", "a.ipynb", "--cache"), ("check", "a.ipynb", "--record")]
)
def test_a_file_of_another_kind_is_status_one(words, tmp_path, run):
    """A file that is no cache gives status 1 and one line, and is left alone."""
    (tmp_path / "notes.db").write_bytes(b"my notes" * 100)
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "a.ipynb")
    status, _, err = run(*words, "notes.db")
    assert status == 1
    assert "notes.db is not an SQLite database. Choose another file" in err
    assert err.count("\n") == 1
    assert (tmp_path / "notes.db").read_bytes() == b"my notes" * 100


@pytest.mark.parametrize("name", sorted(subcommands("shell")))
def test_every_command_has_help(run, name):
    """Each command explains itself with -h."""
    status, out, _ = run(name, "-h")
    assert status == 0
    assert subcommands("shell")[name].help in " ".join(out.split())


def test_as_a_program(file):
    """As a program it works without IPython, survives a closed pipe and a narrow encoding."""
    code = (
        "import sys; sys.argv = ['x', 'show', 'a.db', 'last'];"
        "from jupyter_llmcache.__main__ import main; status = main();"
        "assert 'IPython' not in sys.modules; sys.exit(status)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True)
    store = SQLiteStore(file)
    store.put(record(7, "讲一个笑话"))
    store.close()
    listed = subprocess.run(
        [sys.executable, "-m", "jupyter_llmcache", "list", "a.db"],
        check=True,
        timeout=120,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert b"????" in listed.stdout
