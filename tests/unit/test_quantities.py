"""Durations, sizes and counts as typed."""

from __future__ import annotations

import pytest

from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.text import parse_count, parse_duration_s, parse_size_bytes


def test_durations():
    """A number and a unit make seconds."""
    for text, seconds in [
        ("30s", 30),
        ("5m", 300),
        ("10min", 600),
        ("1.5h", 5400),
        ("7d", 604800),
        ("2 W", 1209600),
    ]:
        assert parse_duration_s(text) == seconds


def test_sizes():
    """A number and a unit make bytes."""
    for text, size in [
        ("10b", 10),
        ("500kB", 500_000),
        ("1GB", 10**9),
        ("1.5 MB", 1_500_000),
        ("1GiB", 2**30),
    ]:
        assert parse_size_bytes(text) == size


def test_counts():
    """A whole number may have its thousands parted."""
    for text, count in [("1", 1), ("10_000", 10_000), ("1,000", 1000)]:
        assert parse_count(text) == count


@pytest.mark.parametrize("parse", [parse_duration_s, parse_size_bytes, parse_count])
def test_faults(parse):
    """Anything else is an error that repeats it and gives examples."""
    for text in ["", "d", "-1d", "1 parsec", "0d", "0GB", "0", "x", "1e3s"]:
        with pytest.raises(LLMCacheError) as caught:
            parse(text)
        assert repr(text) in str(caught.value)
        assert "Write one such as" in str(caught.value)


@pytest.mark.parametrize("parse", [parse_duration_s, parse_size_bytes])
def test_a_unit_is_needed(parse):
    """A number alone is no duration and no size."""
    with pytest.raises(LLMCacheError, match="'7' is not a "):
        parse("7")
