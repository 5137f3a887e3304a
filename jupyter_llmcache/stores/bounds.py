"""How long entries are good and how many there may be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import LLMCacheError


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a store; None is no limit.

    Attributes:
        ttl_s: How long an entry is good, in seconds since it was recorded.
        max_entries: How many entries there may be.
        max_size_bytes: How much the entries, or the file that holds them, may take.

    Raises:
        LLMCacheError: A limit is not above zero.
    """

    ttl_s: float | None = None
    max_entries: int | None = None
    max_size_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("ttl_s", "max_entries", "max_size_bytes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise LLMCacheError(
                    f"{name} is {value!r}", "Give a number above 0, or leave it out"
                )

    def oldest_good(self, now: float) -> float:
        """Return the Unix time in seconds up to which entries are too old at ``now``."""
        return -math.inf if self.ttl_s is None else now - self.ttl_s


def low_mark(bound: int) -> int:
    """Return how far below a reached bound to clear, so that the next puts need not clear again."""
    return bound - bound // 64
