"""A restricted decoder for what LangChain's ``dumps`` writes: generations, and data in them.

Classes come from a fixed table. Nothing is imported by name, no secret is looked up, and a row that
is not wholly understood is damaged, never text to show.
"""

from __future__ import annotations

from typing import Any

from langchain_core.outputs import Generation

from .. import answer as entry

#: Where LangChain says that its classes are: the older name, which it still writes, and the newer.
_OUTPUTS = (("langchain", "schema", "output"), ("langchain_core", "outputs"))
_MESSAGES = (("langchain", "schema", "messages"), ("langchain_core", "messages"))

_CHAT_CLASSES = frozenset({"ChatGeneration", "ChatGenerationChunk"})
_TEXT_CLASSES = frozenset({"Generation", "GenerationChunk"})
_MESSAGE_CLASSES = frozenset({"AIMessage", "AIMessageChunk"})

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


def decode_langchain_row(text: str | None) -> Generation:
    """Return the generation in one row, its message without an id.

    Args:
        text: The column ``response``.

    Raises:
        DamagedEntryError: The row holds anything but one generation of plain data.
    """
    if not text:
        raise entry.damaged("LangChain's row is empty")
    data = entry.load(text.encode())
    name, arguments = _constructor(data, _OUTPUTS)
    packed = {"info": _data(arguments.get("generation_info"))}
    if name in _CHAT_CLASSES:
        packed["message"] = _message(arguments.get("message"))
    elif name in _TEXT_CLASSES:
        packed["text"] = arguments.get("text")
    else:
        raise entry.damaged("LangChain's row holds no generation")
    return entry.unpack(packed)


def _message(data: Any) -> dict[str, Any]:
    name, arguments = _constructor(data, _MESSAGES)
    if name not in _MESSAGE_CLASSES:
        raise entry.damaged("LangChain's row holds no answer of a model")
    return {
        field: _data(arguments[field])
        for field in _MESSAGE_FIELDS
        if arguments.get(field) is not None
    }


def _constructor(data: Any, places: tuple[tuple[str, ...], ...]) -> tuple[str, dict[str, Any]]:
    """Return the class's name and the arguments of a serialised object of one of ``places``."""
    if not isinstance(data, dict) or data.get("lc") != 1 or data.get("type") != "constructor":
        raise entry.damaged("LangChain's row holds no object of LangChain")
    where, arguments = data.get("id"), data.get("kwargs")
    if isinstance(where, list) and isinstance(arguments, dict):
        for place in places:
            if tuple(where[: len(place)]) == place and isinstance(where[-1], str):
                return where[-1], arguments
    raise entry.damaged("LangChain's row holds an object of another kind")


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
