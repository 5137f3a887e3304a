"""What the SDK's clients and the HTTP clients under them send along: address, headers, query.

A client that the library's own class made says nothing but these. One that the user made, changed
or put in its place may hold hooks, transports, ways to log in and methods of the user's own.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from inspect import get_annotations
from types import FunctionType, MethodType, ModuleType
from typing import Any

from langchain_core.runnables import Runnable
from pydantic import BaseModel

from ..provider_row import CREDENTIAL_HEADERS
from ..providers import provider_of
from .canonical import header_name, headers_shown
from .own_code import functions_in, is_installed, is_own

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
        own: What the user put into it, by name: hooks, transports, methods.
        watched: All dicts and lists that this was read of.
    """

    def __init__(self, client: Any) -> None:
        self.address: Any = None
        self.headers: dict[Any, Any] = {}
        self.query: dict[Any, Any] = {}
        self.own: dict[str, Any] = {}
        self.watched: list[Any] = []
        for each in _chain(client):
            self._read(each)
        cls = type(client)
        if not is_own(cls):
            self.watched.append(vars(cls))
            self.own |= {n: f for n, v in vars(cls).items() for f in functions_in(v) if is_own(f)}

    def _read(self, client: Any) -> None:
        fields = getattr(client, "__dict__", {})
        self.watched.append(fields)
        if self.address is None:
            self.address = _first(client, _ADDRESSES)
        if "_event_hooks" in fields and "_transport" in fields:
            self._read_http(fields)
        else:
            # What the SDK sends wins over what the HTTP client below it would.
            self.headers = {**self._copied(fields, "_custom_headers"), **self.headers}
            self.query = {**self._copied(fields, "_custom_query"), **self.query}
            self._note("middleware", fields.get("_middleware") or None)
        if is_own(type(client)):
            self._note("class", [type(client), _beside_library(client)])
        for name, value in fields.items():
            if name not in _READ_ELSEWHERE and _is_users(value):
                self._note(name, value)

    def _read_http(self, fields: Mapping[str, Any]) -> None:
        raw = getattr(fields.get("_headers"), "_list", None)
        if raw is not None:
            self.watched.append(raw)
        sent = {header_name(name): value for name, value in (fields.get("_headers") or {}).items()}
        self.headers = sent | {header_name(name): value for name, value in self.headers.items()}
        self.query = {**dict(fields.get("_params") or {}), **self.query}
        hooks = fields["_event_hooks"]
        self.watched += hooks.values()
        self._note("hooks", [hook for each in hooks.values() for hook in each] or None)
        self._note("auth", _own_part(fields.get("_auth")))
        transports = [fields["_transport"], *(fields.get("_mounts") or {}).values()]
        own = [part for each in transports if (part := _own_part(each)) is not None]
        self._note("transports", own or None)
        jar = getattr(getattr(fields.get("_cookies"), "jar", None), "_cookies", {})
        # A server's cookies have its domain; those without were given by the user.
        given = {n: c.value for path in jar.get("", {}).values() for n, c in path.items()}
        self._note("cookies", given or None)

    def _copied(self, fields: Mapping[str, Any], name: str) -> dict[Any, Any]:
        held = fields.get(name)
        if not isinstance(held, Mapping):
            return {}
        self.watched.append(held)
        return dict(held)

    def _note(self, name: str, value: Any) -> None:
        if value is not None:
            self.own[name] = value


def _is_users(value: Any) -> bool:
    """Whether ``value``, in a client, is a function or an object of the user's."""
    is_function = isinstance(value, (FunctionType, MethodType))
    return isinstance(value, partial) or is_own(value if is_function else type(value))


def _own_part(value: Any) -> Any:
    """Return an object of the user's as it is, of a library's what of the user's it holds.

    A library's transport carries, and its way to log in makes credentials; neither is state.
    """
    if is_own(type(value)):
        return [type(value), _beside_library(value)]
    own = {name: held for name, held in getattr(value, "__dict__", {}).items() if _is_users(held)}
    return [type(value).__name__, own] if own else None


def _beside_library(client: Any) -> dict[str, Any]:
    """Return what an object of a user's class holds beside what the library's classes give it."""
    libraries = [base for base in type(client).__mro__ if not is_own(base)]
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


def _first(client: Any, paths: tuple[str, ...]) -> Any:
    return next((found for path in paths if (found := look_up(client, path)) is not None), None)


def client_in(name: str, value: Any) -> Client | None:
    """Return what an SDK's client says; None where the value of ``name`` is none.

    An object that tells no address is state, unless it stands where classes keep the clients that
    they make of their other fields.
    """
    cls = type(value)
    if (
        isinstance(value, (type, BaseModel, Runnable, FunctionType, MethodType, ModuleType))
        or dataclasses.is_dataclass(value)
        or hasattr(value, "get_secret_value")
        or not hasattr(value, "__dict__")
        or cls.__module__.partition(".")[0] in {*sys.stdlib_module_names, "builtins"}
        or not is_installed(cls.__module__)
    ):
        return None
    client = Client(value)
    return client if client.address is not None or "client" in name else None


def secrets_of(model: Any) -> Iterator[str]:
    """Yield the keys that a model holds, and what its headers say in their place."""
    cls: type = type(model)
    credentials = provider_of(cls).credentials | CREDENTIAL_HEADERS
    headers = getattr(model, "default_headers", None) or {}
    for name, value in model.__dict__.items():
        if hasattr(value, "get_secret_value") or (name in credentials and isinstance(value, str)):
            yield str(getattr(value, "get_secret_value", lambda held=value: held)())
    for name, value in headers.items():
        if str(name).lower() in credentials:
            yield str(value).rpartition(" ")[2]


def sent_headers(headers: Mapping[Any, Any], credentials: frozenset[str]) -> dict[str, Any]:
    """Return those of a client's headers that count, as they are."""
    counted = headers_shown(headers, credentials)
    named = {header_name(name): value for name, value in headers.items()}
    return {name: named[name] for name in counted}


def look_up(value: Any, path: str) -> Any:
    """Return the attribute at a dotted path; None where there is none."""
    for name in path.split("."):
        value = getattr(value, "__dict__", {}).get(name, _property(value, name))
        if value is None:
            return None
    return value


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
