"""How texts and answers lie in a row: compressed where it pays, answers with a checksum."""

from __future__ import annotations

import math
import struct
import zlib
from hashlib import blake2b

from ..errors import DamagedEntryError, StoreError

#: Shorter texts stay readable in the file, and are searched faster than compressed ones.
PLAIN_TEXT_BYTES = 2048
#: Shorter answers that are not JSON shrink by less than the time to unpack them is worth.
PLAIN_ANSWER_BYTES = 1024
#: Longer answers gain nothing from the words below: it is how far back deflate looks.
_WORDS_BYTES = 32 * 1024
#: What many answers say around their text, so that a short one shrinks to little more than that,
#: and faster than without. The likeliest stands last. Never change it: files are read by it.
_WORDS = (
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
_RAW, _ZLIB, _ZLIB_WITH_WORDS = b"\x00", b"\x01", b"\x02"


def pack_answer(answer: bytes) -> bytes:
    """Return ``answer`` as a row keeps it.

    Raises:
        StoreError: It is larger than any row may be.
    """
    _check_size(len(answer))
    if answer.startswith(b"{") and len(answer) < _WORDS_BYTES:
        deflater = zlib.compressobj(zdict=_WORDS)
        packed = _ZLIB_WITH_WORDS + deflater.compress(answer) + deflater.flush()
    elif len(answer) >= PLAIN_ANSWER_BYTES:
        packed = _ZLIB + zlib.compress(answer)
    else:
        return _RAW + answer
    return packed if len(packed) <= len(answer) else _RAW + answer


def unpack_answer(packed: bytes) -> bytes:
    """Return the answer of ``pack_answer``.

    Raises:
        DamagedEntryError: ``packed`` was not made by ``pack_answer``.
    """
    if packed[:1] == _RAW:
        return packed[1:]
    if packed[:1] == _ZLIB:
        return _inflate(memoryview(packed)[1:])
    if packed[:1] == _ZLIB_WITH_WORDS:
        return _inflate(memoryview(packed)[1:], _WORDS)
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


def request_number(request: str) -> int:
    """Return the row number of a request text, taken from its content: the same in every file."""
    digest = blake2b(request.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _inflate(data: bytes | memoryview, words: bytes = b"") -> bytes:
    inflater = zlib.decompressobj(zdict=words)
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
