"""The line under an answer, and the line under an ordinary cell."""

from __future__ import annotations

from jupyter_llmcache.commands.answer import CellSummary
from tests.unit.draw.reading import answer, drawn_line, hit, miss


def line_of(value) -> str:
    return value.line


def test_a_hit_tells_what_it_saved() -> None:
    """A remembered answer tells time, saved time, tokens, model and date."""
    assert line_of(answer(hit())) == (
        "cached · 1.1 ms · saved 828 ms · 24 tokens not billed again · openai:gpt-x"
        " · recorded 2026-11-03"
    )


def test_a_miss_tells_what_it_took() -> None:
    """A paid answer tells time, tokens in and out, model and where it is kept."""
    assert line_of(answer(miss())) == (
        "fresh · 829 ms · 11 + 13 tokens · openai:gpt-x · stored in .langchain.db"
    )


def test_money_is_told_where_a_price_is_known() -> None:
    """With genai-prices a fresh answer tells what it cost, a remembered one what that saved."""
    fresh, cached = miss(model="openai:gpt-4o"), hit(model="openai:gpt-4o")
    assert " · 11 + 13 tokens ($0.000" in line_of(answer(fresh))
    assert " · 24 tokens ($0.000" in line_of(answer(cached))
    assert ") not billed again · " in line_of(answer(cached))
    assert "$" not in line_of(answer(fresh, stable=True))


def test_what_is_not_known_is_left_out() -> None:
    """Without usage, recorded time and date, the line is short."""
    bare = hit(saved_s=None, usage=None, recorded_at=None)
    assert line_of(answer(bare, saved_s=None)) == "cached · 1.1 ms · openai:gpt-x"


def test_a_stable_annotation_is_the_same_fresh_and_cached() -> None:
    """With --stable the line, and its whole drawing, tells model and tokens only."""
    fresh, cached = (drawn_line(answer(c, stable=True)) for c in (miss(), hit()))
    assert fresh == cached
    assert fresh["text/plain"] == "openai:gpt-x · 11 + 13 tokens"


def test_reasons_notes_and_warnings_are_told() -> None:
    """Why an answer is not cacheable or not stored, what was cut, what failed in the cache."""
    lines = [
        line_of(answer(call))
        for call in (
            miss(key=None, stored=False, reason="a tool without a schema"),
            miss(kind="bypass", stored=False, reason="--no-cache"),
            miss(stored=False, reason="the answer is empty"),
            miss(note="cut at max_tokens", canned=True),
            miss(warning="a.db is locked"),
        )
    ]
    ends = [
        "not cached: a tool without a schema",
        "not cached: --no-cache",
        "not stored: the answer is empty",
        "canned · stored in .langchain.db · cut at max_tokens",
        "warning: a.db is locked",
    ]
    assert all(line.endswith(f" · {end}") for line, end in zip(lines, ends, strict=True)), lines


def test_a_chain_sums_its_calls_up() -> None:
    """Of several calls the line tells how many were cached, and both kinds of tokens."""
    assert line_of(answer(hit(), miss(), miss(), model="chain")) == (
        "fresh · 3 calls · 1 of them cached · 1.7 s · saved 828 ms · 24 tokens not billed again"
        " · 22 + 26 tokens · chain · stored in .langchain.db"
    )
    both = line_of(answer(hit(), hit(recorded_at=1_793_900_000.0), model="chain"))
    assert both.startswith("cached · 2 calls · 2.2 ms · saved 1.7 s · 48 tokens")
    assert both.endswith("recorded 2026-11-03 to 2026-11-05")


def test_a_chain_without_a_model_says_so() -> None:
    """A runnable that called no model was not answered by the cache."""
    assert line_of(answer()) == "fresh · no model call · 0 ms · chain"


def test_many_reasons_are_counted() -> None:
    """Two different reasons are told, the others counted."""
    calls = [miss(stored=False, reason=f"reason {number}") for number in range(5)]
    assert line_of(answer(*calls)).endswith("not stored: reason 1 · and 3 more")


def test_the_details_tell_where_and_when() -> None:
    """Behind the line stand key, store, times, tokens and how to see the request."""
    html = drawn_line(answer(hit()))["text/html"]
    for part in (
        "ab" * 16,
        "a.db",
        "828 ms when recorded",
        "11 in, 13 out",
        "%llm_cache show abab",
    ):
        assert part in html
    assert "<details>" in html
    assert "script" not in html


def test_a_cell_is_summed_up_in_one_line() -> None:
    """Under an ordinary cell stand the counts, the time and what was saved."""
    calls = [hit(wall_s=0.1, saved_s=3), hit(wall_s=0.1, saved_s=3.1), miss(wall_s=1)]
    summary = CellSummary(calls)
    assert str(summary) == "3 LLM calls · 2 cached · 1 fresh · 1.2 s · saved 6.1 s"


def test_a_cell_with_failures_counts_them() -> None:
    """Failed calls and calls past the cache are counted, with their reasons."""
    calls = [
        miss(kind="error", stored=False, reason="no credit"),
        miss(kind="bypass", stored=False),
    ]
    assert str(CellSummary(calls)) == (
        "2 LLM calls · 1 not cached · 1 failed · 1.7 s · failed: no credit"
        " · not cached: the cache was not asked"
    )


def test_a_stable_summary_is_the_same_fresh_and_cached() -> None:
    """With --stable the line under a cell tells how many calls, models and tokens only."""
    lines = {str(CellSummary([call], stable=True)) for call in (miss(), hit())}
    assert lines == {"1 LLM call · openai:gpt-x · 11 + 13 tokens"}
