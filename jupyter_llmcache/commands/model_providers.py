"""``provider:model``: OpenAI by langchain-openai, all others by LangChain's ``init_chat_model``."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import LLMCacheError
from ..text import one_line
from .prompts import nearest

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

OPENAI_KEY = "OPENAI_API_KEY"
_OPENAI_ADDRESSES = ("OPENAI_BASE_URL", "OPENAI_API_BASE")
#: Any of these in the environment makes OpenAI the default.
OPENAI_VARIABLES = (OPENAI_KEY, *_OPENAI_ADDRESSES)

#: Stands for a key where none is needed: a server of one's own, and replay. Never sent elsewhere.
PLACEHOLDER_KEY = "no-key"

WAYS = (
    "Ways: set OPENAI_API_KEY (in Python: os.environ['OPENAI_API_KEY'] = getpass.getpass()); "
    "set OPENAI_BASE_URL for a server without keys; -m with a variable that holds a model, with "
    "provider:model, or with local; -m demo shows the mechanics with canned answers"
)


class Provider(NamedTuple):
    """The package that talks to a provider, and the variables that may hold its key, if any."""

    package: str
    keys: tuple[str, ...] = ()

    @property
    def lacks_key(self) -> bool:
        """Whether it needs a key, and the environment holds none."""
        return bool(self.keys) and not any(map(os.environ.get, self.keys))


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider("langchain-openai", (OPENAI_KEY,)),
    "anthropic": Provider("langchain-anthropic", ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")),
    "azure_ai": Provider("langchain-azure-ai"),
    "azure_openai": Provider("langchain-openai", ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN")),
    "bedrock": Provider("langchain-aws"),
    "bedrock_converse": Provider("langchain-aws"),
    "cohere": Provider("langchain-cohere", ("COHERE_API_KEY",)),
    "deepseek": Provider("langchain-deepseek", ("DEEPSEEK_API_KEY",)),
    "fireworks": Provider("langchain-fireworks", ("FIREWORKS_API_KEY",)),
    "google_genai": Provider("langchain-google-genai", ("GOOGLE_API_KEY", "GEMINI_API_KEY")),
    "google_vertexai": Provider("langchain-google-vertexai"),
    "groq": Provider("langchain-groq", ("GROQ_API_KEY",)),
    "huggingface": Provider("langchain-huggingface"),
    "ibm": Provider("langchain-ibm", ("WATSONX_APIKEY",)),
    "litellm": Provider("langchain-litellm"),
    "mistralai": Provider("langchain-mistralai", ("MISTRAL_API_KEY",)),
    "nvidia": Provider("langchain-nvidia-ai-endpoints", ("NVIDIA_API_KEY",)),
    "ollama": Provider("langchain-ollama"),
    "openrouter": Provider("langchain-openrouter", ("OPENROUTER_API_KEY",)),
    "perplexity": Provider("langchain-perplexity", ("PPLX_API_KEY", "PERPLEXITY_API_KEY")),
    "together": Provider("langchain-together", ("TOGETHER_API_KEY",)),
    "upstage": Provider("langchain-upstage", ("UPSTAGE_API_KEY",)),
    "xai": Provider("langchain-xai", ("XAI_API_KEY",)),
}


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
