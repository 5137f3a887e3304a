"""The one table of providers: a row is all that a new provider needs."""

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration

from jupyter_llmcache import providers
from jupyter_llmcache.answer import verdict as verdicts
from jupyter_llmcache.answer.verdict import verdict
from jupyter_llmcache.commands import models
from jupyter_llmcache.commands.models import choose, split_connection
from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.ledger import price_name
from jupyter_llmcache.provider_row import Provider
from jupyter_llmcache.request import parameters
from jupyter_llmcache.settings import LLMCache

CACHED = (providers.provider_of, parameters.provider_name, verdicts._end, models._connection_names)


class ChatNimbus(FakeListChatModel):
    """A class of the new provider's package."""

    nimbus_api_base: str = "https://api.nimbus.example"
    mood: str = "calm"
    lane: str = "slow"


ChatNimbus.__module__ = "langchain_nimbus.chat_models"

ROW = Provider(
    name="nimbus",
    package="langchain-nimbus",
    classes="ChatNimbus",
    keys=("NIMBUS_KEY",),
    endpoint_fields=("nimbus_api_base",),
    usual_endpoint="https://api.nimbus.example",
    never={"lane": "how it is billed", "i": "which comes next", "sleep": "how slowly"},
    always_tells_end=True,
    ends={"rained_off": "filtered"},
    price_name="nimbus-ai",
)


@pytest.fixture(autouse=True)
def row(monkeypatch):
    """The table with one more row."""
    rows = (*providers.ROWS, ROW)
    for reader in (providers, verdicts, models):
        monkeypatch.setattr(reader, "ROWS", rows)
    monkeypatch.setitem(providers.PROVIDERS, "nimbus", ROW)
    for cached in CACHED:
        cached.cache_clear()
    yield
    for cached in CACHED:
        cached.cache_clear()


def test_a_row_names_the_class_and_its_price():
    """The label begins with the row's name; prices are looked up under the other one."""
    assert parameters.provider_name(ChatNimbus) == "nimbus"
    assert price_name("nimbus") == "nimbus-ai"


def test_a_row_is_what_dash_m_can_name(monkeypatch):
    """The line says which variable holds the key, and the row's address goes to its class."""
    monkeypatch.delenv("NIMBUS_KEY", raising=False)
    with pytest.raises(LLMCacheError, match="NIMBUS_KEY is not set"):
        choose("nimbus:n1", {}, {}, LLMCache())
    connection, _ = split_connection({"nimbus_api_base": "http://x", "temperature": 0})
    assert connection == {"nimbus_api_base": "http://x"}


def test_a_row_tells_how_answers_end():
    """The provider's own word for a filtered answer, or none where it always says one."""
    generation = ChatGeneration(message=AIMessage("x"), generation_info={"stop_reason": "end"})
    assert verdict([generation], max_tokens_given=False).reason is None
    generation.generation_info = {"stop_reason": "rained_off"}
    assert "filtered" in (verdict([generation], max_tokens_given=False).reason or "")
    generation.generation_info = {"model_provider": "nimbus"}
    assert "its end is missing" in (verdict([generation], max_tokens_given=False).reason or "")


def test_every_dropped_name_has_its_reason():
    """Whatever cannot change an answer says why, in the table."""
    for row in providers.ROWS:
        assert all({**row.never, **row.at_home}.values()), row.name
