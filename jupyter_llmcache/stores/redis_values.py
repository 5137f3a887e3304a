"""How an entry lies in a value of the server: times, texts, answer, and who vouches for it."""

from __future__ import annotations

import hmac
import json
import math
import os
import struct
import zlib
from collections.abc import Collection
from hashlib import blake2b

from ..errors import DamagedEntryError, LLMCacheError
from ..ledger import KINDS, Entry, put_bounded

#: Holds the secret that entries are signed with.
SECRET_VARIABLE = "LLMCACHE_REDIS_SECRET"  # noqa: S105  # the name of a variable

_MAGIC, _MAC_BYTES = b"LC1", 16
_HEAD = struct.Struct("<ddBI")
#: So many entries' texts are remembered where the server keeps none.
_MAX_REMEMBERED = 2_000
#: Texts that claim to unpack into more are hostile.
_MAX_TEXT_BYTES = 1 << 28
_NO_TEXTS = ("", "", "")


class Values:
    """Makes values of entries and reads them again.

    Args:
        readable: Keep the texts beside the answer.
        sign: Vouch for values with the secret in LLMCACHE_REDIS_SECRET, and refuse all others;
            else a checksum only tells damage.

    Raises:
        LLMCacheError: ``sign`` without a secret.
    """

    def __init__(self, *, readable: bool, sign: bool) -> None:
        self.readable = readable
        self._secret = _secret() if sign else b""
        self._remembered: dict[bytes, tuple[str, str, str]] = {}

    def pack(self, entry: Entry) -> bytes:
        """Return the value of ``entry``."""
        texts = b""
        if self.readable:
            said = [entry.request, entry.prompt, entry.title]
            texts = zlib.compress(json.dumps(said).encode())
        provider_s = math.nan if entry.provider_s is None else entry.provider_s
        head = _HEAD.pack(entry.created_at, provider_s, KINDS.index(entry.kind), len(texts))
        body = head + texts + entry.answer
        return _MAGIC + self._mac(entry.key, body) + body

    def unpack(self, key: bytes, value: bytes, *, texts: bool) -> Entry:
        """Return the entry of ``value``, which stands under ``key``.

        Raises:
            DamagedEntryError: It is not what was stored, or not signed with our secret.
        """
        start = len(_MAGIC) + _MAC_BYTES
        mac, body = value[len(_MAGIC) : start], value[start:]
        genuine = value.startswith(_MAGIC) and len(body) >= _HEAD.size
        if not genuine or not hmac.compare_digest(mac, self._mac(key, body)):
            signed = ", or is not signed with this secret" if self._secret else ""
            raise DamagedEntryError(f"the entry {key.hex()[:8]} is not what was stored{signed}")
        created_at, provider_s, kind, size = _HEAD.unpack_from(body)
        answer = _HEAD.size + size
        try:
            said = _read_texts(body[_HEAD.size : answer]) if texts else _NO_TEXTS
            measured_s = None if math.isnan(provider_s) else provider_s
            return Entry(key, body[answer:], created_at, measured_s, KINDS[kind], *said)
        except (ValueError, IndexError, zlib.error, RecursionError) as error:
            raise DamagedEntryError(f"the entry {key.hex()[:8]} cannot be read") from error

    # --- the texts of what this process put, where the server keeps none ---

    def remember(self, entry: Entry) -> None:
        """Keep the texts of ``entry`` for a while."""
        if not self.readable:
            texts = (entry.request, entry.prompt, entry.title)
            put_bounded(self._remembered, entry.key, texts, _MAX_REMEMBERED)

    def forget(self, keys: Collection[bytes] | None = None) -> None:
        """Keep no texts of ``keys``; None: of no entry."""
        for key in list(self._remembered) if keys is None else keys:
            self._remembered.pop(key, None)

    def with_texts(self, entry: Entry) -> Entry:
        """Return ``entry`` with the texts that this process put, if it has none of its own."""
        texts = self._remembered.get(entry.key)
        if texts is None or entry.request:
            return entry
        return entry._replace(request=texts[0], prompt=texts[1], title=texts[2])

    def _mac(self, key: bytes, body: bytes) -> bytes:
        return blake2b(key + body, digest_size=_MAC_BYTES, key=self._secret).digest()


def _read_texts(packed: bytes) -> tuple[str, str, str]:
    if not packed:
        return _NO_TEXTS
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(packed, _MAX_TEXT_BYTES)
    if unpacker.unconsumed_tail:
        raise ValueError("the texts are too long")
    request, prompt, title = json.loads(data)
    if not all(isinstance(text, str) for text in (request, prompt, title)):
        raise ValueError("a text is not a text")
    return request, prompt, title


def _secret() -> bytes:
    secret = os.environ.get(SECRET_VARIABLE, "")
    if not secret:
        raise LLMCacheError(
            f"sign needs a secret, and {SECRET_VARIABLE} is not set",
            "Set it to the same text on every machine of the class",
        )
    return blake2b(secret.encode(), digest_size=32).digest()
