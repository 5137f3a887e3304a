"""The values of parameters in canonical form: tools and schemas by content, secrets left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, is_typeddict

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, TypeAdapter

from .canonical import TAG, Canon, IndescribableError, dump, sorted_items
from .messages import describe_messages
from .secrets import clean_headers, clean_query, hide, is_credential_name
from .user_code import function_digest

#: Names of entries that hold HTTP headers or a URL's query.
_HEADER_NAMES = frozenset({"additional_headers", "default_headers", "extra_headers", "headers"})
_QUERY_NAMES = frozenset({"default_query", "extra_query"})

_ITERATORS: tuple[type, ...] = (type(iter([])), type(iter(())))


class ParameterCanon(Canon):
    """Canonical form of a parameter.

    Args:
        describe_model: Describes a model that stands in a field of another one.
    """

    def __init__(self, describe_model: Callable[[Any], Any]) -> None:
        self._describe_model = describe_model

    def text(self, name: str, value: Any) -> str:
        """Return the canonical JSON text of the value of the parameter ``name``.

        Raises:
            IndescribableError: The value, or something in it, has no canonical form.
        """
        kind = type(value)
        if kind is int:
            return str(value)
        if kind is str:
            return dump(hide(name, value))
        return dump(self.member(name, value))

    def from_dict(self, value: Mapping[Any, Any]) -> Any:
        """Return ``value`` in canonical order, without entries that hold credentials."""
        members = (
            (name, self.member(name, item))
            for name, item in sorted_items(value)
            if not is_secret(name, item)
        )
        return {name: item for name, item in members if item or name not in _HEADER_NAMES}

    def member(self, name: str, item: Any) -> Any:
        """Return the value of the entry ``name``."""
        if type(item) is str:
            return hide(name, item)
        if isinstance(item, Mapping):
            if name in _HEADER_NAMES and _is_flat(item):
                return clean_headers(item)
            if name in _QUERY_NAMES:
                return clean_query(item)
        return super().member(name, item)

    def other(self, value: Any) -> Any:
        """Return tools, schemas, messages, models and plain records by what they say."""
        if isinstance(value, BaseMessage):
            return describe_messages([value])[0]
        if isinstance(value, BaseLanguageModel):
            return self._describe_model(value)
        if isinstance(value, BaseTool):
            return self.plain(convert_to_openai_tool(value))
        if isinstance(value, type):
            return self._schema(value)
        return self._record(value)

    def _record(self, value: Any) -> Any:
        if isinstance(value, _ITERATORS):
            # A canned list counts as a whole, however far it was read.
            return self.plain(value.__reduce__()[1][0])
        if isinstance(value, FunctionType):
            return {TAG + "function": function_digest(value, self.plain)}
        if isinstance(value, BaseModel) and not hasattr(value, "invoke"):
            return self.from_dict(_set_fields(value.__dict__))
        if dataclasses.is_dataclass(value):
            return self.from_dict(_set_fields(vars(value)))
        return super().other(value)

    def tool(self, value: Any) -> Any:
        """Return a tool by its schema; functions and classes count as the schema they make."""
        if callable(value) and not isinstance(value, BaseTool):
            try:
                return self.plain(convert_to_openai_tool(value))
            except Exception as error:
                raise IndescribableError("a tool without a schema") from error
        return self.plain(value)

    def _schema(self, cls: type) -> Any:
        if not (issubclass(cls, BaseModel) or dataclasses.is_dataclass(cls) or is_typeddict(cls)):
            raise IndescribableError(f"the class {cls.__name__}")
        try:
            schema = TypeAdapter(cls).json_schema()
        except Exception as error:
            raise IndescribableError(
                f"the class {cls.__name__}, which has no JSON schema,"
            ) from error
        return {"name": cls.__name__, "schema": self.plain(schema)}


def is_secret(name: str, value: Any) -> bool:
    """Whether ``value``, under ``name``, is a credential and so is left out."""
    if hasattr(value, "get_secret_value"):
        return True
    return (isinstance(value, (str, bytes)) or callable(value)) and is_credential_name(name)


def _is_flat(headers: Mapping[Any, Any]) -> bool:
    return all(isinstance(value, (str, bytes)) for value in headers.values())


def _set_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
