"""Loading into a shell and leaving it as it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.language_models import BaseChatModel, BaseLLM
from traitlets.config import Config

from jupyter_llmcache import modes
from tests.environments import run
from tests.shells import open_shell

SEAMS = [
    (cls, name)
    for cls in (BaseChatModel, BaseLLM)
    for name in ("generate", "agenerate", "stream", "astream", "stream_events", "astream_events")
    if name in cls.__dict__
]


def state_of(shell):
    """All that loading may touch, as values to compare."""
    return {
        "line magics": dict(shell.magics_manager.magics["line"]),
        "cell magics": dict(shell.magics_manager.magics["cell"]),
        "cleanups": list(shell.input_transformers_cleanup),
        "token transformers": list(shell.input_transformer_manager.token_transformers),
        "events": {name: list(found) for name, found in shell.events.callbacks.items()},
        "configurables": list(shell.configurables),
        "matchers": list(getattr(shell.Completer, "custom_matchers", [])),
        "cache": get_llm_cache(),
        "seams": [cls.__dict__[name] for cls, name in SEAMS],
    }


def test_loading_is_silent_and_changes_no_cache(shell):
    """%load_ext prints and draws nothing, and leaves the global cache and LangChain alone."""
    before = state_of(shell)
    run = shell.run("%load_ext jupyter_llmcache")
    assert (run.outputs, run.stdout, run.stderr) == ([], "", "")
    after = state_of(shell)
    assert after["cache"] is before["cache"]
    assert after["seams"] == before["seams"]


@pytest.mark.parametrize(
    "used",
    [
        "",
        "%llm_cache memory",
        "%llm_cache sqlite a.db",
        "%llm_cache memory\n%llm_cache sqlite a.db\n%llm_cache off",
        "%llm_cache memory\n%llm -m demo hello",
        "%llm_cache mode replay",
        "%llm_cache annotate off",
    ],
)
def test_unloading_leaves_nothing_behind(shell, used):
    """After %unload_ext the shell, LangChain, the mode and the global cache are as before."""
    shell.run("%unload_ext nothing")  # IPython itself loads its magics at their first use
    before = state_of(shell)
    shell.run("%load_ext jupyter_llmcache")
    for line in used.splitlines():
        shell.run(line)
    shell.run("%unload_ext jupyter_llmcache")
    assert state_of(shell) == before
    assert modes.current_mode() == "auto"


def test_unloading_gives_back_the_cache_that_was_there(shell):
    """The cache that was global before comes back, whichever of ours came after."""
    from langchain_core.caches import InMemoryCache

    mine = InMemoryCache()
    set_llm_cache(mine)
    for line in ("%load_ext jupyter_llmcache", "%llm_cache memory", "%llm_cache sqlite a.db"):
        shell.run(line)
    assert get_llm_cache() is not mine
    shell.run("%unload_ext jupyter_llmcache")
    assert get_llm_cache() is mine


def test_a_cache_that_other_code_has_set_meanwhile_stays(shell):
    """Off leaves a cache alone that replaced ours behind our back, and the status says so."""
    from langchain_core.caches import InMemoryCache

    shell.run("%load_ext jupyter_llmcache")
    shell.run("%llm_cache memory")
    theirs = InMemoryCache()
    set_llm_cache(theirs)
    status = shell.run("%llm_cache").value
    assert any("InMemoryCache of its own" in notice for notice in status.notices)
    shell.run("%llm_cache off")
    assert get_llm_cache() is theirs


def test_reloading_doubles_nothing(shell):
    """After three %reload_ext the shell has what one %load_ext put there."""
    shell.run("%load_ext jupyter_llmcache")
    once = state_of(shell)
    for _ in range(3):
        shell.run("%reload_ext jupyter_llmcache")
    again = state_of(shell)
    for what, found in once.items():
        if what not in ("cache", "seams"):
            assert len(again[what]) == len(found), what
    shell.run("%llm_cache memory")
    shell.run("%%llm -m demo\nhello")
    summaries = [text for text in shell.run("x = %llm -m demo hello").texts if "LLM call" in text]
    assert len(summaries) == 1


def test_another_extensions_magic_is_named_and_given_back(shell):
    """Where %%llm is somebody else's, one line says so, and unloading gives it back."""

    def theirs(line, cell):
        return "theirs"

    shell.register_magic_function(theirs, "cell", "llm")
    owned = shell.magics_manager.magics["cell"]["llm"]
    run = shell.run("%load_ext jupyter_llmcache")
    assert run.stdout.count("\n") == 1
    assert "%%llm" in run.stdout
    shell.run("%unload_ext jupyter_llmcache")
    assert shell.magics_manager.magics["cell"]["llm"] is owned


def test_two_shells_in_one_process_do_not_mix(tmp_path):
    """A second shell loads, works and unloads without a trace in the first or the process."""
    from IPython.core.interactiveshell import InteractiveShell

    with open_shell(tmp_path / "first") as first:
        seams = state_of(first)["seams"]
        first.run("%load_ext jupyter_llmcache")
        first.run("%llm_cache memory")
        cache = get_llm_cache()
        held = InteractiveShell._instance
        with open_shell(tmp_path / "second") as second:
            second.run("%load_ext jupyter_llmcache")
            second.run("%llm_cache sqlite b.db")
            assert second.run("%llm -m demo hello").value.cached is False
            second.run("%unload_ext jupyter_llmcache")
        assert get_llm_cache() is cache
        type(first)._instance = InteractiveShell._instance = held
        assert first.run("%llm -m demo hello").value.cached is False
        assert first.run("%llm -m demo hello").value.cached is True
        first.run("%unload_ext jupyter_llmcache")
        assert get_llm_cache() is None
        assert state_of(first)["seams"] == seams


def test_two_shells_may_be_left_in_any_order(tmp_path):
    """The first shell's closed cache does not come back when the second one unloads later."""
    with open_shell(tmp_path / "first") as first:
        first.run("%load_ext jupyter_llmcache")
        first.run("%llm_cache memory")
        with open_shell(tmp_path / "second") as second:
            second.run("%load_ext jupyter_llmcache")
            second.run("%llm_cache memory")
            first.extension_manager.unload_extension("jupyter_llmcache")
            second.run("%unload_ext jupyter_llmcache")
        assert get_llm_cache() is None


def test_a_course_can_set_every_option_in_its_configuration(tmp_path):
    """Settings of an ipython_config.py act without a %config."""
    config = Config()
    config.LLMCache.sqlite_path = "course.db"
    config.LLMCache.model = "demo"
    with open_shell(tmp_path / "ipython", config) as shell:
        shell.run("%load_ext jupyter_llmcache")
        assert shell.run("%llm_cache sqlite").value.location == "course.db"
        assert shell.run("%llm hello").value.calls[0].canned


def test_config_magic_knows_the_settings(shell):
    """%config LLMCache lists the settings, and setting one acts at once."""
    shell.run("%load_ext jupyter_llmcache")
    shell.run("%llm_cache memory")
    assert "LLMCache.annotate" in shell.run("%config LLMCache").stdout
    shell.run("%config LLMCache.annotate = False")
    assert shell.run("x = %llm -m demo hello").texts == []


def test_an_environment_in_replay_sends_nothing_from_the_first_cell(shell, monkeypatch):
    """With LLMCACHE_MODE=replay a plain call fails before any cache was chosen."""
    from langchain_core.language_models import FakeListChatModel

    monkeypatch.setenv(modes.ENVIRONMENT_VARIABLE, "replay")
    shell.run("%load_ext jupyter_llmcache")
    shell.user_ns["llm"] = FakeListChatModel(responses=["sent"])
    run = shell.run("llm.invoke('hello')", check=False)
    assert "replay" in str(run.error)
    assert "%llm_cache sqlite" in str(run.error)


def test_reloading_keeps_cache_and_mode(shell):
    """%reload_ext keeps the cache that is on, what it holds, and the mode."""
    shell.run("%load_ext jupyter_llmcache\n%llm_cache memory\n%llm -m demo -p sleep=0 hi")
    shell.run("%llm_cache mode replay\n%reload_ext jupyter_llmcache")
    status = shell.run("%llm_cache").value
    assert (status.backend, status.entries, status.mode) == ("memory", 1, "replay")
    assert shell.run("%llm -m demo -p sleep=0 hi").value.cached
    shell.run("%unload_ext jupyter_llmcache")
    assert get_llm_cache() is None
    assert modes.current_mode() == "auto"


def test_unloading_survives_other_code(shell):
    """Where other code has taken our hooks away, unloading still gives back all the rest."""
    shell.run("%load_ext jupyter_llmcache\n%llm_cache memory")
    shell.Completer.custom_matchers.clear()
    shell.input_transformers_cleanup.clear()
    shell.events.callbacks["post_run_cell"].clear()
    shell.configurables.clear()
    run = shell.run("%unload_ext jupyter_llmcache")
    assert (run.error, run.stderr) == (None, "")
    assert get_llm_cache() is None


LOADING = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
before, touched = set(sys.modules), []
def hook(event, args):
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if writes or event.startswith(("socket.", "sqlite3.", "subprocess.", "os.mkdir")):
        touched.append([event, str(args)])
sys.addaudithook(hook)
shell.run_line_magic("load_ext", "jupyter_llmcache")
shell.run_line_magic("unload_ext", "jupyter_llmcache")
print(json.dumps({"modules": sorted(set(sys.modules) - before), "touched": touched}))
"""


def test_loading_is_lean(tmp_path):
    """Loading and unloading print nothing, import no LangChain, touch no file and no network."""
    told = json.loads(run(Path(sys.executable), LOADING, cwd=tmp_path))
    heavy = ("langchain", "langgraph", "langsmith", "openai", "pydantic", "httpx", "nh3", "sqlite3")
    assert [name for name in told["modules"] if name.startswith((*heavy, "markdown_it"))] == []
    assert told["touched"] == []


def test_importing_the_package_is_lean():
    """``import jupyter_llmcache`` imports neither LangChain nor IPython."""
    code = "import sys, jupyter_llmcache as j; print({m.split('.')[0] for m in sys.modules})"
    told = run(Path(sys.executable), code)
    assert "jupyter_llmcache" in told
    assert "langchain" not in told
    assert "IPython" not in told


def test_subcommands_stand_in_one_order():
    """The help begins with the stores, whichever module of commands was imported first."""
    code = (
        "import jupyter_llmcache.commands.files\n"
        "from jupyter_llmcache import commands, stores\n"
        "print(next(iter(commands.subcommands('notebook'))) in stores.names())"
    )
    assert run(Path(sys.executable), code).strip() == "True"
