"""A live model and one call's arguments as text: class, provider, name, endpoint, parameters."""

from __future__ import annotations

import json
import marshal
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ..errors import NotDescribableError
from .canonical import BYTES_TAG, IndescribableError, dump
from .messages import LONG_CHARS, long_digest
from .parameters import ParameterCanon, is_secret
from .plans import CALL_NAMES, Plan, plan_of
from .providers import CALL_NOISE, MODEL_FIELDS, kebab
from .secrets import clean_url, is_credential_name
from .user_code import habits_of, is_silent, source_digest

_TOOL_LISTS = frozenset({"functions", "tools"})

#: Fields of the base classes that a user's class may still make its answer of.
_READABLE_NOISE = frozenset({"metadata", "name", "profile", "tags"})

#: What is larger, in bytes, is not remembered, so that the memory stays small.
_REMEMBERED_BYTES = 200_000

#: How many addresses are remembered.
_MAX_SPELLINGS = 64

#: Begins the name of an argument that may stand beside a field, and not in its place.
_BESIDE = "call:"


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


class _State(NamedTuple):
    """All that is read of a model and of one call's arguments, as it is now.

    Attributes:
        fields: The values of ``Plan.fields``, in that order.
        private: The values of ``Plan.private``, in that order.
        extra: What the model holds beside its fields.
        kwargs: The call's arguments, stop sequences among them.
    """

    fields: tuple[Any, ...]
    private: tuple[Any, ...]
    extra: Mapping[str, Any]
    kwargs: Mapping[str, Any]


def describe_model(
    model: Any, stop: Sequence[str] | None, kwargs: Mapping[str, Any], schema: int
) -> Description:
    """Return the description of ``model`` as it is now.

    Raises:
        NotDescribableError: Something that may change the answer has no canonical form.
    """
    cls: type = type(model)
    plan = plan_of(cls)
    state = _read(model, plan, stop, kwargs)
    endpoint = _endpoint(model, plan)
    if plan.users:
        values = _merge(plan, state)
        source = _read_users_classes(model, plan, values)
        return _describe(plan, values, endpoint, schema, source)
    if (raw := _marshalled(state)) is not None:
        description = _remembered(cls, raw, endpoint, schema)
        if BYTES_TAG not in description.text:
            return description
    return _describe(plan, _merge(plan, state), endpoint, schema)


def _read(model: Any, plan: Plan, stop: Sequence[str] | None, kwargs: Mapping[str, Any]) -> _State:
    private = model.__pydantic_private__ or {}
    return _State(
        tuple(map(model.__dict__.get, plan.fields)),
        tuple(map(private.get, plan.private)),
        model.__pydantic_extra__ or {},
        kwargs if stop is None else {**kwargs, "stop": stop},
    )


def _marshalled(state: _State) -> bytes | None:
    """Return bytes that differ wherever two states do; None where there are none, or too many.

    One thing they do not tell: objects that hold bytes are written like ``bytes``.
    """
    kwargs = {name: value for name, value in state.kwargs.items() if name not in CALL_NOISE}
    try:
        values: Any = (state.fields, state.private, state.extra, kwargs)
        raw = marshal.dumps(values)
    except ValueError:
        return None
    return raw if len(raw) <= _REMEMBERED_BYTES else None


@lru_cache(maxsize=256)
def _remembered(cls: type, raw: bytes, endpoint: str | None, schema: int) -> Description:
    plan = plan_of(cls)
    state = _State(*marshal.loads(raw))  # noqa: S302  # our own bytes, made a moment ago
    return _describe(plan, _merge(plan, state), endpoint, schema)


def _describe(
    plan: Plan, values: dict[str, Any], endpoint: str | None, schema: int, source: str = ""
) -> Description:
    name = _take_name(plan, values)
    parameters = {}
    for field in sorted(values):
        value = values[field]
        if is_secret(field, value) or _is_switched_off(plan, field, value):
            continue
        if (text := _parameter(plan, field, value)) is not None:
            parameters[field] = text
    top = f'"schema":{schema},{plan.top}{_quoted(name)},"endpoint":{_quoted(endpoint)}{source}'
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
def _quoted(name: str | None) -> str:
    return dump(name)


def _merge(plan: Plan, state: _State) -> dict[str, Any]:
    """Return every parameter that is set, the call's arguments over the model's fields."""
    named = zip(plan.fields + plan.private, state.fields + state.private, strict=True)
    values = {name: value for name, value in named if value is not None}
    if state.extra:
        _override(values, state.extra, plan)
    if plan.provider.merges_model_kwargs:
        _override(values, values.pop("model_kwargs", {}), plan)
    _override(values, state.kwargs, plan)
    if isinstance(values.get(plan.stop_field), str):
        values[plan.stop_field] = [values[plan.stop_field]]
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
    """Put ``arguments`` in the place of the fields that they are known to override, or beside."""
    for name, value in arguments.items():
        field = plan.aliases.get(name, name)
        if name != field and field in arguments:
            field = name
        if name in CALL_NOISE or field in plan.noise or is_credential_name(field):
            continue
        if name in CALL_NAMES and isinstance(value, Mapping):
            values[field] = {**(values.get(field) or {}), **value}
        elif plan.overrides(field) or not _may_stand_beside(values, plan, field):
            values[field] = value
        else:
            values[_BESIDE + field] = value


def _may_stand_beside(values: Mapping[str, Any], plan: Plan, field: str) -> bool:
    return bool(values.get(field)) if field == plan.stop_field else field in plan.fields


def _endpoint(model: Any, plan: Plan) -> str | None:
    if (url := plan.provider.endpoint(model)) is not None:
        return clean_url(_spelled(url))
    url = None if plan.endpoint_field is None else model.__dict__.get(plan.endpoint_field)
    return clean_url(str(url)) if url else None


_spellings: dict[int, tuple[Any, str]] = {}


def _spelled(url: Any) -> str:
    """Return a client's URL object, which never changes, as text.

    To write one out takes long, so the newest are remembered, with the object that owns the number.
    """
    spelling = _spellings.get(id(url))
    if spelling is None:
        if len(_spellings) >= _MAX_SPELLINGS:
            _spellings.clear()
        spelling = _spellings[id(url)] = (url, str(url))
    return spelling[1]


def _take_name(plan: Plan, values: dict[str, Any]) -> str | None:
    for field in MODEL_FIELDS:
        name = values.get(field)
        if isinstance(name, str):
            if plan.has_one_name:
                del values[field]
            return clean_url(name) if "://" in name else str(name)
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
        if field in CALL_NAMES.values():
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


def _label(plan: Plan, name: str | None) -> str:
    return f"{plan.provider_name}:{name}" if name else plan.label


def model_label(model: Any, kwargs: Mapping[str, Any] | None = None) -> str:
    """Return ``provider:name``, or the class's name in kebab form. Never raises."""
    try:
        cls: type = type(model)
        plan = plan_of(cls)
        return _label(plan, _take_name(plan, _merge(plan, _read(model, plan, None, kwargs or {}))))
    except Exception:  # noqa: BLE001  # a label must not cost anybody a call
        return kebab(type(model).__name__)


def _describe_nested(model: Any) -> Any:
    described = json.loads(describe_model(model, None, {}, 0).text)
    return {name: value for name, value in described.items() if name != "schema"}


_canon = ParameterCanon(_describe_nested)
