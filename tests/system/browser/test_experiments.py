"""An experimenter's hour in JupyterLab: tables, objects, pictures, agents, how far it has come."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.openai import OpenAIServer, Reply, last_text
from tests.system.browser.lab import Lab, NotebookPage, write_notebook
from tests.system.browser.models import LESSON

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

_SETUP = (
    """
%load_ext jupyter_llmcache
%llm_cache memory
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from matplotlib.figure import Figure
from pydantic import BaseModel
server = dict(base_url="URL", api_key="k", max_retries=0)
a, b = (ChatOpenAI(model=name, **server) for name in ("gpt-a", "gpt-b"))
nothing = []
"""
    + LESSON
    + """\
agent = create_agent(a, [add])
chart = Figure(figsize=(2, 1)); chart.subplots().plot([1, 3, 2]);
"""
)
_CELLS = (
    _SETUP,
    "%%llm -m a -m b --vary temperature=0,1 --each topic=topics --samples 2 -o table\nOn {{topic}}",
    "%%llm -m a -m b --diff\nSay a word",
    "%%llm -m a --schema Zoo\nanimals",
    "%%llm -m a --schema Zoo\nnonsense",
    "%%llm -m a --attach chart -o seen\nWhat is it?",
    "%%llm -m agent\nsum",
    "%%llm -m a --after seen\nshorter?",
    "%%llm -m a --each topic=topics --show-prompt\nOn {{topic}}",
    "table.to_pandas().shape",
    "%%llm -m a --jobs 2 --each n=slow\nslow {{n}}",
    "a.batch([f'slow batch {n}' for n in range(12)], config={'max_concurrency': 2});",
    "%%llm -c -m a -o more\nand in a word?",
    "[(m.type, m.text) for m in more.messages][-3:], table[5].coords, table[0].messages[0].text",
    "table.where(model='b', topic='dogs', temperature=1)",
    "table.where(sample=0).to_pandas()[['model', 'temperature', 'topic', 'text', 'cached']]",
    "from jupyter_llmcache import sample\nfor k in 0, 1:\n  with sample(k): a.invoke('a colour')",
    "%%llm -m a --samples 4\na colour",
    "%%llm -m a --samples 150\nan animal",
    "%%llm -m a --yes --samples 101 --jobs 16\na colour",
    "%llm_cache models",
    "%%llm -m a --each topic=nothing\nOn {{topic}}",
    "%%llm -m a -f code --next\ncode",
)
_OURS = ".jp-OutputArea-output.jp-RenderedHTML"


def _say(body: dict[str, Any]) -> str | Reply:
    text = last_text(body)
    if text == "animals":
        return '{"animals": [{"name": "Lion", "legs": 4}, {"name": "Bee", "legs": 6}]}'
    if text == "nonsense":
        return '{"animals": "none"}'
    if text == "code":
        return "Here it is:\n\n```python\nprint(6 * 7)\n```\n\nRun it."
    if text == "sum":
        return Reply("Let me add.", tool_calls=[("add", {"x": 2, "y": 3})])
    return f"**{body['model']}** says of *{text}*: " + "well, " * (30 if "dogs" in text else 3)


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    """What answers, and counts."""
    with OpenAIServer(_say) as running:
        yield running


@pytest.fixture(scope="module")
def notebook(
    browser: Browser, lab: Lab, folder: Path, server: OpenAIServer
) -> Iterator[NotebookPage]:
    """A notebook in which all but the slow cells have run."""
    place = Path(tempfile.mkdtemp(dir=folder))
    cells = [_SETUP.replace("URL", server.url), *_CELLS[1:]]
    write_notebook(place / "lab.ipynb", cells)
    page = NotebookPage.open(browser, lab, f"{place.name}/lab.ipynb")
    for number in [*range(10), *range(12, len(cells))]:
        page.run_cell(number)
    yield page
    page.close()


def cell(notebook: NotebookPage, number: int) -> Locator:
    """What a cell draws."""
    return notebook.page.locator(".jp-Notebook-cell").nth(number).locator(_OURS)


def test_a_table_of_answers(notebook: NotebookPage, server: OpenAIServer) -> None:
    """Models and values are columns, items rows, samples in a cell; a long answer has a frame."""
    table = cell(notebook, 1).locator("table").first
    heads = table.locator("thead th").all_inner_texts()
    assert heads == [f"{m} · temperature={t}" for m in "ab" for t in (0, 1)]
    assert table.locator("tbody th").all_inner_texts() == ["cats", "dogs", "3"]
    assert table.locator("strong", has_text=re.compile("^fresh$")).count() == 24
    assert "24 answers · 24 fresh" in notebook.outputs(1)[-1]
    assert sum("On " in last_text(body) for body in server.bodies) == 24
    assert cell(notebook, 2).locator("ins").count() == 1


def test_objects_pictures_and_agents(notebook: NotebookPage) -> None:
    """An object is a tree with a table, what does not fit is one line with the text under it."""
    tree = cell(notebook, 3).first
    assert tree.locator("thead th").all_inner_texts() == ["name", "legs"]
    assert tree.locator("tbody tr").all_inner_texts() == ["Lion\t4", "Bee\t6"]
    unfit = cell(notebook, 4).first
    unfit.locator("summary").click()
    assert '{"animals": "none"}' in unfit.inner_text()
    (error,) = [text for text in notebook.outputs(4) if "does not fit Zoo" in text]
    assert "animals: Input should be a valid" in error
    line = cell(notebook, 5).last
    line.locator("summary").click()
    assert line.locator("img").bounding_box()["height"] > 30
    line = cell(notebook, 6).last
    line.locator("summary").click()
    assert "2 LLM calls · 1 tool call: add" in line.inner_text()
    assert "the first of 3 questions" in notebook.outputs(8)[0]
    assert notebook.outputs(9) == ["(24, 12)"]


def test_what_is_there_is_gone_on_from(notebook: NotebookPage) -> None:
    """-c asks on, answers tell their words and places, and a part of a table is drawn as one."""
    assert "gpt-a says of and in a word?" in notebook.outputs(12)[0]
    told = notebook.outputs(13)[0]
    assert "('human', 'and in a word?')" in told
    assert "{'model': 'a', 'temperature': 0, 'topic': 3, 'sample': 1}" in told
    part = cell(notebook, 14).locator("table").first
    assert part.locator("thead th").all_inner_texts() == ["b · temperature=1"]
    assert part.locator("tbody th").all_inner_texts() == ["dogs"]
    frame = cell(notebook, 15).locator("table tbody tr")
    assert frame.count() == 12
    assert frame.first.locator("td").all_inner_texts()[:3] == ["a", "0", "cats"]


def test_samples_are_paid_once_each(notebook: NotebookPage, server: OpenAIServer) -> None:
    """A loop, --samples 4 and 101 share their samples; more than 100 to pay want --yes."""
    assert "2 LLM calls · 2 fresh" in notebook.outputs(16)[-1]
    assert "4 answers · 2 cached · 2 fresh" in notebook.outputs(17)[-1]
    (refused,) = notebook.outputs(18)
    assert "150 calls would be paid, and 100 are allowed. Give --yes" in refused
    assert "101 answers · 4 cached · 97 fresh" in notebook.outputs(19)[0]
    assert not any(last_text(body) == "an animal" for body in server.bodies)
    assert sum(last_text(body) == "a colour" for body in server.bodies) == 101


def test_what_can_be_asked_and_what_cannot(notebook: NotebookPage) -> None:
    """The list of models, one line for a wrong use, and the code of an answer in a new cell."""
    assert {"a", "b", "agent", "demo"} <= set(
        cell(notebook, 20).locator("tbody tr td:first-child").all_inner_texts()
    )
    (wrong,) = notebook.outputs(21)
    assert wrong.strip().endswith("--each nothing: there is nothing in it. Give at least one item")
    sources = (
        "() => jupyterapp.shell.currentWidget.content.widgets.map(w => w.model.sharedModel.source)"
    )
    assert notebook.page.evaluate(sources)[23].strip() == "print(6 * 7)"


@pytest.mark.parametrize(("number", "told"), [(10, "of 12 answers"), (11, "of 12 calls")])
def test_a_bar_tells_how_far_it_has_come(
    notebook: NotebookPage, server: OpenAIServer, number: int, told: str
) -> None:
    """One line with a bar moves while a cell runs, and nothing of it stays, on page or in file."""
    notebook.edit(0, "slow = list(range(12))")
    notebook.run_cell(0)
    server.delay_s = 0.8
    notebook.page.evaluate(
        f"() => {{ jupyterapp.shell.currentWidget.content.activeCellIndex = {number}; }}"
    )
    notebook.command("notebook:run-cell", wait=False)
    bar = cell(notebook, number).locator("[role=status]")
    bar.get_by_text(told).wait_for()
    assert bar.locator("progress").count() == 1
    notebook.wait_until_idle()
    server.delay_s = 0
    assert notebook.page.locator("progress").count() == 0
    assert not any("asking" in text for text in notebook.outputs(number))
    heights = "outputs => outputs.map(output => output.getBoundingClientRect().height)"
    place = notebook.page.locator(".jp-Notebook-cell").nth(number)
    assert min(place.locator(".jp-OutputArea-child").evaluate_all(heights)) > 10


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("--each t=topi", "topics"),
        ("--schema Ani", "Animal"),
        ("--after see", "seen"),
        ("--attach char", "chart"),
        ("-m agen", "agent"),
        ("--sam", "--samples"),
        ("--vary temp", "temperature="),
        ("-f co", "code"),
        ("-o mor", "more"),
    ],
)
def test_tab_offers_what_fits(notebook: NotebookPage, typed: str, taken: str) -> None:
    """TAB offers the one variable of the right kind, model or flag that begins like this."""
    notebook.edit(9, f"%%llm {typed}")
    notebook.page.keyboard.press("Tab")
    notebook.page.locator(".jp-Completer-item", has_text=taken).wait_for()
    notebook.page.keyboard.press("Enter")
    notebook.page.wait_for_function(
        "taken => jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.source"
        ".endsWith(taken)",
        arg=taken,
    )
