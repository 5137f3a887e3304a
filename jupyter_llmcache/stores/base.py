"""What every store offers. Stores know bytes and text, not messages, and no LangChain."""

from __future__ import annotations

import heapq
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypedDict, Unpack

from ..errors import DamagedEntryError, LLMCacheError, StoreError
from ..ledger import Entry, EntryKind

#: Length of a key, in bytes.
KEY_BYTES = 16
#: How many keys ``find`` returns at most: enough to say "which of these?".
FOUND_KEYS = 20

SortOrder = Literal["key", "recent", "used", "size", "saved"]


class Which(TypedDict, total=False):
    """Which entries ``Store.entries`` yields, and in what order. What is left out is no limit.

    Attributes:
        keys: Only these; unknown ones are passed over.
        kind: Only of this kind.
        request_contains: Only where the request text holds this, without regard to case.
        text_contains: Only where the prompt holds this, without regard to case.
        since, until: Only what was recorded then or later, then or earlier; Unix time in seconds.
        sort: By key, or the most recent, used, large or saving first; equal ones by key. "key"
            where it is left out.
        limit: Only the first so many.
        texts: False: without answer and prompt, which is cheap also for very many entries.
    """

    keys: Collection[bytes] | None
    kind: EntryKind | None
    request_contains: str | None
    text_contains: str | None
    since: float | None
    until: float | None
    sort: SortOrder
    limit: int | None
    texts: bool


#: An entry as a SQLite file keeps it: its row, and its packed request text.
Payload = tuple[tuple[Any, ...], object]


class BusyError(StoreError):
    """The medium is in use, and may be free a moment later."""


class Bounds(NamedTuple):
    """The limits of a store; None is no limit.

    Attributes:
        ttl_s: How long an entry is good, in seconds since it was recorded.
        max_entries: How many entries there may be.
        max_size_bytes: How much the entries, or the file that holds them, may take.
    """

    ttl_s: float | None = None
    max_entries: int | None = None
    max_size_bytes: int | None = None

    def checked(self) -> Bounds:
        """Return these bounds.

        Raises:
            LLMCacheError: A limit is not above zero.
        """
        for name, value in self._asdict().items():
            if value is not None and not value > 0:
                raise LLMCacheError(
                    f"{name} is {value!r}", "Give a number above 0, or leave it out"
                )
        return self

    def oldest_good(self, now: float) -> float:
        """Return the Unix time in seconds up to which entries are too old at ``now``."""
        return -math.inf if self.ttl_s is None else now - self.ttl_s


class LifeTotals(NamedTuple):
    """What a store has done since it was made.

    Hits of sessions that stored nothing are not in it.

    Attributes:
        hits: Number of hits.
        saved_s: Provider seconds that those hits saved.
    """

    hits: int
    saved_s: float


class Verification(NamedTuple):
    """What a look through a whole store found.

    Attributes:
        entries: How many entries there are, the damaged ones counted.
        damaged: Keys of entries that are not what was stored.
        orphans: Request texts that no entry uses.
        faults: What is wrong with the structure of the file, one line each.
        repaired: Whether all of that was put right.
        kept_at: Where a broken file was put aside, when what could be read of it was saved.
    """

    entries: int
    damaged: tuple[bytes, ...] = ()
    orphans: int = 0
    faults: tuple[str, ...] = ()
    repaired: bool = False
    kept_at: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing was wrong."""
        return not (self.damaged or self.orphans or self.faults)


if TYPE_CHECKING:

    class Claim(Protocol):
        """The right to pay for one request, or the news that another machine has it."""

        @property
        def leads(self) -> bool:
            """Whether it is ours."""

        def wait(self, timeout_s: float) -> bool:
            """Wait until its owner is done or gone; False where ``timeout_s`` seconds passed."""

        def free(self) -> None:
            """End it and wake who waits. Ending it twice is no error."""


class Store(ABC):
    """A map from keys to entries: the plug for places where answers are kept.

    A store needs ``backend``, a module of that name in this folder (or an entry point of that name
    in the group ``jupyter_llmcache.stores``), and the abstract methods. The others have bodies over
    these. The arguments of its ``__init__`` become those of its subcommand and its cache class.

    Every method may be called from any thread. A fault of the medium raises StoreError with one
    line and damages nothing. ``get``, ``read`` and ``entries`` raise DamagedEntryError for an entry
    that is not what was stored.

    Args:
        location: Where the entries are; what a person calls the store.
        read_only: Serve what is there and write nothing.
        ttl_s: How long an entry is good, in seconds. None: for ever.
        max_entries: How many entries it holds; the least recently used goes first. None: no bound.
        max_size_bytes: How much the entries may take. None: no bound.
        clock: Returns the Unix time in seconds.

    Raises:
        LLMCacheError: A bound is not above zero.
    """

    backend: ClassVar[str]  # the name under which it is registered: "memory", "sqlite", ...
    url_schemes: ClassVar[Collection[str]] = ()  # how URLs of such stores begin
    is_shared: ClassVar[bool] = False  # whether machines share it, so that ``claim`` is asked
    location: str = ""
    bounds: Bounds = Bounds()
    #: The file that holds the entries, where there is one.
    path: Path | None = None
    #: Whether LangChain's own cache has its table in the same file; see ``langchain_rows``.
    has_langchain_rows: bool = False

    def __init__(
        self,
        location: str = "",
        *,
        read_only: bool = False,
        ttl_s: float | None = None,
        max_entries: int | None = None,
        max_size_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.location = location or self.backend
        self.bounds = Bounds(ttl_s, max_entries, max_size_bytes).checked()
        self._wants_read_only = read_only
        self._clock = clock

    # --- what a store is ---

    @abstractmethod
    def get(self, key: bytes) -> Entry | None:
        """Return the entry of ``key`` without its texts and figures, and count a hit.

        None when there is none or it is too old.
        """

    @abstractmethod
    def put_many(self, entries: Collection[Entry]) -> bool:
        """Store all of ``entries`` or, on a fault, none; each in place of one of the same key.

        Afterwards the bounds hold; the entry stored last stays whatever its size.

        Returns:
            Whether they are committed. False: they are pending, found by this process's ``get``,
            and committed when the medium is free.
        """

    @abstractmethod
    def delete(self, keys: Collection[bytes]) -> int:
        """Delete entries and return how many there were."""

    @abstractmethod
    def entries(self, **which: Unpack[Which]) -> Iterator[Entry]:
        """Yield whole entries, or a part of them, in bounded memory; see ``Which``.

        The store may be written meanwhile.
        """

    @abstractmethod
    def count(self) -> int:
        """Return the number of entries."""

    @abstractmethod
    def size_bytes(self) -> int:
        """Return the size of the file, or of the entries where there is no file."""

    @abstractmethod
    def close(self) -> None:
        """Give the medium back. Closing twice is no error."""

    # --- what follows from that ---

    @property
    def read_only(self) -> bool:
        """Whether nothing can be stored."""
        return self._wants_read_only

    @property
    def notice(self) -> str | None:
        """What a user should know about this store, in one line; None when nothing."""
        return None

    def get_many(self, keys: Collection[bytes]) -> dict[bytes, Entry]:
        """Return what ``get`` finds for each of ``keys``."""
        found = ((key, self.get(key)) for key in dict.fromkeys(keys))
        return {key: entry for key, entry in found if entry is not None}

    def put(self, entry: Entry) -> bool:
        """Store ``entry`` in one step, in place of one of the same key; see ``put_many``."""
        return self.put_many((entry,))

    def read(self, key: bytes) -> Entry | None:
        """Return the whole entry without counting a hit."""
        return next(self.entries(keys=(key,)), None)

    def find(self, prefix: str) -> list[bytes]:
        """Return the keys whose hexadecimal form begins with ``prefix`` (at most 20)."""
        prefix = prefix.lower()
        keys = (entry.key for entry in self.entries(texts=False))
        return heapq.nsmallest(FOUND_KEYS, (key for key in keys if key.hex().startswith(prefix)))

    def titled_like(self, pieces: Collection[str], limit: int, ties: int) -> list[Entry]:
        """Return the entries whose titles hold the most of ``pieces``, those with most first.

        Args:
            pieces: Parts of a title.
            limit: How many entries to return, without answers and prompts.
            ties: How many, where more than ``limit`` hold the same number of pieces.
        """
        different = set(pieces)

        def held(entry: Entry) -> int:
            return sum(piece in entry.title for piece in different)

        found = heapq.nlargest(ties, self.entries(texts=False), key=held)
        return found[: max(limit, sum(held(each) == held(found[0]) for each in found))]

    def requests(self) -> list[str]:
        """Return the distinct request texts of all entries, sorted."""
        return sorted({entry.request for entry in self.entries(texts=False)})

    def life_totals(self) -> LifeTotals:
        """Return what the store has done since it was made, as far as its entries tell."""
        hit = [(entry.hits, entry.provider_s or 0.0) for entry in self.entries(texts=False)]
        return LifeTotals(sum(hits for hits, _ in hit), sum(hits * each_s for hits, each_s in hit))

    def clear(self) -> None:
        """Delete every entry of ours, and give the space back."""
        self.delete([entry.key for entry in self.entries(texts=False)])

    def prune(self) -> int:
        """Delete what is too old or over the bounds now, give the space back; return how many."""
        used = list(self.entries(sort="used", texts=False))
        return self.delete([entry.key for entry in past(self.bounds, used, self._clock())])

    def verify(self, *, repair: bool = False) -> Verification:
        """Look through everything.

        Args:
            repair: Put right what is damaged, or delete it.
        """
        keys = [entry.key for entry in self.entries(texts=False)]
        damaged = []
        for key in keys:
            try:
                self.read(key)
            except DamagedEntryError:
                damaged.append(key)
        if repair:
            self.delete(damaged)
        return Verification(len(keys), tuple(damaged), repaired=repair)

    def payloads(self, keys: Collection[bytes] | None = None) -> Iterator[Entry | Payload]:
        """Yield entries (all, or those of ``keys``) for a clean file, in key order.

        Raises:
            DamagedEntryError: One is not what was stored.
        """
        return self.entries(keys=keys)

    def flush(self, timeout_s: float = 0.0) -> int:  # noqa: ARG002  # nothing waits here
        """Commit what is pending, and put all where a copy of the medium finds it.

        Args:
            timeout_s: How long to wait for a medium that is in use.

        Returns:
            How many entries are still pending.
        """
        return 0

    def claim(self, key: bytes) -> Claim | None:  # noqa: ARG002  # few stores are shared so
        """Ask for the right to pay for ``key``, which one machine at a time has.

        None where each pays for itself: no other machine shares the store, or nobody can tell.
        """
        return None

    def langchain_rows(self, prompt: str, llm_string: str) -> list[str]:  # noqa: ARG002  # few stores have any
        """Return what LangChain stored for these two strings, one text a generation, in order."""
        return []


def select(entries: Iterable[Entry], **which: Unpack[Which]) -> Iterator[Entry]:
    """Yield those of ``entries`` that ``which`` asks for, for stores that hold all at hand."""
    keys, sort = which.get("keys"), which.get("sort", "key")
    chosen = [
        entry
        for entry in entries
        if (keys is None or entry.key in keys)
        and which.get("kind") in (None, entry.kind)
        and (which.get("request_contains") or "").lower() in entry.request.lower()
        and (which.get("text_contains") or "").lower() in entry.prompt.lower()
        and entry.created_at >= (-math.inf if (since := which.get("since")) is None else since)
        and entry.created_at <= (math.inf if (until := which.get("until")) is None else until)
    ]
    chosen.sort(key=lambda entry: sort_value(entry, sort), reverse=sort != "key")
    for entry in chosen[: which.get("limit")]:
        yield entry if which.get("texts", True) else entry._replace(answer=b"", prompt="")


def sort_value(entry: Entry, sort: SortOrder) -> tuple[float, bytes]:
    """Return what stands first when it is largest (by key: smallest); equal entries go by key."""
    values: dict[SortOrder, float] = {
        "recent": entry.created_at,
        "used": entry.used_at,
        "size": entry.size_bytes,
        "saved": entry.hits * (entry.provider_s or 0.0),
    }
    return values.get(sort, 0.0), entry.key


def past(bounds: Bounds, used: Sequence[Entry], now: float) -> list[Entry]:
    """Return what is past ``bounds``: what is too old, then the least used of what is too much.

    Args:
        bounds: The limits. A little more goes, so that the next puts need not clear again.
        used: All entries with their sizes, the last used first. The first stays whatever its size.
        now: Unix time in seconds.
    """
    oldest_good = bounds.oldest_good(now)
    good = [entry for entry in used if entry.created_at > oldest_good]
    kept = len(good)
    if bounds.max_entries is not None and kept > bounds.max_entries:
        kept = low_mark(bounds.max_entries)
    total_bytes = sum(entry.size_bytes for entry in good[:kept])
    if bounds.max_size_bytes is not None and total_bytes > bounds.max_size_bytes:
        while kept > 1 and total_bytes > low_mark(bounds.max_size_bytes):
            kept -= 1
            total_bytes -= good[kept].size_bytes
    return [entry for entry in used if entry.created_at <= oldest_good] + good[kept:]


def low_mark(bound: int) -> int:
    """Return how far below a reached bound to clear, so that the next puts need not clear again."""
    return bound - bound // 64
