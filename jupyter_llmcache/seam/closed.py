"""LangChain's back doors, closed while replay is in force.

Code may call a model's ``_generate`` or ``_stream`` itself, or write a ``generate`` that does; such
a call goes past the doors where answers are found. And what retries a failed call must not wait for
an answer that will not come.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import tenacity
from langchain_core.language_models import BaseChatModel, BaseLanguageModel, BaseLLM

from .. import modes
from ..errors import ReplayMissError
from ..ledger import LEDGER
from .call import OpenCall
from .place import Asked, Place

#: What every integration writes to ask its provider.
_PROVIDER_METHODS = ("_generate", "_agenerate", "_stream", "_astream")
_HOOK = "__init_subclass__"
#: Stands on a method that is ours.
_MARK = "_llmcache_closed"

_closed: list[tuple[type, str, Any]] = []
_lock = threading.RLock()


def close() -> None:
    """Refuse in replay what calls a provider's method itself, of classes to come too."""
    with _lock:
        if _closed:
            return
        _put(tenacity.retry_if_exception, "__call__", _wrap_predicate)
        for base in (BaseChatModel, BaseLLM):
            for cls in _below(base):
                _close_class(cls)
        _closed.append((BaseLanguageModel, _HOOK, vars(BaseLanguageModel).get(_HOOK)))
        setattr(BaseLanguageModel, _HOOK, classmethod(_see_new_class))


def reopen() -> None:
    """Give every class its own methods back, but where other code has put one over ours."""
    with _lock:
        for cls, name, original in reversed(_closed):
            if original is None:
                delattr(cls, name)
            elif name == _HOOK or getattr(vars(cls).get(name), "__wrapped__", None) is original:
                setattr(cls, name, original)
        _closed.clear()


def _below(base: type) -> Iterator[type]:
    below: list[type] = base.__subclasses__()
    for cls in below:
        yield cls
        yield from _below(cls)


def _see_new_class(cls: type[Any], /, **kwargs: Any) -> None:
    super(BaseLanguageModel, cls).__init_subclass__(**kwargs)
    with _lock:
        _close_class(cls)


def _close_class(cls: type) -> None:
    for name in _PROVIDER_METHODS:
        if callable(vars(cls).get(name)):
            _put(cls, name, _wrap_method)


def _put(cls: type, name: str, wrap: Callable[[Any], Any]) -> None:
    original = vars(cls)[name]
    if not hasattr(original, _MARK):
        wrapped: Any = functools.wraps(original)(wrap(original))
        setattr(wrapped, _MARK, True)
        setattr(cls, name, wrapped)
        _closed.append((cls, name, original))


def _wrap_method(original: Callable[..., Any]) -> Callable[..., Any]:
    def closed(self: Any, *args: Any, **kwargs: Any) -> Any:
        if modes.current_mode() != "replay":
            return original(self, *args, **kwargs)
        reason = f"code calls {original.__name__} itself"
        call = OpenCall(Place(reason), Asked(self, args[0] if args else "", None, {}))
        try:
            return call.recall()
        finally:
            LEDGER.record(call.event(LEDGER.cell, 0.0))

    return closed


def _wrap_predicate(original: Callable[..., bool]) -> Callable[..., bool]:
    def is_worth_a_retry(self: Any, state: tenacity.RetryCallState) -> bool:
        if state.outcome is not None and isinstance(state.outcome.exception(), ReplayMissError):
            return False
        return original(self, state)

    return is_worth_a_retry
