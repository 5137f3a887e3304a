"""What the SDK's clients and the HTTP clients under them send along: address, headers, query.

A client that the library's own class made says nothing but these. One that the user made, changed
or put in its place may hold hooks, transports, ways to log in and methods of the user's own.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from inspect import get_annotations
from types import FunctionType, MethodType, ModuleType
from typing import Any

from langchain_core.runnables import Runnable
from pydantic import BaseModel

from ..provider_row import CREDENTIAL_HEADERS
from ..providers import provider_of
from .canonical import (
    address_shown,
    careful,
    header_name,
    headers_shown,
    is_secret,
    sounds_secret,
)
from .installed import is_installed, is_users, module_of
from .users_code import dict_of, is_mock, put_over, users_part

#: Where clients keep the address they send to.
_ADDRESSES = (
    "_base_url",  # where its property would import a module whenever it is read
    "base_url",
    "meta.endpoint_url",
    "_client_wrapper._base_url",
    "_api_client._http_options.base_url",
    "sdk_configuration.server_url",
)

#: Where they keep the client below them.
_BELOW = (
    "_client",
    "_client_wrapper.httpx_client.httpx_client",
    "_api_client._httpx_client",
    "sdk_configuration.client",
    "sdk_configuration.async_client",
)

#: Where they keep what carries a request further.
_CARRIERS = (
    "_aio._models",
    "_api_client",
    "_async_httpx_client",
    "_auth",
    "_client_wrapper",
    "_endpoint",
    "_models",
    "_transport",
    "http_session",
    "meta.events._emitter",
)
#: Where botocore keeps its hooks.
_HOOKS = "_handlers._root"
#: Classes of HTTP clients, which libraries make for one call, with their first one, or hold where
#: nobody sees them: what is put into them counts alike before and after.
_HTTP_CLASSES = (
    "aiohttp.client.ClientSession",
    "httpx.AsyncClient",
    "httpx.AsyncHTTPTransport",
    "httpx.Client",
    "httpx.HTTPTransport",
    "httpx2.AsyncClient",
    "httpx2.AsyncHTTPTransport",
    "httpx2.Client",
    "httpx2.HTTPTransport",
    "requests.adapters.HTTPAdapter",
    "requests.sessions.Session",
)
#: How what is put into these is called.
_HTTP_LABELS = (
    *(f"{name}." for name in _HTTP_CLASSES),
    "urllib3.connectionpool.HTTPConnectionPool.",
)

#: LangChain's and pydantic's base classes, which stand above every provider's door.
_ABOVE_PROVIDERS = (
    "langchain_core.language_models.base",
    "langchain_core.language_models.chat_models",
    "langchain_core.language_models.llms",
    "langchain_core.load",
    "langchain_core.runnables",
    "pydantic",
)

#: Methods that tell the weights of a network, in PyTorch and in Keras.
_WEIGHTS = ("get_weights", "state_dict")
#: Functions that give a credential.
_CREDENTIALS = frozenset(
    {"_api_key_provider", "_azure_ad_token_provider", "api_key", "azure_ad_token_provider"}
)
#: Attributes that are read by rules of their own.
_READ_ELSEWHERE = (*_CREDENTIALS, *_BELOW, "_auth", "_transport")


class Client:
    """What one client says.

    Attributes:
        address: Where it sends; None where it does not tell.
        headers: What it sends with every request, credentials among them.
        query: Likewise.
        users: What the user put into it, by name: hooks, transports, methods.
        told: Dicts and lists of what is sent, which this was read of.
        places: Classes and attributes of the client, of those below it and of what carries their
            requests: where methods may be put over.
        equals_itself_alone: Whether another client in its place is seen by comparing them.
    """

    def __init__(self, client: Any) -> None:
        self.address: Any = None
        self.headers: dict[Any, Any] = {}
        self.query: dict[Any, Any] = {}
        self.users: dict[str, Any] = {}
        self.told: list[Any] = []
        self.places: list[dict[Any, Any]] = []
        classes = type(client).__mro__[:-1]
        self.equals_itself_alone = all("__eq__" not in vars(base) for base in classes)
        if is_mock(client):  # has any attribute that it is asked for
            self.users["class"] = client
            return
        chain = [*_chain(client)]
        for each in chain:
            self._read(each)
        for each in [*chain, *_carriers(chain)]:
            self._read_code(each)

    def sends(self, credentials: frozenset[str]) -> dict[str, Any]:
        """Return what it sends along that counts, and where to, as parameters are called."""
        counted = headers_shown(self.headers, credentials)
        named = {header_name(name): value for name, value in self.headers.items()}
        return {
            "default_headers": {name: named[name] for name in counted},
            "default_query": self.query,
            "endpoint": address_shown(str(self.address)) if self.address else None,
        }

    def _read_code(self, client: Any) -> None:
        """Note what of the user's stands in the place of methods, and what else he put in."""
        fields = getattr(client, "__dict__", {})
        cls: type = type(client)
        classes = library_classes(cls)
        self.places += [fields, *map(dict_of, classes)]
        self.users |= put_over(*classes)
        if is_users(cls):
            self._note("class", [*self.users.get("class", []), cls, _beside_library(client)])
        for name, value in fields.items():
            if name not in _READ_ELSEWHERE and not _is_wrapped_by(cls, value):
                part = users_part(value)
                self._note(f"{cls.__module__}.{cls.__name__}.{name}", part)
        hooks = _leaves(_in_fields(client, _HOOKS))
        self._note("events", [hook for hook in hooks if users_part(hook) is not None] or None)

    def _read(self, client: Any) -> None:
        fields = getattr(client, "__dict__", {})
        if self.address is None:
            self.address = _first(client, _ADDRESSES)
        if "_event_hooks" in fields and "_transport" in fields:
            self._read_http(fields)
        else:
            # What the SDK sends wins over what the HTTP client below it would.
            self.headers = {**self._copied(fields, "_custom_headers"), **self.headers}
            self.query = {**self._copied(fields, "_custom_query"), **self.query}
            self._note("middleware", fields.get("_middleware") or None)

    def _read_http(self, fields: Mapping[str, Any]) -> None:
        raw = getattr(fields.get("_headers"), "_list", None)
        if raw is not None:
            self.told.append(raw)
        sent = {header_name(name): value for name, value in (fields.get("_headers") or {}).items()}
        self.headers = sent | {header_name(name): value for name, value in self.headers.items()}
        self.query = {**dict(fields.get("_params") or {}), **self.query}
        hooks = fields["_event_hooks"]
        self.told += hooks.values()
        self._note("hooks", [hook for each in hooks.values() for hook in each] or None)
        jar = getattr(getattr(fields.get("_cookies"), "jar", None), "_cookies", {})
        # A server's cookies have its domain; those without were given by the user.
        paths = jar.get("", {})
        given = {n: c.value for path in paths.values() for n, c in path.items()}
        self._note("cookies", given or None)
        # What is put into these is no new value of the client's own fields.
        self.places += [hooks, fields.get("_mounts", {}), jar, paths, *paths.values()]

    def _copied(self, fields: Mapping[str, Any], name: str) -> dict[Any, Any]:
        held = fields.get(name)
        if not isinstance(held, Mapping):
            return {}
        self.told.append(held)
        return dict(held)

    def _note(self, name: str, value: Any) -> None:
        if value is not None:
            self.users[name] = value


def _is_wrapped_by(cls: type, value: Any) -> bool:
    """Whether a method is wrapped by the SDK of ``cls``, which does so to what its classes hold."""
    is_function = isinstance(value, FunctionType)
    return is_function and module_of(value).partition(".")[0] == cls.__module__.partition(".")[0]


def _beside_library(client: Any) -> dict[str, Any]:
    """Return what an object of a user's class holds beside what the library's classes give it."""
    libraries = [base for base in type(client).__mro__ if not is_users(base)]
    known = {name for base in libraries for name in (*vars(base), *get_annotations(base))}
    makers = [vars(base).get("__init__") for base in libraries]
    codes = [maker.__code__ for maker in makers if isinstance(maker, FunctionType)]
    known |= {name for code in codes for name in code.co_names}
    known |= _CREDENTIALS
    return {name: value for name, value in vars(client).items() if name not in known}


def _chain(client: Any) -> Iterator[Any]:
    """Yield a client and those below it, down to the HTTP client."""
    for _ in range(4):
        if client is None:
            return
        yield client
        client = _first(client, _BELOW)


def _carriers(clients: Iterable[Any]) -> Iterator[Any]:
    """Yield what carries the requests of clients: an API's parts, transports, what is between."""
    for client in clients:
        fields = getattr(client, "__dict__", {})
        mounted = (fields.get("_mounts") or {}).values()
        # The parts of an API, as ``client.messages``, are made when they are asked for first.
        cls: type = type(client)
        made = [value for name, value in fields.items() if _is_made_once(cls, name)]
        found = (*(_in_fields(client, path) for path in _CARRIERS), *mounted, *made)
        below = [each for each in found if each is not None]
        yield from below
        yield from _carriers(below)


@lru_cache(maxsize=1024)
def _is_made_once(cls: type, name: str) -> bool:
    return isinstance(getattr(cls, name, None), functools.cached_property)


def _in_fields(value: Any, path: str) -> Any:
    """Return what stands at a dotted path of instances' attributes, or None."""
    for name in path.split("."):
        value = getattr(value, "__dict__", {}).get(name)
    return value


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what stands in nested dicts and lists."""
    if isinstance(value, (dict, list, tuple)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    elif value is not None:
        yield value


def _first(client: Any, paths: tuple[str, ...]) -> Any:
    return next((found for path in paths if (found := look_up(client, path)) is not None), None)


@lru_cache(maxsize=1024)
def library_classes(cls: type) -> tuple[type, ...]:
    """Return the library classes of ``cls`` that have to do with a provider."""
    return tuple(
        base
        for base in cls.__mro__
        if not is_users(base)
        and base.__module__ not in ("builtins", "abc", "typing")
        and not base.__module__.startswith(_ABOVE_PROVIDERS)
    )


def doors_of(cls: type) -> list[Any]:
    """Return the library classes of ``cls`` and their modules: a call of a model begins there."""
    classes = library_classes(cls)
    modules = {base.__module__ for base in classes} & sys.modules.keys()
    return [*classes, *(sys.modules[name] for name in modules)]


def ways_of(cls: type, is_async: bool) -> tuple[list[Any], frozenset[str]]:
    """Return where else methods on the way of a call may be put over, but in the model's clients.

    Returns:
        Library classes; and the modules of more such classes that are not imported yet.
    """
    provider = provider_of(cls)
    names = provider.on_way((*provider.through, *_HTTP_CLASSES), is_async)
    named = [name.rpartition(".") for name in names]
    absent = frozenset(module for module, _, _ in named if module not in sys.modules)
    further = (getattr(sys.modules.get(module), name, None) for module, _, name in named)
    return [place for place in further if place is not None], absent


def client_in(name: str, value: Any) -> Client | None:
    """Return what an SDK's client says; None where the value of ``name`` is none.

    An object that tells no address is state, unless it is a transport, or stands where classes keep
    the clients that they make of their other fields.
    """
    cls = type(value)
    if (
        isinstance(value, (type, BaseModel, Runnable, FunctionType, MethodType, ModuleType))
        or dataclasses.is_dataclass(value)
        or is_secret(value)
        or not hasattr(value, "__dict__")
        or cls.__module__.partition(".")[0] in {*sys.stdlib_module_names, "builtins"}
        or not is_installed(cls.__module__)
    ):
        return None
    client = Client(value)
    is_one = client.address is not None or "client" in name or hasattr(cls, "handle_request")
    return client if is_one or hasattr(cls, "handle_async_request") else None


def holds_weights(value: Any) -> bool:
    """Whether an object is a network, or a pipeline around one, that a notebook can train on."""
    networks = value, getattr(value, "__dict__", {}).get("model")
    return any(hasattr(type(each), name) for each in networks for name in _WEIGHTS)


def secrets_of(model: Any, kwargs: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of a model, its clients and a call, and the passwords of their addresses."""
    cls: type = type(model)
    provider = provider_of(cls)
    credentials = provider.credentials | CREDENTIAL_HEADERS
    fields = {**model.__dict__, **(getattr(model, "__pydantic_private__", None) or {})}
    clients = [fields[name] for name in provider.clients if fields.get(name) is not None]
    sent = [fields.get(name) for name in ("default_headers", "default_query")]
    sent += [kwargs.get(name) for name in ("extra_headers", "extra_query")]
    sent += [held for each in map(Client, clients) for held in (each.headers, each.query)]
    for name, value in (pair for held in sent for pair in (held or {}).items()):
        text = str(value).rpartition(" ")[2]
        is_suspect = sounds_secret(header_name(name)) and careful(text) != text
        if is_suspect or header_name(name) in credentials:
            yield text
    for name, value in fields.items():
        if is_secret(value) or (name in credentials and isinstance(value, str)):
            yield str(getattr(value, "get_secret_value", lambda held=value: held)())
        elif isinstance(value, str):
            yield from re.findall(r"://[^\s/@]*:([^\s/@]+)@", value)
    for each in clients:  # where a function gives the key
        yield str(look_up(each, "_client.api_key") or look_up(each, "api_key") or "")


def carried_apart(users: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ``users``, by place and name, without and with what is in classes of HTTP clients."""
    carried = {n: v for n, v in users.items() if n.startswith(_HTTP_LABELS)}
    return {n: v for n, v in users.items() if n not in carried}, carried


def look_up(value: Any, path: str) -> Any:
    """Return the attribute at a dotted path; None where there is none."""
    for name in path.split("."):
        value = getattr(value, "__dict__", {}).get(name, _property(value, name))
        if value is None:
            return None
    return value


def part_of(value: Any, paths: str, left_out: AbstractSet[str]) -> dict[str, Any]:
    """Return what counts of an object that is no client: what stands at some paths in it."""

    def counted(held: Any) -> Any:
        if isinstance(held, (list, tuple)):
            return [counted(each) for each in held]
        if not isinstance(held, Mapping):
            return held
        return {n: counted(v) for n, v in held.items() if n not in left_out and v is not None}

    return {path: counted(held) for path in paths.split() if (held := look_up(value, path))}


def _property(value: Any, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:  # noqa: BLE001  # a client's property may do anything
        return None


def asks_responses(model: Any, values: Mapping[str, Any]) -> bool:
    """Whether a model asks by OpenAI's Responses API, and not by chat completions."""
    try:
        return bool(model._use_responses_api(dict(values)))  # noqa: SLF001  # langchain-openai's own rule, which changes with its releases
    except Exception:  # noqa: BLE001  # a class that does not tell: then it counts
        return True
