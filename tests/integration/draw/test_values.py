"""The values draw themselves, in a shell with a front end and in one without."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from jupyter_llmcache.commands.answer import Answer, CacheStatus, PromptPreview
from jupyter_llmcache.draw.line import cell_line
from jupyter_llmcache.draw.table import Table
from jupyter_llmcache.ledger import LEDGER
from tests.shells import RecordingShell
from tests.unit.draw.reading import answer, hit, miss, problems

_STATUS = CacheStatus(
    "sqlite", "course.db", "auto", 1204, 3_400_000, 12, 1, 3, 41.2, ("read-only",)
)
_PREVIEW = PromptPreview((("human", "What?\x1b[2J"),), "openai:gpt-x", "ab" * 16, cached=True)


@pytest.fixture
def drawn(shell: RecordingShell):
    """Draw a value as the last expression of a cell; return the outputs."""

    def draw(value: object):
        shell.user_ns["value"] = value
        return shell.run("value").outputs

    return draw


def test_an_answer_is_its_text() -> None:
    """``str`` of an answer is the text, its ``repr`` one short line without controls."""
    long = answer(hit(), text="# T\n\n" + "word \x1b[2J" * 100)
    assert str(long) == long.text
    assert "\n" not in repr(long)
    assert "\x1b" not in repr(long)
    assert len(repr(long)) < 250


def test_an_answer_survives_pickling() -> None:
    """A pickled answer comes back equal."""
    whole = answer(hit(), miss())
    assert pickle.loads(pickle.dumps(whole)) == whole


def test_an_answer_draws_two_outputs(drawn) -> None:
    """The answer, then its annotation, each as HTML and as text, never as Markdown."""
    outputs = drawn(answer(hit(), text="*Four.*"))
    assert [set(output.data) for output in outputs] == [{"text/html", "text/plain"}] * 2
    assert outputs[0].text == "*Four.*"
    assert outputs[1].text.startswith("cached · 1.1 ms")


def test_an_answer_is_drawn_with_the_same_bytes_fresh_and_cached(drawn) -> None:
    """Between a first run and a replay only the annotation differs."""
    fresh, cached = drawn(answer(miss())), drawn(answer(hit()))
    assert fresh[0] == cached[0]
    assert fresh[1] != cached[1]


def test_a_drawn_answer_has_told_of_its_calls(drawn) -> None:
    """The line under the cell leaves out the calls whose answer was drawn."""
    call = miss()
    LEDGER.record(call)
    drawn(answer(call))
    assert LEDGER.untold_since(0) == []


def test_an_answer_in_a_list_is_one_line(drawn) -> None:
    """A list of answers shows no whole texts."""
    (output,) = drawn([answer(hit(), text="long\n" * 50)])
    assert output.text.count("\n") < 3


@pytest.mark.parametrize("value", [_STATUS, _PREVIEW, cell_line([hit()]), Table(("a",), [(1,)])])
def test_other_values_draw_themselves(value: object, drawn) -> None:
    """Status, preview, summary and table are HTML and the same as text."""
    (output,) = drawn(value)
    assert output.text == str(value)
    assert "\x1b" not in output.html
    assert not [p for p in problems(output.html) if "script" in p or "attribute on" in p]


def test_the_status_tells_what_is_on() -> None:
    """The status has the cache, the mode, what it holds, the session's counts and notices."""
    assert str(_STATUS).split("\n") == [
        "cache    sqlite · course.db",
        "mode     auto",
        "holds    1,204 entries · 3.4 MB",
        "session  12 cached · 1 fresh · 3 stored · saved 41 s",
        "notice   read-only",
    ]


def test_a_status_without_a_cache_is_short() -> None:
    """With no cache on, nothing is told of entries and files."""
    off = CacheStatus("off", "", "auto", None, None, 0, 0, 0, 0.0)
    assert str(off).startswith("cache    off\nmode     auto\nsession")


def test_a_preview_tells_what_would_be_sent() -> None:
    """``--show-prompt`` shows every message, and whether the cache holds the answer."""
    assert str(_PREVIEW) == "human:\nWhat?␛[2J\n\nin the cache · openai:gpt-x · abababab"
    odd = PromptPreview((("prompt", "x"),), "m", None, cached=False, reason="a set in the model")
    assert str(odd).endswith("not cacheable: a set in the model · m")


def test_an_answer_needs_all_that_a_reader_asks_for() -> None:
    """An answer has the fields that the documentation names."""
    names = "text message cached wall_s cpu_s saved_s usage key model calls result format stable"
    assert set(names.split()) <= set(Answer.__dataclass_fields__)


def test_code_goes_into_the_next_cell(shell) -> None:
    """The fenced blocks of an answer go there, nothing invisible in them, no blank line behind."""
    text = "Try:\n\n```python\nx = 1\n```\n\nthen\n\n```python\ny = 2 \u202e# rev\n```\n"
    given = replace(answer(miss()), text=text)
    assert given.code.startswith("x = 1\n\ny = 2 ")
    assert "\u202e" not in given.code
    given.to_next_cell()
    assert shell.rl_next_input == given.code.rstrip("\n")


def test_an_answer_that_is_all_code_is_its_code() -> None:
    """Without a fenced block the whole text is the code."""
    assert replace(answer(miss()), text="x = 1").code == "x = 1\n"
