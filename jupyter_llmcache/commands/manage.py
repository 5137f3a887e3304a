"""Seeing and managing what is cached: one table of subcommands for the magic and the shell.

The table is read when the extension is loaded; what does the work is imported when it is used.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .parser import Argument, Subcommand
from .quantities import parse_count, parse_duration_s, parse_size_bytes

__all__ = ["SUBCOMMANDS"]

_ROWS = 20


def _late(module: str, name: str) -> Callable[[Any, Namespace], Any]:
    """Return a handler that imports ``module`` of this package when it is called."""

    def handler(session: Any, args: Namespace) -> Any:
        return getattr(import_module(f".{module}", __package__), name)(session, args)

    return handler


_MODEL = Argument(
    ("-m", "--model"), "only entries of models whose provider:name holds this", "MODEL", "model"
)
_GREP = Argument(("-g", "--grep"), "only entries whose prompt holds this text, in any case", "TEXT")
_NUMBER = ("-n", "--number")
_YES = Argument(("-y", "--yes"), "do it; without this it only tells what would go")
_OLDER = Argument(
    ("--older-than",),
    "what was recorded longer ago than this, as 30d",
    "AGE",
    options={"type": parse_duration_s},
)

_LIST = Subcommand(
    "list",
    "what is kept: prompt, model, age, size, hits, saved time",
    _late("entries", "list_entries"),
    (
        _MODEL,
        _GREP,
        Argument(
            ("--since",),
            "only entries recorded in this last while, as 7d or 12h",
            "AGE",
            options={"type": parse_duration_s},
        ),
        Argument(
            ("--sort",),
            "what stands first; recent without it",
            options={"choices": ("recent", "used", "size", "saved"), "default": "recent"},
        ),
        Argument(
            _NUMBER,
            f"how many to list; {_ROWS} without it",
            "N",
            options={"type": parse_count, "default": _ROWS},
        ),
    ),
)
_SHOW = Subcommand(
    "show",
    "one entry: request, answer, when and by what it was recorded",
    _late("show", "show"),
    (
        Argument(
            ("key",),
            "the beginning of an entry's key, or last: the last call's; last without it",
            "KEY",
            "key",
            {"nargs": "?", "default": "last"},
        ),
    ),
)
_EXPLAIN = Subcommand(
    "explain",
    "why the last call, or the request of an entry, hit, missed or was not cached",
    _late("explain", "explain"),
    (
        Argument(
            ("key",),
            "the beginning of an entry's key, or last: the last call's; last without it",
            "KEY",
            "key",
            {"nargs": "?", "default": "last"},
        ),
    ),
)
_HISTORY = Subcommand(
    "history",
    "this kernel's calls: cell, model, cached or fresh, times, tokens, saved",
    _late("entries", "history"),
    (
        Argument(_NUMBER, "only the newest N", "N", options={"type": parse_count}),
        Argument(("--plot",), "a picture of cached and fresh times and of what was saved"),
    ),
)
_STATS = Subcommand(
    "stats",
    "totals of this kernel, and of the file since it was made",
    _late("entries", "stats"),
)
_FORGET = Subcommand(
    "forget",
    "delete chosen entries; with several conditions, those that fit all",
    _late("forget", "forget"),
    (
        Argument(
            ("keys",),
            "beginnings of keys, or last: the last call's",
            "KEY",
            "key",
            {"nargs": "*", "default": []},
        ),
        _MODEL,
        _GREP,
        _OLDER,
        _YES,
    ),
)
_CLEAR = Subcommand(
    "clear",
    "delete every entry; what LangChain itself wrote stays",
    _late("forget", "clear"),
    (_YES,),
)
_PRUNE = Subcommand(
    "prune",
    "delete what is past these bounds, else past those of the cache, and give the space back",
    _late("forget", "prune"),
    (
        _OLDER,
        Argument(
            ("--max-entries",),
            "keep this many, the last used ones",
            "N",
            options={"type": parse_count},
        ),
        Argument(
            ("--max-size",),
            "keep what fits into this size, as 100MB",
            "SIZE",
            options={"type": parse_size_bytes},
        ),
        _YES,
    ),
)
_VERIFY = Subcommand(
    "verify",
    "look through the whole file: structure, checksums, key schemas, orphans",
    _late("verify", "verify"),
    (Argument(("--repair",), "delete what is damaged; save what can be read of a broken file"),),
)
_EXPORT = Subcommand(
    "export",
    "write a clean file: the same entries give the same bytes",
    _late("files", "export"),
    (
        Argument(("path",), "the new file; one that is there is replaced", "PATH", "path"),
        Argument(("--used",), "only what this kernel hit or stored"),
        Argument(
            ("--format",),
            "sqlite; jsonl: sorted lines to review, as for a PATH with that ending",
            options={"choices": ("sqlite", "jsonl")},
        ),
    ),
)
_IMPORT = Subcommand(
    "import",
    "take the entries of an exported file into the cache; all of them, or none",
    _late("files", "import_"),
    (Argument(("path",), "the file", "PATH", "path"),),
)

#: By name, in the order in which help lists them.
SUBCOMMANDS: dict[str, Subcommand] = {
    subcommand.name: subcommand
    for subcommand in (
        _LIST,
        _SHOW,
        _EXPLAIN,
        _HISTORY,
        _STATS,
        _FORGET,
        _CLEAR,
        _PRUNE,
        _EXPORT,
        _IMPORT,
        _VERIFY,
    )
}
