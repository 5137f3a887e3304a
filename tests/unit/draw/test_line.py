"""The line under an answer, and the line under an ordinary cell."""

from __future__ import annotations

from decimal import Decimal

import pytest

from jupyter_llmcache.draw.line import MAX_CELL_CHARS, MAX_CHARS, cell_line
from jupyter_llmcache.ledger import Call
from jupyter_llmcache.text import format_usd
from tests.unit.draw.reading import answer, drawn_line, hit, miss, read


def test_a_hit_tells_what_it_saved() -> None:
    """A remembered answer tells time, saved time, tokens and model."""
    line = "cached · 1.1 ms · saved 828 ms · 24 tokens · openai:gpt-x"
    assert answer(hit()).line == line


def test_a_miss_tells_what_it_took() -> None:
    """A paid answer tells time, tokens in and out, money where a price is known, and model."""
    assert answer(miss()).line == "fresh · 829 ms · 11 + 13 tokens · openai:gpt-x"
    priced = {"model": "openai:gpt-4o-mini", "usage": {"input_tokens": 500, "output_tokens": 500}}
    line = "fresh · 829 ms · 500 + 500 tokens · $0.0004 · openai:gpt-4o-mini"
    assert answer(miss(**priced)).line == line
    assert "$" not in answer(hit(**priced)).line


@pytest.mark.parametrize(
    ("amount", "text"),
    [("12.3", "$12.30"), ("0.00036", "$0.0004"), ("0.0000058", "< $0.0001"), ("0", "$0.00")],
)
def test_money_is_told_one_way(amount: str, text: str) -> None:
    """In dollars, with as many digits as say something."""
    assert format_usd(Decimal(amount)) == text


def test_what_is_not_known_is_left_out() -> None:
    """Without usage and recorded time the line is short."""
    bare = hit(saved_s=None, usage=None, recorded_at=None)
    assert answer(bare, saved_s=None).line == "cached · 1.1 ms · openai:gpt-x"


def test_a_stable_line_is_the_same_fresh_and_cached() -> None:
    """With --stable the line, and its whole drawing, tells model and tokens only."""
    fresh, cached = (drawn_line(answer(c, stable=True)) for c in (miss(), hit()))
    assert fresh == cached
    assert fresh["text/plain"] == "openai:gpt-x · 11 + 13 tokens"


@pytest.mark.parametrize(
    ("call", "end"),
    [
        (miss(key=None, stored=False, reason="a tool"), "not cached: a tool"),
        (miss(kind="bypass", stored=False, reason="--no-cache"), "not cached: --no-cache"),
        (miss(stored=False, reason="it is empty"), "not stored: it is empty"),
        (miss(stored=False, pending=True, reason="a.db is held"), "not yet stored"),
        (miss(canned=True, note="cut at max_tokens"), "canned · cut at max_tokens"),
        (miss(warning="a.db is locked"), "warning: a.db is locked"),
    ],
)
def test_what_is_not_usual_is_told(call: Call, end: str) -> None:
    """Why an answer is not cached or not stored, what was cut, what failed in the cache."""
    assert answer(call).line.endswith(f" · {end}")


def test_a_chain_sums_its_calls_up() -> None:
    """Of several calls the line tells how many were cached, and what the fresh ones took."""
    mixed = answer(hit(), miss(), miss(), model="chain").line
    assert mixed == "fresh · 3 calls, 1 cached · 1.7 s · saved 828 ms · 22 + 26 tokens · chain"
    both = answer(hit(), hit(), model="chain").line
    assert both == "cached · 2 calls · 2.2 ms · saved 1.7 s · 48 tokens · chain"
    assert answer().line == "fresh · no model call · 0 ms · chain"


def test_the_line_is_never_long() -> None:
    """What is least needed is left out, then the reason is cut; it stands below whole."""
    reason = "Persona answers by code of its own; give it cache_key() " * 3
    long = answer(miss(key=None, stored=False, reason=reason, model="openai:" + "x" * 90))
    assert len(long.line) == MAX_CHARS
    assert long.line.startswith("fresh · 829 ms · not cached: Persona answers by code of its own")
    assert reason.strip() in read(drawn_line(long)["text/html"]).text
    calls = [miss(stored=False, reason=f"reason {number}") for number in range(5)]
    assert answer(*calls).line.endswith("not stored: reason 0 and 4 more")


def test_what_is_not_usual_is_whole_before_the_time_is_told() -> None:
    """A reason that has room without the time stands there to its end."""
    told = answer(miss(key=None, stored=False, reason=_OWN_CODE)).line
    assert told == f"fresh · not cached: {_OWN_CODE}"


def test_the_details_tell_where_and_when() -> None:
    """Behind the line stand key, store, times, tokens and how to see the request."""
    html = drawn_line(answer(hit()))["text/html"]
    assert html.startswith("<div")
    assert "\n" not in html
    text = read(html).text
    for part in ("ab" * 16, "a.db", "828 ms when recorded", "11 in, 13 out", "show abab", "2026-"):
        assert part in text


def test_the_word_is_seen_without_colours() -> None:
    """The pill is bold text, and each state has colours of its own."""
    fresh, cached = (drawn_line(answer(call))["text/html"] for call in (miss(), hit()))
    assert ">fresh</strong>" in fresh
    assert ">cached</strong>" in cached
    assert fresh.partition("</strong>")[0] != cached.partition("</strong>")[0]


_EMBEDDED = miss(asked="embedding", texts=5, texts_cached=4, usage=None, wall_s=0.1)
_MISSING = miss(
    kind="error",
    asked="embedding",
    texts=1,
    usage=None,
    wall_s=0.1,
    stored=False,
    unrecorded="nothing like it is recorded",
)
_FETCHED = hit(asked="web", model="GET a.org", usage=None, wall_s=0.0, saved_s=None)


_OWN_CODE = "Persona answers by code of its own; give it cache_key()"


@pytest.mark.parametrize(
    ("calls", "line"),
    [
        (
            [
                hit(wall_s=0.1, saved_s=3, usage={"total_tokens": 80}),
                hit(wall_s=0.1, saved_s=3.1, usage={"total_tokens": 80}),
                miss(wall_s=1, usage={"total_tokens": 80}),
            ],
            "3 LLM calls · 2 cached · 1 fresh · 1.2 s · saved 6.1 s · 240 tokens · openai:gpt-x",
        ),
        ([_EMBEDDED], "5 texts embedded, 4 cached · 100 ms · openai:gpt-x"),
        (
            [_MISSING],
            "1 text not embedded · 1 not recorded: nothing like it is recorded · 100 ms",
        ),
        ([_FETCHED] * 3, "3 web requests · 3 cached · 0 ms"),
        (
            [miss(kind="error", stored=False, reason="no credit", usage=None), miss()],
            "2 LLM calls · 1 fresh · 1 failed · 1.7 s · openai:gpt-x · failed: no credit",
        ),
        (
            [miss(kind="error", stored=False, usage=None, unrecorded="'temperature' differs")],
            "1 LLM call · 1 not recorded: 'temperature' differs · 829 ms · openai:gpt-x",
        ),
        (
            [miss(stored=False, pending=True)],
            "1 LLM call · 1 fresh · 829 ms · 24 tokens · openai:gpt-x · not yet stored",
        ),
        (
            [hit(), hit(model="a:b")],
            "2 LLM calls · 2 cached · 2.2 ms · saved 1.7 s · 48 tokens · openai:gpt-x and 1 more",
        ),
        (
            [hit(saved_s=40, model="openai:SmolLM2-135M-Instruct-Q4"), miss()],
            "2 LLM calls · 1 cached · 1 fresh · 830 ms · saved 40 s · 48 tokens",
        ),
        (
            [miss(key=None, stored=False, reason=_OWN_CODE)],
            f"1 fresh · not cached: {_OWN_CODE}",
        ),
        (
            [miss(kind="error", stored=True, usage=None, reason="ValidationError")],
            "1 LLM call · 1 failed · 829 ms · openai:gpt-x",
        ),
    ],
)
def test_a_cell_is_summed_up_in_one_line(
    monkeypatch: pytest.MonkeyPatch, calls: list[Call], line: str
) -> None:
    """Models, texts and web requests are counted in the words of the line under an answer."""
    monkeypatch.setenv("COLUMNS", "100")
    told = str(cell_line(calls))
    assert told.startswith(line)
    assert len(told) <= MAX_CELL_CHARS
    monkeypatch.setenv("COLUMNS", "60")
    assert len(str(cell_line(calls))) <= 60


def test_the_line_under_a_cell_unfolds() -> None:
    """Behind it stands every call."""
    html = cell_line([hit(), miss()])._repr_html_()
    assert html.count("<pre") == 2
    assert html.startswith("<div")
    assert "\n" not in html


def test_a_stable_summary_is_the_same_fresh_and_cached() -> None:
    """With --stable the line under a cell tells how many calls, models and tokens only."""
    lines = {str(cell_line([call], stable=True)) for call in (miss(), hit())}
    assert lines == {"1 LLM call · openai:gpt-x · 11 + 13 tokens"}
