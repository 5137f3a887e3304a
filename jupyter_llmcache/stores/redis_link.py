"""The connection to a Valkey or Redis server: addresses, faults in one line, and who pays.

Nobody waits for a server that is away: after the first fault every question fails at once, until a
thread has seen it answer again.

One machine at a time pays for a request, while the others wait for what it gets: ``Claim``.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from ..errors import LLMCacheError, StoreError
from .base import BusyError

T = TypeVar("T")

URL_VARIABLE = "LLMCACHE_REDIS_URL"
USER_VARIABLE, PASSWORD_VARIABLE = "REDIS_USERNAME", "REDIS_PASSWORD"

#: What a call waits for a server that does not answer, in seconds.
_CALL_S = 0.2
#: What a look through many entries waits, in seconds.
_PATIENT_S = 5.0
#: The first and the longest pause between two tries to reach a server that is away, in seconds.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
    "redis+sentinel": "redis+sentinel",
}
#: Which of redis-py's errors are the server's last word: what it does, and the remedy.
_REFUSALS = {
    "AuthenticationError": (
        "refuses the user or the password",
        f"Set {USER_VARIABLE} and {PASSWORD_VARIABLE}",
    ),
    "AuthenticationWrongNumberOfArgsError": ("refuses the password", f"Set {PASSWORD_VARIABLE}"),
    "NoPermissionError": ("does not let this user do that", "Ask who runs it, or use --read-only"),
    "OutOfMemoryError": (
        "is full",
        "Raise its maxmemory, or set a policy that evicts, as allkeys-lru",
    ),
    "ReadOnlyError": (
        "is a replica that cannot be written",
        "Use the address of its primary, or --read-only",
    ),
}
#: A claim ends so long after its owner died, in seconds; the owner renews it three times meanwhile.
_CLAIM_S = 6.0
#: How long the word that a claim has ended stays for those who wait, in seconds.
_TOLD_S = 30
_RENEW = "return redis.call('get',KEYS[1])==ARGV[1] and redis.call('pexpire',KEYS[1],ARGV[2]) or 0"
_FREE = "return redis.call('get',KEYS[1])==ARGV[1] and redis.call('del',KEYS[1]) or 0"
#: Which tell that it does not answer.
_AWAY = {"ClusterDownError", "ConnectionError", "RedisClusterException", "TimeoutError"}


class ServerAwayError(BusyError):
    """The server does not answer now."""


class Link:
    """One server, or one cluster, as two clients: a hasty one for calls and a patient one.

    Args:
        url: Where it is; see ``RedisStore``.
        client: A client of the user's own in its place.

    Attributes:
        name: The address without user and password.
        notice: What the user should know about the address; None when nothing.

    Raises:
        LLMCacheError: The address is not valid, or redis-py is not installed.
    """

    def __init__(self, url: str, client: Any) -> None:
        self._redis = _library()
        self._is_away = False
        self._closed = threading.Event()
        #: Connections that ``value`` asks on, of this process.
        self._idle: deque[Any] = deque()
        self._process = os.getpid()
        self.notice: str | None = None
        if client is not None:
            self.name = f"redis client of class {type(client).__name__}"
            self._hasty = self._patient = client
        else:
            given = url or os.environ.get(URL_VARIABLE, "")
            self.name, self.notice = _shown(given, typed=bool(url))
            self._hasty = self._open(given, _CALL_S)
            self._patient = self._open(given, _PATIENT_S)
        self.is_cluster = isinstance(self._hasty, self._redis.RedisCluster)
        pool = getattr(self._hasty, "connection_pool", None)
        # Elsewhere it is not for us to say which server answers.
        self._is_one_server = client is None and type(pool) is self._redis.ConnectionPool

    def value(self, name: bytes) -> Any:
        """Return what stands under ``name``, or None. Raises as ``ask``."""
        return self.ask(lambda server: self._get(server, name))

    def _get(self, server: Any, name: bytes) -> Any:
        """Ask on a connection of our own: a client of redis-py takes five times as long."""
        if not self._is_one_server:
            return server.get(name)
        if self._process != os.getpid():  # this is a fork: the connections are its parent's
            self._idle, self._process = deque(), os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = server.connection_pool.make_connection()
        try:
            try:
                return _got(connection, name)
            except self._redis.ConnectionError:  # the server closed it meanwhile
                return _got(connection, name)
        except BaseException:
            connection.disconnect()  # an answer that nobody has read must not be the next one's
            raise
        finally:
            self._idle.append(connection)

    def ask(self, work: Callable[[Any], T], *, patient: bool = False) -> T:
        """Return what ``work`` gets from the server.

        Args:
            work: Is given a client of redis-py.
            patient: It may take seconds.

        Raises:
            StoreError: The server refuses; a ServerAwayError where it does not answer.
        """
        if self._is_away:
            raise ServerAwayError(f"{self.name} does not answer", "It is tried again meanwhile")
        try:
            return work(self._patient if patient else self._hasty)
        except (self._redis.RedisError, self._redis.RedisClusterException) as error:
            raise self._told(error) from None
        except (OSError, RecursionError, IndexError) as error:
            raise StoreError(f"{self.name} failed: {type(error).__name__}") from None

    def close(self) -> None:
        """Give the connections back; a client of the user's own stays open."""
        self._closed.set()
        if not self.name.startswith("redis client"):
            with suppress(self._redis.RedisError):
                self._hasty.close()
                self._patient.close()
                while self._idle:
                    self._idle.pop().disconnect()

    def _told(self, error: Exception) -> StoreError:
        """Say in one line what is wrong, without what the library says: it may repeat our data."""
        names = [cls.__name__ for cls in type(error).__mro__]
        for what, remedy in (_REFUSALS[name] for name in names if name in _REFUSALS):
            return StoreError(f"{self.name} {what}", remedy)
        if not _AWAY.isdisjoint(names):
            self._leave()
            return ServerAwayError(f"{self.name} does not answer", "It is tried again meanwhile")
        if "WRONGTYPE" in str(error):
            return StoreError(
                f"{self.name} holds foreign data under our names", "Choose a --prefix of your own"
            )
        return StoreError(f"{self.name} failed: {type(error).__name__}")

    def _leave(self) -> None:
        if not self._is_away and not self._closed.is_set():
            self._is_away = True
            threading.Thread(target=self._return, name="llmcache-redis", daemon=True).start()

    def _return(self) -> None:
        """Try until the server answers."""
        pause_s = _FIRST_PAUSE_S
        while not self._closed.wait(pause_s):
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            with suppress(self._redis.RedisError, OSError):
                self._patient.ping()
                self._is_away = False
                return

    def _open(self, url: str, timeout_s: float) -> Any:
        redis = self._redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        scheme, rest = _split(url)
        options: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            # A connection that the server closed meanwhile is made anew once, at once.
            "retry": Retry(NoBackoff(), 1, (redis.exceptions.ConnectionError,)),
        }
        for name, variable in (("username", USER_VARIABLE), ("password", PASSWORD_VARIABLE)):
            if os.environ.get(variable):
                options[name] = os.environ[variable]
        try:
            if scheme == "redis+sentinel":
                return _by_sentinel(url, options)
            parts = urlsplit(f"{scheme}:{rest}")
            query = dict(parse_qsl(parts.query))
            wants_cluster = query.pop("cluster", "") == "true"
            plain = urlunsplit(parts._replace(query=urlencode(query)))
            return (redis.RedisCluster if wants_cluster else redis.Redis).from_url(plain, **options)
        except redis.RedisError as error:
            raise self._told(error) from None
        except (ValueError, TypeError, OSError) as error:
            raise LLMCacheError(
                f"{self.name} is not a valid address of a server ({type(error).__name__})",
                "Write it as redis://host:6379/0",
            ) from None


def _got(connection: Any, name: bytes) -> Any:
    connection.send_packed_command(connection.pack_command("GET", name), check_health=False)
    return connection.read_response()


def _library() -> Any:
    try:
        import redis
    except ImportError:
        raise LLMCacheError(
            "a cache on a server needs redis-py, which is not installed",
            'Run %pip install "jupyter_llmcache[redis]"',
        ) from None
    return redis


def _split(url: str) -> tuple[str, str]:
    scheme, colon, rest = url.partition(":")
    if not colon or scheme.lower() not in SCHEMES:
        raise LLMCacheError(
            f"the address begins with {scheme[:20]!r}"
            if url
            else "no address of a server is given",
            f"Write it as redis://host:6379/0, or set {URL_VARIABLE}",
        )
    return SCHEMES[scheme.lower()], rest


def _shown(url: str, *, typed: bool) -> tuple[str, str | None]:
    """Return the address without user, password and query, and a warning where one was typed."""
    scheme, rest = _split(url)
    place, _, _ = rest.partition("?")
    credentials, at, host = place.removeprefix("//").rpartition("@")
    name = f"{scheme}://{unquote(host)}"
    if at and ":" in credentials and typed:
        return name, f"a password stands in the address: better set {PASSWORD_VARIABLE}"
    return name, None


def _by_sentinel(url: str, options: dict[str, Any]) -> Any:
    """Return the primary of ``redis+sentinel://host:port,host:port/name/db``."""
    from redis.sentinel import Sentinel

    place = url.partition("://")[2].partition("?")[0]
    credentials, _, rest = place.rpartition("@")
    hosts, _, service = rest.partition("/")
    service, _, database = service.partition("/")
    if credentials:
        user, _, password = credentials.partition(":")
        options |= {"username": unquote(user) or None, "password": unquote(password)}
    watchers = [host.rpartition(":") for host in hosts.split(",")]
    timeouts = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
    hosts_ports = [(host, int(port)) for host, _, port in watchers]
    sentinel: Any = Sentinel(hosts_ports, **timeouts)  # type: ignore[no-untyped-call,unused-ignore]
    return sentinel.master_for(service, db=int(database or 0), **options)


class Claim:
    """The right to pay for one request, or the news that another machine has it.

    Attributes:
        leads: Whether it is ours; then ``free`` it when the answer is stored, or there is none.

    Raises:
        StoreError: Nobody can tell.
    """

    def __init__(self, link: Link, name: bytes, held: set[Claim]) -> None:
        self._link, self._name, self._held = link, name, held
        self._told = name + b":told"
        self._token = secrets.token_hex(16)
        taken = link.ask(lambda s: s.set(name, self._token, nx=True, px=round(_CLAIM_S * 1000)))
        self.leads = bool(taken)
        if taken:
            # What was told of the claim before is no news for those who wait for this one.
            link.ask(lambda server: server.delete(self._told))
            held.add(self)

    def wait(self, timeout_s: float) -> bool:
        """Wait until its owner is done or gone; False where ``timeout_s`` seconds passed."""
        end = time.monotonic() + timeout_s
        with suppress(StoreError):  # nobody can tell any more: each pays for itself
            while self._link.ask(lambda server: server.exists(self._name)):
                left_s = end - time.monotonic()
                if left_s <= 0:
                    return False
                self._listen(min(left_s, 1.0))
        return True

    def free(self) -> None:
        """End it and wake who waits. Ending it twice is no error."""
        if self in self._held:
            self._held.discard(self)
            with suppress(StoreError):
                self._link.ask(self._end)

    def renew(self) -> None:
        """Keep it for a while longer."""
        renewal = (_RENEW, 1, self._name, self._token, round(_CLAIM_S * 1000))
        with suppress(StoreError):
            self._link.ask(lambda server: server.eval(*renewal))

    def _listen(self, timeout_s: float) -> None:
        # The word goes round in its list, so that all who wait for it are woken.
        told = self._told
        self._link.ask(lambda server: server.brpoplpush(told, told, timeout_s), patient=True)

    def _end(self, server: Any) -> None:
        if server.eval(_FREE, 1, self._name, self._token):
            server.lpush(self._told, "1")
            server.expire(self._told, _TOLD_S)


class Claims:
    """What this process has claimed, renewed by a thread until it is freed."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._held: set[Claim] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._renewing: threading.Thread | None = None

    def claim(self, name: bytes) -> Claim | None:
        """Take the claim ``name``, or learn that another has it; None where nobody can tell."""
        try:
            claim = Claim(self._link, name, self._held)
        except StoreError:
            return None
        with self._lock:
            if claim.leads and self._renewing is None:
                self._renewing = threading.Thread(target=self._renew, daemon=True)
                self._renewing.start()
        return claim

    def close(self) -> None:
        """End what is still claimed."""
        self._closed.set()
        for claim in list(self._held):
            claim.free()

    def _renew(self) -> None:
        while not self._closed.wait(_CLAIM_S / 3):
            for claim in list(self._held):
                claim.renew()
