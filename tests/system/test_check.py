"""``check``: which cells of a course would call a provider, seen in real kernels."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

from jupyter_llmcache.__main__ import main
from jupyter_llmcache.course import check as checking
from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.stores.base import Store
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests import shells

SETUP = """
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(model="gpt-test", temperature=0, api_key="k", max_retries=0, base_url={url!r})
"""


def notebook(path: Path, *cells: str, **tags: list[str]) -> Path:
    """Write a notebook of code cells; ``tags`` by ``cell_N``."""
    book = nbformat.v4.new_notebook()
    for number, source in enumerate(cells, 1):
        cell = nbformat.v4.new_code_cell(source)
        cell.metadata["tags"] = tags.get(f"cell_{number}", [])
        book.cells += [nbformat.v4.new_markdown_cell("some words"), cell]
    nbformat.write(book, path)
    return path


@pytest.fixture
def course(tmp_path, openai_server) -> Path:
    """A file that holds the answers to ``one`` and ``two``; the server then answers no more."""
    with shells.open_shell(tmp_path / "ipython") as shell:
        shell.run("%load_ext jupyter_llmcache")
        shell.run("%llm_cache sqlite course.db")
        shell.run(SETUP.format(url=openai_server.url))
        shell.run("%%llm --no-stream\none")
        shell.run("llm.invoke('two')")
        shell.run("%llm_cache off")
    openai_server.requests.clear()
    return tmp_path / "course.db"


@pytest.fixture
def lesson(tmp_path, openai_server):
    """Write a lesson whose first cells load the extension, choose the course, make the model."""

    def write(*cells: str, **tags: list[str]) -> Path:
        begin = "%load_ext jupyter_llmcache\n%llm_cache sqlite course.db"
        setup = SETUP.format(url=openai_server.url)
        return notebook(tmp_path / "lesson.ipynb", begin, setup, *cells, **tags)

    return write


def told_by(report):
    """What a report says, wherever its lines end."""
    return " ".join(str(report).split())


def cells_of(report) -> list[dict]:
    [checked] = report.data["notebooks"]
    return checked["cells"]


def test_a_complete_course(lesson, course, openai_server):
    """A course whose calls are all recorded is complete; its files stay as they are."""
    path = lesson("%%llm\none", "print(llm.invoke('two').text)", "list(llm.stream('one'))")
    before = path.read_bytes(), course.read_bytes()
    report = checking.check([str(path)])
    assert report.ok, str(report)
    assert "complete: 5 cells, 3 answers from the file, nothing sent" in told_by(report)
    assert (path.read_bytes(), course.read_bytes()) == before
    assert openai_server.requests == []


def test_an_incomplete_course_names_cells_and_requests(lesson, course, openai_server):
    """Each cell that would call a provider is named with the nearest request; the rest runs."""
    path = lesson(
        "%%llm -t 0.7\none",
        "llm.invoke('new')",
        "try:\n    llm.invoke('caught')\nexcept Exception:\n    pass",
        "print(llm.invoke('two').text)",
    )
    report = checking.check([str(path)], str(course))
    assert not report.ok
    told = cells_of(report)
    assert [bool(cell["missing"]) for cell in told] == [False, False, True, True, True, False]
    assert "temperature" in told[2]["missing"][0]
    assert told[5]["answers"] == 1
    assert "incomplete: 3 cells asked for what is not recorded" in told_by(report)
    assert "lesson.ipynb, cell 3" in told_by(report)
    assert openai_server.requests == []


def test_a_failing_cell_makes_the_course_incomplete(lesson, course):
    """A cell that fails for another reason is told of, unless it is tagged to fail."""
    path = lesson("1 / 0", "raise ValueError('on purpose')", cell_4=["raises-exception"])
    report = checking.check([str(path)])
    assert not report.ok
    assert "cell 3 failed: ZeroDivisionError: division by zero" in told_by(report)
    assert cells_of(report)[3]["error"] is None


def test_the_named_file_answers_whatever_the_notebook_chooses(tmp_path, course, openai_server):
    """With --cache a notebook that uses a memory cache, or none, is answered from the file."""
    setup = SETUP.format(url=openai_server.url)
    plain = notebook(tmp_path / "plain.ipynb", setup, "print(llm.invoke('two').text)")
    magic = notebook(
        tmp_path / "magic.ipynb",
        setup,
        "%load_ext jupyter_llmcache\n%llm_cache memory",
        "%%llm\none",
    )
    assert checking.check([str(plain), str(magic)], "course.db").ok
    assert not checking.check([str(plain)]).ok
    assert openai_server.requests == []


EMBEDDINGS = """
from langchain_openai import OpenAIEmbeddings
e = OpenAIEmbeddings(api_key="k", base_url={url!r}, check_embedding_ctx_length=False)
"""
WEB = "import requests\nprint(requests.get({url!r}, timeout=5).text)"


@pytest.fixture
def pages(openai_server, monkeypatch):
    """Serve ``/page``, and tell how often it was asked."""
    told = []

    def page(path):
        told.append(path)
        return "text/plain", b"a page"

    monkeypatch.setattr(openai_server, "page", page)
    return told


def test_everything_that_is_recorded_is_counted(lesson, openai_server, pages, tmp_path):
    """Record keeps models, embeddings and the web in one file; check counts them by cell, asks
    nobody, and whatever the notebook's own lines say the file answers.
    """
    path = lesson(
        "%llm_cache mode replay",
        "llm.invoke('new')",
        EMBEDDINGS.format(url=openai_server.url) + "e.embed_documents(['a', 'b', 'a'])",
        WEB.format(url=f"{openai_server.root}/page"),
        "llm.invoke('not recorded')",
        cell_7=["raises-exception"],
    )
    recorded = checking.check([str(path)], "all.db", records=True)
    assert recorded.ok, str(recorded)
    assert "recorded in all.db: 6 cells, nothing from the file, 3 sent" in told_by(recorded)
    assert "cell 5 sent: 3 texts for openai:text-embedding-ada-002" in told_by(recorded)
    assert len(openai_server.requests) == 2
    assert pages == ["/page"]
    report = checking.check([str(path)], "all.db")
    cells = cells_of(report)
    assert [cell["answers"] for cell in cells] == [0, 0, 0, 1, 0, 0, 0]
    assert [cell["texts"] for cell in cells] == [0, 0, 0, 0, 3, 0, 0]
    assert [cell["web"] for cell in cells] == [0, 0, 0, 0, 0, 1, 0]
    assert [len(cell["missing"]) for cell in cells] == [0, 0, 0, 0, 0, 0, 1]
    assert not report.ok
    assert len(openai_server.requests) == 2
    assert pages == ["/page"]
    again = checking.check([str(path)], "all.db", records=True)
    assert "1 answer, 3 embedded texts, 1 web request from the file, nothing sent" in told_by(again)


def test_a_canned_model_is_told(tmp_path):
    """What a model of canned answers says was sent nowhere, is recorded, and is told of."""
    begin = "%load_ext jupyter_llmcache\n%llm_cache sqlite course.db"
    path = notebook(tmp_path / "demo.ipynb", begin, "%%llm -m demo\nHello")
    recorded = checking.check([str(path)], "demo.db", records=True)
    assert recorded.ok
    assert "cell 2 1 answer from the notebook's own canned model" in told_by(recorded)
    assert "1 answer from the file" in str(checking.check([str(path)], "demo.db"))


def test_a_typed_key_stops_nobody(lesson, course):
    """A lesson that asks for a key runs where nobody can type one, and no other prompt does."""
    path = lesson(
        "import os\nfrom getpass import getpass\n"
        "if not os.getenv('COHERE_API_KEY'):\n    os.environ['COHERE_API_KEY'] = getpass('Key: ')\n"
        "assert os.environ['COHERE_API_KEY'] == 'no-key'",
        "assert input('Your OpenAI API key: ') == getpass() == 'no-key'",
        "input('Your name: ')",
        "getpass('Password of the database: ')",
        cell_5=["raises-exception"],
    )
    report = checking.check([str(path)])
    assert [cell["error"] is None for cell in cells_of(report)] == [True] * 5 + [False]
    assert "StdinNotImplementedError" in cells_of(report)[5]["error"]


def test_missing_texts_and_pages_make_a_course_incomplete(lesson, course, openai_server):
    """An unrecorded text and an unrecorded address are told, also where the cell catches them."""
    path = lesson(
        EMBEDDINGS.format(url=openai_server.url)
        + "try:\n    e.embed_query('a')\nexcept Exception:\n    pass",
        "import requests\n"
        "try:\n    requests.get('http://pages.invalid/')\nexcept Exception:\n    pass",
    )
    report = checking.check([str(path)])
    assert not report.ok
    assert [len(cell["missing"]) for cell in cells_of(report)] == [0, 0, 1, 1]
    told = "cell 4 not recorded: a web request to pages.invalid; nothing recorded"
    assert told in told_by(report)
    assert openai_server.requests == []


def test_what_cannot_be_kept_is_told_while_recording(lesson, openai_server):
    """Recording is not complete where an answer was not worth keeping."""
    openai_server.reply = lambda _: ""
    report = checking.check([str(lesson("llm.invoke('empty')"))], "all.db", records=True)
    assert not report.ok
    assert "cell 3 not kept: a call of openai:gpt-test" in told_by(report)


def test_a_kernel_that_dies_is_told(lesson, course):
    """A cell that ends the kernel is told of, and the check ends."""
    report = checking.check([str(lesson("import os; os._exit(1)"))])
    assert not report.ok
    assert "cell 3 failed: DeadKernelError" in told_by(report)


def test_a_cell_that_takes_too_long_is_told(lesson, course):
    """A cell that takes longer than it may is told of."""
    report = checking.check([str(lesson("import time; time.sleep(60)"))], timeout_s=3)
    assert not report.ok
    # On a busy machine the import of a cell before it takes too long already.
    assert re.search(r"cell \d failed: CellTimeoutError", told_by(report))


def test_the_command_gives_an_exit_status(lesson, course, capsys):
    """The command's status is 0 for a complete course, 1 for another; --json tells programs."""
    path = str(lesson("llm.invoke('two')"))
    assert main(["check", path, "--cache", "course.db"]) == 0
    capsys.readouterr()
    empty = SQLiteStore("empty.db")
    copy_one(course, empty)
    assert main(["check", path, "--cache", "empty.db", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["complete"] is False


def copy_one(source: Path, target: Store) -> None:
    """Put the entry of ``one`` alone into ``target``."""
    store = SQLiteStore(source, read_only=True)
    target.put_many([record for record in store.entries() if record.title == "one"])
    store.close()
    target.close()


def test_files_that_are_missing_or_wrong(tmp_path):
    """A missing notebook, a missing cache and a file that is no notebook are one line each."""
    book = notebook(tmp_path / "a.ipynb", "1")
    (tmp_path / "b.ipynb").write_text("no notebook", "utf-8")
    with pytest.raises(LLMCacheError, match=r"there is no notebook c\.ipynb"):
        checking.check(["c.ipynb"])
    with pytest.raises(LLMCacheError, match=r"there is no file c\.db"):
        checking.check([str(book)], "c.db")
    with pytest.raises(LLMCacheError, match=r"b\.ipynb is not a notebook"):
        checking.check([str(tmp_path / "b.ipynb")])


def test_a_kernel_that_is_not_installed_is_one_line(tmp_path):
    """A notebook from elsewhere names a kernel of elsewhere; another can be named for it."""
    path = notebook(tmp_path / "a.ipynb", "1")
    book = nbformat.read(path, as_version=4)
    book.metadata["kernelspec"] = {"name": "their-env", "display_name": "Theirs"}
    nbformat.write(book, path)
    with pytest.raises(LLMCacheError, match=r"no kernel here: .*their-env.*--kernel python3"):
        checking.check([str(path)])
    assert checking.check([str(path)], kernel="python3").ok
