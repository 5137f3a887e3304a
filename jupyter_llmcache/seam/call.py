"""The way of one request through the cache: find it, or let the provider answer and keep that.

Two rules shape the code. Once the provider has answered, nothing here may raise: a fault of the
store becomes the call's ``warning``. In replay mode nothing may reach a provider: what is not found
raises before the call.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import Generation
from pydantic import ValidationError

from .. import answer as entry
from .. import modes
from .. import request as keys
from ..entry import Entry
from ..errors import NotDescribableError, ReplayMissError, StoreError
from ..ledger import Call, Kind
from . import recent, structured, web
from .flight import MAX_WAIT_S, PAUSE_LIMIT_S, Flight
from .places import AnswerPlace, Found, entry_of

Prompt = str | Sequence[BaseMessage]

RECORD_FIRST = "Run it once in mode auto, with a key, to record it"

#: After so many leaders without an answer a call pays for itself: equal requests to a provider that
#: is down would otherwise fail one after the other.
_PATIENCE = 2
#: Exceptions that are the caller's doing, not the provider's.
_LEFT = (KeyboardInterrupt, asyncio.CancelledError)


@functools.lru_cache(maxsize=256)
def is_canned(cls: type) -> bool:
    """Whether models of this class answer from a list, as the class itself says."""
    return getattr(cls, "canned", False) is True


#: Set by ``--keep``: store the answer whatever the verdict on it is.
_keeping: ContextVar[bool] = ContextVar("llmcache_keeping", default=False)


@contextmanager
def keeping() -> Iterator[None]:
    """Store answers inside the block even if they are empty, filtered or unfinished."""
    token = _keeping.set(True)
    try:
        yield
    finally:
        _keeping.reset(token)


class Previewed(BaseException):  # no error, and no chain's retry may catch it
    """Raised instead of the first model call inside ``previewing``; carries it out of a chain."""

    def __init__(self, call: OpenCall) -> None:
        self.call = call
        super().__init__("previewed")


_previewing: ContextVar[bool] = ContextVar("llmcache_previewing", default=False)


@contextmanager
def previewing() -> Iterator[None]:
    """Stop the first model call of the block, before cache and provider, by ``Previewed``."""
    token = _previewing.set(True)
    try:
        yield
    finally:
        _previewing.reset(token)


class OpenCall:
    """One request between the moment it is seen and the event that tells of it.

    The caller asks ``recall`` (or ``arecall``); on None it runs the provider inside ``paying`` and
    hands the generations to ``settle``; at the very end it calls ``close``, whatever happened.
    """

    # What most calls leave as it is stands here: to set it for each takes longer than the lookup.
    is_preview = False
    request: keys.Request | None = None
    _found: Found | None = None
    _flight: Flight[Entry] | None = None
    _follows = False
    _patience = _PATIENCE
    _waited_s = 0.0
    _paused_at = 0.0
    _paused_s = 0.0
    _lookup_s = 0.0
    _provider_s: float | None = None
    _usage: Mapping[str, Any] | None = None
    _stored = False
    _failed = False
    _left = False
    _reason: str | None = None
    _note: str | None = None
    _warning: str | None = None

    def __init__(
        self,
        place: AnswerPlace,
        model: BaseLanguageModel[Any],
        prompt: Prompt,
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        bypass_reason: str | None,
    ) -> None:
        self._began = time.perf_counter()
        self.place = place
        self.model = model
        self.prompt = prompt
        self.stop = stop
        self.kwargs = kwargs
        self.mode = modes.current_mode()
        if bypass_reason and self.mode != "replay":
            self.mode = "bypass"
        self._refusal = bypass_reason
        if self.mode == "bypass":
            self._reason = bypass_reason or "mode bypass"
        elif not bypass_reason:
            self._describe()

    # --- before the provider ---

    def recall(self, *, may_wait: bool = True) -> list[Generation] | None:
        """Return the answer if the cache holds it or another call is just getting it.

        Args:
            may_wait: False for a caller that leads other flights meanwhile: two such callers
                could wait for each other. See ``follows``.

        Raises:
            ReplayMissError: Replay is in force and nothing recorded answers this request.
        """
        while (flight := self._look()) is not None and may_wait:
            began = time.monotonic()
            landed = flight.wait(self._wait_until(began))
            if self._is_decided(flight, landed, began):
                break
        return self._recalled()

    async def arecall(self, *, may_wait: bool = True) -> list[Generation] | None:
        """Like ``recall``, without blocking the running event loop while another call pays."""
        while (flight := self._look()) is not None and may_wait:
            began = time.monotonic()
            landed = await flight.await_landing(self._wait_until(began))
            if self._is_decided(flight, landed, began):
                break
        return self._recalled()

    @property
    def follows(self) -> bool:
        """Whether another call is just getting the answer, after a ``recall`` without waiting."""
        return self._follows

    def _look(self) -> Flight[Entry] | None:
        """Look for the answer; return a flight to wait for, or None when all is decided."""
        if _previewing.get():
            self.is_preview = True
            raise Previewed(self)
        self._follows = False
        if self.mode == "bypass":
            return None
        landings = self.place.flights.landings
        if self.mode in ("auto", "replay") and self.request is not None:
            self._found = self._find(self.request)
        if self.mode == "replay":
            if self._found is None:
                raise self._replay_miss()
            return None
        if self.mode != "auto" or self._found is not None or self.request is None:
            return None
        flight, leads = self.place.flights.join(self.request.key)
        if not leads:
            self._follows = True
            return flight
        self._flight = flight
        if landings != self.place.flights.landings:
            # The answer may have come between the look and the join.
            self._found = self._find(self.request)
            if self._found is not None:
                flight.land(self._found.hit)
        return None

    def _wait_until(self, now: float) -> float:
        return now + MAX_WAIT_S - self._waited_s

    def _is_decided(self, flight: Flight[Entry], landed: bool, began: float) -> bool:
        """Whether this call has an answer or has to pay, after it waited for ``flight``."""
        self._waited_s += time.monotonic() - began
        self._follows = False
        if not landed:
            self._flight = self.place.flights.take_over(flight)
            return self._flight is not None
        if flight.answer is not None:
            return self._take(flight.answer)
        self._patience -= flight.failed
        return self._patience == 0

    def _take(self, hit: Entry) -> bool:
        """Take a leader's answer; what was waited for it was not saved."""
        if hit.provider_s is not None:
            hit = hit._replace(provider_s=max(0.0, hit.provider_s - self._waited_s))
        try:
            self._found = Found(hit, entry.decode(hit.answer))
        except StoreError as error:
            self._warning = str(error)
        return self._found is not None

    def _recalled(self) -> list[Generation] | None:
        self._lookup_s = time.perf_counter() - self._began - self._waited_s
        if self._found is None:
            return None
        self._usage = entry.usage_of(self._found.generations)
        return structured.read(self._found.generations, self.kwargs)

    def _find(self, request: keys.Request) -> Found | None:
        try:
            found = self.place.find(self, request)
            if found is None and self.mode == "replay":
                other = self._with_recorded_endpoint(request)
                found = None if other is None else self.place.find(self, other)
        except StoreError as error:
            self._warning = str(error)
            return None
        return found

    def _with_recorded_endpoint(self, request: keys.Request) -> keys.Request | None:
        """The same request at the only endpoint that the file knows for this provider and model."""
        endpoints = keys.endpoints_like(request, self.place.recorded_requests())
        return request.with_endpoint(endpoints.pop()) if len(endpoints) == 1 else None

    def _replay_miss(self) -> ReplayMissError:
        self._failed = True
        if self.request is None:
            return ReplayMissError(
                f"replay: this call of {self.label} cannot be recorded ({self._refusal})", ""
            )
        what = f"replay: nothing recorded answers this request to {self.label}"
        asked = self._with_recorded_endpoint(self.request) or self.request
        nearest = self._warning or self.place.nearest(asked)
        return ReplayMissError(f"{what}; {nearest}" if nearest else what, RECORD_FIRST)

    # --- the provider, and after it ---

    @contextmanager
    def paying(self, shared_by: int = 1) -> Iterator[None]:
        """Time the provider; an exception in the block makes this call an error.

        Args:
            shared_by: How many calls the provider answers at once; its time is parted among them.
        """
        began = time.perf_counter()
        self._keep_here(True)
        try:
            yield
        except GeneratorExit:
            self._left = True
            self._reason = "the stream was left before its end"
            raise
        except BaseException as error:
            self._failed = True
            self._reason = type(error).__name__
            self._left = isinstance(error, _LEFT)
            raise
        finally:
            self._keep_here(False)
            self._provider_s = (time.perf_counter() - began - self._paused_s) / shared_by

    def pause(self) -> None:
        """Note that the reader of a stream has its next piece."""
        self._keep_here(False)
        self._paused_at = time.perf_counter()
        if self._flight is not None:
            self._flight.pause()

    def resume(self) -> None:
        """Note that the reader of a stream wants more. A long pause is not the provider's time."""
        self._keep_here(True)
        pause_s = time.perf_counter() - self._paused_at
        if pause_s > PAUSE_LIMIT_S:
            self._paused_s += pause_s
        if self._flight is not None:
            self._flight.resume()

    def _keep_here(self, keeps: bool) -> None:
        """Say whether what the provider's client sends now is kept here, as one answer."""
        if self.request is not None:
            web.keep_elsewhere(keeps)

    def settle(self, answer: Callable[[], Sequence[Generation]]) -> None:
        """Keep what the provider answered, if it is a good answer. Never raises.

        Args:
            answer: Puts the answer together from what came.
        """
        try:
            generations = answer()
            self._usage = entry.usage_of(generations)
            if self.request is not None and self.mode in ("auto", "refresh"):
                self._keep(self.request, generations)
        except entry.NotStorableError as error:
            self._reason = error.reason
        except Exception as error:  # noqa: BLE001  # the answer is paid for: nothing may take it from the user
            self._warning = str(error)

    def settle_refused(self, error: ValidationError, said: Callable[[], str] = str) -> None:
        """Keep an answer that the caller's own class refused, which ``paying`` let through.

        Args:
            error: What the class raised.
            said: Puts together the text of a stream that came before. Never raises, as ``settle``.
        """
        try:
            generations = structured.refused(error, self.kwargs, said())
        except Exception as fault:  # noqa: BLE001  # as in settle
            self._warning = str(fault)
            return
        if generations:
            self.settle(lambda: generations)

    def _keep(self, request: keys.Request, generations: Sequence[Generation]) -> None:
        verdict = entry.verdict(generations, max_tokens_given=request.limits_tokens)
        self._note = verdict.note
        if verdict.reason is not None and not _keeping.get():
            self._reason = verdict.reason
            return
        package = type(self.model).__module__.partition(".")[0]
        answer = entry.encode(generations, versions=entry.recording_versions(package))
        hit = entry_of(request, answer, time.time(), self._provider_s)
        if self._flight is not None:
            # Followers need not wait for the store; newcomers still find the flight.
            self._flight.land(hit)
        if self.place.read_only:
            self._reason = f"{self.place.location} is read-only"
            return
        self.place.keep(self, request, hit)
        self._stored = True

    def close(self) -> None:
        """Free whoever waits for this call. Call it in every case; once is enough."""
        if self._flight is not None:
            self.place.flights.end(self._flight, failed=not self._left)
            self._flight = None
        if self.request is not None and self._found is None and not self._stored:
            recent.remember(self.request)  # no entry will tell of it

    # --- what it was ---

    @property
    def label(self) -> str:
        """The model as ``provider:name``."""
        return self.request.model if self.request else keys.model_label(self.model, self.kwargs)

    @property
    def found(self) -> Found | None:
        """What the cache held, after ``recall``."""
        return self._found

    @property
    def hit_mark(self) -> dict[str, Any]:
        """What a hit's message says of itself in ``response_metadata["llm_cache"]``."""
        hit = self._found.hit if self._found else None
        return {
            "cached": True,
            "key": self.request.key.hex() if self.request else None,
            "recorded_at": hit.created_at if hit else None,
            "saved_s": hit.provider_s if hit else None,
        }

    def event(self, cell: int | None, wall_s: float) -> Call:
        """Return the event that tells of this call.

        Args:
            cell: The cell that made it.
            wall_s: How long its caller waited, in seconds.
        """
        hit = self._found.hit if self._found else None
        return Call(
            cell=cell,
            kind=self._kind(),
            model=self.label,
            key=self.request.key.hex() if self.request else None,
            wall_s=wall_s,
            lookup_s=self._lookup_s,
            provider_s=self._provider_s,
            saved_s=hit.provider_s if hit else None,
            usage=self._usage,
            stored=self._stored,
            reason=self._reason,
            recorded_at=hit.created_at if hit else None,
            location=self.place.location,
            canned=is_canned(type(self.model)),
            note=self._note,
            warning=self._warning,
        )

    def _kind(self) -> Kind:
        if self._failed:
            return "error"
        if self._found is not None:
            return "hit"
        return "bypass" if self.mode == "bypass" else "miss"

    def _describe(self) -> None:
        try:
            self.request = keys.describe(self.model, self.prompt, self.stop, self.kwargs)
        except NotDescribableError as error:
            self._refusal = error.reason
        except Exception as error:  # noqa: BLE001  # an odd model must cost the user the cache, not the call
            self._refusal = f"{type(error).__name__} while describing the request"
        if self.request is None:
            self._reason = f"not cached: {self._refusal}"
