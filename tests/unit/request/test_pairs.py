"""The tables of pairs, at the level of keys.

The pairs of further providers are asked over HTTP alone, in ``integration/test_key_http.py``.
"""

import pytest

from tests.unit.request.describing import described
from tests.unit.request.pairs import AGREE, AT_HAND, DIFFER, possible

pytestmark = pytest.mark.filterwarnings("ignore")  # what the providers' classes say of odd fields


def test_requests_that_may_be_answered_differently_have_different_keys():
    """What reaches the provider counts."""
    for pair in possible(DIFFER, AT_HAND):
        one, other = described(pair.one), described(pair.other)
        assert one.key != other.key, pair.name
        assert (one.description, one.prompt) != (other.description, other.prompt), pair.name


def test_requests_that_say_the_same_have_the_same_key():
    """What does not reach the provider, or cannot change its answer, does not count."""
    for pair in possible(AGREE, AT_HAND):
        one, other = described(pair.one), described(pair.other)
        assert one.description == other.description, pair.name
        assert one.key == other.key, pair.name


def test_the_tables_are_as_long_as_promised():
    """At least 40 pairs differ and 30 agree, each under a name of its own."""
    assert len(DIFFER) >= 40
    assert len(AGREE) >= 30
    for table in (DIFFER, AGREE):
        assert len({pair.name for pair in table}) == len(table)
