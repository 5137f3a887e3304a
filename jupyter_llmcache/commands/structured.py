"""``--schema``: an answer as an object, by the provider's own structured output."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from langchain_core.messages import AIMessage
from pydantic import BaseModel, TypeAdapter, ValidationError

from ..errors import LLMCacheError, chain_of
from ..text import a_type, one_line

_FAULT_CHARS = 300


def schema_of(name: str, value: Any) -> Any:
    """Return ``value`` where an answer can be asked to fit it.

    Raises:
        LLMCacheError: It is not a pydantic class, TypedDict, dataclass or JSON schema.
    """
    is_class = isinstance(value, type)
    if is_class and (issubclass(value, BaseModel) or is_dataclass(value)):
        return value
    if is_class and hasattr(value, "__total__"):  # a TypedDict
        return value
    if isinstance(value, dict) and ("properties" in value or "type" in value):
        return value if "title" in value else {"title": name, **value}
    raise LLMCacheError(
        f"--schema {name}: {a_type(value)} is not a schema",
        "Give a pydantic class, a TypedDict, a dataclass, or a dict with a JSON schema",
    )


def structured(model: Any, schema: Any, label: str) -> Any:
    """Return ``model`` asked to fit ``schema``; it gives the message and the object.

    Raises:
        LLMCacheError: The model's class has no structured output.
    """
    asked = schema
    if is_dataclass(schema):
        asked = {
            "title": getattr(schema, "__name__", "Answer"),
            **TypeAdapter(schema).json_schema(),
        }
    try:
        return model.with_structured_output(asked, include_raw=True)
    except (NotImplementedError, AttributeError, ValueError) as error:
        why = f": {one_line(error, 120).rstrip('.')}" if isinstance(error, ValueError) else ""
        raise LLMCacheError(
            f"{label}, {a_type(model)}, has no structured output{why}",
            "Ask another model, or leave --schema out",
        ) from error


def read_structured(given: dict[str, Any], schema: Any) -> tuple[AIMessage | None, Any, str]:
    """Return the message, the object, and why it does not fit (empty where it does)."""
    message, value, error = given.get("raw"), given.get("parsed"), given.get("parsing_error")
    if error is None and value is not None and is_dataclass(schema):
        try:
            value = TypeAdapter(schema).validate_python(value)
        except ValidationError as fault:
            error = fault
    if error is None and value is not None:
        return message, value, ""
    name = getattr(schema, "__name__", None) or schema.get("title", "the schema")
    why = _said(error) if error is not None else "there is no object in it"
    return message, None, f"the answer does not fit {name}: {why}"


def refusal(error: BaseException, schema: Any) -> dict[str, Any] | None:
    """Return what a class that reads its answer inside the provider's method has refused.

    As ``with_structured_output`` returns it; None where ``error`` is something else.
    """
    from ..seam.structured import refused

    fault = _refused_by(error)
    if fault is None:
        return None
    found = refused(fault, {"response_format": schema}, "")
    return {"raw": AIMessage(found[0].text if found else ""), "parsing_error": fault}


def _refused_by(error: BaseException) -> ValidationError | None:
    return next((one for one in chain_of(error) if isinstance(one, ValidationError)), None)


def _said(error: BaseException) -> str:
    if (fault := _refused_by(error)) is not None:
        told = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
        return one_line("; ".join(told), _FAULT_CHARS)
    return one_line(error, _FAULT_CHARS)
