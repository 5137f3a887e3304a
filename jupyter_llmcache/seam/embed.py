"""The door of embeddings: text by text out of the cache, and from the provider what is missing.

No cache of LangChain's sees embeddings. While a cache of ours lives, the public methods of every
class of ``Embeddings`` are wrapped, those of classes that are made later too. A model that embeds
on this machine, or hands its texts to another one that it holds, is left alone.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from .. import modes
from ..request.clients import client_in
from .doors import Below, Method
from .place import serving

if TYPE_CHECKING:
    from .embed_call import Batch

#: A method that asks one of these of the same object is no door: they are.
_HANDS_ON_TO = {
    "embed_documents": frozenset[str](),
    "embed_query": frozenset({"embed_documents"}),
    "aembed_documents": frozenset({"embed_documents"}),
    "aembed_query": frozenset({"aembed_documents", "embed_documents", "embed_query"}),
}
#: Words in names of fields with an address or a credential: what has one asks somebody.
_REACHES_OUT = frozenset(
    {
        "api",
        "base",
        "credentials",
        "endpoint",
        "host",
        "region",
        "server",
        "token",
        "uri",
        "url",
    }
)


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


_DOORS = Below(_HANDS_ON_TO, _wrapped)


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
                    answer = method(self, batch.asked(texts, asks_one), *args, **kwargs)
                batch.settle([answer] if asks_one else answer)
        return batch.answer(asks_one)

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
                    answer = await method(self, batch.asked(texts, asks_one), *args, **kwargs)
                came = [answer] if asks_one else answer
                await batch.place.run(functools.partial(batch.settle, came))
        return batch.answer(asks_one)

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
    """Return a watch over one call, or None where it is none of our business."""
    from .embed_call import Batch, is_busy  # few notebooks embed

    which = modes.embedded()
    if is_busy(model) or which == "off" or _holds_another(model):
        return None
    if which == "remote" and not asks_somebody(model):
        return None
    place = serving()
    if place is None:
        return None
    arguments = dict(zip(_parameters(method), args, strict=False)) | kwargs
    if asks_one:
        arguments["asked_as"] = "query"
    asked = [texts] if asks_one else list(texts)
    return Batch(place, model, asked, arguments) if asked else None


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


def _holds_another(model: Any) -> bool:
    return any(isinstance(value, Embeddings) for value in getattr(model, "__dict__", {}).values())
