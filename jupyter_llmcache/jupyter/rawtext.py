"""The prompt as it was typed: ``%llm`` and ``%%llm`` reach their magics before IPython edits them.

IPython takes ``>>>`` and ``In [1]:`` and indentation out of a cell, and makes a help call of a line
that ends in ``?``. A cell is therefore made a call before all other transformers; a line by
IPython's own transformers, which know where a string ends, but before the one that sees help.
``%llm?`` and ``%%llm?`` stay help.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import EscapedCommand, MagicAssign

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_CELL = re.compile(r"[ \t]*%%(?P<name>\w+)(?:[ \t]+(?P<flags>.*))?\s*\Z")
#: Also a line such as ``%time %llm why?``, which IPython makes a ``%llm`` line later.
_LINE = re.compile(r"%llm(?=\s)|%\w+ (?:.*\s)?%llm\s")


def install(shell: InteractiveShell) -> Callable[[], None]:
    """Make ``shell`` hand over prompts as typed; return what takes that away again."""
    cells = shell.input_transformers_cleanup
    lines = shell.input_transformer_manager.token_transformers
    cells.insert(0, cell_as_typed)
    lines.extend((_Line, _AssignedLine))

    def uninstall() -> None:
        without(cells, cell_as_typed)
        without(lines, _Line)
        without(lines, _AssignedLine)

    return uninstall


def without(found: list[Any], ours: object) -> None:
    """Take ``ours`` out of a list of the shell, unless other code has done so already."""
    if ours in found:
        found.remove(ours)


def cell_as_typed(lines: list[str]) -> list[str]:
    """Return the call that a ``%%llm`` cell stands for; any other cell as it is.

    ``%%llm`` may stand under other cell magics, as under ``%%time``, which hand their body on.
    """
    blank = next((place for place, line in enumerate(lines) if not line.isspace()), len(lines))
    magics = [match for match in takewhile(bool, map(_CELL.match, lines[blank:])) if match]
    if not any(match["name"] == "llm" for match in magics):
        return lines
    name, flags, body = magics[0]["name"], magics[0]["flags"] or "", "".join(lines[blank + 1 :])
    return [f"get_ipython().run_cell_magic({name!r}, {flags.rstrip()!r}, {body!r})\n"]


#: IPython asks transformers without this mark whether a cell is complete; as a call, a ``%%llm``
#: line would be, and a terminal would run it before a prompt could be typed.
cell_as_typed.has_side_effects = True  # type: ignore[attr-defined]


class _Ours:
    """Goes before IPython's own transformers on a line of ours, and leaves all others to them."""

    priority = 0
    start_line: int
    start_col: int

    def __init__(self, start: tuple[int, int]) -> None:
        super().__init__(start)  # type: ignore[call-arg]
        self._column, self.start_col = self.start_col, -1  # IPython sorts by it

    def transform(self, lines: list[str]) -> list[str]:
        self.start_col = self._column
        if not _LINE.match(lines[self.start_line], self.start_col):
            raise SyntaxError  # IPython asks the next one
        transformed: list[str] = super().transform(lines)  # type: ignore[misc]
        return transformed


class _Line(_Ours, EscapedCommand):  # type: ignore[misc,unused-ignore]
    """A ``%llm`` line."""


class _AssignedLine(_Ours, MagicAssign):  # type: ignore[misc,unused-ignore]
    """``x = %llm ...``: an assignment of a ``%llm`` line."""
