"""The README names everything that can be typed, and its commands are those that the gate runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import jupyter_llmcache
from jupyter_llmcache.commands.parser import subcommands
from jupyter_llmcache.jupyter.magics import ASKING
from jupyter_llmcache.settings import LLMCache

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
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
    """Whether ``word`` stands in the README as a word of its own."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", README) is not None


@pytest.mark.parametrize("flag", FLAGS)
def test_readme_names_the_flag(flag):
    """Every flag of the magics and of their subcommands stands in the README."""
    assert stands(flag)


@pytest.mark.parametrize("subcommand", sorted(COMMANDS))
def test_readme_names_the_subcommand(subcommand):
    """Every subcommand stands in the README in code, as something to type."""
    assert re.search(rf"(?:llm_cache[ |]|`|\|\s?){subcommand}(?![\w-])", README)


@pytest.mark.parametrize("setting", sorted(LLMCache.class_own_traits(config=True)))
def test_readme_names_the_setting(setting):
    """Every setting stands in the README."""
    assert stands(setting)


@pytest.mark.parametrize("name", [n for n in jupyter_llmcache.__all__ if "ipython" not in n])
def test_readme_names_what_is_public(name):
    """Every public name stands in the README."""
    assert stands(name)


@pytest.mark.parametrize("command", ["python3 run.py quickstart", "python3 run.py tests"])
def test_gate_runs_the_commands_of_the_readme(command):
    """The two commands that a newcomer types are run by the gate."""
    gate = (ROOT / ".ci" / "run").read_text("utf-8")
    assert command in README
    assert command.replace("python3", '"$python"') in gate


def test_links_lead_somewhere():
    """Every file that the README links to or shows is there."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
