"""What another subcommand, store or format needs: a few lines."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from jupyter_llmcache import commands
from jupyter_llmcache.__main__ import main
from jupyter_llmcache.commands import subcommand
from jupyter_llmcache.commands.parser import Argument
from jupyter_llmcache.draw import FORMATS
from jupyter_llmcache.draw.table import Report
from jupyter_llmcache.jupyter import magics
from jupyter_llmcache.jupyter.magics import offers
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.environments import ROOT, run


@pytest.fixture
def shout(monkeypatch):
    """A subcommand of a few lines, registered while the test runs."""
    commands.subcommands("notebook")
    monkeypatch.setattr(commands, "_registered", {**commands._registered})

    @subcommand("shout", "say how many there are, loudly", Argument(("--twice",), "twice as loud"))
    def shout(store, ledger, args):
        return Report(f"{store.count()}{'!!' if args.twice else '!'}", data={"n": store.count()})


def test_a_subcommand(shout, shell, tmp_path, capsys):
    """A function with its arguments is a magic, a command, JSON, help, TAB and an exit status."""
    shell.run("%load_ext jupyter_llmcache\n%llm_cache sqlite a.db\n%llm -m demo -p sleep=0 hi")
    assert shell.run("%llm_cache shout --twice").value.title == "1!!"
    assert "twice as loud" in shell.run("%llm_cache shout -h").stdout
    session = shell._jupyter_llmcache.session
    assert offers(["%llm_cache shou"], {}, session).texts == ("shout",)
    assert "--twice" in offers(["%llm_cache shout --"], {}, session).texts
    assert "has no flag --thrice" in str(shell.run("%llm_cache shout --thrice", check=False).error)
    shell.run("%llm_cache off")
    assert main(["shout", "a.db", "--json"]) == 0
    assert '"n": 1' in capsys.readouterr().out


def test_a_format(shell, monkeypatch):
    """A function from text to safe HTML is a format of -f, of the setting, and of TAB."""
    from html import escape

    monkeypatch.setitem(FORMATS, "loud", lambda text: f"<div>{escape(text.upper())}</div>")
    magics.asking_parser.cache_clear()
    shell.run("%load_ext jupyter_llmcache")
    run = shell.run("%llm -m demo -p sleep=0 -f loud hi")
    assert run.outputs[0].html.isupper() or "<div>" in run.outputs[0].html
    assert run.value.text.upper() in run.outputs[0].html.replace("&#x27;", "'")
    assert "loud" in offers(["%llm -f lo"], {}, shell._jupyter_llmcache.session).texts
    shell.run("%config LLMCache.format = 'loud'")
    assert shell.run("%llm -m demo -p sleep=0 hi").value.format == "loud"


def test_a_store(shell, monkeypatch):
    """A class with a name is a subcommand with the flags of its arguments."""
    from jupyter_llmcache.commands import caches

    class Tape(SQLiteStore):
        """Entries on a tape.

        Args:
            path: The tape.
            read_only: Serve what is there.
            ttl_s: How long an entry is good, in seconds.
        """

        backend = "tape"

        def __init__(self, path: str, *, read_only: bool = False, ttl_s: float | None = None):
            super().__init__(path, read_only=read_only, ttl_s=ttl_s)

    commands.subcommands("notebook")
    monkeypatch.setattr(commands, "_registered", {**commands._registered})
    caches._register_store("tape", Tape)
    shell.run("%load_ext jupyter_llmcache")
    status = shell.run("%llm_cache tape my.tape --ttl 7d").value
    assert (status.backend, status.location) == ("tape", "my.tape")
    told = shell.run("%llm_cache tape -h").stdout
    assert "entries on a tape" in told
    assert "--read-only" in told


BROKEN = """
from IPython.core.interactiveshell import InteractiveShell
from jupyter_llmcache.stores import find_by_url
shell = InteractiveShell()
shell.run_line_magic("load_ext", "jupyter_llmcache")
shell.run_line_magic("llm_cache", "sqlite a.db")
print(shell.run_line_magic("llm_cache", "").backend, find_by_url("redis://here").backend)
try:
    shell.run_line_magic("llm_cache", "drawer oak")
except Exception as error:
    print(error)
"""


def test_a_store_that_cannot_be_imported(tmp_path):
    """A broken store of another package is told of when it is asked for, and hinders nothing."""
    info = tmp_path / "drawer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: drawer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[jupyter_llmcache.stores]\ndrawer = nowhere:Drawer\n")
    path = f"{ROOT}{os.pathsep}{tmp_path}"
    told = run(Path(sys.executable), BROKEN, cwd=tmp_path, env={"PYTHONPATH": path})
    assert "sqlite redis\n" in told
    assert "the store 'drawer' cannot be imported: ModuleNotFoundError: No module" in told
