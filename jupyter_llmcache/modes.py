"""How calls use the cache: auto, replay, refresh or bypass, and who decides.

Replay is a promise about the whole process ("nothing is sent"), so any replay in force anywhere
beats every other setting, in every thread. The other modes belong to whoever set them: a block or
a magic's flag (a ContextVar, which LangChain's own thread pools inherit, and which holds too for
threads that are started inside), then the session, then the environment.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeVar, get_args

from .errors import LLMCacheError

T = TypeVar("T")
Mode = Literal["auto", "replay", "refresh", "bypass"]
MODES: tuple[Mode, ...] = get_args(Mode)
ENVIRONMENT_VARIABLE = "LLMCACHE_MODE"
#: Set beside it: replay by the environment lets out what asks no model.
WEB_VARIABLE = "LLMCACHE_ALLOW_WEB"

#: Which embeddings go through the cache: those that ask somebody, all, or none.
Embedded = Literal["remote", "all", "off"]

_block_mode: ContextVar[Mode | None] = ContextVar("llmcache_block_mode", default=None)
#: The blocks that run now, the newest last: their mode, and the threads that were there before.
_blocks: dict[object, tuple[Mode, weakref.WeakSet[threading.Thread]]] = {}
_session_mode: Mode | None = None
_session_allows_web = False
_records = False
_embedded: Embedded = "remote"


#: Which sample a call made here and now asks for.
sample_number: ContextVar[int] = ContextVar("llmcache_sample", default=0)


@contextmanager
def sample(number: int) -> Iterator[None]:
    """Ask for the independent sample ``number`` inside a ``with`` block.

    The very same request is sent; its answer has an entry of its own. Sample 0 is the plain
    request's own entry.

    Raises:
        LLMCacheError: ``number`` is not a whole number of 0 or more.
    """
    whole = number.__index__() if hasattr(number, "__index__") else -1  # numpy's, too
    if isinstance(number, bool) or whole < 0:
        raise LLMCacheError(f"sample {number!r} is not a whole number of 0 or more", "Write 1")
    with setting(sample_number, whole):
        yield


#: Whether answers are stored even if they are empty, filtered or unfinished.
is_keeping: ContextVar[bool] = ContextVar("llmcache_is_keeping", default=False)
#: Whether a hit's stream comes in one piece: its reader waits for the whole of it.
is_whole: ContextVar[bool] = ContextVar("llmcache_is_whole", default=False)
#: Whether streams ask for their tokens where nobody has said whether they do.
asks_usage: ContextVar[bool] = ContextVar("llmcache_asks_usage", default=False)
#: Whether the first model call is stopped, before cache and provider, by ``Previewed``.
is_previewing: ContextVar[bool] = ContextVar("llmcache_is_previewing", default=False)
#: Called whenever a model's answer is not in the cache, before anybody is waited for.
on_miss: ContextVar[Callable[[], None]] = ContextVar("llmcache_on_miss", default=lambda: None)


@contextmanager
def setting(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Let ``variable`` have ``value`` inside the block."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


class Previewed(BaseException):  # no error, and no chain's retry may catch it
    """Raised in the place of a model call that is only previewed; carries it out of a chain."""

    def __init__(self, call: Any) -> None:
        self.call = call
        super().__init__("previewed")


def parse_mode(text: str, source: str = "mode") -> Mode:
    """Return ``text`` as a mode.

    Raises:
        LLMCacheError: ``text`` is no mode; the message names ``source`` and the four modes.
    """
    if text in MODES:
        return text
    raise LLMCacheError(f"{source}: there is no mode {text!r}", f"Choose one of {', '.join(MODES)}")


def current_mode() -> Mode:
    """Return the mode that is in force for a call made here and now."""
    if _records:
        return "auto"
    environment = _environment_mode()
    if _is_in_replay_block() or "replay" in (_session_mode, environment):
        return "replay"
    block = _block_mode.get() or (_mode_of_newcomer() if _blocks else None)
    return block or _session_mode or environment or "auto"


def _is_in_replay_block() -> bool:
    # Of a copy, as other threads begin and end blocks meanwhile. Most often there is none.
    return bool(_blocks) and any(mode == "replay" for mode, _ in list(_blocks.values()))


def _mode_of_newcomer() -> Mode | None:
    """Return the mode of the newest block inside which this thread was started."""
    here = threading.current_thread()
    newest_first = reversed(list(_blocks.values()))
    return next((mode for mode, before in newest_first if here not in before), None)


def record() -> None:
    """Stay in mode auto for as long as this process lives, whatever anybody sets."""
    global _records  # noqa: PLW0603  # one process has one mode
    _records = True


def set_session_mode(mode: Mode | None, *, allow_web: bool = False) -> None:
    """Set the mode for every call of this process that no block or flag decides; None unsets it.

    ``allow_web``: whether replay lets out what asks no model.
    """
    global _session_mode, _session_allows_web  # one process has one mode
    _session_mode, _session_allows_web = mode, allow_web


def allows_web() -> bool:
    """Whether what asks no model may leave this machine: not while any replay forbids it."""
    if _is_in_replay_block() or (
        _environment_mode() == "replay" and WEB_VARIABLE not in os.environ
    ):
        return False
    return _session_mode != "replay" or _session_allows_web


def session_mode() -> Mode | None:
    """Return what ``set_session_mode`` set."""
    return _session_mode


def set_embedded(which: Embedded) -> None:
    """Say which embeddings go through the cache, for the whole process."""
    global _embedded  # noqa: PLW0603  # one process has one global LangChain cache and so one choice
    _embedded = which


def embedded() -> Embedded:
    """Return what ``set_embedded`` set; "remote" before."""
    return _embedded


@contextmanager
def mode(name: str) -> Iterator[None]:
    """Use the cache in this mode inside a ``with`` block.

    It also holds in threads that are started inside the block, while the block runs; ``replay`` for
    the whole process.

    Raises:
        LLMCacheError: ``name`` is none of auto, replay, refresh, bypass.
    """
    wanted = parse_mode(name)
    block = object()
    _blocks[block] = wanted, weakref.WeakSet(threading.enumerate())
    try:
        with setting(_block_mode, wanted):
            yield
    finally:
        del _blocks[block]


def _environment_mode() -> Mode | None:
    text = os.environ.get(ENVIRONMENT_VARIABLE)
    return parse_mode(text, ENVIRONMENT_VARIABLE) if text else None
