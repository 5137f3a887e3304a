"""Rows of LangChain's own SQLite cache: under which strings they lie, when to trust them.

LangChain's ``llm_string`` leaves out what a class does not report, and one kept on the model may be
stale. So it is made anew, and a row counts only where the string tells all that our own key is made
of. A row is read by a decoder of our own: classes come from a fixed table, nothing is imported by
name, no secret is looked up, and a row that is not wholly understood is damaged, never text to
show.
"""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel, BaseLanguageModel, BaseLLM
from langchain_core.load import dumps
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, Generation

from .. import answer as entry
from .. import request as keys
from ..errors import NotDescribableError
from ..provider_row import MODEL_FIELDS
from ..providers import ROWS, provider_of
from ..request.installed import is_users
from ..stores.base import Store

#: Between the model and the call's parameters in the string of a serialisable model.
_PARAMETERS_MARK = "---"

Prompt = str | Sequence[BaseMessage]

#: Where LangChain says that its classes are: the older name, which it still writes, and the newer.
_OUTPUTS = (("langchain", "schema", "output"), ("langchain_core", "outputs"))
_MESSAGES = (("langchain", "schema", "messages"), ("langchain_core", "messages"))

_TEXT_CLASSES = ("Generation", "GenerationChunk")
_CLASSES = (*_TEXT_CLASSES, "ChatGeneration", "ChatGenerationChunk")
_MESSAGE_CLASSES = ("AIMessage", "AIMessageChunk")

_MESSAGE_FIELDS = (
    "content",
    "name",
    "additional_kwargs",
    "response_metadata",
    "tool_calls",
    "invalid_tool_calls",
    "usage_metadata",
)

#: LangChain's mark around data of a user that looks like an object of its own.
_ESCAPED = "__lc_escaped__"


def find_rows(store: Store, request: keys.Request) -> list[Generation] | None:
    """Return the answer that LangChain's own cache kept for this request, or None.

    Rows of other langchain-core 1.x releases are found too, where only nulls and ids differ.

    Raises:
        DamagedEntryError: There is such an answer, and it cannot be read.
    """
    model, prompt, _, kwargs = request.made_of
    if isinstance(model, BaseLLM) and kwargs:
        return None  # LangChain leaves the call's arguments of a text model out of its string
    strings = langchain_strings(*request.made_of)
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
            fields = {**getattr(fresh, "_dict_for_compat", fresh.dict)(), "stop": stop}
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
        not is_users(type(model))
        and "changed" not in described
        and name is not None
        and any(told.get(field) == name for field in MODEL_FIELDS)
        and all(_is_plain(told.get(parameter, _UNTOLD)) for parameter in described["parameters"])
        and (
            endpoint is None
            or endpoint in {row.usual_endpoint for row in ROWS}
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


# --- a row as data ---


def decode_langchain_row(text: str | None) -> Generation:
    """Return the generation in one row, its message without an id.

    Args:
        text: The column ``response``.

    Raises:
        DamagedEntryError: The row holds anything but one generation of plain data.
    """
    name, fields = _constructor(entry.load((text or "").encode()), _OUTPUTS, _CLASSES)
    packed = {"info": _data(fields.get("generation_info"))}
    if name in _TEXT_CLASSES:
        return entry.unpack({**packed, "text": fields.get("text")})
    _, told = _constructor(fields.get("message"), _MESSAGES, _MESSAGE_CLASSES)
    kept = [field for field in _MESSAGE_FIELDS if told.get(field) is not None]
    return entry.unpack({**packed, "message": {field: _data(told[field]) for field in kept}})


def _constructor(
    data: Any, places: tuple[tuple[str, ...], ...], classes: tuple[str, ...]
) -> tuple[str, dict[str, Any]]:
    """Return the class's name and the arguments of a serialised object of one of ``classes``."""
    if isinstance(data, dict) and data.get("lc") == 1 and data.get("type") == "constructor":
        where, arguments = data.get("id"), data.get("kwargs")
        if isinstance(where, list) and isinstance(arguments, dict):
            for place in places:
                if tuple(where[: len(place)]) == place and where[-1] in classes:
                    return where[-1], arguments
    raise entry.damaged("LangChain's row holds something else than an answer of a model")


def _data(value: Any) -> Any:
    """Return plain data as they were before LangChain wrote them; refuse objects among them."""
    if isinstance(value, list):
        return [_data(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and _ESCAPED in value:
        return value[_ESCAPED]  # a user's data, to be taken as it is
    if value.get("lc") == 1 and {"type", "id"} <= value.keys():
        raise entry.damaged("LangChain's row holds an object among its data")
    return {key: _data(item) for key, item in value.items()}
