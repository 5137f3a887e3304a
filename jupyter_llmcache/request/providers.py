"""What is known of classes of models: where they send, and what cannot change an answer.

A field that no table names counts. So a table can only be too short, which costs a needless miss,
and every name in it was read in the code of its class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Fields of LangChain's base classes that no provider is sent.
BASE_NOISE = frozenset(
    {
        "cache",
        "callback_manager",
        "callbacks",
        "custom_get_token_ids",
        "disable_streaming",
        "metadata",
        "name",
        "profile",
        "rate_limiter",
        "tags",
        "verbose",
    }
)

#: Names that LangChain's integration packages share for how, and not what, a provider is asked.
STANDARD_NOISE = frozenset(
    {
        "default_request_timeout",
        "max_retries",
        "request_timeout",
        "stream_usage",
        "streaming",
        "timeout",
    }
)

#: Arguments of a call that are no part of the question.
CALL_NOISE = frozenset(
    {
        "callbacks",
        "config",
        "ls_structured_output_format",
        "max_retries",
        "metadata",
        "request_timeout",
        "run_id",
        "run_manager",
        "run_name",
        "stream",
        "stream_options",
        "stream_usage",
        "structured_output_format",
        "tags",
        "timeout",
    }
)

#: Fields that hold the address a model of an unknown class sends to; the first it has counts.
ENDPOINT_FIELDS = (
    "base_url",
    "api_base",
    "endpoint",
    "endpoint_url",
    "api_url",
    "inference_server_url",
    "server_url",
)

#: Fields that hold the name of a model, the first one set wins.
MODEL_FIELDS = (
    "model",
    "model_name",
    "deployment_name",
    "model_id",
    "repo_id",
    "model_path",
)


@dataclass(frozen=True, slots=True)
class Provider:
    """What is known of one class and those derived from it.

    Attributes:
        noise: Fields, private attributes and arguments that cannot change an answer.
        aliases: Arguments of a call by the field that means the same.
        endpoint: Reads the address, an object of the client's, from the model; None without one.
        endpoint_fields: Fields that hold the address, by rank; they count as the endpoint only.
        client_fields: Fields with arguments for an HTTP client: headers and query count.
        merges_model_kwargs: Whether ``model_kwargs`` are sent beside the other parameters.
        stop_overrides: Whether stop sequences of a call take the place of the model's own.
        is_known: Whether a table tells all this.
    """

    noise: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    endpoint: Callable[[Any], Any] = lambda _: None
    endpoint_fields: tuple[str, ...] = ENDPOINT_FIELDS
    client_fields: frozenset[str] = frozenset()
    merges_model_kwargs: bool = False
    stop_overrides: bool = False
    is_known: bool = True


def _client_endpoint(model: Any) -> Any:
    """Return where the client in a field sends, as the SDKs of OpenAI's kind tell."""
    fields = model.__dict__
    for name in ("root_client", "client", "root_async_client", "async_client"):
        if (client := fields.get(name)) is not None:
            # Where the SDK keeps it: its property imports a module whenever it is read.
            url = (
                getattr(client, "_base_url", None)
                or getattr(client, "base_url", None)
                or getattr(getattr(client, "_client", None), "base_url", None)
            )
            if url is not None:
                return url
    return None


def _ollama_endpoint(model: Any) -> Any:
    private = model.__pydantic_private__ or {}
    client = getattr(private.get("_client"), "_client", None)
    return getattr(client, "base_url", None)


def _anthropic_endpoint(model: Any) -> Any:
    return getattr(model.__dict__.get("_client"), "base_url", None)


_OPENAI = Provider(
    noise=frozenset(
        {
            "async_client",
            "batch_size",
            "client",
            "http_async_client",
            "http_client",
            "http_socket_options",
            "include_response_headers",
            "openai_organization",
            "openai_proxy",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "root_async_client",
            "root_client",
            "stream_chunk_timeout",
            "tiktoken_model_name",
            "validate_base_url",
        }
    ),
    aliases={"max_completion_tokens": "max_tokens", "max_output_tokens": "max_tokens"},
    endpoint=_client_endpoint,
    endpoint_fields=(
        "openai_api_base",
        "azure_endpoint",
        "api_base",
        "together_api_base",
        "xai_api_base",
    ),
    merges_model_kwargs=True,
    stop_overrides=True,
)

_OLLAMA = Provider(
    noise=frozenset({"_async_client", "_client", "keep_alive", "validate_model_on_init"}),
    endpoint=_ollama_endpoint,
    endpoint_fields=("base_url",),
    client_fields=frozenset({"async_client_kwargs", "client_kwargs", "sync_client_kwargs"}),
    stop_overrides=True,  # it refuses to be told twice
)

_ANTHROPIC = Provider(
    noise=frozenset({"_async_client", "_client", "anthropic_proxy", "default_request_timeout"}),
    endpoint=_anthropic_endpoint,
    endpoint_fields=("anthropic_api_url",),
    merges_model_kwargs=True,
    stop_overrides=True,
)

#: By top-level package and class name; the first class of a model's MRO that stands here counts.
PROVIDERS: Mapping[str, Provider] = {
    "langchain_openai.BaseChatOpenAI": _OPENAI,
    "langchain_openai.BaseOpenAI": _OPENAI,
    "langchain_ollama.ChatOllama": _OLLAMA,
    "langchain_ollama.OllamaLLM": _OLLAMA,
    "langchain_anthropic.ChatAnthropic": _ANTHROPIC,
    "langchain_huggingface.ChatHuggingFace": Provider(noise=frozenset({"tokenizer"})),
    "langchain_huggingface.HuggingFaceEndpoint": Provider(
        noise=frozenset({"async_client", "client"}),
        endpoint_fields=("endpoint_url",),
    ),
    "langchain_mistralai.ChatMistralAI": Provider(
        noise=frozenset({"async_client", "client", "max_concurrent_requests"}),
        endpoint=_client_endpoint,
        endpoint_fields=("endpoint",),
    ),
    "langchain_groq.ChatGroq": Provider(
        noise=frozenset(
            {"async_client", "client", "groq_proxy", "http_async_client", "http_client"}
        ),
        endpoint=_client_endpoint,
        endpoint_fields=("groq_api_base",),
    ),
    "langchain_google_genai.ChatGoogleGenerativeAI": Provider(
        noise=frozenset({"_client_cleanup", "client"}),
        endpoint_fields=("base_url",),
        client_fields=frozenset({"client_args"}),
    ),
    "langchain_fireworks.ChatFireworks": Provider(
        noise=frozenset({"_async_sdk_client", "_sdk_client", "async_client", "client"}),
        endpoint=_client_endpoint,
        endpoint_fields=("fireworks_api_base",),
    ),
    "langchain_perplexity.ChatPerplexity": Provider(
        noise=frozenset({"async_client", "client"}),
        endpoint=_client_endpoint,
    ),
    "langchain_cohere.BaseCohere": Provider(
        noise=frozenset({"async_client", "client", "timeout_seconds", "user_agent"}),
    ),
    "langchain_openrouter.ChatOpenRouter": Provider(
        noise=frozenset({"app_categories", "app_title", "app_url", "client", "trace"}),
        endpoint_fields=("openrouter_api_base",),
    ),
    "langchain_aws.ChatBedrockConverse": Provider(
        noise=frozenset({"bedrock_client", "client", "config", "credentials_profile_name"}),
        endpoint_fields=("endpoint_url",),
    ),
    "langchain_core.FakeListChatModel": Provider(noise=frozenset({"i", "sleep"})),
    "langchain_core.FakeMessagesListChatModel": Provider(noise=frozenset({"i", "sleep"})),
    "langchain_core.FakeListLLM": Provider(noise=frozenset({"i", "sleep"})),
}

_UNKNOWN = Provider(is_known=False)

#: Names of providers that are not simply the name of their package.
_PROVIDER_NAMES = {
    "langchain_openai.AzureChatOpenAI": "azure_openai",
    "langchain_openai.AzureOpenAI": "azure_openai",
}


def class_name(cls: type) -> str:
    """Return top-level package and name of ``cls``, which stay when code moves inside a package."""
    return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


def provider_of(cls: type) -> Provider:
    """Return what is known of ``cls``, from the nearest of its base classes."""
    return next((PROVIDERS[n] for n in map(class_name, cls.__mro__) if n in PROVIDERS), _UNKNOWN)


def provider_name(cls: type) -> str:
    """Return the name of the provider that ``cls`` talks to, or of the class in kebab form."""
    for base in cls.__mro__:
        if known := _PROVIDER_NAMES.get(class_name(base)):
            return known
        package, _, module = base.__module__.partition(".")
        if package == "langchain_community":
            return module.rpartition(".")[2]
        if package.startswith("langchain_") and package not in (
            "langchain_core",
            "langchain_classic",
        ):
            return package.removeprefix("langchain_")
    return kebab(cls.__name__)


def kebab(name: str) -> str:
    """Return a class's name in lower case with hyphens, as in ``fake-list-chat-model``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).strip("_").lower()
