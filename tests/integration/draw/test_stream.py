"""An answer that grows is drawn by one owner, seldom, and ends as if it had not grown."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from IPython.core.displaypub import DisplayPublisher
from langchain_core.rate_limiters import InMemoryRateLimiter

from jupyter_llmcache.commands.answer import note_shown
from jupyter_llmcache.commands.local import Demo
from jupyter_llmcache.draw import answer_bundles, draws_html, live
from jupyter_llmcache.draw.live import stream_display
from jupyter_llmcache.draw.table import SEPARATOR
from jupyter_llmcache.ledger import LEDGER
from tests.shells import RecordingShell
from tests.unit.draw.reading import answer, drawn_line, miss

_WORDS = [f"*word* {number}\n" for number in range(40)]
#: Longer than a drawing takes on the busiest machine, in seconds.
_LONG_S = 60.0


def finish(display, whole) -> None:
    """End a stream as asking a model does."""
    display.finish(whole.text)
    if draws_html():
        whole.show_line()
    note_shown(whole)


def until_drawn(shell: RecordingShell, text: str) -> None:
    """Wait for an output that begins with ``text``."""
    give_up_at = time.monotonic() + _LONG_S
    while not any(output.text.startswith(text) for output in list(shell.outputs)):
        assert time.monotonic() < give_up_at
        time.sleep(0.005)


@pytest.fixture
def streaming(shell: RecordingShell):
    """Stream pieces in a cell, each after a pause, and return the cell's run.

    ``drawn`` is how many pieces are waited for: the next comes when one of them was drawn.
    """

    def run(pieces: list[str], pause_s: float = 0, drawn: int = 0):
        def work() -> object:
            text = ""
            with stream_display() as display:
                for number, piece in enumerate(pieces):
                    time.sleep(pause_s)
                    text += piece
                    display.update(text)
                    if number < drawn:
                        until_drawn(shell, text.strip())
            whole = answer(miss(), text=text)
            finish(display, whole)
            return whole

        shell.user_ns["work"] = work
        return shell.run("work()")

    return run


def test_a_slow_stream_is_drawn_while_it_grows(streaming) -> None:
    """One output is put up and replaced; each drawing holds more of the text."""
    outputs = streaming(_WORDS, drawn=3).outputs
    answers = outputs[:-1]
    assert answers[0].kind == "display_data"
    assert {output.kind for output in answers[1:]} == {"update_display_data"}
    assert len({output.transient["display_id"] for output in answers}) == 1
    texts = [output.text for output in answers]
    assert len(texts) > 3
    assert all(whole.startswith(part) for part, whole in itertools.pairwise(texts))


def test_a_stream_ends_as_if_it_had_not_been_streamed(streaming) -> None:
    """The last drawing and the annotation are the bytes of an answer that came at once."""
    run = streaming(_WORDS, drawn=1)
    assert [dict(output.data) for output in run.outputs[-2:]] == [
        *answer_bundles(run.value.text, "markdown"),
        drawn_line(run.value),
    ]


def test_an_answer_that_is_there_at_once_is_drawn_once(
    streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is whole before the patience ends gives two outputs and no update."""
    monkeypatch.setattr(live, "ANSWER_PATIENCE_S", _LONG_S)
    assert [output.kind for output in streaming(_WORDS).outputs] == ["display_data"] * 2


def test_without_threads_an_answer_is_drawn_when_it_is_whole(
    streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Pyodide: nothing is drawn while it grows, and nothing fails."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert [output.kind for output in streaming(_WORDS).outputs] == ["display_data"] * 2


def test_a_fast_stream_is_drawn_seldom(streaming) -> None:
    """Two thousand chunks in a second make no more than some ten drawings a second."""
    began = time.monotonic()
    outputs = streaming(["word "] * 2000, 0.0005).outputs
    assert len(outputs) <= 4 + (time.monotonic() - began) / 0.1


def test_a_streamed_answer_is_not_drawn_twice_in_its_cell(streaming, shell: RecordingShell) -> None:
    """The cell's value is the answer that stands there already; a later cell draws it again."""
    value = streaming(_WORDS).value
    LEDGER.cell = 99
    shell.user_ns["value"] = value
    assert len(shell.run("value").outputs) == 2


def test_a_hit_is_drawn_though_nothing_shows_its_value(shell: RecordingShell) -> None:
    """In a loop each cached answer stands there with its line, as each fresh one does."""
    shell.run("%load_ext jupyter_llmcache\n%llm_cache memory")
    shell.user_ns["model"] = Demo(sleep=0)
    ask = "for _ in range(3): get_ipython().run_cell_magic('llm', '-m model', 'hi')"
    texts = [output.text for output in shell.run(ask).outputs]
    assert [text.partition(" ")[0] for text in texts if SEPARATOR in text][-2:] == ["cached"] * 2
    assert texts.count(Demo(sleep=0).invoke("hi").text) == 3


def test_waiting_is_shown_with_its_seconds(shell: RecordingShell) -> None:
    """Before the first token a spinner counts seconds; the text takes its place."""

    def work() -> object:
        with stream_display() as display:
            until_drawn(shell, "⠋ waiting")
            display.update("text")
        whole = answer(miss(), text="text")
        finish(display, whole)
        return whole

    shell.user_ns["work"] = work
    outputs = shell.run("work()").outputs
    assert outputs[0].text.startswith("⠋ waiting for the first token · 0 s")
    assert outputs[-2].text == "text"
    assert outputs[-2].transient == outputs[0].transient


def test_waiting_for_a_turn_is_shown(shell: RecordingShell) -> None:
    """The spinner turns while a rate limiter lets the model wait, before it is asked."""
    shell.run("%load_ext jupyter_llmcache\n%llm_cache memory")
    limiter = InMemoryRateLimiter(requests_per_second=1, check_every_n_seconds=0.05)
    shell.user_ns["model"] = Demo(sleep=0, rate_limiter=limiter)
    outputs = shell.run("%%llm -m model\nhi").outputs
    assert outputs[0].text.startswith("⠋ waiting for the first token · 0 s")
    assert len(shell.run("%%llm -m model\nhi").outputs) == 2


def test_a_stream_that_fails_leaves_what_came(shell: RecordingShell) -> None:
    """After an error, or a stop by hand, the text so far stands there."""

    def work() -> None:
        with stream_display() as display:
            display.update("half an ans")
            until_drawn(shell, "half an ans")
            raise RuntimeError("cut")

    shell.user_ns["work"] = work
    outputs = shell.run("try: work()\nexcept RuntimeError: pass").outputs
    assert outputs[-1].text == "half an ans"
    assert len({output.transient["display_id"] for output in outputs}) == 1


def test_a_stream_that_fails_at_once_leaves_nothing(shell: RecordingShell) -> None:
    """Where nothing was drawn before the error, nothing is drawn after it."""

    def work() -> None:
        with stream_display():
            raise RuntimeError("no key")

    shell.user_ns["work"] = work
    assert shell.run("try: work()\nexcept RuntimeError: pass").outputs == []


@pytest.fixture
def terminal(shell: RecordingShell) -> RecordingShell:
    """A shell whose front end only prints."""
    shell.display_pub = DisplayPublisher(parent=shell)
    return shell


def test_a_terminal_only_appends(
    terminal: RecordingShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each piece is printed once, controls made visible, even where they are cut in two."""
    pieces = ["one ", "two\r", "\nthree\x1b", "[2J four", "\r"]
    text, printed = "", []
    with stream_display() as display:
        for piece in pieces:
            text += piece
            display.update(text)
            printed.append(capsys.readouterr().out)
    finish(display, answer(miss(), text=text))
    assert printed == ["one ", "two", "\nthree␛", "[2J four", ""]
    assert capsys.readouterr().out == "␍\n"


def test_a_terminal_prints_the_annotation_after_the_streamed_text(
    terminal: RecordingShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cell's value is then the annotation alone, in a line of its own below the text."""
    whole = answer(miss(), text="Four.")
    with stream_display() as display:
        display.update("Four.")
    finish(display, whole)
    terminal.user_ns["whole"] = whole
    (output,) = terminal.run("whole").outputs
    assert capsys.readouterr().out == "Four.\n"
    assert output.text == f"{whole.line}\n"


def test_a_terminal_prints_another_final_text_anew(
    terminal: RecordingShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the whole differs from what was streamed, it is printed below, whole."""
    with stream_display() as display:
        display.update("thinking")
    finish(display, answer(miss(), text="Four."))
    assert capsys.readouterr().out == "thinking\n\nFour.\n"
