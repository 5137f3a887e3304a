"""Asking a model or a chain once, and making an Answer of what came back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any

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

from .. import modes
from .. import request as keys
from ..draw import Format, draws_html
from ..errors import LLMCacheError, NotDescribableError, status_of
from ..ledger import LEDGER, Call, collecting
from ..seam import patch as streams
from ..seam.cache import mode
from ..seam.call import OpenCall
from ..seam.structured import Structured, read_structured, refusal
from ..text import format_seconds, one_line
from .answer import Answer, Interrupted, PromptPreview, UnfitError, note_shown, text_of_message
from .faults import explain_provider_error
from .models import innermost, takes_messages

if TYPE_CHECKING:
    from ..draw.live import StreamDisplay


@dataclass(frozen=True)
class Question:
    """One question to one model or chain.

    Attributes:
        prompt: The text for the model, with its variables filled in.
        model: A chat model, a text model, or any Runnable, with its parameters bound.
        label: What a person calls the model: ``provider:name`` or the variable's name.
        system: The system text, or None.
        before: The conversation that it goes on from.
        attached: Content blocks beside the text: pictures, files, sound.
        schema: What the answer must fit, as ``with_structured_output`` takes it; None: free text.
        mode: The mode for this question alone, or None.
        keep: Store the answer even if it is empty, filtered or unfinished.
        stream: Draw the answer as it grows.
        format: How the answer is drawn.
        stable: Draw nothing that differs from run to run.
        coords: Which of several questions it is, by the names of what varies.
        items: Which of the coordinates are those of ``--each``.
        sample: Which independent sample it asks for.
    """

    prompt: str
    model: Runnable[Any, Any]
    label: str
    system: str | None = None
    before: tuple[BaseMessage, ...] = ()
    attached: tuple[dict[str, Any], ...] = ()
    schema: Any = None
    mode: modes.Mode | None = None
    keep: bool = False
    stream: bool = False
    format: Format = "markdown"
    stable: bool = False
    coords: Mapping[str, Any] = field(default_factory=dict)
    items: tuple[str, ...] = ()
    sample: int = 0


def ask(question: Question) -> Answer:
    """Ask, draw the answer as it grows if that is wanted, and return it.

    Raises:
        LLMCacheError: The provider failed, or replay is in force and nothing was recorded.
        Interrupted: It was stopped by hand.
    """
    payload, model = _payload(question), _model(question)
    wall_began, cpu_began = time.perf_counter(), time.process_time()
    grows = question.stream and question.schema is None
    growing = _Growing(question) if grows else None
    with collecting() as calls:
        try:
            with _circumstances(question):
                result = growing.read(payload) if growing else model.invoke(payload)
        except KeyboardInterrupt as stopped:
            LEDGER.tell(calls)
            waited_s = time.perf_counter() - wall_began
            line = f"stopped by hand after {format_seconds(waited_s)}; nothing of it was stored"
            answer = None
            if growing and growing.text:
                answer = _answer(question, payload, growing.text, calls, wall_s=waited_s, cpu_s=0.0)
                line += "; what had come is in _"
            raise Interrupted(line, answer) from stopped
        except LLMCacheError as error:
            LEDGER.tell(calls)  # the error itself tells of them
            result = refusal(error, question.schema) if question.schema else None
            if result is None:
                raise
    if isinstance(innermost(question.model), BaseLanguageModel):
        LEDGER.tell(calls[:-1])  # refused for an option, and asked again without it
        calls = calls[-1:]
    answer = _answer(
        question,
        payload,
        result,
        calls,
        wall_s=time.perf_counter() - wall_began,
        cpu_s=time.process_time() - cpu_began,
    )
    if growing is not None:
        growing.finish(answer)
    return answer


def preview(questions: Sequence[Question]) -> PromptPreview:
    """Return what the first of ``questions`` would send, and how many are cached; send nothing.

    Of one that cannot be cached it says why.
    """
    call = first_call(questions[0])
    asked, request, reason = call.asked.prompt, None, None
    told: tuple[tuple[str, str], ...]
    if isinstance(asked, str):
        told = (("prompt", asked),)
    else:
        told = tuple((message.type, _text_and_attached(message)) for message in asked)
    try:
        request = keys.describe(*call.asked)  # which a bypass does not do
    except NotDescribableError as error:
        reason = error.reason
    return PromptPreview(
        told,
        request.model if request else call.label,
        key=request.key.hex() if request else None,
        cached=request is not None and call.place.holds(request),
        reason=reason,
        questions=len(questions),
        held=sum(is_held(seen_call(question)) for question in questions),
    )


def _text_and_attached(message: BaseMessage) -> str:
    """Return what a message says, and by their kinds what else it holds: pictures, calls."""
    return "\n".join(
        str(block.get("text") or f"[{block['type']}: {block.get('mime_type', block.get('name'))}]")
        for block in message.content_blocks
    )


def first_call(question: Question) -> OpenCall:
    """Return the first model call that ``question`` would make; send nothing.

    Raises:
        LLMCacheError: It makes none.
    """
    with _circumstances(question), modes.setting(modes.is_previewing, True):
        try:
            _model(question).invoke(_payload(question))
        except modes.Previewed as stopped:
            call: OpenCall = stopped.call
            return call
    raise LLMCacheError(f"{question.label} calls no model", "There is nothing to show")


def seen_call(question: Question) -> OpenCall | None:
    """Return the first model call of ``question``; None where it cannot be seen."""
    try:
        return first_call(question)
    except LLMCacheError:
        return None


def is_held(call: OpenCall | None) -> bool:
    """Return whether the cache answers ``call``."""
    return call is not None and call.request is not None and call.place.holds(call.request)


@contextmanager
def _circumstances(question: Question) -> Iterator[None]:
    """Everything that holds for this question alone; errors come out as one clear line."""
    with ExitStack() as stack:
        stack.enter_context(streams.seeing_all())
        stack.enter_context(modes.setting(modes.is_whole, True))
        if question.sample:
            stack.enter_context(modes.sample(question.sample))
        if question.mode is not None:
            stack.enter_context(mode(question.mode))
        if question.keep:
            stack.enter_context(modes.setting(modes.is_keeping, True))
        try:
            yield
        except LLMCacheError:
            raise
        except Exception as error:
            if question.attached and isinstance(error, ValueError) and not status_of(error):
                raise LLMCacheError(
                    f"{question.label} cannot take what is attached: {one_line(error, 200)}",
                    "Attach a file instead of a URL, or ask another model",
                ) from error
            raise explain_provider_error(error, question.label) from error


def _model(question: Question) -> Any:
    if question.schema is None:
        return question.model
    return Structured(question.model, question.schema, question.label)


def _payload(question: Question) -> Any:
    """Return what the model, chain or graph is invoked with."""
    model = innermost(question.model)
    as_state = takes_messages(model)
    if isinstance(model, BaseChatModel) or as_state:
        before = list(question.before)
        if question.system is not None:
            before = [each for each in before if not isinstance(each, SystemMessage)]
            before.insert(0, SystemMessage(question.system))
        content: Any = question.prompt
        if question.attached:
            content = [{"type": "text", "text": question.prompt}, *question.attached]
        messages = [*before, HumanMessage(content)]
        return {"messages": messages} if as_state else messages
    for flag, given, what in (
        ("-s", question.system is not None, "system text"),
        ("--after", question.before, "conversation"),
        ("--attach", question.attached, "attachment"),
    ):
        if given:
            raise LLMCacheError(
                f"{question.label} takes no {what}",
                f"Leave {flag} out, or put it into the chain's prompt",
            )
    return question.prompt


class _Growing(ExitStack):
    """Reads an answer as a stream and draws it while it grows; a hit of a model is there at once.

    Attributes:
        text: What has come.
    """

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.text = ""
        self._model, self._format = question.model, question.format
        self._display: StreamDisplay | None = None

    def read(self, payload: Any) -> Any:
        """Return what the stream adds up to."""
        with self, modes.setting(modes.on_miss, self._begin):
            if not isinstance(innermost(self._model), BaseLanguageModel):
                self._begin()  # nobody knows what a chain does before it asks
            try:
                with modes.setting(modes.asks_usage, True):
                    whole = self._read(payload)
            except Exception as error:
                # A server that does not know the option refuses all of the request.
                if self.text or "stream_options" not in str(error):
                    raise
                whole = self._read(payload)
        return message_chunk_to_message(whole) if isinstance(whole, AIMessageChunk) else whole

    def finish(self, answer: Answer) -> None:
        """Draw the whole answer for good, the same as if it had not been streamed."""
        if self._display is not None:
            self._display.finish(answer.text)
        else:
            answer.show_text()
        if draws_html():
            answer.show_line()
        note_shown(answer)

    def _begin(self) -> None:
        if self._display is None:
            from ..draw.live import stream_display  # a hit needs none of it

            self._display = stream_display(self._format)
            self.enter_context(self._display)

    def _read(self, payload: Any) -> Any:
        whole: Any = None
        if hasattr(innermost(self._model), "stream_mode"):
            return self._read_graph(payload)
        for chunk in self._model.stream(payload):
            if whole is not None:
                self._begin()  # more comes, past the cache
            whole = chunk if whole is None else whole + chunk
            self._update(whole)
        return whole

    def _read_graph(self, payload: Any) -> Any:
        """Draw the message that is being written, the last of which is the answer."""
        state: Any = None
        whole: Any = None
        graph: Any = self._model
        for kind, came in graph.stream(payload, stream_mode=["messages", "values"]):
            if kind == "values":
                state = came
            elif isinstance(came[0], AIMessageChunk):
                whole = whole + came[0] if whole and whole.id == came[0].id else came[0]
                self._update(whole)
        return state

    def _update(self, whole: Any) -> None:
        self.text = str(whole.text) if isinstance(whole, BaseMessage) else _text_of(whole)
        if self._display is not None:
            self._display.update(self.text)


def _answer(
    question: Question,
    payload: Any,
    result: Any,
    calls: list[Call],
    *,
    wall_s: float,
    cpu_s: float,
) -> Answer:
    only = calls[0] if len(calls) == 1 else None
    cached = bool(calls) and all(call.kind == "hit" for call in calls)
    saved_s: list[Any] = [call.saved_s if cached else None for call in calls] or [None]
    message, fault = result if isinstance(result, AIMessage) else None, ""
    sent = payload["messages"] if isinstance(payload, dict) else payload
    said = result
    if question.schema is not None:
        message, result, fault = read_structured(result, question.schema)
        said = message if fault else result
    conversation = [HumanMessage(sent)] if isinstance(sent, str) else sent
    # A call of the tool that a schema becomes is answered by nobody: the object stands for it.
    as_text = message is None or (question.schema is not None and message.tool_calls)
    conversation = [*conversation, AIMessage(_text_of(said)) if as_text else message]
    if isinstance(payload, dict) and isinstance(result, dict) and result.get("messages"):
        conversation = list(result["messages"])
        said = conversation[-1]
        message = said if isinstance(said, AIMessage) else None
    answer = Answer(
        text=_text_of(said),
        message=message if only else None,
        cached=cached,
        wall_s=wall_s,
        cpu_s=cpu_s,
        saved_s=None if None in saved_s else sum(saved_s),
        usage=_summed_usage(calls),
        key=only.key if only else None,
        model=only.model if only else question.label,
        calls=tuple(calls),
        result=result,
        format="json" if question.schema is not None and not fault else question.format,
        stable=question.stable,
        messages=tuple(conversation),
        coords=question.coords,
        items=question.items,
        error=fault,
        asked="" if isinstance(sent, str) else question.label,
    )
    if fault:
        raise UnfitError(f"{question.label}: {fault}", answer)
    return answer


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
        return text_of_message(result)
    if isinstance(result, BaseModel):
        return result.model_dump_json(indent=2)
    if is_dataclass(result) and not isinstance(result, type):
        result = asdict(result)
    try:
        return json.dumps(result, ensure_ascii=False, indent=2)
    except (TypeError, ValueError):
        return str(result)
