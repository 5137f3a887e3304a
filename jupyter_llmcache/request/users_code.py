"""What the user's code says: his models' classes, what he changed in libraries, his functions.

A model that answers by code of the user's is cached only where its ``cache_key()`` says what that
code depends on: no such code is analysed. Functions and objects that a user hands to a client
(hooks, transports, methods set in place of a library's) count by their source text and values.
"""

from __future__ import annotations

import functools
import gc
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from ..errors import NotDescribableError
from ..provider_row import KEY_VARIABLE, names
from .canonical import IndescribableError
from .installed import OUR_PACKAGE, is_installed, is_users, module_of

#: What a class may define without touching an answer: how it is made, how it is called and shown,
#: and what runs before a request is seen, so that its effect is seen with it.
_BESIDE_ANSWERS = names(
    "_get_ls_params _identifying_params _lc_kwargs _llm_type _model_type bind_tools "
    "get_lc_namespace get_name get_num_tokens get_num_tokens_from_messages get_token_ids "
    "is_lc_serializable lc_attributes lc_id lc_secrets model_config model_post_init "
    "with_structured_output"
)

#: Special methods that run whenever an object is used; the others make, show or compare it.
_REACHING = frozenset({"__call__", "__getattr__", "__getattribute__"})

#: Kinds of methods that pydantic calls when an object is made.
_VALIDATORS = ("validators", "field_validators", "root_validators", "model_validators")

_FUNCTIONS = (FunctionType, MethodType)
_PARTIALS = (functools.partial, functools.partialmethod)
#: What stands in a class and is no function, but holds one.
_HOLDERS = (classmethod, functools.cached_property, property, staticmethod)

#: What stands somewhere in a list.
ITERATORS: tuple[type, ...] = (type(iter([])), type(iter(())))

#: What finds a variable by its name as text.
_BY_TEXT = names("getattr globals import_module vars")

#: How many wrappers around a function are looked through.
_MAX_WRAPPERS = 16


# --- classes of models ---


def lacks_cache_key(cls: type) -> bool:
    """Whether ``cls`` answers by code of a user's and does not say what that depends on."""
    # Asked at each call of a class that is refused: anything may be put into it at any time.
    return _lacks_cache_key(cls, tuple(map(tuple, map(vars, _users_and_libraries(cls)[0]))))


@lru_cache(maxsize=256)
def _lacks_cache_key(cls: type, _: tuple[tuple[str, ...], ...]) -> bool:
    """Look at a class whose users' classes have these names."""
    users, libraries = _users_and_libraries(cls)
    return not has_cache_key(cls) and any(_answers_itself(base, libraries, cls) for base in users)


def has_cache_key(cls: type) -> bool:
    """Whether a user's class among those of ``cls`` has a method ``cache_key``."""
    return any("cache_key" in vars(base) for base in _users_and_libraries(cls)[0])


def cache_key_of(model: Any) -> list[Any]:
    """Return what the ``cache_key`` of a user's class says, in a list; an empty one without it."""
    if not has_cache_key(type(model)):
        return []
    try:
        return [model.cache_key()]
    except Exception as error:
        cls, fault = type(model).__name__, type(error).__name__
        raise NotDescribableError(f"{cls}.cache_key() raised {fault}") from error


@lru_cache(maxsize=256)
def _users_and_libraries(cls: type) -> tuple[list[type], list[type]]:
    """Return the user's classes among those of ``cls``, and the others."""
    users = [base for base in cls.__mro__ if is_users(base)]
    return users, [base for base in cls.__mro__ if base not in users]


def _answers_itself(users: type, libraries: Sequence[type], cls: type) -> bool:
    fields = getattr(cls, "model_fields", {})
    decorated = getattr(users, "__pydantic_decorators__", None)
    checked = {name for kind in _VALIDATORS for name in getattr(decorated, kind, ())}
    return any(
        _is_used(name)
        and not name.startswith(("_abc_", "model_"))
        and name not in _BESIDE_ANSWERS
        and name not in fields
        and name not in checked
        and any(name in vars(base) for base in libraries)
        for name in vars(users)
    )


def _is_used(name: str) -> bool:
    return name in _REACHING or not name.startswith("__")


# --- what a user changed in libraries ---

_put_over: dict[Any, tuple[tuple[list[str], list[Any]], dict[str, Any]]] = {}


def put_over(*places: Any) -> dict[str, Any]:
    """Return what of the user's stands in libraries' classes and modules, by place and name.

    What an installed package put over another one's method is a library's code; what it wraps may
    still be the user's.
    """
    found: dict[str, Any] = {}
    for place in places:
        held = dict_of(place)
        now = [*held], gc.get_referents(held)
        before, theirs = _put_over.get(place, (None, {}))
        if before != now:
            label = f"{place.__module__}." if isinstance(place, type) else ""
            parts = {n: users_part(value) for n, value in [*held.items()] if _is_used(n)}
            label += place.__name__
            theirs = {f"{label}.{n}": part for n, part in parts.items() if part is not None}
            _put_over[place] = now, theirs
        found |= theirs
    return found


@lru_cache(maxsize=4096)
def dict_of(place: Any) -> dict[str, Any]:
    """Return the very dict in which a class or a module keeps what it is."""
    told = vars(place)
    return told if isinstance(told, dict) else gc.get_referents(told)[0]


def dicts_of(value: Any) -> list[dict[str, Any]]:
    """Return all dicts in which an object, a pydantic one or a plain one, keeps what it is."""
    names = ("__dict__", "__pydantic_private__", "__pydantic_extra__")
    places = (getattr(value, name, None) for name in names)
    return [place for place in places if place is not None]


def users_part(value: Any) -> Any:
    """Return what of the user's a value in a class, a module or an object holds, or None."""
    kind: type = type(value)
    if not _may_hold_users(kind):
        return None
    return next((part for part in functions_in(value) if _is_users_or_mock(part)), None)


@lru_cache(maxsize=4096)
def _may_hold_users(kind: Any) -> bool:
    """Whether an object of class ``kind`` may be or hold the user's; texts and numbers do not."""
    holders = (type, *_HOLDERS, *_PARTIALS)
    calls = any("__call__" in vars(base) for base in kind.__mro__)
    return calls or issubclass(kind, holders) or is_users(kind)


def functions_in(value: Any) -> Iterator[Any]:
    """Yield the functions and objects that such a value holds, and those that they wrap."""
    parts = (value.fget, value.fset) if isinstance(value, property) else (value,)
    for part in parts:
        layer: Any = part.__func__ if isinstance(part, (classmethod, staticmethod)) else part
        layer = layer.func if isinstance(layer, functools.cached_property) else layer
        for _ in range(_MAX_WRAPPERS):
            if layer is not None:
                yield layer
                layer = _wrapped_in(layer)


def _wrapped_in(wrapper: Any) -> Any:
    """Return what a function or an object wraps, as far as it tells, or None."""
    if hasattr(type(wrapper), "__wrapped__"):  # written in C, as those of wrapt are
        return wrapper.__wrapped__
    return getattr(wrapper, "__dict__", {}).get("__wrapped__")


def _is_users_or_mock(value: Any) -> bool:
    """Whether a function, a class or an object is the user's, or answers as a test set it."""
    if isinstance(value, (type, *_FUNCTIONS)):
        return is_users(value)
    return isinstance(value, _PARTIALS) or is_users(type(value)) or is_mock(value)


def is_mock(value: Any) -> bool:
    """Whether ``value`` stands in the place of others while something is tested."""
    mock = sys.modules.get("unittest.mock")
    return mock is not None and isinstance(value, mock.NonCallableMock)


# --- functions and objects by their source ---


class Sources:
    """Describes functions, classes and objects of a user, each once.

    Args:
        plain: Gives the canonical form of other values.
    """

    def __init__(self, plain: Callable[[Any], Any]) -> None:
        self._plain = plain
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []

    def describe(self, value: Any) -> Any:
        """Return plain values that say all that ``value`` says.

        Raises:
            IndescribableError: Its source is not to be had, or something in it has no form.
        """
        if value is os.environ:  # a few of it count where code reads them
            return "environ"
        if isinstance(value, ITERATORS):
            return [self.describe(each) for each in value.__reduce__()[1:]]
        if not is_code(value):
            return self._plain(value)
        if (again := self._seen.get(id(value))) is not None:
            return {"again": again}
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)  # so that no other object gets its number
        if isinstance(value, ModuleType):
            return value.__name__
        if (pieces := _pieces(value)) is not None:
            return [self.describe(each) for each in pieces]
        if isinstance(value, type):
            return self._class(value)
        return self._function(value) if isinstance(value, FunctionType) else self._object(value)

    def _function(self, function: FunctionType) -> Any:
        wrapped = _wrapped_in(function)
        if wrapped is not None and module_of(function).startswith(f"{OUR_PACKAGE}."):
            return self.describe(wrapped)  # a door of ours, which says nothing
        told: dict[str, Any] = {"name": f"{function.__module__}.{function.__qualname__}"}
        holds = [cell.cell_contents for cell in function.__closure__ or ()]
        if is_users(function):
            told = {"source": _source(function)} | self._read_by(function, holds)
        told["closure"] = [self.describe(each) for each in holds]
        told["defaults"] = [self.describe(each) for each in function.__defaults__ or ()]
        told["named"] = self._values(function.__kwdefaults__ or {})
        return told

    def _read_by(self, function: FunctionType, holds: list[Any]) -> dict[str, Any]:
        """Return what a function reads beside its arguments, as far as its code names it."""
        said = [*_said_in(function.__code__)]
        read, texts = {name for name, is_name in said if is_name}, {text for text, _ in said}
        read |= set() if read.isdisjoint(_BY_TEXT) else texts
        reads = {n: function.__globals__[n] for n in sorted(read & function.__globals__.keys())}
        told: dict[str, Any] = {"globals": self._values(reads)}
        told["attributes"] = self._values(vars(function))
        found = [sys.modules[name] for name in sorted(read & sys.modules.keys())]
        modules = [v for v in (*found, *reads.values(), *holds) if isinstance(v, ModuleType)]
        users = [each for each in modules if not is_installed(each.__name__)]
        told["modules"] = [self._module(each, read) for each in users]
        if not read.isdisjoint(("environ", "getenv")):
            texts |= {text for text in (*reads.values(), *holds) if isinstance(text, str)}
            told["environment"] = {
                name: os.environ[name]
                for name in sorted(texts & os.environ.keys())
                if not KEY_VARIABLE.fullmatch(name)  # another key asks the same
            }
        return told

    def _module(
        self, module: ModuleType, read: AbstractSet[str], above: tuple[Any, ...] = ()
    ) -> Any:
        """Return what code that reads some names finds in a module of the user's."""
        if is_installed(module.__name__) or module in above:
            return module.__name__
        values = {name: vars(module)[name] for name in sorted(read & vars(module).keys())}
        return {
            name: self._module(value, read, (*above, module))
            if isinstance(value, ModuleType)
            else self.describe(value)
            for name, value in values.items()
        }

    def _class(self, cls: type) -> Any:
        if not is_users(cls):
            return f"{cls.__module__}.{cls.__qualname__}"
        parts = {
            name: self.describe(value)
            for name, value in vars(cls).items()
            if not name.startswith("__") or isinstance(value, FunctionType)
        }
        bases = [self.describe(base) for base in cls.__bases__ if base is not object]
        return {"class": _source(cls), "parts": parts, "bases": bases}

    def _object(self, value: Any) -> dict[str, Any]:
        return {"of": self.describe(type(value)), "holds": self._values(vars(value))}

    def _values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.describe(value) for name, value in values.items()}


def is_code(value: Any) -> bool:
    """Whether ``value`` counts by its source, or by its name where a library wrote it."""
    known = (type, ModuleType, BuiltinFunctionType, *_FUNCTIONS, *_HOLDERS, *_PARTIALS)
    if isinstance(value, known):
        return True
    return is_users(type(value)) and hasattr(value, "__dict__")


def _pieces(value: Any) -> list[Any] | None:
    """Return what something that holds a function is made of; None for what is whole."""
    if isinstance(value, _HOLDERS):
        return [*functions_in(value)]
    if isinstance(value, _PARTIALS):
        return [value.func, value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    return [value.__qualname__, value.__self__] if isinstance(value, BuiltinFunctionType) else None


def _said_in(code: CodeType) -> Iterator[tuple[str, bool]]:
    """Yield the names and the texts that code says, and whether each is a name."""
    yield from ((name, True) for name in code.co_names + code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _said_in(constant)
        elif isinstance(constant, str):
            yield constant, False


def _source(value: Any) -> str:
    return _source_of(getattr(value, "__code__", value), getattr(value, "__name__", "it"))


@lru_cache(maxsize=256)  # a cell that is run again makes its functions and classes anew
def _source_of(value: Any, name: str) -> str:
    try:
        return textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError) as error:
        raise IndescribableError(f"{name}, whose source is not to be had,") from error
