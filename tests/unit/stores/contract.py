"""What every store must do. A backend's test subclasses this and says how it is opened."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.ledger import Entry
from jupyter_llmcache.stores.base import LifeTotals, Store
from tests.unit.stores.entries import (
    START,
    Clock,
    answer_to,
    as_put,
    entry,
    key_of,
    large_answer_to,
    listed,
)

ANSWERS = [
    b"",
    b"x",
    b"\x00\x01",
    bytes(range(256)),
    b"a" * 127,
    b"a" * 128,
    b"abc" * 1000,
    b"\x00" * (1 << 20),
]
TEXTS = [
    "",
    "plain",
    "a\x00b",
    "quotes ' \" ; -- %_",
    "中文 🦜 العربية",
    "lone \ud800 surrogate",
    "long " * 2000,
]


class StoreContract(ABC):
    """Tests that hold for every store."""

    #: How far above its bound a size may be.
    slack_bytes = 0
    #: Whether the totals outlive the entries that they are of.
    keeps_totals = True

    @abstractmethod
    def open(self, folder: Path, **options: Any) -> Store:
        """Open a store that keeps its things in ``folder``, where it has any."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def opener(self, tmp_path, clock):
        opened = []

        def open_one(**options: Any) -> Store:
            opened.append(self.open(tmp_path, clock=clock, **options))
            return opened[-1]

        yield open_one
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, opener) -> Store:
        return opener()

    # --- one entry ---

    def test_unknown_key(self, store):
        """A key that was never put is a miss."""
        assert store.get(key_of(1)) is None
        assert store.read(key_of(1)) is None

    def test_put_then_get(self, store):
        """What was put comes back with its time and the provider's time."""
        store.put(entry(1, created_at=START - 5.25, provider_s=1.125))
        assert store.get(key_of(1)) == Entry(key_of(1), answer_to(1), START - 5.25, 1.125)

    def test_unmeasured_provider_time(self, store):
        """An entry without a measured time says so."""
        store.put(entry(1, provider_s=None))
        assert store.get(key_of(1)).provider_s is None
        assert store.read(key_of(1)).provider_s is None

    def test_answers_are_kept_byte_for_byte(self, store):
        """Any bytes are an answer, and come back as they were."""
        for n, answer in enumerate(ANSWERS):
            store.put(entry(n, answer=answer))
            assert store.get(key_of(n)).answer == answer

    def test_texts_are_kept(self, store):
        """Any prompt and request come back as they were."""
        for n, text in enumerate(TEXTS):
            store.put(entry(n, prompt=text, request=text))
            assert as_put(store.read(key_of(n))) == entry(n, prompt=text, request=text)

    def test_read_counts_no_hit(self, store):
        """Looking at an entry is no hit."""
        store.put(entry(1))
        store.read(key_of(1))
        assert store.life_totals() == LifeTotals(0, 0.0)
        assert listed(store)[0].hits == 0

    def test_put_replaces(self, store):
        """A second put of a key leaves the second answer alone, as if it were the first."""
        store.put(entry(1))
        store.get(key_of(1))
        store.put(entry(1, answer=b"new", request="other", created_at=START + 1))
        assert store.count() == 1
        assert store.get(key_of(1)).answer == b"new"
        assert store.requests() == ["other"]
        assert listed(store)[0].hits == 1

    def test_hits_hand_out_nothing_shared(self, store):
        """An answer is immutable, so that no caller can change what is stored."""
        answer = bytearray(b"mutable")
        store.put(entry(1, answer=bytes(answer)))
        assert type(store.get(key_of(1)).answer) is bytes

    # --- many ---

    def test_put_many(self, store):
        """Many entries go in at once."""
        store.put_many([entry(n) for n in range(300)])
        assert store.count() == 300
        assert all(store.get(key_of(n)).answer == answer_to(n) for n in range(300))

    def test_put_many_of_none(self, store):
        """Putting no entries changes nothing."""
        store.put_many([])
        assert store.count() == 0

    def test_delete(self, store):
        """Deleted entries are gone, others stay, and the number deleted is told."""
        store.put_many([entry(n) for n in range(5)])
        assert store.delete([key_of(1), key_of(3), key_of(3), key_of(99)]) == 2
        assert [n for n in range(5) if store.get(key_of(n))] == [0, 2, 4]

    def test_delete_in_an_empty_store(self, store):
        """Deleting from an empty store deletes nothing."""
        assert store.delete([key_of(1)]) == 0

    def test_clear(self, store):
        """After clear nothing is left, and the store goes on."""
        store.put_many([entry(n) for n in range(50)])
        store.clear()
        assert store.count() == 0
        assert store.get(key_of(1)) is None
        assert listed(store) == []
        assert store.requests() == []
        store.put(entry(1))
        assert store.get(key_of(1)).answer == answer_to(1)

    def test_clear_an_empty_store(self, store):
        """Clearing an empty store is no error."""
        store.clear()
        assert store.count() == 0

    def test_clear_keeps_the_totals(self, store):
        """What the store has saved in its life is not forgotten with the entries."""
        store.put(entry(1, provider_s=2.0))
        store.get(key_of(1))
        store.put(entry(2))
        store.get(key_of(1))
        store.clear()
        assert store.life_totals() == (LifeTotals(2, 4.0) if self.keeps_totals else (0, 0.0))

    def test_size_follows_the_content(self, store):
        """The size grows with the entries and shrinks when they are cleared."""
        before = store.size_bytes()
        store.put_many([entry(n, answer=large_answer_to(n, 5000)) for n in range(50)])
        full = store.size_bytes()
        store.clear()
        assert before < full
        assert store.size_bytes() < full / 2

    # --- kinds ---

    def test_kinds(self, store):
        """Each kind of entry comes back as what it is, and can be listed alone."""
        kinds = {1: "answer", 2: "embedding", 3: "web"}
        store.put_many([entry(n, kind=kind, answer=bytes([n]) * 24) for n, kind in kinds.items()])
        for n, kind in kinds.items():
            assert store.get(key_of(n)).kind == kind
            assert as_put(store.read(key_of(n))) == entry(n, kind=kind, answer=bytes([n]) * 24)
            assert [line.key for line in listed(store, kind=kind)] == [key_of(n)]
            assert [each.key for each in store.entries(kind=kind)] == [key_of(n)]
        store.put(entry(2, answer=b"no vector any more"))
        assert store.get(key_of(2)).kind == "answer"

    def test_get_many(self, store, clock):
        """Many are found at once, unknown ones are left out, and each counts a hit."""
        store.put_many([entry(n) for n in range(20)])
        found = store.get_many([key_of(n) for n in (3, 99, 7, 3)])
        assert found == {key_of(n): store.get(key_of(n)) for n in (3, 7)}
        assert {line.hits for line in listed(store) if line.key in found} == {2}
        assert store.get_many([]) == {}

    def test_vectors(self, store):
        """Vectors of any sizes and any number come back byte for byte, whatever is deleted."""
        sizes = [0, 1, 24, 6144]
        vectors = {(size, n): large_answer_to((size, n), size) for size in sizes for n in range(19)}
        store.put_many(
            [entry(name, kind="embedding", answer=vector) for name, vector in vectors.items()]
        )
        gone = [key_of((size, n)) for size in sizes for n in (0, 1, 2, 3, 4, 5, 6, 7, 11)]
        assert store.delete(gone) == len(gone)
        store.put(entry((24, 0), kind="embedding", answer=b"x" * 24))
        vectors |= {(24, 0): b"x" * 24}
        left = {key_of(n): v for n, v in vectors.items() if key_of(n) not in gone or n == (24, 0)}
        found = store.get_many(list(left))
        assert {key: each.answer for key, each in found.items()} == left
        assert {each.key: each.answer for each in store.entries(kind="embedding")} == left
        assert store.verify().is_sound

    # --- lists ---

    def test_find(self, store):
        """A key is found by the beginning of its hexadecimal form, in any case."""
        store.put_many([entry(n) for n in range(10)])
        for length in (1, 2, 7, 31, 32):
            prefix = key_of(3).hex()[:length]
            expected = sorted(k for k in map(key_of, range(10)) if k.hex().startswith(prefix))
            assert store.find(prefix) == expected
            assert store.find(prefix.upper()) == expected

    @pytest.mark.parametrize("prefix", ["xyz", "g", "0x12", " ", "é", "0" * 33])
    def test_find_of_no_key(self, store, prefix):
        """What begins no key finds nothing."""
        store.put(entry(1, key=bytes(16)))
        assert store.find(prefix) == []

    def test_find_is_bounded(self, store):
        """At most 20 keys are found."""
        store.put_many([entry(n) for n in range(50)])
        assert len(store.find("")) == 20

    def test_line_of_a_list(self, store, clock):
        """A line of a list tells everything but the texts."""
        store.put(entry(1))
        clock.tick(10)
        store.get(key_of(1))
        (line,) = listed(store)
        assert (line.key, line.title, line.hits) == (key_of(1), "question 1", 1)
        assert (line.created_at, line.used_at) == (START, START + 10)
        assert line.request == entry(1).request
        assert line.provider_s == 0.5
        assert line.size_bytes > 100

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ("recent", [3, 2, 1, 0]),
            ("used", [0, 2, 3, 1]),
            ("size", [1, 0, 2, 3]),
            ("saved", [2, 0, 3, 1]),
        ],
    )
    def test_sorting(self, store, clock, sort, expected):
        """Lists are sorted by age, use, size or saving, the first n by any of them."""
        sizes = [2, 3, 1, 0]
        provider_s = [1.0, 100.0, 5.0, 0.25]
        for n in range(4):
            clock.tick()
            store.put(
                entry(
                    n,
                    created_at=clock.now,
                    answer=large_answer_to(n, 100 + 100 * sizes[n]),
                    provider_s=provider_s[n],
                )
            )
        for n in (3, 2, 0):
            clock.tick()
            store.get(key_of(n))
        names = {key_of(n): n for n in range(4)}
        assert [names[line.key] for line in listed(store, sort=sort)] == expected
        assert [names[line.key] for line in listed(store, sort=sort, limit=2)] == expected[:2]

    def test_filters(self, store):
        """Lists are limited by the prompt's text, by the request's and by time."""
        prompts = [
            "An Apple a day",
            "Straße",
            "一个苹果",
            "100% a_b\\c",
            "hay " * 2000 + "NEEDLE",
        ]
        models = ["openai:gpt-x", "demo"]
        store.put_many(
            [
                entry(n, prompt=prompt, request=models[n % 2], created_at=START + n)
                for n, prompt in enumerate(prompts)
            ]
        )
        for filters, expected in [
            ({"text_contains": "apple"}, {0}),
            ({"text_contains": "APPLE"}, {0}),
            ({"text_contains": "straße"}, {1}),
            ({"text_contains": "STRAßE"}, {1}),
            ({"text_contains": "苹果"}, {2}),
            ({"text_contains": "100%"}, {3}),
            ({"text_contains": "a_b\\c"}, {3}),
            ({"text_contains": "needle"}, {4}),
            ({"text_contains": "%"}, {3}),
            ({"text_contains": "absent"}, set()),
            ({"request_contains": "GPT"}, {0, 2, 4}),
            ({"since": START + 2}, {2, 3, 4}),
            ({"until": START + 2}, {0, 1, 2}),
            ({"since": START + 1, "until": START + 3, "request_contains": "gpt"}, {2}),
        ]:
            found = {line.key for line in listed(store, **filters)}
            assert found == set(map(key_of, expected)), filters

    def test_requests_are_distinct(self, store):
        """The request texts of all entries are told once each, and no others."""
        store.put_many([entry(n, request=f"model {n % 3}") for n in range(9)])
        assert sorted(store.requests()) == ["model 0", "model 1", "model 2"]
        store.delete([key_of(n) for n in (0, 3, 6)])
        assert sorted(store.requests()) == ["model 1", "model 2"]

    def test_entries(self, store):
        """All entries are yielded whole, in key order."""
        store.put_many([entry(n) for n in range(450)])
        assert list(map(as_put, store.entries())) == sorted(
            map(entry, range(450)), key=lambda r: r.key
        )

    def test_entries_of_keys(self, store):
        """The entries of some keys are yielded in key order, unknown ones left out."""
        store.put_many([entry(n) for n in range(10)])
        wanted = [key_of(7), key_of(2), key_of(2), key_of(99)]
        found = list(map(as_put, store.entries(keys=wanted)))
        assert found == sorted([entry(2), entry(7)], key=lambda r: r.key)

    def test_entries_while_writing(self, store):
        """The store may be written while its entries are being yielded."""
        store.put_many([entry(n) for n in range(450)])
        seen = 0
        for record in store.entries():
            if seen % 50 == 0:
                store.delete([record.key])
            seen += 1
        assert (seen, store.count()) == (450, 441)

    def test_life_totals(self, store):
        """The totals count hits and the provider's time that they saved."""
        store.put_many([entry(1, provider_s=2.0), entry(2, provider_s=None)])
        for n in (1, 1, 2, 3):
            store.get(key_of(n))
        assert store.life_totals() == LifeTotals(3, 4.0)

    # --- bounds ---

    def test_ttl(self, opener, clock):
        """An entry as old as the bound is a miss, and is good again when it is put again."""
        store = opener(ttl_s=60)
        store.put(entry(1))
        clock.tick(59.5)
        assert store.get(key_of(1))
        clock.tick(0.5)
        assert store.get(key_of(1)) is None
        assert store.life_totals().hits == 1
        store.put(entry(1, created_at=clock.now))
        assert store.get(key_of(1))

    def test_prune(self, opener, clock):
        """Pruning deletes what is too old and nothing else."""
        store = opener(ttl_s=60)
        store.put(entry(1))
        clock.tick(30)
        store.put(entry(2, created_at=clock.now, request="young"))
        clock.tick(30)
        assert store.prune() == 1
        assert store.prune() == 0
        assert store.count() == 1
        assert store.get(key_of(2))
        assert store.requests() == ["young"]

    def test_prune_an_empty_store(self, opener):
        """There is nothing to prune in an empty store."""
        assert opener(ttl_s=1).prune() == 0

    # --- threads, end ---

    def test_threads(self, store):
        """Eight threads put, get and overwrite at once, and every answer is right."""
        faults: list[object] = []

        def work(thread: int) -> None:
            try:
                for n in range(40):
                    store.put(entry((thread, n)))
                    store.put(entry(("shared", n)))
                    mine = store.get(key_of((thread, n))).answer
                    shared = store.get(key_of(("shared", n))).answer
                    if (mine, shared) != (answer_to((thread, n)), answer_to(("shared", n))):
                        faults.append((thread, n))
            except Exception as error:
                faults.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.flush(5) == 0
        assert faults == []
        assert store.count() == 8 * 40 + 40
        if self.keeps_totals:
            assert store.life_totals().hits == 8 * 40 * 2

    def test_verify_of_a_sound_store(self, store):
        """A sound store is found sound, and repairing it changes nothing."""
        store.put_many([entry(n) for n in range(3)])
        for repair in (False, True):
            report = store.verify(repair=repair)
            assert report.is_sound
            assert report.entries == 3
        assert store.count() == 3

    def test_close(self, store):
        """A store may be flushed, and closed twice."""
        store.put(entry(1))
        store.flush()
        store.close()
        store.close()


class BoundedStoreContract(StoreContract):
    """Tests that hold for every store with bounds of its own."""

    def test_max_entries(self, opener, clock):
        """The least recently used entry goes first, and a hit is a use."""
        store = opener(max_entries=3)
        for n in range(3):
            clock.tick()
            store.put(entry(n))
        clock.tick()
        store.get(key_of(0))
        clock.tick()
        store.put(entry(3))
        assert [n for n in range(4) if store.read(key_of(n))] == [0, 2, 3]

    def test_overwriting_evicts_nobody(self, opener, clock):
        """Putting a key that is there needs no room."""
        store = opener(max_entries=3)
        for n in (0, 1, 2, 2, 2, 2, 2, 0):
            clock.tick()
            store.put(entry(n))
        assert [n for n in range(3) if store.read(key_of(n))] == [0, 1, 2]

    def test_too_old_goes_before_unused(self, opener, clock):
        """When room is needed, what cannot be served any more goes first."""
        store = opener(max_entries=2, ttl_s=100)
        store.put(entry(1, created_at=clock.now))
        clock.tick(99)
        store.put(entry(2, created_at=clock.now - 95))
        clock.tick(1)
        store.get(key_of(2))
        store.put(entry(3, created_at=clock.now))
        assert [n for n in (1, 2, 3) if store.read(key_of(n))] == [2, 3]

    def test_large_max_entries(self, opener, clock):
        """A large bound holds too, is held in batches, and nearly all of it is used."""
        store = opener(max_entries=640)
        for n in range(2000):
            clock.tick()
            store.put(entry(n))
            assert n % 100 or store.count() <= 640
        assert 620 <= store.count() <= 640
        assert store.get(key_of(1999))
        assert store.get(key_of(100)) is None

    def test_max_size(self, opener, clock):
        """The size stays in its bound, and the newest entries are there."""
        store = opener(max_size_bytes=400_000)
        for n in range(200):
            clock.tick()
            store.put(entry(n, answer=large_answer_to(n, 10_000)))
        assert store.size_bytes() <= 400_000 + self.slack_bytes
        assert store.count() > 10
        assert store.get(key_of(199))
        assert store.get(key_of(0)) is None

    def test_an_entry_larger_than_the_bound(self, opener, clock):
        """An entry that fills the store alone is still stored."""
        store = opener(max_size_bytes=50_000)
        store.put(entry(1))
        clock.tick()
        answer = large_answer_to(2, 100_000)
        store.put(entry(2, answer=answer))
        assert store.get(key_of(2)).answer == answer
        assert store.get(key_of(1)) is None

    @pytest.mark.parametrize("bound", ["ttl_s", "max_entries", "max_size_bytes"])
    @pytest.mark.parametrize("value", [0, -1])
    def test_useless_bounds(self, opener, bound, value):
        """A bound that leaves no room is refused by name."""
        with pytest.raises(LLMCacheError, match=f"{bound} is {value}"):
            opener(**{bound: value})
