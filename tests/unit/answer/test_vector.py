"""Vectors as bytes: exact, and as small as that allows."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llmcache.answer.vector import decode, encode
from jupyter_llmcache.errors import DamagedEntryError

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SINGLES = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(st.lists(FLOATS | SINGLES | st.integers(-(2**60), 2**60), min_size=1))
def test_every_vector_comes_back_bit_by_bit(vector):
    """What is decoded is what was encoded: value, sign of zero and type of every number."""
    packed = encode(vector)
    assert packed is not None
    assert list(map(repr, decode(packed))) == list(map(repr, vector))


@given(st.lists(SINGLES, min_size=1))
def test_float32_takes_four_bytes_a_number(vector):
    """Numbers that float32 holds exactly, as base64 brings them, take four bytes each."""
    assert len(encode(vector)) == 4 * len(vector) + 1


def test_what_is_no_list_of_finite_numbers_is_not_kept():
    """Anything else than a list of finite numbers is refused."""
    for vector in [
        [],
        [math.nan],
        [math.inf],
        ["1"],
        [True],
        [[1.0]],
        (1.0,),
        array("f", [1.0]),
        None,
    ]:
        assert encode(vector) is None


@pytest.mark.parametrize("packed", [b"", b"x123", b"f123", b"d1234567", b"j[1", b"j\xff"])
def test_damaged_bytes_are_told(packed):
    """Bytes that hold no vector raise, whatever is wrong with them."""
    with pytest.raises(DamagedEntryError):
        decode(packed)
