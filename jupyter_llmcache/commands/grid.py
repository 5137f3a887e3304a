"""Many questions of one cell: what varies, asking them at once, and the answers side by side."""

from __future__ import annotations

import contextvars
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, TypeVar, overload

from ..draw.answer import draws_html, publish
from ..draw.grid import AnswerCell, answers_bundles, answers_text
from ..draw.progress import Progress, remark_on
from ..draw.table import SEPARATOR
from ..errors import LLMCacheError
from ..ledger import LEDGER, Call, collecting, total_usd
from ..text import Printed, did_you_mean, format_count, format_usd, one_line, token_counts
from . import ask
from .answer import Answer, PromptPreview
from .ask import Interrupted, Question, UnfitError
from .faults import status_of

T = TypeVar("T")

#: Pyodide has none.
NO_THREADS = sys.platform == "emscripten"
#: How often one question is asked again after "too many requests".
_PATIENCE = 6
#: The longest pause after one, in seconds.
_MAX_PAUSE_S = 60.0
#: What an answer is taken to be long where its price is guessed, in tokens.
_GUESSED_TOKENS = 300


class Answers(Printed, Sequence[Answer]):
    """Several answers, in the order in which they were asked for.

    Args:
        answers: Each with its ``coords``.
        wall_s: How long all of it took, in seconds.
        diff: Whether the drawing marks what differs between the first two columns.
    """

    def __init__(
        self, answers: Sequence[Answer], wall_s: float = 0.0, *, diff: bool = False
    ) -> None:
        self._answers = tuple(answers)
        self.wall_s = wall_s
        self._diff = diff

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
        cells, rows, columns = self._places()
        return answers_text(cells, rows, columns, wall_s=self.wall_s)

    def _ipython_display_(self) -> None:
        if not draws_html():
            raise NotImplementedError  # IPython then asks for the text
        LEDGER.tell(call for answer in self for call in answer.calls)
        cells, rows, columns = self._places()
        for bundle in answers_bundles(cells, rows, columns, wall_s=self.wall_s, diff=self._diff):
            publish(bundle)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        LEDGER.tell(call for answer in self for call in answer.calls)
        super()._repr_pretty_(printer, cycle)

    def _places(self) -> tuple[list[AnswerCell], list[str], list[str]]:
        """Return the cells of the table, its rows and its columns."""
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
        rows, columns = ({getattr(c, side): None for c in cells} for side in ("row", "column"))
        return cells, list(rows), list(columns)


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


def preview(questions: Sequence[Question]) -> PromptPreview:
    """Return what the first of ``questions`` would send, and how many are cached; send nothing."""
    held = sum(map(_is_held, questions))
    return replace(ask.preview(questions[0]), questions=len(questions), held=held)


def check_price(questions: Sequence[Question], max_paid: int) -> None:
    """See to it that no more than ``max_paid`` calls are paid for without a word.

    Raises:
        LLMCacheError: There are more; it says how many, and for about how much.
    """
    if len(questions) <= max_paid:
        return
    paid = [
        question
        for question in questions
        if question.mode != "replay"
        and (question.mode in ("refresh", "bypass") or not _is_held(question))
    ]
    if len(paid) <= max_paid:
        return
    money = format_usd(total_usd(map(_guess, paid)))
    about = f" for about {money}" if money else ""
    raise LLMCacheError(
        f"{format_count(len(paid), 'call')} would be paid{about}, and {max_paid} are allowed",
        "Give --yes, or set %config LLMCache.max_paid_calls",
    )


def _is_held(question: Question) -> bool:
    """Return whether the first call of ``question`` is in the cache."""
    try:
        call = ask.first_call(question)
    except LLMCacheError:
        return False
    return call.request is not None and call.place.holds(call.request)


def _guess(question: Question) -> Call:
    """Return what the price of ``question`` is guessed of before it is asked."""
    tokens = len(question.prompt + (question.system or "")) // 4
    usage = {"input_tokens": tokens, "output_tokens": _GUESSED_TOKENS}
    return Call(None, "miss", question.label, None, 0.0, usage=usage)


class _Pace:
    """Slows all of a run down when the provider says "too many requests"."""

    def __init__(self) -> None:
        self._resume_at = 0.0
        self.stopped = threading.Event()

    def pause(self, seconds: float) -> None:
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    def wait(self) -> None:
        while (rest_s := self._resume_at - time.monotonic()) > 0 and not self.stopped.is_set():
            self.stopped.wait(rest_s)


def ask_all(questions: Sequence[Question], jobs: int, *, diff: bool = False) -> Answers:
    """Ask all, at most ``jobs`` at once, and return their answers in order.

    What fails stands in its place, with its error.

    Raises:
        Interrupted: It was stopped by hand; its ``answer`` has what is there. What was on its way
            was waited for, so that nothing that is paid is lost.
    """
    began, run = time.perf_counter(), _Run(questions, jobs)
    stopped: KeyboardInterrupt | None = None
    with (
        Progress("asking", len(questions), "answer", look=run.look),
        _Here() if NO_THREADS else ThreadPoolExecutor(jobs, "llmcache-grid") as pool,
    ):
        while True:
            try:
                run.submit(pool)
                if not run.running:
                    break
                run.collect()
            except KeyboardInterrupt as error:
                run.stop()
                if stopped is not None:  # the second time nothing is waited for
                    pool.shutdown(wait=False, cancel_futures=True)
                    break
                stopped = error
    wall_s = time.perf_counter() - began
    answers = Answers([run.done[number] for number in sorted(run.done)], wall_s, diff=diff)
    if stopped is not None:
        there = f"{len(answers)} of {format_count(len(questions), 'answer')} are there"
        raise Interrupted(
            f"stopped by hand: {there}, in _; the same cell goes on from here", answers
        ) from stopped
    return answers


class _Here(Executor):
    """Does what is submitted at once."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Return what is done already."""
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # as an executor hands every error on
            done.set_exception(error)
        return done


class _Run:
    """What is asked at once, and what has come."""

    def __init__(self, questions: Sequence[Question], jobs: int) -> None:
        self.done: dict[int, Answer] = {}
        self.running: dict[Future[Answer], int] = {}
        self._todo = iter(enumerate(questions))
        self._jobs, self._pace = jobs, _Pace()

    def submit(self, pool: Executor) -> None:
        """Begin as many as may be asked at once."""
        while len(self.running) < self._jobs and not self._pace.stopped.is_set():
            number, question = next(self._todo, (None, None))
            if number is None or question is None:
                return
            context = contextvars.copy_context()
            self.running[pool.submit(context.run, _ask_one, question, self._pace)] = number

    def collect(self) -> None:
        """Wait until one has come."""
        for future in wait(self.running, return_when=FIRST_COMPLETED).done:
            self.done[self.running[future]] = future.result()
            del self.running[future]

    def stop(self) -> None:
        """Begin no more."""
        self._pace.stopped.set()

    def look(self) -> tuple[int, str]:
        """Return how many have come, and what there is to remark on them."""
        came = list(self.done.values())
        cached, failed = sum(a.cached for a in came), sum(bool(a.error) for a in came)
        return len(came), remark_on(cached, failed, (call for a in came for call in a.calls))


class UnansweredError(UnfitError):
    """Some of several questions failed; ``answer`` has what came."""


def fault_of(answers: Answers) -> UnansweredError | None:
    """Return one line that counts what failed, or None."""
    failed = [answer for answer in answers if answer.error]
    if not failed:
        return None
    return UnansweredError(
        f"{len(failed)} of {format_count(len(answers), 'answer')} failed: "
        f"{one_line(failed[0].error, 300)}",
        answers,
        "Running the cell again asks only for what is missing",
    )


def _ask_one(question: Question, pace: _Pace) -> Answer:
    """Ask one; what fails is an answer with an error."""
    for attempt in range(_PATIENCE + 1):
        pace.wait()
        began = time.perf_counter()
        with collecting() as calls:
            try:
                return ask.ask(question)
            except UnfitError as unfit:
                return _failed(question, str(unfit), began, calls, unfit.answer)
            except LLMCacheError as error:
                pause_s = _pause_s(error, attempt)
                if pause_s is None or attempt == _PATIENCE or pace.stopped.is_set():
                    return _failed(question, str(error), began, calls)
                pace.pause(pause_s)
    raise AssertionError("the last attempt returns")


def _pause_s(error: BaseException, attempt: int) -> float | None:
    """Return how long to wait after "too many requests", in seconds; None after anything else."""
    cause: BaseException | None = error
    while cause is not None:
        if status_of(cause) == 429 and "quota" not in str(error):
            headers = getattr(getattr(cause, "response", None), "headers", {})
            try:
                told_s = float(headers.get("retry-after", ""))
            except ValueError:
                told_s = math.nan
            pause_s = told_s if math.isfinite(told_s) and told_s >= 0 else 2.0**attempt
            return min(pause_s, _MAX_PAUSE_S)
        cause = cause.__cause__
    return None


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
