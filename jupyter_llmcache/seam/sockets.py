"""The last wall of replay: no socket of Python reaches another machine.

Clients of HTTP have doors that know what they ask (see ``clients``); whatever comes to a socket by
itself is judged by its address here. An audit hook sees every connect, every datagram and every
look-up of a name; it cannot be taken away, so it is put in by the first replay and does nothing
while none is in force. What has sockets of its own, past Python's, is held by name as far as it can
be.
"""

from __future__ import annotations

import errno
import gc
import os
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from .. import modes
from ..errors import ReplayMissError
from ..ledger import LEDGER, Call
from . import serving, web
from .doors import Door, Doors, Method, Wrap, text
from .web_request import WebRequest, is_here, is_model_host

#: Names and addresses of our own stores, which stay free.
_ours: set[str] = set()
_lock = threading.Lock()
_hooked = False


def close(owner: object) -> None:
    """Let nothing leave this machine while ``owner`` lives and until ``reopen``.

    Connections that stand open to other machines are shut.
    """
    global _hooked  # noqa: PLW0603  # an audit hook is for the whole process and stays
    with _lock:
        _DOORS.install(owner)
        if not _hooked:
            sys.addaudithook(_look)
            _hooked = True
    if not modes.allows_web():
        shut_open_connections()


def free(hosts: Iterable[str]) -> None:
    """Leave ``hosts`` reachable: our own stores stand there."""
    for host in hosts:
        _ours.add(host)
        with suppress(OSError):
            _ours.update(str(found[4][0]) for found in socket.getaddrinfo(host, None))


def _look(event: str, args: tuple[Any, ...]) -> None:
    if not _DOORS.owners or not event.startswith("socket.") or modes.current_mode() != "replay":
        return
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        _check(args[0], "the name", _NameRefusedError)
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        if isinstance(address, tuple) and address:
            _check(address[0], "a connection to", datagram=_is_datagram(args[0]))


class _NameRefusedError(ReplayMissError, socket.gaierror):
    """A name is not looked up; who looks before it asks by a client that we know bears this."""


def _check(
    host: Any, what: str, error: type[ReplayMissError] = ReplayMissError, *, datagram: bool = False
) -> None:
    """Refuse what goes to ``host``, unless that is this machine or our own store.

    Raises:
        ReplayMissError: It may not be reached.
        OSError: The same, of a datagram: many libraries find out this machine's address by one.
    """
    name = host.decode("latin-1") if isinstance(host, bytes) else str(host or "")
    if name in _ours or is_here(name) or (modes.allows_web() and not is_model_host(name)):
        return
    if datagram:
        raise OSError(errno.ENETUNREACH, f"replay: nothing is sent to {name}")
    if error is not _NameRefusedError or not serving.knows_host(name):
        _tell(name)
    where = f" (cell {LEDGER.cell})" if LEDGER.cell is not None else ""
    raise error(
        f"replay: {what} {name} was not asked for{where}; nothing leaves this machine",
        "Such a connection is not recorded; %llm_cache mode replay --allow-web lets it out",
    )


def _tell(host: str) -> None:
    LEDGER.record(
        Call(
            cell=LEDGER.cell,
            kind="error",
            model=f"web:{host}",
            key=None,
            wall_s=0.0,
            reason="not sent",
            asked="web",
            unrecorded="not by a client whose requests can be recorded",
        )
    )


# --- what stands open ---


def shut_open_connections() -> int:
    """Shut this process's connections to other machines, whoever opened them; return how many."""
    listening = _listening_ports()
    return sum(_shut_if_foreign(connection, listening) for connection in _connections())


def _connections() -> Iterator[socket.socket]:
    """Yield a socket for each of this process's sockets, and leave the process's own open."""
    try:
        files = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208  # names alone, quickly
    except (OSError, ValueError):
        # Where sockets are no files, those that Python opened are at least seen.
        yield from [each for each in gc.get_objects() if isinstance(each, socket.socket)]
        return
    for file in files:
        with suppress(OSError):  # closed meanwhile
            if stat.S_ISSOCK(os.fstat(file).st_mode):
                with socket.socket(fileno=os.dup(file)) as found:
                    yield found


def _listening_ports() -> set[int]:
    ports: set[int] = set()
    for each in _connections():
        with suppress(OSError):
            if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                name = each.getsockname()
                ports.update(name[1:2] if isinstance(name, tuple) else ())
    return ports


def _shut_if_foreign(connection: socket.socket, listening: set[int]) -> bool:
    try:
        here, peer = connection.getsockname(), connection.getpeername()
        if not isinstance(peer, tuple) or peer[0] in _ours or is_here(str(peer[0])):
            return False
        if here[1] in listening:  # somebody called: a kernel's front end may stand elsewhere
            return False
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # not connected, or gone
        return False
    return True


# --- what has sockets of its own ---


def _first(check: Callable[..., None]) -> Wrap:
    """Return a wrap that in replay lets ``check`` look at the arguments first."""

    def wrap(original: Method, _: ModuleType) -> Method:
        def checked(*args: Any, **kwargs: Any) -> Any:
            if modes.current_mode() == "replay":
                check(*args, **kwargs)
            return original(*args, **kwargs)

        return checked

    return wrap


def _by_host(position: int, name: str) -> Wrap:
    """Check the host in an argument, by position or ``name``."""

    def check(*args: Any, **kwargs: Any) -> None:
        host = kwargs.get(name) or (args[position] if len(args) > position else None)
        host = host[0] if isinstance(host, tuple) else host
        if host is not None:
            _check(host, "a connection to")

    return _first(check)


def _by_address(connection: socket.socket, *args: Any) -> None:
    """Check the address that a socket's method gets last: the hook sees it after a look-up."""
    if args and isinstance(args[-1], tuple):
        _check(args[-1][0], "a connection to", datagram=_is_datagram(connection))


def _is_datagram(connection: socket.socket) -> bool:
    return connection.type & 0xF == socket.SOCK_DGRAM


def _by_option(_: Any, option: Any, value: Any, *__: Any, **___: Any) -> None:
    """Check the address that libcurl is given, by whatever client."""
    if int(option) == _CURLOPT_URL:
        web.refuse(WebRequest("GET", text(value), (), None))


def _by_call(call: Any, *_: Any, **__: Any) -> None:
    """Check the address and the method of a call of gRPC."""
    host = text(_grpc_target(call)).rpartition("/")[2]
    web.refuse(WebRequest("POST", f"grpc://{host}{text(call._method)}", (), None))  # noqa: SLF001  # it has no other


def _by_channel(channel: Any, *args: Any, **kwargs: Any) -> None:
    """Check whom a channel of gRPC connects to, where somebody waits for that alone.

    Its target is like ``dns:///far:443``, ``far:443`` or ``unix:/socket``.
    """
    target = text(_grpc_target(channel))
    if True in (*args, *kwargs.values()) and not target.startswith("unix"):
        _check(urlsplit(f"//{target.rpartition('/')[2]}").hostname or "", "a connection to")


def _grpc_target(call: Any) -> Any:
    target: Any = getattr(getattr(call, "_channel", None), "target", "unknown")
    return target() if callable(target) else target


def _curl(original: Any, module: ModuleType) -> Any:
    """Return pycurl's class, which is written in C, with a check of its addresses."""

    class Curl(original):  # type: ignore[misc]  # known when it is imported
        setopt = _first(_by_option)(original.setopt, module)

    return Curl


_CURLOPT_URL = 10002
_GRPC = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream", "SingleThreadedUnaryStream")

_DOORS = Doors(
    [
        *(
            Door("socket", "socket", name, _first(_by_address))
            for name in ("connect", "connect_ex", "sendto")
        ),
        Door("uvloop", "Loop", "create_connection", _by_host(2, "host")),
        Door("uvloop", "Loop", "create_datagram_endpoint", _by_host(3, "remote_addr")),
        Door("uvloop", "Loop", "getaddrinfo", _by_host(1, "host")),
        Door("uvloop", "Loop", "sock_connect", _by_host(2, "address")),
        Door("curl_cffi.curl", "Curl", "setopt", _first(_by_option)),
        Door("pycurl", "", "Curl", _curl),
        Door("grpc._channel", "Channel", "subscribe", _first(_by_channel)),
        Door("grpc.aio._channel", "Channel", "get_state", _first(_by_channel)),
        *(
            Door("grpc._channel", f"_{kind}MultiCallable", name, _first(_by_call))
            for kind in _GRPC
            for name in ("__call__", "with_call", "future")
        ),
        *(
            Door("grpc.aio._channel", f"{kind}MultiCallable", "__call__", _first(_by_call))
            for kind in _GRPC[:4]
        ),
    ]
)

#: Takes the wall down once no owner is left.
reopen = _DOORS.uninstall
