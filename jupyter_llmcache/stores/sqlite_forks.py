"""Keeps SQLite connections from crossing a fork.

SQLite's locks and its shared index are tied to the process that opened the file; a child that uses
or merely closes an inherited connection can damage the file. So the connections are closed before a
fork, and parent and child open their own afterwards.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What is told of forks."""

    def before_fork(self) -> None:
        """Called in the parent, before."""

    def after_fork_in_parent(self) -> None:
        """Called in the parent, after."""

    def after_fork_in_child(self) -> None:
        """Called in the child."""


_open: weakref.WeakSet[Forkable] = weakref.WeakSet()
_in_fork: list[Forkable] = []


def register(file: Forkable) -> None:
    """Tell ``file`` of every fork from now on, until it is forgotten or gone."""
    _open.add(file)


def forget(file: Forkable) -> None:
    """Tell ``file`` of no more forks."""
    _open.discard(file)


def _before() -> None:
    _in_fork[:] = list(_open)
    for file in _in_fork:
        file.before_fork()


def _after_in_parent() -> None:
    while _in_fork:
        _in_fork.pop().after_fork_in_parent()


def _after_in_child() -> None:
    while _in_fork:
        _in_fork.pop().after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
