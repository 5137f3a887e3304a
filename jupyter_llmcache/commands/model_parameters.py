"""How ``-t`` and ``-p`` reach a model: as its field where it has one, else with the call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.runnables.configurable import DynamicRunnable

from ..errors import LLMCacheError
from ..providers import connection_names

Model = Runnable[Any, Any]


def split_connection(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a provider's class takes when the model is made, and all other parameters."""
    known = connection_names()
    connection = {name: value for name, value in parameters.items() if name in known}
    return connection, {n: v for n, v in parameters.items() if n not in connection}


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
            f"-m {label}: a {type(model).__name__} takes no -t or -p; they are for a single model",
            f"Set {', '.join(parameters)} on the model inside it",
        )
    for name in split_connection(parameters)[0]:
        raise LLMCacheError(
            f"-p {name}: {label} is made already, and this is read only when a model is made",
            f"Give {name} to its class, or name the model as provider:model",
        )
    fields = _fields(model)
    update = {fields[name]: value for name, value in parameters.items() if name in fields}
    call = {name: value for name, value in parameters.items() if name not in fields}
    changed = model.model_copy(update=update)
    return changed.bind(**call) if call else changed


def _fields(model: BaseLanguageModel[Any]) -> dict[str, str]:
    """Return the model's fields by their names and by their aliases."""
    fields: dict[str, str] = {}
    for name, field in type(model).model_fields.items():
        fields.setdefault(field.alias or name, name)
        fields[name] = name
    return fields
