"""One embedding as bytes: exact, and as small as that allows."""

from __future__ import annotations

import json
import math
import sys
from array import array
from typing import Any

from ..errors import DamagedEntryError

#: The first byte says what follows: float32, float64, or JSON for what is not only floats.
_FLOAT32, _FLOAT64, _JSON = b"f", b"d", b"j"
_CODES = {_FLOAT32: "f", _FLOAT64: "d"}


def encode(vector: Any) -> bytes | None:
    """Return ``vector`` in its smallest exact form; None where it is no list of finite numbers."""
    if type(vector) is not list or not vector:
        return None
    kinds = set(map(type, vector))
    if not kinds <= {int, float} or not all(map(math.isfinite, vector)):
        return None
    if kinds != {float}:
        return _JSON + json.dumps(vector, separators=(",", ":")).encode()
    single = array("f", vector)
    if single.tolist() == vector:
        return _FLOAT32 + _swapped(single).tobytes()
    return _FLOAT64 + _swapped(array("d", vector)).tobytes()


def decode(packed: bytes) -> list[float]:
    """Return the vector in ``packed``.

    Raises:
        DamagedEntryError: There is none.
    """
    form, body = packed[:1], memoryview(packed)[1:]
    try:
        if form == _JSON:
            vector: list[float] = json.loads(bytes(body))
            return vector
        numbers: array[float] = array(_CODES[form])
        numbers.frombytes(body)
        return _swapped(numbers).tolist()
    except (ValueError, KeyError, RecursionError) as error:
        raise DamagedEntryError("an embedding is not a vector") from error


def _swapped(numbers: array[float]) -> array[float]:
    """Return ``numbers`` in the order of bytes that files have, and back."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers
