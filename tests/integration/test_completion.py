"""TAB in the lines of the magics."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from IPython.core import completer

from jupyter_llmcache.commands.flags import ASKING
from jupyter_llmcache.commands.local import Demo
from jupyter_llmcache.jupyter.magics import offers
from jupyter_llmcache.ledger import LEDGER


@pytest.fixture
def tab(shell):
    """Return what TAB offers at the end of a cell, and what it would replace."""
    shell.run("%load_ext jupyter_llmcache")
    shell.user_ns.update(gpt=Demo(), greeting="hi", _hidden=1)
    shell.user_ns.update(letters=["a"], Shape=dataclasses.make_dataclass("Shape", ["x"]))
    shell.user_ns.update(picture=b"", lemon=3)
    session = shell._jupyter_llmcache.session

    def offered(cell):
        return offers(cell.split("\n"), shell.user_ns, session)

    return offered


def test_offers(tab):
    """Flags, values, models, variables, subcommands, choices and paths are offered in place."""
    Path("course.db").touch()
    Path("courses").mkdir()
    Path("courses/one.db").touch()
    for cell, fragment, some in [
        ("%llm --no-", "--no-", {"--no-cache", "--no-stream"}),
        ("%%llm -m demo --ref", "--ref", {"--refresh"}),
        ("%%llm ", "", {"-m", "--show-prompt"}),
        ("x = %llm -m g", "g", {"gpt", "groq:", "google_genai:"}),
        ("%llm -m ", "", {"gpt", "demo", "local", "openai:gpt-4o-mini"}),
        ("%llm --model=op", "op", {"openai:", "openai:gpt-4o-mini", "openrouter:"}),
        ("%llm -m openai:g", "openai:g", {"openai:gpt-4o-mini"}),
        ("%llm -f j", "j", {"json"}),
        ("%llm -o gre", "gre", {"greeting"}),
        ("%llm hi {{gre", "gre", {"greeting"}),
        ("%%llm\nsome text\nwith {{gre", "gre", {"greeting"}),
        ("%time %llm -m demo --re", "--re", {"--refresh", "--replay"}),
        ("y = 1\n%llm -m dem", "dem", {"demo"}),
        ("%llm_cache ", "", {"memory", "sqlite", "off"}),
        ("%llm_cache sq", "sq", {"sqlite"}),
        ("%llm_cache mode re", "re", {"replay", "refresh"}),
        ("%llm_cache annotate ", "", {"on", "off"}),
        ("%llm_cache sqlite --max-", "--max-", {"--max-size", "--max-entries"}),
        ("%llm_cache sqlite cou", "cou", {"course.db", "courses/"}),
        ("%llm_cache sqlite courses/", "courses/", {"courses/one.db"}),
        ("%llm_cache use gr", "gr", {"greeting"}),
        ("%llm --each le", "le", {"letters"}),
        ("%llm --each topic=le", "topic=le", {"topic=letters"}),
        ("%llm --schema S", "S", {"Shape"}),
        ("%llm --attach pi", "pi", {"picture"}),
        ("%llm --attach cou", "cou", {"course.db"}),
        ("%llm --samples 2 --jo", "--jo", {"--jobs"}),
        ("%llm -m local:cou", "local:cou", {"local:courses/"}),
        ("%llm hi {{I", "I", {"In"}),
        ("%llm -m gpt --vary t", "t", {"temperature="}),
        ("%llm -m gpt -p te", "te", {"temperature="}),
        ("%llm --vary ", "", {"temperature=", "max_tokens=", "top_p=", "seed="}),
    ]:
        found = tab(cell)
        assert found.fragment == fragment, cell
        assert some <= set(found.texts), cell
        assert all(text.startswith(fragment) for text in found.texts), cell


def test_no_offers(tab):
    """Nothing is offered in prose, in other code, and for what is not ours."""
    for cell in [
        "%llm hello --re",
        "%%llm\n-m",
        "%%llm\nprose gre",
        "x = 1",
        "%lsmagic",
        "gpt.",
        "{{gre",
        "s = '%llm'",
        "%llm_cache nothing x",
        "%llm_cacher x",
        "%llm -o _hid",
    ]:
        assert tab(cell).texts == (), cell


def test_the_model_in_the_line_says_what_can_vary(tab, shell, chat_openai):
    """Parameters are those of the model behind -m, else of the default, the usual first."""
    shell.user_ns["llm"] = chat_openai()
    for line in ("%llm --vary ", "%llm -m gpt -m llm -p ", "%llm -m openai:gpt-x --vary "):
        names = [text.removesuffix("=") for text in tab(line).texts]
        assert names[:4] == ["temperature", "max_tokens", "top_p", "seed"]
        assert {"reasoning_effort", "logit_bias"} <= set(names)
        assert not {"api_key", "openai_api_key", "timeout", "cache", "model", "stop"} & set(names)
    assert {"temperature=", "top_k=", "seed="} <= set(tab("%llm -m local --vary ").texts)
    assert tab("%llm -m letters --vary ").texts == ()


def test_what_fits_best_is_offered_first(tab, shell):
    """Answers stand before lists of messages, a person's classes before others, pictures first."""
    shell.run(
        "%llm_cache memory\n%llm -m gpt -p sleep=0 -o zoo hi\n"
        "class Zebra:\n    x: int\nimport dataclasses\nZebra = dataclasses.dataclass(Zebra)\n"
        "from pydantic import BaseModel\nfrom langchain_core.prompts import ChatPromptTemplate\n"
        "prompt = ChatPromptTemplate.from_messages([])\nmessages = zoo.messages[:1]\n"
        "messages = list(messages)"
    )
    for name in ("a.py", "z.png"):
        Path(name).touch()
    assert tab("%llm --after ").texts == ("zoo", "messages")
    assert tab("%llm --schema ").texts == ("Zebra", "Shape")
    shell.user_ns.update(ages={"Ada": 36}, nothing=[])
    assert tab("%llm --each ").texts == ("letters", "messages", "ages")
    assert tab("%llm --each x=").texts == ("x=letters", "x=messages", "x=ages")
    assert tab("%llm -o ").texts[0] == "zoo"
    assert tab("%llm --attach ").texts == ("picture", "z.png", "a.py")


def test_every_flag_is_offered_and_explained(tab, shell):
    """TAB offers each flag from its beginning, and the help tells what it is for."""
    told = " ".join(shell.run("%llm -h").stdout.split())
    for argument in ASKING:
        for name in argument.names:
            assert name in tab(f"%llm {name[:-1]}").texts
            assert name in tab(f"%%llm -m gpt {name[:3]}").texts
        assert all(name in told for name in (*argument.names, argument.help)), argument


def test_keys_of_the_cache(tab, shell):
    """Keys that begin as typed are offered, and the word for the last one."""
    shell.run("%llm_cache memory\n%llm -m gpt -p sleep=0 hi")
    key = LEDGER.last().key
    assert tab(f"%llm_cache show {key[:4]}").texts == (key,)
    assert "last" in tab("%llm_cache forget ").texts


@pytest.mark.skipif(
    not hasattr(completer, "context_matcher"), reason="this IPython has no context matchers"
)
def test_in_the_shell(shell):
    """The shell offers ours alone, past a colon, in a cell of many lines; unloading ends it."""
    shell.run("%load_ext jupyter_llmcache")

    def complete(cell):
        with completer.provisionalcompleter():
            return [
                (cell[: c.start] + c.text) for c in shell.Completer.completions(cell, len(cell))
            ]

    assert complete("%%llm -m openai:gpt") == ["%%llm -m openai:gpt-4o-mini"]
    assert complete("%%llm --show") == ["%%llm --show-prompt"]
    assert complete("x = 3\n%llm_cache sqli") == ["x = 3\n%llm_cache sqlite"]
    shell.user_ns["greeting"] = 1
    assert complete("%%llm\ntext\n{{greet") == ["%%llm\ntext\n{{greeting"]
    before = len(shell.Completer.custom_matchers)
    shell.run("%unload_ext jupyter_llmcache")
    assert len(shell.Completer.custom_matchers) == before - 1
    assert complete("%%llm --show") == []
