"""What a provider says of its answer: how it ended, and if it is good to keep."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from langchain_core.outputs import ChatGeneration, Generation

from ..provider_row import End, ends
from ..providers import PROVIDERS, ROWS

CUT_NOTE = "cut at max_tokens"

#: Where providers say how an answer ended: OpenAI's chat completions and most others; Anthropic;
#: Bedrock; Ollama; OpenAI's responses.
_FINISH_FIELDS = ("finish_reason", "stop_reason", "stopReason", "done_reason", "status")

#: Words for answers that did not end well, of servers that speak a provider's language.
_OTHER_ENDS = ends(filtered="sensitive", broken="abort network_error time_limit error not_finished")

#: What an answer without text and blocks may still hold in ``additional_kwargs``.
_OTHER_CONTENT = ("tool_calls", "function_call", "audio")
#: Blocks that are not yet an answer: text, which counts by its characters, and thoughts.
_NO_CONTENT = frozenset({"text", "reasoning", "reasoning_content", "redacted_thinking", "thinking"})
#: A character that a reader sees: none of Unicode's white space, controls and default-ignorable
#: code points, nor the blank Braille pattern.
_VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


class Verdict(NamedTuple):
    """What to do with an answer.

    Attributes:
        reason: Why it must not be stored, in a few words; None for a good answer.
        note: A mark on a good answer, as in ``cut at max_tokens``.
    """

    reason: str | None
    note: str | None


def verdict(generations: Sequence[Generation], *, max_tokens_given: bool) -> Verdict:
    """Judge an answer.

    Args:
        generations: What the model answered. One bad generation spoils the answer.
        max_tokens_given: Whether the request itself limits the tokens of its answer.
    """
    if not generations:
        return Verdict("empty answer", None)
    cut = False
    for generation in generations:
        finish = _finish(generation)
        cut = cut or _end(finish) == "cut"
        reason = _fault(generation, finish, max_tokens_given)
        if reason is not None:
            return Verdict(reason, None)
    return Verdict(None, CUT_NOTE if cut else None)


def _fault(generation: Generation, finish: str | None, max_tokens_given: bool) -> str | None:
    end = _end(finish)
    if end == "filtered":
        return f"filtered answer ({finish})"
    if _is_refusal(generation):
        return "refused answer"
    if end == "broken" or (end == "cut" and not max_tokens_given):
        return f"unfinished answer ({finish})"
    if finish is None and _should_tell(generation):
        return "unfinished answer (its end is missing)"
    if getattr(getattr(generation, "message", None), "invalid_tool_calls", None):
        return "a tool call that is not JSON"
    return "empty answer" if _is_empty(generation) else None


@lru_cache(maxsize=256)
def _end(finish: str | None) -> End | None:
    # An answer may come without its provider's name, and so every provider's words are read.
    tables = (*(row.ends for row in ROWS), _OTHER_ENDS)
    return next((table[finish] for table in tables if finish and finish in table), None)


def _finish(generation: Generation) -> str | None:
    """Return in lower case how the provider says the answer ended; None where it does not."""
    for said in _sayings(generation):
        blocked = said.get("prompt_feedback")
        if isinstance(blocked, Mapping) and blocked.get("block_reason"):
            return "safety"
        details = said.get("incomplete_details")
        if isinstance(details, Mapping) and isinstance(details.get("reason"), str):
            return _word(details["reason"])
        if said.get("done") is False:
            return "not_finished"
        for field in _FINISH_FIELDS:
            value = said.get(field)
            if isinstance(value, str) and value:
                return _word(value)
    return None


def _sayings(generation: Generation) -> Iterator[Mapping[str, Any]]:
    # LangChain copies the first into the second, but only after the provider's own method.
    if generation.generation_info:
        yield generation.generation_info
    if isinstance(generation, ChatGeneration):
        yield generation.message.response_metadata


def _word(value: str) -> str:
    """Normalise ``FinishReason.MAX_TOKENS`` and, as merged chunks have it, ``stopstop``."""
    word = value.rpartition(".")[2].lower()
    twice = re.fullmatch(r"(.{3,}?)\1+", word)
    return twice[1] if twice else word


def _should_tell(generation: Generation) -> bool:
    return any(
        getattr(PROVIDERS.get(said.get("model_provider", "")), "always_tells_end", False)
        or any(field in said for field in _FINISH_FIELDS)
        for said in _sayings(generation)
    )


def _blocks(generation: Generation) -> list[dict[str, Any]]:
    content = getattr(getattr(generation, "message", None), "content", None)
    # A text is not walked: it may be long.
    return [block for block in content if isinstance(block, dict)] if type(content) is list else []


def _is_refusal(generation: Generation) -> bool:
    if not isinstance(generation, ChatGeneration):
        return False
    return bool(generation.message.additional_kwargs.get("refusal")) or any(
        block.get("type") == "refusal" for block in _blocks(generation)
    )


def _is_empty(generation: Generation) -> bool:
    """Whether a reader would see nothing and a program would find nothing to do."""
    if _VISIBLE.search(generation.text):
        return False
    if not isinstance(generation, ChatGeneration):
        return True
    message = generation.message
    return not (
        any(block.get("type", "text") not in _NO_CONTENT for block in _blocks(generation))
        or getattr(message, "tool_calls", None)
        or any(map(message.additional_kwargs.get, _OTHER_CONTENT))
    )
