"""Hits that are counted but not yet written."""

from __future__ import annotations

from ..entry import Entry

#: A reader that never writes forgets which entries it hit beyond this many.
_MAX_KEYS = 10_000


class PendingHits:
    """Counts hits in memory, so that a hit costs no write. Not safe in threads by itself."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, because it was written or is somebody else's."""
        self.by_key: dict[bytes, tuple[int, float]] = {}
        self.hits = 0
        self.saved_s = 0.0

    def add(self, key: bytes, now: float, saved_s: float | None) -> None:
        """Count one hit at ``now`` that saved ``saved_s`` provider seconds."""
        self.hits += 1
        self.saved_s += saved_s or 0.0
        known = self.by_key.get(key)
        if known or len(self.by_key) < _MAX_KEYS:
            self.by_key[key] = (known[0] + 1 if known else 1, now)

    def take_back(self, earlier: PendingHits) -> None:
        """Count what ``earlier`` holds again, because it could not be written."""
        self.hits += earlier.hits
        self.saved_s += earlier.saved_s
        for key, (hits, used_at) in earlier.by_key.items():
            known_hits, known_at = self.by_key.get(key, (0, 0.0))
            self.by_key[key] = (known_hits + hits, max(known_at, used_at))

    def added_to(self, entry: Entry) -> Entry:
        """Return a whole entry with the hits that are not written yet."""
        hits, used_at = self.by_key.get(entry.key, (0, 0.0))
        return entry._replace(hits=entry.hits + hits, used_at=max(entry.used_at, used_at))

    def rows(self) -> list[tuple[int, float, bytes]]:
        """Return (hits, used_at, key) of each entry that was hit."""
        return [(*counted, key) for key, counted in self.by_key.items()]
