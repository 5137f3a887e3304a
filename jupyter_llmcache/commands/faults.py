"""One clear line for whatever a provider, its package or the way to it raises.

No provider's package is imported: what an error means is read from its HTTP status, which all of
them carry in one of a few places, or from the names of its classes.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Mapping

from ..errors import LLMCacheError, chain_of, status_of, without_secrets
from ..text import one_line

_MESSAGE_CHARS = 240
_IPYTHON = re.compile(r"[\\/]IPython[\\/]")
_BODY_PREFIX = re.compile(r"^Error code: \d+ - ")
_UNREACHABLE = re.compile(
    "ConnectError|Connection(Refused|Reset)?Error|NameResolutionError|ReadError|gaierror"
    "|RemoteProtocolError|ServiceUnavailable"
)
_TIMED_OUT = re.compile("Time(d)?[Oo]ut")
_UNEXPECTED_ARGUMENT = re.compile(r"unexpected keyword argument '(\w+)'")
_NO_KEY = re.compile(r"\b(?:api[ _-]?key|authentication|credentials?)\b", re.IGNORECASE)
#: How the HTTP status begins, what the provider says in any case, what it means, and what to do;
#: the first row that fits holds.
_STATUSES = (
    (
        "400",
        "context.{0,20}length|maximum context|too many tokens|context window",
        "the prompt is too long",
        "Shorten it, or ask a model with a larger context",
    ),
    ("401", "", "the key was refused", "Check the provider's key, and which server it is sent to"),
    ("403", "", "the key may not do this", "Check what the account is allowed to use"),
    ("404", "", "there is no such model or address", "Check the model's name and the base URL"),
    ("408", "", "the provider took too long", "Run the cell again"),
    ("413", "", "the request is too large", "Shorten the prompt or its images"),
    (
        "429",
        "quota|billing|credit",
        "the account's quota is used up",
        "See the account's billing at the provider",
    ),
    ("429", "", "too many requests", "Wait a moment and run the cell again; nothing was cached"),
    ("529", "", "the provider is overloaded", "Run the cell again later; nothing was cached"),
    ("5", "", "the provider failed", "Run the cell again later; nothing was cached"),
    ("", "", "the provider refused the request", "Change what it names, and run the cell again"),
)


def explain_provider_error(error: BaseException, label: str) -> LLMCacheError:
    """Return the one line for ``error``; the caller raises it from ``error``.

    Args:
        error: What the call of a model or chain raised.
        label: What the person calls the model.
    """
    for one in chain_of(error):
        if isinstance(one, LLMCacheError):
            return one
    what, remedy = _told(error)
    return LLMCacheError(f"{label}{what}", remedy)


def _told(error: BaseException) -> tuple[str, str]:
    """Return what goes behind the model's name, and what to do."""
    for one in chain_of(error):
        status = status_of(one)
        if status >= 400:
            said = said_by(one)
            what, remedy = next(
                (what, remedy)
                for begins, says, what, remedy in _STATUSES
                if str(status).startswith(begins) and re.search(says, said, re.IGNORECASE)
            )
            return f": {what} (HTTP {status}): {said}", remedy
    names = " ".join(base.__name__ for one in chain_of(error) for base in type(one).__mro__)
    said, address = said_by(error), _address(error)
    if _TIMED_OUT.search(names):
        remedy = "Run the cell again, or set -p timeout=120"
        return f": no answer came in time{address}", remedy
    if _UNREACHABLE.search(names):
        root = said_by(list(chain_of(error))[-1])
        remedy = "Check the network, the base URL, and whether the server runs"
        return f": the server cannot be reached{address}: {root}", remedy
    argument = _UNEXPECTED_ARGUMENT.search(said)
    if isinstance(error, TypeError) and argument:
        return f" takes no parameter {argument[1]!r}", "Check the name behind -p"
    if _NO_KEY.search(said):
        return f": {said}", "Set the provider's key in the environment"
    return f" failed: {type(error).__name__}: {said}", "%tb shows the whole traceback"


def _address(error: BaseException) -> str:
    """Return `` at http://...`` where the error knows its request; no user, password or query."""
    for one in chain_of(error):
        try:
            url = one.request.url  # type: ignore[attr-defined]
            user = f"{url.userinfo.decode()}@"
            return f" at {url.scheme}://{url.netloc.decode()}{url.path}".replace(user, "")
        except Exception:  # noqa: BLE001, S112  # httpx raises where no request is set; others have none
            continue
    return ""


def said_by(error: BaseException) -> str:
    """Return what ``error`` says, on one line, without keys."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, Mapping) else None
    text = message if isinstance(message, str) and message else _BODY_PREFIX.sub("", str(error))
    return one_line(without_secrets(text or type(error).__name__), _MESSAGE_CHARS)


#: Where a traceback names what differs from kernel to kernel and from machine to machine, so that
#: a prompt that holds it would never be found again: a cell's file, and where packages are.
_CELL = re.compile(r'File "[^"\n]*(?:ipykernel_\d+[/\\]|ipython-input-)[^"\n]*"')
_FOLDERS = re.compile(r'File "[^"\n]*[/\\](?:site-packages|dist-packages|python3\.\d+)[/\\]')


class LastError:
    """``{{Err}}``: the traceback of the newest error in the notebook, without secrets."""

    def __str__(self) -> str:
        error: BaseException | None = getattr(sys, "last_value", None)
        if error is None:
            raise LLMCacheError("{{Err}}: nothing has failed yet", "It is the last traceback")
        trace = error.__traceback__
        while trace is not None and _IPYTHON.search(trace.tb_frame.f_code.co_filename):
            trace = trace.tb_next
        text = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
        text = _FOLDERS.sub('File "', _CELL.sub('File "notebook cell"', text))
        return without_secrets(text)
