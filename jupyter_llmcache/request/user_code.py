"""Classes and functions that a user wrote: what they say counts, for it may change between calls.

Their source counts, the values of their class attributes, and what their code reads of its module:
helpers with their source, values. What is only counted or gathered while answering (a call counter,
a list of prompts seen) does not count.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType, MethodType, ModuleType
from typing import Any

from .canonical import IndescribableError, dump, text_digest
from .codefacts import CodeFacts, facts_of, is_users_module
from .providers import class_name

#: Methods that LangChain calls for an answer.
_ANSWERING = (
    "__call__",
    "_acall",
    "_agenerate",
    "_astream",
    "_call",
    "_generate",
    "_stream",
    "agenerate",
    "ainvoke",
    "astream",
    "generate",
    "invoke",
    "stream",
)

#: Whole numbers that are sampling parameters, and so no counters even if a model counts in them.
_NEVER_COUNTERS = frozenset({"max_tokens", "n", "num_ctx", "num_predict", "seed", "top_k"})

#: Attributes that Python and pydantic put into a class.
_MACHINERY = frozenset({"_abc_impl", "model_computed_fields", "model_config", "model_fields"})

#: Objects that guard or tell, and say nothing.
_SILENT = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Event,
    threading.Condition,
    threading.Semaphore,
    threading.Barrier,
    threading.local,
    logging.Logger,
    ContextVar,
    ModuleType,
)


def users_classes(cls: type) -> tuple[type, ...]:
    """Return those of the classes that ``cls`` is made of that a user wrote."""
    return tuple(base for base in cls.__mro__ if is_users_module(base.__module__))


def is_silent(value: Any) -> bool:
    """Whether ``value`` guards or tells, as a lock does, and so cannot change an answer."""
    return isinstance(value, _SILENT)


def source_digest(classes: tuple[type, ...], habits: Habits, plain: Callable[[Any], Any]) -> str:
    """Return a digest of all that ``classes`` say now.

    Args:
        classes: As ``users_classes`` returns them.
        habits: How they use their objects' attributes.
        plain: Gives the canonical form of a value.

    Raises:
        IndescribableError: A method has no source, or a value has no canonical form.
    """
    reader = _Reader(plain)
    return text_digest(dump([reader.read_class(cls, habits) for cls in classes]))


def function_digest(function: FunctionType, plain: Callable[[Any], Any]) -> str:
    """Return a digest of all that ``function`` says now.

    Raises:
        IndescribableError: As ``source_digest``.
    """
    return text_digest(dump(_Reader(plain).read_function(function)))


@dataclass(frozen=True, slots=True)
class Habits:
    """How a user's classes use the attributes of their objects while they answer.

    Attributes:
        reads: Attributes that an answer is made of.
        keeps_count: Attributes in which they only keep count of what they answered.
    """

    reads: frozenset[str]
    keeps_count: frozenset[str]


def habits_of(classes: tuple[type, ...]) -> Habits:
    """Return how ``classes`` use their objects' attributes.

    Raises:
        IndescribableError: The source of a method is not to be had.
    """
    facts = list(_answering_facts(classes))
    read = {name for fact in facts for name in fact.own_reads}
    written = {name for fact in facts for name in fact.own_writes}
    counted = {name for fact in facts for name in fact.own_counts}
    keeps_count = (written - read) | (counted - _NEVER_COUNTERS)
    return Habits(frozenset(read - keeps_count), frozenset(keeps_count))


def _answering_facts(classes: tuple[type, ...]) -> Iterator[CodeFacts]:
    """Yield what the methods say that an answer goes through."""
    methods = {
        (name, function)
        for cls in classes
        for name, value in vars(cls).items()
        for function in _functions_in(value)
        if is_users_module(function.__module__)
    }
    waiting = set(_ANSWERING)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for method, function in methods:
            if method == name:
                facts = facts_of(function.__code__)
                waiting |= facts.own_reads - seen
                yield facts


def _functions_in(value: Any) -> list[FunctionType]:
    """Return the functions behind a class attribute: methods of every kind, properties."""
    if isinstance(value, FunctionType):
        return [value]
    if isinstance(value, (staticmethod, classmethod)):
        return _functions_in(value.__func__)
    if isinstance(value, property):
        return [f for part in (value.fget, value.fset) for f in _functions_in(part)]
    if isinstance(value, cached_property):
        return _functions_in(value.func)
    if hasattr(value, "wrapped"):  # pydantic's validators and serialisers
        return _functions_in(value.wrapped)
    return []


class _Reader:
    """Reads classes and functions, each once, into plain JSON values."""

    def __init__(self, plain: Callable[[Any], Any]) -> None:
        self._plain = plain
        self._seen: set[Any] = set()

    def read_class(self, cls: type, habits: Habits | None = None) -> Any:
        """Return what ``cls`` says by itself, without its base classes."""
        if not is_users_module(cls.__module__):
            return class_name(cls)
        if cls in self._seen:
            return cls.__qualname__
        self._seen.add(cls)
        skipped = _MACHINERY | (habits or habits_of((cls,))).keeps_count
        skipped |= set(getattr(cls, "model_fields", ()))
        said = {
            name: self._read_attribute(f"{cls.__name__}.{name}", value)
            for name, value in sorted(vars(cls).items())
            if name not in skipped and (not _is_dunder(name) or _is_written(value))
        }
        return {
            "name": cls.__qualname__,
            "bases": [class_name(base) for base in cls.__bases__],
            "says": said,
        }

    def _read_attribute(self, name: str, value: Any) -> Any:
        functions = _functions_in(value)
        if functions:
            return [self.read_function(function) for function in functions]
        return self._read_value(name, value)

    def _read_wrapped(self, function: FunctionType) -> list[Any]:
        """Return what the functions say that ``function``, a wrapper of a library's, calls."""
        inner = (value for _, value in _open_cells(function) if isinstance(value, FunctionType))
        return [self.read_function(f) for f in inner if is_users_module(f.__module__)]

    def read_function(self, function: FunctionType) -> Any:
        """Return what ``function`` says: its source, its defaults, and what its code reads."""
        if function in self._seen:
            return function.__qualname__
        self._seen.add(function)
        if not is_users_module(function.__module__):
            wrapped = self._read_wrapped(function)
            # Releases of pydantic wrap this one in different ways.
            generated = function.__name__.endswith(("model_post_init", "init_private_attributes"))
            return wrapped if generated else [function.__qualname__, *wrapped]
        facts = facts_of(function.__code__)
        unread = facts.rebinds | facts.gathers
        around = {
            name: function.__globals__[name] for name in facts.reads if name in function.__globals__
        }
        around |= dict(_open_cells(function))
        said = {
            name: self._read_value(name, around[name])
            for name in sorted(around)
            if name not in unread and name != "__class__"
        }
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).items()]
        return [facts.source, said, self._read_value(function.__name__, defaults)]

    def _read_value(self, name: str, value: Any) -> Any:
        if isinstance(value, FunctionType):
            return self.read_function(value)
        if isinstance(value, MethodType):
            return [self.read_function(f) for f in _functions_in(value.__func__)]
        if isinstance(value, type):
            return self.read_class(value)
        if is_silent(value) or _is_library_object(value):
            return None
        try:
            return self._plain(value)
        except IndescribableError as error:
            raise IndescribableError(f"{error} in {name}") from error


def _open_cells(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the variables around ``function`` that it uses."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue


def _is_library_object(value: Any) -> bool:
    """Whether ``value`` is a name that a library exports: a built-in function, a typing form."""
    return type(value).__module__ in ("builtins", "typing") and type(value).__name__ in (
        "TypeVar",
        "_GenericAlias",
        "_SpecialForm",
        "_TypedDictMeta",
        "builtin_function_or_method",
        "NotImplementedType",
        "ellipsis",
    )


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_written(value: Any) -> bool:
    """Whether a method with a name of Python's was written in the class, and not generated."""
    return isinstance(value, FunctionType) and (
        is_users_module(value.__module__) and value.__name__ != "__annotate__"
    )
