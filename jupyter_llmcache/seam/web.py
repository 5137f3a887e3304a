"""What the notebook fetches by HTTP beside LangChain's calls: its key, its entry, its way.

A client's door (see ``clients``) stands in one method of its transport. It shows each request to
``begin``, and what comes back to the ``Visit`` that it got: the answer from the file, or a place
for the live one, which goes on to its reader piece by piece and is kept when it is whole.
"""

from __future__ import annotations

import functools
import inspect
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from .. import modes
from ..errors import NotSentError, ReplayMissError, StoreError, said_by
from ..ledger import LEDGER, Call, Entry, Kind
from . import serving, web_request
from .doors import Method, Wrap
from .web_answer import WebAnswer, decode, encode, kept_headers, tells_error, unpacked
from .web_request import WebRequest

#: What a client's method was called with, by name; its ``module``, its name as ``method``.
Given = dict[str, Any]

#: A longer answer is not kept, in bytes, unpacked.
MAX_BODY_BYTES = 10_000_000
#: Answers of these states tell of the asker or of the hour, not of what was asked.
_PASSING = frozenset({304, 401, 403, 407, 408, 409, 425, 429})
_CARRIES_TOKEN = re.compile(rb'(?<!\\)"(?:access|refresh|id|session)_?token"\s*:\s*"', re.I)  # noqa: FURB167  # on one line
#: What the libraries of lessons report to their makers: never kept, and in replay taken for sent.
_REPORTS = re.compile(
    r"(?:.*\.)?(?:posthog\.com|sentry\.io|segment\.(?:io|com)|amplitude\.com|scarf\.sh|mixpanel\.com)"
)
_TRACING = re.compile(r"(?:.*\.)?(?:smith\.langchain\.com|langfuse\.com)")
_TRACES = re.compile(r"/(?:api/v\d/|api/public/)?(?:runs|info|ingestion|otel)(?:/|$)")


_TAKEN = WebAnswer(
    202, "Accepted", (("content-type", "application/json"), ("content-length", "2")), b"{}"
)


def door(
    names: str,
    asked: Callable[[Given], Any],
    replayed: Callable[[Given, WebAnswer], Any],
    came: Callable[[Given, Visit, Any], Any],
    *,
    is_async: bool = False,
) -> Wrap:
    """Return the wrap of a client's method, or of its coroutine function.

    Of a coroutine function each of the three may be one too; if not, it runs off the loop, which
    the file must not keep waiting.

    Args:
        names: The names of the method's arguments that come by place; "" as its signature says.
        asked: Returns the WebRequest; None where it is left alone.
        replayed: Returns what the method returns where a recorded answer comes.
        came: Tells the visit what came, and what will be read of it.
        is_async: Whether it is a coroutine function.
    """

    def wrap(original: Method, module: ModuleType) -> Method:
        order = names.split() or inspect.signature(original).parameters

        def given_by(args: tuple[Any, ...], kwargs: Given) -> Given:
            by_place = dict(zip(order, args, strict=False))
            return {"module": module, "method": original.__name__, **by_place, **kwargs}

        def ask(*args: Any, **kwargs: Any) -> Any:
            given = given_by(args, kwargs)
            request = asked(given)
            visit = begin(request) if request else None
            if visit is None:
                return original(*args, **kwargs)
            if visit.answer is not None:
                return replayed(given, visit.answer)
            with visit.sending():
                response = original(*args, **kwargs)
            came(given, visit, response)
            return response

        async def ask_async(*args: Any, **kwargs: Any) -> Any:
            given = given_by(args, kwargs)
            request = await off_the_loop(asked, given)
            visit = await off_the_loop(begin, request) if request else None
            if visit is None:
                return await original(*args, **kwargs)
            if visit.answer is not None:
                return await off_the_loop(replayed, given, visit.answer)
            with visit.sending():
                response = await original(*args, **kwargs)
            await off_the_loop(came, given, visit, response)
            return response

        return ask_async if is_async else ask

    return wrap


async def off_the_loop(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call what may touch the file: in a thread, unless it is a coroutine function."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    from anyio import to_thread  # httpx's own need; it knows loops of others than asyncio too

    return await to_thread.run_sync(functools.partial(function, *args, **kwargs))


def begin(asked: WebRequest) -> Visit | None:
    """Take a request in hand that a client is about to send; None where it is left alone.

    Raises:
        ReplayMissError: Replay is in force, nothing recorded answers it, and it may not be sent.
        NotSentError: The same, of a request to a model: no retry repeats it.
    """
    replays = modes.current_mode() == "replay"
    webs = serving.webs()
    if not replays and (serving.is_inside_call() or not any(web.records for web in webs)):
        return None
    if _is_report(asked):
        return Visit(asked, None, _TAKEN) if replays else None
    if web_request.is_jupyter(asked):
        return None
    if not replays:
        web = next(web for web in webs if web.records)
        return Visit(asked, web).look()
    for web in webs:
        if (visit := Visit(asked, web).look()).answer is not None:
            return visit
    for web in webs if web_request.asks_model(asked) else ():
        other = _readdressed(web, asked)
        if other is not None and (visit := Visit(other, web).look()).answer is not None:
            return visit
    return refuse(asked)


def refuse(asked: WebRequest) -> Visit | None:
    """Refuse in replay what nothing recorded answers; None, or a visit, where it may be sent.

    Raises:
        ReplayMissError: It may not be sent.
        NotSentError: The same, of a request to a model.
    """
    to_model = web_request.asks_model(asked)
    if not to_model and web_request.is_here(asked.host):
        return None
    visit = Visit(asked, None)
    if to_model or not modes.allows_web():
        raise visit.refused(serving.webs(), to_model=to_model)
    return visit


def _is_report(asked: WebRequest) -> bool:
    path = urlsplit(asked.url).path
    return bool(
        _REPORTS.fullmatch(asked.host) or (_TRACING.fullmatch(asked.host) and _TRACES.match(path))
    )


class Visit:
    """One request between the door that saw it and the event that tells of it.

    Attributes:
        answer: The recorded answer; None where the request is to be sent.
    """

    def __init__(
        self, asked: WebRequest, web: serving.Web | None, answer: WebAnswer | None = None
    ) -> None:
        self.asked = asked
        self.answer = answer
        self._web = web
        self._cell = LEDGER.cell
        self._began = time.perf_counter()
        self._number = 0 if web is None else web.turn(asked.digest)
        self._body: list[bytes] = []
        self._size = 0
        self._head: WebAnswer | None = None
        self._packing = ""
        self._warning: str | None = None
        self._over = False
        self._pending = False

    def look(self) -> Visit:
        """Look into the file, and tell of a hit."""
        assert self._web is not None  # noqa: S101  # for the type checker
        mode = modes.current_mode()
        if mode in ("bypass", "refresh") or self.asked.body is None:
            return self
        try:
            entry = self._web.find(self.asked, self._number, replays=mode == "replay")
            if entry is not None:
                answer, signed = decode(entry.answer)
                if mode == "replay" or not signed:
                    self.answer = answer
                    self._tell("hit", entry=entry)
        except StoreError as error:
            self._warning = str(error)
        return self

    def refused(
        self, webs: Iterable[serving.Web], *, to_model: bool
    ) -> ReplayMissError | NotSentError:
        """Return the error that tells that replay sends nothing."""
        differs = self._warning or next(
            filter(None, (self.asked.differs_from(web.recorded(self.asked.host)) for web in webs)),
            "nothing recorded",
        )
        self._tell("error", reason="not sent", unrecorded=differs)
        cell = f" (cell {self._cell})" if self._cell is not None else ""
        what = f"replay: {self.asked.title} was not sent{cell}; {differs}"
        if to_model:
            return NotSentError(what, "Run it once in mode auto, with a key and --record-web")
        return ReplayMissError(what, "Record it with --record-web, or allow it with --allow-web")

    # --- a live answer ---

    @contextmanager
    def sending(self) -> Iterator[None]:
        """The block in which the client sends; what it sends inside is not told of again."""
        try:
            with serving.inside_call():
                yield
        except BaseException as error:
            self._tell("error", reason=type(error).__name__)
            self._over = True
            raise

    def got(
        self,
        status: int,
        reason: str,
        headers: Iterable[tuple[str, str]],
        *,
        unpacked: bool = False,
        framed: bool = False,
    ) -> None:
        """Note the head of the answer as it came.

        The body comes without its packing where it is ``unpacked``, in the frames of a chunked body
        where it is ``framed``.
        """
        pairs = [(name.lower(), value) for name, value in headers]
        self._head = WebAnswer(status, reason, pairs, b"")
        if not unpacked:
            self._packing = self.header("content-encoding")
        if framed:
            self._packing += ",chunked"

    def take(
        self,
        status: int,
        reason: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        *,
        unpacked: bool = True,
    ) -> None:
        """Note an answer that came whole."""
        self.got(status, reason, headers, unpacked=unpacked)
        self.feed(body)
        self.end()

    def header(self, name: str) -> str:
        """Return a header of the answer, or nothing."""
        head = self._head.headers if self._head else ()
        return next((value for each, value in head if each == name), "").strip().lower()

    def feed(self, piece: bytes) -> None:
        """Note a piece of the body."""
        self._size += len(piece)
        if self._size <= MAX_BODY_BYTES:
            self._body.append(bytes(piece))

    @property
    def wants_rest(self) -> bool:
        """Whether a reader that leaves early should have the rest read: it is short, and known."""
        length = self.header("content-length")
        return not self._over and length.isdigit() and self._size < int(length) <= MAX_BODY_BYTES

    def end(self, *, whole: bool = True) -> None:
        """Note that the body is over; keep the answer if it is whole and worth it. Never raises."""
        if self._over:
            return
        self._over = True
        # A stream says that it is over; OpenAI's SDK does not read on after that.
        whole = whole or b"".join(self._body[-2:]).rstrip().endswith(b"data: [DONE]")
        mode = modes.current_mode()
        if self._web is None or mode == "bypass":
            self._tell("miss" if self._web is None else "bypass")
            return
        try:
            reason = None if whole else "it was left before its end"
            reason = reason or self._keep(self._web)
            stored = reason is None and not self._pending
        except Exception as error:  # noqa: BLE001  # the answer is the reader's already, whatever failed here
            reason, stored, self._warning = None, False, said_by(error)
        self._tell("miss", reason=reason, stored=stored)

    def _keep(self, web: serving.Web) -> str | None:
        """Store the answer, or return why not."""
        if self._head is None:
            return "it never came"
        if self.asked.body is None:
            return "what was sent cannot be read twice"
        status = self._head.status
        if status < 200 or status in _PASSING or status >= 500:
            return f"HTTP {status}"
        if web.store.read_only:
            return f"{web.store.location} is read-only"
        body = b"" if self._size > MAX_BODY_BYTES else unpacked(b"".join(self._body), self._packing)
        if self._size > MAX_BODY_BYTES or (body is not None and len(body) > MAX_BODY_BYTES):
            return f"larger than {MAX_BODY_BYTES // 1_000_000} MB"
        if body is None:
            return f"packed by {self._packing}, which cannot be unpacked here"
        has_token = "json" in self.header("content-type") and _CARRIES_TOKEN.search(body)
        if has_token or (status < 400 and web_request.asks_model(self.asked) and tells_error(body)):
            return "it carries a token" if has_token else "it tells of an error"
        clean = self.asked.without_keys(body)
        length = self.header("content-length") if self.asked.method == "HEAD" else str(len(clean))
        said = [(name, self._without_keys(value)) for name, value in self._head.headers]
        headers, signed = kept_headers(said, length or "0")
        signed = signed or clean != body
        entry = Entry(
            key=self.asked.key(self._number),
            answer=encode(WebAnswer(status, self._head.reason, headers, clean), signed=signed),
            created_at=time.time(),
            provider_s=time.perf_counter() - self._began,
            kind="web",
            request=self.asked.request_text,
            prompt=self.asked.prompt_text,
            title=self.asked.title,
        )
        self._pending = not web.keep(self.asked, self._number, entry)
        return None

    def _without_keys(self, header: str) -> str:
        clean = self.asked.without_keys(header.encode("utf-8", "surrogatepass"))
        return clean.decode("utf-8", "surrogatepass")

    def _tell(
        self,
        kind: Kind,
        *,
        entry: Entry | None = None,
        reason: str | None = None,
        stored: bool = False,
        unrecorded: str | None = None,
    ) -> None:
        wall_s = time.perf_counter() - self._began
        LEDGER.record(
            Call(
                cell=self._cell,
                kind=kind,
                model=f"web:{self.asked.host}",
                key=self.asked.key(self._number).hex(),
                wall_s=wall_s,
                lookup_s=wall_s if entry else 0.0,
                provider_s=None if entry else wall_s,
                saved_s=entry.provider_s if entry else None,
                stored=stored,
                reason=reason,
                recorded_at=entry.created_at if entry else None,
                location=self._web.store.location if self._web else None,
                warning=self._warning,
                asked="web",
                unrecorded=unrecorded,
                pending=self._pending,
            )
        )


def _readdressed(web: serving.Web, asked: WebRequest) -> WebRequest | None:
    """Return a request to a model at the only other address that is recorded for its path's end."""
    end = "/" + urlsplit(asked.url).path.rpartition("/")[2]
    urls = {str(each.get("url")) for each in web.recorded(end)}
    urls = {url for url in urls if url.partition("?")[0].endswith(end)}
    is_only = len(urls) == 1 and asked.shown_url not in urls
    return WebRequest(asked.method, urls.pop(), asked.headers, asked.body) if is_only else None
