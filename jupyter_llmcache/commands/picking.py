"""Which entries a person means: by key, the last call's, by model, text or age."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from ..entry import Entry
from ..errors import LLMCacheError, StoreError
from ..stores.base import KEY_BYTES, SortOrder, Store, sort_value
from ..text import one_line
from .prompts import nearest

if TYPE_CHECKING:
    from ..ledger import Call

LAST = "last"
#: The backend of caches that are not ours and tell nothing of their entries.
OTHER = "other"
#: Hexadecimal digits of a key that are shown, more where they name two entries.
KEY_DIGITS = 8
#: More models than this are found in the list itself, not by a query each.
_MAX_QUERIES = 8
_HEX = re.compile("[0-9a-fA-F]+")


class HasStore(Protocol):
    """What the subcommands need of a cache."""

    @property
    def store(self) -> Store:
        """Where its entries are."""


class Managed(Protocol):
    """What the subcommands work on: a shell's session, or a file named on a command line."""

    @property
    def cache(self) -> HasStore | None:
        """The cache that is on."""

    def last_call(self) -> Call | None:
        """Return the newest call, or None."""


def store_of(session: Managed) -> Store:
    """Return the store in use.

    Raises:
        LLMCacheError: No cache is on.
    """
    if session.cache is None:
        raise LLMCacheError("no cache is on", "Choose one first: %llm_cache sqlite FILE")
    return session.cache.store


def writable(store: Store) -> Store:
    """Return ``store``.

    Raises:
        StoreError: It is read-only.
    """
    if store.read_only:
        raise StoreError(
            f"{store.location} is read-only", "Open it without --read-only to change it"
        )
    return store


def find_key(session: Managed, text: str) -> bytes:
    """Return the key of the entry that ``text`` names: ``last``, or the beginning of its key.

    Raises:
        LLMCacheError: It names none, or more than one.
    """
    store = store_of(session)
    prefix = _last_key(session, store) if text.lower() == LAST else text
    if not _HEX.fullmatch(prefix) or len(prefix) > 2 * KEY_BYTES:
        raise LLMCacheError(
            f"{one_line(text, 40)!r} is no key",
            nearest(text, [LAST]) or "Give the beginning of a key, as %llm_cache list shows it",
        )
    found = store.find(prefix)
    if len(found) > 1:
        some = ", ".join(key.hex()[: len(prefix) + 4] for key in found[:3])
        raise LLMCacheError(f"{prefix} begins more than one key: {some}…", "Give more digits of it")
    if not found:
        if text.lower() == LAST:
            raise LLMCacheError(
                "the last call's answer is not in this cache", "See %llm_cache list"
            )
        raise LLMCacheError(f"no entry's key begins with {prefix}", "See %llm_cache list")
    return found[0]


def _last_key(session: Managed, store: Store) -> str:
    call = session.last_call()
    if call is None:
        newest = list(store.entries(sort="recent", limit=1, texts=False))
        if newest:
            return newest[0].key.hex()
        raise LLMCacheError("there is no last entry", f"{store.location} holds none yet")
    if call.key is None:
        raise LLMCacheError("the last call has no entry", call.reason or "It was not cached")
    return call.key


def select(
    store: Store,
    *,
    model: str | None = None,
    grep: str | None = None,
    since: float | None = None,
    until: float | None = None,
    sort: SortOrder = "recent",
    limit: int | None = None,
) -> list[Entry]:
    """Return the entries that fit every condition, in order.

    Args:
        store: Where to look.
        model: A part of ``provider:name``, without regard to case.
        grep: A text that the prompt holds, without regard to case.
        since: Recorded at this Unix time or later.
        until: Recorded at this Unix time or earlier.
        sort: What stands first.
        limit: How many to return. None: all.

    Raises:
        LLMCacheError: No entry has such a model; the nearest is named.
    """
    conditions: dict[str, Any] = {
        "sort": sort,
        "limit": limit,
        "text_contains": grep,
        "since": since,
        "until": until,
        "texts": False,
    }
    if model is None:
        return list(store.entries(**conditions))
    names = _models_like(store, model)
    if len(names) > _MAX_QUERIES:
        found = store.entries(**conditions | {"limit": None})
        return [entry for entry in found if model_of(entry.request) in names][:limit]
    several = [
        entry
        for name in names
        for entry in store.entries(**conditions, request_contains=_fragment(name))
    ]
    return sorted(several, key=lambda entry: sort_value(entry, sort), reverse=True)[:limit]


def models_of(store: Store) -> list[str]:
    """Return the models of all entries as ``provider:name``, sorted."""
    return sorted({model_of(request) for request in store.requests()})


def _models_like(store: Store, part: str) -> list[str]:
    known = models_of(store)
    found = [name for name in known if part.casefold() in name.casefold()]
    if not found:
        ways = [*known, *(name.partition(":")[2] for name in known)]
        there = ", ".join(known[:5]) or "none"
        raise LLMCacheError(
            f"no entry is of a model {one_line(part, 40)!r}",
            nearest(part, ways) or f"Models in {store.location}: {one_line(there)}",
        )
    return found


def _fragment(label: str) -> str:
    """Return the part of a request text that names the model of ``label``."""
    provider, _, name = label.partition(":")
    return (
        f'"provider":{json.dumps(provider, ensure_ascii=False)},'
        f'"model":{json.dumps(name, ensure_ascii=False) if name else "null"}'
    )


@lru_cache(maxsize=4096)
def model_of(request: str) -> str:
    """Return ``provider:name`` of a request text; ``?`` where it tells none."""
    try:
        fields = json.loads(request)
        provider, name = fields["provider"], fields["model"]
    except (ValueError, LookupError, TypeError):
        return "?"
    return f"{provider}:{name}" if name else str(provider)


def short_keys(keys: Iterable[bytes]) -> dict[bytes, str]:
    """Return each key as few hexadecimal digits that differ among ``keys``, at least eight."""
    full = [key.hex() for key in keys]
    digits = KEY_DIGITS
    while digits < 2 * KEY_BYTES and len({key[:digits] for key in full}) < len(set(full)):
        digits += 1
    return {bytes.fromhex(key): key[:digits] for key in full}


def ago(age_s: float) -> float:
    """Return the Unix time ``age_s`` seconds ago."""
    return time.time() - age_s
