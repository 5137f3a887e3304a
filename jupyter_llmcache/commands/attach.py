"""``--attach``: pictures, PDF, sound and text beside a prompt, as LangChain's content blocks."""

from __future__ import annotations

import base64
import io
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import LLMCacheError
from ..text import a_type, format_count, one_line
from .parser import Variables, is_variable, look_up

MAX_BYTES = 5_000_000
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


def block_of(word: str, namespace: Variables) -> dict[str, Any]:
    """Return the content block of a variable, a file or a URL.

    Raises:
        LLMCacheError: There is nothing of that name or of a kind that can be sent; or it is large.
    """
    data = _data(word, namespace)
    flag = f"--attach {one_line(word)}"
    if isinstance(data, str):
        return _linked(data, flag)
    if not data:
        raise LLMCacheError(f"{flag}: there is nothing in it", "Give something that is not empty")
    if len(data) > MAX_BYTES:
        raise LLMCacheError(
            f"{flag}: {format_count(len(data), 'byte')} are more than {MAX_BYTES:,}",
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
    """Return the text in ``data``; None where it is no text."""
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
