"""Ways to build one request to a model, for the tables of pairs."""

from __future__ import annotations

import base64
import json
import os
import textwrap
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import ConfigurableField, Runnable
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import DefaultHttpxClient
from pydantic import BaseModel, Field, PrivateAttr

Kind = Literal["openai", "responses", "ollama", "anthropic", "own"]


#: Whether this release takes a key as a function; the oldest ones take text alone.
TAKES_KEY_FUNCTIONS = "Callable" in str(ChatOpenAI.model_fields["openai_api_key"])

#: The HTTP client that this release of OpenAI's SDK sends by.
HttpClient = next(base for base in DefaultHttpxClient.__mro__ if base.__name__ == "Client")


@dataclass(frozen=True)
class Side:
    """One request, ready to be made.

    Attributes:
        runnable: A model, or what ends at one.
        input: What it is invoked with.
        kwargs: The arguments of the call.
    """

    runnable: Runnable[Any, Any]
    input: Any = "What is the capital of France?"
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def run(self) -> Any:
        return self.runnable.invoke(self.input, **self.kwargs)


Builder = Callable[[str], Side]


# --- models ---


def openai_model(root: str, **fields: Any) -> BaseChatModel:

    given = {"model": "gpt-x", "api_key": "sk-test", "base_url": f"{root}/v1"} | fields
    return ChatOpenAI(**{name: value for name, value in given.items() if value is not ...})


def ollama_model(root: str, **fields: Any) -> BaseChatModel:
    from langchain_ollama import ChatOllama

    return ChatOllama(**{"model": "llama-x", "base_url": root} | fields)


def anthropic_model(root: str, **fields: Any) -> BaseChatModel:
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(**{"model": "claude-x", "api_key": "sk-test", "base_url": root} | fields)


def ask(url: str, text: str) -> str:
    """Send ``text`` to the server at ``url``, as a model of the user's own may."""
    body = json.dumps({"model": "own", "messages": [{"role": "user", "content": text}]})
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", body.encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


class Parrot(BaseChatModel):
    """A model of the user's own: sends its fields, its private and its class attribute, and says so
    in its ``cache_key``.
    """

    STYLE: ClassVar[str] = "plain"
    url: str = "http://127.0.0.1:9"
    phrase: str = "hello"
    table: dict[str, int] = Field(default_factory=dict)
    _calls: int = 0
    _accent: str = PrivateAttr("none")
    _heard: list[str] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "parrot"

    def cache_key(self):
        return [self.STYLE, self._accent]

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self._calls += 1
        self._heard.append(str(messages[-1].content))
        text = f"{self.phrase} {self.STYLE} {self._accent} {self.table} {stop} {kwargs}"
        message = AIMessage(ask(self.url, text))
        return ChatResult(generations=[ChatGeneration(message=message)])


def parrot(phrase: str = "hello", accent: str = "none", **fields: Any) -> Parrot:
    model = Parrot(phrase=phrase, **fields)
    model._accent = accent
    return model


def notebook_model(root: str, body: str, name: str = "Notebook") -> BaseChatModel:
    """Return a chat model whose class a notebook's cell defines, its source kept as by IPython."""
    import linecache

    source = textwrap.dedent(f"""
        from langchain_core.language_models import BaseChatModel
        from langchain_core.messages import AIMessage
        from langchain_core.outputs import ChatGeneration, ChatResult
        from tests.unit.request.sides import ask
        def say(text):
            return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])
        class {name}(BaseChatModel):
            url: str
            @property
            def _llm_type(self):
                return "notebook"
            def cache_key(self):
                return [reply()]
            def _generate(self, messages, stop=None, run_manager=None, **kwargs):
                return say(ask(self.url, reply()))
        def reply():
            return {body}
    """)
    file = f"<cell of {name}: {body}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), space)
    return space[name](url=root)


_MODELS: dict[str, Callable[..., BaseChatModel]] = {
    "openai": openai_model,
    "responses": lambda root, **fields: openai_model(root, use_responses_api=True, **fields),
    "ollama": ollama_model,
    "anthropic": anthropic_model,
    "own": lambda root, **fields: parrot(url=root, **fields),
}

# --- ways to build a side ---


def made(kind: Kind, prompt: Any = Side.input, call: Mapping[str, Any] | None = None, **fields):
    """A model with ``fields``, asked ``prompt`` with the arguments ``call``."""
    return lambda root: Side(_MODELS[kind](root, **fields), prompt, call or {})


def bound(kind: Kind, **arguments: Any) -> Builder:
    """A model with ``arguments`` bound."""
    return lambda root: Side(_MODELS[kind](root).bind(**arguments))


def changed(kind: Kind, **fields: Any) -> Builder:
    """A model that was asked to describe itself before its fields were set anew."""

    def build(root: str) -> Side:
        model = _MODELS[kind](root)
        _ = getattr(model, "_serialized", None)
        for name, value in fields.items():
            setattr(model, name, value)
        return Side(model)

    return build


def copied(kind: Kind, **fields: Any) -> Builder:
    """A copy with other fields of a model that was asked to describe itself before."""

    def build(root: str) -> Side:
        model = _MODELS[kind](root)
        _ = getattr(model, "_serialized", None)
        return Side(model.model_copy(update=fields))

    return build


def configured(kind: Kind, name: str, value: Any) -> Builder:
    """A model with a configurable field that is set by the call's configuration."""

    def build(root: str) -> Side:
        model = _MODELS[kind](root).configurable_fields(**{name: ConfigurableField(id="it")})
        return Side(model.with_config(configurable={"it": value}))

    return build


def called(kind: Kind) -> Builder:
    """A model that was called before."""

    def build(root: str) -> Side:
        model = _MODELS[kind](root)
        with suppress(OSError):  # it counts its calls, also those that nobody answers
            model.invoke("Hello?")
        return Side(model)

    return build


def with_tools(kind: Kind, *tools: Any, **arguments: Any) -> Builder:
    """A model with tools bound by its own ``bind_tools``."""
    return lambda root: Side(_MODELS[kind](root).bind_tools(list(tools), **arguments))


def structured(kind: Kind, schema: Any, **arguments: Any) -> Builder:
    """A model with structured output."""
    return lambda root: Side(_MODELS[kind](root).with_structured_output(schema, **arguments))


def in_environment(builder: Builder, **variables: str) -> Builder:
    """A side built while environment variables are set; ``{root}`` in them is the server."""

    def build(root: str) -> Side:
        with environment({name: text.format(root=root) for name, text in variables.items()}):
            return builder(root)

    return build


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# --- things to ask with ---


def picture(last_byte: int, size: int = 3000, **detail: str) -> list[BaseMessage]:
    data = base64.b64encode(bytes([137, 80, 78, 71] * (size // 4)) + bytes([last_byte])).decode()
    url = {"url": f"data:image/png;base64,{data}"} | detail
    blocks = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": url}]
    return [HumanMessage(blocks)]


def weather_tool(text: str = "Tell the weather.", *names: str) -> dict[str, Any]:
    properties = {name: {"type": "string"} for name in names or ("city", "day")}
    schema = {"type": "object", "properties": properties, "required": sorted(properties)}
    function = {"name": "weather", "description": text, "parameters": schema}
    return {"type": "function", "function": function}


def weather_function(offset: int) -> Any:
    @tool
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"{city}: {offset}"

    return weather


def city_class(text: str, **fields: Any) -> type[BaseModel]:
    """Return a class ``City``, as a cell that is run again defines it anew."""
    space = {"__doc__": text, "__annotations__": dict.fromkeys(fields, str)}
    return type("City", (BaseModel,), space | fields)


def turns(**first_answer: Any) -> list[BaseMessage]:
    answer = AIMessage(**{"content": "Paris."} | first_answer)
    return [HumanMessage("Capital of France?"), answer, HumanMessage("And of Spain?")]


def tool_turns(
    args: Any = None,
    call_id: str = "call_1",
    result: Any = "rain",
    content: Any = "",
    **fields: Any,
) -> list[BaseMessage]:
    call = {"name": "weather", "args": args or {"city": "Rome", "day": 1}, "id": call_id}
    return [
        HumanMessage("Weather in Rome?"),
        AIMessage(content, tool_calls=[call], **fields),
        ToolMessage(result, tool_call_id=call_id),
    ]


def tool_use(given: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """Return the content that Anthropic's models leave beside a tool call."""
    call = {"type": "tool_use", "id": "call_1", "name": "weather", "input": given}
    return [{"type": "text", "text": "I look."} | fields, call | fields]


def response_blocks(message_id: str, **traces: int) -> list[dict[str, Any]]:
    """Return the content that the Responses API leaves, with what a stream adds."""
    summary = {"type": "summary_text", "text": "It is known."} | traces
    return [
        {"type": "reasoning", "id": "rs_1", "summary": [summary]} | traces,
        {"type": "text", "text": "Paris.", "annotations": [], "id": message_id} | traces,
    ]


def held_turns(response_id: str) -> list[BaseMessage]:
    """Turns whose first answer the server of the Responses API holds."""
    return turns(response_metadata={"id": response_id}, id="lc_1")


def contained_turns(container_id: str) -> list[BaseMessage]:
    """Turns whose first answer left a container at Anthropic's server."""
    return turns(response_metadata={"container": {"id": container_id}})


def call_block_turns(args: dict[str, Any]) -> list[BaseMessage]:
    """Turns with a tool call as the Responses API leaves it, its block saying ``args``."""
    block = {"type": "function_call", "call_id": "call_1", "name": "weather", "id": "fc_1"}
    return tool_turns(content=[block | {"arguments": json.dumps(args)}])


def text_block(**more: Any) -> dict[str, Any]:
    return {"type": "text", "text": "Hi"} | more


def tool_with_default(name: str, default: str) -> dict[str, Any]:
    made = weather_tool("a", name)
    made["function"]["parameters"]["properties"][name]["default"] = default
    return made


def with_client(root: str, change: Callable[[Any], Any]) -> BaseChatModel:
    """A model whose client was changed after it was made."""
    model = openai_model(root)
    model.root_client = change(model.root_client)
    model.client = model.root_client.chat.completions
    return model


def call_extras() -> dict[str, Any]:
    function = {"name": "weather", "arguments": '{"city": "Rome", "day": 1}'}
    return {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}


def streamed_turns() -> list[BaseMessage]:
    chunks = [
        AIMessageChunk("Par", id="run-1"),
        AIMessageChunk("is."),
        AIMessageChunk("", response_metadata={"finish_reason": "stop"}, chunk_position="last"),
    ]
    answer = chunks[0] + chunks[1] + chunks[2]
    return [HumanMessage("Capital of France?"), answer, HumanMessage("And of Spain?")]


def streamed_tool_turns() -> list[BaseMessage]:
    pieces = [
        {"name": "weather", "args": '{"city": "Rome",', "id": "call_1", "index": 0},
        {"name": None, "args": ' "day": 1}', "id": None, "index": 0},
    ]
    first, second = (AIMessageChunk("", tool_call_chunks=[piece]) for piece in pieces)
    asked, _, result = tool_turns()
    return [asked, first + second, result]


class Level(Enum):
    LOW = "low"


RUN_IDS = "019a0000-0000-7000-8000-000000000001", "019b0000-0000-7000-8000-000000000002"
USAGE = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
EVENT = {"type": "object", "properties": {"name": {"type": "string"}, "at": {"type": "string"}}}
EVENT_TURNED = {"type": "object", "properties": dict(reversed(EVENT["properties"].items()))}
SYSTEM = [SystemMessage("Be brief."), HumanMessage("Hi")]
