"""What the notebook fetches by HTTP: recorded once by every client, and the same from the file."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import httpx2
import openai
import pytest
import requests
import urllib3
from langgraph.graph import StateGraph
from langsmith import Client

from jupyter_llmcache import MemoryCache, SQLiteCache, calls, mode
from jupyter_llmcache.commands.files import hosts_in
from jupyter_llmcache.errors import NotSentError, ReplayMissError
from jupyter_llmcache.seam import client_http, clients, web
from jupyter_llmcache.seam.cache import ObservedCache
from jupyter_llmcache.stores.memory import MemoryStore
from tests.environments import run
from tests.integration.fetching import CLIENTS
from tests.servers.local import Handler, LocalServer
from tests.servers.pages import PATIENCE_S

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def recording(tmp_path) -> Iterator[Callable[..., SQLiteCache]]:
    """Open the file of the test as a new kernel would; what was open before is closed."""
    opened: list[SQLiteCache] = []

    def reopen(**options) -> SQLiteCache:
        while opened:
            opened.pop().close()
        opened.append(SQLiteCache(tmp_path / "web.db", **{"record_web": True, **options}))
        return opened[-1]

    yield reopen
    for cache in opened:
        cache.close()


#: One of each seam, for what does not depend on how a body is read.
SEAMS = ("httpx", "httpx2 async", "requests", "urllib", "http.client", "aiohttp")
#: These unpack nothing by themselves.
PLAIN = ("urllib", "urllib by lines", "http.client")


@pytest.mark.parametrize(
    ("client", "path"),
    [
        (client, path)
        for client in CLIENTS
        for path in ("/page", "/chunked", "/close", "/redirect", "/sse", "/gzip")
        if not (client in PLAIN and path == "/gzip")
    ],
)
def test_what_was_fetched_comes_from_the_file(client, path, pages, recording):
    """The second kernel gets the very same answer, and sends nothing."""
    recording()
    first = CLIENTS[client](pages.url(path))
    sent = len(pages.seen)
    recording()
    assert CLIENTS[client](pages.url(path)) == first
    assert len(pages.seen) == sent
    assert {call.asked for call in calls()} == {"web"}
    assert [call.kind for call in calls()] == ["miss"] * sent + ["hit"] * sent
    assert all(call.stored for call in calls() if call.kind == "miss")


@pytest.mark.parametrize("client", CLIENTS)
def test_any_client_replays_what_another_recorded(client, pages, recording):
    """In replay the address is answered from the file to whoever asks in the same words."""
    headers = {"accept": "*/*"}
    recording()
    first = httpx.get(pages.url("/page"), headers=headers).text
    recording(record_web=False, read_only=True)
    with mode("replay"):
        status, text = CLIENTS[client](pages.url("/page"), headers=headers)
    assert (status, text, len(pages.seen)) == (200, first, 1)


@pytest.mark.parametrize("client", SEAMS)
def test_body_and_method_count(client, pages, recording):
    """Another body, method, query or header is another request."""
    fetch = CLIENTS[client]
    asked = [
        ("/echo", {"method": "POST", "json": {"q": "a"}}),
        ("/echo", {"method": "POST", "json": {"q": "b"}}),
        ("/echo", {"method": "PUT", "json": {"q": "a"}}),
        ("/echo?x=1", {"method": "POST", "json": {"q": "a"}}),
        ("/echo", {"method": "POST", "json": {"q": "a"}, "headers": {"x-variant": "b"}}),
    ]
    recording()
    first = [fetch(pages.url(path), **kwargs) for path, kwargs in asked]
    recording()
    assert [fetch(pages.url(path), **kwargs) for path, kwargs in asked] == first
    assert len({text for _, text in first}) == len(pages.seen) == 5


@pytest.mark.parametrize("client", SEAMS)
def test_answers_come_in_the_order_in_which_they_were_recorded(client, pages, recording):
    """The same request asked again gets its next answer, and after the last one that again."""
    fetch = CLIENTS[client]
    recording()
    first = [fetch(pages.url("/json"))[1] for _ in range(3)]
    recording()
    again = [fetch(pages.url("/json"))[1] for _ in range(5)]
    assert len(set(first)) == 3
    assert again == [*first, first[-1], first[-1]]
    assert len(pages.seen) == 3


def test_a_cell_that_runs_again_gets_the_same_answers(pages, shell):
    """In the kernel that records too; another cell asks anew, and refresh asks and keeps."""
    shell.run("%load_ext jupyter_llmcache\n%llm_cache sqlite web.db --record-web\nimport httpx")
    asking = f"found = [httpx.get({pages.url('/json')!r}).text for _ in range(2)]"

    def found(cell):
        shell.run(cell)
        return shell.user_ns["found"], len(pages.seen)

    first, _ = found(asking)
    assert first[0] != first[1]
    assert found(asking) == (first, 2)
    other, sent = found(asking + "  # another cell")
    assert sent == 4
    assert not set(first) & set(other)
    assert found(asking) == (first, 4)
    shell.run("%llm_cache mode refresh")
    fresh, sent = found(asking)
    assert sent == 6
    shell.run("%llm_cache mode replay")
    assert found(asking) == (fresh, 6)
    assert found(asking + "  # another cell") == (other, 6)


def test_prompts_of_a_hub_and_drawn_graphs(pages, recording):
    """What ``pull_prompt`` and ``draw_mermaid_png`` fetch is recorded, and replays with no key."""
    graph = StateGraph(dict)
    graph.add_node("one", lambda state: state)
    graph.set_entry_point("one")

    def fetch() -> tuple[str, bytes]:
        client = Client(api_url=pages.url(""), api_key=os.getenv("LANGSMITH_API_KEY", "teacher"))
        prompt = client.pull_prompt("someone/rag", dangerously_pull_public_prompt=True)
        picture = graph.compile().get_graph().draw_mermaid_png(base_url=pages.url(""))
        return prompt.invoke({"q": "why?"}).to_string(), picture

    recording()
    first = fetch()
    assert first[0].endswith(": why?")
    assert first[1].startswith(b"\x89PNG")
    sent = len(pages.seen)
    recording(record_web=False, read_only=True)
    with mode("replay"):
        assert fetch() == first
    assert len(pages.seen) == sent


def test_a_file_without_the_web_loads_nothing_of_it(tmp_path):
    """A hit where no web is recorded imports none of what reads and keeps requests."""
    code = f"""
    import sys
    from jupyter_llmcache import SQLiteCache
    from jupyter_llmcache.commands.local import Demo
    from langchain_core.globals import set_llm_cache
    set_llm_cache(SQLiteCache({str(tmp_path / "a.db")!r}))
    print([Demo(sleep=0).invoke("hi").content for _ in range(2)] != [], *sys.modules)
    """
    told = run(Path(sys.executable), textwrap.dedent(code)).split()
    assert told[0] == "True"
    parts = ("clients", "sockets", "web", "web_answer", "web_request")
    assert not {f"jupyter_llmcache.seam.{part}" for part in parts} & set(told)


def test_replay_in_the_kernel_that_recorded(pages, recording):
    """A cell that recorded is answered when it runs again in replay, in the same kernel."""
    recording()
    first = httpx.get(pages.url("/json")).text
    with mode("replay"):
        assert httpx.get(pages.url("/json")).text == first
    assert len(pages.seen) == 1


@pytest.mark.parametrize("client", ["httpx", "httpx2", "requests", "urllib", "aiohttp"])
def test_a_live_stream_stays_live(client, pages, recording):
    """The first event reaches the reader before the others are sent."""
    recording()
    url = pages.url("/sse")
    pages.goes_on.clear()

    def note(_):
        pages.goes_on.set()

    async def read():
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            async for line in answer.content:
                note(line)

    if client in ("httpx", "httpx2"):
        library = {"httpx": httpx, "httpx2": httpx2}[client]
        with library.stream("GET", url, timeout=PATIENCE_S) as answer:
            for line in answer.iter_lines():
                note(line)
    elif client == "requests":
        for line in requests.get(url, stream=True, timeout=PATIENCE_S).iter_lines(chunk_size=1):
            note(line)
    elif client == "urllib":
        with urllib.request.urlopen(url) as answer:
            for line in answer:
                note(line)
    else:
        asyncio.run(read())
    assert not pages.waited_in_vain
    assert calls()[-1].stored


def test_a_stream_that_says_it_is_over_is_kept(pages, recording):
    """OpenAI's SDK closes a stream at ``[DONE]`` without reading on."""
    for _ in range(2):
        recording()
        with httpx.stream("GET", pages.url("/done")) as answer:
            lines = []
            for line in answer.iter_lines():
                lines.append(line)
                if "[DONE]" in line:
                    break
    assert lines[0] == "data: 1"
    assert [call.kind for call in calls()] == ["miss", "hit"]


@pytest.mark.parametrize("client", ["httpx", "requests"])
def test_a_stream_left_early_is_not_kept(client, pages, recording):
    """Who leaves a stream leaves no half of it in the file."""
    recording()
    pages.goes_on.clear()
    if client == "httpx":
        with httpx.stream("GET", pages.url("/sse")) as answer:
            next(answer.iter_lines())
    else:
        with requests.get(pages.url("/sse"), stream=True, timeout=5) as answer:
            next(answer.iter_lines(chunk_size=1))
    pages.goes_on.set()
    (call,) = calls()
    assert call.reason == "it was left before its end"
    assert not call.stored


@pytest.mark.parametrize("client", ["httpx", "requests", "urllib3", "aiohttp"])
def test_a_body_that_nobody_reads_is_kept(client, pages, recording):
    """A request that only asks whether the page is there replays too."""

    def fetch():
        url = pages.url("/page")
        if client == "httpx":
            with httpx.stream("GET", url) as answer:
                return answer.status_code
        if client == "requests":
            with requests.get(url, stream=True, timeout=5) as answer:
                return answer.status_code
        if client == "urllib3":
            answer = urllib3.PoolManager().request("GET", url, preload_content=False)
            answer.close()
            return answer.status

        async def ask():
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                await asyncio.sleep(0.1)
                return answer.status

        return asyncio.run(ask())

    for _ in range(2):
        recording()
        assert fetch() == 200
    assert len(pages.seen) == 1


@pytest.mark.parametrize("reads", [True, False])
def test_a_body_that_comes_late_is_kept_off_the_loop(reads, pages, recording, monkeypatch):
    """Whether or not somebody reads it, the loop does not wait for the file."""
    wrote, kept = [], threading.Event()
    cache = recording()
    put = cache.store.put

    def seen(entry):
        wrote.append(threading.current_thread())
        kept.set()
        return put(entry)

    monkeypatch.setattr(cache.store, "put", seen)
    pages.goes_on.clear()

    async def ask():
        async with aiohttp.ClientSession() as session, session.get(pages.url("/sse")) as answer:
            pages.goes_on.set()
            if reads:
                await answer.read()
            assert await asyncio.to_thread(kept.wait, 5)

    asyncio.run(ask())
    (call,) = calls()
    assert call.stored
    assert threading.main_thread() not in wrote


@pytest.mark.parametrize("client", ["httpx", "requests", "urllib", "aiohttp"])
def test_a_cut_answer_is_not_kept(client, pages, recording):
    """A connection that broke in the middle leaves nothing behind."""
    recording()
    with pytest.raises(Exception, match=r".*"):  # each client has an error of its own
        CLIENTS[client](pages.url("/cut"))
    assert not any(call.stored for call in calls())


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_passing_answers_are_not_kept(status, pages, recording):
    """What tells of a key, of haste or of a fault is asked again; the line says why."""
    recording()
    assert requests.get(pages.url(f"/status/{status}"), timeout=5).status_code == status
    assert calls()[-1].reason == f"HTTP {status}"
    recording()
    requests.get(pages.url(f"/status/{status}"), timeout=5)
    assert len(pages.seen) == 2


@pytest.mark.parametrize(
    ("status", "told", "kept"),
    [
        (200, {"error": {"message": "overloaded"}}, False),
        (200, {"error": "no model"}, False),
        (200, {"type": "error", "error": {"type": "overloaded_error"}}, False),
        (200, {"error": None, "output": [{"text": '{"error": 1}'}]}, True),
        (400, {"error": {"message": "there is no such model"}}, True),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
def test_an_error_in_a_good_answers_place_is_not_kept(status, told, kept, streams, recording):
    """A model's server that tells of an error where it began to answer well is asked again."""
    event = json.dumps(told)
    body = f'data: {{"text": "half"}}\n\nevent: x\ndata: {event}\n\n' if streams else event

    class Model(Handler):
        def do_POST(self) -> None:
            self.send(body.encode(), status, content_type="text/event-stream")

    recording()
    with LocalServer(Model) as server:
        requests.post(f"{server.root}/v1/chat/completions", json={}, timeout=5)
    assert calls()[-1].stored == kept
    assert (calls()[-1].reason is None) == kept


@pytest.mark.parametrize("client", SEAMS)
def test_a_final_answer_that_is_no_success_is_kept(client, pages, recording):
    """That a page is not there is an answer."""
    for _ in range(2):
        recording()
        assert CLIENTS[client](pages.url("/status/404"))[0] == 404
    assert len(pages.seen) == 1


def test_a_large_answer_is_not_kept_and_arrives(pages, recording):
    """Past ten megabytes the reader gets all and the file nothing, which is told."""
    recording()
    assert len(requests.get(pages.url("/big"), timeout=20).content) > 10_000_000
    assert calls()[-1].reason == "larger than 10 MB"


@pytest.mark.parametrize("client", SEAMS)
def test_cookies_and_tokens_are_not_kept(client, pages, recording, tmp_path):
    """Cookies are left out of an answer; an answer that carries a token is not kept at all."""
    recording()
    CLIENTS[client](pages.url("/cookie"))
    CLIENTS[client](pages.url("/token"))
    assert [call.stored for call in calls()] == [True, False]
    recording().close()
    assert b"of-one-person" not in (tmp_path / "web.db").read_bytes()


def test_a_credential_is_neither_kept_nor_counted(pages, recording, tmp_path, monkeypatch):
    """A course replays under another key, wherever the key stands in the request."""

    def ask(key):
        monkeypatch.setenv("SEARCH_API_KEY", key)
        headers = {"Authorization": f"Bearer {key}", "X-Custom": key}
        url = pages.url(f"/echo?api_key={key}&q=a&k={key}")
        return requests.post(url, json={"api_key": key, "q": 1}, headers=headers, timeout=5).text

    recording()
    first = ask("secret-of-the-teacher")
    recording()
    stored = json.loads(next(iter(recording().store.entries())).request)
    assert stored["keys"] == ["SEARCH_API_KEY"]
    with mode("replay"):
        assert ask("no-key") == first.replace("secret-of-the-teacher", "no-key")
    assert len(pages.seen) == 1


def test_no_secret_is_in_the_file(pages, recording, tmp_path, monkeypatch):
    """Neither the key in the environment nor what looks like a token stands in the file."""
    monkeypatch.setenv("SEARCH_API_KEY", "secret-of-the-teacher")
    cache = recording()
    url = pages.url("/page?key=secret-of-the-teacher&token=sk-abcdefghijklmnopqrstuvwx")
    url = url.replace("://", "://user:pass@of-the-teacher@") + "&x=<secret-of-the-teacher>"
    body = {
        "note": "mine is sk-zyxwvutsrqponmlkjihgfedc, keep it",
        "password": "pass-of-somebody",
        "url": "https://far.test/page?k=secret-of-the-teacher&n=1",
    }
    requests.post(url, json=body, headers={"x-api-key": "other-of-the-teacher"}, timeout=5)
    assert calls()[-1].stored
    (entry,) = cache.store.entries()
    answer = web.decode(entry.answer)[0]
    assert b"no-key" in answer.body
    assert "secret-of" not in repr(answer)
    for text in (entry.request, entry.prompt, entry.title):
        for secret in ("of-the-teacher", "sk-abc", "sk-zyx", "of-somebody"):
            assert secret not in text


#: Where a password may stand in a request.
PLACES = {
    "a code in the query": lambda word: {"params": {"code": word}},
    "a key in the query": lambda word: {"params": {"key": word}},
    "json": lambda word: {"json": {"deep": [{"password": word}]}},
    "number": lambda word: {"json": {"pin": len(word) + 471_100, "max_tokens": 5}},
    "form": lambda word: {"data": {"user": "me", "password2": word, "passwordConfirm": word}},
    "query": lambda word: {"params": {"q": "what is it", "Pass%20word": "x", "session": word}},
    "parts": lambda word: {"files": {"password": (None, word)}},
}

#: Words that begin as tokens do.
WORDS = [
    ("skyscrapers_of_chicago", "skateboards_of_berlin"),
    ("sk-learn-documentation-2024", "sk-learn-user-guide-2023-05"),
    ("ghostbusters.soundtrack", "ghost-towns-of-california"),
    ("pkg_resources_deprecated", "pkgutil-extend-path-deprecated"),
    ("hf_transformers_integration", "hf_datasets_documentation"),
    ("eyJafjallajokull_eruption", "eyJafjallajokull_ash_cloud"),
]


@pytest.mark.parametrize("held", ["environment", "header", "query"])
def test_a_key_that_an_answer_says_again_is_not_kept(held, pages, recording, monkeypatch):
    """What a server writes of the teacher's key into its page is a placeholder in replay."""
    key = "secret-of-the-teacher"
    if held == "environment":
        monkeypatch.setenv("ECHO_API_KEY", key)
    headers = {"authorization": f"Bearer {key}"} if held == "header" else {}
    url = pages.url("/echo?api_key=" + (key if held == "query" else ""))
    cache = recording()
    for _ in range(2):  # whoever has the key gets what the server says
        told = requests.post(url, data=f"next={key}".encode(), headers=headers, timeout=5).text
        assert key in told
    answers = [web.decode(entry.answer)[0] for entry in cache.store.entries()]
    assert answers
    assert not any(key.encode() in answer.wire for answer in answers)
    assert all(b"next=no-key" in answer.body for answer in answers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "Bearer of-one-person"),
        ("x_authorization", "of-one-person"),
        ("x_api_key", "of-one-person"),
        ("x_session", "sk-proj-0123456789abcdefghij"),
        ("x_password", "of-one-person"),
    ],
)
def test_a_credential_in_a_header_of_an_answer_is_not_kept(name, value, pages, recording):
    """What a login hands out stays out of the file; headers that tell of the page stay in it."""
    cache = recording()
    given = requests.get(pages.url(f"/with?{name}={value}"), timeout=5).headers
    assert given[name.replace("_", "-")] == value
    (entry,) = cache.store.entries()
    kept = dict(web.decode(entry.answer)[0].headers)
    assert value not in kept.values()
    assert kept["x-author"] == "somebody"


#: Parts of a request that hold no credential, whatever they are called.
PARTS = {
    "a word": lambda word: {"params": {"cookie": word}},
    "a field": lambda word: {"json": {"cookie": word}},
    "no signature": lambda word: {"params": {"sig": word, "sp": word}},
    "a place": lambda word: {"headers": {"x-client-location": word}},
    "an id": lambda word: {"headers": {"client-id": word}},
    "a feature": lambda word: {"headers": {"x-sdk-feature": word}},
}


@pytest.mark.parametrize("part", PARTS)
def test_what_may_change_an_answer_counts(part, pages, recording):
    """What is called like a credential or a program's mark, and is none, tells requests apart."""
    recording()
    texts = {
        requests.post(pages.url("/page"), **PARTS[part](word), timeout=5).text
        for word in ("oatmeal", "chocolate")
    }
    assert len(texts) == 2


@pytest.mark.parametrize("place", ["params", "json"])
def test_a_word_that_is_a_key_too_counts(place, pages, recording, monkeypatch):
    """Where a stand-in for a key is a word, a search for that word has an answer of its own."""
    monkeypatch.setenv("OPENAI_API_KEY", "ollama")
    monkeypatch.setenv("DB_PASSWORD", "root")
    recording()
    texts = set()
    for word in ("ollama", "root"):
        asked = {"q": word, "app_id": "ollama", "page": 1}
        texts.add(requests.post(pages.url("/page"), **{place: asked}, timeout=5).text)
    assert len(texts) == 2
    recording()
    monkeypatch.setenv("OPENAI_API_KEY", "no-key")
    asked = {"q": "root", "app_id": "no-key", "page": 1}
    assert requests.post(pages.url("/page"), **{place: asked}, timeout=5).text in texts


@pytest.mark.parametrize(("one", "other"), WORDS)
def test_a_word_that_begins_like_a_token_counts(one, other, pages, recording):
    """Two searches for a word each have an answer each, whatever the words begin with."""
    recording()
    answers = set()
    for word in (one, other):
        answers.add(requests.get(pages.url("/page"), params={"q": word}, timeout=5).text)
        answers.add(requests.post(pages.url("/echo"), json={"q": word}, timeout=5).text)
    assert len(pages.seen) == len(answers) == 4


def test_half_a_pair_is_sent_and_kept(pages, recording):
    """A text that has no UTF-8, which JSON can carry, is asked for as any other."""
    texts = []
    for _ in range(2):
        recording()
        sent = requests.post(pages.url("/page"), json={"q": "\ud83d"}, timeout=5)
        texts.append(sent.text)
    assert texts[0] == texts[1]
    assert len(pages.seen) == 1


#: As services make them.
TOKENS = [
    ("sk-proj-a1B2c3D4e5F6g7H8i9J0k1L2m3", "sk-proj-Z1B2c3D4e5F6g7H8i9J0k1L2m3"),
    ("hf_aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH", "hf_zZcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH"),
    ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_99C7e42F292c6912E7710c838347Ae178B4a"),
    ("tvly-dev-a1B2c3D4e5F6g7H8i9J0k1L2m3n4", "tvly-dev-b1B2c3D4e5F6g7H8i9J0k1L2m3n4"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIyIn0.bmF0"),
]


@pytest.mark.parametrize(("one", "other"), TOKENS)
def test_a_token_counts_for_nothing(one, other, pages, recording):
    """Who has another token of a service gets what was recorded with the first, and sees none."""
    for word in (one, other):
        cache = recording()
        requests.post(pages.url(f"/page?k={word}"), json={"k": word}, timeout=5)
    assert [call.kind for call in calls()] == ["miss", "hit"]
    assert not any(one[-8:] in repr(entry) for entry in cache.store.entries())


@pytest.mark.parametrize(
    "path",
    [
        "/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/getMe",
        "/T0/B0/a1B2c3D4e5F6g7H8i9J0k1L2",
        "/hooks/a1b27f6e5d4c3b2a1908f7e6d5c4b3a2",
    ],
)
def test_a_token_in_a_path_is_not_shown(path, pages, recording):
    """An address that is a secret itself, as a bot's or a hook's, can be read nowhere."""
    cache = recording()
    requests.post(pages.url(path), timeout=5)
    (entry,) = cache.store.entries()
    assert not any(word in entry.prompt + entry.title for word in ("AAHdq", "a1B2", "a1b2"))


@pytest.mark.parametrize("place", PLACES)
def test_what_is_not_shown_still_counts(place, pages, recording):
    """Two passwords, two requests: what is hidden from readers makes the key all the same."""
    cache = recording()
    for word in ("hunter-one", "hunter-second"):
        requests.post(pages.url("/echo"), **PLACES[place](word), timeout=5)
    assert len(pages.seen) == 2
    assert sum(call.stored for call in calls()) == 2
    for entry in cache.store.entries():
        assert not re.search("hunter|4711", entry.request + entry.prompt + entry.title)
    with mode("replay"), pytest.raises(ReplayMissError) as missed:
        requests.post(pages.url("/echo", "far.test"), **PLACES[place]("hunter-three"), timeout=5)
    assert "hunter" not in str(missed.value)


def test_a_signature_in_a_redirect_is_not_kept(pages, recording):
    """A signed address is left out; in auto it is asked for anew, for the old one has expired."""
    cache = recording()
    first = requests.get(pages.url("/signed"), timeout=5).text
    assert not any("abcdef" in repr(entry) for entry in cache.store.entries())
    recording()
    assert requests.get(pages.url("/signed"), timeout=5).text == first
    with mode("replay"):
        recording(record_web=False)
        assert requests.get(pages.url("/signed"), timeout=5).text == first
    assert [path.partition("?")[0] for _, path, _ in pages.seen] == [
        "/signed",
        "/target",
        "/signed",
    ]


@pytest.mark.parametrize("client", ["httpx", "requests", "aiohttp", "httpx2 async"])
def test_files_sent_are_the_same_request_again(client, pages, recording):
    """The random boundary between the parts of a form does not count, their content does."""

    def send(content):
        if client == "aiohttp":
            form = aiohttp.FormData()
            form.add_field("file", content, filename="a.txt")
            return CLIENTS[client](pages.url("/page"), method="POST", data=form)
        files = {"file": ("a.txt", content)}
        return CLIENTS[client](pages.url("/page"), method="POST", files=files)

    for _ in range(2):
        recording()
        send(b"one")
    assert len(pages.seen) == 1
    send(b"two")
    assert len(pages.seen) == 2


def test_a_body_that_can_be_read_once_is_sent_and_not_kept(pages, recording):
    """A generator goes out as it is."""
    recording()
    text = requests.post(pages.url("/echo"), data=b"ab", timeout=5).text
    generated = requests.post(pages.url("/echo"), data=iter([b"a", b"b"]), timeout=5).text
    assert (text, generated) == ("ab 1", "ab 2")
    assert calls()[-1].reason == "what was sent cannot be read twice"


def test_what_one_call_alone_carries_does_not_count(pages, recording):
    """A trace's number and what the asker holds already are of one call; a 304 is not kept."""
    for number, name in enumerate(("x-amzn-trace-id", "b3", "x-correlation-id", "traceparent")):
        recording()
        url = pages.url(f"/page?{name}")
        asked = [requests.get(url, headers={name: f"{number}-{i}"}, timeout=5) for i in (1, 2)]
        recording()
        again = requests.get(url, headers={name: "another", "if-none-match": '"1"'}, timeout=5)
        assert again.text == asked[0].text
    recording()
    for _ in range(2):
        assert requests.get(pages.url("/status/304"), timeout=5).status_code == 304
    assert [call.stored for call in calls()[-2:]] == [False, False]


class _Unfiled:
    """An answer as urllib3-future has one: no file to read from."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)
        self.closed = False

    def isclosed(self) -> bool:
        return self.closed

    def read(self, size: int | None = None) -> bytes:
        data = self._body.read(size)
        self.closed = self._body.tell() == len(self._body.getvalue())
        return data

    read1 = read

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("whole", [True, False])
def test_an_answer_without_a_file_is_recorded(whole, recording):
    """Where another library stands in urllib3's place, its answers arrive, and are kept if read."""

    class Pool(urllib3.HTTPConnectionPool):
        def urlopen(self, *args, **kwargs):
            raw = _Unfiled(b"some words")
            return urllib3.HTTPResponse(
                raw, status=200, original_response=raw, preload_content=False
            )

    door = client_http._URLLIB3(Pool.urlopen, urllib3)
    for _ in range(2):
        recording()
        answer = door(Pool("pages.test"), "GET", "/page", preload_content=False)
        assert answer.read(None if whole else 4) == (b"some words" if whole else b"some")
        answer.close()
    assert [call.kind for call in calls()] == ["miss", "hit" if whole else "miss"]


@pytest.mark.parametrize(
    ("client", "packing"), [(httpx, "br"), (httpx, "zstd"), (requests, "members")]
)
def test_packings_are_undone(client, packing, pages, recording):
    """What one machine unpacks another may not: the file holds plain bodies, whole."""
    cache = recording()
    first = client.get(pages.url(f"/{packing}"), timeout=5).text
    (entry,) = cache.store.entries()
    assert web.decode(entry.answer)[0].body.decode() == first


def test_an_unknown_packing_is_not_kept(pages, recording):
    """What cannot be unpacked is told and left out."""
    recording()
    httpx.get(pages.url("/unknownpacking"))
    assert "cannot be unpacked" in calls()[-1].reason


def test_refresh_overwrites_and_bypass_leaves(pages, recording):
    """The modes mean for the web what they mean for models."""
    recording()
    first = httpx.get(pages.url("/json")).text
    recording()
    with mode("bypass"):
        assert httpx.get(pages.url("/json")).text != first
    recording()
    with mode("refresh"):
        fresh = httpx.get(pages.url("/json")).text
    recording()
    assert httpx.get(pages.url("/json")).text == fresh
    assert [call.kind for call in calls()] == ["miss", "bypass", "miss", "hit"]


def test_head_and_its_length(pages, recording):
    """The length that HEAD tells is the page's, though no body came."""
    recording()
    first = requests.head(pages.url("/page"), timeout=5)
    recording()
    second = requests.head(pages.url("/page"), timeout=5)
    assert second.headers["content-length"] == first.headers["content-length"] != "0"
    assert (second.content, len(pages.seen)) == (b"", 1)


def test_a_cached_call_of_langchain_is_kept_once(openai_server, chat_openai):
    """What comes through LangChain's door is kept there; the SDK's own request beside it, here."""
    from langchain_core.globals import set_llm_cache

    cache = MemoryCache(record_web=True)
    set_llm_cache(cache)
    model = chat_openai()
    model.invoke("one")
    list(model.stream("two"))
    asyncio.run(model.ainvoke("three"))
    assert [call.asked for call in calls()] == ["model"] * 3
    model.root_client.embeddings.create(model="e", input=["x"])
    assert [call.asked for call in calls()][3:] == ["web"]
    kinds = sorted(entry.kind for entry in cache.store.entries())
    assert kinds == ["answer", "answer", "answer", "web"]
    cache.close()


def test_a_raw_sdk_is_recorded_and_replayed(openai_server, recording):
    """OpenAI's client, whole and streamed, sync and async, needs no server the second time."""
    settings = {"api_key": "sk-teacher", "base_url": openai_server.url, "max_retries": 0}
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

    def ask():
        client = openai.OpenAI(**settings)
        whole = client.chat.completions.create(**asked).choices[0].message.content
        pieces = [
            chunk.choices[0].delta.content or ""
            for chunk in client.chat.completions.create(**asked, stream=True)
            if chunk.choices
        ]

        async def later():
            async with openai.AsyncOpenAI(**settings) as other:
                return (await other.chat.completions.create(**asked)).choices[0].message.content

        return whole, "".join(pieces), asyncio.run(later())

    recording()
    first = ask()
    sent = len(openai_server.requests)
    assert sent == 3
    recording(record_web=False, read_only=True)
    with mode("replay"):
        assert ask() == first
    assert len(openai_server.requests) == sent


def test_a_raw_sdk_replays_at_another_address(openai_server, recording):
    """A model's recorded answers come at whatever address it has then, if the file knows one."""

    def ask(model: str, address: str) -> list[str]:
        client = openai.OpenAI(api_key="sk-x", base_url=address, max_retries=0)
        messages = [{"role": "user", "content": "hello"}]
        asked = [client.chat.completions.create(model=model, messages=messages) for _ in range(2)]
        return [answer.choices[0].message.content for answer in asked]

    student = "https://api.openai.com/v1"
    recording()
    first = ask("m", openai_server.url)
    sent = len(openai_server.requests)
    recording()
    with mode("replay"):
        assert ask("m", student) == first
        with pytest.raises(NotSentError):
            ask("other", student)
    ask("m", openai_server.url.replace("127.0.0.1", "localhost"))
    with mode("replay"), pytest.raises(NotSentError):
        ask("m", student)  # of two addresses one would be a guess
    assert len(openai_server.requests) == sent + 2


def test_jupyter_itself_is_not_recorded(pages, recording):
    """What the notebook asks its own server is no part of the lesson."""
    recording()
    requests.get(f"{pages.root}/api/kernels", timeout=5)
    assert calls() == []


def test_reports_to_makers_are_not_recorded(pages, recording):
    """What a library reports of itself is neither kept nor told."""
    recording()
    requests.post(pages.url("/batch", "eu.i.posthog.com.test"), json={}, timeout=5)
    assert [call.model for call in calls()] == ["web:eu.i.posthog.com.test"]


def test_threads_record_and_replay(pages, recording):
    """Many threads at once lose nothing and mix nothing up."""

    def fetch(number, into):
        into[number] = requests.get(pages.url(f"/page{number}"), timeout=10).text

    both = []
    for _ in range(2):
        recording()
        into = {}
        threads = [threading.Thread(target=fetch, args=(n, into)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        both.append(into)
    assert both[0] == both[1]
    assert len(pages.seen) == 20


def test_a_fault_of_the_store_costs_no_answer(pages, recording, monkeypatch):
    """Once the server has answered, the notebook gets the answer, whatever the file does."""
    cache = recording()

    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr(cache.store, "put_many", fail)
    assert requests.get(pages.url("/page"), timeout=5).status_code == 200
    assert calls()[-1].warning == "no room"


def test_a_read_only_file_takes_nothing(pages, recording):
    """The line says why what was fetched is not kept."""
    recording()
    requests.get(pages.url("/page"), timeout=5)
    recording(read_only=True)
    requests.get(pages.url("/other"), timeout=5)
    assert calls()[-1].reason.endswith("is read-only")


def test_without_the_flag_nothing_is_touched(pages, recording):
    """A cache that does not record the web leaves every client as it is."""
    before = httpx.HTTPTransport.handle_request, urllib3.HTTPConnectionPool.urlopen
    recording(record_web=False)
    assert (httpx.HTTPTransport.handle_request, urllib3.HTTPConnectionPool.urlopen) == before
    cache = recording()
    assert httpx.HTTPTransport.handle_request is not before[0]
    cache.close()
    assert (httpx.HTTPTransport.handle_request, urllib3.HTTPConnectionPool.urlopen) == before


def test_a_client_imported_later_is_recorded(pages, tmp_path):
    """A cell may import its client after the cache was turned on."""
    code = f"""
import sys
from jupyter_llmcache import MemoryCache, SQLiteCache, calls
cache = SQLiteCache({str(tmp_path / "later.db")!r}, record_web=True)
assert "aiohttp" not in sys.modules
import asyncio, aiohttp
async def fetch():
    async with aiohttp.ClientSession() as session, session.get({pages.root + "/page"!r}) as got:
        await got.read()
asyncio.run(fetch())
print([call.stored for call in calls()])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[True]", done.stderr


def test_where_other_code_leads_requests_elsewhere(pages, recording, monkeypatch):
    """A mirror below a client changes where it goes, not what was asked for."""
    real = requests.adapters.HTTPAdapter.send

    def mirrored(self, request, **kwargs):
        request.url = request.url.replace("http://asked.test", pages.root)
        return real(self, request, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(requests.adapters.HTTPAdapter, "send", mirrored)
        recording()
        first = requests.get("http://asked.test/page", timeout=5).text
        recording().close()
    recording(record_web=False)
    with mode("replay"):
        assert requests.get("http://asked.test/page", timeout=5).text == first


def test_hosts_tells_what_a_store_holds(pages):
    """Before a file is given away its hosts and bytes can be told."""
    cache = MemoryCache(record_web=True)
    requests.get(pages.url("/page", "a.test"), timeout=5)
    requests.get(pages.url("/page2", "a.test"), timeout=5)
    requests.get(pages.url("/page", "b.test"), timeout=5)
    totals = hosts_in(cache.store)
    assert {(row["host"], row["entries"]) for row in totals} == {("a.test", 2), ("b.test", 1)}
    assert all(row["size_bytes"] > 0 for row in totals)
    cache.close()


def test_a_hostile_row_is_no_answer(pages, recording):
    """A row that was tampered with is a miss, and no header can smuggle a line."""
    cache = recording()
    requests.get(pages.url("/page"), timeout=5)
    (entry,) = cache.store.entries()
    for answer in (b"", b"z", b"p\0\0\0\1{", b"z" + b"\0" * 50, entry.answer[:20]):
        cache.store.put(entry._replace(answer=answer))
        with pytest.raises(web.StoreError):
            web.decode(answer)
    forged = web.WebAnswer(200, "OK\r\nx: y", [("a", "b\r\nset-cookie: c")], b"")
    assert b"\r\nset-cookie" not in web.decode(web.encode(forged, signed=False))[0].wire


def test_the_doors_of_a_memory_store(pages):
    """Any store serves."""
    one = ObservedCache(MemoryStore(), record_web=True)
    first = httpx.get(pages.url("/json")).text
    other = ObservedCache(one.store, record_web=True)
    assert httpx.get(pages.url("/json")).text == first
    other.close()
    one.close()
    assert not clients._DOORS._put


# --- clients with sockets of their own, where they are installed ---


def _curl(url):
    from curl_cffi import requests as client

    return client.Session(impersonate="chrome").get(url, params={"q": "a b"}).text


def _async_curl(url):
    from curl_cffi import requests as client

    async def ask():
        async with client.AsyncSession() as session:
            return (await session.post(url, json={"a": 1})).text

    return asyncio.run(ask())


def _httplib2(url):
    import httplib2

    return httplib2.Http(timeout=5).request(url)[1]


def _primp(url):
    import primp

    return primp.Client(impersonate="random", impersonate_os="random").get(url).text


def _primp_function(url):
    import primp

    return primp.post(url, json={"a": 1}).text


@pytest.mark.slow  # wants the packages
@pytest.mark.parametrize(
    ("package", "fetch"),
    [
        ("curl_cffi", _curl),
        ("curl_cffi", _async_curl),
        ("primp", _primp),
        ("primp", _primp_function),
        ("httplib2", _httplib2),
    ],
)
def test_what_other_clients_fetch_is_recorded(package, fetch, pages, recording):
    """They replay what they fetched, whatever browser they play."""
    pytest.importorskip(package)
    texts = []
    for _ in range(2):
        recording()
        texts.append(fetch(f"{pages.root}/page"))
    assert texts[0]
    assert texts[0] == texts[1]
    assert [call.kind for call in calls()] == ["miss", "hit"]
    with mode("replay"):
        assert fetch(f"{pages.root}/page") == texts[0]
        with pytest.raises(ReplayMissError):
            fetch("http://far.example/page")
