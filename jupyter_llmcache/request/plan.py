"""What to read of every model of one class, worked out once a class."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from ..provider_row import EVERYWHERE, MODEL_FIELDS, ONLY_FIELDS, UNKNOWN, Provider
from ..providers import class_name, provider_of
from ..text import kebab
from .canonical import dump
from .hidden import address_shown, scrubbed
from .own_code import is_own

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
        is_own: Whether a user wrote the class.
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
    is_own: bool

    def overrides(self, field: str) -> bool:
        """Whether an argument of a call is known to take the place of what ``field`` says."""
        if field == self.stop_field:
            return self.provider.stop_overrides
        return self.provider is not UNKNOWN or not self.is_own


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
        is_own=is_own(cls),
    )


def _secrets(fields: Mapping[str, Any]) -> set[str]:
    """Return the fields whose type says that they hold a secret, as a text or a function."""
    return {name for name, info in fields.items() if "SecretStr" in str(info.annotation)}


def _derived(cls: type) -> set[str]:
    """Return what libraries' classes work out of the fields and keep."""
    return {
        name
        for base in cls.__mro__
        if not is_own(base)
        for name, value in vars(base).items()
        if isinstance(value, functools.cached_property)
    }


def _switched_off(cls: type) -> dict[str, Any]:
    """Return the default values that switch something off, by field.

    A release that adds a field adds it switched off, and so these values count as nothing. That
    holds for fields of libraries alone.
    """
    libraries = [getattr(base, "model_fields", {}) for base in cls.__mro__ if not is_own(base)]
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
            return address_shown(name) if "://" in name else scrubbed(name)
    return None
