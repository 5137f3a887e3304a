"""A hit costs nothing: callbacks see no tokens, the caller sees the original usage.

So a recalled answer goes through LangChain with a usage of zero and its own usage put aside in the
mark that says it is a hit; when the callbacks have ended, the usage goes back to its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

if TYPE_CHECKING:
    from .call import OpenCall

#: Where a hit says that it is one: in ``response_metadata``, of a text in ``generation_info``.
HIT_MARK = "llm_cache"

_USAGE = "usage"
_NOTHING_USED = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


def as_hit(generations: Sequence[Generation], call: OpenCall) -> list[Any]:
    """Mark recalled generations as a hit, with their usage put aside."""
    for generation in generations:
        mark = call.hit_mark
        message = getattr(generation, "message", None)
        if not isinstance(message, AIMessage):
            generation.generation_info = {**(generation.generation_info or {}), HIT_MARK: mark}
            continue
        message.id = None  # LangGraph would take it for the earlier message of this id
        message.response_metadata[HIT_MARK] = mark
        if message.usage_metadata is not None:
            mark[_USAGE] = message.usage_metadata
            message.usage_metadata = _NOTHING_USED.copy()  # type: ignore[assignment]  # its three keys
    return list(generations)


def with_usage(message: Any) -> Any:
    """Return a hit's message, or the chunk of it that tells, with its own usage; others as is."""
    metadata: dict[str, Any] = getattr(message, "response_metadata", None) or {}
    mark = metadata.get(HIT_MARK)
    if not isinstance(mark, dict) or _USAGE not in mark:
        return message
    rest = {name: value for name, value in mark.items() if name != _USAGE}
    return message.model_copy(
        update={
            "usage_metadata": mark[_USAGE],
            "response_metadata": {**metadata, HIT_MARK: rest},
        }
    )


def with_usages(result: LLMResult) -> LLMResult:
    """Give the messages of a finished call, which are nobody else's yet, their own usage back."""
    for generations in result.generations:
        for generation in generations:
            if isinstance(generation, ChatGeneration):
                message = generation.message
                mark = message.response_metadata.get(HIT_MARK)
                if isinstance(mark, dict) and _USAGE in mark and isinstance(message, AIMessage):
                    message.usage_metadata = mark.pop(_USAGE)
    return result
