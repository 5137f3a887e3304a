"""Hits that are counted but not yet written."""

from __future__ import annotations

from dataclasses import dataclass

from ..entry import Entry

#: A reader that never writes forgets which entries it hit beyond this many.
MAX_KEYS = 10_000


@dataclass(slots=True)
class KeyHits:
    """Hits of one entry: how many, and when the last one was (Unix time in seconds)."""

    hits: int
    used_at: float


class PendingHits:
    """Counts hits in memory, so that a hit costs no write. Not safe in threads by itself."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, because it was written or is somebody else's."""
        self.by_key: dict[bytes, KeyHits] = {}
        self.hits = 0
        self.saved_s = 0.0

    def add(self, key: bytes, now: float, saved_s: float | None) -> None:
        """Count one hit at ``now`` that saved ``saved_s`` provider seconds."""
        self.hits += 1
        self.saved_s += saved_s or 0.0
        known = self.by_key.get(key)
        if known:
            known.hits += 1
            known.used_at = now
        elif len(self.by_key) < MAX_KEYS:
            self.by_key[key] = KeyHits(1, now)

    def take_back(self, earlier: PendingHits) -> None:
        """Count what ``earlier`` holds again, because it could not be written."""
        self.hits += earlier.hits
        self.saved_s += earlier.saved_s
        for key, counted in earlier.by_key.items():
            known = self.by_key.setdefault(key, KeyHits(0, 0.0))
            known.hits += counted.hits
            known.used_at = max(known.used_at, counted.used_at)

    def added_to(self, entry: Entry) -> Entry:
        """Return a whole entry with the hits that are not written yet."""
        counted = self.by_key.get(entry.key)
        if counted is None:
            return entry
        used_at = max(entry.used_at, counted.used_at)
        return entry._replace(hits=entry.hits + counted.hits, used_at=used_at)

    def rows(self) -> list[tuple[int, float, bytes]]:
        """Return (hits, used_at, key) of each entry that was hit."""
        return [(counted.hits, counted.used_at, key) for key, counted in self.by_key.items()]
