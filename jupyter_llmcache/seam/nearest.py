"""Which recorded requests are most like a given one, fast also where there are very many.

Three rounds, each with a bound: request texts are compared with each other (a store holds few of
them), titles are searched for pieces of the wanted title, and only the most promising entries are
read and compared as a whole.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..entry import Entry
from ..errors import StoreError
from ..request.compare import Difference, description_differences, differences, shared_part
from ..stores.base import Store

#: Entries with titles most like the wanted one; no others are looked at. More, where so many titles
#: are equally like it.
_MAX_TITLES, _MAX_TITLE_TIES = 2_000, 10_000
#: Different request texts that are compared field by field.
_MAX_DESCRIPTIONS = 300
#: Of more, those of a like length are compared as texts first.
_MAX_LENGTHS = 3_000
#: Entries that are read; more where title and request text do not tell the best of them apart.
_MAX_READ, _MAX_READ_TIES = 200, 10_000
#: Characters of prompts that are read at most.
_MAX_READ_CHARS = 20_000_000
#: Entries that are compared field by field.
_MAX_COMPARED = 40
#: How many pieces of a title are searched for.
_PIECES = 3
#: What a title without anything in common puts between two requests.
_TITLE_COST = 4.0


class Wanted(Protocol):
    """What a search needs of a request; ``keys.Request`` has it, and ``RecordedRequest``."""

    @property
    def key(self) -> bytes:
        """The request's key."""

    @property
    def description(self) -> str:
        """The model and its parameters, as JSON text."""

    @property
    def prompt(self) -> str:
        """The messages or the text, as JSON text."""

    @property
    def title(self) -> str:
        """The beginning of the prompt on one line."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """An entry's request, to search for others like it."""

    key: bytes
    description: str
    prompt: str
    title: str

    @classmethod
    def of(cls, record: Entry) -> RecordedRequest:
        """Return the request of ``record``."""
        return cls(record.key, record.request, record.prompt, record.title)


@dataclass(frozen=True, slots=True)
class Near:
    """A recorded request that is like the wanted one.

    Attributes:
        record: The entry.
        differences: What differs from it to the wanted request.
    """

    record: Entry
    differences: tuple[Difference, ...]

    @property
    def cost(self) -> float:
        """How far away it is; 1 is one changed parameter."""
        return sum(difference.cost for difference in self.differences)


def nearest(store: Store, request: Wanted, n: int = 3) -> list[Near]:
    """Return the ``n`` entries whose requests are most like ``request``, the nearest first.

    The entry of ``request`` itself is left out.

    Raises:
        StoreError: The store is at fault. A damaged entry is passed over.
    """
    titled = [entry for entry in _titled_like(store, request.title) if entry.key != request.key]
    costs = _description_costs(request.description, {entry.request for entry in titled})
    promising = _promising(titled, request.title, costs)
    records = _most_alike(list(_read(store, promising)), request, costs)
    found = [_near(record, request) for record in records]
    return heapq.nsmallest(n, found, key=lambda near: (near.cost, near.record.key))


def _titled_like(store: Store, title: str) -> list[Entry]:
    """Return the entries whose titles have most in common with ``title``."""
    pieces = _pieces(title)
    return store.titled_like(pieces, _MAX_TITLES, _MAX_TITLE_TIES)


def _pieces(title: str) -> list[str]:
    """Return parts of ``title``, evenly spread; a change leaves most of them whole."""
    length = max(3, min(8, len(title) // _PIECES))
    step = max(0, len(title) - length) / (_PIECES - 1)
    return [title[round(step * index) :][:length] for index in range(_PIECES)]


def _near(record: Entry, request: Wanted) -> Near:
    found = differences(record.request, record.prompt, request.description, request.prompt)
    return Near(record, tuple(found))


def _description_costs(wanted: str, texts: set[str]) -> dict[str, float]:
    """Return how far each request text is from the wanted one; of very many, only the likeliest."""
    likely: Sequence[str] = list(texts)
    if len(likely) > _MAX_DESCRIPTIONS:
        size = len(wanted)
        close = heapq.nsmallest(_MAX_LENGTHS, texts, key=lambda text: abs(len(text) - size))
        likely = heapq.nlargest(
            _MAX_DESCRIPTIONS, close, key=lambda text: shared_part(text, wanted)
        )
    return {
        text: sum(difference.cost for difference in description_differences(text, wanted))
        for text in likely
    }


def _promising(entries: Sequence[Entry], title: str, costs: dict[str, float]) -> list[Entry]:
    """Return entries in the order in which they are worth reading."""
    far = max(costs.values(), default=0.0) + 1
    apart: dict[str, float] = {}
    rough = []
    for entry in entries:
        if entry.title not in apart and len(apart) < _MAX_TITLES:
            apart[entry.title] = _TITLE_COST * (1 - shared_part(entry.title, title))
        rough.append(costs.get(entry.request, far) + apart.get(entry.title, _TITLE_COST))
    best = min(rough, default=0.0)
    ties = [place for place, cost in enumerate(rough) if cost == best][:_MAX_READ_TIES]
    chosen = heapq.nsmallest(_MAX_READ, range(len(rough)), key=rough.__getitem__)
    return [entries[place] for place in dict.fromkeys([*chosen, *ties])]


def _read(store: Store, entries: Sequence[Entry]) -> Iterator[Entry]:
    chars = 0
    for entry in entries:
        try:
            record = store.read(entry.key)
        except StoreError:
            continue
        if record is not None:
            yield record
            chars += len(record.prompt)
            if chars > _MAX_READ_CHARS:
                return


def _most_alike(records: Sequence[Entry], request: Wanted, costs: dict[str, float]) -> list[Entry]:
    far = max(costs.values(), default=0.0) + 1

    def cost(record: Entry) -> float:
        alike = shared_part(record.prompt, request.prompt)
        return costs.get(record.request, far) + _TITLE_COST * (1 - alike)

    return heapq.nsmallest(_MAX_COMPARED, records, key=cost)
