"""Why a text that was meant to be the same is another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llmcache.request.compare import text_difference
from jupyter_llmcache.request.likeness import likely_cause

PASSAGE = (
    "The mitochondrion is the power house of the cell, and so on, for a whole paragraph of it."
)
OTHER_PASSAGE = PASSAGE.replace("mitochondrion", "ribosome").replace("power house", "workshop")

CAUSES = {
    (
        "Run 2f1e4c80-9a4b-4f65-8a0b-0f5f1f0a0b0c",
        "Run 8a0b0f5f-1f0a-4b0c-9a4b-2f1e4c809a4b",
    ): "a uuid",
    ("It is 2026-11-25 now", "It is 2026-11-26 now"): "a date or time",
    ("at 2026-11-25T10:11:12.5+01:00", "at 2026-11-26T09:00:00.25Z"): "a date or time",
    ("Today is Monday, 3 March 2026.", "Today is Tuesday, 4 March 2026."): "a date or time",
    ("Today is November 5, 2026", "Today is November 26, 2026"): "a date or time",
    ("at 9:05 PM", "at 11:47 AM"): "a date or time",
    ("epoch 1764150000.25", "epoch 1764159999.5"): "a date or time",
    ("See /tmp/tmpab12/x.csv", "See /tmp/tmpzz98/x.csv"): "a temporary path",
    ("<Doc at 0x7f19a8631850>", "<Doc at 0x7f19a20fe660>"): "a memory address",
    ("id chatcmpl-9f8e7d6c5b4a39281706", "id chatcmpl-0a1b2c3d4e5f60718293"): "a random id",
    ("draw 0.5326778009212384", "draw 0.0079848509"): "a random number",
    ("bucket -3790157486812375231", "bucket 8921237579015748681"): "a random number",
    ("use a, b, c", "use c, a, b"): "the order of a set, which changes from run to run",
    (
        "{'source': 'a.txt', 'page': 3} x",
        "{'page': 3, 'source': 'a.txt'} x",
    ): "the order of metadata, as a vector store returns it",
    (
        f"Answer by these:\n\n{PASSAGE}\n\nQuestion: why?",
        f"Answer by these:\n\n{OTHER_PASSAGE}\n\nQuestion: why?",
    ): "other passages were retrieved",
    (
        "Run 2f1e4c80-9a4b-4f65-8a0b-0f5f1f0a0b0c on 2026-11-25",
        "Run 8a0b0f5f-1f0a-4b0c-9a4b-2f1e4c809a4b on 2026-11-26",
    ): "a uuid and a date or time",
}


def test_what_changes_from_run_to_run_is_named():
    """Two texts that differ in what a run writes anew are told with that."""
    for texts, cause in CAUSES.items():
        one, other = texts
        assert likely_cause(one, other) == likely_cause(other, one) == cause
        difference = text_difference("message 1 (human) text", one, other)
        assert str(difference).endswith(f"(probably {cause})")
        assert difference.short == f"message 1 (human) text differs: {cause}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Why is the sky blue?", "Why is the sea blue?"),
        ("hi", "Hi"),
        ("On 2026-11-25 tell a joke", "On 2026-11-26 tell a story"),
        ("add 3 and 4", "add 3 and 5"),
        ("chapter 12", "chapter 13"),
        ("Be brief.\n\nWhy?", "Be brief.\n\nHow?"),
        ("", "x"),
    ],
)
def test_what_a_person_changed_has_no_cause(one, other):
    """A text that somebody wrote anew is not put down to chance."""
    assert likely_cause(one, other) is None


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_two_texts_can_be_judged(one, other):
    """No text raises, and equal ones have no cause."""
    assert isinstance(likely_cause(one, other), str | None)
    assert likely_cause(one, one) is None
