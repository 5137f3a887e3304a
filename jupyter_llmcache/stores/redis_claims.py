"""Who pays: one machine at a time for one request, while the others wait for what it gets."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..errors import StoreError
from .redis_link import Link

#: A claim ends so long after its owner died, in seconds; the owner renews it three times meanwhile.
_CLAIM_S = 6.0
#: How long the word that a claim has ended stays for those who wait, in seconds.
_TOLD_S = 30
_RENEW = "return redis.call('get',KEYS[1])==ARGV[1] and redis.call('pexpire',KEYS[1],ARGV[2]) or 0"
_FREE = "return redis.call('get',KEYS[1])==ARGV[1] and redis.call('del',KEYS[1]) or 0"


class Claims:
    """Who pays: one machine at a time for one key, while the others wait for what it gets."""

    def __init__(self, link: Link, name: Callable[[bytes], bytes]) -> None:
        self._link = link
        self._name = name
        self._held: dict[bytes, str] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._renewing: threading.Thread | None = None

    def claim(self, key: bytes) -> Claim | None:
        """Take the claim on ``key``, or learn that another has it; None where nobody can tell."""
        token, name = secrets.token_hex(16), self._name(key)
        try:
            taken = self._link.ask(lambda s: s.set(name, token, nx=True, px=round(_CLAIM_S * 1000)))
            if (
                taken
            ):  # what was told of the claim before is no news for those who wait for this one
                self._link.ask(lambda s: s.delete(name + b":told"))
        except StoreError:
            return None
        if taken:
            with self._lock:
                self._held[name] = token
                if self._renewing is None:
                    self._renewing = threading.Thread(target=self._renew, daemon=True)
                    self._renewing.start()
        return Claim(self, name, token if taken else None)

    def free(self, name: bytes, token: str) -> None:
        """End the claim, and wake who waits."""
        with self._lock:
            self._held.pop(name, None)

        def end(server: Any) -> None:
            if server.eval(_FREE, 1, name, token):
                server.lpush(name + b":told", "1")
                server.expire(name + b":told", _TOLD_S)

        with suppress(StoreError):
            self._link.ask(end)

    def wait(self, name: bytes, timeout_s: float) -> bool:
        """Wait until the claim has ended, or its owner died; False where ``timeout_s`` passed."""
        end = time.monotonic() + timeout_s
        try:
            while self._is_held(name):
                left_s = end - time.monotonic()
                if left_s <= 0:
                    return False
                self._listen(name, min(left_s, 1.0))
        except StoreError:
            pass  # nobody can tell any more: each pays for itself
        return True

    def close(self) -> None:
        """End what is still claimed."""
        self._closed.set()
        for name, token in list(self._held.items()):
            self.free(name, token)

    def _renew(self) -> None:
        while not self._closed.wait(_CLAIM_S / 3):
            with self._lock:
                held = list(self._held.items())
            for name, token in held:
                with suppress(StoreError):
                    self._renew_one(name, token)

    def _renew_one(self, name: bytes, token: str) -> None:
        self._link.ask(lambda server: server.eval(_RENEW, 1, name, token, round(_CLAIM_S * 1000)))

    def _listen(self, name: bytes, timeout_s: float) -> None:
        """Return when a claim ends, or after ``timeout_s``."""
        told = name + b":told"
        # The word goes round in its list, so that all who wait for it are woken.
        self._link.ask(lambda server: server.brpoplpush(told, told, timeout_s), patient=True)

    def _is_held(self, name: bytes) -> bool:
        return bool(self._link.ask(lambda server: server.exists(name)))


class Claim:
    """The right to pay for one request, or the news that another machine has it.

    Attributes:
        leads: Whether it is ours; then ``free`` it when the answer is stored, or there is none.
    """

    def __init__(self, claims: Claims, name: bytes, token: str | None) -> None:
        self._claims, self._name, self._token = claims, name, token
        self.leads = token is not None

    def wait(self, timeout_s: float) -> bool:
        """Wait until its owner is done or gone; False where ``timeout_s`` seconds passed."""
        return self._claims.wait(self._name, timeout_s)

    def free(self) -> None:
        """End it and wake who waits. Ending it twice is no error."""
        if self._token is not None:
            self._claims.free(self._name, self._token)
            self._token = None
