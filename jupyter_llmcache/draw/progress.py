"""A line that tells how far something slow has come; it is gone when all is done."""

from __future__ import annotations

import itertools
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from html import escape
from typing import Self, TypeVar

from ..ledger import Call, total_usd
from ..text import (
    format_count,
    format_seconds,
    format_usd,
    narrowed,
    one_line,
    terminal_columns,
)
from .answer import NOTHING, draws_html, has_reader, publish, start_drawing
from .table import SEPARATOR

T = TypeVar("T")

#: Nothing is drawn before.
PATIENCE_S = 0.5
INTERVAL_S = 0.25
#: What a person's own code does for less is not told of.
CODE_PATIENCE_S = 2.0
#: The time left is told when so much of the work is done.
_FORESEEN = 0.02
_FRAMES = "⠋⠙⠸⠴⠦⠇"
#: One line is enough: what is done inside of something that is told of is a part of it.
_is_told: ContextVar[bool] = ContextVar("llmcache_is_told", default=False)


class Progress:
    """Draws while its block runs: what is done of all, remarks, and the time left.

    Where nobody looks on, in a notebook that is executed or a file, nothing is drawn.

    Args:
        doing: What is done, as ``importing course.db``.
        total: How many there are; None where that is not known.
        noun: What is counted, one of it.
        patience_s: How long nothing is drawn, in seconds.
        look: Tells before each drawing how many are done, and what there is to remark, where
            nobody calls ``update``; None: there is nothing to tell yet.
    """

    def __init__(
        self,
        doing: str,
        total: int | None = None,
        noun: str = "entry",
        patience_s: float | None = None,
        look: Callable[[], tuple[int, str] | None] | None = None,
    ) -> None:
        self.done = 0
        self._doing, self._total, self._noun = doing, total, noun
        self._remark = ""
        self._look = look or (lambda: (self.done, self._remark))
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._began = time.monotonic()
        self._going = threading.Lock()  # an event's lock, interrupted, would stay locked
        self._going.acquire()
        self._draws_html = draws_html()
        self._display_id = uuid.uuid4().hex
        self._drawn = False
        self._join: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        has_eyes = has_reader() if self._draws_html else sys.stderr.isatty()
        if has_eyes and not _is_told.get():
            self._join = start_drawing(self._draw, "llmcache-progress")
        self._outer = _is_told.set(True)
        return self

    def __exit__(self, *_: object) -> None:
        _is_told.reset(self._outer)
        self._going.release()
        self._join()
        if self._drawn and self._draws_html:
            publish(NOTHING, display_id=self._display_id, update=True)
        elif self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    @property
    def left(self) -> str | None:
        """The display id of the empty output that is left; None where there is none."""
        return self._display_id if self._drawn and self._draws_html else None

    def update(self, done: int, remark: str = "") -> None:
        """Note that ``done`` are done in all, and what there is to remark, as ``2 cached``."""
        self.done, self._remark = done, remark

    def counting(self, items: Iterable[T]) -> Iterator[T]:
        """Yield ``items`` and count them."""
        for item in items:
            yield item
            self.done += 1

    def _draw(self) -> None:
        wait_s = self._patience_s
        for frame in itertools.cycle(_FRAMES):
            if self._going.acquire(timeout=wait_s):
                return
            if (seen := self._look()) is not None:
                self.update(*seen)
                self._show(f"{frame} {self._line()}")
            wait_s = INTERVAL_S

    def _show(self, line: str) -> None:
        if self._draws_html:
            bundle = {"text/html": self._html(line), "text/plain": line}
            publish(bundle, display_id=self._display_id, update=self._drawn)
        else:
            # The line is written over itself; the end of it wipes what was longer before.
            sys.stderr.write(f"\r{narrowed(line, terminal_columns() - 1)}\x1b[K")
            sys.stderr.flush()
        self._drawn = True

    def _line(self) -> str:
        took_s = time.monotonic() - self._began
        parts = [one_line(self._doing), self._count(), self._remark, format_seconds(took_s)]
        if self._total and self.done >= max(1, self._total * _FORESEEN):
            left_s = took_s * (self._total - self.done) / self.done
            parts.append(f"{format_seconds(left_s)} left")
        return SEPARATOR.join(filter(None, parts))

    def _count(self) -> str:
        if self._total:
            return f"{self.done:,} of {format_count(self._total, self._noun)}"
        return format_count(self.done, self._noun) if self.done else ""

    def _html(self, line: str) -> str:
        bar = ""
        if self._total:
            numbers = f'max="{self._total}" value="{min(self.done, self._total)}"'
            bar = f'<progress {numbers} aria-hidden="true"></progress> '
        return f'<div role="status">{bar}{escape(line)}</div>'


def remark_on(cached: int, failed: int, calls: Iterable[Call]) -> str:
    """Return how many were cached and how many failed, and what ``calls`` cost."""
    counts = ((cached, "cached"), (failed, "failed"))
    spent = total_usd(call for call in calls if call.kind != "hit")
    told = (f"{count:,} {what}" for count, what in counts if count)
    return SEPARATOR.join(filter(None, [*told, format_usd(spent or None)]))
