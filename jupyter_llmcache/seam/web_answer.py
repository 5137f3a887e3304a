"""An HTTP answer: as a client takes it, as a file holds it, and out of its packings."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import re
import zlib
from collections.abc import Iterable, Sequence
from http.client import HTTPResponse, IncompleteRead
from typing import NamedTuple

from ..errors import StoreError
from ..text import json_or_text
from .web_request import clean_url, holds_token

#: Headers that tell of the connection, of the packing that is undone, or of the asker.
_NOT_KEPT = re.compile(
    r"connection|keep-alive|transfer-encoding|content-encoding|content-length|trailer|upgrade|via"
    r"|alt-svc|nel|report-to|server-timing|strict-transport-security|content-security-policy.*"
    r"|proxy-.*|cf-.*|openai-(?:organization|project)"
    r"|(?!www-authenticate$).*(?:auth(?!ors?$)|cookie|key|passw|secret|token).*"
)
#: What a file's answer may grow to when it is unpacked, in bytes; more is an attack.
_MAX_BYTES = 12_000_000


class WebAnswer(NamedTuple):
    """An HTTP answer: ``body`` as bytes without any packing."""

    status: int
    reason: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    @property
    def wire(self) -> bytes:
        """The answer as HTTP/1.1 sends it, in one piece."""
        lines = [f"HTTP/1.1 {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


def kept_headers(
    headers: Iterable[tuple[str, str]], length: str
) -> tuple[list[tuple[str, str]], bool]:
    """Return the headers that a file keeps, and whether a credential was taken out of an address.

    Args:
        headers: Their names in lower case; the asker's own keys are out of them already.
        length: The content-length of the body without its packing.
    """
    kept, signed = [], False
    for name, value in headers:
        if _NOT_KEPT.fullmatch(name) or holds_token(value):
            continue
        clean = clean_url(value) if "://" in value else value
        signed = signed or clean != value
        kept.append((name, clean))
    return [*kept, ("content-length", length)], signed


# --- the file form: a length, the head as JSON, the body; packed where that is shorter ---


def encode(answer: WebAnswer, *, signed: bool) -> bytes:
    """Return the bytes for a file; ``signed``: a credential was taken out of an address."""
    head = [answer.status, answer.reason, [list(pair) for pair in answer.headers], signed]
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    plain = len(text).to_bytes(4, "big") + text + answer.body
    packed = zlib.compress(plain)
    return b"z" + packed if len(packed) < len(plain) else b"p" + plain


def decode(data: bytes) -> tuple[WebAnswer, bool]:
    """Return the answer, and whether a credential was taken out of it.

    Raises:
        StoreError: It is not what ``encode`` makes.
    """
    try:
        plain = data[1:]
        if data[:1] == b"z":
            inflating = zlib.decompressobj()
            plain = inflating.decompress(plain, _MAX_BYTES)
        cut = 4 + int.from_bytes(plain[:4], "big")
        status, reason, headers, signed = json.loads(plain[4:cut])
        pairs = [(_plain(name), _plain(value)) for name, value in headers]
        return WebAnswer(int(status), _plain(reason), pairs, plain[cut:]), bool(signed)
    except (ValueError, TypeError, zlib.error) as error:
        raise StoreError("a recorded web answer cannot be read", "Record it again") from error


def _plain(text: object) -> str:
    """A header's text on one line, whoever wrote the file."""
    return re.sub(r"[\r\n\0]+", " ", str(text))


def tells_error(body: bytes) -> bool:
    """Whether a model's server tells of an error where a good answer is said to stand.

    It may be the whole body, or a line of it: an event, or one JSON object of many.
    """
    if b'"error"' not in body:
        return False
    lines = (line.removeprefix(b"data:").strip() for line in body.splitlines())
    told = [json_or_text(each.decode("utf-8", "replace")) for each in (body, *lines)]
    return any(isinstance(t, dict) and (t.get("error") or t.get("type") == "error") for t in told)


def unpacked(body: bytes, packing: str) -> bytes | None:
    """Return ``body`` without the packings that a content-encoding names; None: it cannot be."""
    for name in reversed([each.strip() for each in packing.split(",") if each.strip()]):
        unpack = _UNPACKERS.get(name)
        try:
            body = body if not body or unpack is None else unpack(body)
        except Exception:  # noqa: BLE001  # each packing has errors of its own, or is not installed
            return None
        if unpack is None and name != "identity":
            return None
    return body


class Wire:
    """A socket that brings what is at hand."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire

    def makefile(self, *_: object) -> io.BytesIO:
        """Return what stands for the connection."""
        return io.BytesIO(self._wire)


def _unchunked(frames: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    response = HTTPResponse(Wire(head + frames))  # type: ignore[arg-type]
    response.begin()
    try:
        return response.read()
    except IncompleteRead as cut:  # whether that will do was judged before
        return cut.partial


def _deflated(body: bytes) -> bytes:
    try:
        return zlib.decompress(body)
    except zlib.error:  # some servers leave the frame out
        return zlib.decompress(body, -zlib.MAX_WBITS)


def _brotli(body: bytes) -> bytes:
    try:
        packer = importlib.import_module("brotli")
    except ImportError:
        packer = importlib.import_module("brotlicffi")
    return bytes(packer.decompress(body))


def _zstd(body: bytes) -> bytes:
    try:
        packer = importlib.import_module("zstandard")
    except ImportError:
        return bytes(importlib.import_module("compression.zstd").decompress(body))  # Python 3.14
    return bytes(packer.ZstdDecompressor().decompressobj().decompress(body))


_UNPACKERS = {
    "gzip": gzip.decompress,  # of all its members
    "x-gzip": gzip.decompress,
    "deflate": _deflated,
    "br": _brotli,
    "chunked": _unchunked,
    "zstd": _zstd,
}
