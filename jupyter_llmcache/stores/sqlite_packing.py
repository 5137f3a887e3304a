"""How texts and answers lie in a row: compressed where it pays, answers with a checksum."""

from __future__ import annotations

import math
import struct
import zlib
from hashlib import blake2b

from ..errors import DamagedEntryError, StoreError

#: Shorter texts stay readable in the file, and are searched faster than compressed ones.
PLAIN_TEXT_BYTES = 2048
#: Shorter answers shrink by less than the time to unpack them on every hit is worth.
PLAIN_ANSWER_BYTES = 1024
#: No answer or prompt of a model is larger; a row that claims more is hostile or damaged.
MAX_UNPACKED_BYTES = 1 << 28

_CHECKSUM_BYTES = 8
_TIMES = struct.Struct("<dd")
_RAW, _ZLIB = b"\x00", b"\x01"
_ZLIB_MARK = _ZLIB[0]


def pack_answer(answer: bytes) -> bytes:
    """Return ``answer`` as a row keeps it.

    Raises:
        StoreError: It is larger than any row may be.
    """
    _check_size(len(answer))
    if len(answer) >= PLAIN_ANSWER_BYTES:
        packed = zlib.compress(answer)
        if len(packed) < len(answer):
            return _ZLIB + packed
    return _RAW + answer


def unpack_answer(packed: bytes) -> bytes:
    """Return the answer of ``pack_answer``.

    Raises:
        DamagedEntryError: ``packed`` was not made by ``pack_answer``.
    """
    if packed[:1] == _RAW:
        return packed[1:]
    if packed[:1] == _ZLIB:
        return _inflate(memoryview(packed)[1:])
    raise DamagedEntryError("an answer is packed in an unknown way")


def pack_text(text: str) -> str | bytes:
    """Return ``text`` as a row keeps it: as text while it is short, else compressed.

    Raises:
        StoreError: It is larger than any row may be.
    """
    if len(text) <= PLAIN_TEXT_BYTES and not _has_surrogates(text):
        return text
    data = text.encode("utf-8", "surrogatepass")
    _check_size(len(data))
    return zlib.compress(data)


def unpack_text(packed: object) -> str:
    """Return the text of ``pack_text``.

    Raises:
        DamagedEntryError: ``packed`` was not made by ``pack_text``.
    """
    if isinstance(packed, str):
        return packed
    if not isinstance(packed, bytes):
        raise DamagedEntryError("a text is missing")
    try:
        return _inflate(packed).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise DamagedEntryError("a text is not UTF-8") from error


def checksum(
    key: bytes, created_at: float, provider_s: float | None, packed_answer: bytes
) -> bytes:
    """Return what shows that an answer is whole, under its own key, and as old as it says."""
    times = _TIMES.pack(created_at, math.nan if provider_s is None else provider_s)
    return blake2b(key + times + packed_answer, digest_size=_CHECKSUM_BYTES).digest()


def _inflate(data: bytes | memoryview) -> bytes:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise DamagedEntryError("a compressed value does not unpack") from error
    if not inflater.eof or inflater.unused_data:
        raise DamagedEntryError("a compressed value is cut, overlong or too large")
    return text


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_UNPACKED_BYTES:
        raise StoreError(
            f"an entry of {size_bytes} bytes is larger than the {MAX_UNPACKED_BYTES} that are kept"
        )
