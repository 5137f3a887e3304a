"""The magics in a real kernel, over its real messages."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from IPython.core import completer
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from tests.servers.openai import OpenAIServer, rate_limited

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60


@dataclass
class Run:
    """What a cell did: its reply, its outputs' texts, its stderr."""

    reply: dict
    texts: list[str] = field(default_factory=list)
    stderr: str = ""


class Notebook:
    """A kernel and what runs in it."""

    def __init__(self, client: BlockingKernelClient, interrupt, server: OpenAIServer) -> None:
        self.client = client
        self.interrupt = interrupt
        self.server = server

    def run(self, cell: str) -> Run:
        return self.wait(self.client.execute(cell))

    def wait(self, request: str) -> Run:
        run = Run({})
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE_S)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind in ("execute_result", "display_data", "update_display_data"):
                run.texts.append(content["data"].get("text/plain", ""))
            elif kind == "stream" and content["name"] == "stderr":
                run.stderr += content["text"]
            elif kind == "status" and content["execution_state"] == "idle":
                break
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE_S)
            if reply["parent_header"].get("msg_id") == request:
                run.reply = reply["content"]
                return run

    def complete(self, code: str) -> list[str]:
        request = self.client.complete(code, len(code))
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE_S)
            if reply["parent_header"].get("msg_id") == request:
                content = reply["content"]
                return [code[: content["cursor_start"]] + match for match in content["matches"]]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory) -> Iterator[Notebook]:
    """A kernel with the extension loaded, and the server that it asks."""
    folder = tmp_path_factory.mktemp("kernel")
    with OpenAIServer() as server:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "LLMCACHE_"))},
            "PYTHONPATH": str(ROOT),
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(folder / "jupyter"),
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "made-up",
        }
        manager, client = start_new_kernel(env=environment, cwd=str(folder))
        try:
            notebook = Notebook(client, manager.interrupt_kernel, server)
            loaded = notebook.run("%load_ext jupyter_llmcache")
            assert (loaded.reply["status"], loaded.texts, loaded.stderr) == ("ok", [], "")
            notebook.run("%llm_cache memory")
            yield notebook
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def test_a_cell_is_answered_and_then_cached(notebook):
    """A cell's answer and annotation are two outputs, and the second run's answer is the same."""
    fresh, cached = notebook.run("%%llm\n>>> hi"), notebook.run("%%llm\n>>> hi")
    assert notebook.server.bodies[-1]["messages"][0]["content"] == ">>> hi"
    assert fresh.texts[-1].startswith("fresh · ")
    assert cached.texts[-1].startswith("cached · ")
    assert cached.texts[0] == fresh.texts[-2]
    assert len(cached.texts) == 2


@pytest.mark.parametrize(
    ("cell", "name", "line"),
    [
        ("%llm --modle x hi", "LLMCacheError", "has no flag --modle"),
        ("%llm -t hot hi", "UsageError", "invalid float value"),
        ("%llm_cache sqlit", "LLMCacheError", "Did you mean 'sqlite'?"),
        ("%%llm\nhi {{nobody}}", "LLMCacheError", "there is no variable 'nobody'"),
    ],
)
def test_an_error_is_one_line_and_stops_the_queue(notebook, cell, name, line):
    """A wrong use is one line, the cell failed, and the cells queued behind it do not run."""
    # All that is asked while the first cell runs waits in the queue, as in Run All.
    first = notebook.client.execute("import time; time.sleep(1); ran = False")
    failing, queued = notebook.client.execute(cell), notebook.client.execute("ran = True")
    notebook.wait(first)
    failed = notebook.wait(failing)
    assert notebook.wait(queued).reply["status"] in ("error", "aborted")
    assert failed.reply["status"] == "error"
    if name == "UsageError":
        assert line in failed.stderr
    else:
        assert failed.reply["ename"] == name
        assert line in failed.reply["evalue"]
        assert len(failed.reply["traceback"]) == 1
        assert "\n" not in failed.reply["traceback"][0].strip()
    assert notebook.run("assert not ran").reply["status"] == "ok"


def test_a_provider_error_is_one_line(notebook):
    """A provider's failure is one line with what to do, and the next question is answered."""
    notebook.server.fail(rate_limited())
    failed = notebook.run("%%llm -p max_retries=0\nlimited")
    notebook.server.recover()
    assert failed.reply["status"] == "error"
    assert "too many requests (HTTP 429)" in failed.reply["evalue"]
    assert len(failed.reply["traceback"]) == 1
    assert notebook.run("%llm limited").reply["status"] == "ok"


def test_an_interrupt_stops_the_call_and_leaves_the_cache_sound(notebook):
    """Interrupting a running call ends it and the queue; asked again, it is answered and kept."""
    notebook.server.pass_on.clear()
    before = len(notebook.server.requests)
    running, queued = (notebook.client.execute(c) for c in ("%%llm\nslow", "queued = True"))
    deadline = time.monotonic() + PATIENCE_S
    while len(notebook.server.requests) == before and time.monotonic() < deadline:
        time.sleep(0.02)
    began = time.monotonic()
    notebook.interrupt()
    interrupted = notebook.wait(running)
    assert interrupted.reply["ename"] == "KeyboardInterrupt"
    assert time.monotonic() - began < 10
    assert notebook.wait(queued).reply["status"] in ("error", "aborted")
    notebook.server.pass_on.set()
    assert notebook.run("%%llm\nslow").texts[-1].startswith("fresh · ")
    assert notebook.run("%%llm\nslow").texts[-1].startswith("cached · ")


@pytest.mark.skipif(
    not hasattr(completer, "context_matcher"), reason="this IPython has no context matchers"
)
def test_tab(notebook):
    """TAB in a cell offers flags, models past their colon, and variables in the prompt."""
    notebook.run("greeting = 'hi'")
    assert notebook.complete("%%llm --show") == ["%%llm --show-prompt"]
    assert notebook.complete("%%llm -m openai:gpt") == ["%%llm -m openai:gpt-4o-mini"]
    assert notebook.complete("%%llm\nsay {{greet") == ["%%llm\nsay {{greeting"]
    assert notebook.complete("%llm_cache sqli") == ["%llm_cache sqlite"]


def test_reload_and_unload(notebook):
    """Reloading doubles nothing, and unloading takes the magics away."""
    again = notebook.run("%reload_ext jupyter_llmcache\n%llm_cache memory\n1;")
    assert again.reply["status"] == "ok"
    assert len(notebook.run("%%llm\nonce more").texts) >= 2
    assert len(notebook.run("x = %llm once more\nNone").texts) <= 1
    notebook.run("%unload_ext jupyter_llmcache")
    assert notebook.run("%llm hi").reply["status"] == "error"
    notebook.run("%load_ext jupyter_llmcache\n%llm_cache memory")
