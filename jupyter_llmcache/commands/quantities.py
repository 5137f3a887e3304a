"""Durations and sizes as a person types them: ``7d``, ``12h``, ``1.5GB``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from ..errors import LLMCacheError

_SECONDS: Mapping[str, float] = {
    "s": 1,
    "m": 60,
    "min": 60,
    "h": 3600,
    "d": 86400,
    "w": 7 * 86400,
    "y": 365 * 86400,
}
_BYTES: Mapping[str, float] = {
    "b": 1,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "tb": 1e12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)


def parse_duration_s(text: str) -> float:
    """Return a duration such as ``7d``, ``12h`` or ``30min`` in seconds.

    Raises:
        LLMCacheError: ``text`` is no duration, or none that is over zero.
    """
    return _parse(text, _SECONDS, "duration", "30s, 10min, 12h, 7d, 4w or 1y")


def parse_size_bytes(text: str) -> int:
    """Return a size such as ``1GB`` or ``200 MiB`` in bytes.

    Raises:
        LLMCacheError: ``text`` is no size, or none that is over zero.
    """
    return math.ceil(_parse(text, _BYTES, "size", "500kB, 200MB, 1.5GB or 1GiB"))


def parse_count(text: str) -> int:
    """Return a whole number over zero; ``10_000`` and ``10,000`` are read too.

    Raises:
        LLMCacheError: ``text`` is no such number.
    """
    digits = text.replace("_", "").replace(",", "")
    if digits.isascii() and digits.isdigit() and int(digits) > 0:
        return int(digits)
    raise LLMCacheError(f"{text!r} is no whole number over zero", "Write one such as 1000")


def _parse(text: str, units: Mapping[str, float], what: str, examples: str) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    factor = units.get(match[2].lower()) if match else None
    if match is None or factor is None or not float(match[1]):
        raise LLMCacheError(f"{text!r} is no {what}", f"Write one such as {examples}")
    return float(match[1]) * factor
