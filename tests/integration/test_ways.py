"""How many of our modules a cached question goes through."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import jupyter_llmcache
from jupyter_llmcache.commands.local import Demo

PACKAGE = str(Path(jupyter_llmcache.__file__).parent)
#: What there is now, the drawing and the store counted; more would be another detour.
MOST = 25


def test_a_cached_cell_enters_few_modules(shell):
    """A cached %%llm, with its drawing, runs code of no more modules than this."""
    shell.run("%load_ext jupyter_llmcache\n%llm_cache sqlite a.db")
    shell.user_ns["model"] = Demo(sleep=0)
    for _ in range(3):
        shell.run("%%llm -m model\nhi")
    entered = set()

    def note(frame, event, _):
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(PACKAGE):
            entered.add(file.removeprefix(PACKAGE))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        run = shell.run("%%llm -m model\nhi")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert run.value.cached
    assert len(entered) <= MOST, "\n".join(sorted(entered))
