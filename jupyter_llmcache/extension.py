"""Loading into a shell and leaving it as it was.

Everything that loading puts into a shell is put there by one ``Extension`` and taken away by the
same one, so nothing is doubled after a reload and nothing is left after an unload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import completion, modes, rawtext
from .magics import LLMCacheMagics
from .session import Session
from .settings import LLMCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

#: Where a shell keeps its extension between loading and unloading.
_ATTRIBUTE = "_jupyter_llmcache"


def load(shell: InteractiveShell) -> None:
    """Put the extension into ``shell``; one that is there already is taken away first."""
    unload(shell)
    setattr(shell, _ATTRIBUTE, Extension(shell))


def unload(shell: InteractiveShell) -> None:
    """Take the extension out of ``shell``, if it is there."""
    extension: Extension | None = getattr(shell, _ATTRIBUTE, None)
    if extension is not None:
        extension.close()
        delattr(shell, _ATTRIBUTE)


class Extension:
    """What loading put into one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.settings = LLMCache(parent=shell)
        self.session = Session(self.settings)
        self.magics = LLMCacheMagics(shell, self.session)
        self._replaced = self._register_magics()
        _configurables(shell).append(self.settings)
        self._uninstall_raw_text = rawtext.install(shell)
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)
        self._uninstall_completion = completion.install(shell, self.session)
        if modes.current_mode() == "replay":
            # The environment asks that nothing is sent, also by cells that choose no cache first.
            self.session.hold_replay()

    def close(self) -> None:
        """Take everything away and put back what was there before."""
        self._uninstall_completion()
        self.shell.events.unregister("post_run_cell", self._after_cell)
        self.shell.events.unregister("pre_run_cell", self._before_cell)
        self._uninstall_raw_text()
        for configurable in (self.settings, self.magics):
            _configurables(self.shell).remove(configurable)
        self._restore_magics()
        self.session.close()

    def _before_cell(self, info: Any) -> None:  # noqa: ARG002  # IPython passes it
        # The cell's own number: newer IPythons have raised execution_count already, and all of
        # them append to the history later.
        history = self.shell.history_manager
        self.session.before_cell(len(history.input_hist_raw) if history else 0)

    def _after_cell(self, result: Any) -> None:  # noqa: ARG002  # IPython passes it
        summary = self.session.after_cell()
        if summary is not None:
            from IPython.display import display

            display(summary)  # type: ignore[no-untyped-call,unused-ignore]

    def _register_magics(self) -> dict[tuple[str, str], Callable[..., Any]]:
        """Register ours; return whose place they took, by (kind, name)."""
        table = self.shell.magics_manager.magics
        replaced = {
            (kind, name): table[kind][name]
            for kind, names in self.magics.magics.items()
            for name in names
            if name in table[kind]
        }
        self.shell.register_magics(self.magics)
        for (kind, name), magic in replaced.items():
            sign = "%%" if kind == "cell" else "%"
            owner = getattr(magic, "__module__", "another extension")
            print(f"{sign}{name} was {owner}'s; it is jupyter_llmcache's until %unload_ext")  # noqa: T201  # the one line that loading may say
        return replaced

    def _restore_magics(self) -> None:
        table = self.shell.magics_manager.magics
        for kind, names in self.magics.magics.items():
            for name in names:
                if getattr(table[kind].get(name), "__self__", None) is self.magics:
                    table[kind].pop(name)
        for (kind, name), magic in self._replaced.items():
            table[kind].setdefault(name, magic)


def _configurables(shell: InteractiveShell) -> list[Any]:
    """What ``%config`` lists. IPython declares it a list of shells."""
    return shell.configurables  # type: ignore[return-value,unused-ignore]
