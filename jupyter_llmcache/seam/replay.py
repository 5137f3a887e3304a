"""What holds while replay is in force: closed doors, a wall, and keys where lessons want some.

Code may call a model's ``_generate`` or ``_stream`` itself, or write a ``generate`` that does; such
a call goes past the doors where answers are found, and is refused. And what retries a failed call
must not wait for an answer that will not come.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import modes
from ..errors import NotSentError, ReplayMissError, StoreError
from ..ledger import LEDGER
from ..provider_row import KEY_VARIABLE, PLACEHOLDER_KEY
from ..providers import PROVIDERS
from ..request.installed import is_installed
from ..text import json_or_text
from . import clients, serving, sockets
from .doors import Door, Doors, Method, Owner, SubclassDoors, Wrap

if TYPE_CHECKING:
    from ..stores.base import Store

#: Lessons set these from themselves, which fails where nothing is set; traces are not sent.
_TRACING_KEYS = ("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY")

#: Names of variables without which a model or a tool cannot be made.
_WANTED = re.compile(r"\w+API_?KEY|\w+_API_TOKEN")
_US = __name__.partition(".")[0]

_owners: weakref.WeakSet[object] = weakref.WeakSet()
_placed: dict[str, str] = {}
_lock = threading.RLock()


def hold(owner: object) -> None:
    """Let nothing leave this machine while ``owner`` lives and until ``release``.

    Processes that this one starts replay too, as far as they import this package; those of
    ``multiprocessing`` do.
    """
    if modes.current_mode() != "replay":
        return  # a lesson that is just recorded may ask for replay
    with _lock:
        _owners.add(owner)
        clients.install(owner)
        _DOORS.install(owner)
        for web in serving.webs():
            _prepare(web.store)
        _place(_TRACING_KEYS, PLACEHOLDER_KEY)
        if type(os.environ) is _THEIRS:
            os.environ.__class__ = _Environment
        _tell_processes()
        sockets.close(owner)


def hold_process() -> None:
    """Hold for as long as this process lives, unless the environment changes its mind."""
    if modes.ENVIRONMENT_VARIABLE not in _placed:  # as a reload finds what is ours
        hold(_PROCESS)


#: Who holds where the environment asks for replay.
_PROCESS = Owner()


def release(owner: object) -> None:
    """Give everything back once no owner is left, but for what the notebook has set itself."""
    with _lock:
        _owners.discard(owner)
        clients.uninstall(owner)
        _DOORS.uninstall(owner)
        sockets.reopen(owner)
        _tell_processes()
        if not _owners:
            _take_back(list(_placed))
            if type(os.environ) is _Environment:
                os.environ.__class__ = _THEIRS


def join(store: Store) -> None:
    """Prepare for a store that is turned on while replay holds."""
    with _lock:
        if _owners:
            _prepare(store)


def _prepare(store: Store) -> None:
    sockets.free(getattr(store, "hosts", ()))
    with suppress(StoreError):  # closed meanwhile, or at fault, which its own calls will tell
        _place(_key_variables(store.requests()), PLACEHOLDER_KEY)


def _key_variables(requests: Iterable[str]) -> list[str]:
    """Return the variables that hold the keys of what ``requests`` (of entries) were asked of."""
    names: dict[str, None] = {}
    for text in requests:
        try:
            request = json_or_text(text)
            used, row = request.get("keys") or (), PROVIDERS.get(request.get("provider"))
        except (AttributeError, TypeError):
            continue
        if row is not None:
            used = [name for name in row.keys if name.endswith("KEY")]
        names.update(dict.fromkeys(name for name in used if KEY_VARIABLE.fullmatch(str(name))))
    return list(names)


def _place(names: Iterable[str], value: str) -> None:
    for name in names:
        if not os.environ.get(name):
            os.environ[name] = _placed[name] = value


def _take_back(names: Iterable[str]) -> None:
    for name in names:
        value = _placed.pop(name, None)
        if value is not None and os.environ.get(name) == value:
            del os.environ[name]


def _tell_processes() -> None:
    """Let processes that are started from here on do as this one, as far as they import us."""
    _take_back((modes.ENVIRONMENT_VARIABLE, modes.WEB_VARIABLE))
    if _owners:
        web = modes.allows_web()
        _place([modes.ENVIRONMENT_VARIABLE], "replay")
        _place([modes.WEB_VARIABLE] if web else [], "1")


# --- keys that nobody knew of when the lesson was recorded ---

_THEIRS: Any = type(os.environ)


class _Environment(_THEIRS):  # type: ignore[misc]  # Python's own is private
    """The environment in replay: who cannot do without a key that is not set finds a placeholder.

    A lesson may make models and tools that it asks nothing, so that no file knows of them. Code of
    the lesson that asks whether a key is there hears the truth, and so takes the branch that it
    took when it was recorded, as far as the file tells.
    """

    def __getitem__(self, name: str) -> str:
        try:
            return str(super().__getitem__(name))
        except KeyError:
            wanted = _WANTED.fullmatch(str(name)) and not self._holds_shorter(str(name))
            if wanted and _cannot_do_without():
                return PLACEHOLDER_KEY
            raise

    def _holds_shorter(self, name: str) -> bool:
        """Whether X_API_KEY is set where MY_X_API_KEY is asked for, by who chooses one of them."""
        words = name.split("_")
        return any("_".join(words[cut:]) in self for cut in range(1, len(words)))

    def __setitem__(self, name: str, value: str | None) -> None:
        # A lesson's os.environ["X"] = os.getenv("X"), where X is not set, or the teacher's key
        # taken out of one.
        if value or not _WANTED.fullmatch(str(name)):
            super().__setitem__(name, value)


def _cannot_do_without() -> bool:
    """Whether a library asks for the variable, or the lesson by ``os.environ[name]``."""
    frame = sys._getframe(2)  # noqa: SLF001  # there is no other way to see who asks
    way = ""
    while (module := str(frame.f_globals.get("__name__"))) in ("os", "collections.abc"):
        way, caller = way or frame.f_code.co_name, frame.f_back
        if caller is None:
            return False
        frame = caller
    if way == "__contains__" or module.partition(".")[0] == _US:
        return False
    return not way or is_installed(module)


#: A prompt for a key. ``getpass`` asks for one unless its prompt says that it wants a password.
_KEY_PROMPT = re.compile(
    r"(?:api|access|auth|secret)[ _-]?(?:key|token)|[A-Z\d]_(?:KEY|TOKEN)\b", re.IGNORECASE
)
_PASSWORD_PROMPT = re.compile(r"pass(?:word|phrase|code)", re.IGNORECASE)


def _keys_typed(asks_key: Callable[[str], object]) -> Wrap:
    """Return a wrap that answers a prompt for a key itself: in replay nobody needs one."""

    def wrap(original: Method, _: ModuleType) -> Method:
        def ask(*args: Any, **kwargs: Any) -> Any:
            words = [each for each in (*args, kwargs.get("prompt")) if isinstance(each, str)]
            if modes.current_mode() == "replay" and asks_key(words[0] if words else ""):
                return PLACEHOLDER_KEY
            return original(*args, **kwargs)

        return ask

    return wrap


_BY_GETPASS = _keys_typed(lambda prompt: not _PASSWORD_PROMPT.search(prompt))
_BY_INPUT = _keys_typed(_KEY_PROMPT.search)


# --- other processes ---


def _importing_us(original: Method, _: ModuleType) -> Method:
    """A process that shares nothing with this one unpickles what it is told, and so imports us."""

    def start(self: Any) -> Any:
        if modes.current_mode() == "replay":
            self._config["llmcache"] = hold_process  # beside settings that every process is given
        return original(self)

    return start


class _AsException:
    """A pool's function; its workers know no error but an ``Exception``, and wait for ever."""

    def __init__(self, function: Method) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._function(*args, **kwargs)
        except NotSentError as error:
            raise ReplayMissError(error.what, error.remedy) from None


def _in_pool(original: Method, _: ModuleType) -> Method:
    def ask(self: Any, func: Method, *args: Any, **kwargs: Any) -> Any:
        replays = modes.current_mode() == "replay"
        return original(self, _AsException(func) if replays else func, *args, **kwargs)

    return ask


_DOORS = Doors(
    [
        Door("multiprocessing.process", "BaseProcess", "start", _importing_us),
        *(
            Door("multiprocessing.pool", "Pool", name, _in_pool)
            for name in ("apply_async", "_map_async", "imap", "imap_unordered")
        ),
        Door("getpass", "", "getpass", _BY_GETPASS),
        Door("builtins", "", "input", _BY_INPUT),
        # A kernel puts its own in their places for each cell.
        Door("ipykernel.kernelbase", "Kernel", "getpass", _BY_GETPASS),
        Door("ipykernel.kernelbase", "Kernel", "raw_input", _BY_INPUT),
    ]
)


# --- LangChain's back doors ---


def close_models() -> None:
    """Refuse in replay what calls a provider's method itself, of classes to come too."""
    from langchain_core.language_models import BaseChatModel, BaseLLM

    _RETRIES.install(_PROCESS)
    for base in (BaseChatModel, BaseLLM):
        _MODELS.put(base)


def reopen_models() -> None:
    """Give every class its own methods back, but where other code has put one over ours."""
    _RETRIES.uninstall(_PROCESS)
    _MODELS.take()


def _closed(original: Method, name: str) -> Method:
    @functools.wraps(original)
    def closed(self: Any, *args: Any, **kwargs: Any) -> Any:
        if modes.current_mode() != "replay":
            return original(self, *args, **kwargs)
        from .call import OpenCall
        from .place import Asked, Place

        reason = f"code calls {name} itself"
        asked = Asked(self, args[0] if args else "", None, {}, is_async=True)
        call = OpenCall(Place(reason), asked)
        try:
            return call.recall()
        finally:
            LEDGER.record(call.event(LEDGER.cell, 0.0))

    return closed


def _wrap_predicate(original: Method, _: ModuleType) -> Method:
    def is_worth_a_retry(self: Any, state: Any) -> Any:
        if state.outcome is not None and isinstance(state.outcome.exception(), ReplayMissError):
            return False
        return original(self, state)

    return is_worth_a_retry


#: What every integration writes to ask its provider.
_MODELS = SubclassDoors(("_generate", "_agenerate", "_stream", "_astream"), _closed)
_RETRIES = Doors([Door("tenacity", "retry_if_exception", "__call__", _wrap_predicate)])
