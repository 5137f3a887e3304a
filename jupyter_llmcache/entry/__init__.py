"""Answers as the store keeps them, and which of them are good enough to be kept."""

from .codec import (
    MAX_ANSWER_BYTES,
    NotStorableError,
    decode,
    encode,
    recorded_versions,
    usage_of,
)
from .verdict import Verdict, verdict

__all__ = [
    "MAX_ANSWER_BYTES",
    "NotStorableError",
    "Verdict",
    "decode",
    "encode",
    "recorded_versions",
    "usage_of",
    "verdict",
]
