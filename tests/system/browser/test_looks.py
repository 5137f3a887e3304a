"""What is drawn, as people see it: in light and dark, by a screen reader, while it streams."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.browser.lab import Lab, NotebookPage, write_notebook
from tests.system.browser.states import STATES, served_states

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: Everything of ours on the page.
_OURS = ".jp-OutputArea-output.jp-RenderedHTML"


@pytest.fixture(scope="module")
def drawn(browser: Browser, lab: Lab, folder: Path) -> Iterator[NotebookPage]:
    """A page on which everything stands that we draw."""
    place = Path(tempfile.mkdtemp(dir=folder))
    with served_states() as states:
        write_notebook(place / "looks.ipynb", list(states.values()), goes_on=True)
        page = NotebookPage.open(browser, lab, f"{place.name}/looks.ipynb")
        page.run_all()
        # The kernel is done before the page is.
        page.page.wait_for_function(
            "([ours, count]) => document.querySelectorAll(ours).length >= count",
            arg=[_OURS, len(STATES)],
        )
        yield page
        page.close()


@pytest.fixture(params=["JupyterLab Light", "JupyterLab Dark"])
def themed(drawn: NotebookPage, request: pytest.FixtureRequest) -> NotebookPage:
    """The page in a theme."""
    drawn.command("apputils:change-theme", theme=request.param)
    light = str(request.param.endswith("Light")).lower()
    drawn.page.wait_for_function(
        f"() => document.body.dataset.jpThemeLight === '{light}' &&"
        f" document.body.dataset.jpThemeName === '{request.param}'"
    )
    return drawn


def test_no_violation_of_accessibility(themed: NotebookPage) -> None:
    """axe-core finds nothing wrong in what we draw: contrast, names, roles, tables, order."""
    from axe_playwright_python.sync_playwright import Axe

    for details in themed.page.locator(f"{_OURS} details").all():
        details.evaluate("element => { element.open = true; }")
    found = Axe().run(themed.page, context={"include": [[_OURS]]})
    assert found.violations_count == 0, found.generate_report()


def test_code_is_coloured_by_the_theme(themed: NotebookPage) -> None:
    """A keyword of an answer's code has the colour that the theme gives to keywords."""
    keyword = themed.page.locator(f"{_OURS} pre span", has_text=re.compile("^def$")).first
    colours = keyword.evaluate(
        """element => {
            const probe = document.createElement('i');
            probe.style.color = 'var(--jp-mirror-editor-keyword-color)';
            element.parentElement.append(probe);
            const asked = getComputedStyle(probe).color;
            probe.remove();
            return [getComputedStyle(element).color, asked];
        }"""
    )
    assert colours[0] == colours[1]


def test_json_folds(browser: Browser, lab: Lab, folder: Path) -> None:
    """An answer drawn as JSON folds and unfolds without a script of ours."""
    place = Path(tempfile.mkdtemp(dir=folder))
    answer = '{"city": "Oslo", "days": [{"sun": 1}, {"sun": 2}]}'
    setup = "%load_ext jupyter_llmcache\nfrom tests.system.browser.models import SlowModel"
    cells = [setup, f"llm = SlowModel(answer={answer!r})", "%%llm -f json\nWeather?"]
    write_notebook(place / "json.ipynb", cells)
    page = NotebookPage.open(browser, lab, f"{place.name}/json.ipynb")
    page.run_all()
    inner = page.page.locator(f"{_OURS} details details").first
    assert inner.evaluate("element => element.open")
    inner.locator("summary").first.click()
    assert not inner.evaluate("element => element.open")
    page.close()
