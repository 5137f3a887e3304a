"""Entries as rows: packing and reading one, and telling whether it is what was stored.

Texts and answers are compressed where it pays. Each entry has two checksums: over its answer, which
a hit looks at, and over its texts.
"""

from __future__ import annotations

import functools
import math
import re
import sqlite3
import struct
import zlib
from collections.abc import Collection, Iterator
from hashlib import blake2b
from typing import Any

from ..errors import DamagedEntryError, StoreError
from ..ledger import KINDS, Entry, EntryKind
from .base import KEY_BYTES

EMBEDDING = KINDS.index("embedding")
#: Vectors in a row.
BLOCK = 8
#: No time is as late (the year 9999, in seconds), and no count as large.
_LATEST_S, _ENDLESS = 253_370_764_800, 1e15

_GET = "SELECT kind, created_at, provider_s, checksum, answer FROM llmcache_entries WHERE key = ?"
_GET_MANY = f"""
    SELECT key, kind, created_at, provider_s, checksum, answer,
        CASE typeof(vectors) WHEN 'blob' THEN vector_bytes END
    FROM llmcache_entries LEFT JOIN llmcache_vectors
        ON kind = {EMBEDDING} AND llmcache_vectors.id = answer / {BLOCK}
    WHERE key IN (%s)"""  # noqa: S608  # numbers of this module
#: How many keys one question asks for; SQLite takes no more than 999 in old releases.
_AT_ONCE = 500
#: Whole rows, for ``entry_of``.
READ = f"""
    SELECT key, kind, created_at, provider_s, checksum,
        CASE kind WHEN {EMBEDDING}
            THEN coalesce(substr(vectors, answer % {BLOCK} * vector_bytes + 1, vector_bytes), x'')
            ELSE answer END,
        title, prompt, request_id, size_bytes, hits, used_at
    FROM llmcache_entries LEFT JOIN llmcache_vectors
        ON kind = {EMBEDDING} AND llmcache_vectors.id = answer / {BLOCK}
"""  # noqa: S608  # put together from numbers of this module
#: What many answers say around their text, so that a short one shrinks to little more than that,
#: and faster than without. The likeliest stands last. Never change it: files are read by it.
WORDS = (
    b'"},{"arguments":"{\\"call_id":"call_"type":"function_call"tool_call_chunk"status":"completed"'
    b'"content":[{"id":"rs_"summary":[{"text":"type":"summary_text"}],"type":"reasoning"},'
    b'"thinking":"signature":"cache_creation":0,"ephemeral_5m_input_tokens"reasoning":0'
    b'{"model":"created_at":"2026-01-01T00:00:00.000000Z","done":true,"done_reason":"stop",'
    b'"total_duration":"load_duration":"prompt_eval_count":"prompt_eval_duration":"eval_count":'
    b'"eval_duration":"model_provider":"ollama"langchain-ollama":"langchain-google-genai":"'
    b'"content":[{"type":"text","text":"annotations":[],"index":0,"id":"msg_'
    b'"container":null,"diagnostics":null,"model":"claude-stop_details":null,"stop_reason":'
    b'"end_turn","stop_sequence":null,"usage":{"cache_creation":null,'
    b'"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"inference_geo":null,'
    b'"output_tokens_details":null,"server_tool_use":null,"service_tier":null,"speed":null},'
    b'"model_provider":"anthropic"langchain-anthropic":"'
    b'"response_metadata":{"id":"resp_"created_at":17"metadata":{},"model":"gpt-'
    b'"object":"response","service_tier":"default","status":"completed"'
    b'"tool_calls":[{"name":"args":{"id":"call_"type":"tool_call"}],"invalid_tool_calls":['
    b'{"format":1,"versions":{"jupyter_llmcache":"0.2.0","langchain-core":"1.8.3",'
    b'"langchain-openai":"1.7.4"},"generations":[{"message":{"content":"'
    b'","additional_kwargs":{"refusal":null},"response_metadata":{"token_usage":'
    b'{"completion_tokens":12,"prompt_tokens":11,"total_tokens":23,"completion_tokens_details":'
    b'{"accepted_prediction_tokens":null,"audio_tokens":0,"reasoning_tokens":0,'
    b'"rejected_prediction_tokens":null,"text_tokens":null},"prompt_tokens_details":'
    b'{"audio_tokens":0,"cache_write_tokens":null,"cached_tokens":0,"image_tokens":null,'
    b'"text_tokens":null}},"model_provider":"openai","model_name":"gpt-","system_fingerprint":'
    b'"fp_","id":"chatcmpl-","service_tier":"default","finish_reason":"stop","logprobs":null},'
    b'"id":"lc_run--","usage_metadata":{"input_tokens":11,"output_tokens":12,"total_tokens":23,'
    b'"input_token_details":{"audio":0,"cache_read":0},"output_token_details":{"audio":0,'
    b'"reasoning":0}}},"info":{"finish_reason":"stop","logprobs":null}}]}'
)
#: No answer or prompt of a model is larger; a row that claims more is hostile or damaged.
MAX_UNPACKED_BYTES = 1 << 28

#: Of each of the two checksums of an entry.
CHECKSUM_BYTES = 8
_TIMES = struct.Struct("<Bdd")
RAW, ZLIB, ZLIB_WITH_WORDS = b"\x00", b"\x01", b"\x02"

Row = tuple[Any, ...]


def get(connection: sqlite3.Connection, keys: Collection[bytes]) -> Iterator[Entry]:
    """Yield the checked answers of ``keys``, without texts and figures.

    Raises:
        DamagedEntryError: A row is not what was stored.
    """
    keys = list(keys)
    if len(keys) == 1:
        row = connection.execute(_GET, keys).fetchone()
        if row is None or row[0] != EMBEDDING:
            yield from [] if row is None else [_checked(keys[0], *row)]
            return
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        asked = _GET_MANY % ",".join("?" * len(some))
        connection.execute("BEGIN")  # or each vector would be a look at the file of its own
        try:
            rows = [
                (*row, _vector(connection, answer, size) if row[1] == EMBEDDING else answer)
                for *row, answer, size in connection.execute(asked, some)
            ]
        finally:
            if connection.in_transaction:  # a fault may have ended it
                connection.execute("COMMIT")
        for row in rows:
            yield _checked(*row)


def _vector(connection: sqlite3.Connection, number: Any, vector_bytes: Any) -> bytes | None:
    """Return one vector of a block; None, which no checksum fits, where it is not there.

    To read the whole block would take longer than all else.
    """
    if type(number) is not int or number < 0 or type(vector_bytes) is not int or vector_bytes < 0:
        return None
    block, place = divmod(number, BLOCK)
    try:
        with connection.blobopen("llmcache_vectors", "vectors", block, readonly=True) as blob:
            blob.seek(place * vector_bytes)
            return blob.read(vector_bytes)
    except (ValueError, OverflowError):
        return None


def entry_of(row: Row, request: object, *, mend: bool = False) -> Entry:
    """Return a row of ``READ`` as a whole entry.

    Args:
        row: The row.
        request: Its packed request text. One that is lost, which is no reason to lose the answer,
            comes out empty.
        mend: Leave a title and a prompt empty that are not what was stored.

    Raises:
        DamagedEntryError: The row is not what was stored.
    """
    key, kind, created_at, provider_s, digest, answer, title, prompt, request_id, *figures = row
    hit = _checked(key, kind, created_at, provider_s, digest, answer)
    texts = ("", "")
    fault = ""
    try:
        if digest[CHECKSUM_BYTES:] == texts_checksum(key, title, prompt, request_id):
            texts = unpack_text(prompt), unpack_text(title)
        else:
            fault = "the checksum of its texts is wrong"
    except (DamagedEntryError, TypeError, struct.error) as error:
        fault = str(error)
    if fault and not mend:
        raise DamagedEntryError(f"entry {key.hex()} is damaged: {fault}")
    size_bytes, hits, used_at = figures
    return hit._replace(
        request=request_of(request, request_id),
        prompt=texts[0],
        title=texts[1],
        size_bytes=int(number(size_bytes) or 0),
        hits=int(number(hits) or 0),
        used_at=time_of(used_at) or hit.created_at,
    )


def has_fit_figures(row: Row) -> bool:
    """Whether a whole row tells its own size, and hits and a time of use that can be."""
    answer, prompt, size_bytes, hits, used_at = row[5], row[7], *row[9:]
    said = prompt.encode() if isinstance(prompt, str) else prompt
    is_size = type(size_bytes) is int and size_bytes == len(answer) + len(said)
    return is_size and type(hits) is int and None not in (number(hits), time_of(used_at))


def packed_request(
    connection: sqlite3.Connection, row_id: object, texts: dict[object, object]
) -> object:
    """Return the packed request text of a row number, read once; None where it is lost."""
    if row_id not in texts:
        statement = "SELECT text FROM llmcache_requests WHERE id = ?"
        texts[row_id] = (connection.execute(statement, (row_id,)).fetchone() or (None,))[0]
    return texts[row_id]


@functools.lru_cache(maxsize=64)  # the same text stands in many entries
def request_of(packed: object, row_id: object) -> str:
    """Return a packed request text; empty where it is lost or not that of its number."""
    try:
        text = unpack_text(packed)
    except DamagedEntryError:
        return ""
    return text if request_number(text) == row_id else ""


def number(value: object) -> float | None:
    """Return ``value`` if it is a number that a person's entry could have."""
    return value if isinstance(value, int | float) and 0 <= value < _ENDLESS else None


def time_of(value: object) -> float | None:
    """Return ``value`` if it is a time that a person's entry could have, in seconds."""
    return value if isinstance(value, int | float) and 0 <= value < _LATEST_S else None


def kind_of(code: object) -> EntryKind:
    """Return the kind that a row names."""
    return KINDS[code] if isinstance(code, int) and 0 <= code < len(KINDS) else "answer"


def _checked(
    key: Any, kind: Any, created_at: Any, provider_s: Any, digest: Any, answer: Any
) -> Entry:
    try:
        if digest[:CHECKSUM_BYTES] != checksum(key, kind, created_at, provider_s, answer):
            fault = "its checksum is wrong"
        elif time_of(created_at) is None or time_of(provider_s or 0) is None:
            fault = "a time of it is not possible"
        else:
            unpacked = answer if kind == EMBEDDING else unpack_answer(answer)
            return Entry(key, unpacked, created_at, provider_s, KINDS[kind])
    except (TypeError, IndexError, struct.error, DamagedEntryError) as error:
        fault = str(error)
    name = key.hex() if isinstance(key, bytes) else repr(key)[: 2 * KEY_BYTES]
    raise DamagedEntryError(
        f"entry {name} is damaged: {fault}", "It is fetched anew when it is asked for"
    )


def count(connection: sqlite3.Connection) -> int:
    """Return the number of entries."""
    (entries,) = connection.execute("SELECT count(*) FROM llmcache_entries").fetchone()
    return int(entries)


# --- what lies in a row ---

#: They have no UTF-8.
_SURROGATES = "[\ud800-\udfff]"
#: Shorter texts stay readable in the file, and are searched faster than compressed ones.
PLAIN_TEXT_BYTES = 2048
#: Shorter answers that are not JSON shrink by less than the time to unpack them is worth.
PLAIN_ANSWER_BYTES = 1024
#: Longer answers gain nothing from the words below.
_WORDS_BYTES = 32 * 1024
#: How far back deflate looks in shorter ones (2 ** 14 bytes) and how much memory it takes: to make
#: zlib's own choice of these ready takes longer than to pack a short answer.
_SMALL = (14, 6)
#: How hard deflate tries: of zlib's own choice half the time, and a twentieth more bytes.
_LEVEL = 4


def pack_answer(answer: bytes) -> bytes:
    """Return ``answer`` as a row keeps it.

    Raises:
        StoreError: It is larger than any row may be.
    """
    _check_size(len(answer))
    if answer.startswith(b"{") and len(answer) < _WORDS_BYTES:
        deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, *_SMALL, zdict=WORDS)
        packed = ZLIB_WITH_WORDS + deflater.compress(answer) + deflater.flush()
    elif len(answer) >= PLAIN_ANSWER_BYTES:
        packed = ZLIB + zlib.compress(answer, _LEVEL)
    else:
        return RAW + answer
    return packed if len(packed) <= len(answer) else RAW + answer


def pack_text(text: str) -> str | bytes:
    """Return ``text`` as a row keeps it: as text while it is short, else compressed.

    Raises:
        StoreError: It is larger than any row may be.
    """
    is_short = len(text) <= PLAIN_TEXT_BYTES
    if is_short and (text.isascii() or not re.search(_SURROGATES, text)):
        return text
    data = text.encode("utf-8", "surrogatepass")
    _check_size(len(data))
    return zlib.compress(data, _LEVEL)


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_UNPACKED_BYTES:
        raise StoreError(
            f"an entry of {size_bytes} bytes is larger than the {MAX_UNPACKED_BYTES} that are kept"
        )


def unpack_answer(packed: bytes) -> bytes:
    """Return the answer of ``pack_answer``.

    Raises:
        DamagedEntryError: ``packed`` was not made by ``pack_answer``.
    """
    if packed[:1] == RAW:
        return packed[1:]
    if packed[:1] == ZLIB:
        return _inflate(memoryview(packed)[1:])
    if packed[:1] == ZLIB_WITH_WORDS:
        return _inflate(memoryview(packed)[1:], WORDS)
    raise DamagedEntryError("an answer is packed in an unknown way")


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


def _inflate(data: bytes | memoryview, words: bytes = b"") -> bytes:
    inflater = zlib.decompressobj(zdict=words)
    try:
        text = inflater.decompress(data, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise DamagedEntryError("a compressed value does not unpack") from error
    if not inflater.eof or inflater.unused_data:
        raise DamagedEntryError("a compressed value is cut, overlong or too large")
    return text


def checksum(
    key: bytes, kind: int, created_at: float, provider_s: float | None, answer: bytes
) -> bytes:
    """Return what shows that an answer is whole, under its own key, and as old as it says."""
    times = _TIMES.pack(kind, created_at, math.nan if provider_s is None else provider_s)
    digest = blake2b(key + times, digest_size=CHECKSUM_BYTES)
    digest.update(answer)
    return digest.digest()


def texts_checksum(key: bytes, title: str, prompt: str | bytes, request_id: int) -> bytes:
    """Return what shows that an entry's title, prompt and request are its own."""
    digest = blake2b(key + struct.pack("<q", request_id), digest_size=CHECKSUM_BYTES)
    for text in (title, prompt):
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        digest.update(struct.pack("<q", len(data)) + data)
    return digest.digest()


@functools.lru_cache(maxsize=64)  # the entries of a course have few of them
def request_number(request: str) -> int:
    """Return the row number of a request text, taken from its content: the same in every file."""
    digest = blake2b(request.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


#: The row number of the empty request text.
NO_REQUEST = request_number("")
