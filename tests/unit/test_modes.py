"""Who decides how a call uses the cache."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llmcache import modes
from jupyter_llmcache.errors import LLMCacheError

SETTERS = st.sampled_from(modes.MODES) | st.none()


def test_auto_is_the_mode_when_nobody_says_anything():
    """With no block, no session mode and no variable the mode is auto."""
    assert modes.current_mode() == "auto"


@pytest.mark.parametrize("name", modes.MODES)
def test_a_block_decides_inside_and_nothing_is_left_of_it(name):
    """A with block sets the mode and gives the old one back."""
    with modes.mode(name):
        assert modes.current_mode() == name
    assert modes.current_mode() == "auto"


def test_an_inner_block_beats_an_outer_one():
    """The innermost block decides, as long as no replay is in force."""
    with modes.mode("bypass"), modes.mode("refresh"):
        assert modes.current_mode() == "refresh"


@pytest.mark.parametrize("inner", ["auto", "refresh", "bypass"])
def test_replay_beats_every_inner_block(inner):
    """Inside a replay block no other mode can be reached."""
    with modes.mode("replay"), modes.mode(inner):
        assert modes.current_mode() == "replay"


@given(block=SETTERS, session=SETTERS, environment=SETTERS)
def test_any_replay_wins_and_else_the_nearest_setter_does(block, session, environment):
    """Replay from anywhere wins; otherwise block beats session, and session beats environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(modes.ENVIRONMENT_VARIABLE, environment or "")
        modes.set_session_mode(session)
        try:
            with modes.mode(block) if block else modes.mode("auto"):
                seen = modes.current_mode()
        finally:
            modes.set_session_mode(None)
    if "replay" in (block, session, environment):
        assert seen == "replay"
    else:
        assert seen == (block or "auto")


def test_the_session_beats_the_environment(monkeypatch):
    """A mode set in the notebook beats the variable."""
    monkeypatch.setenv(modes.ENVIRONMENT_VARIABLE, "bypass")
    assert modes.current_mode() == "bypass"
    modes.set_session_mode("refresh")
    assert modes.current_mode() == "refresh"


def test_a_replay_block_holds_in_a_thread_that_sees_no_context():
    """Replay reaches threads that the user starts, which inherit no context variable."""
    with modes.mode("replay"):
        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.append(modes.current_mode()))
        thread.start()
        thread.join()
    assert seen == ["replay"]


def test_two_replay_blocks_in_two_threads_end_one_after_the_other():
    """Replay stays in force until the last of several open blocks is left."""
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with modes.mode("replay"):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    with modes.mode("replay"):
        pass
    assert modes.current_mode() == "replay"
    leave.set()
    thread.join()
    assert modes.current_mode() == "auto"


def test_an_exception_ends_a_replay_block():
    """A block that raises leaves nothing in force."""
    with pytest.raises(RuntimeError), modes.mode("replay"):
        raise RuntimeError
    assert modes.current_mode() == "auto"


def test_an_unknown_mode_is_one_line_that_lists_the_modes():
    """A wrong name is answered by the name and the four right ones."""
    with pytest.raises(LLMCacheError) as caught, modes.mode("reply"):
        pass
    assert "'reply'" in str(caught.value)
    assert all(name in str(caught.value) for name in modes.MODES)


def test_a_wrong_variable_is_named_in_the_error(monkeypatch):
    """A wrong LLMCACHE_MODE is answered by the variable's name, not passed over."""
    monkeypatch.setenv(modes.ENVIRONMENT_VARIABLE, "playback")
    with pytest.raises(LLMCacheError) as caught:
        modes.current_mode()
    assert modes.ENVIRONMENT_VARIABLE in str(caught.value)


@pytest.mark.parametrize("name", ["refresh", "bypass", "replay"])
def test_a_block_holds_in_threads_started_inside(name):
    """A thread of the user's own sees the block in which it was started, an older one does not."""
    seen = {}
    go_on = threading.Event()

    def look(who: str) -> None:
        go_on.wait(10)
        seen[who] = modes.current_mode()

    older = threading.Thread(target=look, args=("older",))
    older.start()
    with modes.mode(name):
        newer = threading.Thread(target=look, args=("newer",))
        newer.start()
        go_on.set()
        older.join()
        newer.join()
    assert seen == {"older": "replay" if name == "replay" else "auto", "newer": name}
