"""What holds for the calls of one block, what is told of many, and which were made last."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from langchain_core.language_models import BaseLanguageModel

from .. import request as keys
from ..ledger import LEDGER, collecting

#: The requests of the newest calls that no entry tells of, for ``explain last``. Few, because a
#: request holds its messages, images and all.
_recent: deque[keys.Request] = deque(maxlen=8)


def recent_request(key: bytes) -> keys.Request | None:
    """Return the request of ``key`` if it is one of the newest that have no entry."""
    return next((request for request in reversed(_recent) if request.key == key), None)


def remember(request: keys.Request) -> None:
    """Keep ``request`` until some newer ones came."""
    _recent.append(request)


#: Set by ``--keep``: store the answer whatever the verdict on it is.
is_keeping: ContextVar[bool] = ContextVar("llmcache_is_keeping", default=False)
#: Set while a hit's stream comes in one piece.
is_whole: ContextVar[bool] = ContextVar("llmcache_is_whole", default=False)
#: Set while a model call is only described.
is_previewing: ContextVar[bool] = ContextVar("llmcache_is_previewing", default=False)


def keeping() -> AbstractContextManager[None]:
    """Store answers inside the block even if they are empty, filtered or unfinished."""
    return _setting(is_keeping)


def in_one_piece() -> AbstractContextManager[None]:
    """Stream hits in one piece inside the block: its reader waits for the whole of them."""
    return _setting(is_whole)


def previewing() -> AbstractContextManager[None]:
    """Stop the first model call of the block, before cache and provider, by ``Previewed``."""
    return _setting(is_previewing)


@contextmanager
def _setting(flag: ContextVar[bool]) -> Iterator[None]:
    token = flag.set(True)
    try:
        yield
    finally:
        flag.reset(token)


class Previewed(BaseException):  # no error, and no chain's retry may catch it
    """Raised instead of the first model call inside ``previewing``; carries it out of a chain."""

    def __init__(self, call: Any) -> None:
        self.call = call
        super().__init__("previewed")


# --- how far a batch of a notebook's own code has come ---


def wrap_batch(original: Callable[..., Any]) -> Callable[..., Any]:
    """Tell how far ``batch`` has come where it takes long."""

    def batch(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        with _telling(self, inputs):
            return original(self, inputs, *args, **kwargs)

    return batch


def wrap_abatch(original: Callable[..., Any]) -> Callable[..., Any]:
    """Tell how far ``abatch`` has come where it takes long."""

    async def abatch(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        with _telling(self, inputs):
            return await original(self, inputs, *args, **kwargs)

    return abatch


def telling_embedding(what: str) -> AbstractContextManager[Any]:
    """Tell in a notebook's cell that ``what`` is being embedded where it takes long."""
    if LEDGER.cell is None:
        return nullcontext()
    from ..draw.progress import CODE_PATIENCE_S, Progress

    return Progress(f"embedding {what}", patience_s=CODE_PATIENCE_S)


@contextmanager
def _telling(asked: Any, inputs: Any) -> Iterator[None]:
    if LEDGER.cell is None or len(inputs) < 2:
        yield
        return
    from ..draw.progress import CODE_PATIENCE_S, Progress, remark_on

    # Of a chain or an agent nobody knows how many calls an input makes.
    is_model = isinstance(asked, BaseLanguageModel)
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
