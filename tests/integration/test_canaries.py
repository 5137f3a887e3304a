"""Secrets in thirty places of a request: none stands in a file, in what is told, or in an error."""

from __future__ import annotations

import sqlite3
import traceback
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import Field, SecretStr

from jupyter_llmcache import SQLiteCache, calls
from jupyter_llmcache.course.export import export_lines
from tests.servers.openai import OpenAIServer
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


@pytest.mark.filterwarnings("ignore")
def test_no_secret_is_kept_or_told(tmp_path):
    """Sixty secrets, each in its place; the requests are kept, and the secrets are nowhere."""
    assert len(CANARIES) >= 60
    path = tmp_path / "course.db"
    cache = SQLiteCache(database_path=str(path))
    set_llm_cache(cache)
    told: list[bytes] = []
    with OpenAIServer() as server:
        for (place, _), secret in CANARIES.items():
            fields = PLACES[place](secret)
            call, make = fields.pop("call", {}), fields.pop("make", None)
            base = {"model": "gpt-x", "api_key": "k", "base_url": server.url, "max_retries": 0}
            model = make(**fields) if make else ChatOpenAI(**base | fields)
            answer = model.invoke([HumanMessage("Who?")], **call)
            told += [repr(answer.response_metadata).encode(), repr(calls()[-1]).encode()]
            assert calls()[-1].kind in ("miss", "hit"), place
            assert calls()[-1].stored or calls()[-1].kind == "hit", (place, calls()[-1].reason)
            try:
                ChatOpenAI(
                    **base | {"base_url": "http://127.0.0.1:9"} | (fields if not make else {})
                )
                cache.store.read(b"no key")
            except Exception:
                told.append(traceback.format_exc().encode())
    while_open = list(_unpacked(path))
    export_lines(cache.store, str(tmp_path / "course.jsonl"))
    set_llm_cache(None)
    cache.close()
    exported = [file.read_bytes() for file in tmp_path.glob("course.jsonl*")]
    everything = b"\n".join([*told, *while_open, *_unpacked(path), *exported])
    assert b"Who?" in everything
    found = {place for place, secret in CANARIES.items() if secret.encode() in everything}
    assert found == set()


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
