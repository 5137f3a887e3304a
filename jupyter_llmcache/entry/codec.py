"""What an answer is in the store: JSON data in, message classes out.

The form is ours and explicit: a fixed table of classes, no names to import, no pickle. Encoding
proves itself: what does not come back exactly as it went in is not stored. Message ids are left
out, because a recalled message is a new message.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
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

#: Version of the form below.
FORMAT = 1
#: Nothing larger is stored or decoded.
MAX_ANSWER_BYTES = 256 * 1024 * 1024
#: How deep lists and dicts may nest: far from Python's own bound, far above what models answer.
MAX_DEPTH = 100

#: Marks a JSON object that stands for what JSON cannot say.
_TAG = "$llmcache"
_TAG_BYTES = f'"{_TAG}"'.encode()

#: A chunk, which a stream adds up to, is kept as the whole that it is.
_CHAT_CLASSES = (ChatGeneration, ChatGenerationChunk)
_TEXT_CLASSES = (Generation, GenerationChunk)
_MESSAGE_CLASSES = (AIMessage, AIMessageChunk)

_USAGE_COUNTS = ("input_tokens", "output_tokens", "total_tokens")
_EMPTY: dict[str, Any] = {}
#: Not fields of an entry, or not names that AIMessage's constructor takes as data.
_NO_EXTRAS = frozenset({*AIMessageChunk.model_fields, "content_blocks"})


class NotStorableError(Exception):
    """An answer that cannot be kept exactly as it is, and so must not be stored.

    Args:
        reason: A few words for the annotation, as in ``generation_info holds a ndarray``.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


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
    answer = _dump(data)
    if len(answer) > MAX_ANSWER_BYTES:
        raise NotStorableError(f"an answer of more than {MAX_ANSWER_BYTES >> 20} MB")
    try:
        again = {**data, "generations": [_pack(generation) for generation in decode(answer)]}
    except DamagedEntryError as error:
        raise NotStorableError(error.what) from error
    if _dump(again) != answer:
        raise NotStorableError("an answer that would not come back the same")
    return answer


def decode(answer: bytes) -> list[Generation]:
    """Return fresh generations, their messages without ids.

    Raises:
        DamagedEntryError: ``answer`` is not what ``encode`` returned.
    """
    data = _load(answer)
    try:
        generations = [_unpack(packed) for packed in data["generations"]]
    except DamagedEntryError:
        raise
    # Whatever an odd shape makes of these few lines, it is one thing to the caller.
    except Exception as error:
        raise _damaged("its shape is wrong") from error
    if not generations:
        raise _damaged("it holds no generation")
    return generations


def recorded_versions(answer: bytes) -> dict[str, str]:
    """Return which distributions recorded ``answer``, by name.

    Raises:
        DamagedEntryError: ``answer`` is not what ``encode`` returned.
    """
    versions = _load(answer).get("versions")
    if not isinstance(versions, dict) or not all(isinstance(v, str) for v in versions.values()):
        raise _damaged("its versions are wrong")
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


# --- generations and messages ---


def _pack(generation: Generation) -> dict[str, Any]:
    packed: dict[str, Any] = {}
    if isinstance(generation, ChatGeneration) and type(generation) in _CHAT_CLASSES:
        packed["message"] = _pack_message(generation.message)
    elif type(generation) in _TEXT_CLASSES:
        packed["text"] = _plain(generation.text, "text", 0)
    else:
        raise NotStorableError(f"a generation of class {type(generation).__name__}")
    if generation.generation_info is not None:
        packed["info"] = _plain(generation.generation_info, "generation_info", 0)
    return packed


def _pack_message(message: Any) -> dict[str, Any]:
    if type(message) not in _MESSAGE_CLASSES:
        raise NotStorableError(f"a message of class {type(message).__name__}")
    keyword_arguments = message.additional_kwargs
    if keyword_arguments.get(PARSED) is not None:
        parsed = plain_parsed(keyword_arguments[PARSED], message.text)
        keyword_arguments = {**keyword_arguments, PARSED: parsed}
    fields = {
        "content": message.content,
        "name": message.name,
        "additional_kwargs": keyword_arguments,
        "response_metadata": message.response_metadata,
        "tool_calls": message.tool_calls,
        "invalid_tool_calls": message.invalid_tool_calls,
        "usage_metadata": message.usage_metadata,
        "extra": message.model_extra,
    }
    return {
        name: _plain(value, name, 0)
        for name, value in fields.items()
        if name == "content" or (value is not None and value not in ({}, []))
    }


def _unpack(packed: dict[str, Any]) -> Generation:
    info = packed.get("info")
    if "message" in packed:
        return ChatGeneration(message=_unpack_message(packed["message"]), generation_info=info)
    return Generation(text=packed["text"], generation_info=info)


def _unpack_message(fields: dict[str, Any]) -> AIMessage:
    extra = fields.get("extra", _EMPTY)
    if not _NO_EXTRAS.isdisjoint(extra):
        raise _damaged("a field stands where it does not belong")
    message = AIMessage(
        content=fields["content"],
        name=fields.get("name"),
        additional_kwargs=fields.get("additional_kwargs", {}),
        response_metadata=fields.get("response_metadata", {}),
        **extra,
    )
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
        raise _damaged("a tool call or the usage is none")
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


# --- what JSON cannot say ---


def _plain(value: Any, where: str, depth: int) -> Any:
    """Return ``value`` as plain JSON data that ``_restored`` turns back into an equal value."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return (
            float(value) if math.isfinite(value) else {_TAG: "float", "value": repr(float(value))}
        )
    if isinstance(value, bytes):
        return {_TAG: "bytes", "value": base64.b64encode(value).decode()}
    if depth > MAX_DEPTH:
        raise NotStorableError(f"{where} nests too deep")
    if isinstance(value, list):
        return [_plain(item, where, depth + 1) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        plain = {str.__str__(key): _plain(item, where, depth + 1) for key, item in value.items()}
        return {_TAG: "dict", "value": list(plain.items())} if _TAG in plain else plain
    kind = "dict whose keys are no text" if isinstance(value, dict) else type(value).__name__
    raise NotStorableError(f"{where} holds a {kind}")


def _restored(value: Any) -> Any:
    """Undo ``_plain``."""
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value.get(_TAG):
        case None:
            return {key: _restored(item) for key, item in value.items()}
        case "float":
            return float(value["value"])
        case "bytes":
            return base64.b64decode(value["value"], validate=True)
        case "dict":
            return {str(key): _restored(item) for key, item in value["value"]}
        case _:
            raise _damaged("it holds a mark of no meaning")


# --- JSON ---


def _dump(data: Any) -> bytes:
    try:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate pair is no UTF-8, but can be escaped
        return json.dumps(data, separators=(",", ":")).encode()
    except ValueError as error:
        raise NotStorableError("an integer too long to write down") from error


def _load(answer: bytes) -> dict[str, Any]:
    if len(answer) > MAX_ANSWER_BYTES:
        raise _damaged("it is too large")
    try:
        data = json.loads(answer.decode())
        _check_depth(data, answer)
        if _TAG_BYTES in answer:
            data = _restored(data)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise _damaged("it is no JSON of ours") from error
    if not isinstance(data, dict) or type(data.get("format")) is not int:
        raise _damaged("it is no JSON of ours")
    if data["format"] > FORMAT:
        raise DamagedEntryError(
            f"an entry of format {data['format']} is newer than this version reads",
            "Install a newer jupyter_llmcache",
        )
    return data


def _check_depth(data: Any, answer: bytes) -> None:
    """Refuse what nests so deep that copying or writing it would fail later."""
    if answer.count(b"[") + answer.count(b"{") <= MAX_DEPTH:
        return
    level, depth = [data], 0
    while level:
        depth += 1
        # The few levels around a message's fields, and tags, come on top.
        if depth > 2 * MAX_DEPTH:
            raise _damaged("it nests too deep")
        level = [
            item
            for parent in level
            if isinstance(parent, dict | list)
            for item in (parent.values() if isinstance(parent, dict) else parent)
        ]


def _damaged(why: str) -> DamagedEntryError:
    return DamagedEntryError(f"an entry of the cache is damaged: {why}")
