"""A course's afternoon in JupyterLab: load, ask, hit, stream, error, TAB, restart, Run All."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.browser.lab import Lab, NotebookPage, write_notebook

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_SETUP = """
%load_ext jupyter_llmcache
%llm_cache sqlite course.db
from tests.system.browser.models import SlowModel
model = SlowModel()
"""
_ASK = "%%llm -m model\nSort, briefly."
_HTML_OUTPUT = ".jp-OutputArea-output.jp-RenderedHTML"


@pytest.fixture
def place(folder: Path) -> Path:
    """A new folder that JupyterLab serves."""
    return Path(tempfile.mkdtemp(dir=folder))


@pytest.fixture
def notebook(browser: Browser, lab: Lab, place: Path) -> Iterator[NotebookPage]:
    """A notebook that loads the extension, asks, asks again, and fails."""
    cells = [_SETUP, _ASK, _ASK, "%%llm -m nobody\nHi", "print('never')"]
    write_notebook(place / "course.ipynb", cells)
    page = NotebookPage.open(browser, lab, f"{place.name}/course.ipynb")
    yield page
    page.close()


def test_a_notebook_asks_hits_and_stops_at_an_error(notebook: NotebookPage) -> None:
    """Run All draws the answer fresh, then the same from the cache, and stops at the error."""
    notebook.run_all()
    asked, again, failed, never = (notebook.outputs(number) for number in (1, 2, 3, 4))
    assert asked[0] == again[0]
    assert "Sorting" in asked[0]
    assert asked[1].startswith("fresh · ")
    assert again[1].startswith("cached · ")
    assert len(failed) == 1
    assert failed[0].startswith("LLMCacheError: ")
    assert "-m nobody" in failed[0]
    assert "\n" not in failed[0].strip()
    assert never == []


def test_a_restarted_kernel_finds_the_answers(notebook: NotebookPage) -> None:
    """After a restart the first question is a hit at once."""
    notebook.run_all()
    notebook.restart()
    notebook.run_all()
    assert notebook.outputs(1)[1].startswith("cached · ")


def test_an_answer_grows_while_it_streams(notebook: NotebookPage) -> None:
    """The answer stands there in part before it is whole; the spinner is gone by then."""
    notebook.command("notebook:run-all-cells", wait=False)
    output = notebook.page.locator(_HTML_OUTPUT).first
    output.get_by_text("Sorting").wait_for()
    partial = output.inner_text()
    notebook.wait_until_idle()
    whole = notebook.outputs(1)[0]
    assert "Last paragraph" not in partial
    assert "Last paragraph" in whole
    assert "waiting" not in whole


def test_a_streamed_answer_leaves_one_output_in_the_file(
    notebook: NotebookPage, place: Path
) -> None:
    """The saved notebook holds the answer and its annotation, once, and no beginning of it."""
    notebook.run_all()
    notebook.save()
    saved = (place / "course.ipynb").read_text()
    assert saved.count("Last paragraph") == 4  # HTML and text, of two cells
    assert "waiting" not in saved


def test_tab_completes_a_flag(notebook: NotebookPage) -> None:
    """TAB after ``%%llm --ref`` offers ``--refresh``, and the return key takes it."""
    notebook.run_cell(0)
    notebook.edit(4, "%%llm --ref")
    notebook.page.keyboard.press("Tab")
    notebook.page.locator(".jp-Completer-item", has_text="--refresh").wait_for()
    notebook.page.keyboard.press("Enter")
    notebook.page.wait_for_function(
        "() => jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.source"
        ".includes('--refresh')"
    )


def test_the_annotation_unfolds(notebook: NotebookPage) -> None:
    """A click on the annotation shows key, store and times, without any script of ours."""
    notebook.run_all()
    details = notebook.page.locator(f"{_HTML_OUTPUT} details").first
    assert not details.locator("pre").is_visible()
    details.locator("summary").click()
    assert "course.db" in details.locator("pre").inner_text()
