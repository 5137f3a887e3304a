"""The object that a structured output brings along in its message, as plain data.

OpenAI's client parses a ``json_schema`` answer into the user's own class and LangChain keeps that
object in ``additional_kwargs["parsed"]``; given a dict there instead, it builds the object with
``Class(**data)``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

PARSED = "parsed"


def plain_parsed(parsed: Any, text: str) -> Any:
    """Return data from which ``type(parsed)(**data)`` is equal to ``parsed``.

    Anything that is no pydantic object, or for which no such data is found, is returned as it is,
    for the encoder to judge.

    Args:
        parsed: The object.
        text: The answer's text, which the object was made from.
    """
    if not isinstance(parsed, BaseModel):
        return parsed
    for data in _candidates(parsed, text):
        try:
            if type(parsed)(**data) == parsed:
                return data
        except Exception:  # noqa: BLE001, S112  # the user's own validators may raise anything
            continue
    return parsed


def _candidates(parsed: BaseModel, text: str) -> Iterator[dict[str, Any]]:
    # The text first: what the model wrote has the names that the class reads, also where it writes
    # others.
    try:
        written = json.loads(text)
    except ValueError:
        written = None
    if isinstance(written, dict):
        yield written
    for by_alias in (True, False):
        try:
            yield parsed.model_dump(mode="json", by_alias=by_alias, warnings=False)
        except Exception:  # noqa: BLE001, S112  # as in plain_parsed
            continue
