"""What ``-m`` names: a variable, ``provider:model``, ``local``, ``demo``; and how ``-p`` acts."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.runnables.configurable import DynamicRunnable
from pydantic.errors import PydanticUserError

from .. import modes
from ..errors import LLMCacheError
from ..provider_row import EVERYWHERE, MODEL_FIELDS, ONLY_FIELDS, PLACEHOLDER_KEY, UNKNOWN
from ..providers import PROVIDERS, ROWS, provider_of
from ..text import a_type, did_you_mean, one_line
from .parser import is_variable, look_up

if TYPE_CHECKING:
    from ..settings import LLMCache

#: The variable that is asked when nobody says whom to ask.
DEFAULT_VARIABLE = "llm"
#: Models that need no provider; a variable that holds a model may take their names.
BUILT_IN = ("demo", "local")
_OPENAI = PROVIDERS["openai"]
#: Arguments that a class reads only when it is made, beside endpoints, credentials and clients.
_CONSTRUCTOR_NAMES = (
    "api_key api_version default_query http_async_client http_client max_retries organization "
    "region_name request_timeout timeout"
)

#: What is no parameter of a model, and the flag for it.
NOT_VARIED = {
    "model": "-m, more than once",
    "system": "-s, with {{name}} and --each",
    "stop": "-p stop=...",
}
#: Of a model's parameters, what people set.
_USUAL = ("temperature", "max_tokens", "top_p", "seed")

WAYS = (
    "Try -m demo, which answers without a key; or set OPENAI_API_KEY (in Python: "
    "os.environ['OPENAI_API_KEY'] = getpass.getpass()), or OPENAI_BASE_URL for a server without "
    "keys; or name a model: -m VARIABLE, -m provider:model, -m local. %llm_cache models lists them"
)

Model = Runnable[Any, Any]


@dataclass(frozen=True)
class Chosen:
    """A model with its parameters, and what a person calls it."""

    model: Model
    label: str


def choose(
    spec: str | None,
    namespace: Mapping[str, Any],
    parameters: Mapping[str, Any],
    settings: LLMCache,
    mode: modes.Mode | None = None,
) -> Chosen:
    """Return the model that ``spec`` names, with ``parameters``.

    Args:
        spec: What stands behind ``-m``; None: the default.
        namespace: The notebook's variables.
        parameters: What ``-t`` and ``-p`` say.
        settings: The person's settings.
        mode: The mode of this question alone. In replay a model is made without a key.

    Raises:
        LLMCacheError: There is nothing of that name, a package or a key is missing, or the model
            does not take ``parameters``.
    """
    replays = "replay" in (mode, modes.current_mode())
    label = spec or _default(namespace, settings, replays=replays)
    model = _variable(label, namespace)
    if model is None:
        connection, parameters = split_connection(parameters)
        model = _made(label, namespace, connection, settings, replays=replays)
    return Chosen(with_parameters(model, parameters, label), label)


def variables(namespace: Mapping[str, Any]) -> list[str]:
    """Return the names of the notebook's variables that hold a chat model or another Runnable."""
    return [
        name
        for name, value in namespace.items()
        if not name.startswith("_") and isinstance(value, Runnable)
    ]


def nameable(namespace: Mapping[str, Any], settings: LLMCache) -> Iterator[tuple[str, str, str]]:
    """Yield what ``-m`` can name: its word, what it is, and ``ready`` or what it lacks."""
    for name in variables(namespace):
        yield name, f"your {type(namespace[name]).__name__}", "ready"
    yield "demo", "canned answers", "ready"
    missing = importlib.util.find_spec("llama_cpp") is None
    yield "local", "a small model", "%pip install llama-cpp-python" if missing else "ready"
    for provider, row in PROVIDERS.items():
        word = f"{provider}:{settings.openai_model if provider == 'openai' else 'MODEL'}"
        module = row.package.replace("-", "_")
        if importlib.util.find_spec(module) is None:
            yield word, "", f"%pip install {row.package}"
        elif row.lacks_key and not (provider == "openai" and _is_addressed()):
            yield word, "", f"set {row.keys[0]}"
        else:
            yield word, "", "ready"


def _default(namespace: Mapping[str, Any], settings: LLMCache, *, replays: bool) -> str:
    if settings.model:
        return str(settings.model)
    if isinstance(namespace.get(DEFAULT_VARIABLE), BaseChatModel):
        return DEFAULT_VARIABLE
    if replays or any(map(os.environ.get, (*_OPENAI.keys, *_OPENAI.addresses))):
        return f"openai:{settings.openai_model}"
    raise LLMCacheError("no model is named, and none is set up", WAYS)


def _variable(spec: str, namespace: Mapping[str, Any]) -> Model | None:
    """Return the model that the variable ``spec`` holds; None where ``spec`` names no variable."""
    if not is_variable(spec, namespace):
        return None
    value = look_up(spec, namespace, "-m")
    if isinstance(value, Runnable):
        return value
    if spec in BUILT_IN:
        return None
    if isinstance(value, type) and issubclass(value, Runnable):
        raise LLMCacheError(f"-m {spec}: this is a class, not a model", f"Call it: {spec}(...)")
    raise LLMCacheError(
        f"-m {spec}: {a_type(value)} is not a model",
        "-m takes a variable that holds a chat model or any Runnable, or provider:model",
    )


def _made(
    spec: str,
    namespace: Mapping[str, Any],
    connection: Mapping[str, Any],
    settings: LLMCache,
    *,
    replays: bool,
) -> Model:
    """Return a new model for a ``spec`` that names no variable."""
    provider, colon, name = spec.partition(":")
    if spec == "demo":
        from .local import Demo

        return Demo()
    if provider == "local":
        from .local import local_model

        return local_model(name or settings.local_model)
    if colon:
        return _build(provider, name, connection, replays=replays)
    known = [*variables(namespace), *BUILT_IN, *PROVIDERS] if spec.isidentifier() else []
    raise LLMCacheError(
        f"-m {spec}: there is no variable of this name",
        did_you_mean(spec, known) or f"A provider goes before a model: openai:{spec}",
    )


# --- provider:model ---


def _build(
    provider: str, name: str, connection: Mapping[str, Any], *, replays: bool
) -> BaseChatModel:
    """Return a new chat model: what LangChain's ``init_chat_model`` makes, or the row's own class.

    In replay it needs no key, as nothing is sent.
    """
    spec, known, arguments = f"{provider}:{name}", PROVIDERS.get(provider), dict(connection)
    if not name:
        raise LLMCacheError(
            f"-m {provider}: names no model", f"Write one behind the colon: {provider}:MODEL"
        )
    package = known.package if known else f"langchain-{provider}"
    if provider != "openai" and importlib.util.find_spec("langchain") is None:
        if known is None:
            raise _unknown(provider)
        raise LLMCacheError(f"{spec} needs langchain", f"Run %pip install langchain {package}")
    if known and known.lacks_key and not any(name.endswith("api_key") for name in arguments):
        elsewhere = {"base_url", "openai_api_base"} & arguments.keys() or _is_addressed()
        if not (replays or (provider == "openai" and elsewhere)):
            key = known.keys[0]
            raise LLMCacheError(
                f"{spec} needs a key, and {key} is not set",
                WAYS
                if provider == "openai"
                else f"Set it: os.environ['{key}'] = getpass.getpass(); or ask another model: a "
                "variable, local, demo",
            )
        arguments["api_key"] = PLACEHOLDER_KEY
    try:
        return _instance(provider, name, arguments)
    except ImportError as error:
        raise LLMCacheError(f"{spec} needs {package}", f"Run %pip install {package}") from error
    except Exception as error:
        if known is None:
            raise _unknown(provider) from error
        raise LLMCacheError(
            f"{spec} cannot be made: {one_line(error, 200)}", "Check what -p gives it"
        ) from error


def _instance(provider: str, name: str, arguments: Mapping[str, Any]) -> BaseChatModel:
    """Return the model that LangChain makes by these names; one that it cannot, by its row."""
    known = PROVIDERS.get(provider)
    if provider != "openai":
        from langchain.chat_models import init_chat_model

        try:
            made: BaseChatModel = init_chat_model(name, model_provider=provider, **arguments)
            return made
        except ValueError as error:
            if not (known and known.classes and str(error).startswith("Unsupported")):
                raise
    importlib.import_module(known.package.replace("-", "_"))  # type: ignore[union-attr]  # it has a row
    cls: Any = _loaded_class(provider)
    model: BaseChatModel = cls(model=name, **arguments)
    return model


def _is_addressed() -> bool:
    """Whether the environment names a server of one's own in OpenAI's place."""
    return any(map(os.environ.get, _OPENAI.addresses))


def _unknown(provider: str) -> LLMCacheError:
    return LLMCacheError(
        f"there is no provider {provider!r}",
        did_you_mean(provider, [*PROVIDERS, "local"]) or f"Known: {', '.join(PROVIDERS)}",
    )


# --- how -t and -p reach a model: as its field where it has one, else with the call ---


def split_connection(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a provider's class takes when the model is made, and all other parameters."""
    known = _connection_names()
    connection = {name: value for name, value in parameters.items() if name in known}
    return connection, {n: v for n, v in parameters.items() if n not in connection}


@lru_cache(maxsize=1)
def _connection_names() -> frozenset[str]:
    found = set(_CONSTRUCTOR_NAMES.split())
    for row in (UNKNOWN, *ROWS):
        found |= {*row.endpoint_fields, *row.made_once, *row.credentials}
        found |= {name for name in row.never if name.endswith(("_proxy", "organization"))}
        found |= {name.lower() for name in row.keys}
    return frozenset(found)


def with_parameters(model: Model, parameters: Mapping[str, Any], label: str) -> Model:
    """Return ``model``, or a copy of it that asks with ``parameters``.

    A field of the model is set in the copy, as classes are free to ignore or refuse it in a call;
    anything else goes with the call to the provider.

    Raises:
        LLMCacheError: ``model`` is a chain, or a parameter can only be given when it is made.
    """
    if not parameters:
        return model
    if isinstance(model, RunnableBinding):
        kept = {name: value for name, value in model.kwargs.items() if name not in parameters}
        bound = with_parameters(model.bound, parameters, label)
        return model.model_copy(update={"bound": bound, "kwargs": kept})
    if isinstance(model, DynamicRunnable):
        return model.bind(**parameters)
    if not isinstance(model, BaseLanguageModel):
        raise LLMCacheError(
            f"-m {label}: {a_type(model)} takes no -t, -p or --vary; they are for a single model",
            f"Set {', '.join(parameters)} on the model inside it",
        )
    for name in split_connection(parameters)[0]:
        raise LLMCacheError(
            f"{name}: {label} is made already, and this is read only when a model is made",
            f"Give {name} to its class, or name the model as provider:model",
        )
    fields = fields_of(model)
    update = {fields[name]: value for name, value in parameters.items() if name in fields}
    call = {name: value for name, value in parameters.items() if name not in fields}
    changed = model.model_copy(update=update)
    return changed.bind(**call) if call else changed


def check_varied(chosen: Chosen, varied: Mapping[str, Any]) -> None:
    """See to it that the model's class has the parameters that vary."""
    model = innermost(chosen.model)
    if not isinstance(model, BaseLanguageModel):
        return
    for name in varied:
        known = fields_of(model)
        for other, flag in NOT_VARIED.items():
            if name != other and name in known and known[name] == known.get(other):
                raise LLMCacheError(f"--vary {name}: this is {other}", f"Give it by {flag}")
        if name not in known:
            raise LLMCacheError(
                f"--vary {name}: {chosen.label} has no such parameter",
                did_you_mean(name, known) or "Its class has no field of this name",
            )


def parameters_named(spec: str | None, namespace: Mapping[str, Any]) -> list[str]:
    """Return what -p and --vary may set, the usual first, on the model that ``spec`` names.

    What no answer depends on and what is read only when a model is made is left out. Nothing is
    imported for it: of what is not loaded yet only the usual is told.
    """
    word = spec or DEFAULT_VARIABLE
    model = namespace.get(word)
    cls = type(innermost(model)) if model is not None else _loaded_class(word if spec else "openai")
    if cls is None or not issubclass(cls, BaseLanguageModel):
        return [*_USUAL] if model is None else []
    row = provider_of(cls)
    idle = {*_connection_names(), *EVERYWHERE, *ONLY_FIELDS, *row.never, *row.clients}
    idle |= {*MODEL_FIELDS, *row.parts, "stop", "stop_sequences", "n"}
    found = [name for name in fields_of(cls) if name not in idle]
    return [*(name for name in _USUAL if name in found), *sorted({*found} - {*_USUAL})]


def _loaded_class(word: str) -> type | None:
    """Return the class behind a word that names no variable, if it is imported already."""
    provider = word.partition(":")[0]
    if provider in BUILT_IN:
        from .local import Demo, Local

        return Demo if provider == "demo" else Local
    known = PROVIDERS.get(provider)
    package, _, name = next(iter(known.class_names if known else ()), "").partition(".")
    # A row may name a base, from which others derive too.
    return getattr(sys.modules.get(package), name.removeprefix("Base"), None)


def fields_of(model: BaseLanguageModel[Any] | type[BaseLanguageModel[Any]]) -> dict[str, str]:
    """Return a model's, or its class's, fields by their names and by their aliases."""
    fields: dict[str, str] = {}
    cls = model if isinstance(model, type) else type(model)
    for name, field in cls.model_fields.items():
        fields.setdefault(field.alias or name, name)
        fields[name] = name
    return fields


def innermost(model: Any) -> Any:
    """Return the model inside bindings and configurable fields."""
    while not isinstance(model, BaseLanguageModel):
        inner = getattr(model, "bound", None) or getattr(model, "default", None)
        if inner is None:
            break
        model = inner
    return model


def takes_messages(model: Any) -> bool:
    """Return whether ``model``, an agent, graph or chain, takes ``{"messages": [...]}``.

    Raises:
        LLMCacheError: It is a graph that takes something else.
    """
    if isinstance(model, BaseLanguageModel):
        return False
    is_graph = hasattr(model, "stream_mode")
    try:
        takes = model.get_input_jsonschema().get("properties", {})
    except PydanticUserError:  # pydantic reads no typing.TypedDict before Python 3.12
        names = getattr(model, "channels", ())
        takes = {name: {} for name in names if not name.startswith(("__", "branch:"))}
    except Exception:  # noqa: BLE001  # a chain may hold what has no schema; it takes the text
        takes = {}
    if is_graph and "messages" not in takes:
        raise LLMCacheError(
            f"this graph takes {', '.join(takes) or 'no messages'}, not messages",
            "-m takes a graph or an agent whose state has messages",
        )
    alone = [*takes] == ["messages"] and takes["messages"].get("type") == "array"
    return is_graph or alone
