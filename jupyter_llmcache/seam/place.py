"""Where an open call finds and keeps its answers, and what it is made of."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import metadata
from typing import Any, NamedTuple, TypeVar

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import Generation

from .. import answer as answers
from .. import request as keys
from ..entry import Entry
from ..errors import StoreError
from ..stores.base import Claim
from .asking import is_whole
from .flight import Flights

T = TypeVar("T")


def _new_pool() -> None:
    global _pool  # noqa: PLW0603  # a forked child has none of its parent's threads
    _pool = ThreadPoolExecutor(4, "llmcache")


_pool: ThreadPoolExecutor
_new_pool()
os.register_at_fork(after_in_child=_new_pool)

Prompt = str | Sequence[BaseMessage]

RECORD_FIRST = "Run it once in mode auto, with a key, to record it"
CHOOSE_FIRST = "Choose a recorded file first: %llm_cache sqlite FILE"
NO_CACHE = "no cache is on"

_OWN_DISTRIBUTIONS = ("jupyter_llmcache", "langchain-core")


class Asked(NamedTuple):
    """What a model is asked: the request as the provider's door sees it, still alive."""

    model: BaseLanguageModel[Any]
    prompt: Prompt
    stop: list[str] | None
    kwargs: Mapping[str, Any]


class Found(NamedTuple):
    """An answer that is kept: fresh generations, and the entry they came from.

    ``entry`` is None where the answer is in none of our entries, so that nobody knows when it was
    recorded and how long it took.
    """

    entry: Entry | None
    generations: list[Generation]

    @property
    def pieces(self) -> list[answers.Piece] | None:
        """In what pieces a stream brought the answer; None where it was in one, or in none."""
        if self.entry is None or is_whole.get():
            return None
        return answers.pieces_of(self.entry.answer, self.generations[0])


class Place:
    """Where an open call finds and keeps answers; this one holds nothing and keeps nothing.

    Attributes:
        location: What a person calls this place.
        read_only: Whether nothing can be kept.
        bypass_reason: Why calls that come here are not asked of the cache; None where they are.
        keeps_elsewhere: Whether another cache than ours answers and keeps what comes here.
    """

    location = ""
    read_only = True
    keeps_elsewhere = False

    def __init__(self, bypass_reason: str | None = NO_CACHE) -> None:
        self.bypass_reason = bypass_reason
        self.flights = Flights()

    def find(self, request: keys.Request) -> Found | None:  # noqa: ARG002  # there is nothing
        """Return what is kept for ``request``; a StoreError is a fault of the place."""
        return None

    def holds(self, request: keys.Request) -> bool:  # noqa: ARG002  # as in find
        """Return whether ``request`` would be answered, without counting a hit."""
        return False

    def keep(self, request: keys.Request, entry: Entry) -> bool:  # noqa: ARG002  # as in find
        """Keep ``entry`` as the answer; False where it still waits to be committed.

        Raises:
            StoreError: The place is at fault.
        """
        return False

    def claim(self, request: keys.Request) -> Claim | None:  # noqa: ARG002  # as in find
        """Ask for the right to pay; None where no other machine shares the place."""
        return None

    def recorded_requests(self) -> Iterable[str]:
        """Return the request texts of all that is kept."""
        return ()

    def readdressed(self, request: keys.Request) -> keys.Request | None:
        """The same request at the only endpoint that is known here for its provider and model."""
        try:
            endpoints = keys.endpoints_like(request, self.recorded_requests())
        except StoreError:  # the look before has told of it
            return None
        return request.with_endpoint(endpoints.pop()) if len(endpoints) == 1 else None

    def unrecorded(self, request: keys.Request) -> tuple[str, str]:  # noqa: ARG002  # it knows none
        """Return in few words, and in all, what differs from the nearest recorded request."""
        return ("no recorded file is on",) * 2

    async def run(self, function: Callable[..., T], *args: Any, model: Any = None) -> T:  # noqa: ARG002  # some places need no thread for a model that is known
        """Run what may touch a file in a thread, in this context: on an event loop nothing does.

        Args:
            function: What to run.
            args: With what.
            model: Where it only describes this model and looks for its answer.
        """
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(_pool, run, function, *args)


def id_of(generation: Generation) -> str | None:
    """Return the id of a generation's message, where it has one."""
    id_: str | None = getattr(getattr(generation, "message", None), "id", None)
    return id_


def entry_of(
    request: keys.Request, answer: bytes, created_at: float, provider_s: float | None
) -> Entry:
    """Return the entry that keeps ``answer`` for ``request``."""
    return Entry(
        request.key,
        answer,
        created_at,
        provider_s,
        request=request.description,
        prompt=request.prompt,
        title=request.title,
    )


@functools.lru_cache(maxsize=256)
def is_canned(cls: type) -> bool:
    """Whether models of this class answer from a list, as the class itself says."""
    return getattr(cls, "canned", False) is True


@functools.cache
def recording_versions(package: str | None) -> dict[str, str]:
    """Return distribution names and versions of what records now, for ``show`` and ``explain``.

    Args:
        package: The top-level package of the model's class, as ``langchain_openai``; None where no
            model was seen.
    """
    versions = {}
    # The package of a class of ours is here already.
    others = {package.replace("_", "-")} if package and package not in _OWN_DISTRIBUTIONS else ()
    for name in (*_OWN_DISTRIBUTIONS, *others):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
