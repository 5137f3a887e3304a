"""What a row of the table of providers says (``providers.ROWS``), and what holds for all rows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

#: Stands for a key where none is needed: a server of one's own, and replay. Never sent elsewhere.
PLACEHOLDER_KEY = "no-key"

#: How environment variables are called that hold a credential.
KEY_VARIABLE = re.compile(r"(?:.*_)?(?:(?:API)?KEY|TOKEN|SECRET|PASSWORD|PAT)")

#: How an answer may end otherwise than well: at its bound, held back, or broken off.
End = Literal["cut", "filtered", "broken"]

#: Names, of fields, private attributes and arguments, by the reason why they cannot change an
#: answer.
Reasons = Mapping[str, str]

#: How clients and their classes are called that serve asynchronous calls alone.
_ASYNCHRONOUS = re.compile(r"(?i)async|^aiohttp\.")

_NONE: Reasons = {}
_NO_ENDS: Mapping[str, End] = {}


class Provider(NamedTuple):
    """All that is known of one provider.

    Attributes:
        name: As ``-m NAME:model`` and ``init_chat_model`` spell it.
        package: The distribution with its classes.
        classes: The names of its classes, chat models first; what derives from them is meant too.
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
        marks_blocks: Whether it sends a text that stands alone in a block otherwise than the text.
        credentials: Fields and names of headers, in lower case, that hold a credential and nothing
            else. They neither count nor are shown. Fields of type ``SecretStr`` need no mention.
        clients: Fields and attributes that hold the SDK's clients: what in them reaches the
            provider is read there.
        through: Classes, with their modules, that requests go through and no client holds before.
        parts: Fields with other objects, each with what of them reaches the provider.
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
    classes: str = ""
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
    marks_blocks: bool = False
    credentials: frozenset[str] = frozenset()
    clients: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    parts: Mapping[str, str] = _NONE
    made_once: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = _NONE
    merges_model_kwargs: bool = False
    stop_overrides: bool = False
    always_tells_end: bool = False
    ends: Mapping[str, End] = _NO_ENDS
    price_name: str | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Its classes by top-level package and name."""
        module = self.package.replace("-", "_")
        return tuple(f"{module}.{name}" for name in self.classes.split())

    def on_way(self, names: Iterable[str], is_async: bool) -> list[str]:
        """Return those of some names, of clients or their classes, that a call may go through.

        Where it has clients for both, a synchronous call goes through nothing asynchronous.
        """
        is_any = is_async or not any(map(_ASYNCHRONOUS.search, self.clients))
        return [name for name in names if is_any or not _ASYNCHRONOUS.search(name)]

    @property
    def lacks_key(self) -> bool:
        """Whether it needs a key, and the environment holds none."""
        return bool(self.keys) and not any(map(os.environ.get, self.keys))


#: What is known of a class without a row.
UNKNOWN = Provider("", "")


def reasons(names: str, reason: str) -> dict[str, str]:
    """Return one reason for each of some names, which are written in one string."""
    return dict.fromkeys(names.split(), reason)


def names(words: str) -> frozenset[str]:
    """Return some names, which are written in one string."""
    return frozenset(words.split())


def sync_and_async(module: str, name: str) -> tuple[str, str]:
    """Return the dotted names of an SDK's class and of its asynchronous twin."""
    return f"{module}.{name}", f"{module}.Async{name}"


def ends(**words: str) -> dict[str, End]:
    """Return the end by word, of the words for each end, written in one string."""
    kinds: dict[str, End] = {"cut": "cut", "filtered": "filtered", "broken": "broken"}
    return {word: kinds[kind] for kind, said in words.items() for word in said.split()}


#: What cannot change an answer whoever gives it, as a model's field or as an argument of a call.
EVERYWHERE: Reasons = {
    **reasons("callback_manager callbacks run_manager", "who listens"),
    **reasons("run_id run_name config", "how a run is called in a trace"),
    **reasons(
        "max_retries timeout request_timeout default_request_timeout", "how long it is tried"
    ),
    **reasons("disable_streaming streaming stream", "in how many pieces it comes"),
    **reasons("stream_usage stream_options", "whether a stream tells its tokens"),
    **reasons(
        "ls_structured_output_format structured_output_format", "for a trace; sent elsewhere"
    ),
}

#: Fields of LangChain's base classes, which are sent nowhere. Arguments of a call that are called
#: so are sent.
ONLY_FIELDS: Reasons = {
    **reasons("name tags metadata verbose", "how a run is called in a trace"),
    **reasons("cache rate_limiter custom_get_token_ids profile", "LangChain's own"),
}

#: Headers that hold a credential and nothing else, whoever is asked.
CREDENTIAL_HEADERS = names(
    "api-key authorization cf-aig-authorization helicone-auth ocp-apim-subscription-key "
    "proxy-authorization x-api-key x-goog-api-key x-litellm-api-key x-portkey-api-key"
)

#: Headers that tell of the caller's program or of one single call.
IDLE_HEADERS: Reasons = {
    **reasons("accept accept-encoding connection content-length host", "how HTTP is spoken"),
    **reasons("content-type user-agent x-goog-api-client", "which program asks"),
    **reasons("idempotency-key x-client-request-id x-request-id request-id", "one single call"),
    **reasons("baggage traceparent tracestate x-amzn-trace-id x-portkey-trace-id", "a trace"),
    **reasons("helicone-session-id helicone-session-name helicone-session-path", "a trace"),
    **reasons("openai-organization openai-project", "who pays"),
}

#: Fields that hold the name of a model; the first one set wins.
MODEL_FIELDS = ("model", "model_name", "deployment_name", "model_id", "repo_id", "model_path")

#: What bounds the length of an answer, as providers call it.
TOKEN_LIMITS = names(
    "max_completion_tokens max_new_tokens max_output_tokens max_tokens max_tokens_to_sample "
    "num_predict"
)

#: The names of who speaks.
NAMES = frozenset({"ai.name", "human.name", "system.name", "tool.name"})


def environment_keys() -> dict[str, list[str]]:
    """Return what the environment's variables for keys hold, with their names."""
    found: dict[str, list[str]] = {}
    for name, value in os.environ.items():
        if len(value) >= 4 and KEY_VARIABLE.fullmatch(name):
            found.setdefault(value, []).append(name)
    return found


def holds_key(field: str, value: object) -> bool:
    """Whether a field of plain text is called as a credential, and holds the environment's."""
    if not isinstance(value, str) or KEY_VARIABLE.fullmatch(field.upper()) is None:
        return False
    return value == PLACEHOLDER_KEY or value in environment_keys()
