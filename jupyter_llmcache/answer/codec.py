"""What an answer is in the store: JSON data in, message classes out.

The form is ours and explicit: a fixed table of classes, no names to import, no pickle. Encoding
proves itself: what does not come back exactly as it went in is not stored. Message ids are left
out, because a recalled message is a new message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)

from ..errors import DamagedEntryError
from .parsed import PARSED, plain_parsed
from .plain import MAX_ANSWER_BYTES, NotStorableError, damaged, dump, load, plain

#: Version of the form below.
FORMAT = 1

#: A chunk, which a stream adds up to, is kept as the whole that it is.
_CHAT_CLASSES = (ChatGeneration, ChatGenerationChunk)
_TEXT_CLASSES = (Generation, GenerationChunk)
_MESSAGE_CLASSES = (AIMessage, AIMessageChunk)

_USAGE_COUNTS = ("input_tokens", "output_tokens", "total_tokens")
#: What AIMessage is made with; the rest is set afterwards.
_CONSTRUCTED = ("content", "name", "additional_kwargs", "response_metadata")
#: Names that stand for something else than additional data when AIMessage is made.
_NO_EXTRAS = frozenset({*AIMessageChunk.model_fields, "content_blocks"})


def encode(generations: Sequence[Generation], *, versions: Mapping[str, str]) -> bytes:
    """Return the generations as UTF-8 JSON.

    Args:
        generations: What the model answered; at least one.
        versions: Which distributions recorded it, by name.

    Raises:
        NotStorableError: Something in the answer cannot be kept without loss.
    """
    if not generations:
        raise NotStorableError("an answer without a generation")
    data = {
        "format": FORMAT,
        "versions": dict(versions),
        "generations": [_pack(generation) for generation in generations],
    }
    answer = dump(data)
    if len(answer) > MAX_ANSWER_BYTES:
        raise NotStorableError(f"an answer of more than {MAX_ANSWER_BYTES >> 20} MB")
    try:
        again = {**data, "generations": [_pack(generation) for generation in decode(answer)]}
    except DamagedEntryError as error:
        raise NotStorableError("an answer of a shape that LangChain refuses") from error
    if dump(again) != answer:
        raise NotStorableError("an answer that would not come back the same")
    return answer


def decode(answer: bytes) -> list[Generation]:
    """Return fresh generations, their messages without ids.

    Raises:
        DamagedEntryError: ``answer`` is not what ``encode`` returned.
    """
    packed = _load(answer).get("generations")
    if not isinstance(packed, list) or not packed:
        raise damaged("it holds no generation")
    return [unpack(generation) for generation in packed]


def recorded_versions(answer: bytes) -> dict[str, str]:
    """Return which distributions recorded ``answer``, by name.

    Raises:
        DamagedEntryError: ``answer`` is not what ``encode`` returned.
    """
    versions: dict[str, str] = _load(answer)["versions"]
    return versions


def usage_of(generations: Sequence[Generation]) -> dict[str, Any] | None:
    """Return LangChain's ``usage_metadata`` of an answer; None where the provider told none.

    Providers that give several generations tell the usage of all of them in each.
    """
    for generation in generations:
        usage = getattr(getattr(generation, "message", None), "usage_metadata", None)
        if usage:
            return dict(usage)
    return None


def unpack(packed: Any) -> Generation:
    """Return the generation of plain data in our form: ``text`` or ``message``, and ``info``.

    Raises:
        DamagedEntryError: The data are not of this form.
    """
    try:
        info = packed.get("info")
        if "message" in packed:
            return ChatGeneration(message=_unpack_message(packed["message"]), generation_info=info)
        return Generation(text=packed["text"], generation_info=info)
    except DamagedEntryError:
        raise
    # Whatever an odd shape makes of these few lines, it is one thing to the caller.
    except Exception as error:
        raise damaged("its shape is wrong") from error


def _load(answer: bytes) -> dict[str, Any]:
    data = load(answer)
    if not isinstance(data, dict) or type(data.get("format")) is not int:
        raise damaged("it is no answer of ours")
    if data["format"] > FORMAT:
        raise DamagedEntryError(
            f"an entry of format {data['format']} is newer than this release reads",
            "Upgrade jupyter_llmcache",
        )
    versions = data.get("versions")
    if type(versions) is not dict or not {str}.issuperset(map(type, versions.values())):
        raise damaged("its versions are wrong")
    return data


def _pack(generation: Generation) -> dict[str, Any]:
    packed: dict[str, Any] = {}
    if isinstance(generation, ChatGeneration) and type(generation) in _CHAT_CLASSES:
        packed["message"] = _pack_message(generation.message)
    elif type(generation) in _TEXT_CLASSES:
        packed["text"] = plain(generation.text, "text")
    else:
        raise NotStorableError(f"a generation of class {type(generation).__name__}")
    if generation.generation_info is not None:
        packed["info"] = plain(generation.generation_info, "generation_info")
    return packed


def _pack_message(message: Any) -> dict[str, Any]:
    if type(message) not in _MESSAGE_CLASSES:
        raise NotStorableError(f"a message of class {type(message).__name__}")
    additional = message.additional_kwargs
    if additional.get(PARSED) is not None:
        parsed = plain_parsed(additional[PARSED], message.text)
        additional = {**additional, PARSED: parsed}
    fields = {
        "content": message.content,
        "name": message.name,
        "additional_kwargs": additional,
        "response_metadata": message.response_metadata,
        "tool_calls": message.tool_calls,
        "invalid_tool_calls": message.invalid_tool_calls,
        "usage_metadata": message.usage_metadata,
        "extra": message.model_extra,
    }
    return {
        name: plain(value, name)
        for name, value in fields.items()
        if name == "content" or (value is not None and value not in ({}, []))
    }


def _unpack_message(fields: dict[str, Any]) -> AIMessage:
    given = {name: fields[name] for name in _CONSTRUCTED if name in fields}
    if (extra := fields.get("extra")) is not None:
        if not _NO_EXTRAS.isdisjoint(extra):
            raise damaged("a field stands where it does not belong")
        given.update(extra)
    message = AIMessage(**given)
    # Set afterwards, because the constructor reads tool calls out of additional_kwargs where it is
    # given none, and drops what it does not know in them.
    if "tool_calls" in fields or message.tool_calls:
        message.tool_calls = _checked(fields.get("tool_calls", []), _is_tool_call)
    if "invalid_tool_calls" in fields or message.invalid_tool_calls:
        calls = fields.get("invalid_tool_calls", [])
        message.invalid_tool_calls = _checked(calls, _is_invalid_call)
    if "usage_metadata" in fields:
        [usage] = _checked([fields["usage_metadata"]], _is_usage)
        message.usage_metadata = usage
    return message


def _checked(items: Any, is_right: Callable[[Any], bool]) -> Any:
    if not isinstance(items, list) or not all(map(is_right, items)):
        raise damaged("a tool call or the usage is none")
    return items


def _is_tool_call(call: Any) -> bool:
    return (
        isinstance(call, dict)
        and isinstance(call["name"], str)
        and isinstance(call["args"], dict)
        and isinstance(call["id"], str | None)
    )


def _is_invalid_call(call: Any) -> bool:
    texts = ("name", "args", "id", "error")
    return isinstance(call, dict) and all(isinstance(call[text], str | None) for text in texts)


def _is_usage(usage: Any) -> bool:
    return isinstance(usage, dict) and all(type(usage[name]) is int for name in _USAGE_COUNTS)
