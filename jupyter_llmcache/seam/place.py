"""Where calls of models find and keep their answers, and which place answers which call."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    aclosing,
    closing,
    nullcontext,
)
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import Generation
from langchain_core.utils.utils import LC_ID_PREFIX

from .. import answer as answers
from .. import modes
from .. import request as keys
from ..errors import StoreError
from ..ledger import LEDGER, Entry
from .flight import Flights

if TYPE_CHECKING:
    from ..answer.pieces import Piece
    from ..stores.base import Claim, Store

T = TypeVar("T")
Prompt = str | Sequence[BaseMessage]

RECORD_FIRST = "Run it once in mode auto, with a key, to record it"
CHOOSE_FIRST = "Choose a recorded file first: %llm_cache sqlite FILE"
NO_CACHE = "no cache is on"
#: Stands in what a model holds where it is a proxy of ours; see ``proxy``.
PROXY_MARK = "_llmcache_proxy"


def _new_pool() -> None:
    global _pool  # noqa: PLW0603  # a forked child has none of its parent's threads
    _pool = ThreadPoolExecutor(4, "llmcache")


_pool: ThreadPoolExecutor
_new_pool()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_new_pool)


class Asked(NamedTuple):
    """What a model is asked: the request as the provider's door sees it, still alive.

    ``is_async``: whether it is not certain that synchronous methods alone are called.
    """

    model: BaseLanguageModel[Any]
    prompt: Prompt
    stop: list[str] | None
    kwargs: Mapping[str, Any]
    is_async: bool


class Found(NamedTuple):
    """An answer that is kept: fresh generations, and the entry they came from.

    ``entry`` is None where the answer is in none of our entries, so that nobody knows when it was
    recorded and how long it took.
    """

    entry: Entry | None
    generations: list[Generation]

    @property
    def is_in_pieces(self) -> bool:
        """Whether a stream of it may come in pieces; a look that costs nothing."""
        entry = self.entry
        return entry is not None and not modes.is_whole.get() and b'"pieces":' in entry.answer

    @property
    def pieces(self) -> Iterator[Piece] | None:
        """In what pieces a stream brought the answer; None where it was in one, or in none."""
        if self.entry is None or not self.is_in_pieces:
            return None
        from ..answer.pieces import pieces_of  # only a stream asks for them

        return pieces_of(self.entry.answer, self.generations[0])


class Place:
    """Where an open call finds and keeps answers: a store; without one nothing is held or kept.

    Attributes:
        store: Where entries are, if anywhere.
        bypass_reason: Why calls that come here are not asked of the cache; None where they are.
        other_cache: The name of another cache than ours that answers and keeps what comes here.
        flights: What is being paid for right now.
    """

    def __init__(
        self,
        bypass_reason: str | None = NO_CACHE,
        *,
        store: Store | None = None,
        other_cache: str | None = None,
    ) -> None:
        self.bypass_reason = bypass_reason
        self.store = store
        self.other_cache = other_cache
        self.flights = Flights()

    @property
    def location(self) -> str:
        """What a person calls this place."""
        return self.store.location if self.store is not None else self.other_cache or ""

    @property
    def read_only(self) -> bool:
        """Whether nothing can be kept."""
        return self.store is None or self.store.read_only

    def find(self, request: keys.Request) -> Found | None:
        """Return what is kept for ``request``, or None.

        Raises:
            StoreError: The store or the entry is at fault.
        """
        if self.store is None:
            return None
        entry = self.store.get(request.key)
        if entry is not None:
            return Found(entry, answers.decode(entry.answer))
        if not self.store.has_langchain_rows:
            return None
        from .langchain_rows import find_rows  # only a file that LangChain wrote needs this room

        generations = find_rows(self.store, request)
        return None if generations is None else Found(None, generations)

    def holds(self, request: keys.Request) -> bool:
        """Return whether an entry answers ``request``, without counting a hit."""
        return self.store is not None and self.store.read(request.key) is not None

    def keep(self, request: keys.Request, entry: Entry) -> bool:  # noqa: ARG002  # a foreign cache asks it for LangChain's strings
        """Keep ``entry`` as the answer; False where it still waits to be committed.

        Raises:
            StoreError: The store is at fault.
        """
        return self.store is not None and self.store.put(entry)

    @property
    def is_shared(self) -> bool:
        """Whether other machines share the place, so that the right to pay is asked for."""
        return self.store is not None and self.store.is_shared

    def claim(self, request: keys.Request) -> Claim | None:
        """Ask for the right to pay; None where no other machine shares the place."""
        if self.store is None or not self.is_shared:
            return None
        return self.store.claim(request.key)

    def readdressed(self, request: keys.Request) -> list[keys.Request]:
        """The same request at the only endpoint that is known here for its provider and model.

        One for each thing that was put into the HTTP clients meanwhile, as by a library that traces
        them.
        """
        try:
            known = () if self.store is None else self.store.requests()
        except StoreError:  # the look before has told of it
            return []
        found = sorted(keys.endpoints_like(request, known), key=str)
        is_only = len({endpoint for endpoint, _ in found}) == 1
        return [request.with_endpoint(*each) for each in found] if is_only else []

    def find_readdressed(self, request: keys.Request, is_async: bool) -> Found | None:
        """Return the answer of the same request at that endpoint; None where it is not certain.

        A synchronous and an asynchronous call may have recorded it by differently changed clients.
        """
        asked = self.readdressed(request)
        alike = [each for each in asked if each.is_carried_async == is_async]
        for some in (alike, asked):
            if found := [*filter(None, map(self.find, some))]:
                return found[0] if len(found) == 1 else None  # which of several would be a guess
        return None

    def unrecorded(self, request: keys.Request) -> tuple[str, str]:
        """Return in few words, and in all, what differs from the nearest recorded request."""
        if self.store is None:
            return ("no recorded file is on",) * 2
        from . import nearest  # only a replay miss needs this room

        return nearest.unrecorded(self.store, entry_of(request))

    async def run(self, function: Callable[..., T], *args: Any, model: Any = None) -> T:
        """Run what may touch a file in a thread, in this context: on an event loop nothing does.

        ``model``: all that it does is to describe this model and to look for its answer.
        """
        if self.store is not None and self.store.backend == "memory" and keys.is_known(model):
            return function(*args)
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(_pool, run, function, *args)

    async def finish(self, function: Callable[..., object], *args: Any) -> None:
        """Run what keeps an answer as ``run`` does, and to its end where the caller is cancelled.

        The answer is paid for, and others may wait for it.
        """
        running = asyncio.ensure_future(self.run(function, *args))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise


# --- which place answers which call ---

#: The cache that a person has turned on, asked also where the notebook sets another one of its own.
_on: Place | None = None
#: Whether it was told that the notebook turned the cache off by ``set_llm_cache(None)``.
_told_off = False
#: Whether calls that no cache answers are seen all the same, as a block may ask.
sees_all: contextvars.ContextVar[bool] = contextvars.ContextVar("llmcache_sees_all", default=False)


class Plan(NamedTuple):
    """Who answers one public call of a model.

    Attributes:
        place: Where the answers are kept.
        reason: Why this call is not asked of the cache; None where it is.
        other: The name of another cache, which LangChain asks first; None where there is none.
    """

    place: Place
    reason: str | None = None
    other: str | None = None


def turn_on(place: Place | None) -> None:
    """Ask ``place`` before every provider, also where the notebook sets another; None: no more."""
    global _on, _told_off
    _on, _told_off = place, False


def current_place() -> Place | None:
    """Return the place that answers calls that no LangChain cache sees."""
    cache: object = get_llm_cache()
    if isinstance(cache, Place):
        return cache
    if modes.current_mode() == "replay":
        return _on or Place()
    return _on if cache is not None else None


def plan(model: BaseLanguageModel[Any], *, streams: bool = False) -> Plan | None:
    """Return who answers a public call of ``model``; None where it is left alone."""
    field: BaseCache | bool | None = model.cache
    cache: object = field if isinstance(field, BaseCache) else get_llm_cache()
    if field is False:
        place = cache if isinstance(cache, Place) else _on or _bystander()
        return Plan(place, "the model has cache=False") if place else _nowhere()
    if isinstance(cache, Place):
        return Plan(cache)
    if isinstance(cache, BaseCache):
        return _behind(type(cache).__name__, streams=streams)
    if field is True:
        return _nowhere()  # LangChain says that there is no cache
    if _on is not None:
        return _turned_off(_on)
    watcher = _bystander()
    return Plan(watcher) if watcher else _nowhere()


def _bystander() -> Place | None:
    return _BYSTANDER if sees_all.get() else None


_BYSTANDER = Place()


def _behind(other: str, *, streams: bool) -> Plan:
    """The notebook's own cache is asked by LangChain itself, then ours, then the provider."""
    if streams:  # LangChain asks no cache
        return Plan(_on or Place(f"{other} keeps no streams"))
    if modes.current_mode() in ("refresh", "bypass"):
        return Plan(_on or Place(f"mode {modes.current_mode()}"))
    return Plan(_on or Place(other_cache=other), other=other)


def _turned_off(place: Place) -> Plan:
    global _told_off  # noqa: PLW0603  # said once, not at every call
    if modes.current_mode() == "replay":
        return Plan(place)
    reason = "the cache is off" if _told_off else "set_llm_cache(None) turned the cache off"
    _told_off = True
    return Plan(place, reason)


def _nowhere() -> Plan | None:
    """No cache of ours would answer; in replay the call must not go on all the same."""
    return Plan(Place()) if modes.current_mode() == "replay" else None


# --- what calls have in common ---

#: The requests of the newest calls that no entry tells of, for ``explain last``. Few, because a
#: request holds its messages, images and all.
recent: deque[keys.Request] = deque(maxlen=8)


def recent_request(key: bytes) -> Entry | None:
    """Return the request of ``key``, if it is one of the newest that have no entry, as one."""
    return next((entry_of(request) for request in reversed(recent) if request.key == key), None)


def hand_out(generations: Sequence[Generation], run_id: object = None) -> list[str]:
    """Give the messages of a hit the ids under which they are handed out, and return these."""
    ids = []
    for number, generation in enumerate(generations):
        message = getattr(generation, "message", None)
        if message is not None:
            message.id = LEDGER.hand_out(message.id or run_message_id(run_id, number))
            ids.append(message.id)
    return ids


def run_message_id(run_id: object, number: int) -> str:
    """Return the id that LangChain gives a message whose provider gave it none."""
    return f"{LC_ID_PREFIX}-{run_id or uuid.uuid4()}-{number}"


def id_of(generation: Generation) -> str | None:
    """Return the id of a generation's message, where it has one."""
    id_: str | None = getattr(getattr(generation, "message", None), "id", None)
    return id_


def entry_of(
    request: keys.Request,
    answer: bytes = b"",
    created_at: float = 0.0,
    provider_s: float | None = None,
) -> Entry:
    """Return the entry that keeps ``answer`` for ``request``; without one, the request alone."""
    return Entry(
        request.key,
        answer,
        created_at,
        provider_s,
        request=request.description,
        prompt=request.prompt,
        title=request.title,
    )


def closing_if_it_can(chunks: Any) -> AbstractContextManager[Any]:
    """Close ``chunks`` on leaving: a generator; a provider may also return a mere iterator."""
    return closing(chunks) if hasattr(chunks, "close") else nullcontext(chunks)


def aclosing_if_it_can(chunks: Any) -> AbstractAsyncContextManager[Any]:
    """Like ``closing_if_it_can``, for an async iterator."""
    return aclosing(chunks) if hasattr(chunks, "aclose") else nullcontext(chunks)


@functools.lru_cache(maxsize=256)
def is_canned(cls: type) -> bool:
    """Whether models of this class answer from a list, as the class itself says."""
    return getattr(cls, "canned", False) is True
