"""One public call of a model, watched: the requests it makes, the events it leaves.

A hit costs nothing: callbacks see a usage of zero, the caller gets the message as it was recorded.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import Generation, LLMResult

from .. import modes
from .. import request as keys
from ..answer.pieces import Piece
from ..ledger import LEDGER, Call, usage_of
from .call import OpenCall
from .chunks import standard
from .place import Asked, Place, hand_out, id_of

#: What a hit costs, as callbacks are told.
_NOTHING_USED = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


class Watch:
    """One public call of one model: the requests it makes, and the events it leaves.

    Use it as a context manager around the call.

    Args:
        model: Whose method was called.
        place: Where the answers are kept.
        bypass_reason: Why this call is not asked of the cache; None where it is.
        opened: Its only request, where it is open already.
        other_cache: The name of the cache that LangChain asks before it comes to the door.
    """

    def __init__(
        self,
        model: BaseLanguageModel[Any],
        place: Place,
        bypass_reason: str | None = None,
        opened: OpenCall | None = None,
        other_cache: str | None = None,
    ) -> None:
        self._began = time.perf_counter()
        self._cell = LEDGER.cell
        self.place = place
        self._bypass_reason = bypass_reason
        self._opened = opened
        self.other_cache = other_cache
        self._ended: list[tuple[OpenCall, float]] = []
        self._detached = False
        self._stream: Any = None
        #: What callbacks must not see of a hit, by the id of its message.
        self._put_aside: dict[str, AIMessage] = {}
        self.model = model
        #: What the pieces of a hit's stream say of tokens, which callbacks must not see either.
        self._used: deque[Any] | None = None
        #: How many prompts came to the provider's door.
        self.seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        ended, self._ended = self._ended, []
        if len(ended) == 1:
            # What LangChain did around the only request is part of the caller's wait.
            ended = [(ended[0][0], time.perf_counter() - self._began)]
        for call, wall_s in ended:
            LEDGER.record(call.event(self._cell, wall_s), call.ids)

    def answered_elsewhere(self, generation: Any) -> None:
        """Tell of a hit of the other cache, which LangChain found before it came to the door."""
        label = keys.model_label(self.model, {})
        usage = usage_of([generation])
        wall_s = time.perf_counter() - self._began
        call = Call(self._cell, "hit", label, None, wall_s, usage=usage, location=self.other_cache)
        LEDGER.record(call, [id_] if (id_ := id_of(generation)) else ())

    def detach(self) -> None:
        """Let each request tell of itself when it ends, because the public call returns before."""
        self._detached = True

    def follow(self, stream: Any) -> Any:
        """Return a stream of the newest events, or what is awaited for it; its id is that of its
        message.
        """
        if inspect.iscoroutine(stream):
            return self._afollow(stream)
        self._stream = stream
        return stream

    @property
    def stream_id(self) -> str | None:
        """The id of the message that a stream of the newest events makes."""
        return getattr(self._stream, "message_id", None)

    async def _afollow(self, stream: Any) -> Any:
        return self.follow(await stream)

    def request(
        self, prompt: Any, stop: list[str] | None, kwargs: Any, reason: str | None = None
    ) -> _Visit:
        """Take one request of this call in hand; leave the block when its answer is complete."""
        asked = functools.partial(Asked, self.model, prompt, stop, kwargs)
        return _Visit(self, asked, reason)

    def open(self, asked: Asked, reason: str | None) -> OpenCall:
        """Return the request in hand, its answer looked for."""
        self.seen += 1
        call, self._opened = self._opened, None
        if call is None or reason:
            call = OpenCall(self.place, asked, self._bypass_reason or reason)
            call.find()
        return call

    def is_ready(self, reason: str | None) -> bool:
        """Whether a request is open, or known to go past the cache: no file is touched for it."""
        is_past = bool(self._opened or reason or self._bypass_reason or self.place.bypass_reason)
        return is_past or modes.current_mode() == "bypass" or keys.is_refused(self.model)

    async def settle(self, call: OpenCall, answer: Callable[[], Sequence[Generation]]) -> None:
        """Have ``call`` keep what the provider answered, off the running event loop."""
        if call.request is None:  # there is nothing to keep
            call.settle(answer)
        else:
            await self.place.finish(call.settle, answer)

    def end(self, call: OpenCall, wall_s: float) -> None:
        """Note that ``call`` is over, ``wall_s`` seconds after it was taken in hand."""
        if self._detached:
            if call.found is not None and call.ids and self._stream is not None:
                self._stream.set_message_id(call.ids[0])
            LEDGER.record(call.event(self._cell, wall_s), call.ids)
        else:
            self._ended.append((call, wall_s))

    # --- what callbacks see of a hit, and what the caller gets ---

    def handed(
        self, call: OpenCall, generations: Sequence[Generation], run_manager: Any = None
    ) -> list[Any]:
        """Return a hit's generations with their ids, and with a usage of nothing for callbacks.

        The newest event protocol makes one message for callbacks and caller, of standard blocks.
        """
        call.ids = hand_out(generations, getattr(run_manager, "run_id", None))
        for generation in generations:
            message = getattr(generation, "message", None)
            if not isinstance(message, AIMessage):
                continue
            if self._detached:
                told = standard(message)
            else:
                self._put_aside[str(message.id)] = message
                spent = None if message.usage_metadata is None else _NOTHING_USED.copy()
                told = message.model_copy(update={"usage_metadata": spent})
            generation.message = told  # type: ignore[attr-defined]  # it has one
        return list(generations)

    def restored(self, result: LLMResult) -> LLMResult:
        """Return the result of a finished call with each hit's message as it was recorded.

        Callbacks may still hold what they were told, so that it is left as it is.
        """
        if not self._put_aside:
            return result
        generations = [[self._restored(each) for each in one] for one in result.generations]
        return result.model_copy(update={"generations": generations})

    def _restored(self, generation: Any) -> Any:
        aside = self._put_aside.get(id_of(generation) or "")
        if aside is None:
            return generation
        message = generation.message.model_copy(
            update={
                "usage_metadata": aside.usage_metadata,
                "response_metadata": aside.response_metadata,
            }
        )
        return generation.model_copy(update={"message": message})

    def told_of(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Yield the pieces of a hit as callbacks are told of them, with a usage of nothing."""
        if self._detached:
            yield from pieces
            return
        self._used = deque()
        for piece in pieces:
            if used := piece.fields.get("usage_metadata"):
                self._used.append(used)
                yield piece._replace(
                    fields={**piece.fields, "usage_metadata": _NOTHING_USED.copy()}
                )
            else:
                yield piece

    def restored_chunk(self, chunk: Any) -> Any:
        """Return a hit's chunk with its own usage and content; others as they are."""
        aside = self._put_aside.get(getattr(chunk, "id", None) or "")
        if self._used is not None and getattr(chunk, "usage_metadata", None):
            used = self._used.popleft() if self._used else None
            return chunk.model_copy(update={"usage_metadata": used})
        if aside is None or self._used is not None:
            return chunk
        update = {"usage_metadata": aside.usage_metadata, "content": aside.content}
        return chunk.model_copy(update=update)


class _Visit:
    """The block in which one request is answered; as ``async with`` it keeps files off the loop."""

    __slots__ = ("_asked", "_began", "_call", "_reason", "_watch")

    def __init__(self, watch: Watch, asked: Callable[..., Asked], reason: str | None) -> None:
        self._began = time.perf_counter()
        self._watch, self._asked, self._reason = watch, asked, reason

    def __enter__(self) -> OpenCall:
        self._call = self._watch.open(self._asked(is_async=False), self._reason)
        return self._call

    def __exit__(self, *error: object) -> None:
        if self._call.refused is not None:
            self._call.settle(self._call.refused)
        self._end()

    async def __aenter__(self) -> OpenCall:
        watch, asked = self._watch, self._asked(is_async=True)
        if watch.is_ready(self._reason):
            self._call = watch.open(asked, self._reason)
        else:
            self._call = await watch.place.run(watch.open, asked, self._reason, model=watch.model)
        return self._call

    async def __aexit__(self, *error: object) -> None:
        if (refused := self._call.refused) is not None:
            await self._watch.settle(self._call, refused)
        self._end()

    def _end(self) -> None:
        self._call.close()
        if not self._call.is_preview:
            self._watch.end(self._call, time.perf_counter() - self._began)
