"""The fixtures keep what they promise to the other tests."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from tests.network import NetworkUsedError


def test_shell_keeps_values_outputs_and_errors(shell):
    """A cell's value, displays, printed text and error come back apart."""
    run = shell.run(
        "from IPython.display import display, HTML\ndisplay(HTML('<b>'))\nprint('p')\n7"
    )
    assert (run.value, run.stdout, run.error) == (7, "p\n", None)
    assert [output.kind for output in run.outputs] == ["display_data", "execute_result"]
    assert run.outputs[0].html == "<b>"
    assert run.outputs[1].text == "7"
    assert shell.run("1/0", check=False).error.args == ("division by zero",)
    with pytest.raises(ZeroDivisionError):
        shell.run("1/0")


def test_shell_counts_cells_and_keeps_underscore(shell):
    """Cells are numbered and ``_`` holds the last value, as for a person."""
    assert shell.run("40 + 2").value == 42
    assert shell.run("_").value == 42
    assert shell.execution_count == 3


def test_shell_is_the_one_that_code_finds(shell):
    """``get_ipython()`` inside a cell and outside of it is this shell."""
    from IPython import get_ipython

    assert get_ipython() is shell
    assert shell.run("get_ipython()").value is shell


def test_shell_awaits(shell):
    """A cell may await at its top level."""
    assert shell.run("import asyncio\nawait asyncio.sleep(0, 'done')").value == "done"


def test_shell_updates_are_kept_with_their_id(shell):
    """An update of a display is told from the display that it updates."""
    run = shell.run(
        "from IPython.display import display\nhandle = display(1, display_id='a')\nhandle.update(2)"
    )
    assert [output.kind for output in run.outputs] == ["display_data", "update_display_data"]
    assert {output.transient["display_id"] for output in run.outputs} == {"a"}


def test_tests_start_without_keys_in_an_empty_folder(tmp_path, monkeypatch):
    """No variable of a provider and no file is there when a test begins."""
    assert not [name for name in os.environ if name.startswith("OPENAI_")]
    assert list(tmp_path.iterdir()) == []
    assert os.path.realpath(".") == os.path.realpath(tmp_path)


def test_no_network_lets_this_machine_through(no_network, chat_openai):
    """Calls to 127.0.0.1 work while nothing else would."""
    assert chat_openai().invoke("?").text


@pytest.mark.parametrize(
    "reach",
    [
        lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
        lambda: socket.getaddrinfo("example.invalid", 443),
        lambda: asyncio.run(asyncio.open_connection("192.0.2.1", 80)),
    ],
    ids=["connect", "name", "asyncio"],
)
def test_no_sockets_refuses_and_counts(no_sockets, reach):
    """Every way to reach a host raises, and what was tried is known."""
    with pytest.raises(NetworkUsedError):
        reach()
    assert len(no_sockets.attempts) == 1


def test_no_sockets_refuses_this_machine_too(no_sockets, chat_openai):
    """Not even a server on 127.0.0.1 is reached."""
    with pytest.raises(Exception, match=r"Connection error|socket"):
        chat_openai().invoke("?")
    assert no_sockets.attempts
