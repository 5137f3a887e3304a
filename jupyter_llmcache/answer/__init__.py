"""Answers as the store keeps them, and which of them are good enough to be kept."""

from .codec import decode, encode, recorded_versions, unpack, usage_of
from .plain import MAX_ANSWER_BYTES, NotStorableError, damaged, load
from .verdict import Verdict, verdict

__all__ = [
    "MAX_ANSWER_BYTES",
    "NotStorableError",
    "Verdict",
    "damaged",
    "decode",
    "encode",
    "load",
    "recorded_versions",
    "unpack",
    "usage_of",
    "verdict",
]
