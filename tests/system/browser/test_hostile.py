"""No answer acts, fetches or names anything in the page, fresh, reopened or exported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.browser.lab import Lab, NotebookPage, running_lab, write_notebook
from tests.system.browser.tripwire import Tripwire, Watch
from tests.unit.draw import hostile

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: What we draw, in JupyterLab and in nbconvert's page: rendered HTML.
_LAB_OUTPUTS = ".jp-OutputArea-output.jp-RenderedHTML, .jp-OutputArea-output.jp-RenderedMarkdown"
_PAGE_OUTPUTS = ".jp-RenderedHTMLCommon"
_LIBRARIES = ("https://cdnjs.cloudflare.com/", "https://cdn.jsdelivr.net/")

#: Each snippet stands there half grown, and then as it is cached, byte for byte as it was fresh.
_SETUP = """
import json
from pathlib import Path
from IPython.utils.capture import capture_output
%load_ext jupyter_llmcache
%llm_cache memory
from jupyter_llmcache.draw import GrowingAnswer, publish
from tests.system.browser.models import SlowModel
snippets = json.loads(Path("snippets.json").read_text())
class Sayer(SlowModel):
    def _stream(self, messages, *args, **kwargs):
        said = SlowModel(answer=snippets[messages[-1].text], first_s=0, tokens_per_s=1e9)
        yield from said._stream(messages)
sayer = Sayer()
said = []
def caught(name):
    with capture_output() as told:
        line = get_ipython().run_cell_magic("llm", "-m sayer", name).line
    said.append(line.split()[0])
    stands = {}
    for number, output in enumerate(told.outputs):
        stands[output.transient.get("display_id", number)] = output.data
    return list(stands.values())
def say(*names):
    for name in names:
        growing = GrowingAnswer().bundles(snippets[name][:len(snippets[name]) // 2])
        fresh, (*cached, line) = caught(name), caught(name)
        assert fresh[:-1] == cached
        for bundle in (*growing, *cached, line):
            publish(bundle)
"""
_TOLD = "print(said.count('fresh'), said.count('cached'))"
_A_CELL = 10
#: A hundred rows; more than that no formula of the allow-list can have.
_MAX_FORMULA_PX = 4_000
_TALLEST = """() => {
    const formulas = [...document.querySelectorAll('mjx-container')];
    return Math.max(...formulas.map(each => each.getBoundingClientRect().height));
}"""
_ALL_SAID = """() => {
    const cells = jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.outputs);
    const failed = cells.some(outputs =>
        Array.from({length: outputs.length}, (_, i) => outputs.get(i).type).includes('error'));
    return failed || cells[cells.length - 1].length > 0;
}"""


@pytest.fixture(scope="module")
def snippets(folder: Path, tripwire: Tripwire) -> dict[str, str]:
    """The snippets, which call ``tripwire``, also as a file for the notebooks."""
    texts = hostile.snippets(tripwire.root)
    (folder / "snippets.json").write_text(json.dumps(texts))
    return texts


@pytest.fixture
def watched(browser: Browser, lab: Lab, tripwire: Tripwire) -> Iterator[tuple[NotebookPage, Watch]]:
    """A page of the server and who watches it."""
    context = browser.new_context()
    watch = Watch(context, [lab.url])
    page = context.new_page()
    watch.acts.clear()
    tripwire.paths.clear()
    yield NotebookPage(page), watch
    context.close()


@pytest.fixture(scope="module")
def saved_notebook(
    browser: Browser, lab: Lab, folder: Path, snippets: dict[str, str], tripwire: Tripwire
) -> Path:
    """A notebook that drew every snippet without harm, saved with its outputs."""
    names = list(snippets)
    parts = [names[first : first + _A_CELL] for first in range(0, len(names), _A_CELL)]
    cells = [_SETUP, *(f"say(*{part!r})" for part in parts), _TOLD]
    write_notebook(folder / "all.ipynb", cells)
    context = browser.new_context()
    watch = Watch(context, [lab.url])
    notebook = NotebookPage(context.new_page())
    watch.acts.clear()
    notebook.go(lab, "all.ipynb").run_all()
    notebook.page.wait_for_function(_ALL_SAID, timeout=200_000)
    notebook.page.wait_for_timeout(1500)
    drawn = notebook.page.locator(_LAB_OUTPUTS).count()
    problems = watch.look_at(notebook.page, _LAB_OUTPUTS)
    told = [notebook.outputs(number)[-1:] for number in range(1, len(cells))]
    tallest = notebook.page.evaluate(_TALLEST)
    notebook.save()
    context.close()
    assert "".join(told[-1]).split() == [str(len(snippets))] * 2, told
    assert drawn >= 3 * len(snippets)
    assert 0 < tallest < _MAX_FORMULA_PX
    assert problems == []
    assert tripwire.paths == []
    return folder / "all.ipynb"


def test_no_answer_acts_when_it_is_drawn(saved_notebook: Path) -> None:
    """Every snippet, as it grows, fresh and cached in a running notebook, stays text."""
    assert "PWNED" in saved_notebook.read_text()


def test_no_answer_acts_when_a_trusted_notebook_is_reopened(
    saved_notebook: Path, watched: tuple[NotebookPage, Watch], lab: Lab, tripwire: Tripwire
) -> None:
    """On the server that ran it, where outputs are trusted, a reopened notebook stays quiet."""
    notebook, watch = watched
    notebook.go(lab, saved_notebook.name).page.wait_for_timeout(2000)
    assert notebook.is_trusted
    assert watch.look_at(notebook.page, _LAB_OUTPUTS) == []
    assert tripwire.paths == []


def test_no_answer_acts_when_somebody_elses_notebook_is_opened(
    saved_notebook: Path, browser: Browser, tmp_path: Path, tripwire: Tripwire
) -> None:
    """On another server, where its outputs are not trusted, the notebook stays quiet."""
    shutil.copy(saved_notebook, tmp_path)
    tripwire.paths.clear()
    with running_lab(tmp_path / "home", tmp_path) as lab:
        context = browser.new_context()
        watch = Watch(context, [lab.url])
        notebook = NotebookPage(context.new_page())
        watch.acts.clear()
        notebook.go(lab, saved_notebook.name).page.wait_for_timeout(2000)
        trusted = notebook.is_trusted
        drawn = notebook.page.locator(_LAB_OUTPUTS).count()
        problems = watch.look_at(notebook.page, _LAB_OUTPUTS)
        context.close()
    assert not trusted
    assert drawn > 3 * len(hostile.SNIPPETS) - 5
    assert problems == []
    assert tripwire.paths == []


def test_no_answer_acts_in_an_exported_page(
    saved_notebook: Path, browser: Browser, tmp_path: Path, tripwire: Tripwire
) -> None:
    """The HTML that nbconvert makes of the notebook stays quiet in the browser."""
    pytest.importorskip("nbconvert", reason="nbconvert is not installed")
    page_path = _exported(saved_notebook, tmp_path)
    tripwire.paths.clear()
    context = browser.new_context()
    page = context.new_page()
    watch = Watch(context, [page_path.as_uri(), *_LIBRARIES])
    page.goto(page_path.as_uri(), wait_until="domcontentloaded")
    page.wait_for_timeout(1500)
    problems = watch.look_at(page, _PAGE_OUTPUTS)
    context.close()
    assert problems == []
    assert tripwire.paths == []


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("img_onerror", "script ran"),
        ("image", "asked for"),
        ("commandlinker", "foreign id"),
        ("form", "element in <form>"),
        ("style_import", "asked for"),
        ("meta_refresh", "dialog"),
        ("mermaid", "asked for"),
    ],
)
def test_the_same_look_at_raw_markdown_finds_what_it_does(
    name: str,
    sign: str,
    watched: tuple[NotebookPage, Watch],
    lab: Lab,
    folder: Path,
    snippets: dict[str, str],
) -> None:
    """Shown as Markdown, as other extensions do, the snippets act, and the detectors tell."""
    notebook, watch = watched
    raw = f"from IPython.display import Markdown\nMarkdown(snippets[{name!r}])"
    write_notebook(folder / f"raw-{name}.ipynb", [_SETUP, raw])
    notebook.go(lab, f"raw-{name}.ipynb").command("notebook:run-all-cells", wait=False)
    notebook.page.wait_for_selector(_LAB_OUTPUTS, state="attached")
    notebook.page.wait_for_timeout(1500)
    problems = watch.look_at(notebook.page, _LAB_OUTPUTS)
    assert any(sign in problem for problem in problems), problems


def _exported(notebook: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(folder)]
    subprocess.run([*command, str(notebook)], check=True, capture_output=True, timeout=120)
    return folder / notebook.with_suffix(".html").name
