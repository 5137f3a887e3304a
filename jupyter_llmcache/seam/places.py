"""What an open call asks of the place where answers are kept: a cache of ours, or none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..entry import Entry
from .flight import Flights

if TYPE_CHECKING:
    from langchain_core.outputs import Generation

    from ..request import Request
    from .call import OpenCall


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that is kept: fresh generations, and the entry they came from.

    ``hit`` is None where the entry is none of ours and tells neither when nor how long.
    """

    hit: Entry | None
    generations: list[Generation]


class AnswerPlace(Protocol):
    """Where an open call finds and keeps answers."""

    flights: Flights[Entry]

    @property
    def read_only(self) -> bool:
        """Whether nothing can be kept."""

    @property
    def location(self) -> str:
        """What a person calls this place."""

    def find(self, call: OpenCall, request: Request) -> Found | None:
        """Return what is kept for ``request``; a StoreError is a fault of the place."""

    def holds(self, call: OpenCall, request: Request) -> bool:
        """Return whether ``request`` would be answered, without counting a hit."""

    def keep(self, call: OpenCall, request: Request, hit: Entry) -> None:
        """Keep ``hit`` as the answer; a StoreError is a fault of the place."""

    def recorded_requests(self) -> Iterable[str]:
        """Return the request texts of all that is kept."""

    def nearest(self, request: Request) -> str | None:
        """Return in words what is recorded that is nearest to ``request``."""


def entry_of(request: Request, answer: bytes, created_at: float, provider_s: float | None) -> Entry:
    """Return what is kept of an answer, with the texts that tell of its request."""
    return Entry(
        request.key,
        answer,
        created_at,
        provider_s,
        request=request.description,
        prompt=request.prompt,
        title=request.title,
    )
