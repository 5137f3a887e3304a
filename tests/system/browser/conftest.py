"""Fixtures for the tests in a browser; where there is none, they are skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.browser import lab as labs
from tests.system.browser.tripwire import Tripwire

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, headless; one for a module, so that no event loop stays behind."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
    path = labs.chromium()
    if path is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=path, args=list(labs.CHROMIUM_FLAGS), timeout=labs.PATIENCE_S * 1000
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the notebooks."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def lab(browser: Browser, home: Path, folder: Path) -> Iterator[labs.Lab]:
    """A JupyterLab server that serves ``folder``."""
    with labs.running_lab(home, folder) as running:
        yield running


@pytest.fixture(scope="module")
def tripwire() -> Iterator[Tripwire]:
    """A server that nobody must call."""
    with Tripwire() as server:
        yield server
