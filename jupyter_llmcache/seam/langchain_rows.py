"""The two strings under which LangChain's own cache would keep an answer, and when to trust them.

LangChain's ``llm_string`` leaves out what a class does not report, and one kept on the model may be
stale. So it is made anew, and a row counts only where the string tells all that our own key is made
of.
"""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel, BaseLanguageModel, BaseLLM
from langchain_core.load import dumps
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, Generation

from .. import answer as entry
from .. import request as keys
from ..errors import NotDescribableError
from ..request.providers import MODEL_FIELDS, provider_of
from .interop_rows import decode_langchain_row

#: Where providers answer when nobody says otherwise, as our descriptions spell it.
_USUAL_ENDPOINTS = frozenset({"https://api.anthropic.com", "https://api.openai.com/v1"})

#: Between the model and the call's parameters in the string of a serialisable model.
_PARAMETERS_MARK = "---"

Prompt = str | Sequence[BaseMessage]


class RowStore(Protocol):
    """A store whose file may hold rows that LangChain wrote."""

    def langchain_rows(self, prompt: str, llm_string: str) -> list[str]:
        """Return what LangChain stored for these two strings, one text a generation, in order."""


def find_rows(
    store: RowStore,
    model: BaseLanguageModel[Any],
    prompt: Prompt,
    stop: Sequence[str] | None,
    kwargs: Mapping[str, Any],
) -> list[Generation] | None:
    """Return the answer that LangChain's own cache kept for this request, or None.

    Rows of other langchain-core 1.x releases are found too, where only nulls and ids differ.

    Raises:
        DamagedEntryError: There is such an answer, and it cannot be read.
    """
    if isinstance(model, BaseLLM) and kwargs:
        return None  # LangChain leaves the call's arguments of a text model out of its string
    strings = langchain_strings(model, prompt, stop, kwargs)
    if strings is None or not row_counts(model, strings[1]):
        return None
    for prompt_text in _prompt_spellings(strings[0], prompt):
        for llm_string in _llm_spellings(strings[1], model):
            if rows := store.langchain_rows(prompt_text, llm_string):
                return _decoded(rows, model)
    return None


def langchain_strings(
    model: BaseLanguageModel[Any],
    prompt: Prompt,
    stop: Sequence[str] | None,
    kwargs: Mapping[str, Any],
) -> tuple[str, str] | None:
    """Return the prompt and the ``llm_string`` that LangChain would look up for this request now.

    Returns None where this release of LangChain does not tell.
    """
    fresh = copy.copy(model)
    fresh.__dict__.pop("_serialized", None)  # what LangChain keeps is not what the model is now
    stop = list(stop) if stop is not None else None
    try:
        if isinstance(fresh, BaseChatModel):
            if isinstance(prompt, str):
                return None
            return dumps(_without_ids(prompt)), fresh._get_llm_string(stop=stop, **kwargs)  # noqa: SLF001  # LangChain has no public way
        if isinstance(fresh, BaseLLM) and isinstance(prompt, str):
            fields = {**_text_model_fields(fresh)(), "stop": stop}
            return prompt, str(sorted(fields.items()))
    # Private names, and whatever a model's own class does when it is asked for its parameters.
    except Exception:  # noqa: BLE001
        return None
    return None


def row_counts(model: BaseLanguageModel[Any], llm_string: str) -> bool:
    """Whether ``llm_string``, made of ``model`` just now, tells all that can change its answer."""
    told = _told(llm_string)
    if told is None:
        return False
    try:
        described = json.loads(keys.describe(model, "", None, {}).description)
    except NotDescribableError:
        return False
    name, endpoint = described["model"], described["endpoint"]
    return (
        "source" not in described
        and name is not None
        and any(told.get(field) == name for field in MODEL_FIELDS)
        and all(_is_plain(told.get(parameter, _UNTOLD)) for parameter in described["parameters"])
        and (
            endpoint is None
            or endpoint in _USUAL_ENDPOINTS
            or any(told.get(field) for field in provider_of(type(model)).endpoint_fields)
        )
    )


_UNTOLD = object()


def _told(llm_string: str) -> dict[str, Any] | None:
    """Return what the string says of the model, by name; None where it holds what is no data."""
    try:
        if not llm_string.startswith("{"):
            return dict(ast.literal_eval(llm_string))
        serialized, end = json.JSONDecoder().raw_decode(llm_string)
        # A class or a function stands there by its name, which says too little.
        ast.literal_eval(llm_string[end + len(_PARAMETERS_MARK) :])
        told = serialized["kwargs"]
        return {**told, **told.get("model_kwargs", {})}
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        return None


def _is_plain(value: Any) -> bool:
    """Whether ``value`` is data and not the place of an object, a secret, or nothing at all."""
    if isinstance(value, dict):
        return value.get("lc") != 1 and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)


def _text_model_fields(model: BaseLLM) -> Callable[[], dict[str, Any]]:
    return getattr(model, "_dict_for_compat", None) or model.dict


def _without_ids(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    return [
        message if message.id is None else message.model_copy(update={"id": None})
        for message in messages
    ]


def _decoded(rows: Sequence[str], model: BaseLanguageModel[Any]) -> list[Generation]:
    generations = [decode_langchain_row(row) for row in rows]
    is_chat = isinstance(model, BaseChatModel)
    if any(isinstance(generation, ChatGeneration) != is_chat for generation in generations):
        raise entry.damaged("LangChain's row holds the answer of another kind of model")
    return generations


def _prompt_spellings(text: str, prompt: Prompt) -> Iterator[str]:
    yield text
    # Before langchain-core 1.4 the ids of earlier messages counted.
    if not isinstance(prompt, str) and any(message.id is not None for message in prompt):
        yield dumps(list(prompt))


def _llm_spellings(llm_string: str, model: BaseLanguageModel[Any]) -> Iterator[str]:
    yield llm_string
    if not llm_string.startswith("{"):
        return
    serialized, end = json.JSONDecoder().raw_decode(llm_string)
    told = {name: value for name, value in serialized["kwargs"].items() if value is not None}
    # Before langchain-core 1.5.4 a field that may come from the environment stood there as null.
    nulls = {
        name: None
        for name, field in type(model).model_fields.items()
        if field.default_factory is not None and getattr(model, name, _UNTOLD) is None
    }
    for kwargs in (told, told | nulls):
        spelling = json.dumps({**serialized, "kwargs": kwargs}, sort_keys=True) + llm_string[end:]
        if spelling != llm_string:
            yield spelling
