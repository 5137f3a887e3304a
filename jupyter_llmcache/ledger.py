"""What happened and what it cost: one frozen event a call, in order, for the whole process.

Beside it ``Entry``: what a store keeps of an answer.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from decimal import Decimal
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from .modes import setting

K = TypeVar("K")
T = TypeVar("T")

#: What may be an id with its number behind it.
_NUMBERED_ID = r"[\w.:-]+-\d+"

Kind = Literal["hit", "miss", "bypass", "error"]
#: "answer": of a model; "embedding": the vector of one text; "web": of an HTTP server.
EntryKind = Literal["answer", "embedding", "web"]
KINDS: tuple[EntryKind, ...] = get_args(EntryKind)


#: Older events are dropped, so that a kernel that runs for weeks does not grow; totals stay right.
MAX_EVENTS = 100_000


class Call(NamedTuple):
    """One call of a model, an embedding model or an address, told when it ended.

    Attributes:
        cell: Number of the cell that was running when the call began; None outside a notebook.
        kind: ``hit`` from the cache; ``miss`` from the provider; ``bypass`` from the provider, and
            the cache was not asked; ``error`` when the call raised.
        model: ``provider:name``, as in ``openai:gpt-x``.
        key: The request's key in hexadecimal; None when the request cannot be cached.
        wall_s: The whole call as the caller waited for it, in seconds.
        lookup_s: Time in our own key and store before the answer or the provider, in seconds.
        provider_s: Time in the provider, in seconds; None on a hit.
        saved_s: On a hit, the provider's time when the answer was recorded, in seconds, or None
            where it was not recorded; None for a fresh call.
        usage: LangChain's ``usage_metadata`` of the answer, or None where the provider told none.
        stored: Whether the answer is committed in the cache because of this call.
        reason: Why it was not stored or not cacheable, or what failed; None when all went well.
        recorded_at: On a hit, when the answer was recorded, as Unix time in seconds.
        location: Where the answer is stored or came from, as the store names itself.
        canned: The model is a stand-in that answers from a list.
        note: A mark on a good answer, as in ``cut at max_tokens``.
        warning: A fault of the cache that did not cost the user the answer.
        asked: What was asked: a ``model``, an ``embedding`` model, or the ``web``.
        texts: How many texts an embedding model was asked for; 0 for other calls.
        texts_cached: How many of them came from the cache.
        keys: Of embeddings, the keys of all texts; empty for other calls.
        unrecorded: In replay, what differs from the nearest recorded request, or that nothing is
            recorded; None for every other call.
        pending: The answer waits to be stored, because another program holds the file.
    """

    cell: int | None
    kind: Kind
    model: str
    key: str | None
    wall_s: float
    lookup_s: float = 0.0
    provider_s: float | None = None
    saved_s: float | None = None
    usage: Mapping[str, Any] | None = None
    stored: bool = False
    reason: str | None = None
    recorded_at: float | None = None
    location: str | None = None
    canned: bool = False
    note: str | None = None
    warning: str | None = None
    asked: Literal["model", "embedding", "web"] = "model"
    texts: int = 0
    texts_cached: int = 0
    keys: Sequence[bytes] = ()
    unrecorded: str | None = None
    pending: bool = False


class Entry(NamedTuple):
    """One entry of a store. Immutable; equal to another one where every field is.

    Attributes:
        key: 16 bytes.
        answer: The encoded answer; opaque to a store.
        created_at: When it was recorded, as Unix time in seconds.
        provider_s: How long the provider took, in seconds; None where nobody measured it.
        kind: What it answers.
        request: The model and its parameters as canonical JSON text, without secrets. The same text
            stands in many entries; a store keeps it once.
        prompt: What was asked, as canonical JSON text.
        title: The beginning of the prompt on one line, for lists.
        size_bytes: What the entry takes in the store, without the request text; 0 where the store
            did not tell. The store says it: what is put is not looked at.
        hits: How often it was hit, as far as the store knows. The store says it, likewise.
        used_at: When it was last hit or stored, as Unix time in seconds. The store says it.
    """

    key: bytes
    answer: bytes
    created_at: float
    provider_s: float | None
    kind: EntryKind = "answer"
    request: str = ""
    prompt: str = ""
    title: str = ""
    size_bytes: int = 0
    hits: int = 0
    used_at: float = 0.0

    def answer_alone(self) -> Entry:
        """Return it without its texts and figures, as ``Store.get`` does."""
        return Entry(*self[:5])


class Totals(SimpleNamespace):
    """Counts of a stretch of calls; ``wall_s`` and ``saved_s`` in seconds."""

    # A dataclass would take longer to make than all else that is imported here.
    calls: int
    hits: int
    misses: int
    bypasses: int
    errors: int
    stored: int
    wall_s: float
    saved_s: float

    def __init__(self, **counts: float) -> None:
        super().__init__(**dict.fromkeys(Totals.__annotations__, 0) | counts)

    def add(self, call: Call) -> None:
        """Count one call."""
        self.calls += 1
        self.hits += call.kind == "hit"
        self.misses += call.kind == "miss"
        self.bypasses += call.kind == "bypass"
        self.errors += call.kind == "error"
        self.stored += call.stored
        self.wall_s += call.wall_s
        self.saved_s += call.saved_s or 0.0

    def minus(self, earlier: Totals) -> Totals:
        """Return what was counted since ``earlier``."""
        return Totals(**{name: now - getattr(earlier, name) for name, now in vars(self).items()})

    @classmethod
    def of(cls, calls: Sequence[Call]) -> Totals:
        """Return the totals of ``calls``."""
        totals = cls()
        for call in calls:
            totals.add(call)
        return totals


class Ledger:
    """All calls of the process, in the order in which they ended. Safe in threads.

    Attributes:
        totals: Counts of all calls.
        cell: Number of the cell that is running; None outside a notebook.
        cell_text: What stands in it.
        is_stable: Hand answers out under the ids they were recorded with, however often.
    """

    def __init__(self) -> None:
        self.totals = Totals()
        self.cell: int | None = None
        self.cell_text = ""
        self.is_stable = False
        self._told: set[int] = set()
        self._handed: dict[str, int] = {}
        self._by_id: dict[str, Call] = {}
        self._recorded_ids: dict[str, str] = {}
        self._events: deque[Call] = deque(maxlen=MAX_EVENTS)
        self._lock = threading.Lock()

    def record(self, call: Call, message_ids: Sequence[str] = ()) -> None:
        """Append ``call``, and tell whoever collects calls in this context.

        Args:
            call: What happened.
            message_ids: The ids of the messages that the call brought.
        """
        with self._lock:
            self._events.append(call)
            self.totals.add(call)
            for message_id in message_ids:
                put_bounded(self._by_id, message_id, call)
        for collector in _collectors.get():
            collector.append(call)

    def hand_out(self, recorded_id: str) -> str:
        """Return the id for an answer that is handed out now.

        It is the recorded one the first time, ``<id>-2``, ``<id>-3`` after that, because LangGraph
        takes two messages of one id for one message.
        """
        with self._lock:
            count = self._handed.get(recorded_id, 0) + 1
            put_bounded(self._handed, recorded_id, count)
            if count == 1 or self.is_stable:
                return recorded_id
            handed = f"{recorded_id}-{count}"
            put_bounded(self._recorded_ids, handed, recorded_id)
        return handed

    def recorded_id(self, message_id: str | None) -> str | None:
        """Return the id as recorded of an answer that was handed out under another one."""
        return self._recorded_ids.get(message_id or "", message_id)

    def with_recorded_ids(self, text: str) -> str:
        """Return ``text`` with the ids as recorded: a prompt may hold a printed message."""
        known = self._recorded_ids
        if not known or "-" not in text:
            return text
        return re.sub(_NUMBERED_ID, lambda match: known.get(match[0], match[0]), text)

    def call_of(self, message_id: str | None) -> Call | None:
        """Return the newest call that brought a message of this id."""
        return self._by_id.get(message_id) if message_id else None

    def mark(self) -> int:
        """Return a place in the ledger for ``since``."""
        return self.totals.calls

    def counts(self) -> Totals:
        """Return the totals of all calls as they are now."""
        return copy(self.totals)

    def last(self) -> Call | None:
        """Return the newest call, or None before the first."""
        with self._lock:
            return self._events[-1] if self._events else None

    def tell(self, calls: Iterable[Call]) -> None:
        """Note that a drawing has told the person of ``calls``."""
        self._told.update(map(id, calls))

    def untold_since(self, mark: int) -> list[Call]:
        """Return the calls after ``mark`` that no drawing told of, and forget what was told."""
        told, self._told = self._told, set()
        return [call for call in self.since(mark) if id(call) not in told]

    def since(self, mark: int) -> list[Call]:
        """Return the calls that ended after ``mark`` was taken, oldest first."""
        with self._lock:
            new = min(self.totals.calls - mark, len(self._events))
            return list(self._events)[len(self._events) - new :]


def put_bounded(table: dict[K, T], name: K, value: T, most: int = MAX_EVENTS) -> None:
    """Put in what is newest, and let the oldest go where there are more than ``most``."""
    table.pop(name, None)
    table[name] = value
    if len(table) > most:
        del table[next(iter(table))]


#: The process has one ledger, as it has one global LangChain cache.
LEDGER = Ledger()

_collectors: ContextVar[tuple[list[Call], ...]] = ContextVar("llmcache_collectors", default=())


@contextmanager
def collecting() -> Iterator[list[Call]]:
    """Yield a list that fills with the calls made inside the block.

    Calls of tasks and pools that inherit its context come in; those of other threads stay out.
    """
    calls: list[Call] = []
    with setting(_collectors, (*_collectors.get(), calls)):
        yield calls


def calls() -> list[Call]:
    """Return this process's calls, oldest first (the newest 100,000)."""
    return LEDGER.since(0)


def call_of(message: Any) -> Call | None:
    """Return the call that brought ``message``, a hit or fresh; None where nobody knows.

    Args:
        message: An ``AIMessage`` of this process, a copy of it, or the sum of a stream's chunks.
    """
    return LEDGER.call_of(getattr(message, "id", None))


def usage_of(generations: Sequence[Any]) -> dict[str, Any] | None:
    """Return the ``usage_metadata`` of LangChain's generations; None where there is none.

    Providers that give several generations tell the usage of all of them in each.
    """
    for generation in generations:
        usage = getattr(getattr(generation, "message", None), "usage_metadata", None)
        if usage:
            return dict(usage)
    return None


# --- what calls cost, where the ``prices`` extra (genai-prices) is installed ---

#: Of LangChain's input token details: what is billed at another price.
_DETAILS = {"cache_read": "cache_read_tokens", "cache_creation": "cache_write_tokens"}


def price_usd(call: Call) -> Decimal | None:
    """Return what the tokens of ``call`` cost at the provider, in US dollars.

    Prices are those that came with genai-prices; nothing is fetched. Of a hit this is what it
    saved. None where the model or its tokens are unknown, or the extra is not installed.
    """
    provider, _, name = call.model.partition(":")
    tokens = _tokens(call.usage)
    if not tokens or not name:
        return None
    try:
        return _price_usd(price_name(provider), name, tokens)
    except ImportError:  # not remembered: it may be installed while the kernel runs
        return None


def total_usd(calls: Iterable[Call]) -> Decimal | None:
    """Return the sum over ``calls``; None where no price is known."""
    prices = [price for call in calls if (price := price_usd(call)) is not None]
    return sum(prices, Decimal(0)) if prices else None


def price_name(provider: str) -> str:
    """Return what genai-prices calls ``provider``."""
    from .providers import PROVIDERS

    row = PROVIDERS.get(provider)
    return (row and row.price_name) or provider


def _tokens(usage: Mapping[str, Any] | None) -> tuple[tuple[str, int], ...]:
    if not usage:
        return ()
    counts = {name: usage.get(name) for name in ("input_tokens", "output_tokens")}
    details = usage.get("input_token_details") or {}
    counts |= {ours: details.get(theirs) for theirs, ours in _DETAILS.items()}
    return tuple(
        (name, count) for name, count in counts.items() if isinstance(count, int) and count
    )


@lru_cache(maxsize=4096)
def _price_usd(provider: str, name: str, tokens: tuple[tuple[str, int], ...]) -> Decimal | None:
    try:
        from genai_prices import Usage, calc_price  # here: it takes a third of a second

        return Decimal(calc_price(Usage(**dict(tokens)), name, provider_id=provider).total_price)
    except (LookupError, ValueError):
        return None
