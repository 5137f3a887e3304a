"""What ``-m`` names: a variable, ``provider:model``, ``local`` or ``demo``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable

from .. import modes
from ..errors import LLMCacheError
from ..providers import PROVIDERS
from . import prompts
from .model_parameters import split_connection, with_parameters
from .model_providers import OPENAI_VARIABLES, WAYS, build

if TYPE_CHECKING:
    from ..settings import LLMCache

#: The variable that is asked when nobody says whom to ask.
DEFAULT_VARIABLE = "llm"
#: Models that need no provider; a variable that holds a model may take their names.
BUILT_IN = ("demo", "local")

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


def _default(namespace: Mapping[str, Any], settings: LLMCache, *, replays: bool) -> str:
    if settings.model:
        return str(settings.model)
    if isinstance(namespace.get(DEFAULT_VARIABLE), BaseChatModel):
        return DEFAULT_VARIABLE
    if replays or any(map(os.environ.get, OPENAI_VARIABLES)):
        return f"openai:{settings.openai_model}"
    raise LLMCacheError("no model is named, and none is set up", WAYS)


def _variable(spec: str, namespace: Mapping[str, Any]) -> Model | None:
    """Return the model that the variable ``spec`` holds; None where ``spec`` names no variable."""
    if not prompts.is_path(spec) or prompts.root(spec) not in namespace:
        return None
    value = prompts.look_up(spec, namespace)
    if isinstance(value, Runnable):
        return value
    if spec in BUILT_IN:
        return None
    if isinstance(value, type) and issubclass(value, Runnable):
        raise LLMCacheError(f"-m {spec}: this is a class, not a model", f"Call it: {spec}(...)")
    raise LLMCacheError(
        f"-m {spec}: a {type(value).__name__} is no model",
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
        from .demo import Demo

        return Demo()
    if provider == "local":
        from .local import local_model

        return local_model(name or settings.local_model)
    if colon:
        return build(provider, name, connection, replays=replays)
    known = [*variables(namespace), *BUILT_IN, *PROVIDERS] if prompts.is_path(spec) else []
    raise LLMCacheError(
        f"-m {spec}: there is no variable of this name",
        prompts.nearest(spec, known) or f"A provider goes before a model: openai:{spec}",
    )
