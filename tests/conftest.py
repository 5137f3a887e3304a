"""Fixtures for all: real servers on 127.0.0.1, a real shell, a process as if it were new."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi
import pytest
from hypothesis import HealthCheck, settings

from tests import network
from tests.local_model import local_model
from tests.servers.ollama import OllamaServer
from tests.servers.openai import OpenAIServer
from tests.servers.pages import PagesServer, resolving

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI

    from tests.shells import RecordingShell

__all__ = ["local_model"]

#: How many modules there were when they were last taken for good; and so many more are many.
_imported, _MANY_MODULES = 0, 100
# Tests make many small objects and keep few: to look for garbage at every 700th takes a sixth of
# the time of the unit tests.
gc.set_threshold(20_000, 20, 20)
#: What could lead a test to a real provider, or change what the package does.
_FOREIGN_VARIABLES = (
    "OPENAI_",
    "LANGCHAIN_",
    "LANGSMITH_",
    "LLMCACHE_MODE",
    "AZURE_",
    "ANTHROPIC_",
)


# How quick the machine is says nothing about what is tested. A test that wants more or fewer
# examples than others takes a multiple, so that the gate, `--hypothesis-profile gate`, takes more.
settings.register_profile(
    "fast", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=10
)
settings.register_profile("gate", parent=settings.get_profile("fast"), max_examples=100)
settings.load_profile("fast")


def pytest_runtest_setup() -> None:
    """Take what is imported by now for good: IPython collects garbage whenever a shell ends, and
    to look through all modules each time takes longer than most tests.
    """
    global _imported  # noqa: PLW0603  # one process has one collector of garbage
    if len(sys.modules) >= _imported + _MANY_MODULES:
        _imported = len(sys.modules)
        gc.collect()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where CI is set everything is installed, so that a skip would hide a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("A test was skipped, which counts as a failure in CI.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True, scope="session")
def interrupts_arrive() -> None:
    """Take interrupts as a person's shell does; what starts in the background ignores them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with one certificate authority: no test speaks TLS, and every HTTP client reads all
    that it is given, which takes longer than anything else it does.
    """
    end = "-----END CERTIFICATE-----\n"
    first, _, _ = Path(certifi.where()).read_text("utf-8").partition(end)
    file = tmp_path_factory.mktemp("authorities") / "one.pem"
    file.write_text(first + end, "utf-8")
    return str(file)


@pytest.fixture(autouse=True)
def new_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_authority: str
) -> Iterator[None]:
    """Give every test an empty folder, no keys, no global cache, no mode and an empty ledger."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", one_authority)
    for name in list(os.environ):
        if name.startswith(_FOREIGN_VARIABLES):
            monkeypatch.delenv(name)
    _reset()
    yield
    _reset()


def _reset() -> None:
    """Put back what the process shares, as far as the test imported it."""
    if globals_ := sys.modules.get("langchain_core.globals"):
        globals_.set_llm_cache(None)
    if streams := sys.modules.get("jupyter_llmcache.seam.patch"):
        for owner in list(streams._owners):
            streams.uninstall(owner)
    if replay := sys.modules.get("jupyter_llmcache.seam.replay"):
        for owner in list(replay._owners):
            replay.release(owner)
    if modes := sys.modules.get("jupyter_llmcache.modes"):
        modes.set_session_mode(None)
        modes._replay_blocks = 0
    if ledger := sys.modules.get("jupyter_llmcache.ledger"):
        for kept in ("_events", "_told", "_handed", "_by_id", "_recorded_ids"):
            getattr(ledger.LEDGER, kept).clear()
        ledger.LEDGER.totals = ledger.Totals()
        ledger.LEDGER.cell = None


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    """A running server that speaks OpenAI's protocol."""
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def pages() -> Iterator[PagesServer]:
    """A running server of pages, packed and cut in every way."""
    with PagesServer() as server:
        yield server


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names that end in .test stand for other machines, and lead to this one."""
    with resolving(monkeypatch, ".test") as asked:
        yield asked


@pytest.fixture
def ollama_server() -> Iterator[OllamaServer]:
    """A running server that speaks Ollama's protocol."""
    with OllamaServer() as server:
        yield server


@pytest.fixture
def chat_openai(openai_server: OpenAIServer) -> Callable[..., ChatOpenAI]:
    """Make a ChatOpenAI that talks to ``openai_server``; keyword arguments come on top."""
    from langchain_openai import ChatOpenAI

    def make(**settings: Any) -> ChatOpenAI:
        defaults = {"model": "gpt-test", "api_key": "test-key", "max_retries": 0}
        return ChatOpenAI(**{**defaults, "base_url": openai_server.url, **settings})

    return make


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[RecordingShell]:
    """A new IPython shell, the one that ``get_ipython()`` returns."""
    from tests.shells import open_shell

    with open_shell(tmp_path / "ipython") as new:
        yield new


@pytest.fixture
def no_network() -> Iterator[network.Guard]:
    """Refuse every connection but to this machine; the test fails if one was tried."""
    with network.forbidden(loopback=True) as guard:
        yield guard
    assert not guard.attempts


@pytest.fixture
def no_sockets() -> Iterator[network.Guard]:
    """Refuse every connection; the test itself looks at ``attempts``."""
    with network.forbidden(loopback=False) as guard:
        yield guard
