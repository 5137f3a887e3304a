"""What varies among the questions of one cell, and what they go on from, fit and carry."""

from __future__ import annotations

import base64
import io
import math
import mimetypes
import re
from argparse import Namespace
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from langchain_core.messages import BaseMessage, convert_to_messages

from ..errors import LLMCacheError
from ..provider_row import names
from ..seam.structured import schema_of
from ..text import a_type, did_you_mean, format_count, one_line
from .answer import Answer
from .models import NOT_VARIED
from .parser import PLACEHOLDER, Variables, is_variable, look_up, root, texts_in

#: A longer item is called by its key or label, in a list by its number, counted from one.
_SHORT_CHARS = 40
#: More answers than that no table draws, and no file of a notebook should hold.
_MAX_QUESTIONS = 10_000
#: The other columns of ``Answers.to_pandas``, which no item can be called.
_COLUMNS = names("model sample text cached wall_s saved_s tokens cost key error")
#: What something is called in a table, and its value.
Item = tuple[Any, Any]
_MAX_BYTES = 5_000_000
#: How files of a kind begin; a WAVE or WebP file tells its kind behind its length.
_BEGINNINGS: tuple[tuple[bytes, int, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"%PDF-", 0, "application/pdf"),
    (b"WAVE", 8, "audio/wav"),
    (b"AIFF", 8, "audio/aiff"),
    (b"ftypM4A", 4, "audio/mp4"),
    (b"ID3", 0, "audio/mpeg"),
    *((bytes([0xFF, second]), 0, "audio/mpeg") for second in (0xFB, 0xFA, 0xF3, 0xF2)),
    (b"OggS", 0, "audio/ogg"),
    (b"fLaC", 0, "audio/flac"),
)
_URL = re.compile(r"(?i)https?://")
#: What stands in no text.
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
#: How pictures for print and for science are kept.
_NO_PNG = ("CMYK", "YCbCr", "LAB", "HSV", "F")
#: Of a model's profile in LangChain: what says whether it takes a kind, and the kind's name.
_TAKES = {
    "image": ("image_inputs", "pictures"),
    "file": ("pdf_inputs", "PDF files"),
    "audio": ("audio_inputs", "sound"),
}


class Row:
    """A row of a DataFrame for placeholders: its columns, and nothing else of it."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__values = dict(values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__values[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str) -> Any:
        return self.__values[name]

    def __dir__(self) -> list[str]:
        return [str(name) for name in self.__values]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.__values.items())


def _items_of(name: str, value: Any) -> list[Item]:
    if (
        isinstance(value, (str, bytes, type))
        or not hasattr(value, "__len__")
        or not getattr(value, "shape", True)  # an array of no dimension has no items
    ):
        raise LLMCacheError(
            f"--each {name}: {a_type(value)} is not a list",
            "Give a list, tuple, dict, Series or DataFrame",
        )
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)  # its own order is another one in each kernel
    if not getattr(getattr(value, "columns", None), "is_unique", True):
        raise LLMCacheError(f"--each {name}: two of its columns have one name", "Rename one")
    if hasattr(value, "iterrows"):  # which itself would make one type of a row's values
        rows = value.to_dict("records")
        found = [(label, Row(row)) for label, row in zip(value.index, rows, strict=True)]
    elif hasattr(value, "to_dicts"):  # of polars, which goes through its columns
        found = [(number, Row(row)) for number, row in enumerate(value.to_dicts(), 1)]
    elif hasattr(value, "items"):  # a dict, a Series
        found = [(_name(item, label), item) for label, item in value.items()]
    else:
        found = [(_name(item, number), item) for number, item in enumerate(value, 1)]
    if not found:
        raise LLMCacheError(f"--each {name}: there is nothing in it", "Give at least one item")
    return found


def _name(item: Any, otherwise: Any) -> Any:
    """Return what an item is called: itself where it is short, else its key, label or number."""
    if not isinstance(item, Hashable):
        return otherwise
    text = str(item)
    return item if len(text) <= _SHORT_CHARS and "\n" not in text else otherwise


def sides_of(
    axes: Sequence[tuple[str, Any]], namespace: Variables, parameters: Mapping[str, Any]
) -> dict[tuple[str, str], list[Item]]:
    """Return the items of what varies, by the kind of flag and the name, in the order typed.

    Args:
        axes: The flags ``-m``, ``--samples``, ``--each`` and ``--vary`` with their values.
        namespace: The notebook's variables.
        parameters: What ``-p`` and ``-t`` say.

    Raises:
        LLMCacheError: A flag is there twice, or its values are not what it takes.
    """
    sides: dict[tuple[str, str], list[Item]] = {}
    for kind, given in axes:
        if kind == "model":
            sides.setdefault((kind, kind), []).append((given, given))
            continue
        name, items = _side(kind, given, namespace, parameters)
        if any(name == other for _, other in sides):
            raise LLMCacheError(f"{name!r} varies twice", "Give each name once")
        sides[kind, name] = items
    for (kind, name), items in sides.items():
        if kind != "each" and (twice := _twice(items)) is not None:
            raise LLMCacheError(
                f"{twice} is given twice as {name}", "For more answers of each give --samples"
            )
    _check_count(math.prod(map(len, sides.values())))
    return sides


def _side(
    kind: str, given: Any, namespace: Variables, parameters: Mapping[str, Any]
) -> tuple[str, list[Item]]:
    if kind == "sample":
        _check_count(given)
        return kind, [(number, number) for number in range(given)]
    name, values = given
    if kind == "each":
        if not name.isidentifier() or not values:
            raise LLMCacheError(
                f"--each {name}: not a name", "Write --each topic=topics, with a list in topics"
            )
        if name in _COLUMNS:
            raise LLMCacheError(
                f"--each {name}: to_pandas() has a column of this name", "Choose another name"
            )
        with _reading(f"--each {values}"):
            return name, _items_of(values, _variable("--each", values, namespace))
    if name in NOT_VARIED:
        raise LLMCacheError(f"--vary {name}: not a parameter", f"Give it by {NOT_VARIED[name]}")
    if name in parameters:
        raise LLMCacheError(f"{name} is given by --vary and by -t or -p", "Give it once")
    if "" in values:
        raise LLMCacheError(f"--vary {name}: a value is missing", f"Write --vary {name}=1,2")
    return name, [(_name(value, str(value)), value) for value in values]


def _twice(items: Sequence[Item]) -> str | None:
    counts = Counter(repr(value) for _, value in items)
    return next((str(label) for label, value in items if counts[repr(value)] > 1), None)


def _check_count(count: int) -> None:
    if count > _MAX_QUESTIONS:
        raise LLMCacheError(
            f"there would be {format_count(count, 'question')}",
            f"One cell asks at most {_MAX_QUESTIONS:,}",
        )


def check_asked(text: str, sides: Iterable[tuple[str, str]]) -> None:
    """See to it that each name of ``--each`` stands in the prompt or the system text.

    Raises:
        LLMCacheError: One does not, so that all its items would ask the same.
    """
    asked = {root(match["path"] or "") for match in PLACEHOLDER.finditer(text)}
    for kind, name in sides:
        if kind == "each" and name not in asked:
            raise LLMCacheError(
                f"--each {name}: the prompt does not ask for it", f"Write {{{{{name}}}}} into it"
            )


# --- what each of them carries ---


def carried(args: Namespace, namespace: Variables, newest: Any) -> dict[str, Any]:
    """Return what ``--after``, ``-c``, ``--schema`` and ``--attach`` say, as fields of Question.

    ``asked`` among them is the model of the answer that the question goes on from.
    """
    found: dict[str, Any] = {}
    goes_on = getattr(args, "continue")
    if goes_on and newest is None:
        raise LLMCacheError("-c: there is no answer yet to go on from", "Ask something first")
    if args.after or goes_on:
        what = f"--after {args.after}" if args.after else "-c"
        value = newest if goes_on else _variable("--after", args.after, namespace)
        with _reading(what):
            found["before"] = tuple(_conversation(what, value))
            found["asked"] = getattr(value, "asked", None)
    if args.schema:
        found["schema"] = schema_of(args.schema, _variable("--schema", args.schema, namespace))
    if args.attach:
        with _reading(f"--attach {' '.join(args.attach)}"):
            found["attached"] = tuple(_block_of(word, namespace) for word in args.attach)
    return found


@contextmanager
def _reading(flag: str) -> Iterator[None]:
    """Tell in one line what a person's own object raised."""
    try:
        yield
    except LLMCacheError:
        raise
    except Exception as error:
        why = one_line(f"{type(error).__name__}: {error}", 200)
        raise LLMCacheError(f"{flag}: it cannot be read, {why}") from error


def _conversation(what: str, value: Any) -> Iterator[BaseMessage]:
    if isinstance(value, Answer):
        yield from value.messages
        return
    if hasattr(value, "where") and hasattr(value, "to_pandas"):
        raise LLMCacheError(
            f"{what}: there are {len(value)} answers",
            f"Choose one: one = {what.partition(' ')[2] or '_'}[0], then --after one",
        )
    messages = []
    if isinstance(value, BaseMessage):
        messages = [value]
    elif isinstance(value, list | tuple) and not any(isinstance(each, str) for each in value):
        with suppress(TypeError, ValueError, NotImplementedError, KeyError):
            messages = convert_to_messages(value)
    if not messages:
        raise LLMCacheError(
            f"{what}: {a_type(value)} is not a conversation",
            "Give an Answer, a list of messages, or a list of dicts with role and content",
        )
    yield from messages


def _variable(flag: str, name: str, namespace: Variables) -> Any:
    if not is_variable(name, namespace):
        raise LLMCacheError(
            f"{flag} {name}: there is no variable of this name",
            did_you_mean(name, texts_in(namespace))
            or ("Check the name" if name.isidentifier() else "Put it into a variable first"),
        )
    return look_up(name, namespace, flag)


# --- --attach: pictures, PDF, sound and text, as LangChain's content blocks ---


def _block_of(word: str, namespace: Variables) -> dict[str, Any]:
    data = _data(word, namespace)
    flag = f"--attach {one_line(word)}"
    if isinstance(data, str):
        return _linked(data, flag)
    if not data:
        raise LLMCacheError(f"{flag}: there is nothing in it", "Give something that is not empty")
    if len(data) > _MAX_BYTES:
        raise LLMCacheError(
            f"{flag}: {format_count(len(data), 'byte')} are more than {_MAX_BYTES:,}",
            "Make it smaller, or give its URL",
        )
    kinds = (mime for begin, at, mime in _BEGINNINGS if data[at : at + len(begin)] == begin)
    if (found := next(kinds, None)) is None:
        if (text := _text(data)) is not None:
            return {"type": "text", "text": text}
        raise LLMCacheError(
            f"{flag}: it is not a kind of file that can be sent",
            "Give a PNG, JPEG, GIF or WebP picture, a PDF, sound, or text in UTF-8",
        )
    encoded = base64.b64encode(data).decode()
    block = {"type": _kind(found), "base64": encoded, "mime_type": found}
    return block if found != "application/pdf" else {**block, "filename": "attached.pdf"}


def _linked(url: str, flag: str) -> dict[str, Any]:
    """Return the block of what stands at a URL, which is not fetched here."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise LLMCacheError(f"{flag}: this URL names no server", "Give all of it")
    mime = mimetypes.guess_type(parts.path)[0] or "image/*"
    block = {"type": _kind(mime), "url": url}
    return block if mime == "image/*" else {**block, "mime_type": mime}


def _text(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if _NO_TEXT.search(text) else text


def check_takes(model: Any, label: str, blocks: tuple[dict[str, Any], ...]) -> None:
    """See to it that the model takes these blocks, as far as LangChain knows.

    Raises:
        LLMCacheError: It does not.
    """
    profile = getattr(model, "profile", None)
    if not isinstance(profile, Mapping):
        return
    for block in blocks:
        said_by, what = _TAKES.get(block["type"], ("", ""))
        if profile.get(said_by) is False:
            raise LLMCacheError(f"{label} takes no {what}", "Ask a model that does")


def _data(word: str, namespace: Variables) -> bytes | str:
    """Return the bytes of a variable or of a file, or a URL."""
    value = look_up(word, namespace) if (held := is_variable(word, namespace)) else word
    for part in (value, getattr(value, "url", None)):  # IPython's Image has its URL there
        if isinstance(part, str) and _URL.match(part):
            return part
    if isinstance(value, (str, Path)):
        return _file(word, Path(value), held=held)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(data := getattr(value, "data", None), bytes):  # IPython's Image, Audio
        return data
    if not hasattr(value, "save"):
        value = getattr(value, "figure", value)  # of matplotlib's axes, as pandas' plot gives them
    elif getattr(value, "mode", "RGB") in _NO_PNG:
        value = value.convert("RGB")
    for name in ("savefig", "save"):  # a matplotlib figure, a PIL image
        if hasattr(value, name):
            written = io.BytesIO()
            getattr(value, name)(written, format="png")
            return written.getvalue()
    raise LLMCacheError(
        f"--attach {word}: {a_type(value)} cannot be attached",
        "Give bytes, a picture, a figure, a file's path or a URL",
    )


def _file(word: str, path: Path, *, held: bool) -> bytes:
    """Return the bytes of a file; ``held``: a variable holds its path."""
    try:
        return path.expanduser().read_bytes()
    except (OSError, RuntimeError, ValueError) as error:
        what = "its value is not" if held else "there is no such variable, and it is not"
        why = getattr(error, "strerror", None) or error
        raise LLMCacheError(
            f"--attach {one_line(word)}: {what} a file that can be read ({why})",
            "A text goes into the prompt, as {{name}}" if held else "Check the name",
        ) from error


def _kind(mime: str) -> str:
    kind = mime.partition("/")[0]
    return kind if kind in ("image", "audio") else "file"
