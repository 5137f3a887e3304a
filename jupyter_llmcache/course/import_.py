"""Taking the entries of a course file into the cache in use.

A file comes from somebody else, so it is read to its end and checked before anything is stored. The
key is made anew from the request and the prompt: what a person reviewed is what will be answered.
"""

from __future__ import annotations

import json
import math
import os
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import answer as entry
from .. import request as keys
from ..answer import vector
from ..errors import DamagedEntryError, LLMCacheError, StoreError
from ..ledger import Entry
from ..seam import web_answer
from ..stores.base import KEY_BYTES, Store
from ..stores.sqlite import SQLiteStore
from ..stores.sqlite_open import resolve
from .export import FORMAT, closed

_FIELDS = ("key", "title", "created_at", "provider_s", "kind", "request", "prompt", "answer")
#: What two entries of one key must say alike to be the same.
_SAID = ("request", "prompt", "answer")
#: A longer line is no entry: it holds an answer, a prompt and a request, escaped at worst.
_MAX_LINE_BYTES = 4 * entry.MAX_ANSWER_BYTES
_SQLITE_MAGIC = b"SQLite format 3\x00"


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the entries of a file.

    Attributes:
        new: How many were not there.
        same: How many were there, with the same answer.
        different: How many are there with another answer, which was kept.
    """

    new: int
    same: int
    different: int


def import_file(
    store: Store,
    path: str | os.PathLike[str],
    counting: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Imported:
    """Take entries into ``store``: all of the file's, or, where it is at fault, none.

    Args:
        store: The cache in use.
        path: A course file, as a database or as JSON lines; told apart by what is in it.
        counting: Hands the entries on, and tells of them, as ``Progress.counting``.

    Raises:
        LLMCacheError: The file is not a course file, or an entry is damaged or untrue; the message
            names the line or the key.
        StoreError: The file cannot be read, or the store not be written.
    """
    new: dict[bytes, Entry] = {}
    seen: set[bytes] = set()
    same = different = 0
    is_empty = store.count() == 0
    for place, record in counting(_entries(os.fspath(path))):
        _check(record, place)
        if record.key in seen:
            raise _refused(place, f"the key {record.key.hex()} stands there a second time")
        seen.add(record.key)
        held = None if is_empty else _held(store, record.key)
        if held is None:
            new[record.key] = record
        elif all(getattr(held, name) == getattr(record, name) for name in _SAID):
            same += 1
        else:
            different += 1
    if new:
        store.put_many(new.values())
    return Imported(len(new), same, different)


def _entries(location: str) -> Iterator[tuple[str, Entry]]:
    path = resolve(location)
    try:
        with path.open("rb") as file:
            start = file.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise StoreError(
            f"{location} cannot be read: {error.strerror}", "Check the path"
        ) from error
    if start == _SQLITE_MAGIC:
        return _database_entries(location)
    if start.removeprefix(b"\xef\xbb\xbf").startswith(b"{"):
        return _read_lines(path)
    raise LLMCacheError(
        f"{location} is not a course file", "Give a file that %llm_cache export wrote"
    )


def _database_entries(location: str) -> Iterator[tuple[str, Entry]]:
    with closing(SQLiteStore(location, read_only=True)) as source:
        if source.has_langchain_rows and source.count() == 0:
            raise LLMCacheError(
                f"{location} holds LangChain's entries only, whose requests are not known",
                f"Use it as it is: %llm_cache sqlite {location}",
            )
        try:
            for record in source.entries():
                yield f"entry {record.key.hex()}", record
        except DamagedEntryError as error:
            raise LLMCacheError(
                f"nothing was imported: {error.what}", "Export it again where it came from"
            ) from error


def _held(store: Store, key: bytes) -> Entry | None:
    try:
        return store.read(key)
    except DamagedEntryError:
        return None


# --- an entry as it should be ---


def _check(record: Entry, place: str) -> None:
    if len(record.key) != KEY_BYTES:
        raise _refused(place, f"the key has not {KEY_BYTES} bytes")
    if not all(isinstance(text, str) for text in (record.request, record.prompt, record.title)):
        raise _refused(place, "a text is none")
    if not _is_time(record.created_at) or not (
        record.provider_s is None or _is_time(record.provider_s)
    ):
        raise _refused(place, "a time is none")
    try:
        decode(record)
    except StoreError as error:
        raise _refused(place, error.what) from error
    # What a web request's key is made of is not all in the file: no password, no whole body.
    if record.kind != "web" and not _is_true_key(record):
        raise _refused(place, "the key is not that of its request and prompt")


def decode(record: Entry) -> None:
    """Decode what is answered.

    Raises:
        StoreError: It is not what an entry of its kind holds.
    """
    if record.kind not in _DECODERS:
        raise DamagedEntryError(f"there is no kind {record.kind!r}")
    _DECODERS[record.kind](record.answer)


def _decode_vector(packed: bytes) -> None:
    if vector.encode(vector.decode(packed)) != packed:
        raise DamagedEntryError("an embedding is not a vector in its smallest form")


_DECODERS: Mapping[str, Callable[[bytes], Any]] = {
    "answer": entry.decode,
    "embedding": _decode_vector,
    "web": web_answer.decode,
}


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def _is_true_key(record: Entry) -> bool:
    """Whether the key is made of the request and the prompt, as this release makes keys."""
    try:
        content = json.loads(record.prompt)
        request = keys.Request(record.key, "", record.request, content)
        schema, endpoint = _schema_and_endpoint(record.request)
        return schema == keys.KEY_SCHEMA and request.with_endpoint(endpoint).key == record.key
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


@lru_cache(maxsize=64)  # the entries of a course have few descriptions
def _schema_and_endpoint(description: str) -> tuple[Any, Any]:
    described = json.loads(description)
    return described["schema"], described["endpoint"]


# --- JSON lines ---


def _read_lines(path: Path) -> Iterator[tuple[str, Entry]]:
    """Yield each entry of a file of JSON lines, with the place where it stands.

    Raises:
        LLMCacheError: A line is no entry; the message names its number.
        StoreError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), 1):
                place = f"line {number}"
                data = _parsed(line, place)
                if number == 1:
                    _check_header(data)
                else:
                    yield place, _record(data, place)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def _refused(place: str, why: str) -> LLMCacheError:
    """Return the error for a file that is refused because of one entry."""
    return LLMCacheError(f"nothing was imported: {place}: {why}", "Mend it, or export it again")


def _parsed(line: bytes, place: str) -> Any:
    try:
        if not line.endswith(b"\n"):
            raise _refused(place, "it is cut")
        return json.loads(line.removeprefix(b"\xef\xbb\xbf").decode())
    except (ValueError, RecursionError) as error:
        raise _refused(place, "it is not JSON") from error


def _check_header(data: Any) -> None:
    if not isinstance(data, dict) or data.get("jupyter_llmcache") != "course":
        raise _refused("line 1", "it does not say that this is a course file")
    if data.get("format") != FORMAT:
        raise LLMCacheError(
            f"nothing was imported: its format is {data.get('format')!r}, "
            f"this release reads {FORMAT}",
            "Upgrade jupyter_llmcache",
        )


def _record(data: Any, place: str) -> Entry:
    if not isinstance(data, dict) or set(data) != set(_FIELDS):
        raise _refused(place, f"it has not the fields {', '.join(_FIELDS)}")
    try:
        return Entry(
            key=bytes.fromhex(data["key"]),
            request=closed(data["request"]),
            prompt=closed(data["prompt"]),
            title=data["title"],
            answer=_answer(data["kind"], data["answer"]),
            kind=data["kind"],
            created_at=data["created_at"],
            provider_s=data["provider_s"],
        )
    except (ValueError, TypeError, AttributeError, RecursionError, DamagedEntryError) as error:
        raise _refused(place, "a field is of another kind") from error


def _answer(kind: str, readable: Any) -> bytes:
    if kind == "embedding":
        packed = vector.encode(readable)
        if packed is None:
            raise ValueError
        return packed
    return b64decode(readable, validate=True) if kind == "web" else closed(readable).encode()
