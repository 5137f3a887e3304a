"""In replay nothing leaves this machine: by no client, thread, process or open connection."""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import contextlib
import functools
import getpass
import http.client
import io
import json
import multiprocessing.pool
import os
import shutil
import smtplib
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import anthropic
import httpx
import httpx2
import ollama
import openai
import pytest
import requests
import urllib3
from langchain_anthropic import ChatAnthropic
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

from jupyter_llmcache import MemoryCache, SQLiteCache, calls, mode, modes
from jupyter_llmcache.errors import NotSentError, ReplayMissError
from jupyter_llmcache.seam import replay, sockets
from jupyter_llmcache.seam.web_request import WebRequest, asks_model, is_here
from tests.integration.fetching import CLIENTS
from tests.servers.anthropic import AnthropicServer

#: No retry may cost more, in seconds.
AT_ONCE_S = 1.0


pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def replaying(pages) -> Iterator[None]:
    """Replay without any file; at its end nothing must have arrived."""
    with mode("replay"):
        yield
    assert pages.seen == []


def refused(act: Callable[[], Any]) -> ReplayMissError | NotSentError:
    """Return the error of ours that ``act`` raises, at once."""
    began = time.perf_counter()
    with pytest.raises((ReplayMissError, NotSentError)) as told:
        act()
    assert time.perf_counter() - began < AT_ONCE_S
    return told.value


def _retrying(url):
    session = requests.Session()
    retries = urllib3.Retry(total=5, backoff_factor=0.5, status_forcelist=[500, 503])
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
    return session.get(url, timeout=2)


def _streaming(url):
    with httpx.stream("GET", url) as answer:
        return answer.read()


#: Ways out by HTTP; each gets the address of a page on another machine.
WAYS: dict[str, Callable[[str], Any]] = {
    **{name: CLIENTS[name] for name in ("httpx", "httpx async", "httpx2", "httpx2 async")},
    **{name: CLIENTS[name] for name in ("requests", "urllib3", "urllib", "http.client", "aiohttp")},
    "httpx streaming": _streaming,
    "requests with Retry": _retrying,
    "urllib retrieve": urllib.request.urlretrieve,
}


@pytest.mark.parametrize("way", WAYS)
def test_no_page_is_fetched(way, pages, replaying):
    """Each client tells in one line what was not sent."""
    error = refused(lambda: WAYS[way](pages.url("/page?q=1")))
    assert "GET http://pages.test" in str(error)
    assert "/page?q=1" in str(error)
    (call,) = calls()
    assert (call.asked, call.kind, call.unrecorded) == ("web", "error", "nothing recorded")


@pytest.mark.parametrize("way", WAYS)
def test_this_machine_may_be_reached(way, pages):
    """A server of the lesson's own is no other machine."""
    with mode("replay"):
        WAYS[way](f"{pages.root}/page")
    assert len(pages.seen) == 1
    assert calls() == []


@pytest.mark.parametrize("way", ["httpx", "requests", "urllib3", "urllib", "aiohttp", "httpx2"])
def test_a_proxy_on_this_machine_lets_nothing_out(way, pages, replaying, monkeypatch):
    """Clients are judged by whom they ask, not by whom they connect to."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, pages.root)
    ways = {
        **WAYS,
        "urllib3": lambda url: urllib3.ProxyManager(pages.root).request("GET", url),
        "aiohttp": lambda url: asyncio.run(_proxied(url)),
    }

    async def _proxied(url):
        async with aiohttp.ClientSession(trust_env=True) as session, session.get(url) as answer:
            return await answer.text()

    for url in ("http://far.test/page", "https://far.test/page"):
        refused(functools.partial(ways[way], url))
    assert pages.connections == 0
    assert pages.connects == []


# --- what asks a model ---


def _openai(url):
    return openai.OpenAI(api_key="k", base_url=f"{url}/v1", max_retries=3)


def _async_openai(url):
    return openai.AsyncOpenAI(api_key="k", base_url=f"{url}/v1", max_retries=3)


def _anthropic(url):
    return anthropic.Anthropic(api_key="k", base_url=url, max_retries=3)


HI = [{"role": "user", "content": "hi"}]


async def _chat_later(url):
    async with _async_openai(url) as client:
        return await client.chat.completions.create(model="m", messages=HI)


def _ollama(url):
    return ollama.Client(host=url).chat(model="m", messages=HI)


def _chat(url, **kwargs):
    return ChatOpenAI(model="m", api_key="k", base_url=f"{url}/v1", max_retries=3, **kwargs)


def _claude(url):
    return ChatAnthropic(model="claude-x", api_key="k", base_url=url, max_retries=3)


def _fallen_back(url):
    chain = _chat(url).with_fallbacks([_chat(url)]).with_retry(stop_after_attempt=3)
    return chain.bound.runnable.root_client.chat.completions.create(model="m", messages=HI)


ASKING: dict[str, Callable[[str], Any]] = {
    "openai chat": lambda url: _openai(url).chat.completions.create(model="m", messages=HI),
    "openai stream": lambda url: list(
        _openai(url).chat.completions.create(model="m", messages=HI, stream=True)
    ),
    "openai async": lambda url: asyncio.run(_chat_later(url)),
    "openai responses": lambda url: _openai(url).responses.create(model="m", input="hi"),
    "openai embeddings": lambda url: _openai(url).embeddings.create(model="m", input="hi"),
    "openai moderation": lambda url: _openai(url).moderations.create(input="hi"),
    "openai models": lambda url: _openai(url).models.list(),
    "openai images": lambda url: _openai(url).images.generate(prompt="a cat"),
    "anthropic": lambda url: _anthropic(url).messages.create(model="m", max_tokens=5, messages=HI),
    "anthropic token counting": lambda url: _anthropic(url).messages.count_tokens(
        model="m", messages=HI
    ),
    "langchain's token counting": lambda url: _claude(url).get_num_tokens_from_messages(
        [HumanMessage("hi")]
    ),
    "ollama": _ollama,
    "llm.client": lambda url: _chat(url).client.create(model="m", messages=HI),
    "llm.root_client": lambda url: _chat(url).root_client.models.list(),
    "fallbacks and retries": _fallen_back,
    "bare requests": lambda url: requests.post(
        f"{url}/v1/chat/completions", json={"model": "m", "messages": HI}, timeout=2
    ),
    "bare urllib": lambda url: urllib.request.urlopen(
        urllib.request.Request(f"{url}/api/generate", b"{}"), timeout=2
    ),
    "bare aiohttp": lambda url: asyncio.run(_post_later(f"{url}/v1/messages")),
    "bare httpx to Gemini": lambda url: httpx.post(
        f"{url}/v1beta/models/g:generateContent", json={}
    ),
}


async def _post_later(url):
    async with aiohttp.ClientSession() as session, session.post(url, json={}) as answer:
        return await answer.text()


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("asking", ASKING)
def test_no_model_is_asked(asking, where, pages, replaying):
    """Also on this machine; no SDK asks again, and none wraps what it is told."""
    root = pages.root if where == "here" else pages.url("", "models.test")
    error = refused(lambda: ASKING[asking](root))
    assert "was not sent" in str(error)
    assert calls()[-1].unrecorded == "nothing recorded"
    assert pages.connections == 0


@pytest.mark.parametrize("asking", ["openai chat", "anthropic", "bare requests", "openai async"])
def test_allow_web_lets_no_model_be_asked(asking, pages):
    """With --allow-web a page is fetched after the file was asked, and a model is not."""
    modes.set_session_mode("replay", allow_web=True)
    replay.hold(pages)
    refused(lambda: ASKING[asking](pages.url("", "models.test")))
    assert pages.seen == []
    assert requests.get(pages.url("/page"), timeout=2).status_code == 200
    assert [call.kind for call in calls()] == ["error", "miss"]
    assert not calls()[-1].stored


def test_allow_web_by_the_magic(shell, pages):
    """The file is asked first; what it lacks is fetched and not kept; no model is asked."""
    shell.run("%load_ext jupyter_llmcache\n%llm_cache sqlite a.db --record-web\nimport requests")

    def get(path):
        shell.run(f"found = requests.get({pages.url(path)!r}).text")
        return shell.user_ns["found"]

    recorded = get("/recorded")
    shell.run("%llm_cache sqlite a.db --read-only\n%llm_cache mode replay --allow-web")
    assert get("/recorded") == recorded
    assert len(pages.seen) == 1
    assert get("/other") != get("/other")
    assert [path for _, path, _ in pages.seen] == ["/recorded", "/other", "/other"]
    for cell in (
        f"requests.post({pages.url('/v1/chat/completions')!r}, json={{}})",
        f"import openai; openai.OpenAI(base_url={pages.url('/v1')!r}).models.list()",
    ):
        failed = shell.run_cell(cell)
        assert isinstance(failed.error_in_exec, NotSentError)
    shell.run("%llm_cache mode replay")
    assert isinstance(
        shell.run_cell(f"requests.get({pages.url('/other')!r})").error_in_exec, ReplayMissError
    )
    assert get("/recorded") == recorded
    assert len(pages.seen) == 3
    shell.run("%llm_cache mode auto\n%unload_ext jupyter_llmcache")


def test_a_block_of_replay_is_stricter_than_allow_web(pages):
    """Where two ask for replay, what one forbids is forbidden."""
    modes.set_session_mode("replay", allow_web=True)
    replay.hold(pages)
    with mode("replay"):
        refused(lambda: requests.get(pages.url("/page"), timeout=2))
    assert requests.get(pages.url("/page"), timeout=2).status_code == 200


@pytest.mark.parametrize("client", [_openai, _anthropic])
def test_an_error_of_replay_in_threads_and_tasks(client, pages, replaying):
    """Pools, threads of one's own and gathered tasks hand it on."""
    act = functools.partial(ASKING["openai chat"], pages.root)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        refused(pool.submit(act).result)
    caught: list[BaseException] = []

    def run():
        try:
            act()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert isinstance(caught[0], NotSentError)

    async def gathered():
        await asyncio.gather(_chat_later(pages.root), _chat_later(pages.root))

    refused(lambda: asyncio.run(gathered()))


def test_the_cell_is_named(shell, pages):
    """The line names what was asked and by which cell, and the cell fails in one line."""
    shell.run_cell("%load_ext jupyter_llmcache")
    shell.run_cell("%llm_cache mode replay")
    failed = shell.run_cell(
        f"import requests; requests.get({pages.url('/page')!r})", store_history=True
    )
    assert isinstance(failed.error_in_exec, ReplayMissError)
    assert "(cell " in str(failed.error_in_exec)
    shell.run_cell("%reload_ext jupyter_llmcache")
    shell.run_cell("%unload_ext jupyter_llmcache")
    assert pages.seen == []


def test_a_swallowed_refusal_still_shows(pages, replaying):
    """Code that catches everything hides it from the cell, not from the ledger."""
    with contextlib.suppress(Exception):
        requests.get(pages.url("/page"), timeout=2)
    assert calls()[-1].unrecorded


@pytest.mark.parametrize(
    ("how", "differs"),
    [
        ({"json": {"query": "b", "n": 1}}, "body: query"),
        ({"json": {"query": "c", "n": 2, "t": 0}}, "body: t"),
        ({"json": {"query": "a", "n": 1}, "headers": {"x-mode": "b"}}, "header: x-mode"),
        ({"data": b"text"}, "header: content-type, another body"),
    ],
)
def test_what_differs_is_told(pages, how, differs):
    """Of the recorded requests to the same address the nearest is told, with what differs."""
    cache = MemoryCache(record_web=True)
    for query, n in [("a", 1), ("c", 2), ("d", 3)]:
        requests.post(pages.url("/echo"), json={"query": query, "n": n}, timeout=2)
    with mode("replay"):
        error = refused(lambda: requests.post(pages.url("/echo"), timeout=2, **how))
    assert f"recorded there with another {differs}." in str(error)
    cache.close()


# --- sockets ---

#: Ways out by sockets; each gets a name of another machine, and a port.
SOCKETS: dict[str, Callable[[str, int], Any]] = {
    "create_connection": lambda host, port: socket.create_connection((host, port), 2),
    "connect": lambda host, port: _connected(host, port).close(),
    "connect_ex": lambda host, port: socket.socket().connect_ex((host, port)),
    "http.client": lambda host, port: http.client.HTTPConnection(host, port).connect(),
    "smtplib": lambda host, port: smtplib.SMTP(host, port, timeout=2),
    "asyncio": lambda host, port: asyncio.run(asyncio.open_connection(host, port)),
    "a name is looked up": socket.getaddrinfo,
    "gethostbyname": lambda host, _: socket.gethostbyname(host),
    "websockets": lambda host, port: asyncio.run(_websocket(f"ws://{host}:{port}/")),
}


def _connected(host, port):
    new = socket.socket()
    new.connect((host, port))
    return new


async def _websocket(url):
    from websockets.asyncio.client import connect

    async with connect(url, open_timeout=1):
        pass


@pytest.mark.parametrize("way", SOCKETS)
def test_no_socket_reaches_another_machine(way, replaying):
    """By name or by address, what is not this machine's is refused before it is dialled."""
    for host in ("203.0.113.7", "far.example"):
        error = refused(lambda host=host: SOCKETS[way](host, 80))
        assert host in str(error)
    assert calls()[-1].unrecorded


def test_no_datagram_leaves(replaying):
    """Datagrams are refused as a network that is not there: many libraries bear that alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as new:
        with pytest.raises(OSError, match="replay"):
            new.sendto(b"x", ("203.0.113.7", 53))
        with pytest.raises(OSError, match="replay"):
            new.connect(("203.0.113.7", 53))


def test_who_looks_a_name_up_first_finds_what_was_recorded(pages, tmp_path):
    """Some libraries look where an address leads before they ask; they bear that it is unknown."""
    set_llm_cache(SQLiteCache(tmp_path / "names.db", record_web=True))
    body = urllib.request.urlopen(pages.url("/who"), timeout=2).read()
    with mode("replay"):
        before = len(calls())
        with pytest.raises(socket.gaierror, match=r"the name pages\.test was not asked for"):
            socket.gethostbyname("pages.test")
        assert urllib.request.urlopen(pages.url("/who"), timeout=2).read() == body
        assert [call.kind for call in calls()[before:]] == ["hit"]


def test_sockets_of_this_machine_are_free(pages):
    """Loopback by name and address, and sockets that are files."""
    with mode("replay"):
        for host in ("127.0.0.1", "localhost"):
            with socket.create_connection((host, pages.port), 2):
                pass
        left, right = socket.socketpair()
        with left, right:
            left.sendall(b"x")


def test_after_replay_all_is_open_again(pages):
    """The wall stands for as long as the block runs."""
    with mode("replay"):
        refused(lambda: requests.get(pages.url("/page"), timeout=2))
    assert requests.get(pages.url("/page"), timeout=2).status_code == 200
    assert not sockets._DOORS._put


def test_our_own_store_stays_reachable(pages):
    """A store on another machine is asked in replay too."""
    with mode("replay"):
        sockets.free(["store.test"])
        with socket.create_connection(("store.test", pages.port), 2):
            pass
    sockets._ours.clear()


def test_is_here_looks_nothing_up(monkeypatch):
    """Addresses of this machine are known without asking anybody."""
    monkeypatch.setattr(socket, "getaddrinfo", None)
    is_here.cache_clear()
    here = ["localhost", "a.localhost", "127.9.9.9", "::1", "0.0.0.0", "", "::ffff:127.0.0.1"]
    far = [
        "example.com",
        "203.0.113.7",
        "8.8.8.8",
        "2001:db8::1",
        "127.0.0.1.evil.test",
        "224.0.0.1",
    ]
    assert [is_here(name) for name in here] == [True] * len(here)
    assert [is_here(name) for name in far] == [False] * len(far)


OPEN = """
import json, socket, threading
from jupyter_llmcache import mode
server = socket.create_server((HOST, 0))
far = socket.create_connection(server.getsockname())
theirs, _ = server.accept()
near_server = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(near_server.getsockname())
from jupyter_llmcache.seam import sockets, web_request
sockets.is_here = lambda host: host != HOST and web_request.is_here(host)
server.close()
with mode("replay"):
    try:
        far.sendall(b"x")
        sent = theirs.recv(1) == b"x"
    except OSError:
        sent = False
    near.sendall(b"x")
print(json.dumps(sent))
"""


def test_open_connections_are_shut():
    """What stands open to another machine when replay begins is shut; this machine's stays."""
    code = f"HOST = '127.0.0.9'\n{OPEN}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "false", done.stderr


def test_who_called_us_stays_connected():
    """A front end on another machine keeps its kernel: what was accepted is not shut."""
    code = f"HOST = '127.0.0.9'\n{OPEN}".replace("server.close()\n", "")
    code = code.replace("far.sendall", "theirs.sendall").replace("theirs.recv", "far.recv")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


# --- processes ---


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_script_under_the_variable_sends_nothing(pages):
    """LLMCACHE_MODE=replay and an import are enough."""
    code = f"""
        import jupyter_llmcache
        import openai
        client = openai.OpenAI(api_key="k", base_url={pages.root + "/v1"!r})
        try:
            client.chat.completions.create(model="m", messages=[])
        except BaseException as error:
            print(type(error).__name__)
    """
    done = run(code, LLMCACHE_MODE="replay")
    assert done.stdout.strip() == "NotSentError", done.stderr
    assert pages.connections == 0


def test_a_process_of_a_replaying_notebook_replays(pages, replaying):
    """A script that a cell starts sends nothing either, if it imports the package."""
    code = """
        import jupyter_llmcache, urllib.request
        try:
            urllib.request.urlopen("http://far.example/page")
        except Exception as error:
            print(type(error).__name__)
    """
    done = run(code)
    assert done.stdout.strip() == "ReplayMissError", done.stderr


def test_processes_that_share_nothing_replay_too(pages, replaying):
    """Workers that start from nothing send nothing, whatever function they are given."""
    code = """
        import multiprocessing, urllib.request
        import jupyter_llmcache
        if __name__ == "__main__":
            for method in ("spawn", "forkserver", "fork"):
                with (
                    jupyter_llmcache.mode("replay"),
                    multiprocessing.get_context(method).Pool(1) as pool,
                ):
                    try:
                        pool.apply(urllib.request.urlopen, ("http://far.example/page",))
                    except Exception as error:
                        print(type(error).__name__)
    """
    assert run(code).stdout.split() == ["ReplayMissError"] * 3


@pytest.mark.usefixtures("replaying")
def test_a_pool_of_threads_does_not_hang(pages):
    """A pool's worker knows no error but an Exception, and is told of a model's refusal by one."""

    def ask(text):
        client = openai.OpenAI(api_key="k", base_url=pages.url("/v1"))
        return client.responses.create(model="m", input=text)

    with multiprocessing.pool.ThreadPool(2) as pool:
        for asking in (
            pool.apply_async(ask, ("a",)),
            pool.map_async(ask, ["a", "b"]),
            pool.starmap_async(ask, [("a",), ("b",)]),
        ):
            with pytest.raises(ReplayMissError, match="replay: POST"):
                asking.get(timeout=20)
        for each in (pool.imap(ask, ["a"]), pool.imap_unordered(ask, ["a"])):
            with pytest.raises(ReplayMissError):
                each.next(timeout=20)


def test_processes_hear_what_is_allowed():
    """What this process may send its children may send, and all is taken back."""
    modes.set_session_mode("replay", allow_web=True)
    replay.hold(modes)
    assert (os.environ["LLMCACHE_MODE"], os.environ["LLMCACHE_ALLOW_WEB"]) == ("replay", "1")
    with mode("replay"):
        assert "LLMCACHE_ALLOW_WEB" not in os.environ
    assert os.environ["LLMCACHE_ALLOW_WEB"] == "1"
    replay.release(modes)
    assert not {"LLMCACHE_MODE", "LLMCACHE_ALLOW_WEB"} & set(os.environ)


def test_the_variable_is_taken_back(pages):
    """After replay a new process asks again."""
    with mode("replay"):
        assert os.environ["LLMCACHE_MODE"] == "replay"
    assert "LLMCACHE_MODE" not in os.environ


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no namespaces here")
def test_a_lesson_replays_with_no_network_at_all(pages, tmp_path):
    """A recorded lesson runs where not even this machine can be reached."""
    lesson = f"""
        import sys, asyncio, requests, httpx, aiohttp, urllib.request
        from jupyter_llmcache import SQLiteCache, mode
        cache = SQLiteCache({str(tmp_path / "lesson.db")!r}, record_web=sys.argv[1:] == ["record"])
        async def later():
            async with aiohttp.ClientSession() as session, session.get(ROOT + "/a") as got:
                return await got.text()
        def run():
            print(requests.get(ROOT + "/b").text, httpx.get(ROOT + "/sse").text)
            print(asyncio.run(later()), urllib.request.urlopen(ROOT + "/chunked").read())
        if cache._web.records:
            run()
        else:
            with mode("replay"):
                run()
        cache.close()
    """
    script = tmp_path / "lesson.py"
    script.write_text(f"ROOT = {pages.root!r}\n" + textwrap.dedent(lesson))
    command = [sys.executable, str(script)]
    first = subprocess.run([*command, "record"], capture_output=True, text=True, check=True)
    again = subprocess.run(
        ["unshare", "-rn", *command], capture_output=True, text=True, check=False
    )
    assert again.stdout == first.stdout, again.stderr


# --- keys ---


def test_keys_that_the_file_knows_are_there(pages, tmp_path, monkeypatch):
    """Placeholders stand where no key is set, and go with replay; what the notebook set stays."""
    monkeypatch.setenv("SEARCH_API_KEY", "teacher-key")
    cache = SQLiteCache(tmp_path / "keys.db", record_web=True)
    requests.get(pages.url("/page"), headers={"authorization": "Bearer teacher-key"}, timeout=2)
    cache.close()
    monkeypatch.delenv("SEARCH_API_KEY")
    cache = SQLiteCache(tmp_path / "keys.db")
    with mode("replay"):
        assert os.environ["SEARCH_API_KEY"] == "no-key"
        os.environ["SEARCH_API_KEY"] = os.getenv("SEARCH_API_KEY")
        os.environ["LANGSMITH_API_KEY"] = os.getenv("LANGSMITH_API_KEY")
        headers = {"authorization": f"Bearer {os.environ['SEARCH_API_KEY']}"}
        assert requests.get(pages.url("/page"), headers=headers, timeout=2).status_code == 200
    assert "SEARCH_API_KEY" not in os.environ
    assert "LANGSMITH_API_KEY" not in os.environ
    with mode("replay"):
        os.environ["SEARCH_API_KEY"] = "my own"
    assert os.environ.pop("SEARCH_API_KEY") == "my own"
    cache.close()


def test_a_recorded_model_needs_no_key(openai_server, chat_openai, tmp_path, monkeypatch):
    """The file tells which provider was asked, and so which variable a lesson will look for."""
    cache = SQLiteCache(tmp_path / "model.db")
    set_llm_cache(cache)
    chat_openai().invoke("hi")
    with mode("replay"):
        assert os.environ["OPENAI_API_KEY"] == "no-key"
        model = ChatOpenAI(model="gpt-test", base_url=openai_server.url)
        assert model.invoke("hi").content
    assert "OPENAI_API_KEY" not in os.environ


def test_what_carries_requests_matters_to_nobody_in_replay(
    openai_server, chat_openai, monkeypatch, tmp_path
):
    """A tracer over an HTTP client's methods is not there on a student's machine."""
    plain = httpx2.HTTPTransport.handle_request

    def traced(self, request):
        return plain(self, request)

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", traced)
    set_llm_cache(SQLiteCache(tmp_path / "traced.db"))
    answer = chat_openai().invoke("hi").content
    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", plain)
    with mode("replay"):
        assert chat_openai().invoke("hi").content == answer


def test_each_kind_of_call_finds_what_it_recorded_under_a_tracer(
    openai_server, chat_openai, monkeypatch, tmp_path
):
    """The same question, asked synchronously and not, has two answers where clients differed."""
    send = httpx2.HTTPTransport.handle_request
    asend = httpx2.AsyncHTTPTransport.handle_async_request

    def traced(self, request):
        return send(self, request)

    async def atraced(self, request):
        return await asend(self, request)

    def put(method, amethod):
        monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", method)
        monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", amethod)

    def both(question):
        model = chat_openai()
        return model.invoke(question).content, asyncio.run(model.ainvoke(question)).content

    set_llm_cache(SQLiteCache(tmp_path / "traced.db"))
    put(traced, atraced)
    answers = both("hi")
    put(send, asend)
    with mode("replay"):
        assert both("hi") == answers
    assert openai_server.answered == 2


def test_a_tracer_counts_alike_before_and_after_the_first_call(monkeypatch, tmp_path):
    """A model that makes its client with its first call is asked the same question again."""
    for client in (httpx, httpx2):
        plain = client.HTTPTransport.handle_request
        traced = functools.partialmethod(
            lambda self, request, send: send(self, request), send=plain
        )
        monkeypatch.setattr(client.HTTPTransport, "handle_request", traced)
    set_llm_cache(SQLiteCache(tmp_path / "traced.db"))
    with AnthropicServer() as server:
        first, later = _claude(server.url), _claude(server.url)
        answers = [first.invoke(text).content for text in ("one", "two")]
        assert [later.invoke(text).content for text in ("two", "one")] == answers[::-1]
        assert server.answered == 2


def test_a_lesson_that_began_to_trace_midway_is_replayed_whole(
    openai_server, chat_openai, monkeypatch, tmp_path
):
    """What was recorded before and after something came over the HTTP client is found."""
    plain = httpx2.HTTPTransport.handle_request

    def traced(self, request):
        return plain(self, request)

    set_llm_cache(SQLiteCache(tmp_path / "midway.db"))
    before = chat_openai().invoke("before").content
    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", traced)
    after = chat_openai().invoke("after").content
    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", plain)
    with mode("replay"):
        assert chat_openai().invoke("before").content == before
        assert chat_openai().invoke("after").content == after


class PlainKey(ChatOpenAI):
    """Declares a key as plain text, as many classes of langchain-community do."""

    search_api_key: str = ""


def test_a_key_in_plain_text_is_the_key_of_nobody(openai_server, monkeypatch, tmp_path):
    """A field that holds what its environment's variable holds is not what was asked."""
    set_llm_cache(SQLiteCache(tmp_path / "plain.db"))
    asks = {"model": "m", "api_key": "k", "base_url": openai_server.url}
    monkeypatch.setenv("SEARCH_API_KEY", "teacher-key")
    answer = PlainKey(search_api_key="teacher-key", **asks).invoke("hi").content
    assert PlainKey(search_api_key="another", **asks).invoke("hi").content != answer
    monkeypatch.delenv("SEARCH_API_KEY")
    with mode("replay"):
        assert PlainKey(search_api_key="no-key", **asks).invoke("hi").content == answer


@pytest.mark.usefixtures("replaying")
def test_what_is_made_and_never_asked_needs_no_key(monkeypatch):
    """A model that no file knows of is made, and the lesson's own branches see what is set."""
    for name in ("OPENAI_API_KEY", "COHERE_API_KEY", "SEARCH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    lesson = """
import os
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import AsyncOpenAI, OpenAI
for make in (ChatOpenAI, OpenAIEmbeddings, OpenAI, AsyncOpenAI):
    make()
os.environ["COHERE_API_KEY"] = os.getenv("COHERE_API_KEY")
is_set = "OPENAI_API_KEY" in os.environ, os.getenv("OPENAI_API_KEY"), os.environ.get("X_API_KEY")
needed = os.environ["SEARCH_API_KEY"]
os.environ.setdefault("SEARCH_API_KEY", "typed")
"""
    scope = {"__name__": "__main__"}
    exec(lesson, scope)  # it must be the code of nobody's module
    assert scope["is_set"] == (False, None, None)
    assert scope["needed"] == "no-key"
    assert os.environ.pop("SEARCH_API_KEY") == "typed"
    assert "COHERE_API_KEY" not in os.environ
    with pytest.raises(KeyError):
        os.environ["OTHER_VARIABLE"]
    with pytest.raises(TypeError):
        os.environ["OTHER_VARIABLE"] = None


def test_a_key_that_was_taken_out_of_a_lesson_is_none(monkeypatch):
    """An empty string in a key's place takes away neither a placeholder nor a student's own."""
    monkeypatch.setenv("MY_API_KEY", "my own")
    with mode("replay"):
        os.environ.update({"LANGSMITH_API_KEY": "", "MY_API_KEY": "", "OPENAI_API_KEY": ""})
        assert os.environ["LANGSMITH_API_KEY"] == "no-key"
        assert ChatOpenAI().openai_api_key.get_secret_value() == "no-key"
    assert os.environ["MY_API_KEY"] == "my own"
    assert "OPENAI_API_KEY" not in os.environ


def test_a_prompt_for_a_key_asks_nobody(monkeypatch):
    """In a script as in a notebook; other prompts reach a person, and all is given back."""
    typed = io.StringIO("Ada\nNo\n")
    monkeypatch.setattr(sys, "stdin", typed)
    before = builtins.input, getpass.getpass
    with mode("replay"):
        for prompt in ("Enter your API key", "OPENAI_API_KEY=", "access token: "):
            assert input(prompt) == "no-key"
        assert getpass.getpass() == getpass.getpass(prompt="OpenAI: ") == "no-key"
        assert input("Your name: ") == "Ada"
    assert (builtins.input, getpass.getpass) == before
    assert input("API key: ") == "No"


def test_who_chooses_between_keys_finds_the_one_that_is_there(monkeypatch):
    """OpenAI's module itself asks whether an Azure key is there too, and gives up where one is."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with mode("replay"), pytest.raises(NotSentError):
        openai.chat.completions.create(model="m", messages=[])


def test_the_environment_is_pythons_own_again():
    """After replay nothing of it stays in the environment."""
    before = type(os.environ)
    with mode("replay"):
        assert type(os.environ) is not before
    assert type(os.environ) is before


def test_a_key_that_is_there_stays(tmp_path, monkeypatch):
    """A student's own key is neither replaced nor removed."""
    monkeypatch.setenv("LANGSMITH_API_KEY", "my own")
    with mode("replay"):
        assert os.environ["LANGSMITH_API_KEY"] == "my own"
    assert os.environ["LANGSMITH_API_KEY"] == "my own"


def test_tracing_is_quiet(monkeypatch, replaying):
    """A lesson that turns LangSmith's tracing on neither waits nor complains in replay."""
    from langchain_core.runnables import RunnableLambda
    from langchain_core.tracers.langchain import wait_for_all_tracers
    from langsmith import Client, utils

    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    utils.get_env_var.cache_clear()
    began = time.perf_counter()
    client = Client(api_key="no-key", api_url="https://api.smith.langchain.com")
    client.create_run("r", {"a": 1}, "chain")
    RunnableLambda(lambda x: x).invoke(1)
    wait_for_all_tracers()  # else they would report after replay
    client.flush()
    client.close()
    utils.get_env_var.cache_clear()
    assert time.perf_counter() - began < 5
    assert not any(call.unrecorded for call in calls())


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("POST", "http://127.0.0.1:1234/v1/chat/completions", {}),
        ("POST", "http://localhost:8000/v1/completions", {}),
        ("GET", "http://localhost:8000/v1/models", {"User-Agent": "OpenAI/Python 3.57"}),
        ("POST", "https://x.openai.azure.com/openai/deployments/d/chat/completions", {}),
        ("POST", "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse", {}),
        ("POST", "https://generativelanguage.googleapis.com/v1/models/g:streamGenerateContent", {}),
        ("GET", "https://api.openai.com/v1/files", {}),
        ("POST", "https://api.groq.com/openai/v1/chat/completions", {}),
        ("POST", "http://127.0.0.1:11434/api/chat", {"User-Agent": "ollama-python/0.6"}),
        ("GET", "http://127.0.0.1:11434/api/tags", {}),
        ("POST", "http://gw.local/anything", {"anthropic-version": "2023-06-01"}),
        ("POST", "grpc://127.0.0.1:1/google.ai.generativelanguage.v1.GenerativeService/Chat", {}),
    ],
)
def test_what_asks_a_model(method, url, headers):
    """SDKs by their headers, models by their paths and hosts, wherever they stand."""
    assert asks_model(WebRequest(method, url, headers.items()))


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "https://en.wikipedia.org/w/api.php?action=query"),
        ("POST", "https://api.tavily.com/search"),
        ("GET", "https://mermaid.ink/img/abc"),
        ("GET", "https://api.smith.langchain.com/commits/rlm/rag-prompt/latest"),
        ("GET", "https://huggingface.co/gpt2/resolve/main/config.json"),
        ("GET", "http://127.0.0.1:8888/lab"),
        ("POST", "http://127.0.0.1:6333/collections/c/points/search"),
    ],
)
def test_what_asks_none(method, url):
    """Search tools, pages, pictures, hubs and vector stores are the web."""
    assert not asks_model(WebRequest(method, url, ()))


# --- clients with sockets of their own, where they are installed ---

OTHERS = {
    "uvloop": """
        import uvloop, asyncio
        async def out():
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, "far.example", 80)
        uvloop.run(out())
    """,
    "primp": "import primp; primp.Client().get('http://far.example/')",
    "ddgs": "import ddgs; print(ddgs.DDGS().text('x', max_results=1, backend='wikipedia'))",
    "curl_cffi": "from curl_cffi import requests; requests.get('http://far.example/')",
    "grpc": """
        import grpc
        channel = grpc.insecure_channel("far.example:80")
        channel.unary_unary("/a.B/C")(b"x", timeout=5)
    """,
    "grpc until it is connected": """
        import grpc
        grpc.channel_ready_future(grpc.insecure_channel("far.example:80")).result(timeout=5)
    """,
    "grpc.aio": """
        import asyncio, grpc
        async def out():
            channel = grpc.aio.insecure_channel("far.example:80")
            await channel.unary_unary("/a.B/C")(b"x", timeout=5)
        asyncio.run(out())
    """,
    "grpc.aio until it is connected": """
        import asyncio, grpc
        async def out():
            await asyncio.wait_for(grpc.aio.insecure_channel("far.example:80").channel_ready(), 5)
        asyncio.run(out())
    """,
    "pycurl": """
        import pycurl
        curl = pycurl.Curl()
        curl.setopt(curl.URL, "http://far.example/")
        curl.perform()
    """,
    "boto3": """
        import boto3
        keys = dict(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
        boto3.client("bedrock-runtime", **keys).converse(modelId="m", messages=[])
    """,
    "cohere": """
        import cohere
        cohere.ClientV2(api_key="k").chat(model="m", messages=[{"role": "user", "content": "x"}])
    """,
    "huggingface_hub": """
        import huggingface_hub
        huggingface_hub.InferenceClient(model="m", token="hf_x").text_generation("x")
    """,
}


@pytest.mark.slow  # wants the packages that are named above
@pytest.mark.parametrize("package", OTHERS)
def test_clients_with_ways_of_their_own(package):
    """Each is refused at once where it is installed."""
    pytest.importorskip(package.partition(" ")[0])
    code = "import jupyter_llmcache, time\nbegan = time.perf_counter()\ntry:\n"
    code += textwrap.indent(textwrap.dedent(OTHERS[package]), "    ")
    code += "\nexcept BaseException as error:\n    import json"
    code += "\n    print(json.dumps([type(error).__name__, str(error)[:300]]))"
    done = run(code, LLMCACHE_MODE="replay")
    name, told = json.loads(done.stdout.splitlines()[-1])
    # ddgs wraps what its engines raise; our line stands in it.
    ours = name in ("ReplayMissError", "NotSentError") or "nothing recorded" in told
    assert ours, (name, told, done.stderr)
