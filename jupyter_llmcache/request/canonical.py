"""Canonical JSON: one text for one value, whatever process, platform or dict order it came from.

Integral floats become integers, dict keys strings in sorted order, tuples lists, sets sorted lists,
enumerations their values. Under a key ``properties`` a dict keeps its order, because the order of a
schema's properties steers the answer. What JSON cannot say (bytes, NaN) becomes a tagged object
that no plain value can equal.
"""

from __future__ import annotations

import hashlib
import json
import math
import numbers
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring
from pathlib import PurePath
from typing import Any
from uuid import UUID

#: Begins the only key of an object that stands for something JSON cannot say.
TAG = "llmcache:"
BYTES_TAG = TAG + "bytes"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


class IndescribableError(Exception):
    """A value that has no canonical form; the message says what it is in a few words."""


def dump(value: Any) -> str:
    """Return canonical JSON of a value made by ``Canon``; always encodable as UTF-8."""
    text = _encode(value)
    return text if text.isascii() else _escape_surrogates(text)


def dump_text(text: str) -> str:
    """Return the same as ``dump`` of a text, without asking what it is."""
    quoted = encode_basestring(text)
    return quoted if quoted.isascii() else _escape_surrogates(quoted)


def _escape_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def digest(data: bytes) -> str:
    """Return the 32 hexadecimal digits that stand for ``data`` in a description."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def text_digest(text: str) -> str:
    """Return the 32 hexadecimal digits that stand for ``text``."""
    return digest(text.encode("utf-8", "surrogatepass"))


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
    return sorted(_named_items(value), key=_first)


def _first(item: tuple[str, Any]) -> str:
    return item[0]


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


def _sorted_set(canon: Canon, value: AbstractSet[Any]) -> list[Any]:
    return sorted((canon.plain(item) for item in value), key=dump)


_CONVERSIONS: tuple[tuple[Any, Callable[[Canon, Any], Any]], ...] = (
    (Enum, lambda canon, value: canon.plain(value.value)),
    (str, lambda canon, value: canon.text(str.__str__(value))),
    (Mapping, lambda canon, value: canon.from_dict(value)),
    ((list, tuple), lambda canon, value: [canon.plain(item) for item in value]),
    (AbstractSet, _sorted_set),
    ((bytes, bytearray, memoryview), lambda _, value: {BYTES_TAG: digest(bytes(value))}),
    ((date, time), lambda _, value: value.isoformat()),
    (PurePath, lambda canon, value: canon.text(value.as_posix())),
    ((UUID, Decimal), lambda _, value: str(value)),
    (timedelta, lambda _, value: {TAG + "seconds": _number(value.total_seconds())}),
    (re.Pattern, lambda canon, value: [canon.plain(value.pattern), value.flags]),
    (numbers.Integral, lambda _, value: int(value)),
    (numbers.Real, lambda _, value: _real(value)),
)
