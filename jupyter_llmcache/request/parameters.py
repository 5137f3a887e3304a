"""The parameters of a call: which of a model's fields count, and in what form each is shown.

What to read of every model of one class is worked out once a class.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import BuiltinFunctionType, ModuleType
from typing import Any, NamedTuple, is_typeddict

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, TypeAdapter

from ..provider_row import EVERYWHERE, MODEL_FIELDS, ONLY_FIELDS, UNKNOWN, Provider
from ..providers import class_name, provider_of
from ..text import kebab
from .canonical import (
    EXAMPLES,
    TAG,
    Canon,
    IndescribableError,
    address_shown,
    dump,
    header_name,
    headers_shown,
    hidden,
    is_inside,
    is_secret,
    query_shown,
    reading,
    scrubbed,
    sorted_items,
    sounds_secret,
    text_digest,
)
from .clients import client_in
from .installed import is_users
from .messages import describe_message
from .users_code import ITERATORS, Sources, is_code, is_mock

#: Call arguments that say per call what a field of another name says for every call.
CALL_NAMES = {"extra_headers": "default_headers", "extra_query": "default_query"}

#: Begins the name of an argument that may stand beside a field, and not in its place.
_BESIDE = "call:"

_STOP_FIELDS = ("stop", "stop_sequences")

_MISSING = object()


class Plan(NamedTuple):
    """What is read of every model of one class.

    Attributes:
        top: The beginning of the description, up to the model's name.
        label: The label of a model without a name.
        provider: What is known of the class.
        provider_name: The provider's name.
        fields: The fields of the class that may count.
        skipped: Fields and attributes that do not count: their reason stands in the table, or they
            are read elsewhere.
        never: Names of a call's arguments that do not count.
        off: Default values that switch something off, by field.
        aliases: Arguments of a call by the field that means the same.
        endpoint_field: The field that tells the address where the clients do not.
        stop_field: The field of stop sequences.
        has_one_name: Whether only one field can hold the model's name.
        is_users: Whether a user wrote the class.
    """

    top: str
    label: str
    provider: Provider
    provider_name: str
    fields: frozenset[str]
    skipped: frozenset[str]
    never: frozenset[str]
    off: Mapping[str, Any]
    aliases: Mapping[str, str]
    endpoint_field: str | None
    stop_field: str
    has_one_name: bool
    is_users: bool

    def overrides(self, field: str) -> bool:
        """Whether an argument of a call is known to take the place of what ``field`` says."""
        if field == self.stop_field:
            return self.provider.stop_overrides
        return self.provider is not UNKNOWN or not self.is_users


@lru_cache(maxsize=256)
def plan_of(cls: type) -> Plan:
    """Return what to read of a model of class ``cls``."""
    provider = provider_of(cls)
    name = provider_name(cls)
    fields: Mapping[str, Any] = getattr(cls, "model_fields", {})
    addresses = [field for field in provider.endpoint_fields if field in fields]
    # Of an unknown class's addresses only the first is the endpoint; the others are parameters.
    read_as_endpoint = addresses if provider is not UNKNOWN else addresses[:1]
    never = frozenset({*EVERYWHERE, *provider.never})
    skipped = {*never, *ONLY_FIELDS, *read_as_endpoint, *provider.clients, *provider.made_once}
    aliases = {
        alias: field
        for field, info in fields.items()
        for alias in (info.alias, info.validation_alias)
        if isinstance(alias, str)
    }
    stop_field = next((f for f in _STOP_FIELDS if f in fields), "stop")
    return Plan(
        top=f'"class":{dump(class_name(cls))},"provider":{dump(name)},"model":',
        label=kebab(cls.__name__),
        provider=provider,
        provider_name=name,
        fields=frozenset(fields),
        skipped=frozenset({*skipped, *provider.credentials, *_secrets(fields), *_derived(cls)}),
        never=never,
        off=_switched_off(cls),
        aliases=CALL_NAMES | aliases | dict(provider.aliases) | {"stop": stop_field},
        endpoint_field=addresses[0] if addresses else None,
        stop_field=stop_field,
        has_one_name=len(fields.keys() & set(MODEL_FIELDS)) == 1,
        is_users=is_users(cls),
    )


def _secrets(fields: Mapping[str, Any]) -> set[str]:
    """Return the fields whose type says that they hold a secret, as a text or a function."""
    return {name for name, info in fields.items() if "SecretStr" in str(info.annotation)}


def _derived(cls: type) -> set[str]:
    """Return what libraries' classes work out of the fields and keep."""
    return {
        name
        for base in cls.__mro__
        if not is_users(base)
        for name, value in vars(base).items()
        if isinstance(value, functools.cached_property)
    }


def _switched_off(cls: type) -> dict[str, Any]:
    """Return the default values that switch something off, by field.

    A release that adds a field adds it switched off, and so these values count as nothing. That
    holds for fields of libraries alone.
    """
    libraries = [getattr(base, "model_fields", {}) for base in cls.__mro__ if not is_users(base)]
    defaults = {
        field: _default(info)
        for field, info in getattr(cls, "model_fields", {}).items()
        if any(field in fields for fields in libraries)
    }
    return {field: value for field, value in defaults.items() if _is_off(value)}


def _default(info: Any) -> Any:
    try:
        return info.get_default(call_default_factory=True)
    except Exception:  # noqa: BLE001  # a factory may ask for the other fields; then there is no fixed default
        return _MISSING


def _is_off(value: Any) -> bool:
    return value is False or (isinstance(value, (str, list, tuple, dict, set)) and not value)


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


def merge(plan: Plan, state: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter that is set, the call's arguments over the model's fields."""
    values = dict(state)
    if plan.provider.merges_model_kwargs:
        _override(values, values.pop("model_kwargs", {}), plan)
    _override(values, given, plan)
    if isinstance(values.get(plan.stop_field), str):
        values[plan.stop_field] = [values[plan.stop_field]]
    return {name: value for name, value in values.items() if value is not None}


def _override(values: dict[str, Any], arguments: Mapping[str, Any], plan: Plan) -> None:
    """Put ``arguments`` in the place of the fields that they are known to override, or beside."""
    for name, value in arguments.items():
        field = plan.aliases.get(name, name)
        if name != field and field in arguments:
            field = name
        if plan.never & {name, field} or field in plan.provider.credentials:
            continue
        if name in CALL_NAMES and isinstance(value, Mapping):
            values[field] = {**(values.get(field) or {}), **value}
        elif plan.overrides(field) or not _may_stand_beside(values, plan, field):
            values[field] = value
        else:
            values[_BESIDE + field] = value


def _may_stand_beside(values: Mapping[str, Any], plan: Plan, field: str) -> bool:
    return bool(values.get(field)) if field == plan.stop_field else field in plan.fields


def take_name(plan: Plan, values: dict[str, Any]) -> str | None:
    """Return the model's name, and take it out of ``values`` where it has no other meaning."""
    for field in MODEL_FIELDS:
        name = values.get(field)
        if isinstance(name, str):
            if plan.has_one_name:
                del values[field]
            return _name_shown(name)
    return None


@lru_cache(maxsize=256)
def _name_shown(name: str) -> str:
    return address_shown(name) if "://" in name else scrubbed(name)


# --- values ---

#: Names of entries that hold HTTP headers or a URL's query.
CALL_HEADERS = frozenset({"additional_headers", "default_headers", "extra_headers"})
_HEADER_NAMES = CALL_HEADERS | {"headers"}
_QUERY_NAMES = frozenset({"default_query", "extra_query"})

#: Objects that guard or tell, and say nothing.
_SILENT = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Condition,
    threading.Semaphore,
    logging.Logger,
    ModuleType,
)

#: The size of an object that holds nothing beside its attributes; libraries mark places by such.
_BARE_BYTES = type("_Bare", (), {}).__basicsize__


class Values(Canon):
    """Canonical form of a parameter.

    Args:
        describe_model: Describes a model that stands in a field of another one.
        credentials: Headers that hold a credential and so neither count nor are shown.
        show: How a text is shown: ``scrubbed`` where its meaning is known, ``careful`` elsewhere.
        in_secret: Whether all this stands under the name of a secret: then a schema's examples are
            not shown.
    """

    def __init__(
        self,
        describe_model: Callable[[Any], Any],
        credentials: frozenset[str] = frozenset(),
        show: Callable[[str], Any] = scrubbed,
        *,
        in_secret: bool = False,
    ) -> None:
        self._make = describe_model, credentials
        self._show = show
        self._in_secret = in_secret

    def text(self, value: str) -> Any:
        """Return how a text is shown."""
        return self._show(value)

    def from_dict(self, value: Mapping[Any, Any]) -> Any:
        """Return ``value`` in canonical order, without headers that say nothing."""
        members = (
            (scrubbed(name), self.member(name, item))
            for name, item in sorted_items(value)
            if not is_secret(item)
        )
        return {name: item for name, item in members if item or name not in _HEADER_NAMES}

    def member(self, name: str, item: Any) -> Any:
        """Return the value of the entry ``name``."""
        if isinstance(item, Mapping):
            if name in _HEADER_NAMES:
                return self.headers(name, item)
            if name in _QUERY_NAMES:
                return query_shown(item)
        if sounds_secret(name) and item is not None and not isinstance(item, bool):
            if isinstance(item, (str, int, float)):
                return hidden(dump(Canon().plain(item)))
            show = self._show if isinstance(item, Mapping) else hidden
            return super(Values, Values(*self._make, show, in_secret=True)).member(name, item)
        if self._in_secret and name in EXAMPLES:
            return Values(*self._make, hidden).plain(item)
        return super().member(name, item)

    def headers(self, name: str, headers: Mapping[Any, Any]) -> dict[str, Any]:
        """Return headers: those of the request itself without its credentials, others whole."""
        if name in CALL_HEADERS:
            return headers_shown(headers, self._make[1])
        return {header_name(each): hidden(str(headers[each])) for each in sorted(headers, key=str)}

    def property(self, name: str, schema: Any) -> Any:
        """Return a schema's property: what it gives by example is not shown for a secret."""
        return self.member(name, schema) if sounds_secret(name) else self.plain(schema)

    def other(self, value: Any) -> Any:
        """Return tools, schemas, messages, models and plain records by what they say."""
        if isinstance(value, BaseMessage):
            return describe_message(value)
        if isinstance(value, BaseLanguageModel):
            return self._make[0](value)
        if isinstance(value, BaseTool):
            return self.plain(convert_to_openai_tool(value))
        if isinstance(value, TypeAdapter):
            return self.plain(value.json_schema())
        if isinstance(value, ITERATORS):
            # A canned list counts as a whole, however far it was read.
            return self.plain(value.__reduce__()[1][0])
        if is_mock(value):
            return super().other(value)
        if isinstance(value, _SILENT) or is_secret(value):
            return None
        return self._schema(value) if isinstance(value, type) else self._record(value)

    def _record(self, value: Any) -> Any:
        if isinstance(value, BaseModel) and not hasattr(value, "invoke"):
            return self.from_dict(_set_fields(value.__dict__))
        if dataclasses.is_dataclass(value):
            return self.from_dict(_set_fields(vars(value)))
        if is_code(value) and not isinstance(value, BuiltinFunctionType):
            return self.code(value)
        if (client := client_in("", value)) is not None:
            sent = headers_shown(client.headers, self._make[1]), query_shown(client.query)
            return [str(client.address), *sent, self.plain(client.users)]
        if type(value).__basicsize__ == _BARE_BYTES and vars(value).keys() <= {"__module__"}:
            return {TAG + "class": type(value).__qualname__}
        return super().other(value)

    def code(self, value: Any) -> Any:
        """Return a digest of a function or of an object of a user: its source, what it holds."""
        if is_inside(value):
            return "itself"  # as a method put over a client's holds the client
        with reading(value):
            told = Sources(Values(*self._make, str).plain).describe(value)
        return {TAG + "source": text_digest(dump(told))}

    def tool(self, value: Any) -> Any:
        """Return a tool by its schema; functions and classes count as the schema they make."""
        if callable(value) and not isinstance(value, BaseTool):
            try:
                return self.plain(convert_to_openai_tool(value))
            except Exception as error:
                raise IndescribableError("a tool without a schema") from error
        return self.plain(value)

    def _schema(self, cls: type) -> Any:
        if not (issubclass(cls, BaseModel) or dataclasses.is_dataclass(cls) or is_typeddict(cls)):
            if is_users(cls):
                return self.code(cls)
            raise IndescribableError(f"the class {cls.__name__}")
        try:
            schema = TypeAdapter(cls).json_schema()
        except Exception as error:
            raise IndescribableError(f"the class {cls.__name__}, without a schema,") from error
        return {"name": cls.__name__, "schema": self.plain(schema)}


def _set_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
