"""Entries on a Valkey or Redis server, which many machines share.

An entry is one string under ``PREFIX:e:KEY``; a sorted set tells when each was recorded, hashes
count. Who may write to the server can put false entries there (``sign`` refuses them).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar, Unpack

from ..errors import DamagedEntryError, StoreError
from ..ledger import Entry, put_bounded
from .base import FOUND_KEYS, LifeTotals, Store, Which, select
from .redis_link import SCHEMES, Claim, Claims, Link, ServerAwayError
from .redis_values import Values
from .write_behind import PendingHits, WriteBehind, close_at_exit

T = TypeVar("T")

#: An entry that was hit is not asked for again for this long, in seconds.
_HOT_S, _HOT_ENTRIES = 1.0, 256
#: Entries that are asked for at once.
_SLICE = 200
#: A look through more entries than this would take a server's time from others.
_MAX_SEARCHED = 20_000
_SAMPLE = 100


class RedisStore(Store):
    """A store on a Valkey or Redis server.

    Args:
        location: ``redis://``, ``rediss://``, ``valkey://``, ``unix://`` or
            ``redis+sentinel://host:26379/name/0``; ``?cluster=true`` for a cluster. Empty: what the
            variable LLMCACHE_REDIS_URL says. User and password may come from REDIS_USERNAME and
            REDIS_PASSWORD.
        prefix: Begins every name on the server.
        client: A ``redis.Redis`` or ``redis.RedisCluster`` of your own, in place of ``location``.
        read_only: Serve what is there and write nothing.
        ttl_s: How long an entry is good, in seconds. None: for ever.
        readable: Keep what was asked beside the answer, so that everybody's ``list`` shows it.
        sign: Sign entries with the secret in LLMCACHE_REDIS_SECRET and refuse all others.
        clock: Returns the Unix time in seconds.

    Raises:
        StoreError: The server does not answer, or refuses.
        LLMCacheError: The address is not valid, or redis-py is not installed.
    """

    backend, url_schemes, is_shared = "redis", SCHEMES, True

    def __init__(
        self,
        location: str = "",
        *,
        prefix: str = "llmcache",
        client: Any = None,
        read_only: bool = False,
        ttl_s: float | None = None,
        readable: bool = False,
        sign: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._link = Link(location, client)
        super().__init__(self._link.name, read_only=read_only, ttl_s=ttl_s, clock=clock)
        self._prefix = prefix
        self._values = Values(readable=readable, sign=sign)
        self._lock = threading.RLock()
        self._hot: dict[bytes, tuple[float, Entry]] = {}
        self._pending = PendingHits()
        self._behind = WriteBehind(
            self._commit_pending,
            busy=f"{self.location} does not answer",
            remedy="Check that the server runs",
        )
        self._committing = threading.Lock()
        self._claims = Claims(self._link)
        try:
            self._link.ask(lambda server: server.ping())
        except ServerAwayError as away:
            self._link.close()
            raise StoreError(away.what, "Check that it runs and can be reached from here") from None
        close_at_exit(self)

    @property
    def notice(self) -> str | None:
        """What a user should know about this server, in one line; None when nothing."""
        return self._behind.notice or self._link.notice

    def get(self, key: bytes) -> Entry | None:
        """Return the entry of ``key`` and count a hit; None when there is none or it is too old.

        Raises:
            StoreError: The server is away, or refuses.
            DamagedEntryError: The entry is not what was stored, or is not signed.
        """
        entry = self._at_hand(key)
        if entry is None:
            value = self._link.value(self._name("e", key))
            if value is None:
                return None
            entry = self._fetched(key, value)
        return entry if self._serves(entry) else None

    def get_many(self, keys: Collection[bytes]) -> dict[bytes, Entry]:
        """Return what there is for ``keys`` in one round trip. Raises as ``get``."""
        found = {key: entry for key in keys if (entry := self._at_hand(key)) is not None}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        values = self._pipe([("GET", self._name("e", key)) for key in missing])
        for key, value in zip(missing, values, strict=True):
            if value is not None:
                found[key] = self._fetched(key, value)
        return {key: entry for key, entry in found.items() if self._serves(entry)}

    def put_many(self, entries: Collection[Entry]) -> bool:
        """Store ``entries`` in one step; in a cluster each of them in one step.

        Returns:
            False: the server is away; they are written when it is back.

        Raises:
            StoreError: The server is full, or refuses.
        """
        if self.read_only:
            raise StoreError(f"{self.location} is used read-only", "Turn it on without --read-only")
        with self._lock:
            for entry in entries:
                self._hot.pop(entry.key, None)
                self._values.remember(entry)
        return self._behind.put(entries, self._write)

    def delete(self, keys: Collection[bytes]) -> int:
        """Delete entries and return how many there were."""
        dropped = self._let_go(keys)
        deleted = 0
        for some in _slices(dict.fromkeys(keys), _SLICE):
            unlinks = [("UNLINK", self._name("e", key)) for key in some]
            beside = [(command, self._name(what), *some) for command, what in _BESIDE]
            there = self._pipe([*unlinks, *beside], patient=True)
            deleted += sum(was or key in dropped for key, was in zip(some, there, strict=False))
        return deleted

    def entries(self, **which: Unpack[Which]) -> Iterator[Entry]:
        """Yield entries; see ``Which``. Without ``readable``, only this process's have texts.

        Raises:
            StoreError: There are too many to look through on a server that others use.
        """
        keys, sort, limit = which.get("keys"), which.get("sort", "key"), which.get("limit")
        texts = which.get("texts", True)
        narrowing = ("kind", "request_contains", "text_contains", "since", "until")
        narrowed = any(which.get(name) is not None for name in narrowing)
        if keys is not None:
            chosen = list(dict.fromkeys(keys))
        elif sort == "recent" and limit is not None and not narrowed:
            chosen = self._newest(limit)
        elif sort == "key" and not narrowed:
            whole = islice(self._whole(sorted(self._keys()), texts=texts), limit)
            return whole if texts else (e._replace(answer=b"", prompt="") for e in whole)
        elif (count := self.count()) > _MAX_SEARCHED:
            raise StoreError(
                f"{self.location} holds {count:,} entries, too many to look through",
                "List the newest (-n 20), or export them into a file and look there",
            )
        else:
            chosen = sorted(self._keys())
        return select(self._whole(chosen, texts=texts), **which)

    def count(self) -> int:
        """Return the number of entries."""
        good = f"({self.bounds.oldest_good(self._clock())}"
        oldest = "-inf" if self.bounds.ttl_s is None else good
        return int(self._link.ask(lambda server: server.zcount(self._name("i"), oldest, "+inf")))

    def size_bytes(self) -> int:
        """Return about how much memory the entries take on the server."""
        (some,) = self._pipe([("ZRANDMEMBER", self._name("i"), _SAMPLE)])
        sizes = self._pipe([("STRLEN", self._name("e", key)) for key in some])
        return round(sum(sizes) / len(sizes) * self.count()) if sizes else 0

    def close(self) -> None:
        """Write what is pending and give the connection back. Closing twice is no error."""
        self._behind.end()
        self.flush()
        self._claims.close()
        self._link.close()

    def find(self, prefix: str) -> list[bytes]:
        """Return the keys whose hexadecimal form begins with ``prefix`` (at most 20)."""
        keys = (key for key in self._keys() if key.hex().startswith(prefix.lower()))
        return sorted(keys)[:FOUND_KEYS]

    def titled_like(self, pieces: Collection[str], limit: int, ties: int) -> list[Entry]:  # noqa: ARG002  # the newest are looked at, however many are alike
        """Return those of the newest entries whose titles hold the most of ``pieces``."""
        newest = self._whole(self._newest(_MAX_SEARCHED // 4), texts=False)
        return sorted(newest, key=lambda entry: -sum(p in entry.title for p in pieces))[:limit]

    def life_totals(self) -> LifeTotals:
        """Return what the server has seen under this prefix, and this session."""
        (told,) = self._pipe([("HGETALL", self._name("t"))])
        hits = int(_number(told, b"hits")) + self._pending.hits
        return LifeTotals(hits, _number(told, b"saved_s") + self._pending.saved_s)

    def clear(self) -> None:
        """Delete every entry under our prefix, a slice at a time; the totals stay."""
        escaped = "".join(f"\\{c}" if c in "*?[]^-\\" else c for c in self._prefix)

        def sweep(server: Any) -> None:
            for name in server.scan_iter(f"{escaped}:*", count=1000):
                if name != self._name("t"):
                    server.unlink(name)

        self._let_go()
        self._link.ask(sweep, patient=True)

    def flush(self, timeout_s: float = 0.0) -> int:
        """Write the counts of hits, and what waits for a server that was away.

        Returns:
            How many entries still wait.
        """
        waiting = self._behind.flush(timeout_s)
        with suppress(StoreError):
            if self._pending.hits and not self.read_only:
                self._write(())
        return waiting

    def prune(self) -> int:
        """Delete what is too old and return how many there were."""
        oldest_good = self.bounds.oldest_good(self._clock())
        command = ("ZRANGEBYSCORE", self._name("i"), "-inf", repr(oldest_good))
        (keys,) = self._pipe([command], patient=True)
        return self.delete(keys)

    def claim(self, key: bytes) -> Claim | None:
        """Ask for the right to pay for ``key``, which one machine at a time has.

        Returns:
            None where the server is away or nothing may be written: each pays for itself.
        """
        return None if self.read_only else self._claims.claim(self._name("l", key))

    def _let_go(self, keys: Collection[bytes] | None = None) -> set[bytes]:
        """Forget what is held here of ``keys``, or all; return the keys of what waited."""
        with self._committing:
            dropped = self._behind.drop(keys)
        with self._lock:
            self._values.forget(keys)
            for key in {*self._pending.by_key, *self._hot} if keys is None else keys:
                self._pending.by_key.pop(key, None)
                self._hot.pop(key, None)
        return dropped

    def _at_hand(self, key: bytes) -> Entry | None:
        with self._lock:
            until, entry = self._hot.get(key, (0.0, None))
            if entry is not None and until > time.monotonic():
                return entry
        return self._behind.get(key)

    def _fetched(self, key: bytes, value: bytes) -> Entry:
        """Return the entry of ``value``, which is kept at hand for a moment."""
        entry = self._values.unpack(key, value, texts=False)
        with self._lock:
            put_bounded(self._hot, key, (time.monotonic() + _HOT_S, entry), _HOT_ENTRIES)
        return entry

    def _serves(self, entry: Entry) -> bool:
        """Count a hit, unless the entry is too old."""
        now = self._clock()
        if entry.created_at <= self.bounds.oldest_good(now):
            return False
        with self._lock:
            self._pending.add(entry.key, now, entry.provider_s)
        return True

    def _whole(self, keys: Sequence[bytes], *, texts: bool) -> Iterator[Entry]:
        for some in _slices(keys, _SLICE):
            asked = [("GET", self._name("e", key)) for key in some]
            hits, used = (("HMGET", self._name(what), *some) for what in "hu")
            *values, hits, used = self._pipe([*asked, hits, used], patient=True)
            for key, value, count, used_at in zip(some, values, hits, used, strict=True):
                if value is None:
                    continue
                try:
                    entry = self._values.unpack(key, value, texts=True)
                except DamagedEntryError:
                    if texts:
                        raise
                    entry = Entry(key, b"", 0.0, None)
                entry = self._values.with_texts(entry)._replace(
                    size_bytes=len(value),
                    hits=int(count or 0),
                    used_at=float(used_at or entry.created_at),
                )
                yield self._pending.added_to(entry)

    def _newest(self, limit: int) -> list[bytes]:
        (keys,) = self._pipe([("ZREVRANGE", self._name("i"), 0, max(0, limit - 1))], patient=True)
        return list(keys) if limit else []

    def _keys(self) -> set[bytes]:
        name = self._name("i")
        return self._link.ask(lambda server: {k for k, _ in server.zscan_iter(name)}, patient=True)

    # --- writing ---

    def _write(self, entries: Collection[Entry]) -> None:
        with self._lock:
            pending, self._pending = self._pending, PendingHits()
        ttl = () if self.bounds.ttl_s is None else ("PX", max(1, round(self.bounds.ttl_s * 1000)))
        commands: list[tuple[Any, ...]] = []
        for hits, used_at, key in pending.rows():
            commands += [
                ("HINCRBY", self._name("h"), key, hits),
                ("HSET", self._name("u"), key, repr(used_at)),
            ]
        if pending.hits:
            commands += [
                ("HINCRBY", self._name("t"), "hits", pending.hits),
                ("HINCRBYFLOAT", self._name("t"), "saved_s", repr(pending.saved_s)),
            ]
        for entry in entries:
            commands += [
                ("SET", self._name("e", entry.key), self._values.pack(entry), *ttl),
                ("ZADD", self._name("i"), repr(float(entry.created_at)), entry.key),
                ("HDEL", self._name("h"), entry.key),
                ("HSET", self._name("u"), entry.key, repr(self._clock())),
            ]
        try:
            self._pipe(commands, atomic=True)
        except StoreError:
            with self._lock:
                self._pending.take_back(pending)
            raise

    def _commit_pending(self) -> None:
        with self._committing:  # what is deleted meanwhile does not come back
            for some in _slices(self._behind.taken(), _SLICE):
                self._write(some)
                self._behind.done(some)

    def _name(self, what: str, key: bytes = b"") -> bytes:
        return f"{self._prefix}:{what}{':' if key else ''}".encode() + key

    def _pipe(
        self, commands: Sequence[tuple[Any, ...]], *, atomic: bool = False, patient: bool = False
    ) -> list[Any]:
        """Run ``commands`` in one round trip and return what each answers."""
        if not commands:
            return []

        def run(server: Any) -> list[Any]:
            with server.pipeline(transaction=atomic and not self._link.is_cluster) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(pipe.execute())

        return self._link.ask(run, patient=patient)


#: Where else a key stands, and how it goes from there.
_BESIDE = (("ZREM", "i"), ("HDEL", "h"), ("HDEL", "u"))


def _number(told: Mapping[bytes, bytes], name: bytes) -> float:
    try:
        return float(told.get(name, 0))
    except ValueError:  # somebody else wrote it; a count is not worth an error
        return 0.0


def _slices(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
