"""What a store gives and takes: an answer as bytes, its times and its texts."""

from __future__ import annotations

from typing import Literal, NamedTuple

#: "answer": of a model; "embedding": the vector of one text; "web": of an HTTP server.
EntryKind = Literal["answer", "embedding", "web"]


class Entry(NamedTuple):
    """One entry of a store. Immutable; equal to another one where every field is.

    Attributes:
        key: 16 bytes.
        answer: The encoded answer; opaque to a store.
        created_at: When it was recorded, as Unix time in seconds.
        provider_s: How long the provider took, in seconds; None where nobody measured it.
        kind: What it answers.
        request: The model and its parameters as canonical JSON text, without secrets. The same text
            stands in many entries; a store keeps it once.
        prompt: What was asked, as canonical JSON text.
        title: The beginning of the prompt on one line, for lists.
        size_bytes: What the entry takes in the store, without the request text; 0 where the store
            did not tell. The store says it: what is put is not looked at.
        hits: How often it was hit, as far as the store knows. The store says it, likewise.
        used_at: When it was last hit or stored, as Unix time in seconds. The store says it.
    """

    key: bytes
    answer: bytes
    created_at: float
    provider_s: float | None
    kind: EntryKind = "answer"
    request: str = ""
    prompt: str = ""
    title: str = ""
    size_bytes: int = 0
    hits: int = 0
    used_at: float = 0.0
