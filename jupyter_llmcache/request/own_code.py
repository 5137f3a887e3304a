"""Which code is a library's and which the user's own, and what the user's own says.

What answers by code of the user's own is cached only where it says by ``cache_key()`` what its
answers stand on: no such code is analysed. Functions and objects that a user hands to a client
(hooks, transports, methods put over others) count by their source text and their values.
"""

from __future__ import annotations

import functools
import gc
import inspect
import json
import os
import site
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import NotDescribableError
from ..provider_row import names
from .canonical import IndescribableError

#: What a class may define without touching an answer: how it is made, how it is called and shown,
#: and what runs before a request is seen, so that its effect is seen with it.
_BESIDE_ANSWERS = names(
    "_get_ls_params _identifying_params _lc_kwargs _llm_type _model_type bind_tools "
    "get_lc_namespace get_name get_num_tokens get_num_tokens_from_messages get_token_ids "
    "is_lc_serializable lc_attributes lc_id lc_secrets model_config model_post_init "
    "with_structured_output"
)

#: Special methods that reach into every use of an object; the others make, show or compare it.
_REACHING = frozenset({"__call__", "__getattr__", "__getattribute__"})

#: Kinds of methods that pydantic calls when an object is made.
_VALIDATORS = ("validators", "field_validators", "root_validators", "model_validators")

_FUNCTIONS = (FunctionType, MethodType)
_PARTIALS = (functools.partial, functools.partialmethod)
#: What stands in a class and is no function, but holds one.
_HOLDERS = (classmethod, functools.cached_property, property, staticmethod)

#: How many wrappers around a function are looked through.
_MAX_WRAPPERS = 16

#: The flag of classes that no C code lays out.
_MADE_WHILE_RUNNING = 1 << 9

_OWN_PACKAGE = __name__.partition(".")[0]


# --- what is installed ---


@lru_cache(maxsize=4096)
def is_installed(module: str) -> bool:
    """Whether a module is Python's, or belongs to an installed distribution, also an editable one
    or one whose folder of sources is on the path.
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in (_OWN_PACKAGE, "builtins"):
        return True
    if top == "__main__":  # the notebook, though a kernel's launcher lends it a file
        return False
    known = sys.modules.get(module) or sys.modules.get(top)
    file = getattr(known, "__file__", None) or next(iter(getattr(known, "__path__", ())), None)
    if file is None:
        return False
    real = os.path.realpath(file)
    if os.path.normcase(real).startswith(_library_folders()):
        return True
    path = Path(real)
    depth = module.count(".") + (path.name == "__init__.py")
    return _has_distribution(top, path.parents[min(depth, len(path.parents) - 1)])


@lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    """Return how paths of libraries begin. As texts they are compared ten times as fast."""
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}
    paths |= {*site.getsitepackages(), site.getusersitepackages()}
    real = (os.path.normcase(os.path.realpath(path)) for path in paths if path)
    return tuple(f"{path}{os.sep}" for path in real)


def _has_distribution(top: str, folder: Path) -> bool:
    name = f"name:{top.lower()}"
    changed_ns = folder.stat().st_mtime_ns if folder.exists() else 0
    beside = _modules_beside(folder, changed_ns)
    return not beside.isdisjoint((top, name)) or any(
        folder.is_relative_to(source)
        and (not _modules_of(one).isdisjoint((top, name)) or folder in _paths_of(one) - {source})
        for one in metadata.distributions()
        for source in _source_folder(one)
    )


def _paths_of(editable: metadata.Distribution) -> set[Path]:
    """Return what it put on Python's path; a folder below its own holds its sources alone."""
    told = [editable.read_text(f"../{f}") for f in editable.files or () if f.suffix == ".pth"]
    return {Path(line).resolve() for text in told for line in (text or "").splitlines()}


@lru_cache(maxsize=64)
def _modules_beside(folder: Path, _: int) -> frozenset[str]:
    """Return what the distributions in ``folder`` bring, read once for each time of its change.

    Where libraries lie in a folder of their own on the path they are hundreds.
    """
    found = metadata.distributions(path=[str(folder)])
    return frozenset(module for one in found for module in _modules_of(one))


def _modules_of(distribution: metadata.Distribution) -> set[str]:
    """Return the modules at its top, and ``name:`` with its own name as a module has it."""
    record = distribution.read_text("RECORD")
    files = record.splitlines() if record else map(str, distribution.files or ())
    tops = {line.partition(",")[0].partition("/")[0].removesuffix(".py") for line in files}
    name = (distribution.metadata["Name"] or "").replace("-", "_").replace(".", "_")
    listed = (distribution.read_text("top_level.txt") or "").split()
    return {*tops, *listed, f"name:{name.lower()}"}


def _source_folder(distribution: metadata.Distribution) -> Iterator[Path]:
    """Yield the folder that an editable installation was made from."""
    told = json.loads(distribution.read_text("direct_url.json") or "{}")
    if told.get("dir_info", {}).get("editable"):
        yield Path(unquote(urlsplit(told["url"]).path)).resolve()


def is_own(value: Any) -> bool:
    """Whether a class or a function was written by the user."""
    if isinstance(value, MethodType):
        value = value.__func__
    if isinstance(value, FunctionType):
        # ``functools.wraps`` copies ``__module__``; where a function was written it cannot change.
        return not is_installed(_module_of(value))
    return isinstance(value, type) and (not is_installed(value.__module__) or _is_astray(value))


def _module_of(function: FunctionType) -> str:
    return str(function.__globals__.get("__name__"))


def _is_astray(cls: type) -> bool:
    """Whether a class only seems to be Python's own.

    What ``type()`` makes of an abstract class tells ``abc`` as its module, whoever calls it, and
    what ``exec()`` makes where nothing is named tells ``builtins``.
    """
    if cls.__module__ not in ("abc", "builtins") or not cls.__flags__ & _MADE_WHILE_RUNNING:
        return False
    return vars(sys.modules[cls.__module__]).get(cls.__name__) is not cls


# --- classes of models ---


def lacks_cache_key(cls: type) -> bool:
    """Whether ``cls`` answers by code of a user's own and does not say what that stands on."""
    own, libraries = _own_and_libraries(cls)
    return not has_cache_key(cls) and any(_answers_itself(base, libraries, cls) for base in own)


def has_cache_key(cls: type) -> bool:
    """Whether a user's class among those of ``cls`` has a method ``cache_key``."""
    return any("cache_key" in vars(base) for base in _own_and_libraries(cls)[0])


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
def _own_and_libraries(cls: type) -> tuple[list[type], list[type]]:
    """Return the user's classes among those of ``cls``, and the others."""
    own = [base for base in cls.__mro__ if is_own(base)]
    return own, [base for base in cls.__mro__ if base not in own]


def _answers_itself(own: type, libraries: Sequence[type], cls: type) -> bool:
    fields = getattr(cls, "model_fields", {})
    decorated = getattr(own, "__pydantic_decorators__", None)
    checked = {name for kind in _VALIDATORS for name in getattr(decorated, kind, ())}
    return any(
        _is_for_use(name)
        and not name.startswith(("_abc_", "model_"))
        and name not in _BESIDE_ANSWERS
        and name not in fields
        and name not in checked
        and any(name in vars(base) for base in libraries)
        for name in vars(own)
    )


def _is_for_use(name: str) -> bool:
    return name in _REACHING or not name.startswith("__")


# --- what a user put over libraries ---

_put_over: dict[Any, tuple[list[Any], list[str], dict[str, Any]]] = {}


def put_over(*places: Any) -> dict[str, Any]:
    """Return what of the user's own stands in libraries' classes and modules, by place and name.

    What an installed package put over another one's method is a library's code; what it wraps may
    still be the user's.
    """
    found: dict[str, Any] = {}
    for place in places:
        entries = namespace(place)
        values, under = gc.get_referents(entries), [*entries]
        known = _put_over.get(place)
        if known is None or known[0] != values or known[1] != under:
            parts = {n: own_part(value) for n, value in [*entries.items()] if _is_for_use(n)}
            label = f"{place.__module__}." if isinstance(place, type) else ""
            label += place.__name__
            users = {f"{label}.{n}": part for n, part in parts.items() if part is not None}
            known = _put_over[place] = (values, under, users)
        found |= known[2]
    return found


@lru_cache(maxsize=4096)
def namespace(place: Any) -> dict[str, Any]:
    """Return the very dict in which a class or a module keeps what it is."""
    held = vars(place)
    return held if isinstance(held, dict) else gc.get_referents(held)[0]


def own_part(value: Any) -> Any:
    """Return what of the user's own an entry of a class, a module or an object holds, or None."""
    kind: type = type(value)
    if not _may_be_users(kind):
        return None
    return next((part for part in functions_in(value) if _is_users(part)), None)


@lru_cache(maxsize=4096)
def _may_be_users(kind: Any) -> bool:
    """Whether an object of class ``kind`` may be or hold the user's; texts and numbers do not."""
    holders = (type, *_HOLDERS, *_PARTIALS)
    calls = any("__call__" in vars(base) for base in kind.__mro__)
    return calls or issubclass(kind, holders) or is_own(kind)


def functions_in(value: Any) -> Iterator[Any]:
    """Yield the functions and objects that such an entry holds, and those that they wrap."""
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


def _is_users(value: Any) -> bool:
    """Whether a function, a class or an object is the user's, or answers as a test set it."""
    if isinstance(value, (type, *_FUNCTIONS)):
        return is_own(value)
    return isinstance(value, _PARTIALS) or is_own(type(value)) or is_mock(value)


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
        if wrapped is not None and _module_of(function).startswith(f"{_OWN_PACKAGE}."):
            return self.describe(wrapped)  # a door of ours, which says nothing
        told: dict[str, Any] = {"name": f"{function.__module__}.{function.__qualname__}"}
        if is_own(function):
            told = {"source": _source(function), "globals": self._globals(function)}
        told["closure"] = [self.describe(cell.cell_contents) for cell in function.__closure__ or ()]
        told["defaults"] = [self.describe(each) for each in function.__defaults__ or ()]
        told["named"] = self._values(function.__kwdefaults__ or {})
        return told

    def _globals(self, function: FunctionType) -> dict[str, Any]:
        names = sorted(set(_names(function.__code__)) & function.__globals__.keys())
        return self._values({name: function.__globals__[name] for name in names})

    def _class(self, cls: type) -> Any:
        if not is_own(cls):
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
    return is_own(type(value)) and hasattr(value, "__dict__")


def _pieces(value: Any) -> list[Any] | None:
    """Return what something that holds a function is made of; None for what is whole."""
    if isinstance(value, _HOLDERS):
        return [*functions_in(value)]
    if isinstance(value, _PARTIALS):
        return [value.func, value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    return [value.__qualname__, value.__self__] if isinstance(value, BuiltinFunctionType) else None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _source(value: Any) -> str:
    return _source_of(getattr(value, "__code__", value), getattr(value, "__name__", "it"))


@lru_cache(maxsize=256)  # a cell that is run again makes its functions and classes anew
def _source_of(value: Any, name: str) -> str:
    try:
        return textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError) as error:
        raise IndescribableError(f"{name}, whose source is not to be had,") from error
