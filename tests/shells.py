"""A real IPython shell whose cells' outputs are kept, on IPython 7.34 as on the newest."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from IPython.core import async_helpers
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


@dataclass(frozen=True)
class Output:
    """One output of a cell.

    Attributes:
        kind: ``display_data``, ``update_display_data`` or ``execute_result``.
        data: Media type -> content.
        metadata, transient: As published; ``transient`` holds the display id.
    """

    kind: str
    data: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    transient: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.data.get("text/plain", "")

    @property
    def html(self) -> str:
        return self.data.get("text/html", "")


@dataclass(frozen=True)
class CellRun:
    """What one cell did.

    Attributes:
        value: Of its last expression.
        error: What it raised, or None.
        outputs: In order; ``stdout`` and ``stderr`` apart.
    """

    value: Any
    error: BaseException | None
    outputs: list[Output]
    stdout: str
    stderr: str

    @property
    def texts(self) -> list[str]:
        return [output.text for output in self.outputs]

    @property
    def seen(self) -> str:
        """All that a person would see in a terminal."""
        return "\n".join([*self.texts, self.stdout, self.stderr])


class _RecordingPublisher(DisplayPublisher):
    def publish(  # type: ignore[override]  # the arguments differ between IPython's versions
        self, data, metadata=None, *_args, transient=None, update=False, **_kwargs
    ):
        kind = "update_display_data" if update else "display_data"
        self.shell.outputs.append(Output(kind, data, metadata or {}, transient or {}))

    def clear_output(self, wait=False):
        self.shell.outputs.clear()


class _RecordingHook(DisplayHook):
    def write_output_prompt(self):
        """Draw no ``Out[1]:``."""

    def write_format_data(self, format_dict, md_dict=None):
        self.shell.outputs.append(Output("execute_result", format_dict, md_dict or {}))

    def finish_displayhook(self):
        """End no line."""


class RecordingShell(InteractiveShell):
    """An IPython shell with ``run(cell) -> CellRun``, colours off."""

    displayhook_class = _RecordingHook
    display_pub_class = _RecordingPublisher

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.outputs: list[Output] = []
        super().__init__(*args, **kwargs)

    def enable_gui(self, gui=None):
        """Have no event loop of a window system."""

    def run(self, cell: str, *, check: bool = True) -> CellRun:
        """Run ``cell`` as the front end would; with ``check``, raise what it raised."""
        self.outputs = []
        stdout, stderr = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            result = self.run_cell(cell, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        if check and error is not None:
            raise error
        return CellRun(result.result, error, self.outputs, stdout.getvalue(), stderr.getvalue())


@contextmanager
def open_shell(folder: Path, config: Config | None = None) -> Iterator[RecordingShell]:
    """Yield a new shell that is ``get_ipython()``'s, with its files in ``folder``."""
    settings = Config()
    settings.HistoryManager.hist_file = ":memory:"
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    settings.ProfileDir.location = str(folder / "profile")
    settings.merge(config or Config())
    _forget_instance()
    shell = RecordingShell.instance(config=settings)
    try:
        yield shell
    finally:
        if "jupyter_llmcache" in shell.extension_manager.loaded:
            shell.extension_manager.unload_extension("jupyter_llmcache")
        shell.reset(new_session=False)
        shell.restore_sys_module_state()
        _forget_instance()
        _close_loop()


def _close_loop() -> None:
    """Close the event loop that IPython keeps for cells that await; it makes a new one."""
    loop = getattr(async_helpers, "_asyncio_event_loop", None)
    if loop is not None and not loop.is_closed():
        loop.close()


def _forget_instance() -> None:
    if InteractiveShell.initialized():
        type(InteractiveShell.instance()).clear_instance()
