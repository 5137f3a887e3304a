"""Pairs of requests that must differ, and pairs that must agree, as data.

Each side is a function from the root of a server's address, as ``http://127.0.0.1:8000``, to a
``Side``, whose ``run()`` makes the request: OpenAI's APIs are asked under ``/v1``, Ollama's and
Anthropic's at the root; a pair that is about the address also asks under ``/other``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from langchain_core.messages import (
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import SecretStr

from tests.unit.request import sides
from tests.unit.request.sides import (
    Builder,
    Kind,
    Level,
    Side,
    bound,
    changed,
    city_class,
    configured,
    copied,
    in_environment,
    made,
    picture,
    structured,
    tool_turns,
    turns,
    weather_function,
    weather_tool,
    with_tools,
)


@dataclass(frozen=True)
class Pair:
    """Two requests to one kind of server."""

    name: str
    kind: Kind
    one: Builder
    other: Builder


#: The kinds that need no further provider's package, which takes long to import.
AT_HAND: tuple[Kind, ...] = ("openai", "responses", "own")

#: Rows about a field that the oldest releases do not have yet.
NEEDED_FIELDS = {
    "anthropic: container that is used again": (
        "langchain_anthropic.ChatAnthropic",
        "reuse_last_container",
    ),
    "openai: profile": ("langchain_openai.ChatOpenAI", "profile"),
}


def _pairs(kind: Kind, rows: dict[str, tuple[Builder, Builder] | Builder]) -> list[Pair]:
    return [
        Pair(f"{kind}: {name}", kind, *(row if isinstance(row, tuple) else (row, made(kind))))
        for name, row in rows.items()
    ]


def possible(pairs: Iterable[Pair], kinds: Collection[Kind]) -> list[Pair]:
    """Return the pairs of ``kinds`` that this release of their package can make."""
    return [pair for pair in pairs if pair.kind in kinds and _can_be_made(pair.name)]


def _can_be_made(name: str) -> bool:
    if name not in NEEDED_FIELDS:
        return True
    (package, _, cls), field = NEEDED_FIELDS[name][0].partition("."), NEEDED_FIELDS[name][1]
    found = importlib.util.find_spec(package) and getattr(importlib.import_module(package), cls)
    return bool(found) and field in found.model_fields


_FAILED = ToolMessage("rain", tool_call_id="call_1", status="error")

#: Fields of ChatOpenAI and two values that the provider is told.
_OPENAI_VALUES = {
    "temperature": (0, 0.7),
    "top_p": (0.1, 1),
    "max_tokens": (10, 11),
    "seed": (1, 2),
    "n": (1, 2),
    "stop": (["a"], ["b"]),
    "presence_penalty": (0.0, 0.5),
    "frequency_penalty": (0.0, 0.5),
    "logprobs": (True, False),
    "logit_bias": ({1: 1}, {1: 2}),
    "reasoning_effort": ("low", "high"),
    "verbosity": ("low", "high"),
    "extra_body": ({"top_k": 1}, {"top_k": 2}),
    "model_kwargs": ({"user": "a"}, {"user": "b"}),
    "default_headers": ({"X-Route": "a"}, {"X-Route": "b"}),
    "default_query": ({"route": "a"}, {"route": "b"}),
}

_MARK = {"cache_control": {"type": "ephemeral"}}
_TOOL = {"name": "weather", "description": "a", "input_schema": {"type": "object"}}


def _with_tool_result(text: str, **more: str | dict[str, str]) -> list[BaseMessage]:
    """Return turns whose tool's result is given as a block, with ``more`` inside."""
    result = {"type": "tool_result", "tool_use_id": "call_1"}
    inside = {"type": "text", "text": text} | more
    return [*tool_turns()[:2], HumanMessage([result | {"content": [inside]}])]


DIFFER: list[Pair] = [
    *_pairs(
        "openai", {f"{n} unset": made("openai", **{n: v[0]}) for n, v in _OPENAI_VALUES.items()}
    ),
    *_pairs(
        "openai",
        {
            f"{n} changed": (made("openai", **{n: v[0]}), made("openai", **{n: v[1]}))
            for n, v in _OPENAI_VALUES.items()
        },
    ),
    *_pairs(
        "openai",
        {
            "model": made("openai", model="gpt-y"),
            "endpoint": lambda root: Side(sides.openai_model(root, base_url=f"{root}/other/v1")),
            "endpoint by OPENAI_BASE_URL": in_environment(
                made("openai", base_url=...), OPENAI_BASE_URL="{root}/other/v1"
            ),
            "endpoint by OPENAI_API_BASE": in_environment(
                made("openai", base_url=...), OPENAI_API_BASE="{root}/other/v1"
            ),
            "API": made("openai", use_responses_api=True),
            "bound value": bound("openai", temperature=0.7),
            "value of the call": made("openai", call={"temperature": 0.7}),
            "stop of the call": made("openai", call={"stop": ["x"]}),
            "header of the call": made("openai", call={"extra_headers": {"X-Route": "a"}}),
            "body of the call": made("openai", call={"extra_body": {"top_k": 1}}),
            "null in the body": made("openai", extra_body={"top_k": None}),
            "text": made("openai", "What is the capital of Spain?"),
            "space in the text": made("openai", Side.input + " "),
            "system text": (
                made("openai", sides.SYSTEM),
                made("openai", [SystemMessage("Be long."), sides.SYSTEM[1]]),
            ),
            "role": (made("openai", [SystemMessage("Hi")]), made("openai", [HumanMessage("Hi")])),
            "developer for system": (
                made("openai", sides.SYSTEM),
                made(
                    "openai",
                    [
                        SystemMessage(
                            "Be brief.", additional_kwargs={"__openai_role__": "developer"}
                        ),
                        sides.SYSTEM[1],
                    ],
                ),
            ),
            "role of a free message": (
                made("openai", [ChatMessage("Hi", role="user")]),
                made("openai", [ChatMessage("Hi", role="critic")]),
            ),
            "name of the speaker": (
                made("openai", [HumanMessage("Hi", name="ann")]),
                made("openai", [HumanMessage("Hi")]),
            ),
            "order of messages": (
                made("openai", [HumanMessage("a"), HumanMessage("b")]),
                made("openai", [HumanMessage("b"), HumanMessage("a")]),
            ),
            "one message or two": (
                made("openai", [HumanMessage("ab")]),
                made("openai", [HumanMessage("a"), HumanMessage("b")]),
            ),
            "last byte of a picture": (made("openai", picture(0)), made("openai", picture(1))),
            "detail of a picture": (
                made("openai", picture(0)),
                made("openai", picture(0, detail="high")),
            ),
            "earlier answer": (made("openai", turns()), made("openai", turns(content="Paris!"))),
            "arguments of an earlier tool call": (
                made("openai", tool_turns()),
                made("openai", tool_turns({"city": "Rome", "day": 2})),
            ),
            "id of an earlier tool call": (
                made("openai", tool_turns()),
                made("openai", tool_turns(call_id="call_2")),
            ),
            "result of a tool": (
                made("openai", tool_turns()),
                made("openai", tool_turns(result="sun")),
            ),
            "no tools": with_tools("openai", weather_tool()),
            "description of a tool": (
                with_tools("openai", weather_tool("a")),
                with_tools("openai", weather_tool("b")),
            ),
            "end of a tool's long description": (
                with_tools("openai", weather_tool("a" * 3000 + "b")),
                with_tools("openai", weather_tool("a" * 3000 + "c")),
            ),
            "end of a long text": (
                made("openai", "a " * 3000 + "b"),
                made("openai", "a " * 3000 + "c"),
            ),
            "order of a tool's properties": (
                with_tools("openai", weather_tool("a", "x", "y")),
                with_tools("openai", weather_tool("a", "y", "x")),
            ),
            "a parameter of a tool that is called like a cache mark": (
                with_tools("openai", weather_tool("a", "city")),
                with_tools("openai", weather_tool("a", "city", "cache_control")),
            ),
            "tool choice": (
                with_tools("openai", weather_tool()),
                with_tools("openai", weather_tool(), tool_choice="any"),
            ),
            "parallel tool calls": (
                with_tools("openai", weather_tool()),
                with_tools("openai", weather_tool(), parallel_tool_calls=False),
            ),
            "redefined class of a response": (
                structured("openai", city_class("A city.", name=...)),
                structured("openai", city_class("A city.", name=..., country=...)),
            ),
            "docstring of the class of a response": (
                structured("openai", city_class("A city.", name=...)),
                structured("openai", city_class("A town.", name=...)),
            ),
            "redefined class of a tool": (
                structured("openai", city_class("A.", name=...), method="function_calling"),
                structured("openai", city_class("B.", name=...), method="function_calling"),
            ),
            "field set later": changed("openai", temperature=0.7),
            "model set later": changed("openai", model_name="gpt-y"),
            "field of a copy": copied("openai", temperature=0.7),
            "model of a copy": copied("openai", model_name="gpt-y"),
            "configurable field": configured("openai", "temperature", 0.7),
            "true and 1": (
                made("openai", extra_body={"flag": True}),
                made("openai", extra_body={"flag": 1}),
            ),
            "number and text": (
                made("openai", extra_body={"flag": "1"}),
                made("openai", extra_body={"flag": 1}),
            ),
            "secret variable of a prompt": (
                made("openai", extra_body={"variables": {"secret": "a"}}),
                made("openai", extra_body={"variables": {"secret": "b"}}),
            ),
            "default under the name of a secret": (
                with_tools("openai", sides.tool_with_default("password", "a")),
                with_tools("openai", sides.tool_with_default("password", "b")),
            ),
            "key in an address in a text": (
                with_tools("openai", weather_tool("Ask https://x/?key=a")),
                with_tools("openai", weather_tool("Ask https://x/?key=b")),
            ),
            "header that sounds secret": (
                made("openai", default_headers={"X-Max-Tokens": "1"}),
                made("openai", default_headers={"X-Max-Tokens": "2"}),
            ),
            "header of a client": lambda root: Side(
                sides.openai_model(root, http_client=sides.HttpClient(headers={"X-Route": "a"}))
            ),
            "query of a client": lambda root: Side(
                sides.openai_model(root, http_client=sides.HttpClient(params={"route": "a"}))
            ),
            "header by with_options": lambda root: Side(
                sides.with_client(
                    root, lambda client: client.with_options(default_headers={"X-Route": "a"})
                )
            ),
            "address by with_options": lambda root: Side(
                sides.with_client(
                    root, lambda client: client.with_options(base_url=f"{root}/other/v1")
                )
            ),
        },
    ),
    *_pairs(
        "responses",
        {
            "model": made("responses", model="gpt-y"),
            "effort": made("responses", reasoning={"effort": "low"}),
            "instructions": bound("responses", instructions="Be brief."),
            "truncation": made("responses", truncation="auto"),
            "stored response": made("responses", store=False),
            "earlier response that the server holds": (
                made("responses", sides.held_turns("resp_1"), use_previous_response_id=True),
                made("responses", sides.held_turns("resp_2"), use_previous_response_id=True),
            ),
            "id of a text": (
                made("responses", turns(content=sides.response_blocks("msg_1"))),
                made("responses", turns(content=sides.response_blocks("msg_2"))),
            ),
            "block of a call beside the call": (
                made("responses", sides.call_block_turns({"city": "Rome", "day": 1})),
                made("responses", sides.call_block_turns({"city": "Oslo", "day": 1})),
            ),
            "text format": bound("responses", text={"format": {"type": "json_object"}}),
            "max_output_tokens": bound("responses", max_output_tokens=20),
            "form of the answer": made("responses", output_version="v1"),
        },
    ),
    *_pairs(
        "ollama",
        {
            "model": made("ollama", model="llama-y"),
            "endpoint": lambda root: Side(sides.ollama_model(f"{root}/other")),
            "endpoint by OLLAMA_HOST": in_environment(
                made("ollama", base_url=None), OLLAMA_HOST="{root}/other"
            ),
            "temperature": made("ollama", temperature=0),
            "num_ctx": made("ollama", num_ctx=100),
            "num_predict": made("ollama", num_predict=100),
            "seed": (made("ollama", seed=1), made("ollama", seed=2)),
            "format": made("ollama", format="json"),
            "order of a format's properties": (
                made("ollama", format=sides.EVENT),
                made("ollama", format=sides.EVENT_TURNED),
            ),
            "reasoning": made("ollama", reasoning=True),
            "stop": made("ollama", call={"stop": ["x"]}),
            "header": made("ollama", client_kwargs={"headers": {"X-Route": "a"}}),
            "field set later": changed("ollama", temperature=0.7),
            "configurable field": configured("ollama", "model", "llama-y"),
            "tools": with_tools("ollama", weather_tool()),
            "a text in a block": made(
                "ollama", [("human", [{"type": "text", "text": Side.input}])]
            ),
        },
    ),
    *_pairs(
        "anthropic",
        {
            "model": made("anthropic", model="claude-y"),
            "max_tokens": made("anthropic", max_tokens=20),
            "top_k": made("anthropic", top_k=2),
            "model_kwargs": made("anthropic", model_kwargs={"tool_choice": {"type": "none"}}),
            "thinking": made("anthropic", thinking={"type": "enabled", "budget_tokens": 1024}),
            "system text": made("anthropic", [("system", "Be brief."), ("human", Side.input)]),
            "stop": made("anthropic", call={"stop": ["x"]}),
            "tools": with_tools("anthropic", weather_tool()),
            "caller of a tool": (
                made("anthropic", tool_turns(content=sides.tool_use({"city": "Rome", "day": 1}))),
                made(
                    "anthropic",
                    tool_turns(
                        content=sides.tool_use(
                            {"city": "Rome", "day": 1}, caller={"type": "code_execution"}
                        )
                    ),
                ),
            ),
            "container that is used again": (
                made("anthropic", sides.contained_turns("c_1"), reuse_last_container=True),
                made("anthropic", sides.contained_turns("c_2"), reuse_last_container=True),
            ),
            "failed tool": (
                made("anthropic", tool_turns()),
                made("anthropic", [*tool_turns()[:2], _FAILED]),
            ),
            "endpoint": lambda root: Side(sides.anthropic_model(f"{root}/other")),
        },
    ),
    *_pairs(
        "own",
        {
            "field": made("own", phrase="bye"),
            "nested field": made("own", table={"a": 1}),
            "private attribute": made("own", accent="welsh"),
            "field set later": changed("own", phrase="bye"),
            "class": lambda root: Side(sides.notebook_model(root, "'a'")),
            "what its cache_key says": (
                lambda root: Side(sides.notebook_model(root, "'a'")),
                lambda root: Side(sides.notebook_model(root, "'b'")),
            ),
            "argument of the call": made("own", call={"mood": "good"}),
            "field under an argument of the call": (
                made("own", call={"phrase": "hi"}),
                made("own", phrase="bye", call={"phrase": "hi"}),
            ),
            "argument beside a field": made("own", call={"phrase": "hello"}),
            "stop of the call": made("own", call={"stop": ["x"]}),
        },
    ),
]

AGREE: list[Pair] = [
    *_pairs(
        "openai",
        {
            "rebuilt": made("openai"),
            "bound or constructed": (
                made("openai", temperature=0.5),
                bound("openai", temperature=0.5),
            ),
            "called or constructed": (
                made("openai", temperature=0.5),
                made("openai", call={"temperature": 0.5}),
            ),
            "set later or constructed": (
                made("openai", temperature=0.5),
                changed("openai", temperature=0.5),
            ),
            "copied or constructed": (
                made("openai", temperature=0.5),
                copied("openai", temperature=0.5),
            ),
            "configured or constructed": (
                made("openai", temperature=0.5),
                configured("openai", "temperature", 0.5),
            ),
            "model bound": (made("openai", model="gpt-y"), bound("openai", model="gpt-y")),
            "max_tokens by its other name": (
                made("openai", max_tokens=20),
                bound("openai", max_completion_tokens=20),
            ),
            "model_kwargs or bound": (
                made("openai", model_kwargs={"user": "a"}),
                bound("openai", user="a"),
            ),
            "stop bound": (made("openai", stop=["x"]), bound("openai", stop=["x"])),
            "stop as text": (made("openai", stop=["x"]), made("openai", stop="x")),
            "stop of the call": (made("openai", stop=["x"]), made("openai", call={"stop": ["x"]})),
            "header of the call": (
                made("openai", default_headers={"X-Route": "a"}),
                made("openai", call={"extra_headers": {"x-route": "a"}}),
            ),
            "1 and 1.0": (made("openai", temperature=1), made("openai", temperature=1.0)),
            "1 and 1.0 in the body": (
                made("openai", extra_body={"top_k": 1}),
                made("openai", extra_body={"top_k": 1.0}),
            ),
            "order of a dict": (
                made("openai", extra_body={"a": 1, "b": {"c": 1, "d": 2}}),
                made("openai", extra_body={"b": {"d": 2, "c": 1}, "a": 1}),
            ),
            "order of a set": (
                made("openai", extra_body={"a": {"x", "y", "z"}}),
                made("openai", extra_body={"a": {"z", "y", "x"}}),
            ),
            "an enumeration": (
                made("openai", extra_body={"a": Level.LOW}),
                made("openai", extra_body={"a": "low"}),
            ),
            "unset and null": made("openai", temperature=None, call={"seed": None}),
            "text as a message": made("openai", [HumanMessage(Side.input)]),
            "text as a pair": made("openai", [("user", Side.input)]),
            "text as a block": made(
                "openai", [HumanMessage([{"type": "text", "text": Side.input}])]
            ),
            "message id": made("openai", [HumanMessage(Side.input, id="m-1")]),
            "metadata of an earlier answer": (
                made("openai", turns()),
                made(
                    "openai",
                    turns(
                        id="run-1",
                        usage_metadata={**sides.USAGE, "total_cost": 0},
                        response_metadata={"model_name": "gpt-x", "llm_cache": {"cached": True}},
                        additional_kwargs={"refusal": None, "parsed": city_class("A.")()},
                    ),
                ),
            ),
            "a streamed earlier answer": (
                made("openai", turns()),
                made("openai", sides.streamed_turns()),
            ),
            "a streamed earlier tool call": (
                made("openai", tool_turns()),
                made("openai", sides.streamed_tool_turns()),
            ),
            "a tool call said twice": (
                made("openai", tool_turns()),
                made("openai", tool_turns(additional_kwargs=sides.call_extras())),
            ),
            "artifact of a tool": (
                made("openai", tool_turns()),
                made(
                    "openai",
                    [*tool_turns()[:2], ToolMessage("rain", tool_call_id="call_1", artifact=[1])],
                ),
            ),
            "a tool's code": (
                with_tools("openai", weather_function(1)),
                with_tools("openai", weather_function(2)),
            ),
            "a class of a response defined again alike": (
                structured("openai", city_class("A city.", name=...)),
                structured("openai", city_class("A city.", name=...)),
            ),
            "headers of one call": made(
                "openai", call={"extra_headers": {"X-Request-Id": "1", "traceparent": "2"}}
            ),
            "timeout": made("openai", timeout=7, call={"timeout": 9}),
            "retries": made("openai", max_retries=7),
            "names, tags, metadata": made("openai", name="a", tags=["b"], metadata={"c": 1}),
            "how it is billed": made("openai", service_tier="flex", call={"service_tier": "auto"}),
            "stored chat completions": made("openai", store=True),
            "parameters that are not sent": made("openai", disabled_params={"seed": None}),
            "name of a tool's result": (
                made("openai", tool_turns()),
                made(
                    "openai",
                    [*tool_turns()[:2], ToolMessage("rain", tool_call_id="call_1", name="weather")],
                ),
            ),
            "number of a run in a text": (
                made("openai", f"Said in lc_run--{sides.RUN_IDS[0]}-0."),
                made("openai", f"Said in lc_run--{sides.RUN_IDS[1]}-1."),
            ),
            "cache mark in a block": (
                made("openai", [HumanMessage([sides.text_block()])]),
                made("openai", [HumanMessage([sides.text_block(cache_control={"type": "a"})])]),
            ),
            "cache mark at a tool": (
                with_tools("openai", weather_tool("a")),
                with_tools("openai", weather_tool("a") | {"cache_control": {"type": "a"}}),
            ),
            "client of one's own": lambda root: Side(
                sides.openai_model(root, http_client=sides.HttpClient(timeout=9))
            ),
            "client with other retries": lambda root: Side(
                sides.with_client(root, lambda client: client.with_options(max_retries=9))
            ),
            "callbacks": made("openai", callbacks=[]),
            "usage of streams": made("openai", stream_usage=True),
            "profile": made("openai", profile={"max_input_tokens": 9}),
            "response headers": made("openai", include_response_headers=True),
            "tokeniser": made("openai", tiktoken_model_name="gpt-4"),
            "options of the provider's cache": made(
                "openai",
                call={"prompt_cache_key": "a", "prompt_cache_options": {"mode": "b"}},
            ),
            "key": made("openai", api_key=SecretStr("sk-other")),
            "organisation": made("openai", organization="org-1"),
            "credential headers": made("openai", default_headers={"Authorization": "Bearer x"}),
            "credential header of a gateway": made("openai", default_headers={"X-Api-Key": "x"}),
            "a gateway's key and its trace": made(
                "openai", default_headers={"Helicone-Auth": "x", "X-Portkey-Trace-Id": "y"}
            ),
            "slash at the end": lambda root: Side(sides.openai_model(root, base_url=f"{root}/v1/")),
            "user and password of the address": lambda root: Side(
                sides.openai_model(root, base_url=f"{root}/v1".replace("://", "://ann:secret@"))
            ),
            "address by OPENAI_BASE_URL": in_environment(
                made("openai", base_url=...), OPENAI_BASE_URL="{root}/v1"
            ),
        },
    ),
    *_pairs(
        "responses",
        {
            "rebuilt": made("responses"),
            "bound or constructed": (
                made("responses", reasoning={"effort": "low"}),
                bound("responses", reasoning={"effort": "low"}),
            ),
            "a streamed earlier answer": (
                made("responses", turns(content=sides.response_blocks("msg_1"))),
                made("responses", turns(content=sides.response_blocks("msg_1", index=0))),
            ),
            "max_tokens by its other name": (
                made("responses", max_tokens=20),
                bound("responses", max_output_tokens=20),
            ),
        },
    ),
    *_pairs(
        "ollama",
        {
            "rebuilt": made("ollama"),
            "bound or constructed": (made("ollama", num_ctx=100), bound("ollama", num_ctx=100)),
            "model bound": (made("ollama", model="llama-y"), bound("ollama", model="llama-y")),
            "keep_alive": made("ollama", keep_alive=60),
            "timeout": made("ollama", client_kwargs={"timeout": 7}),
            "credential header": made("ollama", client_kwargs={"headers": {"Authorization": "x"}}),
            "user and password of the address": lambda root: Side(
                sides.ollama_model(root.replace("://", "://ann:secret@"))
            ),
            "slash at the end": lambda root: Side(sides.ollama_model(f"{root}/")),
            "address by OLLAMA_HOST": in_environment(
                made("ollama", base_url=None), OLLAMA_HOST="{root}"
            ),
        },
    ),
    *_pairs(
        "anthropic",
        {
            "rebuilt": made("anthropic"),
            "bound or constructed": (made("anthropic", top_k=2), bound("anthropic", top_k=2)),
            "stop of the call": (
                made("anthropic", stop_sequences=["x"]),
                made("anthropic", call={"stop": ["x"]}),
            ),
            "retries and timeout": made("anthropic", max_retries=7, timeout=7),
            "key": made("anthropic", api_key="sk-other"),
            "how it is billed": made("anthropic", call={"service_tier": "standard_only"}),
            "names": (
                made("anthropic", [HumanMessage("Hi", name="ann"), *tool_turns()]),
                made("anthropic", [HumanMessage("Hi"), *tool_turns()]),
            ),
            "cache marks": (
                made("anthropic", _with_tool_result("rain"), call={"tools": [_TOOL]}),
                made(
                    "anthropic",
                    _with_tool_result("rain", **_MARK),
                    call={"tools": [_TOOL | _MARK], **_MARK},
                ),
            ),
            "a call said twice": (
                made("anthropic", tool_turns(content=sides.tool_use({"city": "Rome", "day": 1}))),
                made("anthropic", tool_turns(content=sides.tool_use({}, index=0))),
            ),
        },
    ),
    *_pairs(
        "own",
        {
            "rebuilt": made("own"),
            "calls before": sides.called("own"),
            "names and tags": made("own", name="it", tags=["a"]),
            "the same cell run again": (
                lambda root: Side(sides.notebook_model(root, "'a'")),
                lambda root: Side(sides.notebook_model(root, "'a'")),
            ),
        },
    ),
]
