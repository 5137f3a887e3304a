"""Describes what LangChain would hand to a model, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from jupyter_llmcache.request import Request, describe
from tests.unit.request.sides import Builder

ROOT = "http://127.0.0.1:9"


class _Seen(BaseException):
    """Stops a call at the place where the provider would be asked."""

    def __init__(
        self,
        model: BaseChatModel,
        messages: Sequence[BaseMessage],
        stop: Sequence[str] | None,
        kwargs: Mapping[str, Any],
    ) -> None:
        self.request = describe(model, messages, stop, kwargs)
        super().__init__()


def _stop_here(self, messages, stop=None, run_manager=None, **kwargs):
    raise _Seen(self, messages, stop, kwargs)


def described(build: Builder) -> Request:
    """Return the request of a side, as the provider's own method would get it."""
    side = build(ROOT)
    with patch.object(BaseChatModel, "_generate_with_cache", _stop_here):
        try:
            side.run()
        except _Seen as seen:
            return seen.request
    raise AssertionError("the side asks no model")
