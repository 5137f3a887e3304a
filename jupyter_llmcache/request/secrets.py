"""What must stay out of descriptions and keys: credentials, wherever a request carries them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .canonical import TAG, sorted_items, text_digest

#: Names of fields, entries and query parameters that hold a credential and nothing else.
_CREDENTIAL = re.compile(
    r"(?:.*_)?(?:api_?key|subscription_key|access_key(?:_id)?|secret(?:_key)?|private_key|password|"
    r"passwd|credentials?|authorization|(?:api|access|auth|authorization|bearer|session|refresh|"
    r"security|hf|ad)_token(?:_provider)?|ad_async_token_provider)",
    re.IGNORECASE,
)

#: Names that may hold a credential or a word of the question: these count, as a digest.
_AMBIGUOUS = frozenset({"auth", "pat", "sig", "signature", "token"})

#: Names that hold a credential when they stand in a URL.
_URL_CREDENTIAL = _AMBIGUOUS | {"code", "key"}

#: Parts of names of headers that hold a credential, or name who pays.
_CREDENTIAL_HEADER = re.compile(
    r"auth|token|secret|api-?key|cookie|signature|password|credential|subscription-key"
    r"|^openai-(?:organization|project)$"
)

#: Headers that tell of the caller or of one single call.
_NOISE_HEADERS = frozenset(
    {
        "accept-encoding",
        "baggage",
        "connection",
        "content-length",
        "idempotency-key",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-client-request-id",
        "x-request-id",
    }
)

#: How the tokens of well-known services begin.
_TOKEN = re.compile(r"(?:Bearer |sk-|hf_|gh[ps]_|gsk_|xai-|AIza|eyJ)\S{12,}\Z")

_USER_IN_URL = re.compile(r"(?<=://)[^/?#@]*@")
_QUERY_IN_URL = re.compile(r"(?<=[?&])([^=&#]+)=([^&#]*)")


@lru_cache(maxsize=4096)
def is_credential_name(name: str) -> bool:
    """Whether a field or entry of this name holds a credential."""
    return _CREDENTIAL.fullmatch(name.replace("-", "_")) is not None


def hide(name: str, text: str) -> Any:
    """Return what stands in a description for the text of an entry ``name``: itself if harmless."""
    if name in _AMBIGUOUS or _TOKEN.match(text):
        return {TAG + "digest": text_digest(text)}
    if "://" in text and " " not in text:
        return _QUERY_IN_URL.sub(_without_credential, _USER_IN_URL.sub("", text))
    return text


def _without_credential(match: re.Match[str]) -> str:
    return f"{match[1]}=" if _is_url_credential(match[1]) else match[0]


def _is_url_credential(name: str) -> bool:
    return name.lower() in _URL_CREDENTIAL or is_credential_name(name)


def clean_headers(headers: Mapping[Any, Any]) -> dict[str, str]:
    """Return headers with lower-case names and values as digests, without credentials."""
    named = {_text(name).lower(): _text(value) for name, value in headers.items()}
    return {
        name: text_digest(named[name])
        for name in sorted(named)
        if name not in _NOISE_HEADERS and not _CREDENTIAL_HEADER.search(name)
    }


def clean_query(query: Mapping[Any, Any]) -> dict[str, str]:
    """Return query parameters with values as digests (but for versions), without credentials."""
    return {
        name: _text(value) if name.endswith("version") else text_digest(_text(value))
        for name, value in sorted_items(query)
        if not _is_url_credential(name)
    }


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


@lru_cache(maxsize=256)
def clean_url(url: str) -> str:
    """Return an address in one spelling, without user, password, credentials and last slash."""
    try:
        parts = urlsplit(url.strip() if "://" in url else f"//{url.strip()}")
        port = parts.port
    except ValueError:
        return text_digest(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    scheme = parts.scheme.lower()
    if port is not None and port != {"http": 80, "https": 443}.get(scheme):
        host = f"{host}:{port}"
    query = clean_query(dict(parse_qsl(parts.query, keep_blank_values=True)))
    suffix = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{scheme}://{host}{parts.path.rstrip('/')}{'?' if suffix else ''}{suffix}"
