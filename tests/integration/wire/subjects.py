"""The classes that the wire judges, by package, and what of them annotations do not tell."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from tests.integration.wire.harness import Subject

_HEADERS = [{"x-a": "1"}, {"x-a": "2"}, {"x-max-tokens": "1"}, {"x-max-tokens": "2"}]
_QUERY = [{"a": "1"}, {"a": "2"}, {"key": "1"}, {"key": "2"}, {"code": "1"}]
_BODY = [
    {},
    {"foo": 1},
    {"foo": 2},
    *({name: text} for name in ("secret", "token", "password") for text in "ab"),
    {"u": "https://h/?key=1"},
    {"u": "https://h/?key=2"},
    {"headers": {"authorization": "a"}},
    {"headers": {"authorization": "b"}},
]


def _tool(text: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"a": {"type": "string", "default": text}}}
    return {
        "type": "function",
        "function": {"name": "f", "description": text, "parameters": parameters},
    }


#: Arguments of a call that many classes know.
CALLS: Mapping[str, list[Any]] = {
    **{
        n: [1, 2] for n in ("n", "seed", "max_tokens", "top_k", "top_logprobs", "max_output_tokens")
    },
    **{n: [0.25, 0.75] for n in ("temperature", "top_p", "presence_penalty", "frequency_penalty")},
    **{n: ["aaa", "bbb"] for n in ("model", "user", "reasoning_effort", "verbosity", "system")},
    **{
        n: ["aaa", "bbb"]
        for n in ("service_tier", "safety_identifier", "container", "name", "route")
    },
    **{n: [True, False] for n in ("logprobs", "store", "parallel_tool_calls", "strict")},
    "stop": [["a"], ["b"]],
    "metadata": [{"a": "1"}, {"a": "2"}],
    "logit_bias": [{"50": 1}, {"50": 2}],
    "extra_body": _BODY,
    "extra_headers": _HEADERS,
    "extra_query": _QUERY,
    "tools": [[_tool("a")], [_tool("b")], [_tool("https://h/?key=1")], [_tool("https://h/?key=2")]],
    "tool_choice": ["auto", "none"],
    "response_format": [{"type": "json_object"}, {"type": "text"}],
    "thinking": [{"type": "enabled", "budget_tokens": n} for n in (1024, 2048)],
    "stream_options": [{"include_usage": True}],
    "timeout": [11, 12],
    "ls_structured_output_format": [{"a": 1}],
    "tags": [["a"], ["b"]],
}

_RESPONSES: Mapping[str, list[Any]] = {
    "previous_response_id": ["resp_1", "resp_2"],
    "prompt": [
        {"id": "p1"},
        *({"id": "p1", "variables": {name: text}} for name in ("secret", "a") for text in "ab"),
    ],
    "include": [["reasoning.encrypted_content"], ["file_search_call.results"]],
    "tools": [
        [{"type": "mcp", "server_label": "a", **more}]
        for more in (
            {"server_url": "https://m/?key=1"},
            {"server_url": "https://m/?key=2"},
            {"server_url": "https://u:p@m/"},
            {"server_url": "https://u2:p@m/"},
            {"server_url": "https://m/", "authorization": "a"},
            {"server_url": "https://m/", "authorization": "b"},
            {"server_url": "https://m/", "headers": {"X-Tenant-Token": "a"}},
            {"server_url": "https://m/", "headers": {"X-Tenant-Token": "b"}},
        )
    ],
}

_FIELDS: Mapping[str, list[Any]] = {
    "default_headers": _HEADERS,
    "default_query": _QUERY,
    "extra_body": _BODY,
    "model_kwargs": [*_BODY[1:7], {"user": "a"}, {"user": "b"}],
    "max_retries": [0, 1],
    "thinking": CALLS["thinking"],
    "stop_sequences": [["a"], ["b"]],
    "stop": [["a"], ["b"]],
    "client_kwargs": [
        {"headers": {"x-a": "1"}},
        {"headers": {"x-a": "2"}},
        {"params": {"a": "1"}},
        {"params": {"a": "2"}},
        {"cookies": {"a": "b"}},
        {"cookies": {"a": "c"}},
        {"timeout": 3},
    ],
    "sync_client_kwargs": [{"headers": {"x-a": "1"}}, {"headers": {"x-a": "2"}}],
    "mcp_servers": [[{"type": "url", "url": f"https://{host}", "name": "a"}] for host in "mn"],
    "format": ["json", {"type": "object"}, {"type": "array"}],
    "reasoning": [{"effort": "low"}, {"effort": "high"}],
}

#: Fields with addresses, clients and what else leads elsewhere.
_ELSEWHERE = frozenset(
    {
        *("http_client", "http_async_client", "client", "async_client", "root_client"),
        *("root_async_client", "base_url", "endpoint", "endpoint_url", "anthropic_api_url"),
        *("openai_api_base", "groq_api_base", "fireworks_api_base", "api_base", "xai_api_base"),
        *("openrouter_api_base", "azure_endpoint", "inference_server_url", "llm", "tokenizer"),
        *("openai_proxy", "anthropic_proxy", "groq_proxy", "validate_model_on_init", "vertexai"),
        *("azure_ad_token_provider", "azure_ad_async_token_provider", "bedrock_client", "config"),
        *("credentials_profile_name", "credentials", "repo_id", "location", "project"),
        *("custom_llm_provider", "client_preparer", "mode", "api_endpoint"),
        *("together_api_base", "upstage_api_base", "cerebras_api_base", "sambanova_api_base"),
        *("cerebras_proxy", "endpoint_name", "content_handler", "credential", "project_endpoint"),
    }
)


@cache
def _openai_clients() -> dict[str, Any]:
    import openai

    return {
        "http_client": openai.DefaultHttpxClient(),
        "http_async_client": openai.DefaultAsyncHttpxClient(),
    }


def _made(place: str, **fixed: Any) -> Callable[..., Any]:
    """Return what builds a class by its full name; ``{url}`` in ``fixed`` is the server."""
    module, _, name = place.rpartition(".")

    def build(url: str, **fields: Any) -> Any:
        cls = getattr(importlib.import_module(module), name)
        given = {n: v.format(url=url) if isinstance(v, str) else v for n, v in fixed.items()}
        if module == "langchain_openai":  # to make an HTTP client takes a tenth of a second
            given |= _openai_clients()
        return cls(**given | fields)

    return build


def _subject(name: str, place: str, calls: Mapping[str, Any] = CALLS, **fixed: Any) -> Subject:
    is_text, chance = fixed.pop("is_text", False), fixed.pop("chance", "(?!)")
    more, beside = fixed.pop("more", {}), fixed.pop("beside", {})
    build = fixed.pop("build", None) or _made(place, **fixed)
    return Subject(name, build, {**_FIELDS, **more}, calls, _ELSEWHERE, is_text, chance, beside)


def _hugging_face(url: str, **fields: Any) -> Any:
    from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint

    below = HuggingFaceEndpoint(
        endpoint_url=url, huggingfacehub_api_token="k", task="text-generation"
    )
    return ChatHuggingFace(**{"llm": below, "model_id": "m"} | fields)


def _router(url: str, **fields: Any) -> Any:
    from langchain_litellm import ChatLiteLLMRouter
    from litellm import Router

    sent = {"model": "openai/gpt-x", "api_base": url, "api_key": "k"}
    models = [{"model_name": "m", "litellm_params": sent | fields.pop("deployment", {})}]
    router = Router(models, num_retries=0, default_litellm_params=fields.pop("defaults", None))
    return ChatLiteLLMRouter(**{"router": router, "model": "m", "max_retries": 0} | fields)


def _sagemaker(url: str, **fields: Any) -> Any:
    import boto3
    from langchain_aws import SagemakerEndpoint
    from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler

    class Handler(LLMContentHandler):
        """Writes and reads what an endpoint of one's own understands."""

        content_type = accepts = "application/json"

        def transform_input(self, prompt: str, model_kwargs: dict[str, Any]) -> bytes:
            return json.dumps({"inputs": prompt, **model_kwargs}).encode()

        def transform_output(self, output: Any) -> str:
            return str(json.load(output))

    client = boto3.client("sagemaker-runtime", endpoint_url=url, region_name="us-east-1")
    given = {"endpoint_name": "e", "client": client, "content_handler": Handler()}
    return SagemakerEndpoint(**given | fields)


_ONE = {"api_key": "k", "max_retries": 0}
_AWS = {"endpoint_url": "{url}", "region_name": "us-east-1"}

SUBJECTS: Mapping[str, tuple[Subject, ...]] = {
    "langchain-openai": (
        _subject(
            "ChatOpenAI", "langchain_openai.ChatOpenAI", model="gpt-4o", base_url="{url}/v1", **_ONE
        ),
        _subject(
            "ChatOpenAI (responses)",
            "langchain_openai.ChatOpenAI",
            {**CALLS, **_RESPONSES},
            model="gpt-5",
            base_url="{url}/v1",
            use_responses_api=True,
            **_ONE,
        ),
        _subject(
            "AzureChatOpenAI",
            "langchain_openai.AzureChatOpenAI",
            azure_deployment="d",
            azure_endpoint="{url}",
            api_version="2024-10-21",
            **_ONE,
        ),
        _subject(
            "OpenAI",
            "langchain_openai.OpenAI",
            model="gpt-t",
            base_url="{url}/v1",
            is_text=True,
            **_ONE,
        ),
        _subject(
            "AzureOpenAI",
            "langchain_openai.AzureOpenAI",
            azure_deployment="d",
            azure_endpoint="{url}",
            api_version="2024-10-21",
            is_text=True,
            **_ONE,
        ),
    ),
    "langchain-anthropic": (
        _subject(
            "ChatAnthropic",
            "langchain_anthropic.ChatAnthropic",
            model="claude-x",
            base_url="{url}",
            **_ONE,
        ),
        _subject(
            "AnthropicLLM",
            "langchain_anthropic.AnthropicLLM",
            model="claude-x",
            base_url="{url}",
            is_text=True,
            **_ONE,
        ),
    ),
    "langchain-ollama": (
        _subject(
            "ChatOllama",
            "langchain_ollama.ChatOllama",
            model="m",
            base_url="{url}",
            more={"reasoning": [True, False, "low"]},
        ),
        _subject(
            "OllamaLLM",
            "langchain_ollama.OllamaLLM",
            model="m",
            base_url="{url}",
            is_text=True,
            more={"reasoning": [True, False]},
        ),
    ),
    "langchain-google-genai": (
        _subject(
            "ChatGoogleGenerativeAI",
            "langchain_google_genai.ChatGoogleGenerativeAI",
            model="gemini-2.5-flash",
            google_api_key="k",
            base_url="{url}",
            max_retries=1,
            more={"max_retries": [1], "additional_headers": _HEADERS},
        ),
        _subject(
            "GoogleGenerativeAI",
            "langchain_google_genai.GoogleGenerativeAI",
            model="gemini-2.5-flash",
            google_api_key="k",
            base_url="{url}",
            max_retries=1,
            is_text=True,
            more={"max_retries": [1], "additional_headers": _HEADERS},
        ),
    ),
    "langchain-mistralai": (
        _subject(
            "ChatMistralAI",
            "langchain_mistralai.ChatMistralAI",
            model="m",
            api_key="k",
            endpoint="{url}",
            max_retries=1,
            more={"max_retries": [1]},
        ),
    ),
    "langchain-groq": (
        _subject("ChatGroq", "langchain_groq.ChatGroq", model="m", base_url="{url}", **_ONE),
    ),
    "langchain-deepseek": (
        _subject(
            "ChatDeepSeek", "langchain_deepseek.ChatDeepSeek", model="m", api_base="{url}", **_ONE
        ),
    ),
    "langchain-xai": (
        _subject("ChatXAI", "langchain_xai.ChatXAI", model="m", base_url="{url}", **_ONE),
    ),
    "langchain-fireworks": (
        _subject(
            "ChatFireworks",
            "langchain_fireworks.ChatFireworks",
            model="m",
            base_url="{url}",
            **_ONE,
        ),
        _subject(
            "Fireworks",
            "langchain_fireworks.Fireworks",
            model="m",
            api_key="k",
            base_url="{url}",
            is_text=True,
        ),
    ),
    "langchain-perplexity": (
        _subject("ChatPerplexity", "langchain_perplexity.ChatPerplexity", model="m", **_ONE),
    ),
    "langchain-openrouter": (
        _subject(
            "ChatOpenRouter",
            "langchain_openrouter.ChatOpenRouter",
            model="m",
            base_url="{url}",
            **_ONE,
        ),
    ),
    "langchain-cohere": (
        _subject(
            "ChatCohere",
            "langchain_cohere.ChatCohere",
            model="m",
            cohere_api_key="k",
            base_url="{url}",
        ),
    ),
    "langchain-aws": (
        _subject(
            "ChatBedrockConverse",
            "langchain_aws.ChatBedrockConverse",
            model="anthropic.claude-3-sonnet-20240229-v1:0",
            **_AWS,
        ),
        _subject(
            "ChatBedrock",
            "langchain_aws.ChatBedrock",
            model="anthropic.claude-3-sonnet-20240229-v1:0",
            **_AWS,
        ),
        _subject(
            "BedrockLLM",
            "langchain_aws.BedrockLLM",
            model="amazon.titan-text-express-v1",
            is_text=True,
            **_AWS,
        ),
        _subject("SagemakerEndpoint", "", build=_sagemaker, is_text=True),
    ),
    "langchain-together": (
        _subject(
            "ChatTogether", "langchain_together.ChatTogether", model="m", base_url="{url}", **_ONE
        ),
        _subject(
            "Together",
            "langchain_together.Together",
            model="m",
            together_api_key="k",
            base_url="{url}",
            is_text=True,
        ),
    ),
    "langchain-upstage": (
        _subject(
            "ChatUpstage", "langchain_upstage.ChatUpstage", model="m", base_url="{url}", **_ONE
        ),
    ),
    "langchain-cerebras": (
        _subject(
            "ChatCerebras", "langchain_cerebras.ChatCerebras", model="m", base_url="{url}", **_ONE
        ),
    ),
    "langchain-sambanova": (
        _subject(
            "ChatSambaNova",
            "langchain_sambanova.ChatSambaNova",
            model="m",
            base_url="{url}",
            **_ONE,
        ),
    ),
    "langchain-azure-ai": (
        _subject(
            "AzureAIOpenAIApiChatModel",
            "langchain_azure_ai.chat_models.AzureAIOpenAIApiChatModel",
            model="m",
            endpoint="{url}",
            credential="k",
            max_retries=0,
        ),
    ),
    "langchain-huggingface": (
        _subject(
            "HuggingFaceEndpoint",
            "langchain_huggingface.HuggingFaceEndpoint",
            endpoint_url="{url}",
            huggingfacehub_api_token="k",
            task="text-generation",
            is_text=True,
        ),
        _subject("ChatHuggingFace", "", build=_hugging_face),
    ),
    "langchain-litellm": (
        _subject(
            "ChatLiteLLM",
            "langchain_litellm.ChatLiteLLM",
            model="openai/m",
            api_base="{url}",
            **_ONE,
        ),
        _subject(
            "ChatLiteLLMRouter",
            "",
            build=_router,
            beside={
                "deployment": [
                    *({"model": f"openai/gpt-{letter}"} for letter in "yz"),
                    *({"temperature": value} for value in (0, 0.5)),
                    *({"parallel_tool_calls": value} for value in (True, False)),
                    *({"extra_headers": headers} for headers in _HEADERS),
                    {"api_key": "k2"},
                ],
                "defaults": [{"top_p": 0.2}, {"top_p": 0.4}, {"timeout": 9}],
            },
        ),
    ),
    "langchain-nvidia-ai-endpoints": (
        _subject(
            "ChatNVIDIA",
            "langchain_nvidia_ai_endpoints.ChatNVIDIA",
            model="m",
            api_key="nvapi-k",
            base_url="{url}/v1",
        ),
        _subject(
            "ChatNVIDIADynamo",
            "langchain_nvidia_ai_endpoints.ChatNVIDIADynamo",
            model="m",
            api_key="nvapi-k",
            base_url="{url}/v1",
            chance="langchain-dynamo-[0-9a-f]+",
        ),
        _subject(
            "NVIDIA",
            "langchain_nvidia_ai_endpoints.NVIDIA",
            model="m",
            api_key="nvapi-k",
            base_url="{url}/v1",
            is_text=True,
        ),
    ),
}
