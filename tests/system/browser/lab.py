"""A real JupyterLab server with folders of its own, and a page of it in a real Chromium."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REPOSITORY = Path(__file__).parents[3]
#: Seconds until a slow machine has done one step.
PATIENCE_S = 60
_PR_SET_PDEATHSIG = 1

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """Return the path of the system's Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


def write_notebook(path: Path, cells: Sequence[str], *, goes_on: bool = False) -> None:
    """Write a notebook with these code cells; ``goes_on`` when one fails."""
    document = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "source": source,
                "metadata": {"tags": ["raises-exception"]} if goes_on else {},
                "outputs": [],
                "execution_count": None,
            }
            for number, source in enumerate(cells)
        ],
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(document))


@dataclass(frozen=True)
class Lab:
    """A running server.

    Attributes:
        url: Where it listens, without a slash at the end.
        token: What opens it.
        folder: What it serves.
    """

    url: str
    token: str
    folder: Path

    def notebook_url(self, name: str) -> str:
        return f"{self.url}/lab/tree/{quote(name)}?reset&token={self.token}"


@contextmanager
def running_lab(home: Path, folder: Path, theme: str = "JupyterLab Light") -> Iterator[Lab]:
    """Serve ``folder``, with settings, trust and everything else under ``home``."""
    port, token = free_port(), secrets.token_hex(16)
    _write_settings(home / "settings", theme)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"]
    command += ["--ServerApp.port_retries=0", "--LabApp.news_url="]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(home),
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # prctl alone is called there
        )
    lab = Lab(f"http://127.0.0.1:{port}", token, folder)
    try:
        _wait_until_it_answers(lab, server, home / "server.log")
        yield lab
    finally:
        _end(server)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(home: Path) -> dict[str, str]:
    folders = {
        "HOME": home,
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
        "MPLCONFIGDIR": home / "matplotlib",
        "PYTHONPATH": REPOSITORY,
    }
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    own = {name: str(path) for name, path in folders.items()}
    return {**os.environ, **own, "JUPYTER_NO_CONFIG": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def _write_settings(folder: Path, theme: str) -> None:
    settings: dict[str, Any] = {
        # A cell out of sight must be drawn too.
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/themes": {"theme": theme},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "docmanager-extension/plugin": {"autosave": False},
    }
    for name, values in settings.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def _die_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_it_answers(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{lab.url}/api/status?token={lab.token}", timeout=5)
            return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")


def _end(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
            return


class NotebookPage:
    """A notebook open in JupyterLab."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    def open(cls, browser: Browser, lab: Lab, name: str, **context: Any) -> NotebookPage:
        """Open ``name`` in a new browser context and wait for its kernel."""
        page = browser.new_context(**context).new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        return cls(page).go(lab, name)

    def go(self, lab: Lab, name: str) -> NotebookPage:
        self.page.set_default_timeout(2 * PATIENCE_S * 1000)
        self.page.goto(lab.notebook_url(name))
        self.page.wait_for_function(_KERNEL_IS_READY)
        return self

    def command(self, name: str, *, wait: bool = True, **arguments: Any) -> None:
        """Run a command of JupyterLab's and wait for its end, or do not."""
        run = "([name, args]) => jupyterapp.commands.execute(name, args)"
        self.page.evaluate(
            f"{run}.then(() => null)" if wait else f"call => {{ ({run})(call); }}",
            [name, arguments],
        )

    def run_all(self) -> None:
        """Run every cell, wait until the last one is done and drawn."""
        self.command("notebook:clear-all-cell-outputs")
        self.command("notebook:run-all-cells")
        self.page.wait_for_function(_NO_CELL_WAITS)
        self.wait_until_idle()

    def run_cell(self, number: int) -> None:
        """Run one cell and wait until it is done and drawn."""
        self.page.evaluate(f"() => {{ {_CONTENT}.activeCellIndex = {number}; }}")
        self.command("notebook:run-cell")
        self.wait_until_idle()

    def restart(self) -> None:
        """Restart the kernel as the menu does, without its question."""
        self.page.evaluate(f"() => {_SESSION}.session.kernel.restart().then(() => null)")
        # It counts as starting until it has run a cell.
        self.page.evaluate(f"() => {_SESSION}.session.kernel.requestKernelInfo().then(() => null)")

    def edit(self, number: int, text: str) -> None:
        """Put ``text`` into a cell, the cursor after it."""
        self.page.evaluate(f"() => {{ {_CONTENT}.activeCellIndex = {number}; }}")
        self.page.evaluate(
            f"text => {{ {_CONTENT}.activeCell.model.sharedModel.source = text; }}", text
        )
        self.command("notebook:enter-edit-mode")
        self.page.keyboard.press("Control+End")

    def outputs(self, number: int) -> list[str]:
        """Return the texts of a cell's outputs, as they stand on the page."""
        return list(self.page.evaluate(_OUTPUT_TEXTS, number))

    def wait_until_idle(self) -> None:
        self.page.wait_for_function(_KERNEL_IS_READY)
        self.page.wait_for_timeout(500)

    def save(self) -> None:
        self.command("docmanager:save")

    @property
    def is_trusted(self) -> bool:
        return bool(self.page.evaluate(_ALL_CELLS_TRUSTED))

    def screenshot(self, path: Path) -> None:
        self.page.screenshot(path=path)

    def close(self) -> None:
        """End the kernel, so that nobody finds it at work, and the page."""
        self.page.evaluate(f"() => {_SESSION}.shutdown().then(() => null)")
        self.page.context.close()


_WIDGET = "window.jupyterapp?.shell?.currentWidget"
_CONTENT = "jupyterapp.shell.currentWidget.content"
_SESSION = "jupyterapp.shell.currentWidget.sessionContext"

_KERNEL_IS_READY = f"""() => {{
  const kernel = {_WIDGET}?.sessionContext?.session?.kernel;
  return kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle'
    && kernel.info !== undefined;
}}"""

_NO_CELL_WAITS = f"() => {_CONTENT}.widgets.every(cell => cell.promptNode.innerText !== '[*]:')"

_ALL_CELLS_TRUSTED = f"() => {_CONTENT}.widgets.every(cell => cell.model.trusted)"

_OUTPUT_TEXTS = f"""number => [
  ...{_CONTENT}.widgets[number].node.querySelectorAll('.jp-OutputArea-output')
].map(output => output.innerText)"""
