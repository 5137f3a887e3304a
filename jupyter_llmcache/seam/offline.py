"""What holds while replay is in force: closed doors, a wall, and keys where lessons want some."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from .. import modes
from ..errors import StoreError
from ..provider_row import PLACEHOLDER_KEY
from . import clients, serving, sockets
from .web_request import key_variables_in

if TYPE_CHECKING:
    from ..stores.base import Store

#: Lessons set these from themselves, which fails where nothing is set; traces are not sent.
_TRACING_KEYS = ("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY")

_owners: weakref.WeakSet[object] = weakref.WeakSet()
_placed: dict[str, str] = {}
_lock = threading.RLock()


def hold(owner: object) -> None:
    """Let nothing leave this machine while ``owner`` lives and until ``release``.

    Processes that this one starts replay too, as far as they import this package.
    """
    if modes.current_mode() != "replay":
        return  # a lesson that is just recorded may ask for replay
    with _lock:
        _owners.add(owner)
        clients.install(owner)
        for web in serving.webs():
            _prepare(web.store)
        _place(_TRACING_KEYS, PLACEHOLDER_KEY)
        if not modes.allows_web():
            _place([modes.ENVIRONMENT_VARIABLE], "replay")
        sockets.close(owner)


def hold_process() -> None:
    """Hold for as long as this process lives, unless the environment changes its mind."""
    hold(_PROCESS)


class _Process:
    """Who holds where the environment asks for replay."""


_PROCESS = _Process()


def release(owner: object) -> None:
    """Give everything back once no owner is left, but for what the notebook has set itself."""
    with _lock:
        _owners.discard(owner)
        clients.uninstall(owner)
        sockets.reopen(owner)
        for name in [modes.ENVIRONMENT_VARIABLE] if _owners else list(_placed):
            value = _placed.pop(name, None)
            if value is not None and os.environ.get(name) == value:
                del os.environ[name]
        if _owners and not modes.allows_web():
            _place([modes.ENVIRONMENT_VARIABLE], "replay")


def join(store: Store) -> None:
    """Prepare for a store that is turned on while replay holds."""
    with _lock:
        if _owners:
            _prepare(store)


def _prepare(store: Store) -> None:
    sockets.free(getattr(store, "hosts", ()))
    with suppress(StoreError):  # closed meanwhile, or at fault, which its own calls will tell
        _place(key_variables_in(store.requests()), PLACEHOLDER_KEY)


def _place(names: Iterable[str], value: str) -> None:
    for name in names:
        if not os.environ.get(name):
            os.environ[name] = _placed[name] = value
