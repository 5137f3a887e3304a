"""What is drawn while it goes on: an answer that grows, and how far something slow has come.

In a notebook a thread draws each into outputs of its own, seldom enough to stay out of the way.
In a terminal an answer is appended and nothing of it is touched again; a line of progress is
written over itself.
"""

from __future__ import annotations

import contextvars
import itertools
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from html import escape
from queue import Empty, SimpleQueue
from typing import Self, TypeVar

from ..ledger import Call, total_usd
from ..text import (
    format_count,
    format_seconds,
    format_usd,
    narrowed,
    one_line,
    settled,
    terminal_columns,
    visible,
)
from . import (
    NOTHING,
    Bundle,
    Format,
    GrowingAnswer,
    answer_bundles,
    draws_html,
    publish,
)
from .table import SEPARATOR

T = TypeVar("T")

#: Seconds before anything is drawn: what is there by then of an answer is drawn once.
ANSWER_PATIENCE_S, PATIENCE_S = 0.15, 0.5
#: What a person's own code does for less is not told of.
CODE_PATIENCE_S = 2.0
#: Seconds between two drawings of progress, and of how long an answer is waited for.
INTERVAL_S, SPINNER_INTERVAL_S = 0.25, 1.0
#: Of an answer at least these, and never less than so many times what the last drawing took: 2.5 %
#: of the time at most. But not more than the last, so that a text that is slow to draw still grows.
MIN_INTERVAL_S, INTERVAL_PER_COST, MAX_INTERVAL_S = 0.1, 40, 2.0
#: The time left is told when so much of the work is done.
_FORESEEN = 0.02
_FRAMES = "⠋⠙⠸⠴⠦⠇"


class _Live:
    """Draws from a thread of its own until its block ends.

    Where there are no threads, as in Pyodide, nothing is drawn before the end.
    """

    def __init__(self, draw: Callable[[], None]) -> None:
        self._began = time.monotonic()
        self._display_id = uuid.uuid4().hex
        self._drawn: list[Bundle] = []
        self._stopped = False
        # An interrupt inside of an event's or a condition's own code would leave it locked.
        self._news: SimpleQueue[None] = SimpleQueue()
        # A kernel knows by the context which cell an output belongs to.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(draw,), daemon=True)

    def __enter__(self) -> Self:
        with suppress(RuntimeError):
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped = True
        self._news.put(None)
        with suppress(RuntimeError):  # it was never started
            self._thread.join()

    def _wait(self, interval_s: float) -> bool:
        """Wait for the next drawing; return whether to go on.

        The end is not waited for, nor is news that takes the place of what is drawn.
        """
        due = time.monotonic() + interval_s
        with suppress(Empty):
            while not self._stopped:
                self._news.get(timeout=max(0.0, due - time.monotonic()))
                if self._drawn:
                    break
        return not self._stopped

    def _show(self, bundles: list[Bundle]) -> None:
        """Draw what is not drawn yet, each output in its place."""
        for number, bundle in enumerate([*bundles, *[NOTHING] * (len(self._drawn) - len(bundles))]):
            was = self._drawn[number : number + 1]
            if was != [bundle]:
                publish(bundle, display_id=f"{self._display_id}-{number}", update=bool(was))
                self._drawn[number : number + 1] = [bundle]


# --- an answer ---


def stream_display(drawn_as: Format = "markdown") -> StreamDisplay:
    """Return what draws an answer while it arrives; ``drawn_as``: see ``Answer.format``.

    Inside a ``with`` its ``update`` takes the whole text so far, and returns at once; after it
    ``finish`` draws the whole for good, the same as if it had not been streamed.
    """
    return _Notebook(drawn_as) if draws_html() else _Terminal()


class _Terminal:
    """Appends; a character that may still belong to what comes next is held back."""

    def __init__(self) -> None:
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def update(self, text: str) -> None:
        self._append(visible(settled(text)))

    def __exit__(self, error: object, *_: object) -> None:
        if error and self._shown:
            sys.stdout.write("\n")

    def finish(self, text: str) -> None:
        self._append(visible(text))
        sys.stdout.write("\n")
        sys.stdout.flush()

    def _append(self, whole: str) -> None:
        if not whole.startswith(self._shown):
            sys.stdout.write("\n\n")
            self._shown = ""
        sys.stdout.write(whole[len(self._shown) :])
        sys.stdout.flush()
        self._shown = whole


class _Notebook(_Live):
    """Draws the newest text, and a spinner before there is any; the stream waits for no drawing."""

    def __init__(self, drawn_as: Format) -> None:
        super().__init__(self._draw)
        self._drawn_as = drawn_as
        self._text = ""

    def update(self, text: str) -> None:
        is_first = not self._text
        self._text = text
        if is_first:
            self._news.put(None)

    def __exit__(self, *error: object) -> None:
        super().__exit__()
        if error[0] and (self._drawn or self._text):
            self._show(answer_bundles(self._text, self._drawn_as) if self._text else [])

    def finish(self, text: str) -> None:
        self._show(answer_bundles(text, self._drawn_as))

    def _draw(self) -> None:
        growing = GrowingAnswer()
        growing.bundles("")  # what drawing imports is loaded while the provider thinks
        interval_s, drawn = ANSWER_PATIENCE_S, ""
        frames = itertools.cycle(_FRAMES)
        while self._wait(interval_s):
            text, began = self._text, time.thread_time()
            if not text:
                waited_s = time.monotonic() - self._began
                line = f"{next(frames)} waiting for the first token · {waited_s:.0f} s"
                self._show([_status(line)])
                interval_s = SPINNER_INTERVAL_S
                continue
            if text != drawn:
                is_markdown = self._drawn_as == "markdown"
                self._show(growing.bundles(text) if is_markdown else answer_bundles(text, "text"))
                drawn = text
            cost_s = time.thread_time() - began
            interval_s = min(max(MIN_INTERVAL_S, INTERVAL_PER_COST * cost_s), MAX_INTERVAL_S)


StreamDisplay = _Notebook | _Terminal


def _status(line: str, bar: str = "") -> Bundle:
    return {"text/html": f'<div role="status">{bar}{escape(line)}</div>', "text/plain": line}


# --- progress ---

#: One line is enough: what is done inside of something that is told of is a part of it.
_is_told: contextvars.ContextVar[bool] = contextvars.ContextVar("llmcache_is_told", default=False)


class Progress(_Live):
    """Draws while its block runs: what is done of all, remarks, and the time left.

    Where nobody looks on, in a notebook that is executed or a file, nothing is drawn.

    Args:
        doing: What is done, as ``importing course.db``.
        total: How many there are; None where that is not known.
        noun: What is counted, one of it.
        patience_s: How long nothing is drawn, in seconds.
        look: Tells before each drawing how many are done, and what there is to remark, as
            ``2 cached``, where nobody counts in ``done``; None: there is nothing to tell yet.
    """

    def __init__(
        self,
        doing: str,
        total: int | None = None,
        noun: str = "entry",
        patience_s: float | None = None,
        look: Callable[[], tuple[int, str] | None] | None = None,
    ) -> None:
        super().__init__(self._draw)
        self.done = 0
        self._doing, self._total, self._noun = doing, total, noun
        self._look = look or (lambda: (self.done, ""))
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._draws_html = draws_html()

    def __enter__(self) -> Self:
        has_eyes = _has_reader() if self._draws_html else sys.stderr.isatty()
        if has_eyes and not _is_told.get():
            super().__enter__()
        self._outer = _is_told.set(True)
        return self

    def __exit__(self, *error: object) -> None:
        _is_told.reset(self._outer)
        super().__exit__()
        if self._drawn:
            self._show([])

    @property
    def left(self) -> str | None:
        """The display id of the empty output that is left; None where there is none."""
        return f"{self._display_id}-0" if self._drawn and self._draws_html else None

    def counting(self, items: Iterable[T]) -> Iterator[T]:
        """Yield ``items`` and count them."""
        for item in items:
            yield item
            self.done += 1

    def _draw(self) -> None:
        wait_s = self._patience_s
        for frame in itertools.cycle(_FRAMES):
            if not self._wait(wait_s):
                return
            if (seen := self._look()) is not None:
                self.done, remark = seen
                self._show([_status(f"{frame} {self._line(remark)}", self._bar())])
            wait_s = INTERVAL_S

    def _show(self, bundles: list[Bundle]) -> None:
        if self._draws_html:
            super()._show(bundles)
            return
        # The line is written over itself; the end of it wipes what was longer before.
        line = "".join(bundle["text/plain"] for bundle in bundles)
        sys.stderr.write(f"\r{narrowed(line, terminal_columns() - 1)}\x1b[K")
        sys.stderr.flush()
        self._drawn = bundles

    def _line(self, remark: str) -> str:
        took_s = time.monotonic() - self._began
        count = format_count(self.done, self._noun) if self.done else ""
        if self._total:
            count = f"{self.done:,} of {format_count(self._total, self._noun)}"
        parts = [one_line(self._doing), count, remark, format_seconds(took_s)]
        if self._total and self.done >= max(1, self._total * _FORESEEN):
            left_s = took_s * (self._total - self.done) / self.done
            parts.append(f"{format_seconds(left_s)} left")
        return SEPARATOR.join(filter(None, parts))

    def _bar(self) -> str:
        if not self._total:
            return ""
        numbers = f'max="{self._total}" value="{min(self.done, self._total)}"'
        return f'<progress {numbers} aria-hidden="true"></progress> '


def _has_reader() -> bool:
    """Return whether somebody may look on while a cell runs.

    Who executes a notebook as a whole, as nbconvert does, lets its cells ask for no input.
    """
    from IPython.core.getipython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return True
    request = kernel.get_parent() if hasattr(kernel, "get_parent") else {}
    return bool(request.get("content", {}).get("allow_stdin", True))


def remark_on(cached: int, failed: int, calls: Iterable[Call]) -> str:
    """Return how many were cached and how many failed, and what ``calls`` cost."""
    counts = ((cached, "cached"), (failed, "failed"))
    spent = total_usd(call for call in calls if call.kind != "hit")
    told = (f"{count:,} {what}" for count, what in counts if count)
    return SEPARATOR.join(filter(None, [*told, format_usd(spent or None)]))
