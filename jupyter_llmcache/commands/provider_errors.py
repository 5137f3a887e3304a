"""One clear line for whatever a provider, its package or the way to it raises.

No provider's package is imported: what an error means is read from its HTTP status, which all of
them carry in one of a few places, or from the names of its classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import LLMCacheError
from ..text import one_line

_MESSAGE_CHARS = 240
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|key|hf|nvapi|AIza)[-_]?[\w*\-]{12,}|(?<=Bearer )\S+", re.IGNORECASE
)
_BODY_PREFIX = re.compile(r"^Error code: \d+ - ")

_UNREACHABLE = frozenset(
    {
        "APIConnectionError",
        "ConnectError",
        "ConnectionError",
        "ConnectionRefusedError",
        "ConnectionResetError",
        "EndpointConnectionError",
        "NameResolutionError",
        "NewConnectionError",
        "ReadError",
        "RemoteProtocolError",
        "ServiceUnavailable",
        "gaierror",
    }
)
_TIMED_OUT = frozenset(
    {"APITimeoutError", "ConnectTimeout", "PoolTimeout", "ReadTimeout", "Timeout", "TimeoutError"}
)
_UNEXPECTED_ARGUMENT = re.compile(r"unexpected keyword argument '(\w+)'")
_NO_KEY = re.compile(r"\b(?:api[ _-]?key|authentication|credentials?)\b", re.IGNORECASE)

_QUOTA = re.compile(r"quota|billing|credit", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context.{0,20}length|maximum context|too many tokens|context window", re.IGNORECASE
)


def explain_provider_error(error: BaseException, label: str) -> LLMCacheError:
    """Return the one line for ``error``; the caller raises it from ``error``.

    Args:
        error: What the call of a model or chain raised.
        label: What the person calls the model.
    """
    for one in _chain(error):
        if isinstance(one, LLMCacheError):
            return one
    for read in (_by_status, _by_class, _by_message):
        explained = read(error, label)
        if explained is not None:
            return explained
    return LLMCacheError(
        f"{label} failed: {type(error).__name__}: {_said(error)}", "%tb shows the whole traceback"
    )


def _by_status(error: BaseException, label: str) -> LLMCacheError | None:
    found = ((one, _status(one)) for one in _chain(error))
    one, status = next(((one, status) for one, status in found if status), (error, 0))
    if status < 400:
        return None
    said = _said(one)
    what, remedy = _told_by_status(status, said)
    return LLMCacheError(f"{label}: {what} (HTTP {status}): {said}", remedy)


def _told_by_status(status: int, said: str) -> tuple[str, str]:
    if status == 429 and _QUOTA.search(said):
        return "the account's quota is used up", "See the account's billing at the provider"
    if status == 400 and _TOO_LONG.search(said):
        return "the prompt is too long", "Shorten it, or ask a model with a larger context"
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= 500:
        return "the provider failed", "Run the cell again later; nothing was cached"
    return "the provider refused the request", "Change what it names, and run the cell again"


_STATUSES: Mapping[int, tuple[str, str]] = {
    401: ("the key was refused", "Check the provider's key, and which server it is sent to"),
    403: ("the key may not do this", "Check what the account is allowed to use"),
    404: ("there is no such model or address", "Check the model's name and the base URL"),
    408: ("the provider took too long", "Run the cell again"),
    413: ("the request is too large", "Shorten the prompt or its images"),
    429: ("too many requests", "Wait a moment and run the cell again; nothing was cached"),
    529: ("the provider is overloaded", "Run the cell again later; nothing was cached"),
}


def _by_class(error: BaseException, label: str) -> LLMCacheError | None:
    names = {base.__name__ for one in _chain(error) for base in type(one).__mro__}
    address = _address(error)
    if names & _TIMED_OUT:
        return LLMCacheError(
            f"{label}: no answer came in time{address}", "Run the cell again, or set -p timeout=120"
        )
    if names & _UNREACHABLE:
        return LLMCacheError(
            f"{label}: the server cannot be reached{address}: {_said(_root(error))}",
            "Check the network, the base URL, and whether the server runs",
        )
    return None


def _by_message(error: BaseException, label: str) -> LLMCacheError | None:
    said = _said(error)
    argument = _UNEXPECTED_ARGUMENT.search(said)
    if isinstance(error, TypeError) and argument:
        return LLMCacheError(
            f"{label} takes no parameter {argument[1]!r}", "Check the name behind -p"
        )
    if _NO_KEY.search(said):
        return LLMCacheError(f"{label}: {said}", "Set the provider's key in the environment")
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what it came from, each once."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _root(error: BaseException) -> BaseException:
    return list(_chain(error))[-1]


def _status(error: BaseException) -> int:
    """Return the HTTP status that ``error`` carries, or 0."""
    for read in _STATUS_PLACES:
        status = read(error)
        if isinstance(status, int) and 100 <= status < 600:
            return status
    return 0


_STATUS_PLACES: tuple[Callable[[Any], Any], ...] = (
    lambda error: getattr(error, "status_code", None),
    lambda error: getattr(getattr(error, "response", None), "status_code", None),
    lambda error: getattr(error, "http_status", None),
    lambda error: getattr(error, "code", None),
)


def _address(error: BaseException) -> str:
    """Return `` at http://...`` where the error knows its request; no user, password or query."""
    for one in _chain(error):
        try:
            url = one.request.url  # type: ignore[attr-defined]
            return f" at {url.scheme}://{url.netloc.decode()}{url.path}".replace(
                f"{url.userinfo.decode()}@", ""
            )
        except Exception:  # noqa: BLE001, S112  # httpx raises where no request is set; others have none
            continue
    return ""


def _said(error: BaseException) -> str:
    """Return what ``error`` says, on one line, without keys."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, Mapping) else None
    text = message if isinstance(message, str) and message else _BODY_PREFIX.sub("", str(error))
    return one_line(_SECRET.sub("…", text or type(error).__name__), _MESSAGE_CHARS)
