"""A live model and one call's arguments as text: class, provider, name, endpoint, parameters."""

from __future__ import annotations

import gc
import hashlib
import json
import marshal
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from ..errors import NotDescribableError
from ..provider_row import MODEL_FIELDS, holds_key, names
from ..text import kebab
from .canonical import (
    BYTES_TAG,
    LONG_CHARS,
    IndescribableError,
    address_shown,
    careful,
    dump,
    files_told,
    is_inside,
    is_secret,
    long_digest,
    reading,
    scrubbed,
)
from .clients import (
    Client,
    asks_responses,
    carried_apart,
    client_in,
    doors_of,
    holds_weights,
    part_of,
    ways_of,
)
from .installed import is_users
from .messages import without_marks
from .parameters import Plan, Values, merge, plan_of, take_name
from .users_code import (
    cache_key_of,
    dict_of,
    dicts_of,
    has_cache_key,
    lacks_cache_key,
    put_over,
    users_part,
)

KEY_BYTES = 16

_TOOL_LISTS = frozenset({"functions", "tools"})
#: Arguments of a call whose texts people wrote for a model or an API, and no secret stands in
#: but by mistake. Other arguments, and what only gateways know, are shown where they are harmless.
_READABLE = names(
    "format function_call functions include instructions reasoning response_format stop system "
    "text tool_choice tools"
)
#: Fields of known classes with parameters of any name.
_FREE_FIELDS = frozenset({"extra_body", "metadata", "model_kwargs", "prompt", "user"})
#: How many descriptions are remembered of one model, one for each set of arguments of a call.
_MAX_CALLS = 64
#: What is larger, in bytes, is not remembered, so that the memory stays small.
_REMEMBERED_BYTES = 200_000
_HEADERS = frozenset({"default_headers", "default_query"})
#: What is compared by all that it says, and not by whether it is equal.
_EXACT = (int, float, dict, list, tuple, set, frozenset)
#: What cannot be changed in place, or is compared so.
_STILL = (str, *_EXACT)


class Description(NamedTuple):
    """A model with its parameters.

    Attributes:
        label: ``provider:name``.
        text: All of it as canonical JSON.
        begun: A digest that began with the same, long parameters as digests.
    """

    label: str
    text: str
    begun: hashlib.blake2b

    def key(self, messages: str) -> bytes:
        """Return the key of these messages to this model."""
        digest = self.begun.copy()
        # Half surrogate pairs have no UTF-8, and count as JSON escapes them.
        digest.update(messages.encode("utf-8", "backslashreplace"))
        return digest.digest()


def describe_model(
    model: Any, stop: Sequence[str] | None, kwargs: Mapping[str, Any], schema: int, is_async: bool
) -> Description:
    """Return the description of ``model`` as it is now; its arguments are those of ``describe``.

    Raises:
        NotDescribableError: Something that may change the answer has no canonical form.
    """
    memory = _memory[is_async]
    known = memory.get(id(model))
    if known is None or not known.holds(model):
        cls: type = type(model)
        if lacks_cache_key(cls):
            _refused.add(cls)
            raise NotDescribableError(
                f"{cls.__name__} answers by code of its own; give it cache_key()"
            )
        with reading(model):
            known = _Known(model, memory, is_async)
        if known.is_lasting:
            memory[id(model)] = known
    return known.describe(model, stop, kwargs, schema)


def is_known(model: Any) -> bool:
    """Whether ``model`` was read and is as it was, so that to describe it touches no file."""
    known = _memory[True].get(id(model))
    return known is not None and known.holds(model)


def is_refused(model: Any) -> bool:
    """Whether ``model`` was refused for its class, and still is, so that no file is touched."""
    return type(model) in _refused and lacks_cache_key(type(model))


class _Known:
    """What was read of one model: as long as it holds, its descriptions are good."""

    def __init__(self, model: Any, memory: dict[int, _Known], is_async: bool) -> None:
        number = id(model)
        cls: type = type(model)
        self._ref = weakref.ref(model, lambda _: memory.pop(number, None))
        self.state = state = _State(model, plan_of(cls), is_async)
        self._fields = model.__dict__
        held = dicts_of(model)
        self._places = [*_once([*held, *state.places])]
        self._was_there = gc.get_referents(*self._places)
        # Equal is not the same where numbers are, as 1 and True, nor in what is changed in place.
        names = [[n for n in each if isinstance(state.values.get(n), _EXACT)] for each in held]
        self._exactly = [(itemgetter(*each), held[i]) for i, each in enumerate(names) if each]
        self._raw = _marshalled([counted(held) for counted, held in self._exactly])
        # Of places only the values are asked, which is quickest; names count where any may stand.
        declared = state.plan.fields | getattr(cls, "__private_attributes__", {}).keys()
        free = (each for each in held if not each.keys() <= declared)
        self._told = [*_once([*free, *(each for one in state.clients for each in one.told)])]
        self._was_told = [each.copy() for each in self._told]
        self._descriptions: dict[bytes | int, Description] = {}
        self.is_lasting = (
            all(isinstance(value, _STILL) for value in state.values.values())
            and all(each.equals_itself_alone for each in state.clients)
            and not state.plan.provider.parts
            and self._raw is not None
            and not state.more  # what code of the user's own does stands on more than is watched
        )

    def holds(self, model: Any) -> bool:
        """Whether the model, its classes and its clients still are what they were."""
        # Past all that is only there to read well: this runs before every answer from the cache.
        try:
            return (
                model.__dict__ is self._fields
                and gc.get_referents(*self._places) == self._was_there
                and self._told == self._was_told
                and marshal.dumps([read(held) for read, held in self._exactly], 2) == self._raw
                and sys.modules.keys().isdisjoint(self.state.absent)
            )
        except ValueError:  # what has no bytes was put into something that had some
            return False

    def describe(
        self, model: Any, stop: Sequence[str] | None, kwargs: Mapping[str, Any], schema: int
    ) -> Description:
        """Return the description of one call."""
        raw: bytes | int | None = schema if self.is_lasting else None
        given: dict[str, Any] = {}
        if kwargs or stop is not None:
            given = {n: value for n, value in kwargs.items() if n not in self.state.plan.never}
            given |= {} if stop is None else {"stop": stop}
            raw = _marshalled([schema, given]) if self.is_lasting else None
        if raw is not None and (found := self._descriptions.get(raw)) is not None:
            return found
        with reading(model):
            made = _describe(model, self.state, given, schema)
        # Objects that hold bytes are marshalled like bytes, and must not be taken for them.
        if raw is not None and BYTES_TAG not in made.text:
            if len(self._descriptions) >= _MAX_CALLS:
                self._descriptions.clear()
            self._descriptions[raw] = made
        return made


#: What is known of models, for calls that are synchronous for sure and for all others.
_memory: tuple[dict[int, _Known], dict[int, _Known]] = ({}, {})
_refused: weakref.WeakSet[type] = weakref.WeakSet()


def _once(held: Iterable[Any]) -> Iterable[Any]:
    return {id(each): each for each in held}.values()


def _marshalled(values: Any) -> bytes | None:
    """Return bytes that differ wherever two values do; None where there are none, or too many."""
    try:
        raw = marshal.dumps(values, 2)  # newer versions also tell which objects are the same
    except ValueError:
        return None
    return raw if len(raw) <= _REMEMBERED_BYTES else None


class _State:
    """What counts of one model, whatever it is asked.

    Attributes:
        plan: How its class is read.
        values: Fields and attributes that count, by name.
        clients: Those of its clients that a call goes through, each as what it says.
        places: Where methods on its way may be put over: the very dicts.
        absent: Modules with more such places that are not imported yet.
        endpoint: The address of the first of them, or of the model's field.
        more: JSON text of what only some models have: ``cache_key``, what the user changed.
    """

    def __init__(self, model: Any, plan: Plan, is_async: bool) -> None:
        cls = type(model)
        self.plan = plan
        state = {n: v for held in dicts_of(model) for n, v in held.items() if v is not None}
        places = doors_of(cls)
        changed = put_over(*places)
        if has_cache_key(cls) or changed or any(users_part(v) is not None for v in state.values()):
            is_async = True  # code of the user's may go any way
        clients = plan.provider.on_way(plan.provider.clients, is_async)
        self.clients = [Client(state[name]) for name in clients if name in state]
        weights = {name for name, value in state.items() if holds_weights(value)}
        if weights and not has_cache_key(cls):
            why = "holds weights that can be trained; give it cache_key()"
            raise NotDescribableError(f"{cls.__name__} {why}")
        skipped = plan.skipped | weights | {n for n, v in state.items() if holds_key(n, v)}
        self.values = {n: v for n, v in state.items() if n not in skipped}
        self.values |= {"files": files} if (files := files_told(self.values)) else {}
        for name, paths in plan.provider.parts.items():
            part = part_of(state.get(name), paths, plan.never | plan.provider.credentials)
            self.values |= {name: part} if part else {}
        for name, value in [*self.values.items()]:
            if (client := client_in(name, value)) is not None:
                self.clients.append(client)
                del self.values[name]
        further, self.absent = ways_of(cls, is_async)
        changed |= put_over(*further)
        places += [*further, *filter(is_users, cls.__mro__)]
        self.places = [*map(dict_of, places), *(held for c in self.clients for held in c.places)]
        if has_cache_key(cls):
            given = getattr(model, "__pydantic_extra__", None) or {}
            told = self.values.keys() - plan.fields - given.keys()
            changed |= {n: self.values[n] for n in told if callable(self.values[n])}
            self.values = {n: v for n, v in self.values.items() if n not in told}
        if not self.clients:
            self.values |= {n: state[n] for n in plan.provider.made_once if n in state}
        addresses = (each.address for each in self.clients if each.address is not None)
        url = next(addresses, state.get(plan.endpoint_field or ""))
        self.endpoint = address_shown(str(url)) if url else None
        self._add_clients()
        put = [c.users.items() for c in self.clients]
        parts = [carried_apart({n: v for n, v in each if changed.get(n) is not v}) for each in put]
        changed, carried = carried_apart(changed)
        changed |= {"clients": others} if (others := [rest for rest, _ in parts if rest]) else {}
        carried |= {"clients": below} if (below := [part for _, part in parts if part]) else {}
        carriers = [name for part in (carried, *below) for name in part]
        is_both = len(plan.provider.on_way(carriers, is_async=False)) < len(carriers)
        more = self._more(model, changed, carried, is_both)
        self.more = "".join(f',"{name}":{text}' for name, text in more)

    def _add_clients(self) -> None:
        """Let what the first client sends count as parameters, and what others send beside it."""
        told = [each.sends(self.plan.provider.credentials) for each in self.clients]
        for first in told[:1]:
            self.values |= {n: v for n, v in first.items() if v and n != "endpoint"}
        if others := [each for each in told[1:] if each != told[0]]:
            self.values["other_clients"] = others

    def _more(
        self, model: Any, changed: dict[str, Any], carried: dict[str, Any], is_both: bool
    ) -> Iterator[tuple[str, str]]:
        values = Values(_describe_nested, self.plan.provider.credentials)
        for name, value, where in (
            ("changed", changed, "what was put into a library's classes or clients"),
            ("cache_key", cache_key_of(model), "what cache_key() returns"),
            # Last, and by itself, for in replay it is not compared: see ``is_carried_async``.
            ("carried", carried, "what was put into the classes of HTTP clients"),
        ):
            try:
                if value:
                    text = dump(values.code(value))
                    yield name, f'[{text},"async"]' if value is carried and is_both else text
            except IndescribableError as error:
                raise NotDescribableError(f"{error} in {where}") from error


def _describe(model: Any, state: _State, given: Mapping[str, Any], schema: int) -> Description:
    plan = state.plan
    values = merge(plan, state.values, given)
    name = take_name(plan, values)
    is_home = state.endpoint is not None and state.endpoint == plan.provider.usual_endpoint
    dropped = {*plan.provider.at_home} if is_home else set()
    beside = values.get("extra_body") if "extra_body" in plan.fields else None
    asked = {*values, *(beside if isinstance(beside, Mapping) else ())}
    if plan.provider.chat_only.keys() & asked and not asks_responses(model, values):
        dropped.update(plan.provider.chat_only)
    if isinstance(beside, Mapping):  # it is sent beside the other parameters, and counts like one
        left_out = dropped | plan.provider.never.keys()
        values["extra_body"] = {n: v for n, v in beside.items() if n not in left_out} or None
    parameters = {}
    for field in sorted(values.keys() - dropped):
        value = values[field]
        if value is None or _is_switched_off(plan, field, value) or is_secret(value):
            continue
        if (text := _parameter(plan, field, value)) is not None:
            parameters[field] = text
    top = f'"schema":{schema},{plan.top}{_quoted(name)},"endpoint":{_quoted(state.endpoint)}'
    return assemble(_label(plan, name), top + state.more, parameters)


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
    # No JSON text holds a line break, so that what follows cannot be cut in another way.
    begun = hashlib.blake2b(f"{keyed}\n".encode(), digest_size=KEY_BYTES)
    return Description(label, text, begun)


def _join(top: str, parameters: Iterable[tuple[str, str]]) -> str:
    inner = ",".join([f"{_quoted(name)}:{text}" for name, text in parameters])
    return f'{{{top},"parameters":{{{inner}}}}}'


@lru_cache(maxsize=1024)
def _quoted(name: str | None) -> str:
    return dump(name)


def _is_switched_off(plan: Plan, field: str, value: Any) -> bool:
    return not value and field in plan.off and value == plan.off[field]


def _parameter(plan: Plan, field: str, value: Any) -> str | None:
    """Return the JSON text of one parameter; None where nothing is left of it."""
    readable = field in _READABLE or (
        plan.provider.name and field in plan.fields and field not in _FREE_FIELDS
    )
    show = Values(_describe_nested, plan.provider.credentials, scrubbed if readable else careful)
    try:
        if field in _TOOL_LISTS and isinstance(value, (list, tuple)):
            return dump([show.tool(tool) for tool in without_marks(value)])
        shown = show.member(field, value)
    except IndescribableError as error:
        raise NotDescribableError(f"{error} in {field}") from error
    except RecursionError as error:
        raise NotDescribableError(f"{field} is nested too deeply") from error
    return None if shown in ({}, None) and field in _HEADERS else dump(shown)


def _label(plan: Plan, name: str | None) -> str:
    return f"{plan.provider_name}:{name}" if name else plan.label


def model_label(model: Any, kwargs: Mapping[str, Any] | None = None) -> str:
    """Return ``provider:name``, or the class's name in kebab form. Never raises."""
    try:
        cls: type = type(model)
        plan = plan_of(cls)
        values = {name: model.__dict__.get(name) for name in MODEL_FIELDS}
        return _label(plan, take_name(plan, merge(plan, values, kwargs) if kwargs else values))
    except Exception:  # noqa: BLE001  # a label must not cost anybody a call
        return kebab(type(model).__name__)


def _describe_nested(model: Any) -> Any:
    if is_inside(model):
        return "itself"  # as a function that was put over one of its methods holds it
    described = json.loads(describe_model(model, None, {}, 0, is_async=True).text)
    return {name: value for name, value in described.items() if name != "schema"}
