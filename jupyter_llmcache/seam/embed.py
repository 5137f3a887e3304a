"""Embeddings: text by text out of the cache, and from the provider what is missing.

No cache of LangChain's sees embeddings. While a cache of ours lives, the public methods of every
class of ``Embeddings`` are wrapped, those of classes that are made later too. A model that embeds
on this machine, or hands its texts to another one that it holds, is left alone.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import Any, Self

from langchain_core.embeddings import Embeddings

from .. import modes
from .. import request as keys
from ..answer.vector import decode, encode
from ..errors import (
    LLMCacheError,
    NotDescribableError,
    ReplayMissError,
    StoreError,
    hide_secrets,
    said_by,
)
from ..ledger import LEDGER, Call, Entry, Kind
from ..provider_row import names
from ..request.clients import client_in
from ..text import format_count, one_line
from .batches import telling_embedding
from .doors import Method, SubclassDoors
from .place import CHOOSE_FIRST, RECORD_FIRST, Place, current_place
from .serving import inside_call

#: A method that asks one of these of the same object is no door: they are.
_HANDS_ON_TO = {
    "embed_documents": frozenset[str](),
    "embed_query": frozenset({"embed_documents"}),
    "aembed_documents": frozenset({"embed_documents"}),
    "aembed_query": frozenset({"aembed_documents", "embed_documents", "embed_query"}),
}
#: Words in names of fields with an address or a credential: what has one asks somebody.
_REACHES_OUT = names("api base credentials endpoint host region server token uri url")
#: Objects whose own method is asking a provider just now; what they call of themselves is no call.
_busy: ContextVar[frozenset[int]] = ContextVar("llmcache_embedding", default=frozenset())


def put() -> None:
    """Wrap the methods of every class of embeddings, now and when it is made."""
    _DOORS.put(Embeddings)


def take() -> None:
    """Put every original back, unless other code stands over ours."""
    _DOORS.take()


def _wrapped(method: Method, name: str) -> Method | None:
    if getattr(method, "__isabstractmethod__", False) or _hands_on(method, _HANDS_ON_TO[name]):
        return None
    make = _async_door if name.startswith("a") else _door
    return functools.wraps(method)(make(method, "query" in name))


_DOORS = SubclassDoors(_HANDS_ON_TO, _wrapped)


def _hands_on(method: Method, to: frozenset[str]) -> bool:
    """Whether ``method`` asks its object for one of ``to``, and for none of the others."""
    names = getattr(getattr(inspect.unwrap(method), "__code__", None), "co_names", ())
    asked = _HANDS_ON_TO.keys() & set(names)
    return bool(asked) and asked <= to and "super" not in names


def _door(method: Method, asks_one: bool) -> Method:
    def embed(self: Any, texts: Any, *args: Any, **kwargs: Any) -> Any:
        batch = _open(self, method, texts, args, kwargs, asks_one)
        if batch is None:
            return method(self, texts, *args, **kwargs)
        with batch:
            if batch.look():
                with batch.paying():
                    came = method(self, batch.asked(texts), *args, **kwargs)
                batch.settle(came)
        return batch.answer()

    return embed


def _async_door(method: Method, asks_one: bool) -> Method:
    async def embed(self: Any, texts: Any, *args: Any, **kwargs: Any) -> Any:
        batch = _open(self, method, texts, args, kwargs, asks_one)
        if batch is None:
            return await method(self, texts, *args, **kwargs)
        with batch:
            # Whatever the store does, it does not do it on the event loop.
            if await batch.place.run(batch.look):
                with batch.paying():
                    came = await method(self, batch.asked(texts), *args, **kwargs)
                await batch.place.finish(batch.settle, came)
        return batch.answer()

    return embed


# --- who is watched ---


def _open(
    model: Any,
    method: Method,
    texts: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    asks_one: bool,
) -> Batch | None:
    """Return a watch over one call, or None where it is left alone."""
    which = modes.embedded()
    held = getattr(model, "__dict__", {}).values()
    if which == "off" or id(model) in _busy.get() or any(isinstance(v, Embeddings) for v in held):
        return None
    if which == "remote" and not asks_somebody(model):
        return None
    place = current_place()
    if place is None:
        return None
    arguments = dict(zip(_parameters(method), args, strict=False)) | kwargs
    if asks_one:
        arguments["asked_as"] = "query"
    asked = [texts] if asks_one else list(texts)
    return Batch(place, model, asked, arguments, asks_one=asks_one) if asked else None


@functools.lru_cache(maxsize=256)
def _parameters(method: Method) -> tuple[str, ...]:
    return tuple(inspect.signature(method).parameters)[2:]


def asks_somebody(model: Any) -> bool:
    """Whether ``model`` has a field for an address or a credential, or a client that has one."""
    state = getattr(model, "__dict__", {})
    fields = getattr(type(model), "model_fields", None) or state
    clients = (client_in(name, value) for name, value in state.items())
    return _has_words(tuple(fields)) or any(each and each.address for each in clients)


@functools.lru_cache(maxsize=256)
def _has_words(fields: tuple[str, ...]) -> bool:
    return any(
        not field.startswith("model") and not _REACHES_OUT.isdisjoint(field.split("_"))
        for field in fields
    )


# --- one call ---


class Batch:
    """One call between the moment it is seen and the event that tells of it.

    Inside the block, ``look`` says whether a provider has to be asked, and raises in replay; what
    ``asked`` returns is then asked for inside ``paying``, and ``settle`` keeps it.
    """

    def __init__(
        self,
        place: Place,
        model: Any,
        texts: list[Any],
        arguments: dict[str, Any],
        *,
        asks_one: bool,
    ) -> None:
        self._began = time.perf_counter()
        self._cell = LEDGER.cell
        self.place, self._model, self._texts = place, model, texts
        self._arguments, self._asks_one = arguments, asks_one
        self._store = place.store
        self._mode = modes.current_mode()
        self._requests: list[keys.Request] = []
        self._held: dict[bytes, Entry] = {}
        self._vectors: dict[bytes, list[float]] = {}
        self._missing: dict[bytes, keys.Request] = {}
        self._came: Any = None
        self._is_one_question = False
        self._lookup_s = 0.0
        self._provider_s: float | None = None
        self._stored = self._pending = False
        self._reason: str | None = None
        self._warning: str | None = None
        self._unrecorded: str | None = None
        self._label = ""

    def _describe(self) -> str | None:
        """Make the requests; return why not, where there are none."""
        if self._mode == "bypass":
            return "mode bypass"
        if not all(type(text) is str for text in self._texts):
            return "what it embeds is not text"
        lists = [value for value in self._arguments.values() if isinstance(value, list | tuple)]
        if any(len(value) == len(self._texts) for value in lists):
            # Each text has a part of this argument, so that the batch is one question.
            if len(set(self._texts)) < len(self._texts):
                return "an argument goes with each of its equal texts"
            self._arguments["texts"] = self._texts
            self._is_one_question = True
        try:
            first = keys.describe(self._model, "", None, self._arguments)
            self._requests = first.with_texts(self._texts)
        except NotDescribableError as error:
            return error.reason
        except Exception as error:  # noqa: BLE001  # an odd model must cost the user the cache, not the call
            return f"{type(error).__name__} while describing the request"
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            self._reason = self._reason or type(error).__name__
            with suppress(Exception):  # as in call.py
                hide_secrets(error, keys.secrets_of(self._model, {}))
        LEDGER.record(self._event(failed=error is not None))

    # --- before the provider ---

    def look(self) -> bool:
        """Return whether a provider has to be asked.

        Raises:
            ReplayMissError: It would have to be, and replay is in force.
        """
        self._reason = self._describe()
        self._label = self._requests[0].model if self._requests else keys.model_label(self._model)
        self._find(self._requests)
        if self._missing and self._mode == "replay":
            # Under the only address that the file knows for this model.
            for first in self.place.readdressed(self._requests[0]):
                if self._missing:
                    self._find(first.with_texts(self._texts))
        self._lookup_s = time.perf_counter() - self._began
        if self._missing and modes.current_mode() == "replay":
            raise self._replay_miss()
        return bool(self._missing) or not self._requests

    def _find(self, requests: list[keys.Request]) -> None:
        """Look for what answers ``requests``, which are the batch's from here on."""
        self._requests, self._held = requests, {}
        self._missing = {request.key: request for request in requests}
        if self._store is None or not requests or self._mode not in ("auto", "replay"):
            return
        try:
            for key, entry in self._store.get_many(list(self._missing)).items():
                self._vectors[key], self._held[key] = decode(entry.answer), entry
                del self._missing[key]
        except StoreError as error:
            self._warning = str(error)
        if self._is_one_question and self._missing:
            self._held, self._vectors = {}, {}
            self._missing = {request.key: request for request in requests}

    def _replay_miss(self) -> ReplayMissError:
        count, first = len(self._missing), next(iter(self._missing.values()))
        self._unrecorded, whole = self.place.unrecorded(first)
        what = f"replay: {count} of {len(self._texts)} texts for {self._label} are not recorded"
        title = one_line(first.title, 60)
        remedy = RECORD_FIRST if self._store is not None else CHOOSE_FIRST
        return ReplayMissError(f"{what}: {title!r}; {self._warning or whole}", remedy)

    # --- the provider, and after it ---

    def asked(self, texts: Any) -> Any:
        """Return what the provider is asked for: what is missing, or ``texts`` as they came."""
        if self._asks_one or self._asks_all:
            return texts
        return [request.content for request in self._missing.values()]

    @property
    def _asks_all(self) -> bool:
        return len(self._missing) in (0, len(self._texts))

    @contextmanager
    def paying(self) -> Iterator[None]:
        """Time the provider; what the model calls of itself inside the block is no other call.

        Raises:
            ReplayMissError: Replay has begun meanwhile.
        """
        if self._requests and modes.current_mode() == "replay":
            raise self._replay_miss()
        what = format_count(len(self._missing) or len(self._texts), "text")
        began = time.perf_counter()
        try:
            with (
                modes.setting(_busy, _busy.get() | {id(self._model)}),
                inside_call() if self._requests else nullcontext(),
                telling_embedding(what),
            ):
                yield
        finally:
            self._provider_s = time.perf_counter() - began

    def settle(self, came: Any) -> None:
        """Keep what came for what was asked.

        Raises:
            LLMCacheError: Only a part was asked for, and something else came.
        """
        if self._asks_all:
            self._came = came
        if not self._requests:
            return
        try:
            vectors = [came] if self._asks_one else came
            self._vectors.update(zip(self._missing, vectors, strict=True))
            self._keep()
        except Exception as error:
            if not self._asks_all and len(self._vectors) < len({r.key for r in self._requests}):
                count = len(self._missing)
                raise LLMCacheError(
                    f"{self._label} did not answer {count} texts with {count} vectors"
                ) from error
            # They are paid for: nothing may take them from the user.
            self._warning = said_by(error)

    def _keep(self) -> None:
        if self._store is None or self._mode not in ("auto", "refresh"):
            return
        if self._store.read_only:
            self._reason = f"{self._store.location} is read-only"
            return
        now, each_s = time.time(), (self._provider_s or 0.0) / len(self._missing)
        entries = []
        for key, request in self._missing.items():
            packed = encode(self._vectors[key])
            if packed is None:
                self._reason = "a vector is not a list of finite numbers"
                continue
            texts = (request.description, request.prompt, request.title)
            entries.append(Entry(key, packed, now, each_s, "embedding", *texts))
        if entries:
            self._stored = self._store.put_many(entries)
            self._pending = not self._stored

    def answer(self) -> Any:
        """Return the vectors in the order of the texts; a list of its own for each."""
        if self._came is not None:
            return self._came
        if self._asks_one:
            return self._vectors[self._requests[0].key]
        last = {request.key: place for place, request in enumerate(self._requests)}
        return [
            vector if last[request.key] == place else list(vector)
            for place, request in enumerate(self._requests)
            for vector in (self._vectors[request.key],)
        ]

    # --- what it was ---

    def _event(self, *, failed: bool) -> Call:
        kind: Kind = "miss" if self._missing else "hit"
        kind = "error" if failed else kind if self._requests else "bypass"
        saved = [entry.provider_s for entry in self._held.values() if entry.provider_s is not None]
        recorded = [entry.created_at for entry in self._held.values()]
        return Call(
            cell=self._cell,
            kind=kind,
            model=self._label,
            key=self._requests[0].key.hex() if self._requests else None,
            wall_s=time.perf_counter() - self._began,
            lookup_s=self._lookup_s,
            provider_s=self._provider_s,
            saved_s=sum(saved) if saved and kind == "hit" else None,
            stored=self._stored,
            pending=self._pending,
            reason=self._reason,
            recorded_at=max(recorded) if recorded and kind == "hit" else None,
            location=self._store.location if self._store is not None else None,
            warning=self._warning,
            asked="embedding",
            texts=len(self._texts),
            texts_cached=sum(request.key in self._held for request in self._requests),
            keys=tuple(request.key for request in self._requests),
            unrecorded=self._unrecorded,
        )
