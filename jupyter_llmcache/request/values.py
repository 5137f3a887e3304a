"""The values of parameters in canonical form, as they are shown and kept in a file."""

from __future__ import annotations

import dataclasses
import functools
import logging
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import FunctionType, MethodType, ModuleType
from typing import Any, is_typeddict

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, TypeAdapter

from .canonical import TAG, Canon, IndescribableError, dump, sorted_items, text_digest
from .clients import client_in
from .hidden import (
    header_name,
    headers_shown,
    hidden,
    is_example,
    is_harmless,
    query_shown,
    scrubbed,
    sounds_secret,
)
from .messages import describe_messages
from .own_code import Sources, is_own

#: Names of entries that hold HTTP headers or a URL's query.
CALL_HEADERS = frozenset({"additional_headers", "default_headers", "extra_headers"})
_HEADER_NAMES = CALL_HEADERS | {"headers"}
_QUERY_NAMES = frozenset({"default_query", "extra_query"})

_ITERATORS: tuple[type, ...] = (type(iter([])), type(iter(())))

#: Objects that guard or tell, and say nothing.
_SILENT = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Event,
    threading.Condition,
    threading.Semaphore,
    threading.local,
    logging.Logger,
    ContextVar,
    ModuleType,
)

#: The size of an object that holds nothing beside its attributes; libraries mark places by such.
_BARE_BYTES = type("_Bare", (), {}).__basicsize__

_CALLABLES = (FunctionType, MethodType, functools.partial)


class Values(Canon):
    """Canonical form of a parameter.

    Args:
        describe_model: Describes a model that stands in a field of another one.
        credentials: Headers that hold a credential and so neither count nor are shown.
        show: How a text is shown: ``scrubbed`` where its meaning is known, ``careful`` elsewhere.
        in_secret: Whether all this stands under the name of a secret: then a schema's examples are
            not shown.
    """

    def __init__(
        self,
        describe_model: Callable[[Any], Any],
        credentials: frozenset[str] = frozenset(),
        show: Callable[[str], Any] = scrubbed,
        *,
        in_secret: bool = False,
    ) -> None:
        self._make = describe_model, credentials
        self._show = show
        self._in_secret = in_secret

    def text(self, value: str) -> Any:
        """Return how a text is shown."""
        return self._show(value)

    def from_dict(self, value: Mapping[Any, Any]) -> Any:
        """Return ``value`` in canonical order, without headers that say nothing."""
        members = (
            (scrubbed(name), self.member(name, item))
            for name, item in sorted_items(value)
            if not hasattr(item, "get_secret_value")
        )
        return {name: item for name, item in members if item or name not in _HEADER_NAMES}

    def member(self, name: str, item: Any) -> Any:
        """Return the value of the entry ``name``."""
        if isinstance(item, Mapping):
            if name in _HEADER_NAMES:
                return self.headers(name, item)
            if name in _QUERY_NAMES:
                return query_shown(item)
        if sounds_secret(name) and item is not None and not isinstance(item, bool):
            if isinstance(item, (str, int, float)):
                return hidden(dump(Canon().plain(item)))
            show = self._show if isinstance(item, Mapping) else hidden
            return super(Values, Values(*self._make, show, in_secret=True)).member(name, item)
        if self._in_secret and is_example(name):
            return Values(*self._make, hidden).plain(item)
        return super().member(name, item)

    def headers(self, name: str, headers: Mapping[Any, Any]) -> dict[str, Any]:
        """Return headers: those of the request itself without its credentials, others whole."""
        if name in CALL_HEADERS:
            return headers_shown(headers, self._make[1])
        return {header_name(each): hidden(str(headers[each])) for each in sorted(headers, key=str)}

    def property(self, name: str, schema: Any) -> Any:
        """Return a schema's property: what it gives by example is not shown for a secret."""
        return self.member(name, schema) if sounds_secret(name) else self.plain(schema)

    def other(self, value: Any) -> Any:
        """Return tools, schemas, messages, models and plain records by what they say."""
        if isinstance(value, BaseMessage):
            return describe_messages([value])[0]
        if isinstance(value, BaseLanguageModel):
            return self._make[0](value)
        if isinstance(value, BaseTool):
            return self.plain(convert_to_openai_tool(value))
        if isinstance(value, TypeAdapter):
            return self.plain(value.json_schema())
        if isinstance(value, _ITERATORS):
            # A canned list counts as a whole, however far it was read.
            return self.plain(value.__reduce__()[1][0])
        if isinstance(value, _SILENT) or hasattr(value, "get_secret_value"):
            return None
        return self._schema(value) if isinstance(value, type) else self._record(value)

    def _record(self, value: Any) -> Any:
        if isinstance(value, BaseModel) and not hasattr(value, "invoke"):
            return self.from_dict(_set_fields(value.__dict__))
        if dataclasses.is_dataclass(value):
            return self.from_dict(_set_fields(vars(value)))
        if isinstance(value, _CALLABLES) or is_own(type(value)):
            return self.code(value)
        if (client := client_in("", value)) is not None:
            headers = headers_shown(client.headers, self._make[1])
            return [str(client.address), headers, query_shown(client.query)]
        if type(value).__basicsize__ == _BARE_BYTES and vars(value).keys() <= {"__module__"}:
            return {TAG + "class": type(value).__qualname__}
        return super().other(value)

    def careful(self) -> Values:
        """Return the same, for values of unknown meaning."""
        return Values(*self._make, careful)

    def code(self, value: Any) -> Any:
        """Return a digest of a function or of an object of a user: its source, what it holds."""
        told = Sources(Values(*self._make, str).plain).describe(value)
        return {TAG + "source": text_digest(dump(told))}

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
            if is_own(cls):
                return self.code(cls)
            raise IndescribableError(f"the class {cls.__name__}")
        try:
            schema = TypeAdapter(cls).json_schema()
        except Exception as error:
            raise IndescribableError(
                f"the class {cls.__name__}, which has no JSON schema,"
            ) from error
        return {"name": cls.__name__, "schema": self.plain(schema)}


def careful(text: str) -> Any:
    """Return a text of unknown meaning if it is harmless, else what stands for it."""
    return text if is_harmless(text) else hidden(text)


def _set_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
