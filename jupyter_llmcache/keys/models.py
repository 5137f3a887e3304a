"""A live model and one call's arguments as text: class, provider, name, endpoint, parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from ..errors import NotDescribableError
from .canonical import IndescribableError, dump
from .messages import LONG_CHARS, long_digest
from .parameters import ParameterCanon, is_secret
from .providers import (
    BASE_NOISE,
    CALL_NOISE,
    MODEL_FIELDS,
    STANDARD_NOISE,
    Provider,
    class_name,
    kebab,
    provider_name,
    provider_of,
)
from .secrets import clean_url, is_credential_name
from .source import habits_of, is_silent, source_digest, users_classes

#: Call arguments that say per call what a field of another name says for every call.
_CALL_NAMES = {"extra_headers": "default_headers", "extra_query": "default_query"}

_TOOL_LISTS = frozenset({"functions", "tools"})

#: Fields of the base classes that a user's class may still make its answer of.
_READABLE_NOISE = frozenset({"metadata", "name", "tags"})

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
    noise: frozenset[str]
    users: tuple[type, ...]


class Description(NamedTuple):
    """A model with its parameters.

    Attributes:
        label: ``provider:name``.
        text: All of it as canonical JSON.
        keyed: What enters the key: the same, with long parameters as digests.
    """

    label: str
    text: str
    keyed: str


@lru_cache(maxsize=256)
def plan_of(cls: type) -> Plan:
    """Return what to read of a model of class ``cls``."""
    provider = provider_of(cls)
    name = provider_name(cls)
    noise = provider.noise | BASE_NOISE | STANDARD_NOISE
    model_fields: Mapping[str, Any] = cls.model_fields  # type: ignore[attr-defined]  # every LangChain model is pydantic
    skipped = noise | set(provider.endpoint_fields)
    aliases = {
        alias: field
        for field, info in model_fields.items()
        for alias in (info.alias, info.validation_alias)
        if isinstance(alias, str)
    }
    defaults = {field: _default(info) for field, info in model_fields.items()}
    return Plan(
        top=f'"class":{dump(class_name(cls))},"provider":{dump(name)},"model":',
        label=kebab(cls.__name__),
        provider=provider,
        provider_name=name,
        fields=tuple(f for f in model_fields if f not in skipped and not is_credential_name(f)),
        private=tuple(f for f in cls.__private_attributes__ if f not in noise),  # type: ignore[attr-defined]  # as above
        off={field: value for field, value in defaults.items() if _is_off(value)},
        aliases=_CALL_NAMES | aliases | dict(provider.aliases),
        noise=noise,
        users=users_classes(cls),
    )


def _default(info: Any) -> Any:
    try:
        return info.get_default(call_default_factory=True)
    except Exception:  # noqa: BLE001  # a factory may ask for the other fields; then there is no fixed default
        return _MISSING


def _is_off(value: Any) -> bool:
    """A release that adds a field adds it switched off; so these values count as nothing."""
    return value is False or (isinstance(value, (str, list, tuple, dict, set)) and not value)


def describe_model(
    model: Any, stop: Sequence[str] | None, kwargs: Mapping[str, Any], schema: int
) -> Description:
    """Return the description of ``model`` as it is now.

    Raises:
        NotDescribableError: Something that may change the answer has no canonical form.
    """
    cls: type = type(model)
    plan = plan_of(cls)
    values = _merge(model, plan, stop, kwargs)
    source = _read_users_classes(model, plan, values) if plan.users else ""
    name = _take_name(values)
    parameters = {}
    for field in sorted(values):
        value = values[field]
        if is_secret(field, value) or _is_switched_off(plan, field, value):
            continue
        if (text := _parameter(plan, field, value)) is not None:
            parameters[field] = text
    endpoint = dump(_endpoint(model, plan))
    top = f'"schema":{schema},{plan.top}{dump(name)},"endpoint":{endpoint}{source}'
    return assemble(_label(plan, name), top, parameters)


def assemble(label: str, top: str, parameters: Mapping[str, str]) -> Description:
    """Return a description of its pieces.

    Args:
        label: ``provider:name``.
        top: JSON text of all but the parameters, without the braces.
        parameters: JSON text by name, in the order of the names.
    """
    keyed = text = _join(top, parameters.items())
    if len(text) > LONG_CHARS:
        shortened = (
            (name, value if len(value) <= LONG_CHARS else long_digest(value))
            for name, value in parameters.items()
        )
        keyed = _join(top, shortened)
    return Description(label, text, keyed)


def _join(top: str, parameters: Iterable[tuple[str, str]]) -> str:
    inner = ",".join([f"{_quoted(name)}:{text}" for name, text in parameters])
    return f'{{{top},"parameters":{{{inner}}}}}'


@lru_cache(maxsize=1024)
def _quoted(name: str) -> str:
    return dump(name)


def _merge(
    model: Any, plan: Plan, stop: Sequence[str] | None, kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every parameter that is set, the call's arguments over the model's fields."""
    fields = model.__dict__
    values = {name: fields[name] for name in plan.fields if fields.get(name) is not None}
    private = model.__pydantic_private__ or {}
    for name in plan.private:
        if private.get(name) is not None:
            values[name] = private[name]
    values.update(model.__pydantic_extra__ or {})
    if plan.provider.merges_model_kwargs:
        _override(values, values.pop("model_kwargs", {}), plan)
    _override(values, kwargs, plan)
    stop_field = plan.provider.stop_field
    if stop is not None:
        values[stop_field] = stop
    if isinstance(values.get(stop_field), str):
        values[stop_field] = [values[stop_field]]
    return {name: value for name, value in values.items() if value is not None}


def _read_users_classes(model: Any, plan: Plan, values: dict[str, Any]) -> str:
    """Return the part of the description for the source of the user's classes, and adapt ``values``
    to how these use the fields.
    """
    try:
        habits = habits_of(plan.users)
        digest = source_digest(plan.users, habits, _canon.plain)
    except IndescribableError as error:
        raise NotDescribableError(str(error)) from error
    for name in [n for n, value in values.items() if n in habits.keeps_count or is_silent(value)]:
        del values[name]
    for name in _READABLE_NOISE & habits.reads:
        value = model.__dict__.get(name)
        if isinstance(value, dict):
            value = {key: item for key, item in value.items() if key != "lc_versions"}
        if value:
            values[name] = value
    return f',"source":"{digest}"'


def _override(values: dict[str, Any], arguments: Mapping[str, Any], plan: Plan) -> None:
    for name, value in arguments.items():
        field = plan.aliases.get(name, name)
        if field in arguments:
            field = name
        if name in CALL_NOISE or field in plan.noise or is_credential_name(field):
            continue
        if name in _CALL_NAMES and isinstance(value, Mapping):
            values[field] = {**(values.get(field) or {}), **value}
        else:
            values[field] = value


def _take_name(values: dict[str, Any]) -> str | None:
    for field in MODEL_FIELDS:
        if isinstance(values.get(field), str):
            return str(values.pop(field))
    return None


def _is_switched_off(plan: Plan, field: str, value: Any) -> bool:
    return not value and field in plan.off and value == plan.off[field]


def _parameter(plan: Plan, field: str, value: Any) -> str | None:
    """Return the JSON text of one parameter; None where nothing is left of it."""
    try:
        if field in _TOOL_LISTS and isinstance(value, (list, tuple)):
            return _tools(value)
        if field in plan.provider.client_fields and isinstance(value, Mapping):
            value = {name: value[name] for name in ("headers", "params") if name in value}
            return _nonempty(_canon.text(field, value))
        if field in _CALL_NAMES.values():
            return _nonempty(_canon.text(field, value))
        return _canon.text(field, value)
    except IndescribableError as error:
        raise NotDescribableError(f"{error} in {field}") from error
    except RecursionError as error:
        raise NotDescribableError(f"{field} is nested too deeply") from error


def _nonempty(text: str) -> str | None:
    return None if text == "{}" else text


def _tools(tools: Iterable[Any]) -> str:
    plain = [tool if type(tool) is dict else _canon.tool(tool) for tool in tools]
    return _canon.text("tools", plain)


def _endpoint(model: Any, plan: Plan) -> str | None:
    url = plan.provider.endpoint(model)
    if url is None:
        fields = model.__dict__
        url = next((fields[f] for f in plan.provider.endpoint_fields if fields.get(f)), None)
    return clean_url(str(url)) if url else None


def _label(plan: Plan, name: str | None) -> str:
    return f"{plan.provider_name}:{name}" if name else plan.label


def model_label(model: Any, kwargs: Mapping[str, Any] | None = None) -> str:
    """Return ``provider:name``, or the class's name in kebab form. Never raises."""
    try:
        cls: type = type(model)
        plan = plan_of(cls)
        return _label(plan, _take_name(_merge(model, plan, None, kwargs or {})))
    except Exception:  # noqa: BLE001  # a label must not cost anybody a call
        return kebab(type(model).__name__)


def _describe_nested(model: Any) -> Any:
    described = json.loads(describe_model(model, None, {}, 0).text)
    return {name: value for name, value in described.items() if name != "schema"}


_canon = ParameterCanon(_describe_nested)
