"""The canonical, versioned key of a request, read from the live model at call time.

Two requests share a key exactly when the provider would see the same. What a provider is not sent,
or what cannot change its answer, is left out by name; what cannot be described is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from .. import modes
from ..errors import NotDescribableError
from ..ledger import LEDGER
from ..provider_row import NAMES, TOKEN_LIMITS, Provider
from ..providers import provider_of
from ..text import json_or_text
from .canonical import (
    LONG_CHARS,
    TAG,
    IndescribableError,
    dump,
    encode,
    long_digest,
    text_digest,
)
from .clients import asks_responses, secrets_of
from .messages import describe_message, title_of
from .model import Description, assemble, describe_model, is_known, is_refused, model_label

__all__ = [
    "KEY_SCHEMA",
    "NotDescribableError",
    "Request",
    "describe",
    "describe_strings",
    "endpoints_like",
    "is_known",
    "is_refused",
    "model_label",
    "secrets_of",
]

#: Changes with every change of what a key is made of.
KEY_SCHEMA = 1

#: Classes without further fields that a provider is sent.
_PLAIN_CLASSES = frozenset({AIMessage, HumanMessage, SystemMessage})

#: LangChain's number of a run, which it gives to answers and which may stand in printed ones.
_RUN_ID = r"\b(?:lc_)?run-{1,2}[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:-\d+){0,2}"

_NAMED_MODEL = (
    r"""["'](?:model|model_name|model_id|deployment_name|azure_deployment|repo_id|model_path)["']"""
    r"""\s*[:,]\s*["']([^"']+)["']"""
)


class Request(NamedTuple):
    """One question to one model.

    Attributes:
        key: 16 bytes that two requests share exactly when they may share an answer.
        model: ``provider:name``, as in ``openai:gpt-x``.
        description: The model and its parameters as canonical JSON, without secrets.
        content: The messages as plain JSON values, or the text of a text model.
        made_of: The live model, prompt, stop and kwargs, for who needs LangChain's own strings;
            empty where the request was not made of a model.
    """

    key: bytes
    model: str
    description: str
    content: Any
    made_of: tuple[Any, ...] = ()

    @property
    def prompt(self) -> str:
        """The messages, or the text, as canonical JSON; long data of images as digests."""
        return dump(self.content)

    @property
    def title(self) -> str:
        """The beginning of the last human message on one line, at most 120 characters."""
        return title_of(self.content)

    @property
    def limits_tokens(self) -> bool:
        """Whether the request itself bounds the length of its answer."""
        return not TOKEN_LIMITS.isdisjoint(json.loads(self.description)["parameters"])

    @property
    def is_carried_async(self) -> bool:
        """Whether something was put into what serves asynchronous calls alone on its way."""
        return isinstance(json.loads(self.description).get("carried"), list)

    def with_endpoint(self, endpoint: str | None, carried: str | None = None) -> Request:
        """Return the same request to another address, by clients with ``carried`` put into them."""
        described = _readdressed(self.model, self.description, endpoint, carried)
        key = described.key(_keyed(self.content))
        return self._replace(key=key, description=described.text)

    def with_texts(self, texts: Iterable[str]) -> list[Request]:
        """Return the same request with each of ``texts`` in the place of its own."""
        key = _reassemble(self.model, json.loads(self.description)).key
        return [Request(key(_keyed(text)), self.model, self.description, text) for text in texts]


def describe(
    model: Any,
    prompt: str | Sequence[BaseMessage],
    stop: Sequence[str] | None,
    kwargs: Mapping[str, Any],
    is_async: bool = True,
) -> Request:
    """Return the request that ``model`` as it is now would send.

    Args:
        model: A live chat model or text model.
        prompt: The messages, or the text for a text model.
        stop: Stop sequences of this call.
        kwargs: The call's other arguments, as a model's ``_generate`` gets them.
        is_async: Whether what serves asynchronous calls alone may be on its way too.

    Raises:
        NotDescribableError: Something that may change the answer has no canonical form.
    """
    described = describe_model(model, stop, kwargs, KEY_SCHEMA, is_async)
    if number := modes.sample_number.get():
        described = _sampled(described.label, described.text, number)
    try:
        content: Any = prompt
        if isinstance(prompt, str):
            keyed = _keyed(prompt)
        else:
            content, keyed = _messages(model, prompt, kwargs)
    except IndescribableError as error:
        raise NotDescribableError(f"{error} in the messages") from error
    except RecursionError as error:
        raise NotDescribableError("the messages are nested too deeply") from error
    made_of = (model, prompt, stop, kwargs)
    fields = described.key(keyed), described.label, described.text, content, made_of
    return tuple.__new__(Request, fields)  # what ``Request()`` does, without a call in between


def _messages(
    model: Any, messages: Sequence[BaseMessage], kwargs: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], str]:
    """Return messages as plain values, and as the text that enters the key."""
    cls: type = type(model)
    provider, fields = provider_of(cls), model.__dict__
    held: list[str] = []
    for name, place in provider.server_ids.items():
        if kwargs.get(name) or fields.get(name):
            held.append(place)
    unsent: frozenset[str] = frozenset()
    content, keyed = [], []
    for message in messages:
        if not held and (text := _plain_text(message)):  # to see this is quick, and most are
            content.append({"content": text, "type": message.type})
            keyed.append(f'{{"content":{_keyed(text)},"type":"{message.type}"}}')
            continue
        unsent = unsent or _unsent(provider, model, messages, kwargs)
        said = describe_message(message, unsent, held, marks_blocks=provider.marks_blocks)
        content.append(said)
        keyed.append(_keyed(said))
    return content, f"[{','.join(keyed)}]"


def _unsent(
    provider: Provider, model: Any, messages: Sequence[BaseMessage], kwargs: Mapping[str, Any]
) -> frozenset[str]:
    """Return what of these messages the provider is not sent."""
    has_names = provider.chat_only and any(message.name for message in messages)
    return provider.unsent | (NAMES if has_names and asks_responses(model, kwargs) else set())


def _plain_text(message: BaseMessage) -> str | None:
    """Return the text of a message that is nothing but its text, else None."""
    said = message.__dict__.get
    text = said("content")
    if type(text) is not str or type(message) not in _PLAIN_CLASSES or message.__pydantic_extra__:
        return None
    is_more = said("additional_kwargs") or said("name")
    return None if is_more or said("tool_calls") or said("invalid_tool_calls") else text


def describe_strings(prompt: str, llm_string: str) -> Request:
    """Return the request behind LangChain's two strings, in a namespace of its own.

    Raises:
        NotDescribableError: ``llm_string`` names no model, so that two models would share a key.
    """
    named = re.search(_NAMED_MODEL, llm_string)
    if named is None:
        raise NotDescribableError("LangChain's string names no model")
    # The string may hold credentials, so that only its digest is kept.
    fields = {
        "schema": KEY_SCHEMA,
        "class": None,
        "provider": "langchain",
        "model": named[1],
        "endpoint": None,
        "parameters": {"llm_string": text_digest(llm_string)},
    }
    described = _reassemble(f"langchain:{named[1]}", fields)
    return Request(described.key(_keyed(prompt)), described.label, described.text, prompt)


def endpoints_like(
    request: Request, descriptions: Iterable[str]
) -> set[tuple[str | None, str | None]]:
    """Return the endpoints in ``descriptions`` of the same provider and model as ``request``.

    Beside each stands what was put into the classes of the HTTP clients that reached it.
    """
    wanted = json.loads(request.description)
    others = (other for other in map(json_or_text, descriptions) if isinstance(other, dict))
    same = (
        (other.get("endpoint"), other.get("carried"))
        for other in others
        if all(other.get(name) == wanted[name] for name in ("provider", "model"))
    )
    return {
        (endpoint, None if carried is None else dump(carried))
        for endpoint, carried in same
        if endpoint is None or isinstance(endpoint, str)
    }


@lru_cache(maxsize=64)  # the entries of a course have few descriptions
def _readdressed(
    label: str, description: str, endpoint: str | None, carried: str | None
) -> Description:
    fields = json.loads(description) | {"endpoint": endpoint}
    fields.pop("carried", None)
    return _reassemble(label, fields | ({"carried": json.loads(carried)} if carried else {}))


@lru_cache(maxsize=64)
def _sampled(label: str, description: str, number: int) -> Description:
    """Return the description of an independent sample: the same request, another entry."""
    fields = json.loads(description)
    fields["parameters"]["sample"] = number
    return _reassemble(label, fields)


def _reassemble(label: str, fields: dict[str, Any]) -> Description:
    parameters = {name: dump(value) for name, value in fields.pop("parameters").items()}
    return assemble(label, dump(fields)[1:-1], parameters)


def _keyed(content: Any) -> str:
    """Return messages, one or a text as they enter the key: as JSON, long texts as digests."""
    if type(content) is str and len(content) <= LONG_CHARS and "-" not in content:
        return encode_basestring(content)  # the same, which most are, in a third of the time
    return encode(_shortened(content))


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        text = _without_run_ids(value) if "-" in value else value
        return {TAG + "text": long_digest(text)} if len(text) > LONG_CHARS else text
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, dict):
        return {name: _shortened(item) for name, item in value.items()}
    return value


def _without_run_ids(text: str) -> str:
    text = re.sub(_RUN_ID, "run-", text) if "run-" in text else text
    return LEDGER.with_recorded_ids(text)
