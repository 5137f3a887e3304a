"""Entries and a clock for the tests of stores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from jupyter_llmcache.stores.base import Record

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


def entry(name: object, **changes: Any) -> Record:
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
    return Record(**{**values, **changes})
