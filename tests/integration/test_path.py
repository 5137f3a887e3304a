"""How short the way of a hit is."""

from __future__ import annotations

import sys
from pathlib import Path

import jupyter_llmcache
from jupyter_llmcache import SQLiteCache, calls

PACKAGE = str(Path(jupyter_llmcache.__file__).parent)
#: A reader follows a hit through no more files than this.
MAX_MODULES = 12


def test_a_hit_enters_few_modules(tmp_path, chat_openai):
    """A plain ``invoke`` that is a hit goes through a dozen of our files at most."""
    llm = chat_openai(cache=SQLiteCache(tmp_path / "answers.db"))
    llm.invoke("hello")
    llm.invoke("hello")
    entered = set()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            entered.add(frame.f_code.co_filename.removeprefix(PACKAGE + "/"))

    sys.setprofile(note)
    try:
        llm.invoke("hello")
    finally:
        sys.setprofile(None)
    assert calls()[-1].kind == "hit"
    assert len(entered) <= MAX_MODULES, "\n".join(sorted(entered))
    llm.cache.close()
