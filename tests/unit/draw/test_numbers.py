"""Times, sizes, counts and dates read well, and no foreign number raises."""

from __future__ import annotations

import math

import pytest

from jupyter_llmcache.text import (
    format_bytes,
    format_count,
    format_moment,
    format_seconds,
    token_counts,
)


def test_seconds_are_told_in_the_unit_that_fits() -> None:
    """A duration has two or three digits, in ms, s, min or h."""
    for seconds, text in [
        (0, "0 ms"),
        (0.0011, "1.1 ms"),
        (0.00999, "10 ms"),
        (0.829, "829 ms"),
        (0.9996, "1.0 s"),
        (3.2, "3.2 s"),
        (9.96, "10 s"),
        (59.7, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (11_400, "3 h 10 min"),
        (math.nan, "?"),
        (-1, "?"),
    ]:
        assert format_seconds(seconds) == text


def test_bytes_are_told_in_units_of_a_thousand() -> None:
    """A size has two or three digits, in bytes, kB, MB, GB or TB."""
    for size, text in [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (3400, "3.4 kB"),
        (99_950, "100 kB"),
        (999_999, "1.0 MB"),
        (1.2e9, "1.2 GB"),
        (5e15, "5,000 TB"),
        (math.inf, "?"),
    ]:
        assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(1204, "", "1,204"), (1, "entry", "1 entry"), (2, "entry", "2 entries"), (0, "key", "0 keys")],
)
def test_counts_agree_with_their_nouns(count: int, noun: str, text: str) -> None:
    """One is singular, everything else plural, thousands are apart."""
    assert format_count(count, noun) == text


@pytest.mark.parametrize("moment", [None, math.nan, 1e300, -1e300])
def test_no_date_is_made_of_what_is_none(moment: float | None) -> None:
    """A time that no calendar has gives an empty text."""
    assert format_moment(moment) == ""


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"input_tokens": 11, "output_tokens": 13, "total_tokens": 24}, (11, 13, 24)),
        ({"input_tokens": 11, "output_tokens": 13}, (11, 13, 24)),
        ({"total_tokens": 24}, (0, 0, 24)),
        ({"total_tokens": "24", "input_tokens": -1, "output_tokens": True}, None),
        ({}, None),
        (None, None),
    ],
)
def test_tokens_are_counted_where_they_are_told(usage: dict | None, counts: tuple | None) -> None:
    """Only whole numbers that are not negative count as tokens."""
    assert token_counts(usage) == counts
