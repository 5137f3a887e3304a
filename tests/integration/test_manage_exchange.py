"""``export`` and ``import``, typed into a real shell."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from jupyter_llmcache.__main__ import main
from jupyter_llmcache.commands import files
from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.integration.test_loop import locked
from tests.integration.test_manage import Notebook
from tests.unit.stores.entries import entry


@pytest.fixture
def notebook(shell, chat_openai) -> Notebook:
    return Notebook(shell, chat_openai(temperature=0))


@pytest.mark.parametrize("name", ["course.db", "course.jsonl"])
def test_what_is_exported_can_be_imported(notebook, openai_server, name):
    """An exported file fills another cache, whose answers then hit; once more changes nothing."""
    notebook.ask("one", "two")
    assert f"exported 2 entries to {name}" in notebook.manage(f"export {name}").title
    notebook.manage("sqlite other.db")
    assert "2 new · 0 the same" in notebook.manage(f"import {name}").title
    assert "0 new · 2 the same" in notebook.manage(f"import {name}").title
    notebook.ask("one", "two")
    assert len(openai_server.requests) == 2


def test_the_ending_decides_the_format(notebook, tmp_path):
    """A .jsonl file holds readable lines, another a database, unless --format says otherwise."""
    notebook.ask("one")
    notebook.manage("export a.jsonl")
    notebook.manage("export b.db")
    notebook.manage("export c.txt --format jsonl")
    assert json.loads((tmp_path / "a.jsonl").read_text("utf-8").splitlines()[1])["title"] == "one"
    assert (tmp_path / "b.db").read_bytes().startswith(b"SQLite format 3")
    assert (tmp_path / "c.txt").read_bytes() == (tmp_path / "a.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["course.db", "course.jsonl"])
def test_a_full_disk_ends_an_export_in_one_line(notebook, tmp_path, name):
    """Where the file has no room, one line says so, and nothing of it is left."""
    resource = pytest.importorskip("resource", reason="only Unix bounds the size of files")
    notebook.ask("one", "two")
    notebook.manage("list")  # what is stored later is in the file
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, bounds[1]))
    try:
        with pytest.raises(LLMCacheError, match=f"{name} cannot be written: "):
            notebook.manage(f"export {name}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)
    assert not [path for path in tmp_path.iterdir() if "course" in path.name]


def test_export_tells_whose_pages_go_out(notebook, openai_server, capsys):
    """Before it writes, an export lists the hosts of recorded web answers, and their bytes."""
    openai_server.page = lambda _: ("text/plain", b"a page")
    notebook.manage("sqlite a.db --record-web")
    notebook.shell.run(f"import requests; requests.get('{openai_server.root}/page')")
    report = notebook.manage("export course.db")
    assert report.data["hosts"][0]["entries"] == 1
    notebook.manage("sqlite other.db")
    assert "1 new" in notebook.manage("import course.db").title
    capsys.readouterr()
    assert main(["export", "course.db", "again.db"]) == 0
    assert "127.0.0.1: 1 answer" in capsys.readouterr().out


def test_export_used_keeps_what_the_kernel_used(notebook, tmp_path):
    """--used leaves out what this kernel neither hit nor stored."""
    notebook.ask("hit", "left out")
    notebook.manage("off")
    code = "import jupyter_llmcache.ledger as l; l.LEDGER._events.clear()"
    notebook.shell.run(code)
    notebook.manage("sqlite a.db")
    assert "has used no entry" in notebook.fail("export used.db --used")
    notebook.ask("hit", "new")
    assert "exported 2 entries" in notebook.manage("export used.db --used").title
    store = SQLiteStore(tmp_path / "used.db", read_only=True)
    assert {line.title for line in store.entries(texts=False)} == {"hit", "new"}
    store.close()


def test_export_waits_for_what_is_not_stored_yet(notebook, tmp_path, monkeypatch):
    """It says what another program keeps from the file; when that is done, all is exported."""
    notebook.ask("stored")
    with locked(tmp_path / "a.db"):
        notebook.ask("held")
        monkeypatch.setattr(files, "_PATIENCE_S", 0.0)
        told = notebook.manage("export --used held.db").title
        assert "exported 1 entry" in told
        assert "left out: 1 answer not stored" in told
    monkeypatch.setattr(files, "_PATIENCE_S", 60.0)
    told = notebook.manage("export --used whole.db").title
    assert "exported 2 entries" in told
    assert "left out" not in told


def test_export_tells_nothing_of_another_store(notebook, tmp_path, monkeypatch):
    """What waits for another file that is open is not said to be left out of this one."""
    monkeypatch.setattr(files, "_PATIENCE_S", 0.0)
    notebook.ask("stored")
    with closing(SQLiteStore(tmp_path / "other.db")) as other:
        other.put(entry(1))
        with locked(tmp_path / "other.db"):
            assert other.put(entry(2)) is False
            assert "left out" not in notebook.manage("export whole.db").title


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("export", "path"),
        ("export a.db", "is the cache in use"),
        ("export x.db --format cvs", "jsonl"),
        ("export no/such/folder/x.db --from", "--format"),
        ("import", "path"),
        ("import missing.db", "missing.db is not there"),
        ("import notes.txt", "notes.txt is not a course file"),
    ],
)
def test_a_wrong_use_is_one_line(notebook, tmp_path, line, told):
    """A wrong use of export or import fails with one line."""
    (tmp_path / "notes.txt").write_text("not a course", "utf-8")
    notebook.ask("hi")
    assert told.lower() in notebook.fail(line).lower()


def test_nothing_is_imported_into_a_read_only_file(notebook):
    """A read-only cache takes no entries."""
    notebook.ask("hi")
    notebook.manage("export x.jsonl")
    notebook.manage("sqlite a.db --read-only")
    assert "is read-only" in notebook.fail("import x.jsonl")
