"""How far a batch of a notebook's own code has come, told in its cell where it takes long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import ModuleType
from typing import Any

from langchain_core.language_models import BaseLanguageModel

from ..ledger import LEDGER, collecting
from .doors import Method
from .place import current_place


def wrap_batch(original: Method, _: ModuleType) -> Method:
    """Tell how far ``batch`` has come where it takes long."""

    def batch(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        with _telling(self, inputs):
            return original(self, inputs, *args, **kwargs)

    return batch


def wrap_abatch(original: Method, _: ModuleType) -> Method:
    """Tell how far ``abatch`` has come where it takes long."""

    async def abatch(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        with _telling(self, inputs):
            return await original(self, inputs, *args, **kwargs)

    return abatch


def telling_embedding(what: str) -> AbstractContextManager[Any]:
    """Tell in a notebook's cell that ``what`` is being embedded where it takes long."""
    if LEDGER.cell is None:
        return nullcontext()
    from ..draw.live import CODE_PATIENCE_S, Progress

    return Progress(f"embedding {what}", patience_s=CODE_PATIENCE_S)


@contextmanager
def _telling(asked: Any, inputs: Any) -> Iterator[None]:
    if LEDGER.cell is None or len(inputs) < 2:
        yield
        return
    from ..draw.live import CODE_PATIENCE_S, Progress, remark_on

    # Of a chain or an agent nobody knows how many calls an input makes; without a cache on, no
    # call is seen.
    is_model = isinstance(asked, BaseLanguageModel) and current_place() is not None
    with collecting() as calls:

        def look() -> tuple[int, str] | None:
            came = list(calls)
            cached = sum(call.kind == "hit" for call in came)
            failed = sum(call.kind == "error" for call in came)
            told = len(came), remark_on(cached, failed, came)
            return told if came or is_model else None

        total = len(inputs) if is_model else None
        with Progress("asking", total, "call", CODE_PATIENCE_S, look):
            yield
