"""What holds for the calls of one block, and which requests were made last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from .. import request as keys

#: The requests of the newest calls that no entry tells of, for ``explain last``. Few, because a
#: request holds its messages, images and all.
_recent: deque[keys.Request] = deque(maxlen=8)


def recent_request(key: bytes) -> keys.Request | None:
    """Return the request of ``key`` if it is one of the newest that have no entry."""
    return next((request for request in reversed(_recent) if request.key == key), None)


def remember(request: keys.Request) -> None:
    """Keep ``request`` until some newer ones came."""
    _recent.append(request)


#: Set by ``--keep``: store the answer whatever the verdict on it is.
is_keeping: ContextVar[bool] = ContextVar("llmcache_is_keeping", default=False)
#: Set while a hit's stream comes in one piece.
is_whole: ContextVar[bool] = ContextVar("llmcache_is_whole", default=False)
#: Set while a model call is only described.
is_previewing: ContextVar[bool] = ContextVar("llmcache_is_previewing", default=False)


def keeping() -> AbstractContextManager[None]:
    """Store answers inside the block even if they are empty, filtered or unfinished."""
    return _setting(is_keeping)


def in_one_piece() -> AbstractContextManager[None]:
    """Stream hits in one piece inside the block: its reader waits for the whole of them."""
    return _setting(is_whole)


def previewing() -> AbstractContextManager[None]:
    """Stop the first model call of the block, before cache and provider, by ``Previewed``."""
    return _setting(is_previewing)


@contextmanager
def _setting(flag: ContextVar[bool]) -> Iterator[None]:
    token = flag.set(True)
    try:
        yield
    finally:
        flag.reset(token)


class Previewed(BaseException):  # no error, and no chain's retry may catch it
    """Raised instead of the first model call inside ``previewing``; carries it out of a chain."""

    def __init__(self, call: Any) -> None:
        self.call = call
        super().__init__("previewed")
