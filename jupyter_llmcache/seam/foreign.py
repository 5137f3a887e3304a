"""Any other LangChain cache, observed: its answers, with our keys, copies and records.

The other cache is given LangChain's own two strings, with a digest of our description of the model
behind the second, so that it cannot mix what LangChain's string mixes.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from langchain_core.caches import BaseCache
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGeneration, Generation

from .. import answer as answers
from .. import request as keys
from ..errors import DamagedEntryError, StoreError
from ..ledger import Entry
from ..stores.base import Store
from .cache import ObservedCache
from .langchain_rows import langchain_strings
from .place import Found

_DIGEST_BYTES = 16


class ForeignCache(ObservedCache):
    """An ObservedCache over a cache object of somebody else.

    Args:
        cache: The object. It stays its owner's: closing this cache leaves it as it is.
    """

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache
        # A store's protocol has no way to say "nobody knows", which status shows for None.
        super().__init__(cast("Store", ForeignStore(cache)))

    def find(self, request: keys.Request) -> Found | None:
        """Return a copy of what the other cache holds for ``request``, or None.

        Raises:
            StoreError: The other cache raised, or holds something else than an answer.
        """
        with _blaming(self.location):
            held = self._cache.lookup(*_strings(request))
        if held is None:
            return None
        generations = self._copied(held)
        if isinstance(generations[0], ChatGeneration) != isinstance(
            request.made_of[0], BaseChatModel
        ):
            raise self._no_answer()
        return Found(None, generations)

    def holds(self, request: keys.Request) -> bool:
        """Return whether the other cache answers ``request``."""
        return self.find(request) is not None

    def keep(self, request: keys.Request, entry: Entry) -> bool:
        """Give the other cache a copy of the answer.

        Raises:
            StoreError: The other cache raised.
        """
        with _blaming(self.location):
            self._cache.update(*_strings(request), answers.decode(entry.answer))
        return True

    def unrecorded(self, request: keys.Request) -> tuple[str, str]:  # noqa: ARG002  # it knows none
        """Know no request."""
        return (f"{self.location} cannot be listed",) * 2

    # --- LangChain's cache interface, for callers that show no model ---

    def _held(self, prompt: str, llm_string: str) -> list[Generation] | None:
        keys.describe_strings(prompt, llm_string)  # raises where they name no model
        with _blaming(self.location):
            held = self._cache.lookup(prompt, llm_string)
        return None if held is None else self._copied(held)

    def _hold(self, prompt: str, llm_string: str, generations: Sequence[Generation]) -> None:
        keys.describe_strings(prompt, llm_string)  # as above
        self._cache.update(prompt, llm_string, _without_ids(generations))

    def _copied(self, held: Any) -> list[Generation]:
        """Return fresh objects for what the other cache holds.

        Raises:
            DamagedEntryError: It is no answer.
        """
        is_list = isinstance(held, list | tuple) and held
        if not is_list or not all(isinstance(generation, Generation) for generation in held):
            raise self._no_answer()
        return _without_ids(held)

    def _no_answer(self) -> DamagedEntryError:
        return DamagedEntryError(f"{self.location} holds something else than an answer")


class ForeignStore:
    """What the rest of the house needs to know of another cache: little, for it cannot be listed.

    Args:
        cache: The object of somebody else.
    """

    backend = "other"
    read_only = False
    notice = None
    has_langchain_rows = False
    is_shared = False  # each pays for itself: nobody can tell who else asks

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache
        self.location = type(cache).__name__

    def requests(self) -> list[str]:
        """Know no request: the other cache cannot be listed."""
        return []

    def count(self) -> None:
        """Nobody knows."""

    def size_bytes(self) -> None:
        """Nobody knows."""

    def clear(self) -> None:
        """Clear the other cache.

        Raises:
            StoreError: It raised.
        """
        with _blaming(self.location):
            self._cache.clear()

    def close(self) -> None:
        """Leave the other cache to its owner."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Store, name):
            raise AttributeError(name)
        raise StoreError(
            f"the entries of a {self.location} cannot be listed or picked",
            "Use the cache in a file: %llm_cache sqlite",
        )


@contextmanager
def _blaming(location: str) -> Iterator[None]:
    """Turn whatever another cache raises into one line."""
    try:
        yield
    except Exception as error:
        raise StoreError(f"{location} failed: {type(error).__name__}: {error}") from error


def _strings(request: keys.Request) -> tuple[str, str]:
    strings = langchain_strings(*request.made_of)
    prompt, llm_string = strings or (request.prompt, "")
    digest = hashlib.blake2b(request.description.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return prompt, f"{llm_string}---llmcache:{digest}"


def _without_ids(generations: Iterable[Generation]) -> list[Generation]:
    """Return deep copies, their messages without ids: a recalled message is a new message."""
    copies = copy.deepcopy(list(generations))
    for generation in copies:
        if isinstance(generation, ChatGeneration):
            generation.message.id = None
    return copies
