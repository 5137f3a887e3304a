"""Entries and a clock for the tests of stores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from jupyter_llmcache.ledger import Entry
from jupyter_llmcache.stores.base import Store

START = 1_800_000_000.0


@dataclass
class Clock:
    """A clock that the test moves."""

    now: float = START

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float = 1.0) -> None:
        self.now += seconds


def key_of(name: object) -> bytes:
    return hashlib.blake2b(repr(name).encode(), digest_size=16).digest()


def answer_to(name: object) -> bytes:
    """An answer that tells which entry it belongs to, and does not compress away."""
    noise = hashlib.shake_128(repr(name).encode()).hexdigest(100)
    return f"the answer to {name!r}: {noise}".encode()


def large_answer_to(name: object, size_bytes: int) -> bytes:
    """An answer of this size that no compression makes smaller."""
    return hashlib.shake_128(repr(name).encode()).digest(size_bytes)


def entry(name: object, **changes: Any) -> Entry:
    """The entry of ``name``; the same every time."""
    values: dict[str, Any] = {
        "key": key_of(name),
        "request": '{"model":"demo:parrot"}',
        "prompt": f'[{{"content":"question {name}","role":"human"}}]',
        "title": f"question {name}",
        "answer": answer_to(name),
        "created_at": START,
        "provider_s": 0.5,
    }
    return Entry(**{**values, **changes})


def listed(store: Store, **which: Any) -> list[Entry]:
    """What lists show: entries without their texts, the most recent first."""
    return list(store.entries(**{"sort": "recent", "texts": False, **which}))


def as_put(entry: Entry | None) -> Entry | None:
    """An entry without the figures that the store adds."""
    return entry and entry._replace(size_bytes=0, hits=0, used_at=0.0)
