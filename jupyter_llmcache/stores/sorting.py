"""What lists are sorted by."""

from __future__ import annotations

from .base import SortOrder, Summary


def sort_value(line: Summary, sort: SortOrder) -> tuple[float, bytes]:
    """Return what stands first when it is largest; equal entries go by key."""
    values: dict[SortOrder, float] = {
        "recent": line.created_at,
        "used": line.used_at,
        "size": line.size_bytes,
        "saved": line.hits * (line.provider_s or 0.0),
    }
    return values[sort], line.key
