"""A line that tells how far something slow has come; what is quick shows none."""

from __future__ import annotations

import contextvars
import itertools
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from html import escape
from types import TracebackType
from typing import Self, TypeVar

from ..text import format_count, format_seconds
from .answer import draws_html, publish

T = TypeVar("T")

#: Nothing is drawn before.
PATIENCE_S = 0.5
INTERVAL_S = 0.25
_FRAMES = "⠋⠙⠸⠴⠦⠇"


class Progress:
    """Draws while its block runs: what is done, how many entries, and how long it has taken.

    Args:
        doing: What is done, as ``importing course.db``.
        total: How many entries there are; None where that is not known.
    """

    def __init__(self, doing: str, total: int | None = None) -> None:
        self.done = 0
        self._doing = doing
        self._total = total
        self._began = time.monotonic()
        self._over = threading.Event()
        self._draws_html = draws_html()
        self._display_id = uuid.uuid4().hex
        self._drawn = False
        # A kernel knows by the context which cell an output belongs to.
        self._thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._draw,),
            name="llmcache-progress",
            daemon=True,
        )

    def __enter__(self) -> Self:
        if self._draws_html or sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._drawn:
            self._show("✗" if error else "✓", last=True)

    def update(self, done: int) -> None:
        """Note that ``done`` entries are done in all."""
        self.done = done

    def counting(self, items: Iterable[T]) -> Iterator[T]:
        """Yield ``items`` and count them."""
        for item in items:
            yield item
            self.done += 1

    def _draw(self) -> None:
        wait_s = PATIENCE_S
        for frame in itertools.cycle(_FRAMES):
            if self._over.wait(wait_s):
                return
            self._show(frame)
            wait_s = INTERVAL_S

    def _show(self, frame: str, *, last: bool = False) -> None:
        line = f"{frame} {self._line()}"
        if self._draws_html:
            bundle = {"text/html": self._html(line), "text/plain": line}
            publish(bundle, display_id=self._display_id, update=self._drawn)
        else:
            # The line is written over itself; the end of it wipes what was longer before.
            sys.stderr.write(f"\r{line}\x1b[K" + ("\n" if last else ""))
            sys.stderr.flush()
        self._drawn = True

    def _line(self) -> str:
        took = format_seconds(time.monotonic() - self._began)
        count = format_count(self.done, "entry")
        if self._total:
            count = f"{self.done:,} of {format_count(self._total, 'entry')}"
        return f"{self._doing} · {count} · {took}" if self.done else f"{self._doing} · {took}"

    def _html(self, line: str) -> str:
        bar = ""
        if self._total:
            bar = (
                f'<progress max="{self._total}" value="{self.done}" aria-hidden="true"></progress> '
            )
        return f'<div role="status">{bar}{escape(line)}</div>'
