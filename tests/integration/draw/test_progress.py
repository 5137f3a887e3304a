"""The line that tells how far something slow has come."""

from __future__ import annotations

import sys
import time

import pytest

from jupyter_llmcache.draw import live
from jupyter_llmcache.draw.live import Progress


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Draw soon, so that nothing has to be slow."""
    monkeypatch.setattr(live, "PATIENCE_S", 0.02)
    monkeypatch.setattr(live, "INTERVAL_S", 0.02)


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_what_is_slow_is_told_in_one_output(shell):
    """The line is drawn once and then only changed; at the end nothing of it is left."""
    with Progress("importing a.db", total=10, look=lambda: (3, "2 cached")):
        wait_for(lambda: any("3 of 10" in output.text for output in shell.outputs[1:]))
        text, html = shell.outputs[-1].text, shell.outputs[-1].html
    first, *others = shell.outputs
    assert first.kind == "display_data"
    assert {output.kind for output in others} == {"update_display_data"}
    assert {output.transient["display_id"] for output in shell.outputs} == {
        first.transient["display_id"]
    }
    assert "importing a.db · 3 of 10 entries · 2 cached · " in text
    assert text.endswith(" left")
    assert '<progress max="10" value="3"' in html
    assert shell.outputs[-1].data == {}


def test_what_is_quick_shows_nothing(shell, monkeypatch):
    """Nothing is drawn for what is over at once."""
    monkeypatch.setattr(live, "PATIENCE_S", 30)
    with Progress("importing a.db") as told:
        told.done = 1
    assert shell.outputs == []


def test_a_failure_leaves_no_line(shell):
    """What ends with an error leaves its line to the error."""

    def fail():
        with Progress("exporting to <b>"):
            wait_for(lambda: shell.outputs)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert "<b>" not in shell.outputs[0].html
    assert shell.outputs[-1].data == {}


def test_entries_are_counted_as_they_pass(shell):
    """What is iterated over counts itself."""
    with Progress("verifying a.db") as told:
        assert list(told.counting("abc")) == ["a", "b", "c"]
        assert told.done == 3


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_has_one_line_and_a_file_none(monkeypatch, capsys, is_terminal):
    """In a terminal the line is written over itself; into a file nothing is written."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    with Progress("importing a.db") as told:
        wait_for(lambda: told._drawn or not is_terminal)
    written = capsys.readouterr().err
    assert written.startswith("\r") == is_terminal
    assert written.endswith("\r\x1b[K") == is_terminal
    assert "\n" not in written
