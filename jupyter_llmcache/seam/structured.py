"""Answers that the caller's own class reads, inside the provider's method.

Structured output by ``json_schema`` is parsed there. An answer that the class refuses was paid for
all the same, so its text is kept; a hit is read anew by the class that asks now. Its error is the
class's own, and no class is ever built from data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel, TypeAdapter, ValidationError

from ..answer import PARSED

#: Stands in the ``generation_info`` of an answer that was kept though its class refused it.
_REFUSED = "llmcache_refused"


def refused(error: ValidationError, kwargs: Mapping[str, Any], streamed: str) -> list[Generation]:
    """Return what to keep of the answer at which a provider's method raised; empty: nothing.

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
            _read(schema, text)
        except ValidationError as again:
            if str(again) == str(error):  # so this is the text that was refused
                message = AIMessage(content=text)
                return [ChatGeneration(message=message, generation_info={_REFUSED: True})]
        except Exception:  # noqa: BLE001, S112  # the user's own validators may raise anything
            continue
    return []


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
        beside[PARSED] = _read(schema, generation.text)
        generation.generation_info = None
    elif isinstance(beside.get(PARSED), dict) and issubclass(schema, BaseModel):
        with suppress(Exception):  # LangChain, which takes the data too, then tells what is wrong
            beside[PARSED] = schema(**beside[PARSED])


def _schema(kwargs: Mapping[str, Any]) -> type | None:
    schema = kwargs.get("response_format")
    return schema if isinstance(schema, type) else None


def _read(schema: type, text: str) -> Any:
    return TypeAdapter(schema).validate_json(text)


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
