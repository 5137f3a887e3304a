"""What every store offers. Stores know bytes and text, not messages, and no LangChain."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from .bounds import Bounds

#: Length of a key, in bytes.
KEY_BYTES = 16
#: How many keys ``find`` returns at most: enough to say "which of these?".
FOUND_KEYS = 20

SortOrder = Literal["recent", "used", "size", "saved"]


@dataclass(frozen=True, slots=True)
class Hit:
    """What a lookup needs of an entry, and nothing more.

    Attributes:
        answer: The encoded answer, as it was put.
        created_at: When it was recorded, as Unix time in seconds.
        provider_s: How long the provider took, in seconds; None where nobody measured it.
    """

    answer: bytes
    created_at: float
    provider_s: float | None


@dataclass(frozen=True, slots=True)
class Record:
    """A whole entry.

    Attributes:
        key: 16 bytes.
        request: The model and its parameters as canonical JSON text, without secrets. The same text
            stands in many entries; a store keeps it once.
        prompt: The messages as canonical JSON text.
        title: The beginning of the prompt on one line, for lists.
        answer: The encoded answer; opaque here.
        created_at: When it was recorded, as Unix time in seconds.
        provider_s: How long the provider took, in seconds; None where nobody measured it.
    """

    key: bytes
    request: str
    prompt: str
    title: str
    answer: bytes
    created_at: float
    provider_s: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A line of a list: an entry without its texts.

    Attributes:
        key, request, title, created_at, provider_s: As in Record.
        size_bytes: What the entry takes in the store, without the shared request text.
        hits: How often it was hit, as far as the store knows.
        used_at: When it was last hit or stored, as Unix time in seconds.
    """

    key: bytes
    request: str
    title: str
    created_at: float
    provider_s: float | None
    size_bytes: int
    hits: int
    used_at: float


@dataclass(frozen=True, slots=True)
class LifeTotals:
    """What a store has done since it was made.

    Hits of sessions that stored nothing are not in it: such a session leaves the file as it was.

    Attributes:
        hits: Number of hits.
        saved_s: Provider seconds that those hits saved.
    """

    hits: int
    saved_s: float


@dataclass(frozen=True, slots=True)
class Verification:
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


class Store(Protocol):
    """A map from keys to entries.

    Every method may be called from any thread. A fault of the medium raises StoreError with one
    clear line; it never damages what is stored. A damaged entry is never returned: ``get`` and
    ``read`` raise DamagedEntryError for it.
    """

    #: "memory", "sqlite", ...
    backend: str
    #: What a person calls this store: the path as it was given; "memory".
    location: str

    @property
    def bounds(self) -> Bounds:
        """How long entries are good and how many there may be."""

    @property
    def read_only(self) -> bool:
        """Whether nothing can be stored."""

    @property
    def notice(self) -> str | None:
        """What a user should know about this store, in one line; None when nothing."""

    def get(self, key: bytes) -> Hit | None:
        """Return the entry of ``key`` and count a hit; None when there is none or it is too old."""

    def read(self, key: bytes) -> Record | None:
        """Return the whole entry without counting a hit."""

    def put(self, record: Record) -> None:
        """Store ``record`` in one step, in place of an entry of the same key."""

    def put_many(self, records: Collection[Record]) -> None:
        """Store all of ``records`` or, on a fault, none."""

    def delete(self, keys: Collection[bytes]) -> int:
        """Delete entries and return how many there were."""

    def clear(self) -> None:
        """Delete every entry of ours, and give the space back."""

    def prune(self) -> int:
        """Delete what is too old or over the bounds now, give the space back; return how many."""

    def count(self) -> int:
        """Return the number of entries."""

    def size_bytes(self) -> int:
        """Return the size of the file, or of the entries where there is no file."""

    def find(self, prefix: str) -> list[bytes]:
        """Return the keys whose hexadecimal form begins with ``prefix`` (at most 20)."""

    def summaries(
        self,
        *,
        sort: SortOrder = "recent",
        limit: int | None = None,
        request_contains: str | None = None,
        text_contains: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> list[Summary]:
        """Return lines for a list, the most recent, used, large or saving first.

        ``text_contains`` is looked for in prompts, without regard to case; ``request_contains`` in
        the request text, likewise; ``since`` and ``until`` bound ``created_at`` (Unix time in
        seconds).
        """

    def requests(self) -> list[str]:
        """Return the distinct request texts of all entries."""

    def records(self, keys: Collection[bytes] | None = None) -> Iterator[Record]:
        """Yield whole entries (all, or those of ``keys``) in key order, in bounded memory."""

    def life_totals(self) -> LifeTotals:
        """Return what the store has done since it was made."""

    def verify(self, *, repair: bool = False) -> Verification:
        """Look through everything.

        Args:
            repair: Delete what is damaged; save what can be read of a broken file.
        """

    def flush(self) -> None:
        """Put all that was stored where a copy of the file finds it; write pending bookkeeping if
        anything was stored since the last time.
        """

    def close(self) -> None:
        """Give back the file. Closing twice is no error."""
