"""Canonical JSON: one text for one value, whatever process, platform or dict order it came from.

Integral floats become integers, dict keys strings in sorted order, tuples lists, sets sorted lists,
enumerations their values. Under a key ``properties`` a dict keeps its order, because the order of a
schema's properties steers the answer. What JSON cannot say (bytes, NaN) becomes a tagged object
that no plain value can equal.

What may be a secret is shown as a digest, and so still counts: nothing is left out because its name
sounds like a secret. A text that people read (a tool's description, a schema) keeps all of itself
but what looks like one.
"""

from __future__ import annotations

import hashlib
import json
import math
import numbers
import re
import threading
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from json.encoder import encode_basestring
from operator import itemgetter
from pathlib import Path, PurePath
from types import EllipsisType
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from .. import modes
from ..provider_row import CREDENTIAL_HEADERS, IDLE_HEADERS

#: Begins the only key of an object that stands for something JSON cannot say.
TAG = "llmcache:"
BYTES_TAG = TAG + "bytes"

#: Longer strings, in characters, enter the key as a digest, which is faster than escaping them.
LONG_CHARS = 1000

#: Digests of texts up to this many characters are remembered.
_REMEMBERED_CHARS = 250_000

#: How much of a file is read at a place, and at how many places.
_PIECE_BYTES, _MAX_PIECES = 16_384, 64

#: How many digests are remembered.
_MAX_REMEMBERED = 64

_remembered: dict[tuple[int, str, str], tuple[str, str]] = {}

#: Names whose value may be a secret.
_SUSPECT_NAMES = (
    r"(?i)passw(?:or)?d|passphrase|pass(?:code)?$|pwd$|secret|token\d*$|token_|api_?key|(?:^|_)key$"
    r"|private|auth(?!or(?:s|_|$))|credential|cookie|signature|session|bearer"
    r"|(?:^|_)(?:sig|pat|pin|code|sas)$"
)

#: What a schema says of a value by example; under the name of a secret it may be one.
EXAMPLES = frozenset({"const", "default", "enum", "example", "examples"})

#: User and password, or the value of a query, in an address; a token by its beginning; a value that
#: is said to be a secret.
_SECRETS_IN_TEXT = (
    r"(?P<user>(?<=://)[^\s/?#@\"'<>]+(?=@))"
    r"|(?<=[?&])(?P<name>[\w.\-\[\]]+)=(?P<value>[^&#\s\"'<>]+)"
    r"|(?P<said>(?<=Bearer )|(?<=Basic ))(?P<rest>[\w.~+/=-]{8,})"
    r"|(?P<token>\b(?:sk-|hf_|gh[opsur]_|github_pat_|glpat-|gsk_|xai-|AIza|eyJ|AKIA|ASIA|nvapi-|"
    r"pplx-|r8_|lsv2_|ya29\.|tvly-|fw_|xox[abprs]-|SG\.)[\w.~+/=-]{8,})"
    r"|(?P<label>\b(?i:password|passwd|pwd|secret|api[_-]?key|token)\s*[=:]\s*)(?P<word>[^\s,;\"']+)"
    r"|(?P<long>\b(?=[\w+/=]*\d)(?=[\w+/=]*[A-Za-z])[A-Za-z0-9+/=_]{20,})"
    r"|(?P<path>(?<=/)(?:[A-Za-z0-9]{20,}|(?=[\w.~-]*\d)[\w.~-]{20,})(?=/|\s|$|[\"'?#]))"
)

#: A few plain words, a number, a date or a version: no secret has this form.
_HARMLESS = r"[A-Za-z]{1,20}(?:[ _.,:/-][A-Za-z]{1,20}){0,3}|[\d.:+-]{1,12}(?:preview)?|"

#: Writes JSON as ``dump`` does, but for half surrogate pairs.
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


class IndescribableError(Exception):
    """A value that has no canonical form; the message says what it is in a few words."""


def dump(value: Any) -> str:
    """Return canonical JSON of a value made by ``Canon``; always encodable as UTF-8."""
    text = encode_basestring(value) if type(value) is str else encode(value)
    # Half surrogate pairs have no UTF-8, and are written as JSON escapes them.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def digest(data: bytes) -> str:
    """Return the 32 hexadecimal digits that stand for ``data`` in a description."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def text_digest(text: str) -> str:
    """Return the 32 hexadecimal digits that stand for ``text``."""
    return digest(text.encode("utf-8", "surrogatepass"))


#: So much of a long text is encoded at a time: for all of it at once the system has to find new
#: memory each time, which takes half as long as the digest.
_PIECE_CHARS = 1 << 15


def long_digest(text: str) -> str:
    """Return the hexadecimal digits that stand for a long text."""
    if len(text) > _REMEMBERED_CHARS:
        return _digest(text)
    # The turns of a chat repeat the same long texts. To compare two texts is far quicker than to
    # hash one, so that a text is found by its length and ends and then compared.
    place = (len(text), text[:32], text[-32:])
    known = _remembered.get(place)
    if known is not None and known[0] == text:
        return known[1]
    if len(_remembered) >= _MAX_REMEMBERED:
        _remembered.clear()
    found = _digest(text)
    _remembered[place] = (text, found)
    return found


def _digest(text: str) -> str:
    """SHA-256 is quickest, for processors compute it."""
    found = hashlib.sha256()
    for start in range(0, len(text), _PIECE_CHARS):
        found.update(text[start : start + _PIECE_CHARS].encode("utf-8", "surrogatepass"))
    return found.hexdigest()


class Canon:
    """Turns values into plain JSON values in canonical order.

    Subclasses add rules of their own by overriding ``text``, ``other`` and ``member``.
    """

    def plain(self, value: Any) -> Any:
        """Return the canonical form of ``value``.

        Raises:
            IndescribableError: ``value``, or something in it, has none.
        """
        kind = type(value)
        if kind is int or kind is bool or value is None:
            return value
        if kind is str:
            return self.text(value)
        if kind is dict:
            return self.from_dict(value)
        if kind is list or kind is tuple:
            return [self.plain(item) for item in value]
        if kind is float:
            return _number(value)
        return self._less_common(value)

    def text(self, value: str) -> Any:
        """Return the canonical form of a text."""
        return value

    def from_dict(self, value: Mapping[Any, Any]) -> Any:
        """Return ``value`` with keys as strings in sorted order."""
        return {name: self.member(name, item) for name, item in sorted_items(value)}

    def member(self, name: str, item: Any) -> Any:
        """Return the canonical form of the entry ``name`` of a dict."""
        if name == "properties" and isinstance(item, Mapping):
            return {name: self.property(name, schema) for name, schema in _named_items(item)}
        return self.plain(item)

    def property(self, name: str, schema: Any) -> Any:  # noqa: ARG002  # for a subclass
        """Return the canonical form of a schema's property."""
        return self.plain(schema)

    def _less_common(self, value: Any) -> Any:
        for kind, convert in _CONVERSIONS:
            if isinstance(value, kind):
                return convert(self, value)
        return self.other(value)

    def other(self, value: Any) -> Any:
        """Return the canonical form of a value of no common type."""
        raise IndescribableError(f"an object of class {type(value).__name__}")


def sorted_items(value: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    """Return the items of ``value`` with their keys as JSON writes them, sorted."""
    return sorted(_named_items(value), key=itemgetter(0))


def _named_items(value: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    items = [(_key(key), item) for key, item in value.items()]
    if len({name for name, _ in items}) < len(items):
        raise IndescribableError("two keys that JSON writes alike")
    return items


def _key(key: Any) -> str:
    if isinstance(key, str):
        name = key.value if isinstance(key, Enum) else key
        return TAG + name if name.startswith(TAG) else name
    if key is None or isinstance(key, (bool, int, float)):
        return dump(Canon().plain(key))
    if isinstance(key, Enum):
        return _key(key.value)
    raise IndescribableError(f"a key of class {type(key).__name__}")


def _number(value: float) -> Any:
    if not math.isfinite(value):
        return {TAG + "number": repr(float(value))}
    return int(value) if value.is_integer() else float(value)


def _real(value: Any) -> Any:
    if math.isfinite(value) and float(value) != value:
        raise IndescribableError(f"an object of class {type(value).__name__}")
    return _number(float(value))


_CONVERSIONS: tuple[tuple[Any, Callable[[Canon, Any], Any]], ...] = (
    (Enum, lambda canon, value: canon.plain(value.value)),
    (str, lambda canon, value: canon.text(str.__str__(value))),
    (Mapping, lambda canon, value: canon.from_dict(value)),
    ((list, tuple), lambda canon, value: [canon.plain(item) for item in value]),
    (AbstractSet, lambda canon, value: sorted(map(canon.plain, value), key=dump)),
    ((bytes, bytearray, memoryview), lambda _, value: {BYTES_TAG: digest(bytes(value))}),
    ((date, time), lambda _, value: value.isoformat()),
    (PurePath, lambda canon, value: canon.text(value.as_posix())),
    ((UUID, Decimal), lambda _, value: str(value)),
    # What code reads of these is what they hold here and now.
    (ContextVar, lambda canon, value: canon.plain(value.get(None))),
    (threading.local, lambda canon, value: canon.from_dict(vars(value))),
    (threading.Event, lambda _, value: value.is_set()),
    (timedelta, lambda _, value: {TAG + "seconds": _number(value.total_seconds())}),
    (re.Pattern, lambda canon, value: [canon.plain(value.pattern), value.flags]),
    (numbers.Integral, lambda _, value: int(value)),
    (numbers.Real, lambda _, value: _real(value)),
    (EllipsisType, lambda _, value: {TAG + "constant": repr(value)}),
)


#: What is being read now: models, functions, objects.
_inside: ContextVar[frozenset[int]] = ContextVar("llmcache_inside", default=frozenset())


def reading(value: Any) -> AbstractContextManager[None]:
    """Know within the block that ``value`` is being read: what it holds may hold it again."""
    return modes.setting(_inside, _inside.get() | {id(value)})


def is_inside(value: Any) -> bool:
    """Whether ``value`` is being read."""
    return id(value) in _inside.get()


def files_told(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands for the files that fields called ``..._path`` name, as weights on a disk.

    A file of many gigabytes counts by its size and by pieces from all over it.
    """
    paths = {n: v for n, v in values.items() if n.endswith("_path") and isinstance(v, (str, Path))}
    return {name: _file_digest(path) for name, path in paths.items() if Path(path).is_file()}


def _file_digest(path: str | Path) -> str:
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        pieces = [b"%d" % size]
        for place in range(0, size, max(_PIECE_BYTES, size // _MAX_PIECES)):
            file.seek(place)
            pieces.append(file.read(_PIECE_BYTES))
    return digest(b"".join(pieces))


# --- what may be a secret ---


@lru_cache(maxsize=4096)
def sounds_secret(name: str) -> bool:
    """Whether what stands under ``name`` may be a secret."""
    return re.search(_SUSPECT_NAMES, name.replace("-", "_")) is not None


def hidden(text: str) -> dict[str, str]:
    """Return what stands for a text that is not shown."""
    return {TAG + "digest": text_digest(text)}


def is_secret(value: Any) -> bool:
    """Whether ``value`` is one of pydantic's, or of its like, that hide what they hold."""
    return hasattr(type(value), "get_secret_value")  # a mock has any attribute


def careful(text: str) -> Any:
    """Return a text of unknown meaning if it is harmless, else what stands for it."""
    return text if re.fullmatch(_HARMLESS, text) else hidden(text)


def scrubbed(text: str) -> str:
    """Return a text for people with the secrets in it replaced by digests."""
    return re.sub(_SECRETS_IN_TEXT, _scrub, text) if len(text) >= 8 else text


def _scrub(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"]
    if name is not None:
        shows = not sounds_secret(name) and re.fullmatch(_HARMLESS, value)
        return match[0] if shows else f"{name}={_inline(value)}"
    if match["word"] is not None:
        return f"{match['label']}{_inline(match['word'])}"
    return _inline(match[0])


def _inline(secret: str) -> str:
    return f"[{TAG}{text_digest(secret)}]"


def headers_shown(headers: Mapping[Any, Any], credentials: frozenset[str]) -> dict[str, Any]:
    """Return headers that count, by lower-case names, their values as digests.

    Args:
        headers: As a client has them.
        credentials: Names, in lower case, of those that a provider takes as credentials.
    """
    named = {header_name(name): _text(value) for name, value in headers.items()}
    left_out = CREDENTIAL_HEADERS | credentials | IDLE_HEADERS.keys()
    return {
        name: text_digest(named[name])
        for name in sorted(named)
        if name not in left_out and not name.startswith("x-stainless-")
    }


def header_name(name: Any) -> str:
    """Return the name of a header as it is compared."""
    return _text(name).lower()


def query_shown(query: Mapping[Any, Any]) -> dict[str, str]:
    """Return the parameters of a query with values as digests, but for versions."""
    return {
        name: _text(value) if name.endswith("version") else text_digest(_text(value))
        for name, value in sorted_items(query)
    }


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


@lru_cache(maxsize=256)
def address_shown(url: str) -> str:
    """Return an address in one spelling, without user and password, other secrets as digests."""
    try:
        parts = urlsplit(url.strip() if "://" in url else f"//{url.strip()}")
        port = parts.port
    except ValueError:
        return text_digest(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    scheme = parts.scheme.lower()
    if port is not None and port != {"http": 80, "https": 443}.get(scheme):
        host = f"{host}:{port}"
    query = query_shown(dict(parse_qsl(parts.query, keep_blank_values=True)))
    suffix = "&".join(f"{name}={value}" for name, value in query.items())
    path = scrubbed(parts.path.rstrip("/"))
    return f"{scheme}://{host}{path}{'?' if suffix else ''}{suffix}"
