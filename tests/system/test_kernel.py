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

from tests.servers.openai import (
    OpenAIServer,
    invalid_key,
    rate_limited,
    server_error,
    unknown_model,
)

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60


@dataclass
class Run:
    """What a cell did: its reply, its outputs' texts, the tracebacks it drew, its stderr."""

    reply: dict
    texts: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    stderr: str = ""


class Notebook:
    """A kernel and what runs in it."""

    def __init__(self, client: BlockingKernelClient, interrupt, server: OpenAIServer) -> None:
        self.client = client
        self.interrupt = interrupt
        self.server = server

    def run(self, cell: str) -> Run:
        return self.wait(self.client.execute(cell))

    def recover(self) -> None:
        """Wait until the kernel takes requests: after an error it refuses them for a while."""
        while self.run("pass").reply["status"] == "aborted":
            time.sleep(0.1)

    def wait(self, request: str) -> Run:
        run = Run({})
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE_S)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind in ("execute_result", "display_data", "update_display_data"):
                run.texts.append(content["data"].get("text/plain", ""))
            elif kind == "error":
                run.tracebacks += content["traceback"]
            elif kind == "stream" and content["name"] == "stderr":
                run.stderr += content["text"]
            elif kind == "status" and content["execution_state"] == "idle":
                break
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE_S)
            if reply["parent_header"].get("msg_id") == request:
                run.reply = reply["content"]
                return run

    def stored(self) -> str:
        """Return how many entries the cache holds."""
        return self.run("status = %llm_cache\nstatus.entries").texts[-1]

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


NO_KEY = (
    "import os; saved = os.environ.pop('OPENAI_API_KEY'), os.environ.pop('OPENAI_BASE_URL')",
    "os.environ.update(OPENAI_API_KEY=saved[0], OPENAI_BASE_URL=saved[1])",
)
ONCE = "-p max_retries=0"

#: A cell, how the server fails meanwhile, and what the one line of the error holds.
WRONG = {
    "bad flag": ("%llm --modle x hi", None, "has no flag --modle"),
    "bad subcommand": ("%llm_cache sqlit", None, "Did you mean 'sqlite'?"),
    "bad path": ("%llm_cache sqlite /proc/nowhere/a.db", None, "/proc/nowhere"),
    "blank cell": ("%%llm\n  \n", None, "the prompt is empty"),
    "misspelt variable": ("%%llm\nhi {{nobody}}", None, "there is no variable 'nobody'"),
    "unknown model variable": ("%llm -m gtp hi", None, "-m gtp: there is no variable"),
    "unknown provider": ("%llm -m opnai:x hi", None, "Did you mean 'openai'?"),
    "unknown model": (f"%llm {ONCE} hi", unknown_model("gpt-4o-mini"), "no such model"),
    "refused key": (f"%llm {ONCE} hi", invalid_key(), "the key was refused (HTTP 401)"),
    "too many requests": (f"%llm {ONCE} hi", rate_limited(), "too many requests (HTTP 429)"),
    "provider fails": (f"%llm {ONCE} hi", server_error(), "the provider failed (HTTP 500)"),
    "nobody there": (
        f"%llm -m openai:x -p base_url=http://127.0.0.1:9/v1 {ONCE} hi",
        None,
        "the server cannot be reached at http://127.0.0.1:9/v1",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_error_is_one_line_and_stops_the_queue(notebook, case):
    """What goes wrong is one line, the cell failed, what is queued behind it does not run, nothing
    is stored, and %tb shows the whole traceback.
    """
    cell, failure, line = WRONG[case]
    stored = notebook.stored()
    if failure is not None:
        notebook.server.fail(failure)
    # All that is asked while the first cell runs waits in the queue, as in Run All.
    first = notebook.client.execute("import time; time.sleep(1); ran = False")
    failing, queued = notebook.client.execute(cell), notebook.client.execute("ran = True")
    notebook.wait(first)
    failed = notebook.wait(failing)
    assert notebook.wait(queued).reply["status"] in ("error", "aborted")
    notebook.server.recover()
    notebook.recover()
    assert failed.reply["status"] == "error"
    assert line in failed.reply["evalue"]
    assert len(failed.tracebacks) == 1
    assert "\n" not in failed.tracebacks[0].strip()
    assert "Traceback" in "".join(notebook.run("%tb").tracebacks)
    assert notebook.run("assert not ran").reply["status"] == "ok"
    assert notebook.stored() == stored


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("%llm -t hot hi", "'hot' is not a number"),
        ("%llm_cache mode replya", "Did you mean 'replay'?"),
    ],
)
def test_a_wrong_value_is_one_line(notebook, cell, line):
    """A value of the wrong kind is one line, as every other error."""
    failed = notebook.run(cell)
    assert failed.reply["ename"] == "LLMCacheError"
    assert line in "".join(failed.tracebacks)


def test_a_missing_key_lists_the_ways(notebook):
    """Without a key and without a model the one line lists every way to get an answer."""
    take, give = NO_KEY
    notebook.run(take)
    failed = notebook.run("%llm hi")
    notebook.run(give)
    assert len(failed.reply["traceback"]) == 1
    for way in ("OPENAI_API_KEY", "provider:model", "local", "-m demo"):
        assert way in failed.reply["evalue"]
    assert notebook.run("%llm hi").reply["status"] == "ok"


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
    assert interrupted.reply["ename"] == "Interrupted"
    assert time.monotonic() - began < 10
    assert notebook.wait(queued).reply["status"] in ("error", "aborted")
    notebook.server.pass_on.set()
    notebook.recover()
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
