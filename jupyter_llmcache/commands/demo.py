"""``-m demo``: canned answers with a real delay, to show the mechanics without a network."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

_ENGLISH = (
    "Why did the cache cross the road? It had been there before, and remembered the way.",
    "Two things are hard in computing: naming, cache invalidation, and counting to two.",
    "A model that is asked twice thinks twice. A cache that is asked twice just smiles.",
    "I am a canned answer: slow the first time, at once the second time. That is all.",
    "Why do programmers ask everything twice? The first answer is fresh, the second free.",
)
# ruff: noqa: RUF001  # Chinese has its own punctuation
_CHINESE = (
    "为什么缓存从不迷路？因为它走过的路都记得。",
    "同一个问题问两遍：第一遍要等，第二遍只要翻翻记忆。",
    "这是一条预先写好的回答：第一次慢慢来，第二次立刻到，缓存的好处一看便知。",
)
_HAN = re.compile("[\u4e00-\u9fff]")
_PIECE = re.compile(r"\s*[^\s\u3000-\u9fff]+|\s*[\u3000-\u9fff]|\s+")

#: How much of the delay passes before the first word of a stream.
_FIRST_WORD = 0.4


class Demo(FakeListChatModel):
    """Answers from a list, chosen by the prompt, so that the same prompt gets the same answer.

    Attributes:
        sleep: How long an answer takes, in seconds.
        canned: Marks every call, so that no drawing takes the answer for a model's.
    """

    canned: ClassVar[bool] = True
    model: str = "canned"
    responses: list[str] = Field(default_factory=lambda: [*_ENGLISH, *_CHINESE])
    sleep: float | None = 0.8

    @property
    def _llm_type(self) -> str:
        return "demo"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002  # LangChain's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **_: Any,
    ) -> ChatResult:
        time.sleep(self.sleep or 0)
        text = _choose(messages)
        message = AIMessage(
            text,
            usage_metadata=_usage(messages, text),
            response_metadata={"model_name": self.model, "finish_reason": "stop"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002  # LangChain's signature
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> Iterator[ChatGenerationChunk]:
        text, delay_s = _choose(messages), self.sleep or 0
        pieces = _PIECE.findall(text)
        pause_s = delay_s * (1 - _FIRST_WORD) / len(pieces)
        time.sleep(delay_s * _FIRST_WORD)
        for piece in pieces:
            time.sleep(pause_s)
            yield _told(AIMessageChunk(content=piece), run_manager)
        yield _told(
            AIMessageChunk(
                content="",
                usage_metadata=_usage(messages, text),
                response_metadata={"model_name": self.model, "finish_reason": "stop"},
                chunk_position="last",
            ),
            run_manager,
        )


def _told(
    message: AIMessageChunk, run_manager: CallbackManagerForLLMRun | None
) -> ChatGenerationChunk:
    chunk = ChatGenerationChunk(message=message)
    if run_manager:
        run_manager.on_llm_new_token(str(message.text), chunk=chunk)
    return chunk


def _choose(messages: list[BaseMessage]) -> str:
    """Return the answer; a prompt in Chinese gets one in Chinese."""
    prompt = str(messages[-1].text) if messages else ""
    answers = _CHINESE if _HAN.search(prompt) else _ENGLISH
    return answers[
        int.from_bytes(sha256(prompt.encode("utf-8", "replace")).digest()) % len(answers)
    ]


def _usage(messages: list[BaseMessage], answer: str) -> UsageMetadata:
    """Count words as a model counts tokens."""
    given = sum(len(_PIECE.findall(str(message.text))) for message in messages)
    made = len(_PIECE.findall(answer))
    return UsageMetadata(input_tokens=given, output_tokens=made, total_tokens=given + made)
