"""Why a request hit, missed or was not cached, in words."""

from __future__ import annotations

from collections.abc import Sequence

from ..request.compare import Difference, differences
from ..stores.base import Store
from ..text import one_line
from .nearest import Near, Wanted, nearest

__all__ = ["Difference", "Near", "differences", "nearest", "nearest_line"]

#: Differences that one line tells of; the others are counted.
_LINE_DIFFERENCES = 3
#: Hexadecimal digits that name an entry in a line.
KEY_DIGITS = 8


def nearest_line(store: Store, request: Wanted) -> str | None:
    """Return one line: the recorded request that is most like ``request``, and what differs.

    Never raises: whoever asks has a worse error to tell. None when there is nothing to say.
    """
    try:
        near = nearest(store, request, 1)
    except Exception:  # noqa: BLE001  # this line is a courtesy inside another error
        return None
    if not near:
        return f"{one_line(store.location)} holds no entry yet"
    record = near[0].record
    title = one_line(record.title, 40)
    key = record.key.hex()[:KEY_DIGITS]
    return f"the nearest recorded one is {key} '{title}': {differences_line(near[0].differences)}"


def differences_line(found: Sequence[Difference]) -> str:
    """Return the differences on one line, the first three in words."""
    if not found:
        return "nothing differs"
    parts = [one_line(difference, 160) for difference in found[:_LINE_DIFFERENCES]]
    if len(found) > _LINE_DIFFERENCES:
        parts.append(f"and {len(found) - _LINE_DIFFERENCES} more")
    return "; ".join(parts)
