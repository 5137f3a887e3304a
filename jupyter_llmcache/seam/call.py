"""The way of one request through the cache: find it, or let the provider answer and keep that.

Two rules shape the code. Once the provider has answered, nothing here may raise: a fault of the
store becomes the call's ``warning``. In replay mode what is not found raises before the provider.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from langchain_core.outputs import Generation

from .. import answer as answers
from .. import modes
from .. import request as keys
from ..errors import NotDescribableError, ReplayMissError, StoreError, hide_secrets, said_by
from ..ledger import LEDGER, Call, Kind, usage_of
from . import serving
from .flight import MAX_WAIT_S, Flight
from .place import (
    CHOOSE_FIRST,
    NO_CACHE,
    RECORD_FIRST,
    Asked,
    Found,
    Place,
    entry_of,
    id_of,
    is_canned,
    recent,
)

if TYPE_CHECKING:
    from ..stores.base import Claim

#: A stream's reader may take this long for a piece before the pause is not the provider's time.
_PAUSE_LIMIT_S = 5.0
#: Between two looks whether another machine has the answer, on an event loop, in seconds.
_CLAIM_PAUSE_S = 0.05


class OpenCall:
    """One request between the moment it is seen and the event that tells of it.

    The caller asks ``recall`` (or ``arecall``); on None it runs the provider inside ``paying`` and
    hands the generations to ``settle``; at the very end it calls ``close``, whatever happened.
    """

    # What most calls leave as it is stands here: to set it for each takes longer than the lookup.
    is_preview = False
    request: keys.Request | None = None
    found: Found | None = None
    ids: Sequence[str] = ()
    #: Makes an answer that was paid for, though the caller's own class refused it; to be settled.
    refused: Callable[[], Sequence[Generation]] | None = None
    #: In what pieces a stream brought the answer that is to be settled.
    pieces: Callable[[], Sequence[Any]] = tuple
    _searched = _shares = _must_look_again = False
    _flight: Flight | None = None
    _claim: Claim | None = None
    _landings = 0
    _waited_s = _paused_at = _paused_s = _lookup_s = _claimed_at = 0.0
    _provider_s: float | None = None
    _usage: Mapping[str, Any] | None = None
    _stored = _pending = _failed = _left = False
    _unrecorded: str | None = None
    _reason: str | None = None
    _note: str | None = None
    _warning: str | None = None

    def __init__(self, place: Place, asked: Asked, bypass_reason: str | None = None) -> None:
        self.began = time.perf_counter()
        self.place = place
        self.asked = asked
        self.mode = modes.current_mode()
        self._refusal = bypass_reason or place.bypass_reason
        if self._refusal and self.mode != "replay":
            self.mode = "bypass"
        if self.mode == "bypass":
            self._reason = None if place.other_cache else self._refusal or "mode bypass"
        elif self._refusal is None:
            self._describe()
        label = self.request.model if self.request else keys.model_label(asked.model, asked.kwargs)
        self.label = label  #: The model as ``provider:name``.

    def _describe(self) -> None:
        try:
            self.request = keys.describe(*self.asked)
        except NotDescribableError as error:
            self._refusal = error.reason
        except Exception as error:  # noqa: BLE001  # an odd model must cost the user the cache, not the call
            self._refusal = f"{type(error).__name__} while describing the request"
        self._reason = self._refusal
        self._shares = self.request is not None and self.mode == "auto"

    # --- before the provider ---

    def find(self) -> None:
        """Look once for the answer; see ``recall`` for all that a miss takes."""
        if modes.is_previewing.get():
            self.is_preview = True
            raise modes.Previewed(self)
        if not self._searched:
            self._searched = True
            self._landings = self.place.flights.landings
            self._search()
            self._lookup_s = time.perf_counter() - self.began
            if self.found is None and self.mode != "replay":
                modes.on_miss.get()()

    def _search(self) -> None:
        request, replays = self.request, self.mode == "replay"
        if request is None or not (replays or self.mode == "auto"):
            return
        try:
            self.found = self.place.find(request)
            if self.found is not None and self.found.entry is None and not replays:
                with suppress(Exception):  # LangChain's row: as an entry it is listed, exported
                    self._keep(request, self.found.generations)
                self._note, self._stored, self._pending = None, False, False  # it is a hit
            if self.found is None and replays:
                self.found = self.place.find_readdressed(request, self.asked.is_async)
        except StoreError as error:
            self._warning = str(error)

    def recall(self, *, alone: bool = False) -> list[Generation] | None:
        """Return the answer if the cache holds it or another call is just getting it.

        Args:
            alone: Neither wait for other calls nor let them wait for this one.

        Raises:
            ReplayMissError: Replay is in force and nothing recorded answers this request.
        """
        self._shares = self._shares and not alone
        self.find()
        if self.found is None and self.mode == "replay":
            raise self._replay_miss()
        while (flight := self._flight_to_join()) is not None:
            began = time.perf_counter()
            flight.wait(MAX_WAIT_S - self._waited_s)
            self._take(flight, began)
        if self._must_look_again:
            self._look_again()
        while (claim := self._other_claim()) is not None:
            claim.wait(MAX_WAIT_S - self._waited_s)
            self._take_claimed()
        return self._recalled()

    async def arecall(self, *, alone: bool = False) -> list[Generation] | None:
        """Like ``recall``, without blocking the running event loop."""
        self._shares = self._shares and not alone
        if not self._searched:
            await self.place.run(self.find, model=self.asked.model)
        if self.found is None and self.mode == "replay":
            raise await self.place.run(self._replay_miss)
        while (flight := self._flight_to_join()) is not None:
            began = time.perf_counter()
            await flight.wait_on_loop(MAX_WAIT_S - self._waited_s)
            self._take(flight, began)
        if self._must_look_again:
            await self.place.run(self._look_again)
        shares = self.place.is_shared  # else no thread is asked
        while shares and not self.found and (claim := await self.place.run(self._other_claim)):
            while self._waited_s < MAX_WAIT_S and not await self.place.run(claim.wait, 0):
                await asyncio.sleep(_CLAIM_PAUSE_S)
                self._waited_s += _CLAIM_PAUSE_S
            await self.place.run(self._take_claimed)
        return self._recalled()

    def _other_claim(self) -> Claim | None:
        """Return another machine's claim; None where this call has its answer or has to pay."""
        leads = self._flight and self.found is None and self._waited_s < MAX_WAIT_S
        if not leads or self.request is None:
            return None
        self._claimed_at = time.perf_counter()
        self._claim = self.place.claim(self.request)
        if self._claim is not None and self._claim.leads:
            self._take_claimed()  # its answer may have come between the look and the claim
            return None
        return self._claim

    def _take_claimed(self) -> None:
        """Look for what another machine got, whose claim has ended."""
        self._waited_s = max(self._waited_s, time.perf_counter() - self._claimed_at)
        self._look_again()
        if self.found is not None:
            self._note = "another machine asked"

    def _flight_to_join(self) -> Flight | None:
        """Return a flight to wait for; None where this call has its answer or has to pay."""
        if self.found is not None or not self._shares or self.request is None:
            return None
        flight, leads = self.place.flights.join(self.request.key)
        if not leads:
            return flight
        # The answer may have come between the look and the lead.
        self._flight, self._must_look_again = flight, self._landings != self.place.flights.landings
        return None

    def _take(self, flight: Flight, began: float) -> None:
        """Take a leader's answer; what was waited for it was not saved. Without one, pay."""
        self._waited_s += time.perf_counter() - began
        self._shares = flight.left
        if (entry := flight.answer) is None:
            return
        if entry.provider_s is not None:
            entry = entry._replace(provider_s=max(0.0, entry.provider_s - self._waited_s))
        try:
            self.found = Found(entry, answers.decode(entry.answer))
        except StoreError as error:
            self._warning = str(error)

    def _look_again(self) -> None:
        self._search()
        if self._flight is not None and self.found is not None:
            self._flight.land(self.found.entry)

    def _recalled(self) -> list[Generation] | None:
        if self._waited_s or self._flight is not None:
            self._lookup_s = time.perf_counter() - self.began - self._waited_s
        if self.found is None:
            return None
        self._usage = usage_of(self.found.generations)
        if "response_format" in self.asked.kwargs:
            from . import structured  # few calls ask for an object

            structured.read(self.found.generations, self.asked.kwargs)
        return self.found.generations

    def _replay_miss(self) -> ReplayMissError:
        """Make the error of a request that nothing recorded answers; the call tells of it."""
        self._failed = True
        if self.request is not None:
            asked = [*self.place.readdressed(self.request), self.request]
            self._unrecorded, whole = self.place.unrecorded(asked[0])
            what = f"replay: nothing recorded answers this request to {self.label}"
            return ReplayMissError(f"{what}; {self._warning or whole}", RECORD_FIRST)
        self._unrecorded = self._refusal or f"mode {self.mode}"
        is_past = self.place.bypass_reason and not self.place.location
        why = "would go past the cache" if is_past else "cannot be recorded"
        what = f"replay: this call of {self.label} {why} ({self._unrecorded})"
        return ReplayMissError(what, CHOOSE_FIRST if self._refusal == NO_CACHE else "")

    # --- the provider, and after it ---

    @contextmanager
    def paying(self, shared_by: int = 1, said: Callable[[], str] = str) -> Iterator[None]:
        """Time the provider; an exception in the block makes this call an error.

        Enter it last, behind every wait: whether the request may be sent is asked here.

        Args:
            shared_by: How many calls the provider answers at once; its time is parted among them.
            said: Puts together the text of a stream that came before an exception.

        Raises:
            ReplayMissError: Replay has begun meanwhile, so that nothing may be sent.
        """
        if modes.current_mode() == "replay":
            raise self._replay_miss()
        began = time.perf_counter()
        self._set_inside_call(True)
        try:
            try:
                yield
            finally:
                self._set_inside_call(False)
                self._provider_s = (time.perf_counter() - began - self._paused_s) / shared_by
        except GeneratorExit:
            self._left = True
            self._reason = "the stream was left before its end"
            raise
        except BaseException as error:
            self._failed = True
            self._reason = type(error).__name__
            self._left = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
            with suppress(Exception):  # what an odd model or error says must not take its place
                hide_secrets(error, keys.secrets_of(self.asked.model, self.asked.kwargs))
            if isinstance(error, Exception):
                self._see_refused(error, said)
            raise

    def pause(self) -> None:
        """Note that the reader of a stream has its next piece."""
        self._set_inside_call(False)
        self._paused_at = time.perf_counter()

    def resume(self) -> None:
        """Note that the reader of a stream wants more. A long pause is not the provider's time."""
        self._set_inside_call(True)
        pause_s = time.perf_counter() - self._paused_at
        if pause_s > _PAUSE_LIMIT_S:
            self._paused_s += pause_s

    def _set_inside_call(self, keeps: bool) -> None:
        """Say whether what the provider's client sends now is kept here, as one answer."""
        if self.request is not None:
            serving.set_inside_call(keeps)

    def settle(self, answer: Callable[[], Sequence[Generation]]) -> None:
        """Keep what the provider answered, if it is a good answer. Never raises.

        Args:
            answer: Puts the answer together from what came.
        """
        try:
            generations = answer()
            self._usage = usage_of(generations)
            self.ids = [id_ for each in generations if (id_ := id_of(each)) is not None]
            for each in self.ids:
                LEDGER.hand_out(each)
            if self.request is not None and self.mode in ("auto", "refresh"):
                self._keep(self.request, generations)
        except answers.NotStorableError as error:
            self._reason = str(error)
        except Exception as error:  # noqa: BLE001  # the answer is paid for: nothing may take it from the user
            self._warning = said_by(error)

    def _see_refused(self, error: Exception, said: Callable[[], str]) -> None:
        """Note an answer that was paid for, though the caller's own class refused it."""
        from . import structured

        try:
            if generations := structured.refused(error, self.asked.kwargs, said()):
                self.refused = lambda: generations
        except Exception as fault:  # noqa: BLE001  # as in settle
            self._warning = said_by(fault)

    def _keep(self, request: keys.Request, generations: Sequence[Generation]) -> None:
        from ..answer.pieces import pack
        from ..answer.verdict import verdict as judge  # a hit needs neither

        verdict = judge(generations, max_tokens_given=request.limits_tokens)
        self._note = verdict.note
        if verdict.reason is not None and not modes.is_keeping.get():
            raise answers.NotStorableError(verdict.reason)
        versions = answers.recording_versions(type(self.asked.model).__module__.partition(".")[0])
        answer = answers.encode(generations, versions, pack(self.pieces(), generations[0]))
        entry = entry_of(request, answer, time.time(), self._provider_s)
        if self._flight is not None:
            # Followers need not wait for the store; newcomers still find the flight.
            self._flight.land(entry)
        if self.place.read_only:
            raise answers.NotStorableError(f"{self.place.location} is read-only")
        self._stored = self.place.keep(request, entry)
        self._pending = not self._stored

    def close(self) -> None:
        """Free whoever waits for this call. Call it in every case; once is enough."""
        if self._flight is not None and self.request is not None:
            left = self._left or self._provider_s is None  # who never came to pay has left too
            self.place.flights.end(self.request.key, self._flight, left=left)
            self._flight = None
        if self._claim is not None:
            self._claim.free()
        if self.request is not None and self.found is None and not self._stored:
            recent.append(self.request)  # no entry will tell of it

    def event(self, cell: int | None, wall_s: float) -> Call:
        """Return the event that tells of this call.

        Args:
            cell: The cell that made it.
            wall_s: How long its caller waited, in seconds.
        """
        entry = self.found.entry if self.found else None
        return Call(
            cell=cell,
            kind=self._kind(),
            model=self.label,
            key=self.request.key.hex() if self.request else None,
            wall_s=wall_s,
            lookup_s=self._lookup_s,
            provider_s=self._provider_s,
            saved_s=entry.provider_s if entry else None,
            usage=self._usage,
            stored=self._stored
            or (self.place.other_cache is not None and not (self._failed or self._left)),
            reason=self._reason,
            recorded_at=entry.created_at if entry else None,
            location=self.place.location,
            canned=is_canned(type(self.asked.model)),
            note=self._note,
            warning=self._warning,
            unrecorded=self._unrecorded,
            pending=self._pending,
        )

    def _kind(self) -> Kind:
        if self._failed:
            return "error"
        if self.found is not None:
            return "hit"
        return "bypass" if self.mode == "bypass" and self.place.other_cache is None else "miss"
