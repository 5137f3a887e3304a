"""Many questions of one cell: what varies, asking them at once, and the answers side by side."""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, overload

from .. import modes
from ..draw import draws_html, publish
from ..draw.grid import AnswerCell, AnswersTable
from ..draw.live import Progress, remark_on
from ..draw.table import SEPARATOR
from ..errors import LLMCacheError, chain_of, status_of
from ..ledger import LEDGER, Call, collecting, total_usd
from ..seam.call import OpenCall
from ..text import Printed, did_you_mean, format_count, format_usd, one_line, token_counts
from . import ask
from .answer import Answer, Interrupted, UnfitError
from .ask import Question

#: How often one question is asked again after "too many requests".
_PATIENCE = 6
#: The longest pause after one, in seconds.
_MAX_PAUSE_S = 60.0
#: How often somebody who waits looks up, in seconds.
_POLL_S = 0.1
#: What an answer is taken to be long where its price is guessed, in tokens.
_GUESSED_TOKENS = 300


class Answers(Printed, Sequence[Answer]):
    """Several answers, in the order in which they were asked for.

    Args:
        answers: Each with its ``coords``.
        wall_s: How long all of it took, in seconds.
        diff: Whether the drawing marks what differs between the first two columns.
        place: The display id of an empty output of this cell, in which the drawing begins.
    """

    def __init__(
        self,
        answers: Sequence[Answer],
        wall_s: float = 0.0,
        *,
        diff: bool = False,
        place: str | None = None,
    ) -> None:
        self._answers = tuple(answers)
        self.wall_s = wall_s
        self._diff = diff
        self._place_in = (place, LEDGER.cell)

    @overload
    def __getitem__(self, index: int) -> Answer: ...
    @overload
    def __getitem__(self, index: slice) -> Answers: ...
    def __getitem__(self, index: int | slice) -> Answer | Answers:
        if isinstance(index, slice):
            return Answers(self._answers[index], self.wall_s, diff=self._diff)
        return self._answers[index]

    def __len__(self) -> int:
        return len(self._answers)

    def where(self, **coords: Any) -> Answers:
        """Return the answers with these coordinates, as in ``where(model="a", topic="cats")``.

        Raises:
            LLMCacheError: There is no such coordinate.
        """
        known = dict.fromkeys(name for answer in self for name in answer.coords)
        for name in coords:
            if name not in known:
                raise LLMCacheError(
                    f"there is no coordinate {name!r}",
                    did_you_mean(name, known) or f"There are {', '.join(known)}",
                )
        found = [a for a in self if all(a.coords.get(n) == v for n, v in coords.items())]
        return Answers(found, self.wall_s, diff=self._diff)

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame with one row an answer: coordinates, text, times, tokens."""
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]

        return pd.DataFrame([_record(answer) for answer in self])

    def __str__(self) -> str:
        return str(self._table())

    def _ipython_display_(self) -> None:
        if not draws_html():
            raise NotImplementedError  # IPython then asks for the text
        LEDGER.tell(call for answer in self for call in answer.calls)
        (place, cell), self._place_in = self._place_in, (None, None)
        place = place if cell == LEDGER.cell else None
        for bundle in self._table().bundles():
            publish(bundle, display_id=place, update=place is not None)
            place = None

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        LEDGER.tell(call for answer in self for call in answer.calls)
        super()._repr_pretty_(printer, cycle)

    def _table(self) -> AnswersTable:
        cells = [
            AnswerCell(
                *_place(answer),
                answer.text,
                answer.calls,
                answer.wall_s,
                answer.error,
                answer.format,
                answer.stable,
                answer.behind(),
            )
            for answer in self
        ]
        return AnswersTable(cells, wall_s=self.wall_s, diff=self._diff)


def _place(answer: Answer) -> tuple[str, str]:
    """Return the row, an item, and the column, a model with parameters, of an answer."""
    rows = [str(v) for n, v in answer.coords.items() if n in answer.items]
    others = {n: v for n, v in answer.coords.items() if n not in (*answer.items, "sample")}
    columns = [str(v) if n == "model" else f"{n}={v}" for n, v in others.items()]
    return SEPARATOR.join(rows), SEPARATOR.join(columns)


def _record(answer: Answer) -> dict[str, Any]:
    counts = token_counts(answer.usage)
    cost = total_usd(answer.calls)
    return {
        **answer.coords,
        "text": answer.text,
        "cached": answer.cached,
        "wall_s": answer.wall_s,
        "saved_s": answer.saved_s,
        "tokens": counts[2] if counts else None,
        "cost": None if cost is None else float(cost),
        "key": answer.key,
        "error": answer.error or None,
    }


# --- asking ---


def _check_price(questions: Sequence[Question], max_paid: int) -> None:
    """See to it that no more than ``max_paid`` calls are paid for without a word."""
    if len(questions) <= max_paid:
        return
    paid: dict[Any, Call] = {}
    for number, question in enumerate(questions):
        call = ask.seen_call(question)
        anyway = (question.mode or modes.current_mode()) in ("refresh", "bypass")
        if anyway or not ask.is_held(call):
            # Equal questions are paid once; one whose first call cannot be seen is like no other.
            key = call.request.key if call and call.request and not anyway else number
            paid[key] = _guess(question, call)
    if len(paid) <= max_paid or modes.current_mode() == "replay":
        return
    money = format_usd(total_usd(paid.values()))
    about = f" for about {money}" if money else ""
    raise LLMCacheError(
        f"{format_count(len(paid), 'call')} would be paid{about}, and {max_paid} are allowed",
        "Give --yes, or set %config LLMCache.max_paid_calls",
    )


def _guess(question: Question, call: OpenCall | None) -> Call:
    """Return what the price of ``question`` is guessed of before it is asked."""
    asked = str(call.asked.prompt if call else question.prompt)
    usage = {"input_tokens": len(asked) // 4, "output_tokens": _GUESSED_TOKENS}
    model = call.label if call else question.label
    return Call(None, "miss", model, None, 0.0, usage=usage)


class UnansweredError(UnfitError):
    """Some of several questions failed; ``answer`` has what came."""


def ask_all(
    questions: Sequence[Question], jobs: int, max_paid: int | None = None, *, diff: bool = False
) -> Answers:
    """Ask all, at most ``jobs`` at once, and return their answers in order.

    Args:
        questions: What is asked.
        jobs: How many at once.
        max_paid: How many calls may be paid for; None: any number.
        diff: Whether the drawing marks what differs.

    Raises:
        LLMCacheError: More than ``max_paid`` calls would be paid for; nothing was asked.
        Interrupted: It was stopped by hand; its ``answer`` has what is there. What was on its way
            was waited for, so that nothing that is paid is lost.
        UnansweredError: Some failed; they stand in their places of ``answer``, with their errors.
    """
    if max_paid is not None:
        _check_price(questions, max_paid)
    began, run = time.perf_counter(), _Run(questions, jobs)
    stopped: KeyboardInterrupt | None = None
    with Progress("asking", len(questions), "answer", look=run.look) as progress:
        try:
            run.start()
            run.wait()
        except KeyboardInterrupt as error:
            stopped = error
            run.stop()
            with suppress(KeyboardInterrupt):  # the second time nothing is waited for
                run.wait()
    wall_s = time.perf_counter() - began
    done = dict(run.done)
    came = [done[number] for number in sorted(done)]
    answers = Answers(came, wall_s, diff=diff, place=progress.left)
    if stopped is not None:
        there = f"{len(answers)} of {format_count(len(questions), 'answer')} are there"
        raise Interrupted(
            f"stopped by hand: {there}, in _; the same cell goes on from here", answers
        ) from stopped
    if failed := [answer.error for answer in answers if answer.error]:
        count = f"{len(failed)} of {format_count(len(answers), 'answer')} failed"
        raise UnansweredError(
            f"{count}: {one_line(failed[0], 300)}",
            answers,
            "Running the cell again asks only for what is missing",
        )
    return answers


class _Run:
    """What is asked at once, and what has come.

    Where an interrupt may come, in the main thread, nothing is done here that takes a lock in
    Python code, as pools and events do: interrupted there it would stay locked.
    """

    def __init__(self, questions: Sequence[Question], jobs: int) -> None:
        self.done: dict[int, Answer] = {}
        self._todo, self._jobs = iter(enumerate(questions)), min(jobs, len(questions))
        self._stopped, self._resume_at = False, 0.0
        self._fault: BaseException | None = None
        self._going = threading.Lock()
        self._leader = threading.Thread()

    def start(self) -> None:
        """Begin to ask, in other threads; where there are none, ask one after the other."""
        self._going.acquire()
        context = contextvars.copy_context()
        self._leader = threading.Thread(target=context.run, args=(self._lead,), daemon=True)
        try:
            self._leader.start()
        except RuntimeError:  # there are no threads, as in Pyodide
            self._work()

    def wait(self) -> None:
        """Wait for the end of all that was begun."""
        while self._leader.is_alive() and not self._going.acquire(timeout=_POLL_S):
            pass
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Begin no more."""
        self._stopped = True

    def _lead(self) -> None:
        try:
            with ThreadPoolExecutor(self._jobs, "llmcache-grid") as pool:
                contexts = [contextvars.copy_context() for _ in range(self._jobs)]
                for ended in [pool.submit(context.run, self._work) for context in contexts]:
                    ended.result()
        except BaseException as fault:  # noqa: BLE001  # raised where it is waited for
            self._fault = fault
        finally:
            self._going.release()

    def _work(self) -> None:
        for number, question in self._todo:
            if self._stopped:
                return
            self.done[number] = contextvars.copy_context().run(self._ask, question)

    def _ask(self, question: Question) -> Answer:
        """Ask one; what fails is an answer with an error. "Too many requests" slows all down."""
        for attempt in range(_PATIENCE + 1):
            while (rest_s := self._resume_at - time.monotonic()) > 0 and not self._stopped:
                time.sleep(min(rest_s, _POLL_S))
            began = time.perf_counter()
            with collecting() as calls:
                try:
                    return ask.ask(question)
                except UnfitError as unfit:
                    return _failed(question, unfit.what, began, unfit.answer.calls, unfit.answer)
                except LLMCacheError as error:
                    pause_s = _pause_s(error, attempt)
                    if pause_s is None or attempt == _PATIENCE or self._stopped:
                        return _failed(question, str(error), began, calls)
                    self._resume_at = max(self._resume_at, time.monotonic() + pause_s)
        raise AssertionError("the last attempt returns")

    def look(self) -> tuple[int, str]:
        """Return how many have come, and what there is to remark on them."""
        came = list(self.done.values())
        cached, failed = sum(a.cached for a in came), sum(bool(a.error) for a in came)
        return len(came), remark_on(cached, failed, (call for a in came for call in a.calls))


def _pause_s(error: BaseException, attempt: int) -> float | None:
    """Return how long to wait after "too many requests", in seconds; None after anything else."""
    for cause in chain_of(error):
        if status_of(cause) == 429 and "quota" not in str(error):
            headers = getattr(getattr(cause, "response", None), "headers", {})
            told_s = _told_s(headers.get("retry-after", ""))
            pause_s = told_s if math.isfinite(told_s) and told_s >= 0 else 2.0**attempt
            return min(pause_s, _MAX_PAUSE_S)
    return None


def _told_s(header: str) -> float:
    """Return what ``Retry-After`` says, as a number of seconds or as a date; NaN where nothing."""
    with suppress(ValueError):
        return float(header)
    with suppress(ValueError, TypeError):
        return parsedate_to_datetime(header).timestamp() - time.time()
    return math.nan


def _failed(
    question: Question,
    error: str,
    began: float,
    calls: Sequence[Call],
    answer: Answer | None = None,
) -> Answer:
    return Answer(
        text=answer.text if answer else "",
        message=answer.message if answer else None,
        cached=False,
        wall_s=time.perf_counter() - began,
        cpu_s=0.0,
        saved_s=None,
        usage=answer.usage if answer else None,
        key=answer.key if answer else None,
        model=question.label,
        calls=tuple(calls),
        format=question.format,
        stable=question.stable,
        messages=answer.messages if answer else (),
        coords=question.coords,
        items=question.items,
        error=error,
    )
