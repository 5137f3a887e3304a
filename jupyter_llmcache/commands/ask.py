"""Asking a model or a chain once, and making an Answer of what came back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    message_chunk_to_message,
)
from langchain_core.runnables import Runnable
from pydantic import BaseModel

from .. import request as keys
from ..draw.answer import Format, draws_html
from ..draw.stream import StreamDisplay, note_streamed
from ..errors import LLMCacheError, NotDescribableError
from ..ledger import Call, Totals, collecting
from ..modes import Mode
from ..seam import patch as streams
from ..seam.cache import mode
from ..seam.call import OpenCall, Place, Previewed, keeping, previewing
from .answer import Answer, PromptPreview
from .faults import explain_provider_error


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


def ask(question: Question) -> Answer:
    """Ask, draw the answer as it grows if that is wanted, and return it.

    Raises:
        LLMCacheError: The provider failed, or replay is in force and nothing was recorded.
    """
    payload = _payload(question)
    wall_began, cpu_began = time.perf_counter(), time.process_time()
    with _circumstances(question), collecting() as calls:
        if question.stream:
            result, display = _streamed(question, payload)
        else:
            result, display = question.model.invoke(payload), None
    answer = _answer(
        question,
        result,
        calls,
        wall_s=time.perf_counter() - wall_began,
        cpu_s=time.process_time() - cpu_began,
    )
    if display is not None:
        display.finish(answer.text)
        if draws_html():
            answer.show_line()
        note_streamed(answer)
    return answer


def preview(question: Question) -> PromptPreview:
    """Return the messages of the first model call that ``question`` would make; send nothing."""
    with _circumstances(question), previewing():
        try:
            question.model.invoke(_payload(question))
        except Previewed as stopped:
            return _previewed(stopped.call)
    raise LLMCacheError(f"{question.label} calls no model", "There is nothing to show")


@contextmanager
def _circumstances(question: Question) -> Iterator[None]:
    """Everything that holds for this question alone; errors come out as one clear line."""
    with ExitStack() as stack:
        stack.enter_context(streams.watching(Place()))
        if question.mode is not None:
            stack.enter_context(mode(question.mode))
        if question.keep:
            stack.enter_context(keeping())
        try:
            yield
        except LLMCacheError:
            raise
        except Exception as error:
            raise explain_provider_error(error, question.label) from error


def _payload(question: Question) -> Any:
    """Return what the model or chain is invoked with."""
    model = _innermost(question.model)
    if isinstance(model, BaseChatModel):
        system = [SystemMessage(question.system)] if question.system is not None else []
        return [*system, HumanMessage(question.prompt)]
    if question.system is not None:
        raise LLMCacheError(
            f"{question.label} takes no system text",
            "Leave -s out, or put the text into the chain's prompt",
        )
    return question.prompt


def _innermost(model: Any) -> Any:
    """Return the model inside bindings and configurable fields."""
    while not isinstance(model, BaseLanguageModel):
        inner = getattr(model, "bound", None) or getattr(model, "default", None)
        if inner is None:
            break
        model = inner
    return model


def _streamed(question: Question, payload: Any) -> tuple[Any, StreamDisplay]:
    with StreamDisplay(question.format) as display:
        whole: Any = None
        for chunk in question.model.stream(payload):
            whole = chunk if whole is None else whole + chunk
            display.update(_text_of(whole))
    if isinstance(whole, AIMessageChunk):
        whole = message_chunk_to_message(whole)
    return whole, display


def _answer(
    question: Question, result: Any, calls: list[Call], *, wall_s: float, cpu_s: float
) -> Answer:
    only = calls[0] if len(calls) == 1 else None
    cached = bool(calls) and all(call.kind == "hit" for call in calls)
    message = result if isinstance(result, AIMessage) else None
    return Answer(
        text=_text_of(result),
        message=message if only else None,
        cached=cached,
        wall_s=wall_s,
        cpu_s=cpu_s,
        saved_s=_saved_s(calls) if cached else None,
        usage=_summed_usage(calls),
        key=only.key if only else None,
        model=only.model if only else question.label,
        calls=tuple(calls),
        result=result,
        format=question.format,
        stable=question.stable,
    )


def _saved_s(calls: list[Call]) -> float | None:
    if any(call.saved_s is None for call in calls):
        return None
    return Totals.of(calls).saved_s


def _summed_usage(calls: list[Call]) -> dict[str, Any] | None:
    usages = [call.usage for call in calls if call.usage]
    if len(usages) == 1:
        return dict(usages[0])
    names = ("input_tokens", "output_tokens", "total_tokens")
    return {name: sum(usage.get(name, 0) for usage in usages) for name in names} if usages else None


def _text_of(result: Any) -> str:
    if isinstance(result, str):
        return result
    if isinstance(result, BaseMessage):
        return str(result.text)
    if isinstance(result, BaseModel):
        return result.model_dump_json(indent=2)
    try:
        return json.dumps(result, ensure_ascii=False, indent=2)
    except (TypeError, ValueError):
        return str(result)


def _previewed(call: OpenCall) -> PromptPreview:
    """Describe ``call`` for the person; where it cannot be cached, say why."""
    try:
        request = keys.describe(*call.asked)
    except NotDescribableError as error:
        return PromptPreview(
            _messages(call), call.label, key=None, cached=False, reason=error.reason
        )
    cached = call.place.holds(request)
    return PromptPreview(_messages(call), request.model, key=request.key.hex(), cached=cached)


def _messages(call: OpenCall) -> tuple[tuple[str, str], ...]:
    """Return (role, text) of everything that would be sent."""
    if isinstance(call.asked.prompt, str):
        return (("prompt", call.asked.prompt),)
    return tuple((message.type, str(message.text)) for message in call.asked.prompt)
