"""Embeddings through the cache, text by text, against a server that counts."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_classic.storage import InMemoryByteStore
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.globals import set_llm_cache
from langchain_openai import OpenAIEmbeddings
from openai import OpenAI
from pydantic import BaseModel

from jupyter_llmcache import MemoryCache, SQLiteCache, calls, mode, modes
from jupyter_llmcache.errors import ReplayMissError, StoreError
from tests.servers.openai import vector_of

TEXTS = ["one", "two", "three"]


@pytest.fixture
def cache(tmp_path) -> Iterator[SQLiteCache]:
    cache = SQLiteCache(tmp_path / "course.db")
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)
    cache.close()


@pytest.fixture
def embeddings(openai_server):
    """Make OpenAI's embeddings that ask the server."""

    def make(**options: Any) -> OpenAIEmbeddings:
        defaults = {"api_key": "sk-secret-key", "base_url": openai_server.url, "max_retries": 0}
        return OpenAIEmbeddings(**{**defaults, "check_embedding_ctx_length": False, **options})

    return make


@pytest.fixture
def asked(openai_server):
    """Return the texts of every request since the last look."""

    def look() -> list[Any]:
        told = [seen.body["input"] for seen in openai_server.requests]
        openai_server.requests.clear()
        return told

    return look


#: What the embeddings below were asked for.
ASKED: list[Any] = []


class Local(BaseModel, Embeddings):
    """A user's embeddings that treat queries in their own way, on this machine."""

    name: str = "mine"

    def cache_key(self) -> object:
        return 1

    def embed_documents(self, texts, titles=None, languages=()):
        ASKED.append((list(texts), titles))
        return [[len(text) + 0.1, -0.0] for text in texts]

    def embed_query(self, text):
        ASKED.append(text)
        return [len(text) + 0.2]


class Remote(Local):
    """The same, on a server."""

    url: str = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def asked_for_nothing() -> None:
    ASKED.clear()


# --- what is kept ---


def test_vectors_come_back_bit_by_bit(cache, embeddings, asked):
    """The second time nothing is asked, and every number is what the provider sent."""
    fresh = embeddings(dimensions=7).embed_documents(TEXTS)
    assert fresh == [vector_of(text, 7).tolist() for text in TEXTS]
    assert len(asked()) == 1
    assert embeddings(dimensions=7).embed_documents(TEXTS) == fresh
    assert asked() == []
    assert cache.store.count() == 3


def test_only_missing_texts_are_asked_each_once(cache, embeddings, asked):
    """Of a call with known, new and equal texts only the new ones are sent, in their order."""
    model = embeddings()
    model.embed_documents(["one"])
    texts = ["two", "one", "three", "two"]
    vectors = model.embed_documents(texts)
    assert vectors == [vector_of(text, 3).tolist() for text in texts]
    assert vectors[0] is not vectors[3]
    assert asked() == [["one"], ["two", "three"]]
    first, second = calls()
    assert (first.asked, first.kind, first.texts, first.texts_cached) == ("embedding", "miss", 1, 0)
    assert (second.kind, second.texts, second.texts_cached) == ("miss", 4, 1)
    assert second.stored
    assert second.model == "openai:text-embedding-ada-002"


def test_missing_texts_go_in_the_classs_own_batches(cache, embeddings, asked):
    """The class divides what is missing as it divides everything; its batch size is no part of the
    question.
    """
    embeddings(chunk_size=2).embed_documents(["a", "b", "c", "d", "e"])
    embeddings(chunk_size=1).embed_documents(["a", "x", "c", "y"])
    assert asked() == [["a", "b"], ["c", "d"], ["e"], ["x"], ["y"]]


def test_one_text_has_one_entry_whoever_asks(cache, embeddings, asked):
    """Documents and queries, sync and async, share entries where the class treats them alike."""
    model = embeddings()
    vector = model.embed_documents(["one"])[0]

    async def ask() -> list[Any]:
        return [await model.aembed_query("one"), (await model.aembed_documents(["one"]))[0]]

    assert [model.embed_query("one"), *asyncio.run(ask())] == [vector] * 3
    assert len(asked()) == 1
    assert asyncio.run(model.aembed_query("new")) == vector_of("new", 3).tolist()
    assert model.embed_query("new") == vector_of("new", 3).tolist()
    assert len(asked()) == 1
    assert [call.kind for call in calls()] == ["miss", "hit", "hit", "hit", "miss", "hit"]
    assert all(call.saved_s is not None for call in calls() if call.kind == "hit")


def test_a_class_that_treats_queries_differently_keeps_both(cache):
    """A query has an entry of its own where the class asks for it in another way."""
    model = Remote()
    for _ in range(2):
        assert model.embed_query("one") == [3.2]
        assert model.embed_documents(["one"]) == [[3.1, -0.0]]
    assert ASKED == ["one", (["one"], None)]
    assert [call.kind for call in calls()] == ["miss", "miss", "hit", "hit"]


def test_what_changes_a_vector_parts_entries(cache, embeddings, asked):
    """Model, dimensions, headers and arguments count; credentials and retries do not."""
    embeddings().embed_query("one")
    for options in (
        {"model": "text-embedding-3-small"},
        {"dimensions": 5},
        {"model_kwargs": {"extra_body": {"input_type": "query"}}},
        {"default_headers": {"x-tenant": "a"}},
    ):
        embeddings(**options).embed_query("one")
    embeddings().embed_documents(["one"], extra_body={"truncate": "END"})
    assert len(asked()) == 6
    embeddings(api_key="another", max_retries=3, request_timeout=9).embed_query("one")
    assert asked() == []
    assert b"secret" not in b"".join(e.request.encode() for e in cache.store.entries())


def test_arguments_that_go_with_each_text(cache):
    """A list with an item for each text makes the batch one question, asked as it was typed."""
    model = Remote()
    model.embed_documents(["a", "b"], titles=["A", "B"])
    model.embed_documents(["a", "b"], titles=["A", "B"])
    model.embed_documents(["b", "a"], titles=["A", "B"])
    model.embed_documents(["a", "b"], ["A", "C"])
    model.embed_documents(["a"])
    assert ASKED == [
        (["a", "b"], ["A", "B"]),
        (["b", "a"], ["A", "B"]),
        (["a", "b"], ["A", "C"]),
        (["a"], None),
    ]
    model.embed_documents(["a", "a"], titles=["A", "B"])
    assert calls()[-1].kind == "bypass"


# --- who is seen ---


def test_a_cache_of_langchains_around(cache, embeddings, asked):
    """CacheBackedEmbeddings keeps what it keeps; what it asks for goes through the cache."""
    for _ in range(2):
        backed = CacheBackedEmbeddings.from_bytes_store(
            embeddings(), InMemoryByteStore(), namespace="a", key_encoder="sha256"
        )
        for _ in range(2):
            assert backed.embed_documents(TEXTS) == [vector_of(t, 3).tolist() for t in TEXTS]
        backed.embed_query("one")
    assert asked() == [TEXTS]
    assert [call.kind for call in calls()] == ["miss", "hit", "hit", "hit"]


def test_a_subclass_that_asks_its_base_class_counts_once(cache, embeddings, asked, openai_server):
    """A class made later, whose method asks the library's, is one call and one lookup."""

    class Mine(OpenAIEmbeddings):
        def cache_key(self) -> object:
            return "mine"

        def embed_documents(self, texts, **kwargs):
            return super().embed_documents([text.upper() for text in texts], **kwargs)

    model = Mine(api_key="k", base_url=openai_server.url, check_embedding_ctx_length=False)
    assert model.embed_query("one") == model.embed_documents(["one"])[0]
    assert asked() == [["ONE"]]
    assert [call.kind for call in calls()] == ["miss", "hit"]


def test_local_models_are_left_alone(cache):
    """What embeds on this machine is no call, unless the person wants it kept."""
    DeterministicFakeEmbedding(size=3).embed_query("one")
    model = Local()
    vector = model.embed_query("one")
    assert calls() == []
    modes.set_embedded("all")
    try:
        assert [model.embed_query("one"), model.embed_query("one")] == [vector, vector]
    finally:
        modes.set_embedded("remote")
    assert [call.kind for call in calls()] == ["miss", "hit"]


class Plain(Embeddings):
    """Embeddings of a user's own, with no declared fields, by OpenAI's SDK."""

    def __init__(self, url: str, model: str = "small") -> None:
        self._client = OpenAI(base_url=url, api_key="sk-secret-key", max_retries=0)
        self._model = model

    def embed_documents(self, texts):
        found = self._client.embeddings.create(model=self._model, input=texts)
        return [each.embedding for each in found.data]

    def embed_query(self, text):
        return self.embed_documents([text])[0]


class Keyed(Plain):
    """The same, and it says what its vectors stand on."""

    def cache_key(self) -> object:
        return self._model


def test_a_plain_class_is_kept_by_what_it_says(cache, openai_server, asked):
    """A class that is no pydantic one is cached by its ``cache_key``, and by its model."""
    first = Keyed(openai_server.url).embed_documents(TEXTS)
    assert Keyed(openai_server.url).embed_documents(TEXTS) == first
    assert Keyed(openai_server.url).embed_query("one") == first[0]
    Keyed(openai_server.url, "large").embed_documents(TEXTS)
    assert asked() == [TEXTS, TEXTS]
    assert cache.store.count() == 6


def test_a_plain_class_without_a_key_says_how(cache, openai_server, asked):
    """What answers by code of its own is asked each time, and the call tells what to write."""
    for _ in range(2):
        Plain(openai_server.url).embed_documents(["one"])
    assert asked() == [["one"], ["one"]]
    assert calls()[-1].reason == "Plain answers by code of its own; give it cache_key()"


def test_a_plain_class_of_a_library_is_kept(cache, openai_server, asked):
    """A library's class is cached by all that it holds, its client's address included."""
    scope = {"__name__": "openai.their_embeddings", "Embeddings": Embeddings, "OpenAI": OpenAI}
    exec(inspect.getsource(Plain), scope)  # as if it stood in a module of theirs
    library: Any = scope["Plain"]
    made = [library(openai_server.url) for _ in range(2)]
    assert made[0].embed_query("one") == made[1].embed_query("one")
    assert library(openai_server.url, "large").embed_query("one")
    assert asked() == [["one"], ["one"]]


def test_the_setting_turns_the_door_off(cache, embeddings, asked):
    """With "off" every embedding goes its own way."""
    modes.set_embedded("off")
    try:
        embeddings().embed_documents(["one"])
        embeddings().embed_documents(["one"])
    finally:
        modes.set_embedded("remote")
    assert len(asked()) == 2
    assert calls() == []


def test_the_last_cache_gives_the_methods_back(embeddings, asked):
    """Nothing of ours is left in any class once no cache lives."""
    before = OpenAIEmbeddings.embed_documents, Embeddings.__dict__.get("__init_subclass__")
    cache = MemoryCache()
    assert OpenAIEmbeddings.embed_documents is not before[0]
    cache.close()
    assert OpenAIEmbeddings.embed_documents is before[0]
    assert Embeddings.__dict__.get("__init_subclass__") is before[1]


# --- modes ---


def test_replay_answers_and_sends_nothing(cache, embeddings, asked):
    """A recorded text needs no key and no server; a missing one is an error before any request."""
    vectors = embeddings().embed_documents(["one", "two"])
    asked()
    with mode("replay"):
        assert embeddings(api_key="none").embed_documents(["two", "one"]) == vectors[::-1]
        with pytest.raises(ReplayMissError, match=r"1 of 2 texts .* .new."):
            embeddings().embed_documents(["one", "new"])
        with pytest.raises(ReplayMissError):
            asyncio.run(embeddings().aembed_query("new"))
    assert asked() == []
    miss = calls()[-1]
    assert (miss.kind, miss.texts) == ("error", 1)
    assert miss.unrecorded


def test_replay_without_a_cache_sends_nothing(embeddings, asked):
    """Where no cache is on, replay refuses what would ask somebody."""
    with mode("replay"), pytest.raises(ReplayMissError, match="llm_cache sqlite"):
        embeddings().embed_query("one")
    assert asked() == []


def test_refresh_asks_again_and_bypass_leaves_no_trace(cache, embeddings, asked):
    """Refresh asks for every text and keeps the new vector; bypass neither reads nor writes."""
    model = embeddings()
    model.embed_documents(["one"])
    with mode("refresh"):
        model.embed_documents(["one", "two"])
    with mode("bypass"):
        model.embed_documents(["two", "three", "three"])
    assert asked() == [["one"], ["one", "two"], ["two", "three", "three"]]
    assert cache.store.count() == 2
    assert [call.kind for call in calls()] == ["miss", "miss", "bypass"]


# --- faults ---


def test_a_provider_that_fails_is_told(cache, embeddings, openai_server):
    """The provider's own error arrives, and the call says error."""
    openai_server.stop()
    with pytest.raises(Exception, match="Connection"):
        embeddings().embed_query("one")
    assert [call.kind for call in calls()] == ["error"]


def test_a_store_that_fails_costs_no_vector(cache, embeddings, monkeypatch):
    """A failing lookup is a miss and a failing write a warning; the vectors arrive."""

    def broken(*_: Any) -> Any:
        raise StoreError("the disk is full")

    monkeypatch.setattr(cache.store, "get_many", broken)
    monkeypatch.setattr(cache.store, "put_many", broken)
    assert embeddings().embed_documents(["one"]) == [vector_of("one", 3).tolist()]
    assert calls()[-1].warning == "the disk is full"


def test_the_loop_does_no_file_work(cache, embeddings, monkeypatch):
    """On an event loop the store is asked in another thread."""
    threads: list[threading.Thread] = []
    for name in ("get_many", "put_many"):
        whole = getattr(cache.store, name)

        def noted(given: Any, whole: Any = whole) -> Any:
            threads.append(threading.current_thread())
            return whole(given)

        monkeypatch.setattr(cache.store, name, noted)
    asyncio.run(embeddings().aembed_documents(TEXTS))
    assert len(threads) == 2
    assert threading.current_thread() not in threads


def test_what_is_no_vector_is_not_kept(cache):
    """Vectors that are no lists of numbers arrive as they came, and are asked for again."""

    class Odd(Remote):
        def embed_documents(self, texts, titles=None, languages=()):
            ASKED.append(texts)
            return tuple((float(len(text)),) for text in texts)

    model = Odd()
    assert model.embed_documents(["one"]) == model.embed_documents(["one"]) == ((3.0,),)
    assert len(ASKED) == 2
    assert "finite numbers" in calls()[-1].reason


def test_the_line_under_a_cell_tells_of_texts(shell, openai_server):
    """An ordinary cell that embeds is followed by a line with the number of texts."""
    shell.run("%load_ext jupyter_llmcache")
    shell.run("%llm_cache memory")
    shell.run(
        "from langchain_openai import OpenAIEmbeddings\n"
        f"e = OpenAIEmbeddings(api_key='k', base_url={openai_server.url!r}, "
        "check_embedding_ctx_length=False)\n"
        "e.embed_documents(['a', 'b']); e.embed_documents(['a', 'b', 'c'])"
    )
    assert len(calls()) == 2
    assert sum(call.texts for call in calls()) == 5
