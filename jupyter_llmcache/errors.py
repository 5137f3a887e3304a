"""Errors that a person reads: what happened, what was passed, what to do next."""

from __future__ import annotations

import contextlib
import os
import re
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

#: Texts, which are made into patterns when they are first needed. A colour may stand before a key.
_LIKE_A_KEY = (
    r"(?i)(?:\b|(?<=\dm))(?:sk|pk|rk|gsk|xai|key|hf|nvapi|AIza)[-_]?(?=[\w*\-]*[\d*])[\w*\-]{12,}"
    r"|(?<=Bearer )\S+"
)
_NAME_OF_A_KEY = "(?i)KEY|TOKEN|SECRET|PASSWORD"
_SECRET_CHARS = 8

#: The keys of models whose provider failed, as a server may echo them, or that were drawn.
_keys: set[str] = set()


def without_secrets(text: str) -> str:
    """Return ``text`` without what looks like a key, the environment's secrets and models' keys."""
    named = {value for name, value in os.environ.items() if re.search(_NAME_OF_A_KEY, name)}
    for secret in {value for value in named if len(value) >= _SECRET_CHARS} | _keys:
        text = text.replace(secret, "…")
    return re.sub(_LIKE_A_KEY, "…", text)


def note_secrets(keys: Iterable[str]) -> None:
    """Take ``keys`` out of all that is told from now on."""
    _keys.update(key for key in keys if len(key) >= _SECRET_CHARS)


def hide_secrets(error: BaseException, keys: Iterable[str]) -> None:
    """Take secrets out of what ``error`` says, and ``keys`` out of all that is told from now on."""
    note_secrets(keys)
    for one in chain_of(error):
        one.args = _cleaned(one.args)
        for name, said in [*vars(one).items()]:  # messages, bodies, notes
            with contextlib.suppress(AttributeError):
                setattr(one, name, _cleaned(said))


def _cleaned(said: Any) -> Any:
    if isinstance(said, str):
        return without_secrets(said)
    if type(said) in (list, tuple):
        return type(said)(map(_cleaned, said))
    return {n: _cleaned(v) for n, v in said.items()} if type(said) is dict else said


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error``, what it came from and what it is a group of, each once."""
    seen: set[int] = set()
    ahead: list[BaseException | None] = [error]
    for one in ahead:
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            ahead += [one.__cause__ or one.__context__, *getattr(one, "exceptions", ())]


class _OneLine(BaseException):
    """One clear line; the cell fails, and the whole traceback is there by ``%tb``.

    Args:
        what: What happened, with what was passed, as one sentence without its full stop.
        remedy: What to do next. Empty where nothing can be done.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        self._drawn = False
        super().__init__(f"{what.rstrip('.')}. {remedy}".strip() if remedy else what)

    def _render_traceback_(self) -> list[str]:
        """What IPython draws: one line the first time, everything when asked again by ``%tb``."""
        if not self._drawn:
            self._drawn = True
            return [f"{type(self).__name__}: {self}"]
        return [without_secrets(line) for line in traceback.format_exception(self)]


class LLMCacheError(_OneLine, Exception):
    """What all our errors are but one: see ``NotSentError``."""


class NotSentError(_OneLine):
    """Replay is in force, and a model's client was about to send what nothing recorded answers.

    No ``Exception``: SDKs would ask again, each for some seconds, and then wrap it into their own.
    """


class StoreError(LLMCacheError):
    """The file or backend that holds the entries cannot be opened, read or written."""


class DamagedEntryError(StoreError):
    """An entry is not what was stored, and so is never returned as an answer."""


class ReplayMissError(LLMCacheError):
    """In replay mode nothing recorded answers the request, and the provider is not called."""


class NotDescribableError(Exception):
    """A request that cannot be described completely and so must not be cached.

    Args:
        reason: A few words for the annotation, as in ``not cached: a tool without a schema``.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def said_by(error: BaseException) -> str:
    """Return what ``error`` says, or its class where it says nothing."""
    return str(error) or type(error).__name__


def status_of(error: Any) -> int:
    """Return the HTTP status that ``error`` carries, or 0."""
    response = getattr(error, "response", None)
    for holder, name in (
        (error, "status_code"),
        (response, "status_code"),
        (error, "http_status"),
        (error, "code"),
    ):
        status = getattr(holder, name, None)
        if isinstance(status, int) and 100 <= status < 600:
            return status
    return 0
