"""Tests that mount disks run where this user may mount: here, or in a namespace of their own."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.stores.disks import small_disk

ROOT = Path(__file__).resolve().parents[3]
IN_NAMESPACE = "LLMCACHE_TESTS_IN_NAMESPACE"
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def pytest_configure(config):
    config.addinivalue_line("markers", "disks: mounts small or read-only disks")


@functools.cache
def may_mount() -> bool:
    with (
        suppress(pytest.skip.Exception),
        tempfile.TemporaryDirectory() as folder,
        small_disk(Path(folder) / "disk", 1 << 16),
    ):
        return True
    return False


def may_have_namespace() -> bool:
    with suppress(OSError):
        return (
            subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
        )
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Let a test of disks run in a namespace where this user may not mount any."""
    if not pyfuncitem.get_closest_marker("disks") or IN_NAMESPACE in os.environ or may_mount():
        return None
    if not may_have_namespace():
        return None
    command = [*NAMESPACE, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, pyfuncitem.nodeid],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        | {IN_NAMESPACE: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    return True
