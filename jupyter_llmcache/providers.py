"""The one table of providers: how each is named, reached, described, priced, and what it tells.

A provider is one row of ``ROWS``. A class without a row works too: then all that it holds
counts for the key, which can only cost a needless miss. Every name that a row drops was read in the
code of its class, and has its reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from .provider_row import NAMES, UNKNOWN, Provider, ends, names, reasons, sync_and_async

_CLIENTS = ("root_client", "root_async_client", "client", "async_client")

_BATCHES = "how many prompts or texts go into one request, and how that is shown"
_BILLING = "how it is billed, or how soon it is served"
_KEPT = "how long the provider keeps what it read"
_WHO = "who asks"

_OPENAI = Provider(
    name="openai",
    package="langchain-openai",
    classes="BaseChatOpenAI BaseOpenAI OpenAIEmbeddings",
    keys=("OPENAI_API_KEY",),
    addresses=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    endpoint_fields=("openai_api_base", "base_url", "api_base", "azure_endpoint"),
    usual_endpoint="https://api.openai.com/v1",
    never={
        **reasons("service_tier", _BILLING),
        **reasons("prompt_cache_key prompt_cache_options prompt_cache_retention", _KEPT),
        **reasons("batch_size chunk_size show_progress_bar", _BATCHES),
        **reasons("retry_min_seconds retry_max_seconds", "how long it is tried"),
        **reasons("include_response_headers", "what is told beside the answer"),
        **reasons("openai_organization organization openai_proxy", "who pays, by which way"),
        **reasons("http_socket_options stream_chunk_timeout", "how HTTP is spoken"),
        **reasons("tiktoken_model_name allowed_special disallowed_special", "for counting tokens"),
        **reasons("validate_base_url", "asked once, when the model is made"),
        **reasons("disabled_params", "what is not sent; what is sent counts"),
    },
    at_home={
        **reasons("user safety_identifier", _WHO),
        **reasons("metadata", "kept beside the answer, for its owner"),
    },
    chat_only=reasons("store", "whether the provider keeps the answer, for its owner"),
    server_ids={"use_previous_response_id": "id"},
    unsent=frozenset({"tool.name", "tool.status"}),
    credentials=frozenset({"azure_ad_token_provider", "azure_ad_async_token_provider"}),
    clients=_CLIENTS,
    through=sync_and_async("openai.resources.responses.responses", "Responses"),
    made_once=frozenset({"default_headers", "default_query", "http_client", "http_async_client"}),
    aliases={"max_completion_tokens": "max_tokens", "max_output_tokens": "max_tokens"},
    merges_model_kwargs=True,
    stop_overrides=True,
    always_tells_end=True,
    ends=ends(
        cut="length max_output_tokens",
        filtered="content_filter",
        broken="failed cancelled incomplete in_progress queued error",
    ),
)


def _speaks_openai(name: str, cls: str, field: str, home: str | None) -> Provider:
    """Return the row of a provider whose class is built on OpenAI's."""
    return _OPENAI._replace(
        name=name,
        package=f"langchain-{name.replace('_', '-')}",
        classes=cls,
        keys=(f"{name.upper()}_API_KEY",),
        addresses=(),
        endpoint_fields=(field, "openai_api_base"),
        usual_endpoint=home,
    )


ROWS: tuple[Provider, ...] = (
    _OPENAI,
    Provider(
        name="anthropic",
        package="langchain-anthropic",
        classes="ChatAnthropic",
        keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        addresses=("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"),
        endpoint_fields=("anthropic_api_url", "base_url"),
        usual_endpoint="https://api.anthropic.com",
        never={
            **reasons("service_tier", _BILLING),
            **reasons("cache_control", _KEPT),
            **reasons("anthropic_proxy", "by which way"),
        },
        at_home={
            **reasons("user_profile_id metadata", _WHO),
            **reasons("inference_geo", "where the same model computes"),
        },
        server_ids={"reuse_last_container": "container"},
        unsent=NAMES,
        clients=("_client", "_async_client"),
        through=sync_and_async("anthropic.resources.messages.messages", "Messages")
        + sync_and_async("anthropic.resources.beta.messages.messages", "Messages"),
        made_once=frozenset({"default_headers"}),
        merges_model_kwargs=True,
        stop_overrides=True,
        always_tells_end=True,
        ends=ends(cut="max_tokens", filtered="refusal", broken="model_context_window_exceeded"),
    ),
    _OPENAI._replace(
        name="azure_openai",
        classes="AzureChatOpenAI AzureOpenAI AzureOpenAIEmbeddings",
        keys=("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
        addresses=("AZURE_OPENAI_ENDPOINT",),
        endpoint_fields=("openai_api_base", "azure_endpoint"),
        usual_endpoint=None,
        never={**_OPENAI.never, **reasons("model_version openai_api_type", "for a trace")},
        price_name="azure",
    ),
    Provider(
        name="ollama",
        package="langchain-ollama",
        classes="ChatOllama OllamaLLM OllamaEmbeddings",
        addresses=("OLLAMA_HOST",),
        endpoint_fields=("base_url",),
        usual_endpoint="http://127.0.0.1:11434",
        never={
            **reasons("keep_alive", "how long the model stays in memory"),
            **reasons("validate_model_on_init", "asked once, when the model is made"),
        },
        clients=("_client", "_async_client"),
        made_once=frozenset({"client_kwargs", "async_client_kwargs", "sync_client_kwargs"}),
        unsent=NAMES | {"tool.status"},
        marks_blocks=True,  # by a line break before each
        stop_overrides=True,  # it refuses to be told twice
        always_tells_end=True,
        ends=ends(cut="length", broken="load unload not_finished"),
    ),
    Provider(
        name="google_genai",
        package="langchain-google-genai",
        classes="ChatGoogleGenerativeAI GoogleGenerativeAI GoogleGenerativeAIEmbeddings",
        keys=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        endpoint_fields=("base_url", "api_endpoint"),
        usual_endpoint="https://generativelanguage.googleapis.com",
        never={
            **reasons("labels", _BILLING),
            **reasons("batch_size", _BATCHES),
            **reasons("_client_cleanup", "ends the client"),
        },
        credentials=frozenset({"credentials"}),
        clients=("client",),
        always_tells_end=True,
        ends=ends(
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
        classes="ChatMistralAI MistralAIEmbeddings",
        keys=("MISTRAL_API_KEY",),
        addresses=("MISTRAL_BASE_URL",),
        endpoint_fields=("endpoint", "base_url"),
        usual_endpoint="https://api.mistral.ai/v1",
        never={
            **reasons(
                "max_concurrent_requests wait_time", "how many at once, how long it is tried"
            ),
            **reasons("tokenizer", _BATCHES),
        },
        clients=("client", "async_client"),
        always_tells_end=True,
        ends=ends(cut="length", broken="model_length error"),
        price_name="mistral",
    ),
    Provider(
        name="groq",
        package="langchain-groq",
        classes="ChatGroq",
        keys=("GROQ_API_KEY",),
        addresses=("GROQ_API_BASE", "GROQ_BASE_URL"),
        endpoint_fields=("groq_api_base", "base_url"),
        usual_endpoint="https://api.groq.com",
        never={**reasons("service_tier", _BILLING), **reasons("groq_proxy", "by which way")},
        at_home=reasons("user", _WHO),
        clients=("client", "async_client"),
        made_once=names("default_headers default_query http_client http_async_client"),
        merges_model_kwargs=True,
        always_tells_end=True,
        ends=ends(cut="length"),
    ),
    _speaks_openai("deepseek", "ChatDeepSeek", "api_base", "https://api.deepseek.com/v1")._replace(
        addresses=("DEEPSEEK_API_BASE",),
        marks_blocks=True,  # as JSON, of a tool
        ends=ends(cut="length", broken="insufficient_system_resource"),
    ),
    _speaks_openai("xai", "ChatXAI", "xai_api_base", "https://api.x.ai/v1")._replace(
        price_name="x-ai"
    ),
    Provider(
        name="fireworks",
        package="langchain-fireworks",
        classes="ChatFireworks Fireworks FireworksEmbeddings",
        keys=("FIREWORKS_API_KEY",),
        addresses=("FIREWORKS_API_BASE",),
        endpoint_fields=("fireworks_api_base", "base_url"),
        usual_endpoint="https://api.fireworks.ai/inference/v1",
        never={**reasons("service_tier", _BILLING), **reasons("prompt_cache_key", _KEPT)},
        at_home=reasons("user", _WHO),
        clients=("_sdk_client", "_async_sdk_client", "client", "async_client"),
        merges_model_kwargs=True,
        ends=ends(cut="length"),
    ),
    Provider(
        name="perplexity",
        package="langchain-perplexity",
        classes="ChatPerplexity",
        keys=("PPLX_API_KEY", "PERPLEXITY_API_KEY"),
        addresses=("PERPLEXITY_BASE_URL",),
        usual_endpoint="https://api.perplexity.ai",
        clients=("client", "async_client"),
        merges_model_kwargs=True,
        ends=ends(cut="length"),
    ),
    Provider(
        name="openrouter",
        package="langchain-openrouter",
        classes="ChatOpenRouter",
        keys=("OPENROUTER_API_KEY",),
        addresses=("OPENROUTER_API_BASE",),
        endpoint_fields=("openrouter_api_base", "base_url"),
        usual_endpoint="https://openrouter.ai/api/v1",
        never=reasons(
            "app_categories app_title app_url trace session_id", "who asks, for statistics"
        ),
        at_home=reasons("user", _WHO),
        clients=("client",),
        merges_model_kwargs=True,
        ends=ends(cut="length", filtered="content_filter", broken="error"),
    ),
    Provider(
        name="cohere",
        package="langchain-cohere",
        classes="BaseCohere CohereEmbeddings",
        marks_blocks=True,  # as a document, of a tool
        keys=("COHERE_API_KEY",),
        addresses=("CO_API_URL",),
        usual_endpoint="https://api.cohere.com",
        never={
            **reasons("timeout_seconds", "how long it is tried"),
            **reasons("user_agent", "which program asks"),
        },
        clients=("client", "async_client"),
        ends=ends(
            cut="max_tokens", filtered="error_toxic", broken="error error_limit timeout abort"
        ),
    ),
    Provider(
        name="bedrock_converse",
        package="langchain-aws",
        classes="ChatBedrockConverse",
        endpoint_fields=("endpoint_url", "base_url"),
        never={
            **reasons("config", "how HTTP is spoken"),
            **reasons("bedrock_client", "asks what models there are"),
            **reasons("credentials_profile_name", _WHO),
            **reasons("request_metadata requestMetadata", "for logs"),
        },
        credentials=names(
            "amz-sdk-invocation-id aws_access_key_id aws_secret_access_key aws_session_token "
            "bedrock_api_key x-amz-date"
        ),
        clients=("client",),
        always_tells_end=True,
        ends=ends(
            cut="max_tokens",
            filtered="content_filtered guardrail_intervened",
            broken="malformed_model_output malformed_tool_use model_context_window_exceeded",
        ),
        price_name="aws",
    ),
    Provider(
        name="huggingface",
        package="langchain-huggingface",
        classes="ChatHuggingFace HuggingFaceEndpoint HuggingFaceEndpointEmbeddings "
        "HuggingFacePipeline",
        endpoint_fields=("endpoint_url", "inference_server_url"),
        credentials=frozenset({"huggingfacehub_api_token"}),
        clients=("client", "async_client"),
        parts={"tokenizer": "name_or_path chat_template"},
        ends=ends(cut="length"),
    ),
    Provider(
        name="litellm",
        package="langchain-litellm",
        classes="ChatLiteLLM",
        endpoint_fields=("api_base", "base_url"),
        never=reasons("model_info", "what a router knows of a deployment"),
        at_home=reasons("user", _WHO),
        credentials=names(
            "anthropic_api_key api_key aws_access_key_id aws_secret_access_key aws_session_token "
            "azure_ad_token azure_api_key client_secret cohere_api_key huggingface_api_key "
            "openai_api_key openrouter_api_key replicate_api_key together_ai_api_key "
            "vertex_ai_credentials vertex_credentials"
        ),
        clients=("client",),
        parts={
            "client": "api_base custom_prompt_dict drop_params fallbacks headers model_alias_map "
            "modify_params route_all_chat_openai_to_responses",
            "router": "model_list default_litellm_params default_fallbacks fallbacks "
            "content_policy_fallbacks context_window_fallbacks model_group_alias",
        },
    ),
    Provider(
        name="nvidia",
        package="langchain-nvidia-ai-endpoints",
        classes="ChatNVIDIA NVIDIA",
        keys=("NVIDIA_API_KEY",),
        addresses=("NVIDIA_BASE_URL",),
        endpoint_fields=("base_url",),
        usual_endpoint="https://integrate.api.nvidia.com/v1",
        clients=("_client", "_async_client"),
        ends=ends(cut="length"),
    ),
    _speaks_openai("azure_ai", "AzureAIOpenAIApiChatModel", "endpoint", None)._replace(
        keys=(), credentials=_OPENAI.credentials | {"credential"}, price_name="azure"
    ),
    _speaks_openai("together", "ChatTogether", "together_api_base", "https://api.together.xyz/v1"),
    _speaks_openai("upstage", "ChatUpstage", "upstage_api_base", "https://api.upstage.ai/v1"),
    # Named by -m, and described as any class without a row of its own.
    Provider(
        "bedrock",
        "langchain-aws",
        "ChatBedrock BedrockLLM",
        price_name="aws",
    ),
    Provider(
        "google_vertexai",
        "langchain-google-vertexai",
        "ChatVertexAI VertexAI",
        credentials=frozenset({"credentials"}),
        price_name="google",
        always_tells_end=True,
    ),
    Provider("ibm", "langchain-ibm", keys=("WATSONX_APIKEY",)),
    # LangChain's own fakes: they answer from a list.
    Provider(
        "",
        "langchain-core",
        "FakeListChatModel FakeMessagesListChatModel FakeListLLM",
        never=reasons("i sleep", "which of the list comes next, how slowly"),
    ),
)

#: The rows that ``-m`` can name, by that name.
PROVIDERS: Mapping[str, Provider] = {row.name: row for row in ROWS if row.name}


def class_name(cls: type) -> str:
    """Return top-level package and name of ``cls``, which stay when code moves inside a package."""
    return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


@lru_cache(maxsize=256)
def provider_of(cls: type) -> Provider:
    """Return the row of ``cls`` or of the nearest of its base classes, else ``UNKNOWN``."""
    rows = {name: row for row in ROWS for name in row.class_names}
    return next((rows[n] for n in map(class_name, cls.__mro__) if n in rows), UNKNOWN)
