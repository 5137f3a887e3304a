"""Real Redis servers on free ports of this machine: one alone, a replica, a cluster, a sentinel."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

PATIENCE_S = 20.0


def server_program() -> str | None:
    """The program, of Valkey where there is one."""
    return shutil.which("valkey-server") or shutil.which("redis-server")


def free_port() -> int:
    """A port that nobody listens on now; with room for a cluster's second one above it."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 50_000:
            return port


class RedisServer:
    """One server process that is given up with the block; skips the test where there is none.

    Args:
        options: Lines of its configuration: ``maxmemory="2mb"``, ``requirepass="..."``;
            an underscore stands for a hyphen.
        sentinel: Run it as a sentinel, with these lines.
    """

    def __init__(self, *, sentinel: tuple[str, ...] = (), **options: Any) -> None:
        program = server_program()
        if program is None:
            pytest.skip("redis-server is not installed")
        self._program = program
        self._sentinel = sentinel
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.port = free_port()

    @property
    def url(self) -> str:
        """The address, without a password."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def folder(self) -> Path:
        """Where it keeps its files."""
        return Path(self._folder.name)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it on its port, with what it wrote before where it was told to write."""
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self._folder.name}", *self._sentinel]
        lines += [] if self._sentinel else ['save ""']
        lines += [f"{name.replace('_', '-')} {value}" for name, value in self._options.items()]
        configuration = self.folder / "redis.conf"
        if not (self._sentinel and configuration.exists()):
            configuration.write_text("\n".join(lines) + "\n")
        words = [self._program, str(configuration), *(["--sentinel"] if self._sentinel else [])]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        wait_until(self._answers)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self, **options: Any) -> Any:
        """A client of the tests' own."""
        import redis

        password = self._options.get("requirepass")
        return redis.Redis(port=self.port, password=password, **options)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextlib.contextmanager
def redis_cluster(nodes: int = 3) -> Iterator[list[RedisServer]]:
    """Yield the servers of a cluster without replicas, which share the slots."""
    with contextlib.ExitStack() as stack:
        made = [RedisServer(cluster_enabled="yes", cluster_node_timeout=2000) for _ in range(nodes)]
        servers = [stack.enter_context(server) for server in made]
        clients = [server.client() for server in servers]
        share = 16_384 // nodes
        for number, client in enumerate(clients):
            last = 16_384 if number == nodes - 1 else (number + 1) * share
            client.execute_command("CLUSTER", "ADDSLOTS", *range(number * share, last))
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        wait_until(lambda: all(_is_whole(client, nodes) for client in clients))
        yield servers


def _is_whole(client: Any, nodes: int) -> bool:
    told = client.execute_command("CLUSTER INFO")
    text = told if isinstance(told, dict) else {}
    return text.get("cluster_state") == "ok" and int(text.get("cluster_known_nodes", 0)) == nodes


@contextlib.contextmanager
def sentinel_pair() -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """Yield a primary, its replica, and the sentinel that knows them as ``course``."""
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(RedisServer())
        replica = stack.enter_context(RedisServer(replicaof=f"127.0.0.1 {primary.port}"))
        sentinel = stack.enter_context(
            RedisServer(
                sentinel=(
                    f"sentinel monitor course 127.0.0.1 {primary.port} 1",
                    "sentinel down-after-milliseconds course 500",
                    "sentinel failover-timeout course 2000",
                )
            )
        )
        wait_until(lambda: replica.client().info("replication")["master_link_status"] == "up")
        watcher = sentinel.client(decode_responses=True)
        wait_until(lambda: _replicas_seen(watcher) == 1)
        yield primary, replica, sentinel


def _replicas_seen(watcher: Any) -> int:
    return int(watcher.sentinel_master("course")["num-slaves"])


def wait_until(holds: Any, patience_s: float = PATIENCE_S) -> None:
    """Wait until ``holds()``.

    Raises:
        TimeoutError: It did not within ``patience_s`` seconds.
    """
    end = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError("the server did not get ready")
        time.sleep(0.02)
