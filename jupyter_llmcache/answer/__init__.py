"""Answers as the store keeps them, and which of them are good enough to be kept."""

from .codec import (
    MAX_ANSWER_BYTES,
    PARSED,
    NotStorableError,
    damaged,
    decode,
    encode,
    load,
    recorded_versions,
    unpack,
)
from .pieces import Piece, pack, pieces_of
from .verdict import Verdict, usage_of, verdict

__all__ = [
    "MAX_ANSWER_BYTES",
    "PARSED",
    "NotStorableError",
    "Piece",
    "Verdict",
    "damaged",
    "decode",
    "encode",
    "load",
    "pack",
    "pieces_of",
    "recorded_versions",
    "unpack",
    "usage_of",
    "verdict",
]
