"""One HTTP request as a client is about to send it: its key, its readable form, whom it asks.

Credentials enter neither: what stands under a name that holds nothing else, what an environment
variable for a key holds, and what looks like a token of a well-known service. All else counts.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import socket
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from ..errors import without_secrets
from ..provider_row import CREDENTIAL_HEADERS, PLACEHOLDER_KEY, environment_keys
from ..providers import ROWS
from ..request.canonical import dump, sounds_secret

_SCHEMA = 1
#: How much of a body is shown, in characters.
_SHOWN_CHARS = 20_000

#: Names of headers, parameters and fields that hold a credential and nothing else.
_CREDENTIALS = CREDENTIAL_HEADERS | {
    *("access_token", "access-token", "apikey", "api_key", "auth-token", "auth_token"),
    *("client_secret", "ocp-apim-subscription-key", "private-token", "subscription-key"),
    *("x-access-token", "x-auth-token", "x-rapidapi-key", "x-subscription-token"),
}
#: A shorter key of the environment may be a word, and is one but under such a name.
_KEY_CHARS = 16
_NAMES_KEY = re.compile(r".*(?:auth|key|passw(?:or)?d|secret|token).*|.*app[-_]?id", re.IGNORECASE)
#: Tokens of well-known services. One that is not told as such counts; a word that was taken for one
#: would share its answer with others.
_TOKEN = re.compile(
    r"(?:sk-|[spr]k_(?:live|test)_|gsk_|hf_|gh[opsur]_|github_pat_|glpat-|xai-|xox[a-z]-|tvly-|lsv2_"
    r"|pplx-)(?:[\w-]*[_-])?(?=[a-zA-Z]*(?:\d|[a-z][A-Z]))[A-Za-z\d]{16,}[\w-]*"
    r"|AKIA[A-Z\d]{16}|AIza[\w-]{35}|eyJ[\w-]{15,}(?:\.[\w-]+){1,2}"
)
#: What may be one in a text is not shown.
_LIKE_TOKEN = re.compile(
    r"(?:sk|pk|rk|gsk|hf|gh[a-z]|xai|xox[a-z]|tvly|lsv2|glpat|pplx|AKIA|AIza|eyJ)"
    r"[-_]?[A-Za-z0-9][\w.-]{14,}"
)
#: Nor what may be one in a path, as where a bot is asked or a hook is called.
_LIKE_TOKEN_IN_PATH = re.compile(
    r"(?<=/)[^/?]*(?:\d{6,}:[\w-]{30,}"
    r"|(?=[a-zA-Z]*\d)(?=\d*[a-zA-Z])[A-Za-z\d]{20,})[^/?]*"
)
#: Parameters that sign an address for some minutes, where the first of a row stand in it.
_SIGNING = (
    ({"x-amz-signature"}, r"x-amz-.*"),
    ({"x-goog-signature"}, r"x-goog-.*"),
    ({"key-pair-id"}, r"key-pair-id|signature|policy|expires"),
    ({"sig", "sv"}, r"sig|se|st|sp|sv|sr|skoid|sktid|skt|ske|sks|skv"),
)
#: Headers that tell of the caller's machine, its program, its session, or one single call.
_IDLE = re.compile(
    r"accept-encoding|baggage|connection|content-length|cookie|date|dnt|expect|host|idempotency-key"
    r"|if-(?:none-match|modified-since)|keep-alive|priority|te|transfer-encoding|user-agent"
    r"|traceparent|tracestate|b3|(?:.*-)?(?:trace|span|correlation)-?(?:id|context)|x-b3-.*"
    r"|x-datadog-.*|amz-sdk-.*|openai-(?:organization|project)|sec-.*|sentry-.*"
    r"|x-amz-(?:date|content-sha256|user-agent)"
    r"|x-fern-.*|x-goog-api-client|x-stainless-.*|(?:.*-)?request-id"
    r"|(?:.*-)?(?:client|sdk|runtime)-(?:info|name|source|user-agent|version)"
    r"|(?:.*-)?(?:sdk|runtime)-lang(?:uage)?|x-client-(?:cpu|os|sku|ver)"
)
_SHOWN_HEADERS = frozenset({"accept", "accept-language", "content-type", "range"})

_MODEL_CLIENTS = re.compile(
    r"(?:Async)?(?:OpenAI|AzureOpenAI|Anthropic\w*|Groq|Cerebras|Together|Fireworks|Writer|XAI)/"
    r"|.*(?:mistral-client|ollama-python|google-genai-sdk|cohere|litellm|langchain-google)",
    re.IGNORECASE,
)
_MODEL_PATHS = re.compile(
    r".*(?:/(?:chat/)?completions|/v\d\w*/(?:responses|messages|embeddings|moderations)(?:/.*)?"
    r"|/deployments/.*|/embeddings|/responses/input_tokens|/messages/count_tokens"
    r"|:(?:stream)?generateContent|:(?:batch)?embedContents?|:countTokens|:(?:raw)?predict"
    r"|/api/(?:chat|generate|embed|embeddings)|/model/[^/]+/(?:converse|invoke)\S*"
    r"|.*/google\.\S*(?:Generative|Prediction)Service/\w+"
    r"|/images/(?:generations|edits|variations)|/audio/(?:speech|transcriptions|translations))",
    re.IGNORECASE,
)
_MODEL_HOSTS = re.compile(
    r".*\.openai\.azure\.com|bedrock[\w-]*\..*\.amazonaws\.com|.*aiplatform\.googleapis\.com"
    r"|generativelanguage\.googleapis\.com|api-inference\.huggingface\.co|router\.huggingface\.co"
    r"|api\.cohere\.(?:com|ai)|api\.replicate\.com|api\.voyageai\.com|api\.jina\.ai"
)
#: Where providers answer when nobody says otherwise, as host or host:port.
_MODEL_ADDRESSES = frozenset(
    urlsplit(row.usual_endpoint).netloc for row in ROWS if row.usual_endpoint
)
_JUPYTER = re.compile(
    r"/(?:.*/)?api/(?:kernels|kernelspecs|sessions|contents|terminals|status|me)(?:[/?].*)?"
)


class WebRequest:
    """One request.

    Args:
        method: As ``GET``.
        url: The whole address.
        headers: As they will be sent, or most of them.
        body: What will be sent; None where it cannot be read before.
    """

    def __init__(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes | None = b""
    ) -> None:
        self.method = method.upper()
        self.url = url
        self.headers = [(name.lower(), value) for name, value in headers]
        self.body = body

    def header(self, name: str) -> str:
        """Return a header's value, or nothing."""
        return next((value for each, value in self.headers if each == name), "")

    @cached_property
    def host(self) -> str:
        """The host that is asked, in lower case, without its port."""
        try:
            return (urlsplit(self.url).hostname or "").rstrip(".")
        except ValueError:
            return ""

    @cached_property
    def address(self) -> str:
        """The address without credentials."""
        return clean_url(self.url)

    @cached_property
    def shown_url(self) -> str:
        """The address as a person may read it."""
        path, mark, query = without_secrets(self.address).partition("?")
        path = _LIKE_TOKEN_IN_PATH.sub(lambda match: digest_of(match[0]), path)
        return path + mark + re.sub("([^=&]+)=([^&]+)", _shown_part, query)

    @property
    def title(self) -> str:
        """The request on one line."""
        return f"{self.method} {self.shown_url}"

    @cached_property
    def content(self) -> Any:
        """The body without credentials: JSON as it is meant, a form as its pairs, else bytes."""
        kind = self.header("content-type").lower()
        body = self.body or b""
        try:
            if "json" in kind:
                return _without_credentials(json.loads(body), environment_keys())
            if "x-www-form-urlencoded" in kind:
                pairs = parse_qsl(body.decode(), keep_blank_values=True)
                return [
                    list(pair) for pair in pairs if not _is_credential(*pair, environment_keys())
                ]
        except (ValueError, RecursionError):
            pass
        boundary = re.search(r'boundary="?([^";]+)', self.header("content-type"))
        return body.replace(boundary[1].encode(), b"boundary") if boundary else body

    @cached_property
    def counted_headers(self) -> list[tuple[str, str]]:
        """The headers that may change the answer, sorted."""
        found = environment_keys()
        counted = [
            (name, re.sub(r"boundary=\S+", "boundary", value))
            for name, value in self.headers
            if not (
                _IDLE.fullmatch(name)
                or _is_credential(name, value, found)
                or _is_key(name, value.rpartition(" ")[2], found)  # as in "Bearer ..."
            )
        ]
        return sorted(counted)

    @cached_property
    def digest(self) -> bytes:
        """What makes two requests the same one."""
        content = self.content
        text = content if isinstance(content, bytes) else dump(content).encode()
        head = dump([_SCHEMA, "web", self.method, self.address, self.counted_headers])
        return hashlib.blake2b(head.encode() + b"\0" + text, digest_size=16).digest()

    def key(self, number: int) -> bytes:
        """Return the key of the entry for the ``number``-th time that this is asked."""
        if number == 0:
            return self.digest
        return hashlib.blake2b(self.digest + str(number).encode(), digest_size=16).digest()

    @property
    def request_text(self) -> str:
        """What an entry's ``request`` says: the host, and the variables that held its key."""
        request = {"asked": "web", "provider": "web", "model": self.host}
        used = self.key_variables()
        return dump({**request, "keys": used} if used else request)

    @property
    def prompt_text(self) -> str:
        """What an entry's ``prompt`` says: the request as a person reads it."""
        headers = {
            name: value if name in _SHOWN_HEADERS else digest_of(value)
            for name, value in self.counted_headers
        }
        shown = {"method": self.method, "url": self.shown_url, "headers": headers}
        if self.body:
            in_parts = self.header("content-type").lower().startswith("multipart/")
            shown["body"] = digest_of(self.content) if in_parts else _shown(self.content)
        return dump(shown)

    def key_variables(self) -> list[str]:
        """Return the environment variables whose value this request carries as its credential."""
        found = environment_keys()
        carried = [value.rpartition(" ")[2] for _, value in self.headers]
        carried += [unquote_plus(value) for _, value in parse_qsl(urlsplit(self.url).query)]
        sent = (self.body or b"").decode("utf-8", "surrogateescape")
        carried += [text for text in found if text in sent]
        names = sorted({name for text in carried for name in found.get(text, ())})
        # One value may stand in many variables; the host tells whose it is.
        near = [name for name in names if name.partition("_")[0].lower() in self.host]
        return near or names

    def without_keys(self, answer: bytes) -> bytes:
        """Return a part of an answer with a placeholder for each key that it says again.

        Servers write into their pages what they were asked by, as in the link to the next one.
        """
        for secret in self._secrets:
            answer = answer.replace(secret, PLACEHOLDER_KEY.encode())
        return answer

    @cached_property
    def _secrets(self) -> list[bytes]:
        """The keys that a server may say again: the environment's, and those that were sent."""
        named = [*self.headers, *parse_qsl(urlsplit(self.url).query)]
        sent = [value.rpartition(" ")[2] for name, value in named if name.lower() in _CREDENTIALS]
        keys = (key for key in (*environment_keys(), *sent) if len(key) >= _KEY_CHARS)
        return [key.encode("utf-8", "surrogateescape") for key in keys]

    def differs_from(self, told: Iterable[Mapping[str, Any]]) -> str | None:
        """Return in words what differs from the nearest of other requests; None: none is near."""
        mine = json.loads(self.prompt_text)
        path = self.shown_url.partition("?")[0]
        near = [each for each in told if str(each.get("url")).partition("?")[0] == path]
        apart = [_apart(each, mine) for each in near]
        nearest = min(apart, key=lambda parts: sum(map(len, parts.values())), default={})
        words = [": ".join(filter(None, [word, ", ".join(n[:3])])) for word, n in nearest.items()]
        return f"recorded there with another {', another '.join(words)}" if words else None


def _apart(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the parts that differ, and of headers and JSON the names; of others no name."""
    found: dict[str, list[str]] = {}
    for part, word in (("method",) * 2, ("url", "query"), ("headers", "header"), ("body",) * 2):
        one, other = theirs.get(part), mine.get(part)
        if isinstance(one, dict) and isinstance(other, dict):
            names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        else:
            names = [] if one == other else [""]
        found |= {word: names} if names else {}
    return found


# --- what is left out ---


def _is_credential(name: str, value: str, found: Mapping[str, Any]) -> bool:
    is_token = name.lower() in _CREDENTIALS or _TOKEN.fullmatch(value) is not None
    return is_token or _is_key(name, value, found)


def _is_key(name: str, value: str, found: Mapping[str, Any]) -> bool:
    """Whether ``value`` is one of ``found``, the environment's keys, and no word like one."""
    is_long = len(value) >= _KEY_CHARS or value == PLACEHOLDER_KEY
    return value in found and (is_long or _NAMES_KEY.fullmatch(name) is not None)


def holds_token(text: str) -> bool:
    """Whether a well-known service's token stands in ``text``."""
    return _TOKEN.search(text) is not None


def _without_credentials(value: Any, found: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {
            name: None
            if isinstance(each, str) and _is_credential(name, each, found)
            else _without_credentials(each, found)
            for name, each in value.items()
        }
    return [_without_credentials(v, found) for v in value] if isinstance(value, list) else value


def clean_url(url: str) -> str:
    """Return an address without user, password, credentials, signature and fragment."""
    url = re.sub(r"(?<=://)[^/?#]*@", "", url.partition("#")[0], count=1)
    address, mark, query = url.partition("?")
    names = {unquote_plus(part.partition("=")[0]).lower() for part in query.split("&")}
    signing = [re.compile(rest) for first, rest in _SIGNING if first <= names]
    found = environment_keys()

    def stays(part: str) -> bool:
        name, _, value = (unquote_plus(each) for each in part.partition("="))
        signs = any(each.fullmatch(name.lower()) for each in signing)
        return not (signs or _is_credential(name, value, found))

    kept = "&".join(part for part in query.split("&") if stays(part))
    return f"{address}{mark if kept else ''}{kept}"


def _shown(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _shown(each, key) for key, each in value.items()}
    if isinstance(value, list):
        # Of a pair of a form the first names the second.
        named = value[0] if len(value) == 2 and isinstance(value[0], str) else ""
        return [_shown(each, named if place else "") for place, each in enumerate(value)]
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return digest_of(value)
    if type(value) in (str, int, float) and sounds_secret(name):
        return digest_of(str(value))
    if isinstance(value, str):
        if len(value) > _SHOWN_CHARS:
            return digest_of(value)
        return _LIKE_TOKEN.sub(lambda match: digest_of(match[0]), without_secrets(value))
    return value


def _shown_part(match: re.Match[str]) -> str:
    """A parameter of a query, its value as a digest where its name may be one of a secret."""
    name, value = map(unquote_plus, match.groups())
    return f"{match[1]}={digest_of(value)}" if sounds_secret(name) else match[0]


def digest_of(value: str | bytes) -> str:
    """Return what stands for a value that is not shown."""
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return "digest:" + hashlib.blake2b(data, digest_size=8).hexdigest()


# --- whom it asks ---


@lru_cache(maxsize=1024)
def is_here(host: str) -> bool:
    """Whether ``host``, a name or an address, is this machine; no name is looked up for it."""
    name = host.strip("[]").rstrip(".").lower()
    if name in ("", "localhost", "ip6-localhost", "ip6-loopback", socket.gethostname().lower()):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name.endswith(".localhost")
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback or address.is_unspecified:
        return True
    if address.is_multicast:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        # Only an address of this machine can be bound; nothing is sent for it.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def is_jupyter(asked: WebRequest) -> bool:
    """Whether the server of notebooks on this machine is asked, or the hub it belongs to."""
    hub = os.environ.get("JUPYTERHUB_API_URL")
    if hub and asked.url.startswith(hub):
        return True
    return is_here(asked.host) and _JUPYTER.fullmatch(urlsplit(asked.url).path) is not None


def asks_model(asked: WebRequest) -> bool:
    """Whether a provider's SDK asks, or a model is asked, wherever it stands."""
    parts = urlsplit(asked.url)
    return bool(
        _MODEL_CLIENTS.match(asked.header("user-agent"))
        or asked.header("anthropic-version")
        or (asked.method == "POST" and _MODEL_PATHS.fullmatch(parts.path))
        or parts.netloc in _MODEL_ADDRESSES
        or is_model_host(asked.host)
    )


def is_model_host(host: str) -> bool:
    """Whether a provider of models answers at ``host``, a name."""
    return host in _MODEL_ADDRESSES or _MODEL_HOSTS.fullmatch(host) is not None
