"""Secrets in thirty places of a request: none stands in a file, in what is told, or in an error."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import traceback
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import Field, SecretStr

from jupyter_llmcache import SQLiteCache, calls
from jupyter_llmcache.__main__ import main
from jupyter_llmcache.errors import hide_secrets
from tests.servers.base import Failure
from tests.servers.openai import OpenAIServer
from tests.shells import CellRun
from tests.unit.request.sides import TAKES_KEY_FUNCTIONS


class Own(FakeListChatModel):
    groq_token: str = ""
    notes: list[str] = Field(default_factory=list)
    login: SecretStr = SecretStr("")
    _kept: str = ""


def own(**fields: Any) -> Own:
    kept = fields.pop("_kept", None)
    made = Own(responses=["Paris."], **fields)
    if kept:
        made._kept = kept
        made.__dict__["beside"] = kept
    return made


def tool(**function: Any) -> list[dict[str, Any]]:
    parameters = {"type": "object", "properties": function.pop("properties", {})}
    return [{"type": "function", "function": {"name": "f", "parameters": parameters, **function}}]


def mcp(**entries: Any) -> list[dict[str, Any]]:
    return [{"type": "mcp", "server_label": "a", "server_url": "https://m/", **entries}]


def hook(secret: str) -> Any:
    def sign(request: Any) -> None:
        request.headers["X-Signed"] = secret

    return {"request": [sign]}


#: Where a secret may stand: the model's fields, or ``call`` with the arguments of a call.
PLACES: dict[str, Any] = {
    "api_key": lambda s: {"api_key": s},
    **({"api_key as a function": lambda s: {"api_key": lambda: s}} if TAKES_KEY_FUNCTIONS else {}),
    "organisation": lambda s: {"organization": s},
    "Authorization": lambda s: {"default_headers": {"Authorization": f"Bearer {s}"}},
    "X-Api-Key": lambda s: {"default_headers": {"X-Api-Key": s}},
    "Cookie": lambda s: {"default_headers": {"Cookie": f"session={s}"}},
    "a gateway's header": lambda s: {"default_headers": {"X-Tenant-Token": s}},
    "query": lambda s: {"default_query": {"code": s}},
    "body by a telling name": lambda s: {"extra_body": {"variables": {"secret": s}}},
    "body by no telling name": lambda s: {"extra_body": {"variables": {"who": s}}},
    "body in a list": lambda s: {"extra_body": {"items": [f"sk-{s}"]}},
    "a name in the body": lambda s: {"extra_body": {f"sk-{s}": 1}},
    "model_kwargs": lambda s: {"model_kwargs": {"metadata": {"password": s}}},
    "client's header": lambda s: {"http_client": httpx2.Client(headers={"X-Route": s})},
    "client's query": lambda s: {"http_client": httpx2.Client(params={"a": s})},
    "client's cookie": lambda s: {"http_client": httpx2.Client(cookies={"a": s})},
    "client's login": lambda s: {"http_client": httpx2.Client(auth=("ann", s))},
    "client's hook": lambda s: {"http_client": httpx2.Client(event_hooks=hook(s))},
    "header of the call": lambda s: {"call": {"extra_headers": {"X-Route": s}}},
    "query of the call": lambda s: {"call": {"extra_query": {"route": s}}},
    "user": lambda s: {"call": {"user": f"sk-{s}"}},
    "address in a tool's text": lambda s: {
        "call": {"tools": tool(description=f"Ask https://x/?key={s}")}
    },
    "database in a tool's text": lambda s: {
        "call": {"tools": tool(description=f"Ask postgres://ann:{s}@db/x")}
    },
    "default of a password": lambda s: {
        "call": {"tools": tool(properties={"password": {"type": "string", "default": s}})}
    },
    "MCP's address": lambda s: {"call": {"tools": mcp(server_url=f"https://m/?token={s}")}},
    "MCP's path": lambda s: {"call": {"tools": mcp(server_url=f"https://m/{s}{s}/sse")}},
    "MCP's authorization": lambda s: {"call": {"tools": mcp(authorization=s)}},
    "MCP's header": lambda s: {"call": {"tools": mcp(headers={"Authorization": f"Bearer {s}"})}},
    "own field": lambda s: {"make": own, "groq_token": s},
    "own list": lambda s: {"make": own, "notes": [f"sk-{s}"]},
    "own SecretStr": lambda s: {"make": own, "login": SecretStr(s)},
    "own attribute": lambda s: {"make": own, "_kept": s},
}
CANARIES = {
    (place, n): f"canary{number:02d}x{n}q7w8e9"
    for number, place in enumerate(PLACES)
    for n in (1, 2)
}


def _unpacked(path: Path) -> Iterator[bytes]:
    """Yield the bytes of every file beside ``path``, and every value in it, unpacked."""
    for file in path.parent.glob(f"{path.name}*"):
        yield file.read_bytes()
    with closing(sqlite3.connect(path)) as database:
        names = [
            n for (n,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        for name in names:
            for row in database.execute(f'SELECT * FROM "{name}"'):
                for value in row:
                    raw = value if isinstance(value, bytes) else str(value).encode()
                    yield raw
                    for start in range(min(4, len(raw))):
                        for window in (15, -15, 31):
                            try:
                                yield zlib.decompressobj(window).decompress(raw[start:])
                            except zlib.error:
                                continue


#: Places whose secret is a key, which a server may echo.
KEYS = ("api_key", "Authorization", "X-Api-Key", "own SecretStr")


@pytest.fixture
def notebook(shell, server):
    """A shell with a cache in a file, and what makes the models of the places."""
    shell.run("%load_ext jupyter_llmcache\n%llm_cache sqlite course.db")
    shell.user_ns["HumanMessage"] = HumanMessage
    return shell


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def _modelled(place: str, secret: str, server: OpenAIServer) -> Any:
    """Return the model of a place, with the arguments of its calls bound."""
    fields = PLACES[place](secret)
    call, make = fields.pop("call", {}), fields.pop("make", None)
    base = {"model": "gpt-x", "api_key": "k", "base_url": server.url, "max_retries": 0}
    return (make(**fields) if make else ChatOpenAI(**base | fields)).bind(**call)


def _seen(run: CellRun) -> bytes:
    """All that a cell drew, in every form."""
    drawn = [str(value) for output in run.outputs for value in output.data.values()]
    return "\n".join([*drawn, run.seen, str(run.error), repr(run.value)]).encode()


def _found(everything: bytes) -> set[tuple[str, int]]:
    return {place for place, secret in CANARIES.items() if secret.encode() in everything}


@pytest.mark.filterwarnings("ignore")
def test_no_secret_is_kept_or_drawn(notebook, server, tmp_path):
    """Sixty secrets, each in its place: the answers are kept and drawn, and the secrets nowhere."""
    assert len(CANARIES) >= 60
    told: list[bytes] = []
    for (place, _), secret in CANARIES.items():
        notebook.user_ns["llm"] = _modelled(place, secret, server)
        run = notebook.run("%%llm -m llm\nWho?")
        call = calls()[-1]
        assert call.kind == "hit" or call.stored, (place, call.reason)
        plain = notebook.run("answer = llm.invoke('Who else?')")
        told += [_seen(run), _seen(plain), repr(call).encode()]
        told.append(repr(notebook.user_ns["answer"].response_metadata).encode())
        told.append(_seen(notebook.run("%llm_cache explain last")))
    while_open = list(_unpacked(Path("course.db")))
    keys = {call.key for call in calls() if call.key}
    assert len(keys) > len(CANARIES) / 2
    told += [_seen(notebook.run(f"%llm_cache show {key}")) for key in sorted(keys)]
    others = ("", "list", "history", "verify", "export course.jsonl")
    told += [_seen(notebook.run(f"%llm_cache {words}")) for words in others]
    Path("lesson.ipynb").write_text(json.dumps(LESSON), "utf-8")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main(["check", "lesson.ipynb", "--cache", "course.db", "--json"])
        main(["list", "course.db", "--json"])
    notebook.run("%llm_cache off")
    files = [file.read_bytes() for file in tmp_path.glob("course.jsonl*")]
    assert files
    everything = b"\n".join(
        [*told, *while_open, *_unpacked(Path("course.db")), *files, printed.getvalue().encode()]
    )
    assert b"Who?" in everything
    assert _found(everything) == set()


#: What ``check`` looks at.
LESSON = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": "a",
            "metadata": {},
            "outputs": [],
            "source": "%load_ext jupyter_llmcache\n%llm_cache sqlite course.db\n%llm -m gpt-x Who?",
        }
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.mark.filterwarnings("ignore")
def test_no_traceback_tells_a_secret(notebook, server):
    """A server that refuses one of each place is drawn with its words, and the secrets are not."""
    told: list[bytes] = []
    for place in PLACES:
        secret = CANARIES[place, 1]
        notebook.user_ns["llm"] = _modelled(place, secret, server)
        if "responses" in type(notebook.user_ns["llm"].bound).model_fields:
            continue  # it asks no server
        server.fail(Failure(400, {"error": {"message": f"refused: {place}"}}))
        run = notebook.run("llm.invoke('Fail.')", check=False)
        assert run.error is not None
        assert f"refused: {place}" in run.seen
        told.append(_seen(run))
    assert _found(b"\n".join(told)) == set()


@pytest.mark.parametrize("mode", ["Plain", "Context", "Verbose", "Minimal"])
@pytest.mark.parametrize("place", KEYS)
@pytest.mark.filterwarnings("ignore")
def test_a_key_that_a_server_echoes_is_hidden(place, mode, notebook, server):
    """In the cell's traceback, in ``%tb`` and in what the error says, in every mode of IPython."""
    secret = CANARIES[place, 1]
    login = {"api_key": secret} if place == "own SecretStr" else PLACES[place](secret)
    base = {"model": "gpt-x", "api_key": "k", "base_url": server.url, "max_retries": 0}
    notebook.user_ns["llm"] = ChatOpenAI(**base | login)
    notebook.run(f"%xmode {mode}")
    for cell in ("llm.invoke('Fail.')", "%%llm -m llm\nFail.", "list(llm.stream('Fail.'))"):
        server.fail(Failure(401, {"error": {"message": f"no such key: {secret}."}}))
        runs = [notebook.run(cell, check=False), notebook.run("%tb", check=False)]
        assert runs[0].error is not None
        told = b"\n".join([_seen(run) for run in runs])
        assert b"no such key: \xe2\x80\xa6" in told
        assert secret.encode() not in told


OWN_FAULT = """
def ask(model):
    key = "sk-canary-in-a-line-0123456789"
    raise LookupError(f"Nothing in {model.model_name}")
ask(llm)
"""


def test_what_fails_in_the_users_code_tells_no_key_of_a_model_in_it(notebook, server):
    """Verbose draws the variables of each frame, and so the headers of a model, and lines."""
    header = {"X-Gateway-Token": "canary-9876543210", "X-Api-Key": "canary-0123456789"}
    notebook.user_ns["llm"] = ChatOpenAI(model="gpt-x", api_key="k", default_headers=header)
    notebook.run("%xmode Verbose")
    runs = [notebook.run(cell, check=False) for cell in (OWN_FAULT, "%tb", "%tb Context")]
    told = b"\n".join([_seen(run) for run in runs])
    assert b"default_headers=" in told
    assert b"Nothing in gpt-x" in told
    assert b"canary" not in told


#: A model that sends a key in another way, and the arguments of its call.
ELSEWHERE: dict[str, Any] = {
    "header of the call": lambda s, base: (
        ChatOpenAI(**base),
        {"extra_headers": {"Authorization": f"Bearer {s}"}},
    ),
    "a gateway's key": lambda s, base: (
        ChatOpenAI(**base, default_headers={"Helicone-Auth": f"Bearer {s}"}),
        {},
    ),
    "a header that sounds so": lambda s, base: (
        ChatOpenAI(**base, default_headers={"X-Gateway-Token": s}),
        {},
    ),
    "the query": lambda s, base: (ChatOpenAI(**base, default_query={"key": s}), {}),
    "the query of the call": lambda s, base: (ChatOpenAI(**base), {"extra_query": {"sig": s}}),
    "password of the address": lambda s, base: (
        ChatOpenAI(**base | {"base_url": base["base_url"].replace("://", f"://ann:{s}@")}),
        {},
    ),
    "header of the HTTP client": lambda s, base: (
        ChatOpenAI(**base, http_client=httpx2.Client(headers={"X-Api-Key": s})),
        {},
    ),
}
if TAKES_KEY_FUNCTIONS:
    ELSEWHERE["a function"] = lambda s, base: (ChatOpenAI(**base | {"api_key": lambda: s}), {})


@pytest.mark.parametrize("place", ELSEWHERE)
def test_an_error_tells_no_key_that_a_server_echoes(place, notebook, server):
    """Wherever the key came from, and whoever writes the error down."""
    secret = CANARIES["api_key", 1]
    base = {"model": "gpt-x", "api_key": "k", "base_url": server.url, "max_retries": 0}
    model, call = ELSEWHERE[place](secret, base)
    server.fail(Failure(401, {"error": {"message": f"no such key: {secret}."}}))
    with pytest.raises(openai.APIError) as caught:
        model.invoke("Fail.", **call)
    told = "".join(traceback.format_exception(caught.value))
    assert "no such key: \N{HORIZONTAL ELLIPSIS}" in told
    assert secret not in told


def _noted(key: str) -> BaseException:
    error = ValueError({"key": key}, [(key,)])
    error.add_note(f"The key was {key}.")
    return error


@pytest.mark.parametrize(
    "make",
    [
        _noted,
        lambda key: ExceptionGroup("some", [_noted(key), ExceptionGroup("more", [_noted(key)])]),
        lambda key: _from(RuntimeError("wrapped"), _noted(key)),
    ],
    ids=["note and values", "group", "cause"],
)
def test_an_error_tells_no_key_in_whatever_it_holds(make):
    """In its values, its notes, the errors that it is a group of, and those that it came from."""
    error = make("canary-of-a-key")
    assert "canary-of-a-key" in "".join(traceback.format_exception(error))
    hide_secrets(error, ["canary-of-a-key"])
    assert "canary-of-a-key" not in "".join(traceback.format_exception(error))


def _from(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def test_unloading_draws_tracebacks_as_before(shell):
    """Nothing of ours is left in what IPython draws errors by."""
    before = dict(vars(shell.InteractiveTB))
    shell.run("%load_ext jupyter_llmcache")
    assert "structured_traceback" in vars(shell.InteractiveTB)
    shell.run("%unload_ext jupyter_llmcache")
    assert vars(shell.InteractiveTB).keys() == before.keys()


@pytest.mark.parametrize("change", [{"api_key": "k2"}, {"default_headers": {"Authorization": "b"}}])
def test_another_key_hits_the_same_entry(change, tmp_path):
    """Who pays does not count: a course replays under another key."""
    set_llm_cache(SQLiteCache(database_path=str(tmp_path / "x.db")))
    with OpenAIServer() as server:
        base = {"model": "gpt-x", "api_key": "k1", "base_url": server.url}
        ChatOpenAI(**base).invoke("Who?")
        ChatOpenAI(**base | change).invoke("Who?")
        assert len(server.requests) == 1
    set_llm_cache(None)
