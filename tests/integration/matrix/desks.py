"""What a model of ours does when it is asked; not in the model, whose state is in its key."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

#: Runs inside the n-th request (from 1).
Deed = Callable[[int], None]


@dataclass
class Desk:
    """Counts requests, and does something in each.

    Attributes:
        asked: What was asked, in order.
        deed: Runs in the asking thread.
    """

    deed: Deed = lambda number: None
    asked: list[object] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, prompt: object) -> int:
        """Return how many requests there were, this one included."""
        with self._lock:
            self.asked.append(prompt)
            number = len(self.asked)
        self.deed(number)
        return number


_desks: dict[str, Desk] = {}


def new(name: str, deed: Deed = lambda number: None) -> Desk:
    """Open the desk of the models called ``name``."""
    _desks[name] = Desk(deed)
    return _desks[name]


def ask(name: str, prompt: object) -> int:
    """Ask at the desk ``name``."""
    return _desks.setdefault(name, Desk()).ask(prompt)
