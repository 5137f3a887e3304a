"""What to read of every model of one class, worked out once a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .canonical import dump
from .providers import (
    BASE_NOISE,
    MODEL_FIELDS,
    STANDARD_NOISE,
    Provider,
    class_name,
    kebab,
    provider_name,
    provider_of,
)
from .secrets import is_credential_name
from .user_code import users_classes

#: Call arguments that say per call what a field of another name says for every call.
CALL_NAMES = {"extra_headers": "default_headers", "extra_query": "default_query"}

_STOP_FIELDS = ("stop", "stop_sequences")

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read of every model of one class.

    Attributes:
        top: The beginning of the description, up to the model's name.
        label: The label of a model without a name.
        provider: What is known of the class.
        provider_name: The provider's name.
        fields: Names of the fields that count.
        private: Names of the private attributes that count.
        off: Default values that switch something off, by field.
        aliases: Arguments of a call by the field that means the same.
        endpoint_field: The field that tells the address where the model itself does not.
        stop_field: The field of stop sequences.
        has_one_name: Whether only one field can hold the model's name.
        noise: Names that cannot change an answer.
        users: Those of its classes that a user wrote.
    """

    top: str
    label: str
    provider: Provider
    provider_name: str
    fields: tuple[str, ...]
    private: tuple[str, ...]
    off: Mapping[str, Any]
    aliases: Mapping[str, str]
    endpoint_field: str | None
    stop_field: str
    has_one_name: bool
    noise: frozenset[str]
    users: tuple[type, ...]

    def overrides(self, field: str) -> bool:
        """Whether an argument of a call is known to take the place of what ``field`` says."""
        if field == self.stop_field:
            return self.provider.stop_overrides
        return self.provider.is_known or not self.users


@lru_cache(maxsize=256)
def plan_of(cls: type) -> Plan:
    """Return what to read of a model of class ``cls``."""
    provider = provider_of(cls)
    name = provider_name(cls)
    noise = provider.noise | BASE_NOISE | STANDARD_NOISE
    model_fields = _model_fields(cls)
    addresses = [field for field in provider.endpoint_fields if field in model_fields]
    # Of an unknown class's addresses only the first is the endpoint; the others are parameters.
    skipped = noise | set(addresses if provider.is_known else addresses[:1])
    aliases = {
        alias: field
        for field, info in model_fields.items()
        for alias in (info.alias, info.validation_alias)
        if isinstance(alias, str)
    }
    stop_field = next((f for f in _STOP_FIELDS if f in model_fields), "stop")
    users = users_classes(cls)
    return Plan(
        top=f'"class":{dump(class_name(cls))},"provider":{dump(name)},"model":',
        label=kebab(cls.__name__),
        provider=provider,
        provider_name=name,
        fields=tuple(f for f in model_fields if f not in skipped and not is_credential_name(f)),
        private=tuple(f for f in cls.__private_attributes__ if f not in noise),  # type: ignore[attr-defined]  # every LangChain model is pydantic
        off=_switched_off(cls, users),
        aliases=CALL_NAMES | aliases | dict(provider.aliases) | {"stop": stop_field},
        endpoint_field=addresses[0] if addresses else None,
        stop_field=stop_field,
        has_one_name=len(model_fields.keys() & set(MODEL_FIELDS)) == 1,
        noise=noise,
        users=users,
    )


def _model_fields(cls: type) -> Mapping[str, Any]:
    return getattr(cls, "model_fields", {})


def _switched_off(cls: type, users: tuple[type, ...]) -> dict[str, Any]:
    """Return the default values that switch something off, by field.

    A release that adds a field adds it switched off, and so these values count as nothing. That
    holds for fields of libraries alone: what a user adds is told by the source.
    """
    libraries = [_model_fields(base) for base in cls.__mro__ if base not in users]
    defaults = {
        field: _default(info)
        for field, info in _model_fields(cls).items()
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
