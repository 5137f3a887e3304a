"""The one table of providers: how each is named, reached, described, priced, and what it tells.

A provider is one row of ``ROWS``. A class without a row works too: then all that it holds
counts for the key, which can only cost a needless miss. Every name that a row drops was read in the
code of its class, and has its reason beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

#: How an answer may end otherwise than well: at its bound, held back, or broken off.
End = Literal["cut", "filtered", "broken"]

#: Stands for a key where none is needed: a server of one's own, and replay. Never sent elsewhere.
PLACEHOLDER_KEY = "no-key"

#: Names, of fields, private attributes and arguments, by the reason why they cannot change an
#: answer.
Reasons = Mapping[str, str]

_NONE: Reasons = {}
_NO_ENDS: Mapping[str, End] = {}


class Provider(NamedTuple):
    """All that is known of one provider.

    Attributes:
        name: As ``-m NAME:model`` and ``init_chat_model`` spell it.
        package: The distribution with its classes.
        classes: Its classes by top-level package and name; what derives from them is meant too.
        keys: Environment variables that may hold its key; none where it needs none.
        addresses: Environment variables that may hold its address.
        endpoint_fields: Fields of its classes with the address, by rank.
        usual_endpoint: Where it answers when nobody says otherwise.
        never: What cannot change an answer.
        at_home: What tells only who asks, at the usual endpoint; elsewhere a gateway may route by
            it.
        chat_only: What cannot change an answer where the model asks by chat completions.
        server_ids: Fields that let the server go on from what it holds, each by where an earlier
            answer's ``response_metadata`` has the id.
        unsent: What of messages is not sent, by type and field.
        credentials: Fields and names of headers, in lower case, that hold a credential and nothing
            else. They neither count nor are shown. Fields of type ``SecretStr`` need no mention.
        clients: Fields and attributes that hold the SDK's clients: what in them reaches the
            provider is read there.
        made_once: Fields that only the clients are made of, and that count there.
        aliases: Arguments of a call by the field that means the same.
        merges_model_kwargs: Whether ``model_kwargs`` are sent beside the other parameters.
        stop_overrides: Whether stop sequences of a call take the place of the model's own.
        always_tells_end: Whether it always says how an answer ended, so that a stream without was
            cut.
        ends: Its words for answers that did not end well.
        price_name: What genai-prices calls it, where that is another name.
    """

    name: str
    package: str
    classes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    endpoint_fields: tuple[str, ...] = (
        "base_url",
        "api_base",
        "endpoint",
        "endpoint_url",
        "api_url",
        "inference_server_url",
        "server_url",
    )
    usual_endpoint: str | None = None
    never: Reasons = _NONE
    at_home: Reasons = _NONE
    chat_only: Reasons = _NONE
    server_ids: Mapping[str, str] = _NONE
    unsent: frozenset[str] = frozenset()
    credentials: frozenset[str] = frozenset()
    clients: tuple[str, ...] = ()
    made_once: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = _NONE
    merges_model_kwargs: bool = False
    stop_overrides: bool = False
    always_tells_end: bool = False
    ends: Mapping[str, End] = _NO_ENDS
    price_name: str | None = None

    @property
    def lacks_key(self) -> bool:
        """Whether it needs a key, and the environment holds none."""
        return bool(self.keys) and not any(map(os.environ.get, self.keys))


def _all(names: str, reason: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


def _ends(**words: str) -> dict[str, End]:
    kinds: dict[str, End] = {"cut": "cut", "filtered": "filtered", "broken": "broken"}
    return {word: kinds[kind] for kind, said in words.items() for word in said.split()}


#: What cannot change an answer whoever gives it, as a model's field or as an argument of a call.
EVERYWHERE: Reasons = {
    **_all("callback_manager callbacks run_manager", "who listens"),
    **_all("run_id run_name config", "how a run is called in a trace"),
    **_all("max_retries timeout request_timeout default_request_timeout", "how long it is tried"),
    **_all("disable_streaming streaming stream", "in how many pieces it comes"),
    **_all("stream_usage stream_options", "whether a stream tells its tokens"),
    **_all("ls_structured_output_format structured_output_format", "for a trace; sent elsewhere"),
}

#: Fields of LangChain's base classes, which are sent nowhere. Arguments of a call that are called
#: so are sent.
ONLY_FIELDS: Reasons = {
    **_all("name tags metadata verbose", "how a run is called in a trace"),
    **_all("cache rate_limiter custom_get_token_ids profile", "LangChain's own"),
}

#: Headers that hold a credential and nothing else, whoever is asked.
CREDENTIAL_HEADERS = frozenset(
    {"api-key", "authorization", "proxy-authorization", "x-api-key", "x-goog-api-key"}
)

#: Headers that tell of the caller's program or of one single call.
IDLE_HEADERS: Reasons = {
    **_all("accept accept-encoding connection content-length host", "how HTTP is spoken"),
    **_all("content-type user-agent x-goog-api-client", "which program asks"),
    **_all("idempotency-key x-client-request-id x-request-id request-id", "one single call"),
    **_all("baggage traceparent tracestate", "a trace"),
    **_all("openai-organization openai-project", "who pays"),
}

#: Fields that hold the name of a model; the first one set wins.
MODEL_FIELDS = ("model", "model_name", "deployment_name", "model_id", "repo_id", "model_path")

#: What bounds the length of an answer, as providers call it.
TOKEN_LIMITS = frozenset(
    {
        "max_completion_tokens",
        "max_new_tokens",
        "max_output_tokens",
        "max_tokens",
        "max_tokens_to_sample",
        "num_predict",
    }
)

#: Arguments that a class reads only when it is made, beside endpoints, credentials and clients.
_CONSTRUCTOR = frozenset(
    {
        "api_key",
        "api_version",
        "default_query",
        "organization",
        "region_name",
        "http_async_client",
        "http_client",
    }
)

#: The names of who speaks.
NAMES = frozenset({"ai.name", "human.name", "system.name", "tool.name"})

_CLIENTS = ("root_client", "root_async_client", "client", "async_client")

_BATCHES = "how many prompts or texts go into one request, and how that is shown"
_BILLING = "how it is billed, or how soon it is served"
_KEPT = "how long the provider keeps what it read"
_WHO = "who asks"

_OPENAI = Provider(
    name="openai",
    package="langchain-openai",
    classes=(
        "langchain_openai.BaseChatOpenAI",
        "langchain_openai.BaseOpenAI",
        "langchain_openai.OpenAIEmbeddings",
    ),
    keys=("OPENAI_API_KEY",),
    addresses=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    endpoint_fields=("openai_api_base", "base_url", "api_base", "azure_endpoint"),
    usual_endpoint="https://api.openai.com/v1",
    never={
        **_all("service_tier", _BILLING),
        **_all("prompt_cache_key prompt_cache_options prompt_cache_retention", _KEPT),
        **_all("batch_size chunk_size show_progress_bar", _BATCHES),
        **_all("retry_min_seconds retry_max_seconds", "how long it is tried"),
        **_all("include_response_headers", "what is told beside the answer"),
        **_all("openai_organization organization openai_proxy", "who pays, by which way"),
        **_all("http_socket_options stream_chunk_timeout", "how HTTP is spoken"),
        **_all("tiktoken_model_name allowed_special disallowed_special", "for counting tokens"),
        **_all("validate_base_url", "asked once, when the model is made"),
        **_all("disabled_params", "what is not sent; what is sent counts"),
    },
    at_home={
        **_all("user safety_identifier", _WHO),
        **_all("metadata", "kept beside the answer, for its owner"),
    },
    chat_only=_all("store", "whether the provider keeps the answer, for its owner"),
    server_ids={"use_previous_response_id": "id"},
    unsent=frozenset({"tool.name", "tool.status"}),
    credentials=frozenset({"azure_ad_token_provider", "azure_ad_async_token_provider"}),
    clients=_CLIENTS,
    made_once=frozenset({"default_headers", "default_query", "http_client", "http_async_client"}),
    aliases={"max_completion_tokens": "max_tokens", "max_output_tokens": "max_tokens"},
    merges_model_kwargs=True,
    stop_overrides=True,
    always_tells_end=True,
    ends=_ends(
        cut="length max_output_tokens",
        filtered="content_filter",
        broken="failed cancelled incomplete in_progress queued error",
    ),
)

ROWS: tuple[Provider, ...] = (
    _OPENAI,
    Provider(
        name="anthropic",
        package="langchain-anthropic",
        classes=("langchain_anthropic.ChatAnthropic",),
        keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        addresses=("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"),
        endpoint_fields=("anthropic_api_url", "base_url"),
        usual_endpoint="https://api.anthropic.com",
        never={
            **_all("service_tier inference_geo", _BILLING),
            **_all("cache_control", _KEPT),
            **_all("anthropic_proxy", "by which way"),
        },
        at_home=_all("user_profile_id metadata", _WHO),
        server_ids={"reuse_last_container": "container"},
        unsent=NAMES,
        clients=("_client", "_async_client"),
        made_once=frozenset({"default_headers"}),
        merges_model_kwargs=True,
        stop_overrides=True,
        always_tells_end=True,
        ends=_ends(cut="max_tokens", filtered="refusal", broken="model_context_window_exceeded"),
    ),
    _OPENAI._replace(
        name="azure_openai",
        classes=(
            "langchain_openai.AzureChatOpenAI",
            "langchain_openai.AzureOpenAI",
            "langchain_openai.AzureOpenAIEmbeddings",
        ),
        keys=("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
        addresses=("AZURE_OPENAI_ENDPOINT",),
        endpoint_fields=("openai_api_base", "azure_endpoint"),
        usual_endpoint=None,
        never={**_OPENAI.never, **_all("model_version openai_api_type", "for a trace")},
        price_name="azure",
    ),
    Provider(
        name="ollama",
        package="langchain-ollama",
        classes=(
            "langchain_ollama.ChatOllama",
            "langchain_ollama.OllamaLLM",
            "langchain_ollama.OllamaEmbeddings",
        ),
        addresses=("OLLAMA_HOST",),
        endpoint_fields=("base_url",),
        usual_endpoint="http://127.0.0.1:11434",
        never={
            **_all("keep_alive", "how long the model stays in memory"),
            **_all("validate_model_on_init", "asked once, when the model is made"),
        },
        clients=("_client", "_async_client"),
        made_once=frozenset({"client_kwargs", "async_client_kwargs", "sync_client_kwargs"}),
        unsent=NAMES | {"tool.status"},
        stop_overrides=True,  # it refuses to be told twice
        always_tells_end=True,
        ends=_ends(cut="length", broken="load unload not_finished"),
    ),
    Provider(
        name="google_genai",
        package="langchain-google-genai",
        classes=(
            "langchain_google_genai.ChatGoogleGenerativeAI",
            "langchain_google_genai.GoogleGenerativeAI",
            "langchain_google_genai.GoogleGenerativeAIEmbeddings",
        ),
        keys=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        endpoint_fields=("base_url", "api_endpoint"),
        usual_endpoint="https://generativelanguage.googleapis.com",
        never={
            **_all("labels", _BILLING),
            **_all("batch_size", _BATCHES),
            **_all("_client_cleanup", "ends the client"),
        },
        credentials=frozenset({"credentials"}),
        clients=("client",),
        always_tells_end=True,
        ends=_ends(
            cut="max_tokens",
            filtered="safety recitation blocklist prohibited_content spii language image_safety "
            "image_prohibited_content image_recitation",
            broken="other malformed_function_call unexpected_tool_call malformed_response",
        ),
        price_name="google",
    ),
    Provider(
        name="mistralai",
        package="langchain-mistralai",
        classes=("langchain_mistralai.ChatMistralAI", "langchain_mistralai.MistralAIEmbeddings"),
        keys=("MISTRAL_API_KEY",),
        addresses=("MISTRAL_BASE_URL",),
        endpoint_fields=("endpoint", "base_url"),
        usual_endpoint="https://api.mistral.ai/v1",
        never={
            **_all("max_concurrent_requests wait_time", "how many at once, how long it is tried"),
            **_all("tokenizer", _BATCHES),
        },
        clients=("client", "async_client"),
        always_tells_end=True,
        ends=_ends(cut="length", broken="model_length error"),
        price_name="mistral",
    ),
    Provider(
        name="groq",
        package="langchain-groq",
        classes=("langchain_groq.ChatGroq",),
        keys=("GROQ_API_KEY",),
        addresses=("GROQ_API_BASE", "GROQ_BASE_URL"),
        endpoint_fields=("groq_api_base", "base_url"),
        usual_endpoint="https://api.groq.com",
        never={**_all("service_tier", _BILLING), **_all("groq_proxy", "by which way")},
        at_home=_all("user", _WHO),
        clients=("client", "async_client"),
        made_once=frozenset(
            {"default_headers", "default_query", "http_client", "http_async_client"}
        ),
        merges_model_kwargs=True,
        always_tells_end=True,
        ends=_ends(cut="length"),
    ),
    _OPENAI._replace(
        name="deepseek",
        package="langchain-deepseek",
        classes=("langchain_deepseek.ChatDeepSeek",),
        keys=("DEEPSEEK_API_KEY",),
        addresses=("DEEPSEEK_API_BASE",),
        endpoint_fields=("api_base", "openai_api_base"),
        usual_endpoint="https://api.deepseek.com/v1",
        ends=_ends(cut="length", broken="insufficient_system_resource"),
    ),
    _OPENAI._replace(
        name="xai",
        package="langchain-xai",
        classes=("langchain_xai.ChatXAI",),
        keys=("XAI_API_KEY",),
        addresses=(),
        endpoint_fields=("xai_api_base", "openai_api_base"),
        usual_endpoint="https://api.x.ai/v1",
        price_name="x-ai",
    ),
    Provider(
        name="fireworks",
        package="langchain-fireworks",
        classes=(
            "langchain_fireworks.ChatFireworks",
            "langchain_fireworks.Fireworks",
            "langchain_fireworks.FireworksEmbeddings",
        ),
        keys=("FIREWORKS_API_KEY",),
        addresses=("FIREWORKS_API_BASE",),
        endpoint_fields=("fireworks_api_base", "base_url"),
        usual_endpoint="https://api.fireworks.ai/inference/v1",
        never={**_all("service_tier", _BILLING), **_all("prompt_cache_key", _KEPT)},
        at_home=_all("user", _WHO),
        clients=("_sdk_client", "_async_sdk_client", "client", "async_client"),
        merges_model_kwargs=True,
        ends=_ends(cut="length"),
    ),
    Provider(
        name="perplexity",
        package="langchain-perplexity",
        classes=("langchain_perplexity.ChatPerplexity",),
        keys=("PPLX_API_KEY", "PERPLEXITY_API_KEY"),
        addresses=("PERPLEXITY_BASE_URL",),
        usual_endpoint="https://api.perplexity.ai",
        clients=("client", "async_client"),
        merges_model_kwargs=True,
        ends=_ends(cut="length"),
    ),
    Provider(
        name="openrouter",
        package="langchain-openrouter",
        classes=("langchain_openrouter.ChatOpenRouter",),
        keys=("OPENROUTER_API_KEY",),
        addresses=("OPENROUTER_API_BASE",),
        endpoint_fields=("openrouter_api_base", "base_url"),
        usual_endpoint="https://openrouter.ai/api/v1",
        never=_all("app_categories app_title app_url trace session_id", "who asks, for statistics"),
        at_home=_all("user", _WHO),
        clients=("client",),
        merges_model_kwargs=True,
        ends=_ends(cut="length", filtered="content_filter", broken="error"),
    ),
    Provider(
        name="cohere",
        package="langchain-cohere",
        classes=("langchain_cohere.BaseCohere", "langchain_cohere.CohereEmbeddings"),
        keys=("COHERE_API_KEY",),
        addresses=("CO_API_URL",),
        usual_endpoint="https://api.cohere.com",
        never={
            **_all("timeout_seconds", "how long it is tried"),
            **_all("user_agent", "which program asks"),
        },
        clients=("client", "async_client"),
        ends=_ends(
            cut="max_tokens", filtered="error_toxic", broken="error error_limit timeout abort"
        ),
    ),
    Provider(
        name="bedrock_converse",
        package="langchain-aws",
        classes=("langchain_aws.ChatBedrockConverse",),
        endpoint_fields=("endpoint_url", "base_url"),
        never={
            **_all("config", "how HTTP is spoken"),
            **_all("bedrock_client", "asks what models there are"),
            **_all("credentials_profile_name", _WHO),
            **_all("request_metadata requestMetadata", "for logs"),
        },
        credentials=frozenset(
            {
                "amz-sdk-invocation-id",
                "aws_access_key_id",
                "aws_secret_access_key",
                "aws_session_token",
                "bedrock_api_key",
                "x-amz-date",
            }
        ),
        clients=("client",),
        always_tells_end=True,
        ends=_ends(
            cut="max_tokens",
            filtered="content_filtered guardrail_intervened",
            broken="malformed_model_output malformed_tool_use model_context_window_exceeded",
        ),
        price_name="aws",
    ),
    Provider(
        name="huggingface",
        package="langchain-huggingface",
        classes=(
            "langchain_huggingface.ChatHuggingFace",
            "langchain_huggingface.HuggingFaceEndpoint",
            "langchain_huggingface.HuggingFaceEndpointEmbeddings",
            "langchain_huggingface.HuggingFacePipeline",
        ),
        keys=(),
        endpoint_fields=("endpoint_url", "inference_server_url"),
        never={
            **_all("tokenizer", "made of the model's name"),
            **_all("timeout", "how long it is tried"),
        },
        credentials=frozenset({"huggingfacehub_api_token"}),
        clients=("client", "async_client"),
        ends=_ends(cut="length"),
    ),
    Provider(
        name="litellm",
        package="langchain-litellm",
        classes=("langchain_litellm.ChatLiteLLM",),
        endpoint_fields=("api_base", "base_url"),
        never=_all("max_retries", "how long it is tried"),
        at_home=_all("user", _WHO),
        credentials=frozenset(
            {
                "anthropic_api_key",
                "api_key",
                "azure_api_key",
                "cohere_api_key",
                "huggingface_api_key",
                "openai_api_key",
                "openrouter_api_key",
                "replicate_api_key",
                "together_ai_api_key",
                "vertex_ai_credentials",
            }
        ),
        clients=("client",),
    ),
    Provider(
        name="nvidia",
        package="langchain-nvidia-ai-endpoints",
        classes=(
            "langchain_nvidia_ai_endpoints.ChatNVIDIA",
            "langchain_nvidia_ai_endpoints.NVIDIA",
        ),
        keys=("NVIDIA_API_KEY",),
        addresses=("NVIDIA_BASE_URL",),
        endpoint_fields=("base_url",),
        usual_endpoint="https://integrate.api.nvidia.com/v1",
        clients=("_client", "_async_client"),
        ends=_ends(cut="length"),
    ),
    # Named by -m, and described as any class without a row of its own.
    Provider("azure_ai", "langchain-azure-ai", price_name="azure"),
    Provider(
        "bedrock",
        "langchain-aws",
        ("langchain_aws.ChatBedrock", "langchain_aws.BedrockLLM"),
        price_name="aws",
    ),
    Provider(
        "google_vertexai", "langchain-google-vertexai", price_name="google", always_tells_end=True
    ),
    Provider("ibm", "langchain-ibm", keys=("WATSONX_APIKEY",)),
    Provider("together", "langchain-together", keys=("TOGETHER_API_KEY",)),
    Provider("upstage", "langchain-upstage", keys=("UPSTAGE_API_KEY",)),
    # LangChain's own fakes: they answer from a list.
    Provider(
        "",
        "langchain-core",
        (
            "langchain_core.FakeListChatModel",
            "langchain_core.FakeMessagesListChatModel",
            "langchain_core.FakeListLLM",
        ),
        never=_all("i sleep", "which of the list comes next, how slowly"),
    ),
)

#: The rows that ``-m`` can name, by that name.
PROVIDERS: Mapping[str, Provider] = {row.name: row for row in ROWS if row.name}

#: What is known of a class without a row.
UNKNOWN = Provider("", "")

#: Words for answers that did not end well, of servers that speak a provider's language.
_OTHER_ENDS = _ends(
    filtered="sensitive", broken="abort network_error time_limit error not_finished"
)


def class_name(cls: type) -> str:
    """Return top-level package and name of ``cls``, which stay when code moves inside a package."""
    return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


@lru_cache(maxsize=256)
def provider_of(cls: type) -> Provider:
    """Return the row of ``cls`` or of the nearest of its base classes, else ``UNKNOWN``."""
    rows = {name: row for row in ROWS for name in row.classes}
    return next((rows[n] for n in map(class_name, cls.__mro__) if n in rows), UNKNOWN)


@lru_cache(maxsize=256)
def provider_name(cls: type) -> str:
    """Return the name of the provider that ``cls`` talks to, or of the class in kebab form."""
    if (name := provider_of(cls).name) != "":
        return name
    for base in cls.__mro__:
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


def usual_endpoints() -> frozenset[str]:
    """Return where providers answer when nobody says otherwise."""
    return frozenset(row.usual_endpoint for row in ROWS if row.usual_endpoint)


def always_tells_end(name: Any) -> bool:
    """Whether the provider that LangChain calls ``name`` always says how an answer ended."""
    row = PROVIDERS.get(name)
    return row is not None and row.always_tells_end


@lru_cache(maxsize=256)
def end_of(word: str) -> End | None:
    """Return how an answer ended whose provider says ``word``, in lower case; None: well."""
    # An answer may come without its provider's name, and so every provider's words are read.
    tables = (*(row.ends for row in ROWS), _OTHER_ENDS)
    return next((table[word] for table in tables if word in table), None)


def price_name(name: str) -> str:
    """Return what genai-prices calls the provider ``name``."""
    row = PROVIDERS.get(name)
    return (row and row.price_name) or name


@lru_cache(maxsize=1)
def connection_names() -> frozenset[str]:
    """Return the arguments that say how a provider is reached, read when a model is made."""
    found = set(_CONSTRUCTOR)
    for row in (UNKNOWN, *ROWS):
        found |= {*row.endpoint_fields, *row.made_once, *row.credentials}
        found |= {name for name in row.never if name.endswith(("_proxy", "organization"))}
        found |= {name.lower() for name in row.keys}
    return frozenset(found | {"max_retries", "timeout", "request_timeout"})
