"""Guards over the process's sockets, for tests that promise what is sent: nothing, or nothing far.

An audit hook sees every connect and look-up of a name, whoever asks for it; it cannot be taken
away, so it is put in once and does nothing while no guard is up.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


class NetworkUsedError(RuntimeError):
    """Something tried to reach a host that this test forbids."""


@dataclass
class Guard:
    """Refuses connections while it is up.

    Attributes:
        loopback: Whether this machine itself may be reached.
        attempts: What was refused, as ``host:port``, in order.
    """

    loopback: bool
    attempts: list[str] = field(default_factory=list)

    def look(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo":
            host, port = args[0], args[1]
        elif event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
            host, port = args[1][0], args[1][1]
        else:
            return
        if self.loopback and _is_loopback(host):
            return
        self.attempts.append(f"{host}:{port}")
        raise NetworkUsedError(f"{event} to {host}:{port}")


_guards: list[Guard] = []
_hooked = False


@contextmanager
def forbidden(*, loopback: bool) -> Iterator[Guard]:
    """Refuse every connection of this process, but to itself with ``loopback``."""
    _hook()
    guard = Guard(loopback)
    _guards.append(guard)
    try:
        yield guard
    finally:
        _guards.remove(guard)


def _hook() -> None:
    global _hooked  # noqa: PLW0603  # an audit hook is for the whole process and stays
    if not _hooked:
        sys.addaudithook(_look)
        _hooked = True


def _look(event: str, args: tuple[Any, ...]) -> None:
    if _guards and event.startswith("socket."):
        for guard in tuple(_guards):
            guard.look(event, args)


def _is_loopback(host: Any) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False
