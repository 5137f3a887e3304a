"""What a person can ask for: the subcommands of ``%llm_cache`` and of the shell register here.

A subcommand is a function with its arguments registered above it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, TypeVar

from ..errors import LLMCacheError
from ..text import did_you_mean
from .parser import Argument

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True)
class Subcommand:
    """One subcommand of ``%llm_cache`` and of ``python -m jupyter_llmcache``.

    Attributes:
        name: As typed.
        help: One line.
        handler: Does it and returns a value that draws itself, a Table or a Report. It is given
            ``(store, ledger, args)``; on a session, ``(session, args)``; on nothing,
            ``(ledger, args)``.
        arguments: Its flags and positional arguments, as the help lists them.
        on: What it works on. In a shell there is no session.
        writes: Whether it changes the store.
        place: ``notebook`` or ``shell`` where it is of no use in the other.
        expression: The rest of the line is one Python expression; its value is ``args.value``.
    """

    name: str
    help: str
    handler: Callable[..., Any]
    arguments: tuple[Argument, ...] = ()
    on: Literal["store", "session", "nothing"] = "store"
    writes: bool = False
    place: Literal["", "notebook", "shell"] = ""
    expression: bool = False

    def changes(self, args: argparse.Namespace) -> bool:
        """Whether it changes the store when it is called so."""
        return self.writes or bool(getattr(args, "repair", False))


_registered: dict[str, Subcommand] = {}


def subcommand(
    name: str, help_line: str, *arguments: Argument, **kind: Any
) -> Callable[[Handler], Handler]:
    """Register the function below as a subcommand; ``kind``: see ``Subcommand``."""

    def register(handler: Handler) -> Handler:
        _registered[name] = Subcommand(name, help_line, handler, arguments, **kind)
        return handler

    return register


#: The modules whose subcommands are registered when they are imported, in the order of the help.
_HOMES = ("caches", "entries", "explain", "history", "forget", "files")


Place = Literal["notebook", "shell"]


def subcommands(place: Place) -> dict[str, Subcommand]:
    """Return what can be done in a notebook or in a shell, by name."""
    homes = [import_module(f".{home}", __name__).__name__ for home in _HOMES]
    homes += [each.handler.__module__ for each in _registered.values()]
    # Whichever of them was imported first.
    ordered = sorted(_registered.values(), key=lambda each: homes.index(each.handler.__module__))
    return {
        each.name: each
        for each in ordered
        if each.place in ("", place) and (place == "notebook" or each.on != "session")
    }


def find_subcommand(name: str, place: Place, owner: str) -> Subcommand:
    """Return the subcommand of this name.

    Args:
        name: As typed.
        place: Where it was typed.
        owner: ``%llm_cache``, or how the program is called, for the error.

    Raises:
        LLMCacheError: There is none; the nearest is named.
    """
    known = subcommands(place)
    if name in known:
        return known[name]
    elsewhere = {
        "notebook": f"It works in a shell only: python -m jupyter_llmcache {name}",
        "shell": "It works in a notebook only",
    }
    raise LLMCacheError(
        f"{owner} has no subcommand {name!r}",
        elsewhere[place]
        if name in _registered
        else did_you_mean(name, known) or f"It has {', '.join(known)}",
    )
