"""What holds for the calls of one block, and which requests were made last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
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
is_keeping: ContextVar[bool] = ContextVar("llmcacheis_keeping", default=False)


@contextmanager
def keeping() -> Iterator[None]:
    """Store answers inside the block even if they are empty, filtered or unfinished."""
    token = is_keeping.set(True)
    try:
        yield
    finally:
        is_keeping.reset(token)


class Previewed(BaseException):  # no error, and no chain's retry may catch it
    """Raised instead of the first model call inside ``previewing``; carries it out of a chain."""

    def __init__(self, call: Any) -> None:
        self.call = call
        super().__init__("previewed")


is_previewing: ContextVar[bool] = ContextVar("llmcacheis_previewing", default=False)


@contextmanager
def previewing() -> Iterator[None]:
    """Stop the first model call of the block, before cache and provider, by ``Previewed``."""
    token = is_previewing.set(True)
    try:
        yield
    finally:
        is_previewing.reset(token)
