"""What the README tells to type works, and the reference names everything that can be typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import jupyter_llmcache
from jupyter_llmcache.commands import subcommands
from jupyter_llmcache.draw import FORMATS
from jupyter_llmcache.jupyter.magics import ASKING
from jupyter_llmcache.settings import LLMCache

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMANDS = subcommands("notebook")
FLAGS = sorted(
    {
        name
        for arguments in [ASKING, *(command.arguments for command in COMMANDS.values())]
        for argument in arguments
        if argument.is_flag
        for name in argument.names
    }
)


def stands(word: str) -> bool:
    """Whether ``word`` stands in the reference as a word of its own."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", REFERENCE) is not None


def test_the_reference_names_everything():
    """Every flag, format, subcommand, setting and public name stands in the reference."""
    public = [name for name in jupyter_llmcache.__all__ if "ipython" not in name]
    words = [*FLAGS, *FORMATS, *COMMANDS, *LLMCache.class_own_traits(config=True), *public]
    assert [word for word in words if not stands(word)] == []


def test_the_readme_is_short():
    """A person in a hurry reads it to the end."""
    assert len(README.splitlines()) <= 150


def test_every_cell_of_the_readme_runs(shell, openai_server, monkeypatch):
    """What the README tells to type, typed from top to bottom, works."""
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    cells = re.findall(r"^```(?:python)?\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(cells) > 8
    for cell in cells:
        done = shell.run_cell(cell)
        assert done.success, cell


@pytest.mark.parametrize("command", ["python3 run.py quickstart", "python3 run.py tests"])
def test_gate_runs_the_commands_of_the_readme(command):
    """The two commands that a newcomer types are run by the gate."""
    gate = (ROOT / ".ci" / "run").read_text("utf-8")
    assert command in README
    assert command.replace("python3", '"$python"') in gate


def test_links_lead_somewhere():
    """Every file that a page links to or shows is there."""
    for page in PAGES:
        text = page.read_text("utf-8")
        targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)|(?:src|srcset)=\"([^\"]+)\"", text)
        links = [link or picture for link, picture in targets]
        assert [link for link in links if not (page.parent / link).exists()] == [], page.name
