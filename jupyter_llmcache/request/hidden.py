"""What may be a secret is shown as a digest, and so still counts.

Nothing is left out because its name sounds like a secret: the digest stands in its place. A text
that people read (a tool's description, a schema) keeps all of itself but what looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..provider_row import CREDENTIAL_HEADERS, IDLE_HEADERS
from .canonical import TAG, sorted_items, text_digest

#: Names whose value may be a secret.
_SECRET_NAME = re.compile(
    r"pass(?:word|wd|phrase|code)?$|pwd$|secret|token$|token_|api_?key|(?:^|_)key$|private|auth|"
    r"credential|cookie|signature|session|bearer|(?:^|_)(?:sig|pat|pin|code|sas)$",
    re.IGNORECASE,
)

#: What a schema says of a value by example; under the name of a secret it may be one.
_EXAMPLES = frozenset({"const", "default", "enum", "example", "examples"})

#: User and password, or the value of a query, in an address; a token by its beginning; a value that
#: is said to be a secret.
_SECRETS_IN_TEXT = re.compile(
    r"(?P<user>(?<=://)[^\s/?#@\"'<>]+(?=@))"
    r"|(?<=[?&])(?P<name>[\w.\-\[\]]+)=(?P<value>[^&#\s\"'<>]+)"
    r"|(?P<said>(?<=Bearer )|(?<=Basic ))(?P<rest>[\w.~+/=-]{8,})"
    r"|(?P<token>\b(?:sk-|hf_|gh[opsur]_|github_pat_|glpat-|gsk_|xai-|AIza|eyJ|AKIA|ASIA|nvapi-|"
    r"pplx-|r8_|lsv2_|ya29\.|tvly-|fw_|xox[abprs]-|SG\.)[\w.~+/=-]{8,})"
    r"|(?P<label>\b(?i:password|passwd|pwd|secret|api[_-]?key|token)\s*[=:]\s*)(?P<word>[^\s,;\"']+)"
    r"|(?P<long>\b(?=[\w+/=]*\d)(?=[\w+/=]*[A-Za-z])[A-Za-z0-9+/=_]{20,})"
    r"|(?P<path>(?<=/)(?:[A-Za-z0-9]{20,}|(?=[\w.~-]*\d)[\w.~-]{20,})(?=/|\s|$|[\"'?#]))"
)

#: A few plain words, a number, a date or a version: no secret has this form.
_HARMLESS = re.compile(
    r"[A-Za-z]{1,20}(?:[ _.,:/-][A-Za-z]{1,20}){0,3}|[\d.:+-]{1,12}(?:preview)?|"
)


@lru_cache(maxsize=4096)
def sounds_secret(name: str) -> bool:
    """Whether what stands under ``name`` may be a secret."""
    return _SECRET_NAME.search(name.replace("-", "_")) is not None


def hidden(text: str) -> dict[str, str]:
    """Return what stands for a text that is not shown."""
    return {TAG + "digest": text_digest(text)}


def is_example(name: str) -> bool:
    """Whether an entry of a schema holds values and not words about them."""
    return name in _EXAMPLES


def is_harmless(text: str) -> bool:
    """Whether a text of unknown meaning may be shown."""
    return _HARMLESS.fullmatch(text) is not None


def scrubbed(text: str) -> str:
    """Return a text for people with the secrets in it replaced by digests."""
    return _SECRETS_IN_TEXT.sub(_scrub, text) if len(text) >= 8 else text


def _scrub(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"]
    if name is not None:
        shows = not sounds_secret(name) and is_harmless(value)
        return match[0] if shows else f"{name}={_inline(value)}"
    if match["word"] is not None:
        return f"{match['label']}{_inline(match['word'])}"
    return _inline(match[0])


def _inline(secret: str) -> str:
    return f"[{TAG}{text_digest(secret)}]"


def headers_shown(headers: Mapping[Any, Any], credentials: frozenset[str]) -> dict[str, Any]:
    """Return headers that count, by lower-case names, their values as digests.

    Args:
        headers: As a client has them.
        credentials: Names, in lower case, of those that a provider takes as credentials.
    """
    named = {header_name(name): _text(value) for name, value in headers.items()}
    left_out = CREDENTIAL_HEADERS | credentials | IDLE_HEADERS.keys()
    return {
        name: text_digest(named[name])
        for name in sorted(named)
        if name not in left_out and not name.startswith("x-stainless-")
    }


def header_name(name: Any) -> str:
    """Return the name of a header as it is compared."""
    return _text(name).lower()


def query_shown(query: Mapping[Any, Any]) -> dict[str, str]:
    """Return the parameters of a query with values as digests, but for versions."""
    return {
        name: _text(value) if name.endswith("version") else text_digest(_text(value))
        for name, value in sorted_items(query)
    }


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


@lru_cache(maxsize=256)
def address_shown(url: str) -> str:
    """Return an address in one spelling, without user and password, other secrets as digests."""
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
    query = query_shown(dict(parse_qsl(parts.query, keep_blank_values=True)))
    suffix = "&".join(f"{name}={value}" for name, value in query.items())
    path = scrubbed(parts.path.rstrip("/"))
    return f"{scheme}://{host}{path}{'?' if suffix else ''}{suffix}"
