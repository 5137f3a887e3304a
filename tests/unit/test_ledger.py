"""What happened, in order."""

from __future__ import annotations

import contextvars
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llmcache import ledger
from jupyter_llmcache.ledger import LEDGER, Call, Totals, collecting

KINDS = ["hit", "miss", "bypass", "error"]


def call(kind="miss", **fields):
    return Call(**{"cell": 1, "kind": kind, "model": "m", "key": None, "wall_s": 0.5, **fields})


CALLS = st.lists(
    st.builds(
        call,
        st.sampled_from(KINDS),
        saved_s=st.none() | st.integers(0, 100).map(float),
        stored=st.booleans(),
    ),
    max_size=20,
)


@given(first=CALLS, second=CALLS)
def test_since_gives_back_exactly_what_came_after_the_mark(first, second):
    """A mark divides the ledger: what was recorded after it comes back in order."""
    book = ledger.Ledger()
    for event in first:
        book.record(event)
    mark = book.mark()
    for event in second:
        book.record(event)
    assert book.since(mark) == second
    assert book.since(0) == first + second


@given(calls=CALLS)
def test_totals_agree_with_a_count_by_hand(calls):
    """Totals count every kind and sum the saved seconds."""
    totals = Totals.of(calls)
    assert [totals.hits, totals.misses, totals.bypasses, totals.errors] == [
        sum(c.kind == kind for c in calls) for kind in KINDS
    ]
    assert totals.calls == len(calls)
    assert totals.stored == sum(c.stored for c in calls)
    assert totals.saved_s == sum(c.saved_s or 0 for c in calls)


@given(first=CALLS, second=CALLS)
def test_totals_can_be_told_from_an_earlier_count(first, second):
    """What was counted since a copy is the totals of what came since."""
    book = ledger.Ledger()
    for event in first:
        book.record(event)
    earlier = book.counts()
    for event in second:
        book.record(event)
    assert book.counts().minus(earlier) == Totals.of(second)


def test_old_events_are_dropped_and_totals_stay_right(monkeypatch):
    """A ledger that is full forgets its oldest events and still counts them."""
    monkeypatch.setattr(ledger, "MAX_EVENTS", 3)
    book = ledger.Ledger()
    book._events = ledger.deque(maxlen=3)
    events = [call(cell=number) for number in range(5)]
    for event in events:
        book.record(event)
    assert book.since(0) == events[2:]
    assert book.totals.calls == 5


def test_an_event_cannot_be_changed():
    """Events are frozen."""
    with pytest.raises(AttributeError):
        call().kind = "hit"


def test_a_collector_sees_its_own_context_only():
    """Calls of a foreign thread stay out of a collector, calls in a copied context come in."""
    with collecting() as calls:
        mine, foreign = call(cell=1), call(cell=2)
        context = contextvars.copy_context()
        for run in (lambda: context.run(LEDGER.record, mine), lambda: LEDGER.record(foreign)):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
    assert calls == [mine]
    assert ledger.calls() == [mine, foreign]


def test_collectors_may_be_nested():
    """An inner collector's calls belong to the outer one as well."""
    with collecting() as outer:
        with collecting() as inner:
            LEDGER.record(call())
        LEDGER.record(call(cell=7))
    assert len(inner) == 1
    assert len(outer) == 2


def test_what_a_drawing_told_is_not_told_again():
    """A call that an answer told of is left out of the cell's line, once."""
    mark = LEDGER.mark()
    told, untold = call(cell=1), call(cell=2)
    for event in (told, untold):
        LEDGER.record(event)
    LEDGER.tell([told])
    assert LEDGER.untold_since(mark) == [untold]


def test_threads_lose_no_event():
    """Events recorded by many threads at once are all there."""
    threads = [
        threading.Thread(target=lambda: [LEDGER.record(call()) for _ in range(200)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.calls()) == LEDGER.totals.calls == 1600
