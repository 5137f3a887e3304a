"""``--attach``: pictures, PDF, sound and text beside a prompt, as LangChain's content blocks."""

from __future__ import annotations

import base64
import io
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import LLMCacheError
from ..text import a_type, format_bytes
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
    (b"ID3", 0, "audio/mpeg"),
    (b"\xff\xfb", 0, "audio/mpeg"),
    (b"OggS", 0, "audio/ogg"),
    (b"fLaC", 0, "audio/flac"),
)
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
    if word.startswith(("http://", "https://")):
        mime = mimetypes.guess_type(word.partition("?")[0])[0] or "image/*"
        block = {"type": _kind(mime), "url": word}
        return block if mime == "image/*" else {**block, "mime_type": mime}
    data = _data(word, namespace)
    if not data:
        raise LLMCacheError(f"--attach {word}: there is nothing in it")
    if len(data) > MAX_BYTES:
        raise LLMCacheError(
            f"--attach {word}: {format_bytes(len(data))} are more than {format_bytes(MAX_BYTES)}",
            "Make it smaller, or give its URL",
        )
    kinds = (mime for begin, at, mime in _BEGINNINGS if data[at : at + len(begin)] == begin)
    if (found := next(kinds, None)) is None:
        try:
            return {"type": "text", "text": data.decode()}
        except UnicodeDecodeError:
            raise LLMCacheError(
                f"--attach {word}: it is not a kind of file that can be sent",
                "Give a PNG, JPEG, GIF or WebP picture, a PDF, sound, or text",
            ) from None
    encoded = base64.b64encode(data).decode()
    block = {"type": _kind(found), "base64": encoded, "mime_type": found}
    return block if found != "application/pdf" else {**block, "filename": "attached.pdf"}


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


def _data(word: str, namespace: Variables) -> bytes:
    """Return the bytes of a variable, or of a file."""
    if is_variable(word, namespace):
        value = look_up(word, namespace)
        if isinstance(value, (str, Path)):
            return _file(word, Path(value))
        if isinstance(value, (bytes, bytearray)):
            return bytes(value)
        if isinstance(data := getattr(value, "data", None), bytes):  # IPython's Image, Audio
            return data
        for name in ("savefig", "save"):  # a matplotlib figure, a PIL image
            if hasattr(value, name):
                written = io.BytesIO()
                getattr(value, name)(written, format="png")
                return written.getvalue()
        raise LLMCacheError(
            f"--attach {word}: {a_type(value)} cannot be attached",
            "Give bytes, a picture, a figure, a file's path or a URL",
        )
    return _file(word, Path(word))


def _file(word: str, path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise LLMCacheError(
            f"--attach {word}: there is no such variable, and no file that can be read "
            f"({error.strerror or error})",
            "Check the name",
        ) from error


def _kind(mime: str) -> str:
    kind = mime.partition("/")[0]
    return kind if kind in ("image", "audio") else "file"
