"""What a magic asks, as data: the magics make it, ``asking`` answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..modes import Mode

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from ..draw.answer import Format


@dataclass(frozen=True)
class Question:
    """One question to one model or chain.

    Attributes:
        prompt: The text for the model, with its variables filled in.
        model: A chat model, a text model, or any Runnable, with its parameters bound.
        label: What a person calls the model: ``provider:name`` or the variable's name.
        system: The system text, or None.
        mode: The mode for this question alone, or None.
        keep: Store the answer even if it is empty, filtered or unfinished.
        stream: Draw the answer as it grows.
        format: How the answer is drawn.
        stable: Draw nothing that differs from run to run.
    """

    prompt: str
    model: Runnable[Any, Any]
    label: str
    system: str | None = None
    mode: Mode | None = None
    keep: bool = False
    stream: bool = False
    format: Format = "markdown"
    stable: bool = False
