"""Durations, sizes and counts as typed."""

from __future__ import annotations

import pytest

from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.text import parse_count, parse_duration_s, parse_size_bytes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("10min", 600), ("1.5h", 5400), ("7d", 604800), ("2 W", 1209600)],
)
def test_durations(text, seconds):
    """A number and a unit make seconds."""
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("10b", 10), ("500kB", 500_000), ("1GB", 10**9), ("1.5 MB", 1_500_000), ("1GiB", 2**30)],
)
def test_sizes(text, size):
    """A number and a unit make bytes."""
    assert parse_size_bytes(text) == size


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("10_000", 10_000), ("1,000", 1000)])
def test_counts(text, count):
    """A whole number may have its thousands parted."""
    assert parse_count(text) == count


@pytest.mark.parametrize("parse", [parse_duration_s, parse_size_bytes, parse_count])
@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1 parsec", "0d", "0GB", "0", "x", "1e3s"])
def test_faults(parse, text):
    """Anything else is an error that repeats it and gives examples."""
    if parse is parse_count and text == "7":
        return
    with pytest.raises(LLMCacheError) as caught:
        parse(text)
    assert repr(text) in str(caught.value)
    assert "Write one such as" in str(caught.value)
