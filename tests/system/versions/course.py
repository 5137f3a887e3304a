"""A small course for other versions: records what is asked, or replays it, and prints the answers.

    python tests/system/versions/course.py record FILE URL
    python tests/system/versions/course.py replay FILE URL

Run it by different interpreters and in different environments: all must print the same.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]

WEATHER = {
    "title": "weather",
    "description": "Tell the weather.",
    "type": "object",
    "properties": {"city": {"type": "string"}, "day": {"type": "integer"}},
    "required": ["city", "day"],
}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def answers(url: str) -> Iterator[Any]:
    """Ask in every way whose entries are promised to last, and yield what came back."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
    from langchain_openai import ChatOpenAI, OpenAI

    llm = ChatOpenAI(model="gpt-x", temperature=0, api_key="k", base_url=url, max_retries=0)
    chat = [SystemMessage("Be brief."), HumanMessage("Capital of France? 日本 🙂")]
    first = llm.invoke(chat)
    yield first.content
    yield first.usage_metadata["total_tokens"]
    yield llm.invoke([*chat, first, HumanMessage("And of Spain?")]).content
    yield "".join(str(chunk.content) for chunk in llm.stream("in pieces"))
    yield llm.invoke([HumanMessage([{"type": "text", "text": "What is it?"}, PICTURE])]).content
    called = llm.bind_tools([{"type": "function", "function": function(WEATHER)}]).invoke("Rome?")
    yield called.tool_calls
    result = ToolMessage("rain", tool_call_id=called.tool_calls[0]["id"])
    yield llm.invoke(
        [HumanMessage("Rome?"), AIMessage("", tool_calls=called.tool_calls), result]
    ).content
    yield llm.with_structured_output(WEATHER, method="json_schema").invoke("as JSON")
    yield llm.bind(stop=["x"], max_tokens=99).invoke("bounded").content
    yield [message.content for message in llm.batch(["one", "two", "one"])]
    responses = ChatOpenAI(
        model="gpt-x", api_key="k", base_url=url, max_retries=0, use_responses_api=True
    )
    yield responses.invoke("by the other API").text
    yield OpenAI(model="gpt-t", api_key="k", base_url=url, max_retries=0).invoke("as a text")


def function(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a tool of ``schema`` as OpenAI's API takes it."""
    parameters = {name: schema[name] for name in ("type", "properties", "required")}
    return {"name": schema["title"], "description": schema["description"], "parameters": parameters}


def main(mode: str, path: str, url: str) -> None:
    """Record or replay ``path``."""
    from langchain_core.globals import set_llm_cache

    import jupyter_llmcache

    cache = jupyter_llmcache.SQLiteCache(path, read_only=mode == "replay")
    set_llm_cache(cache)
    with jupyter_llmcache.mode("auto" if mode == "record" else "replay"):
        told = list(answers(url))
    kinds = [call.kind for call in jupyter_llmcache.calls()]
    cache.close()
    json.dump({"answers": told, "kinds": kinds}, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(ROOT))
    main(*sys.argv[1:])
