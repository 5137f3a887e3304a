"""An answer that grows: one owner draws it, seldom enough to stay out of the way.

In a notebook one thread draws the newest text into one output, and a spinner before there is any.
In a terminal the text is appended and nothing printed is ever touched again.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
import uuid
from collections.abc import Callable
from functools import cached_property
from html import escape
from typing import Self

from ..text import settled, visible
from .answer import (
    NOTHING,
    Bundle,
    Format,
    GrowingAnswer,
    answer_bundles,
    draws_html,
    publish,
    start_drawing,
)

#: Seconds between two drawings, at least ...
MIN_INTERVAL_S = 0.1
#: ... and never less than so many times what the last one took: 2.5 % of the time at most ...
INTERVAL_PER_COST = 40
#: ... but at most these, so that a text that is slow to draw still grows.
MAX_INTERVAL_S = 2.0
#: Nothing is drawn before; what is there by then is drawn once.
PATIENCE_S = 0.15
SPINNER_INTERVAL_S = 1.0
_SPINNER = "⠋⠙⠸⠴⠦⠇"


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


class _Notebook:
    """Draws from a thread of its own, so that the stream never waits for a drawing."""

    def __init__(self, drawn_as: Format) -> None:
        self._drawn_as = drawn_as
        self._began = time.monotonic()
        self._display_id = uuid.uuid4().hex
        self._drawn: list[Bundle] = []
        self._text = ""
        # Taken by itself: an interrupt inside of a condition's own code would leave it locked.
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)
        self._stopped = False
        self._join = start_drawing(self._draw_until_stopped, "llmcache-stream")

    def __enter__(self) -> Self:
        return self

    def update(self, text: str) -> None:
        with self._lock:
            is_first = not self._text
            self._text = text
            if is_first:
                self._news.notify()

    def __exit__(self, error: object, *_: object) -> None:
        with self._lock:
            self._stopped = True
            self._news.notify()
        self._join()
        if error and (self._drawn or self._text):
            self._publish(answer_bundles(self._text, self._drawn_as) if self._text else [])

    def finish(self, text: str) -> None:
        self._publish(answer_bundles(text, self._drawn_as))

    @cached_property
    def _bundles(self) -> Callable[[str], list[Bundle]]:
        if self._drawn_as == "markdown":
            return GrowingAnswer().bundles
        return lambda text: answer_bundles(text, "text")

    def _draw_until_stopped(self) -> None:
        self._bundles("")  # what drawing imports is loaded while the provider thinks
        interval_s, drawn = PATIENCE_S, ""
        frames = itertools.cycle(_SPINNER)
        while self._wait(interval_s):
            text, began = self._text, time.thread_time()
            if not text:
                self._publish([_spinner(next(frames), time.monotonic() - self._began)])
                interval_s = SPINNER_INTERVAL_S
                continue
            if text != drawn:
                self._publish(self._bundles(text))
                drawn = text
            interval_s = _interval_s(time.thread_time() - began)

    def _wait(self, interval_s: float) -> bool:
        """Wait for the next drawing, the first text or the end; return whether to go on."""
        with self._lock:
            waiting_for_text = not self._text
            due = time.monotonic() + interval_s
            while not self._stopped and (rest_s := due - time.monotonic()) > 0:
                self._news.wait(rest_s)
                if waiting_for_text and self._text and self._drawn:
                    break  # the text takes the spinner's place at once
            return not self._stopped

    def _publish(self, bundles: list[Bundle]) -> None:
        """Draw what is not drawn yet, each output in its place."""
        for number, bundle in enumerate(bundles):
            was = self._drawn[number : number + 1]
            if was != [bundle]:
                publish(bundle, display_id=f"{self._display_id}-{number}", update=bool(was))
        for number in range(len(bundles), len(self._drawn)):
            publish(NOTHING, display_id=f"{self._display_id}-{number}", update=True)
        self._drawn = [*bundles, *[NOTHING] * (len(self._drawn) - len(bundles))]


StreamDisplay = _Notebook | _Terminal


def _interval_s(cost_s: float) -> float:
    """Return the time until the next drawing, when the last one took ``cost_s``."""
    return min(max(MIN_INTERVAL_S, INTERVAL_PER_COST * cost_s), MAX_INTERVAL_S)


def _spinner(frame: str, waited_s: float) -> Bundle:
    line = f"{frame} waiting for the first token · {waited_s:.0f} s"
    return {"text/html": f'<div role="status">{escape(line)}</div>', "text/plain": line}
