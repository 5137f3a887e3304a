"""The requests of the newest calls, so that ``explain last`` can speak of one that has no entry."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nearest import Wanted

#: Few, because a request holds its messages, images and all.
_KEPT = 8

_requests: deque[Wanted] = deque(maxlen=_KEPT)


def remember(request: Wanted) -> None:
    """Keep ``request`` until some newer ones came."""
    _requests.append(request)


def recall(key: bytes) -> Wanted | None:
    """Return the request of ``key`` if it is one of the newest."""
    return next((request for request in reversed(_requests) if request.key == key), None)


def forget_all() -> None:
    """Keep nothing."""
    _requests.clear()
