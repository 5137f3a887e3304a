"""The course file: entries out of a cache into one clean file, and back into another cache.

It is a SQLite database or, to review and for git to compare, sorted JSON lines: the first says what
the file is, every other one is an entry, with what was asked and answered as JSON, not as text in
JSON. The same entries give the same bytes, wherever and whenever.

A file comes from somebody else, so it is read to its end and checked before anything is stored. The
key is made anew from the request and the prompt: what a person reviewed is what will be answered.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from .. import answer
from .. import request as keys
from ..answer import vector
from ..errors import DamagedEntryError, LLMCacheError, StoreError
from ..ledger import Entry
from ..seam import web_answer
from ..stores.base import KEY_BYTES, Store
from ..stores.sqlite import SQLiteStore
from ..stores.sqlite_open import resolve, side_file, store_error
from ..stores.sqlite_whole import write_clean
from ..text import json_or_text

_FORMAT = 1
_HEADER = {"jupyter_llmcache": "course", "format": _FORMAT}
_FIELDS = ("key", "title", "created_at", "provider_s", "kind", "request", "prompt", "answer")
#: What two entries of one key say alike where they are the same.
_said = attrgetter("request", "prompt", "answer")
#: A longer line is no entry: it holds an answer, a prompt and a request, escaped at worst.
_MAX_LINE_BYTES = 4 * answer.MAX_ANSWER_BYTES
_SQLITE_MAGIC = b"SQLite format 3\x00"


# --- out ---


def export_database(
    store: Store,
    path: str | os.PathLike[str],
    keys: Collection[bytes] | None = None,
    counting: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> int:
    """Write entries to a new SQLite file and return how many.

    Args:
        store: Where the entries are.
        path: The file; an old one is replaced when the new one is complete.
        keys: Which entries; None: all.
        counting: Hands the entries on, and tells of them, as ``Progress.counting``.

    Raises:
        StoreError: The file cannot be written, is the one in use, or an entry is damaged.
    """
    with _new_file(path, store) as new:
        return write_clean(new, counting(store.payloads(keys)))


def export_lines(
    store: Store,
    path: str | os.PathLike[str],
    keys: Collection[bytes] | None = None,
    counting: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> int:
    """Write entries to a new file of JSON lines and return how many; as ``export_database``."""
    with _new_file(path, store) as new, new.open("wb") as file:
        file.write(_line(_HEADER))
        records = counting(store.entries(keys=keys))
        return sum(file.write(_line(_readable(record))) > 0 for record in records)


@contextmanager
def _new_file(location: str | os.PathLike[str], source: Store) -> Iterator[Path]:
    """Yield an empty file to fill, which takes the place of ``location`` when the block ends well.

    Until then, and whatever kills the process, an old file stays as it is; that of ``source`` is
    not replaced. The file gets the mode of the old one, or of any new file of the user.
    """
    path = Path(os.path.realpath(resolve(os.fspath(location))))
    if source.path is not None and path == Path(os.path.realpath(source.path)):
        raise StoreError(f"{os.fspath(location)} is the cache in use", "Choose another name")
    _refuse_live_database(path, location)
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.touch(exist_ok=False)
        if path.exists():
            new.chmod(path.stat().st_mode & 0o777)
        yield new
        _write_down(new)
        _refuse_live_database(path, location)
        new.replace(path)
        _write_down(path.parent)
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreError(
            f"{os.fspath(location)} cannot be written: {why}", "Choose a file that can be written"
        ) from error
    finally:
        with suppress(OSError):
            new.unlink()


def _refuse_live_database(path: Path, location: str | os.PathLike[str]) -> None:
    # Whoever has the old file open would go on writing its -wal, and SQLite would take that for the
    # new file's.
    if side_file(path, "-wal").exists():
        raise StoreError(
            f"{os.fspath(location)} is in use: {path.name}-wal stands beside it",
            "Turn the cache off that uses it, or choose another name",
        )


def _write_down(path: Path) -> None:
    """See to it that a file or folder outlasts a loss of power."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    number = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


# --- in ---


class Imported(NamedTuple):
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
        elif _said(held) == _said(record):
            same += 1
        else:
            different += 1
    if new:
        store.put_many(new.values())
    return Imported(len(new), same, different)


def _entries(location: str) -> Iterator[tuple[str, Entry]]:
    path = resolve(location)
    try:
        if path.exists() and not path.is_file():
            raise StoreError(f"{location} is no ordinary file", "Give the path of a file")
        with path.open("rb") as file:
            start = file.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise store_error(location, error) from error
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


def _check(record: Entry, place: str) -> None:
    times = [record.created_at, *([] if record.provider_s is None else [record.provider_s])]
    texts = (record.request, record.prompt, record.title)
    for is_right, why in (
        (len(record.key) == KEY_BYTES, f"the key has not {KEY_BYTES} bytes"),
        (all(isinstance(text, str) for text in texts), "a text is not a text"),
        (all(map(_is_time, times)), "a time is not a valid time"),
    ):
        if not is_right:
            raise _refused(place, why)
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
    if record.kind not in _KINDS:
        raise DamagedEntryError(f"there is no kind {record.kind!r}")
    _KINDS[record.kind].decode(record.answer)


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


def _line(data: Any) -> bytes:
    try:
        text = json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        text = json.dumps(data).encode()
    return text + b"\n"


def _readable(record: Entry) -> dict[str, Any]:
    return {
        "key": record.key.hex(),
        # Half surrogate pairs, which no UTF-8 holds, as the store keeps them.
        "title": record.title.encode("utf-8", "replace").decode(),
        "created_at": record.created_at,
        "provider_s": record.provider_s,
        "kind": record.kind,
        "request": _opened(record.request),
        "prompt": _opened(record.prompt),
        "answer": _KINDS[record.kind].opened(record.answer),
    }


def _opened(text: str) -> Any:
    """Return the JSON in ``text`` where the very same text can be made of it, else the text."""
    data = json_or_text(text)
    return data if isinstance(data, dict | list) and _closed(data) == text else text


def _closed(data: Any) -> Any:
    """Return the text that an export opened as JSON."""
    is_json = isinstance(data, dict | list)
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")) if is_json else data


def _read_lines(path: Path) -> Iterator[tuple[str, Entry]]:
    """Yield each entry of a file of JSON lines, with the place where it stands."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), 1):
                place = f"line {number}"
                data = _parsed(line, place)
                if number > 1:
                    yield place, _record(data, place)
                elif not isinstance(data, dict) or data.get("jupyter_llmcache") != "course":
                    raise _refused(place, "it does not say that this is a course file")
                elif data.get("format") != _FORMAT:
                    raise LLMCacheError(
                        f"nothing was imported: its format is {data.get('format')!r}, "
                        f"this release reads {_FORMAT}",
                        "Upgrade jupyter_llmcache",
                    )
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def _refused(place: str, why: str) -> LLMCacheError:
    return LLMCacheError(f"nothing was imported: {place}: {why}", "Mend it, or export it again")


def _parsed(line: bytes, place: str) -> Any:
    try:
        if not line.endswith(b"\n"):
            raise _refused(place, "it is cut")
        return json.loads(line.removeprefix(b"\xef\xbb\xbf").decode())
    except (ValueError, RecursionError) as error:
        raise _refused(place, "it is not JSON") from error


def _record(data: Any, place: str) -> Entry:
    if not isinstance(data, dict) or set(data) != set(_FIELDS):
        raise _refused(place, f"it has not the fields {', '.join(_FIELDS)}")
    try:
        return Entry(
            key=bytes.fromhex(data["key"]),
            request=_closed(data["request"]),
            prompt=_closed(data["prompt"]),
            title=data["title"],
            answer=_KINDS.get(data["kind"], _KINDS["answer"]).packed(data["answer"]),
            kind=data["kind"],
            created_at=data["created_at"],
            provider_s=data["provider_s"],
        )
    except (ValueError, TypeError, AttributeError, RecursionError, DamagedEntryError) as error:
        raise _refused(place, "a field is of another kind") from error


class _Kind(NamedTuple):
    """How an answer of one kind stands in a line, and how both are read."""

    opened: Callable[[bytes], Any]
    packed: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _packed_vector(numbers: Any) -> bytes:
    if (packed := vector.encode(numbers)) is None:
        raise ValueError
    return packed


def _decode_vector(packed: bytes) -> None:
    if vector.encode(vector.decode(packed)) != packed:
        raise DamagedEntryError("an embedding is not a vector in its smallest form")


_KINDS: Mapping[str, _Kind] = {
    "answer": _Kind(
        lambda packed: _opened(packed.decode()), lambda data: _closed(data).encode(), answer.decode
    ),
    "embedding": _Kind(vector.decode, _packed_vector, _decode_vector),
    "web": _Kind(
        lambda packed: b64encode(packed).decode(),
        lambda data: b64decode(data, validate=True),
        web_answer.decode,
    ),
}
