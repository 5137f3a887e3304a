"""A recorded request as the live objects that LangChain would be asked with.

Only what describes itself exactly as the recorded request does is used: the key proves it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableBinding

from .. import request as keys
from ..errors import NotDescribableError
from ..stores.base import Record

#: Not a key of anybody; LangChain writes the name of a key, never the key.
_PLACEHOLDER_KEY = "recorded"


@dataclass(frozen=True, slots=True)
class _ModelClass:
    """How to make a model of a description.

    Attributes:
        key_argument: The constructor's argument for the API key.
        endpoint_argument: The constructor's argument for the address.
        usual_endpoint: The address that stands in no argument.
        personal: Fields that the constructor takes from the environment and that cannot change an
            answer; they are emptied.
    """

    key_argument: str
    endpoint_argument: str
    usual_endpoint: str | None
    personal: tuple[str, ...]


_CLASSES = {
    "langchain_openai.ChatOpenAI": _ModelClass(
        "api_key",
        "base_url",
        "https://api.openai.com/v1",
        ("openai_organization", "openai_proxy"),
    ),
    "langchain_anthropic.ChatAnthropic": _ModelClass(
        "api_key", "base_url", None, ("anthropic_proxy",)
    ),
}

_MESSAGE_CLASSES: Mapping[str, type[BaseMessage]] = {
    "human": HumanMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
}

#: A model, its stop sequences and the arguments of a call.
_Parts = tuple[BaseLanguageModel[Any], list[str] | None, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """A model and what to ask it with."""

    model: BaseLanguageModel[Any]
    messages: list[BaseMessage]
    stop: list[str] | None
    kwargs: Mapping[str, Any]


class Rebuilder:
    """Makes calls of records; a model is made once for all records that share its description.

    Args:
        models: Live models of the user, also bound ones, tried first: they know the parameters
            that LangChain's string holds and ours leaves out.
    """

    def __init__(self, models: Sequence[Runnable[Any, Any]] = ()) -> None:
        self._live = [parts for parts in map(_live_parts, models) if parts is not None]
        self._made: dict[str, _Parts | None] = {}

    def call(self, record: Record) -> Call | None:
        """Return the call that ``record`` answers; None where it cannot be made exactly."""
        messages = _messages(record.prompt)
        if messages is None:
            return None
        if record.request not in self._made:
            self._made[record.request] = _model(record.request)
        for candidate in (*self._live, self._made[record.request]):
            if candidate is not None:
                model, stop, kwargs = candidate
                if _key(model, messages, stop, kwargs) == record.key:
                    return Call(model, messages, stop, kwargs)
        return None


def _live_parts(model: Runnable[Any, Any]) -> _Parts | None:
    if isinstance(model, BaseLanguageModel):
        return model, None, {}
    if isinstance(model, RunnableBinding) and isinstance(model.bound, BaseLanguageModel):
        kwargs = dict(model.kwargs)
        return model.bound, kwargs.pop("stop", None), kwargs
    return None


def _key(model: Any, messages: Any, stop: Any, kwargs: Any) -> bytes | None:
    try:
        return keys.describe(model, messages, stop, kwargs).key
    except NotDescribableError:
        return None


def _messages(prompt: str) -> list[BaseMessage] | None:
    described = json.loads(prompt)
    if not isinstance(described, list):
        return None
    messages = []
    for fields in described:
        # LangChain's string also holds what a provider is not sent of an earlier answer: its usage
        # and metadata, which are not kept.
        message_class = _MESSAGE_CLASSES.get(fields.pop("type"))
        if message_class is None:
            return None
        if fields.pop("is_error", False):
            fields["status"] = "error"
        fields["additional_kwargs"] = fields.pop("extras", {})
        try:
            messages.append(message_class(**{"content": "", **fields}))
        except ValueError:
            return None
    return messages


def _model(request: str) -> _Parts | None:
    described = json.loads(request)
    known = _CLASSES.get(described["class"])
    if known is None:
        return None
    package, _, name = described["class"].partition(".")
    try:
        model_class = getattr(import_module(package), name)
    except (ImportError, AttributeError):
        return None
    parameters = described["parameters"]
    stop = parameters.pop("stop", None)
    fields = {name for name in parameters if name in model_class.model_fields}
    kwargs = {name: value for name, value in parameters.items() if name not in fields}
    if any(isinstance(value, dict | list) for value in kwargs.values()):
        return None  # LangChain's string has their entries in the order that the user wrote
    arguments = {name: parameters[name] for name in fields}
    if described["endpoint"] != known.usual_endpoint:
        arguments[known.endpoint_argument] = described["endpoint"]
    arguments[known.key_argument] = _PLACEHOLDER_KEY
    try:
        model = model_class(model=described["model"], **arguments)
    except (ValueError, TypeError):
        return None
    for field in known.personal:
        setattr(model, field, None)
    return model, stop, kwargs
