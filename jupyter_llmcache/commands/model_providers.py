"""``provider:model``: OpenAI by langchain-openai, all others by LangChain's ``init_chat_model``."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import LLMCacheError
from ..providers import PROVIDERS
from ..text import one_line
from .prompts import nearest

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_OPENAI_ADDRESSES = PROVIDERS["openai"].addresses
#: Any of these in the environment makes OpenAI the default.
OPENAI_VARIABLES = (*PROVIDERS["openai"].keys, *_OPENAI_ADDRESSES)
#: Stands for a key where none is needed: a server of one's own, and replay. Never sent elsewhere.
PLACEHOLDER_KEY = "no-key"

WAYS = (
    "Ways: set OPENAI_API_KEY (in Python: os.environ['OPENAI_API_KEY'] = getpass.getpass()); "
    "set OPENAI_BASE_URL for a server without keys; -m with a variable that holds a model, with "
    "provider:model, or with local; -m demo shows the mechanics with canned answers"
)


def build(
    provider: str, name: str, connection: Mapping[str, Any], *, replays: bool
) -> BaseChatModel:
    """Return a new chat model.

    Args:
        provider: A name of ``init_chat_model``.
        name: The model's name at the provider.
        connection: Arguments such as ``base_url`` for the model's class.
        replays: Whether it will be called at all; if not, it needs no key.

    Raises:
        LLMCacheError: The provider is unknown, or its package or key is missing.
    """
    if not name:
        raise LLMCacheError(
            f"-m {provider}: names no model", f"Write one behind the colon: {provider}:MODEL"
        )
    if provider == "openai":
        return _openai(name, connection, replays=replays)
    return _other(provider, name, connection, replays=replays)


def _openai(name: str, connection: Mapping[str, Any], *, replays: bool) -> BaseChatModel:
    from langchain_openai import ChatOpenAI

    arguments = dict(connection)
    if PROVIDERS["openai"].lacks_key and not _gives_key(arguments):
        addressed = any(map(os.environ.get, _OPENAI_ADDRESSES))
        if not (replays or addressed or {"base_url", "openai_api_base"} & arguments.keys()):
            raise LLMCacheError(f"openai:{name} needs a key, and OPENAI_API_KEY is not set", WAYS)
        arguments["api_key"] = PLACEHOLDER_KEY
    try:
        return ChatOpenAI(model=name, **arguments)
    except Exception as error:
        raise _cannot_be_made(f"openai:{name}", error) from error


def _other(
    provider: str, name: str, connection: Mapping[str, Any], *, replays: bool
) -> BaseChatModel:
    spec, known = f"{provider}:{name}", PROVIDERS.get(provider)
    package = known.package if known else f"langchain-{provider}"
    if importlib.util.find_spec("langchain") is None:
        raise (
            LLMCacheError(f"{spec} needs langchain", f"Run %pip install langchain {package}")
            if known
            else _unknown(provider)
        )
    from langchain.chat_models import init_chat_model

    arguments = dict(connection)
    if known and known.lacks_key and not _gives_key(arguments):
        if not replays:
            raise LLMCacheError(
                f"{spec} needs a key, and {known.keys[0]} is not set",
                f"Set it: os.environ['{known.keys[0]}'] = getpass.getpass(); or ask another "
                "model: a variable, local, demo",
            )
        arguments["api_key"] = PLACEHOLDER_KEY
    try:
        model: BaseChatModel = init_chat_model(name, model_provider=provider, **arguments)
        return model
    except ImportError as error:
        raise LLMCacheError(f"{spec} needs {package}", f"Run %pip install {package}") from error
    except Exception as error:
        raise (_cannot_be_made(spec, error) if known else _unknown(provider)) from error


def _gives_key(arguments: Mapping[str, Any]) -> bool:
    return any(name.endswith("api_key") for name in arguments)


def _unknown(provider: str) -> LLMCacheError:
    return LLMCacheError(
        f"there is no provider {provider!r}",
        nearest(provider, [*PROVIDERS, "local"]) or f"Known: {', '.join(PROVIDERS)}",
    )


def _cannot_be_made(spec: str, error: Exception) -> LLMCacheError:
    return LLMCacheError(f"{spec} cannot be made: {one_line(error, 200)}", "Check what -p gives it")
