"""How many of our modules a cached question, and what is asked of the file, go through."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

import jupyter_llmcache
from jupyter_llmcache.commands.local import Demo

PACKAGE = str(Path(jupyter_llmcache.__file__).parent)
#: What there is now, the drawing and the store counted; more would be another detour.
MOST = {"%%llm -m model\nhi": 25, "%llm_cache list": 15, "%llm_cache export b.db": 21}


@pytest.mark.parametrize("cell", MOST)
def test_a_cell_enters_few_modules(shell, cell):
    """A cached %%llm, a list and an export run code of no more modules than these."""
    shell.run("%load_ext jupyter_llmcache\n%llm_cache sqlite a.db")
    shell.user_ns["model"] = Demo(sleep=0)
    for _ in range(3):
        shell.run("%%llm -m model\nhi")
    shell.run(cell)
    entered = set()

    def note(frame, event, _):
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(PACKAGE):
            entered.add(file.removeprefix(PACKAGE))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        run = shell.run(cell)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert run.error is None
    assert len(entered) <= MOST[cell], "\n".join(sorted(entered))
