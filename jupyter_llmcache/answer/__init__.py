"""What an answer is in the store: JSON data in, message classes out.

``verdict`` says which answers are good enough to be kept.

The form is ours and explicit: a fixed table of classes, no names to import, no pickle. Encoding
proves itself: what does not come back exactly as it went in is not stored. Decoding checks the type
of every field itself and then makes messages past pydantic, which would take most of a hit's time.
"""

from __future__ import annotations

import base64
import functools
import json
import marshal
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from ..errors import DamagedEntryError

Write = Callable[[Any, str], Any]

#: Version of the form below.
FORMAT = 1
#: Nothing larger is stored or decoded.
MAX_ANSWER_BYTES = 256 * 1024 * 1024
#: How deep lists and dicts may nest in an answer: far below Python's own bound, far above what
#: models answer.
MAX_DEPTH = 100

#: Longer integers are not read from JSON: they have more than 4300 digits.
_MAX_INTEGER_BITS = 14_284

#: Marks a JSON object that stands for what JSON cannot say.
_MARK = "$llmcache"
_MARK_TEXT = f'"{_MARK}"'.encode()
#: Where a structured output brings its object along: OpenAI's client parses a ``json_schema``
#: answer into the user's own class, and LangChain keeps that object in ``additional_kwargs``.
PARSED = "parsed"

#: A chunk, which a stream adds up to, is kept as the whole that it is.
_CHATS = (ChatGeneration, ChatGenerationChunk)
#: Names that stand for something else than additional data when a message is made.
_NO_EXTRAS = frozenset({*AIMessageChunk.model_fields, "content_blocks"})
_USAGE_COUNTS = ("input_tokens", "output_tokens", "total_tokens")
#: The distributions whose code writes every answer.
_WRITERS = ("jupyter_llmcache", "langchain-core")
#: Half a surrogate pair as JSON escapes it.
_HALF = rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}"


class NotStorableError(Exception):
    """An answer that cannot be kept exactly as it is; its text says why in a few words."""


def damaged(why: str) -> DamagedEntryError:
    """Return the error for an entry at fault."""
    return DamagedEntryError(
        f"an entry of the cache is damaged: {why}", "It is fetched anew when it is asked for"
    )


# --- answers as bytes ---


def encode(
    generations: Sequence[Generation], versions: Mapping[str, str], pieces: list[Any] | None = None
) -> bytes:
    """Return the generations as UTF-8 JSON.

    Args:
        generations: What the model answered; at least one.
        versions: Which distributions recorded it, by name.
        pieces: In what pieces it came, as ``pieces.pack`` tells.

    Raises:
        NotStorableError: Something in the answer cannot be kept without loss.
    """
    if not generations:
        raise NotStorableError("an answer without a generation")
    data = {"format": FORMAT, "versions": dict(versions), "generations": []}
    data |= {"pieces": pieces} if pieces else {}
    # Most answers hold nothing but plain data, and to see that at the end is much faster.
    with suppress(NotStorableError, TypeError, ValueError, RecursionError):
        return _written(generations, data, lambda value, _: value, _exactly)
    return _written(generations, data, plain, _dump)


def _exactly(data: Any) -> bytes:
    return marshal.dumps(data, 2)  # newer versions also tell which objects are the same


def _written(
    generations: Sequence[Generation],
    data: dict[str, Any],
    write: Write,
    form: Callable[[Any], bytes],
) -> bytes:
    """Return the generations as JSON, if it makes them again: the same in what ``form`` tells."""
    packed = [_pack(generation, write) for generation in generations]
    answer = _dump({**data, "generations": packed})
    if len(answer) > MAX_ANSWER_BYTES:
        raise NotStorableError(f"an answer of more than {MAX_ANSWER_BYTES >> 20} MB")
    try:
        again = _load_answer(answer)["generations"]
        if form(write(again, "it")) != form(packed):
            raise NotStorableError("an answer that would not come back the same")
        for each in again:
            unpack(each)
    except DamagedEntryError as error:
        raise NotStorableError("an answer of a shape that LangChain refuses") from error
    return answer


def decode(answer: bytes) -> list[Generation]:
    """Return fresh generations, their messages with the ids that they had.

    Raises:
        DamagedEntryError: ``answer`` is not what ``encode`` returned.
    """
    return [unpack(generation) for generation in _load_answer(answer)["generations"]]


def recorded_versions(answer: bytes) -> dict[str, str]:
    """Return which distributions recorded ``answer``, by name.

    Raises:
        DamagedEntryError: ``answer`` is not what ``encode`` returned.
    """
    versions: dict[str, str] = _load_answer(answer)["versions"]
    return versions


@functools.cache
def recording_versions(package: str | None) -> dict[str, str]:
    """Return distribution names and versions of what records now, for ``show`` and ``explain``.

    Args:
        package: The top-level package of the model's class, as ``langchain_openai``; None where no
            model was seen.
    """
    from importlib import metadata  # only who records needs it

    versions = {}
    # The package of a class of ours is here already.
    others = {package.replace("_", "-")} if package and package not in _WRITERS else ()
    for name in (*_WRITERS, *others):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _load_answer(answer: bytes) -> dict[str, Any]:
    data = load(answer)
    if not isinstance(data, dict) or type(data.get("format")) is not int:
        raise damaged("it is not an answer of ours")
    if data["format"] > FORMAT:
        raise DamagedEntryError(
            f"an entry of format {data['format']} is newer than this release reads",
            "Upgrade jupyter_llmcache",
        )
    versions = data.get("versions")
    if type(versions) is not dict or not {str}.issuperset(map(type, versions.values())):
        raise damaged("its versions are wrong")
    if not isinstance(data.get("generations"), list) or not data["generations"]:
        raise damaged("it holds no generation")
    return data


# --- generations as plain data ---


def _pack(generation: Generation, write: Write) -> dict[str, Any]:
    packed: dict[str, Any] = {}
    if isinstance(generation, _CHATS) and type(generation) in _CHATS:
        packed["message"] = _pack_message(generation.message, write)
    elif type(generation) in (Generation, GenerationChunk):
        packed["text"] = write(generation.text, "text")
    else:
        raise NotStorableError(f"a generation of class {type(generation).__name__}")
    if generation.generation_info is not None:
        packed["info"] = write(generation.generation_info, "generation_info")
    return packed


def _pack_message(message: Any, write: Write) -> dict[str, Any]:
    if type(message) not in (AIMessage, AIMessageChunk):
        raise NotStorableError(f"a message of class {type(message).__name__}")
    fields = {name: getattr(message, name) for name in FIELD_CHECKS}
    fields["extra"] = message.model_extra
    if message.additional_kwargs.get(PARSED) is not None:
        parsed = _plain_parsed(message.additional_kwargs[PARSED], message.text)
        fields["additional_kwargs"] = {**message.additional_kwargs, PARSED: parsed}
    return {
        name: write(value, name)
        for name, value in fields.items()
        if name == "content" or (value is not None and value not in ({}, []))
    }


def unpack(packed: Any) -> Generation:
    """Return the generation of plain data in our form: ``text`` or ``message``, and ``info``.

    Raises:
        DamagedEntryError: The data are not of this form.
    """
    try:
        info = packed.get("info")
        if "message" not in packed:
            return Generation(text=packed["text"], generation_info=info)
        return ChatGeneration(message=_message(packed["message"]), generation_info=info)
    except DamagedEntryError:
        raise
    # Whatever an odd shape makes of these few lines, it is one thing to the caller.
    except Exception as error:
        raise damaged("its shape is wrong") from error


def _message(fields: dict[str, Any]) -> AIMessage:
    """Return what ``AIMessage(**fields)`` would be, of values whose types are checked here."""
    extra = fields.pop("extra", None)
    if extra is not None and not (isinstance(extra, dict) and _NO_EXTRAS.isdisjoint(extra)):
        raise damaged("a field stands where it does not belong")
    for name, value in fields.items():
        if not FIELD_CHECKS[name](value):
            raise damaged(f"its {name} is of another kind")
    if "content" not in fields:
        raise damaged("it has no content")
    values = vars(_BLANK) | {name: vars(_BLANK)[name].copy() for name in _FRESH} | fields
    made = AIMessage.__new__(AIMessage)
    _put(made, "__dict__", values)
    _put(made, "__pydantic_extra__", extra or {})
    _put(made, "__pydantic_fields_set__", set(fields))
    _put(made, "__pydantic_private__", None)
    return made


_put = object.__setattr__
#: What this release of LangChain makes where nothing is given; its lists and dicts are made anew.
_BLANK = AIMessage(content="")
_FRESH = [name for name, value in vars(_BLANK).items() if value in ([], {})]


def _is_content(content: Any) -> bool:
    return isinstance(content, str) or (
        isinstance(content, list) and {str, dict}.issuperset(map(type, content))
    )


def _is_usage(usage: Any) -> bool:
    return isinstance(usage, dict) and all(type(usage[name]) is int for name in _USAGE_COUNTS)


def _is_tool_call(call: Any) -> bool:
    return (
        isinstance(call["name"], str)
        and isinstance(call["args"], dict)
        and isinstance(call["id"], str | None)
    )


def _is_invalid_call(call: Any) -> bool:
    return all(isinstance(call[text], str | None) for text in ("name", "args", "id", "error"))


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _all(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda items: (
        isinstance(items, list) and all(isinstance(item, dict) and is_right(item) for item in items)
    )


#: What is kept of a message, in the order of its ``repr``, each with the check of its type.
FIELD_CHECKS: dict[str, Callable[[Any], bool]] = {
    "content": _is_content,
    "additional_kwargs": _is(dict),
    "response_metadata": _is(dict),
    "name": _is(str),
    "id": _is(str),
    "tool_calls": _all(_is_tool_call),
    "invalid_tool_calls": _all(_is_invalid_call),
    "usage_metadata": _is_usage,
}


def _plain_parsed(parsed: Any, text: str) -> Any:
    """Return data of which ``parsed``'s class makes what is equal to it, if it is an object.

    Anything else, or where no such data is found, is returned as it is, for ``plain`` to judge.
    """
    ways: tuple[Callable[[], Any], ...] = (
        # First, because it has the names that the class reads, also where the class writes others.
        lambda: json.loads(text),
        lambda: parsed.model_dump(mode="json", by_alias=True, warnings=False),
        lambda: parsed.model_dump(mode="json", by_alias=False, warnings=False),
    )
    for way in ways if isinstance(parsed, BaseModel) else ():
        with suppress(Exception):  # the user's own validators may raise anything
            data = way()
            if type(parsed).model_validate(data) == parsed:
                return data
    return parsed


# --- plain data as JSON text: lossless one way, guarded the other ---


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """Return ``value`` as plain JSON data that ``_restored`` turns back into an equal value.

    Raises:
        NotStorableError: What stands in the field ``where`` holds what has no such form.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        if value.bit_length() > _MAX_INTEGER_BITS:
            raise NotStorableError("an integer too long to write down")
        return int(value)
    if isinstance(value, float):
        number = float(value)
        return number if math.isfinite(number) else {_MARK: "float", "value": repr(number)}
    if isinstance(value, bytes):
        return {_MARK: "bytes", "value": base64.b64encode(value).decode()}
    if depth > MAX_DEPTH:
        raise NotStorableError(f"{where} nests too deep")
    if isinstance(value, list):
        return [plain(item, where, depth + 1) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        items = {str.__str__(key): plain(item, where, depth + 1) for key, item in value.items()}
        return {_MARK: "dict", "value": list(items.items())} if _MARK in items else items
    kind = "dict with keys that are not text" if isinstance(value, dict) else type(value).__name__
    raise NotStorableError(f"{where} holds a {kind}")


def _restored(value: Any) -> Any:
    """Undo ``plain``. Raises whatever comes of data that it did not make."""
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    mark = value.get(_MARK)
    if mark is None:
        return {key: _restored(item) for key, item in value.items()}
    if mark not in _READ:
        raise damaged("it holds an unknown mark")
    return _READ[mark](value["value"])


_READ: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "bytes": functools.partial(base64.b64decode, validate=True),
    "dict": lambda items: {str(key): _restored(item) for key, item in items},
}


def _dump(data: Any) -> bytes:
    """Return plain data as compact UTF-8 JSON."""
    try:
        return to_json(data, inf_nan_mode="null")  # takes a quarter as long as Python's own
    except ValueError:  # half a surrogate pair has no UTF-8, but can be escaped
        return json.dumps(data, allow_nan=False, separators=(",", ":")).encode()


def load(text: bytes) -> Any:
    """Return the data of a JSON text in UTF-8, with what ``plain`` marked as it was.

    Raises DamagedEntryError where it is not JSON, too large or too deep, or holds wrong marks.
    """
    if len(text) > MAX_ANSWER_BYTES:
        raise damaged("it is too large")
    try:
        data = _parse(text)
        return _restored(data) if _MARK_TEXT in text else data
    except DamagedEntryError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise damaged("it is not JSON of ours") from error


def _parse(text: bytes) -> Any:
    try:
        return from_json(text)  # takes half as long as Python's own, and bounds the depth
    except ValueError:
        # Half a surrogate pair, which only Python's own parser takes.
        from_json(re.sub(_HALF, rb"\\u0020", text))
        return json.loads(text)
