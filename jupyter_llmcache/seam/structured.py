"""Structured output: asking a model for it, reading what came, and what a class refuses.

Structured output by ``json_schema`` is parsed inside the provider's method, by the caller's own
class. An answer that the class refuses was paid for all the same, so its text is kept; a hit is
read anew by the class that asks now. Its error is the class's own, and no class is ever built from
data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from inspect import signature
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import (
    RunnableBinding,
    RunnableLambda,
    RunnableParallel,
    RunnableSequence,
)
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, TypeAdapter, ValidationError

from .. import modes
from ..answer import PARSED
from ..errors import LLMCacheError, chain_of, status_of
from ..text import a_type, one_line

#: With these a server refuses a request that it does not understand, and with these words a way to
#: ask for an object.
_REFUSALS = (400, 404, 415, 422, 501)
_OF_METHOD = re.compile(r"(?i)response.?format|json.?(schema|mode|object)|structured|tool|function")
_FAULT_CHARS = 300
#: Stands in the ``generation_info`` of an answer that was kept though its class refused it.
_REFUSED = "llmcache_refused"


def refused(error: Exception, kwargs: Mapping[str, Any], streamed: str) -> list[Generation]:
    """Return what to keep of the answer at which a provider's method raised; empty: nothing.

    The class raises ValidationError, or whatever a validator in it raises.

    Args:
        error: What the method raised. LangChain hangs the provider's response on it.
        kwargs: The arguments of the call, with the class.
        streamed: The text that had come before, of a stream.
    """
    schema = _schema(kwargs)
    if schema is None:
        return []
    for text in (streamed, *_texts_of(getattr(error, "response", None))):
        try:
            TypeAdapter(schema).validate_json(text)
        except Exception as again:  # noqa: BLE001  # a person's own validators may raise anything
            if (type(again), str(again)) == (type(error), str(error)):  # so it was this text
                _note_text(error, text)
                message = AIMessage(content=text)
                return [ChatGeneration(message=message, generation_info={_REFUSED: True})]
    return []


def _note_text(error: Exception, text: str) -> None:
    """Let ``error`` tell which text the class refused."""
    with suppress(AttributeError):  # a class of errors may take no attribute
        error.llmcache_text = text  # type: ignore[attr-defined]


def read(generations: Sequence[Generation], kwargs: Mapping[str, Any]) -> None:
    """Put into a recalled answer the object that the class that asks now reads out of it.

    Raises:
        ValidationError: The class refuses it, as it did when it was recorded.
    """
    schema = _schema(kwargs)
    if schema is not None:
        for generation in generations:
            if isinstance(generation, ChatGeneration):
                _read_into(generation, schema)


def _read_into(generation: ChatGeneration, schema: type) -> None:
    beside = generation.message.additional_kwargs
    if (generation.generation_info or {}).get(_REFUSED):
        try:
            beside[PARSED] = TypeAdapter(schema).validate_json(generation.text)
        except Exception as error:
            _note_text(error, generation.text)
            raise
        generation.generation_info = None
    elif isinstance(beside.get(PARSED), dict | list) and issubclass(schema, BaseModel):
        with suppress(Exception):  # LangChain, which takes the data too, then tells what is wrong
            beside[PARSED] = schema.model_validate(beside[PARSED])


def _schema(kwargs: Mapping[str, Any]) -> type | None:
    schema = kwargs.get("response_format")
    return schema if isinstance(schema, type) else None


def _texts_of(response: Any) -> Iterator[str]:
    """Yield the texts in the body of an HTTP response, the longest first: it is one of them."""
    try:
        data = json.loads(response.text)
    except Exception:  # noqa: BLE001  # there is no response, it is not JSON or was never read
        return
    texts, values = [], [data]
    while values:
        value = values.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict | list):
            values += value.values() if isinstance(value, dict) else value
    yield from sorted(texts, key=len, reverse=True)


# --- an answer that a person asked to fit a schema ---


def schema_of(name: str, value: Any) -> Any:
    """Return ``value`` where an answer can be asked to fit it.

    Raises:
        LLMCacheError: It is not a pydantic class, TypedDict, dataclass or JSON schema.
    """
    if isinstance(value, type) and (
        issubclass(value, BaseModel)
        or is_dataclass(value)
        or hasattr(value, "__total__")  # a TypedDict
    ):
        return value
    if isinstance(value, dict) and ("properties" in value or value.get("type") == "object"):
        return value if "title" in value else {"title": name, **value}
    raise LLMCacheError(
        f"--schema {name}: {a_type(value)} is not a schema",
        "Give a pydantic class, a TypedDict, a dataclass, or a dict with an object's JSON schema; "
        "a list goes into a field of one",
    )


class Structured:
    """A model asked to fit a schema; it gives the message and the object.

    It is asked in the way whose answer is cached, else in its class's best way, and where the
    server refuses that by function calling, then in JSON mode.

    Raises:
        LLMCacheError: The model's class has no structured output.
    """

    def __init__(self, model: Any, schema: Any, label: str) -> None:
        self._asked = schema
        if is_dataclass(schema):
            named = {"title": getattr(schema, "__name__", "Answer")}
            self._asked = {**named, **TypeAdapter(schema).json_schema()}
        self._bound: dict[str, Any] = {}
        self._model = model
        while isinstance(self._model, RunnableBinding):
            self._bound = {**self._model.kwargs, **self._bound}
            self._model = self._model.bound
        try:
            self._best = self._way()
        except (NotImplementedError, AttributeError) as error:
            raise LLMCacheError(
                f"{label}, {a_type(model)}, has no structured output",
                "Ask another model, or leave --schema out",
            ) from error
        except Exception as error:  # whatever reads the schema finds in it
            why = one_line(error, 120).rstrip(".")
            raise LLMCacheError(
                f"{label} cannot be asked for this schema: {why}", "Give a pydantic class"
            ) from error

    def invoke(self, messages: list[BaseMessage]) -> Any:
        """Return what ``with_structured_output`` gives with its message."""
        if _is_held(self._best, messages):
            return self._best.invoke(messages)
        others = list(self._others())
        ways = [way for way in others if _is_held(way, messages)] or [self._best, *others]
        for way in ways[:-1]:
            try:
                return way.invoke(messages)
            except Exception as error:
                if status_of(error) not in _REFUSALS or not _OF_METHOD.search(str(error)):
                    raise
        return ways[-1].invoke(messages)

    def _others(self) -> Iterator[Any]:
        """Yield the class's other ways, as far as it knows them."""
        takes = signature(self._model.with_structured_output).parameters
        if "method" not in takes:
            return
        for method in ("function_calling", "json_mode"):
            if method != takes["method"].default:
                with suppress(ValueError, TypeError):
                    yield self._way(method=method)

    def _way(self, **method: str) -> Any:
        way = self._model.with_structured_output(self._asked, include_raw=True, **method)
        if self._bound:  # which LangChain would leave behind
            asking = way.first.steps__["raw"].bind(**self._bound)
            way = RunnableSequence(RunnableParallel(raw=asking), *way.steps[1:])
        if method.get("method") == "json_mode":  # in which the server is not told the schema
            return RunnableLambda(self._with_schema) | way
        return way

    def _with_schema(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        schema = json.dumps(convert_to_json_schema(self._asked), ensure_ascii=False)
        return [SystemMessage(f"Answer with one JSON object that fits {schema}"), *messages]


def _is_held(way: Any, messages: list[BaseMessage]) -> bool:
    """Return whether the cache answers what ``way`` would ask."""
    with modes.setting(modes.is_previewing, True):
        try:
            way.invoke(messages)
        except modes.Previewed as stopped:
            call = stopped.call
            return call.request is not None and bool(call.place.holds(call.request))
    return False


def read_structured(given: dict[str, Any], schema: Any) -> tuple[AIMessage | None, Any, str]:
    """Return the message, the object, and why it does not fit (empty where it does)."""
    message, value, error = given.get("raw"), given.get("parsed"), given.get("parsing_error")
    if error is None and value is not None and is_dataclass(schema):
        try:
            value = TypeAdapter(schema).validate_python(value)
        except ValidationError as fault:
            error = fault
    if error is None and value is not None:
        return message, value, ""
    name = getattr(schema, "__name__", None) or schema.get("title", "the schema")
    is_empty = message is None or not (message.content or message.tool_calls)
    why = "there is no object in it" if is_empty or error is None else _said(error)
    return message, None, f"the answer does not fit {name}: {why}"


def refusal(error: BaseException, schema: Any) -> dict[str, Any] | None:
    """Return what a class that reads its answer inside the provider's method has refused.

    As ``with_structured_output`` returns it; None where ``error`` is something else.
    """
    for one in chain_of(error):
        if isinstance(one, ValidationError):
            refused(one, {"response_format": schema}, "")
        text = getattr(one, "llmcache_text", "" if isinstance(one, ValidationError) else None)
        if text is not None:
            return {"raw": AIMessage(text), "parsing_error": one}
    return None


def _said(error: BaseException) -> str:
    for fault in chain_of(error):
        if isinstance(fault, ValidationError):
            places = (
                filter(None, (".".join(map(str, e["loc"])), e["msg"])) for e in fault.errors()
            )
            return one_line("; ".join(map(": ".join, places)), _FAULT_CHARS)
    return one_line(f"{type(error).__name__}: {error}", _FAULT_CHARS)
