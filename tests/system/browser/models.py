"""A chat model for notebooks: it says one long, mixed answer, word by word, or what it is told."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

MIXED_ANSWER = (Path(__file__).parent / "mixed_answer.md").read_text()
_USAGE = {"input_tokens": 11, "output_tokens": 230, "total_tokens": 241}


class SlowModel(BaseChatModel):
    """Answers with ``answer``.

    Attributes:
        answer: What it says.
        first_s: Seconds until it begins.
        tokens_per_s: How many words a second it says then.
    """

    answer: str = MIXED_ANSWER
    first_s: float = 0.3
    tokens_per_s: float = 200.0
    model_name: str = "gpt-x"

    @property
    def _llm_type(self) -> str:
        return "slow"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": self.model_name, "ls_model_type": "chat"}

    def cache_key(self):
        return []

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        time.sleep(self.first_s)
        message = AIMessage(self.answer, usage_metadata=_USAGE)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        time.sleep(self.first_s)
        due = time.monotonic()
        for word in re.findall(r"\s*\S+\s*$|\s*\S+", self.answer):
            due += 1 / self.tokens_per_s
            time.sleep(max(0.0, due - time.monotonic()))
            yield ChatGenerationChunk(message=AIMessageChunk(word))
        last = AIMessageChunk("", usage_metadata=_USAGE, chunk_position="last")
        last.response_metadata = {"finish_reason": "stop"}
        yield ChatGenerationChunk(message=last)


#: What a notebook defines for tables, objects and agents.
LESSON = """\
topics = ["cats", "dogs", "a much longer topic that is too long to be its own name"]
class Animal(BaseModel):
    name: str
    legs: int
class Zoo(BaseModel):
    animals: list[Animal]
def add(x: int, y: int) -> int:
    "Add."
    return x + y
"""
