"""The subcommands of ``%llm_cache``: one entry each, its grammar, its help, what it does."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from ..errors import LLMCacheError
from ..modes import MODES, Mode
from . import manage
from .answer import CacheStatus
from .parser import Argument, Subcommand
from .quantities import parse_count, parse_duration_s, parse_size_bytes
from .session import Session

_MAX_ENTRIES = Argument(
    ("--max-entries",),
    "how many entries it holds; the least recently used goes first",
    metavar="N",
    options={"type": parse_count},
)
_TTL = Argument(
    ("--ttl",),
    "how long an entry is good, as 12h or 7d",
    metavar="DURATION",
    options={"type": parse_duration_s, "dest": "ttl_s"},
)


_RECORD_WEB = Argument(
    ("--record-web",),
    "keep what else is fetched by HTTP: raw SDKs, search tools, pages, images",
)


def _memory(session: Session, args: Namespace) -> CacheStatus:
    return session.use_memory(
        **_given(max_entries=args.max_entries, ttl_s=args.ttl_s, record_web=args.record_web or None)
    )


def _sqlite(session: Session, args: Namespace) -> CacheStatus:
    return session.use_sqlite(
        args.path or session.settings.sqlite_path,
        **_given(
            read_only=args.read_only or None,
            ttl_s=args.ttl_s,
            max_entries=args.max_entries,
            max_size_bytes=args.max_size_bytes,
            record_web=args.record_web or None,
        ),
    )


def _use(session: Session, args: Namespace) -> CacheStatus:
    return session.use_cache(args.value)


def _off(session: Session, _: Namespace) -> CacheStatus:
    return session.off()


def _mode(session: Session, args: Namespace) -> CacheStatus:
    mode: Mode = args.mode
    if args.allow_web and mode != "replay":
        raise LLMCacheError("--allow-web goes with mode replay alone", "Leave it out")
    return session.set_mode(mode, allow_web=args.allow_web)


def _annotate(session: Session, args: Namespace) -> None:
    session.settings.annotate = args.switch == "on"


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given, so that the others keep their defaults."""
    return {name: value for name, value in options.items() if value is not None}


_CHOOSING: dict[str, Subcommand] = {
    subcommand.name: subcommand
    for subcommand in (
        Subcommand(
            "memory",
            "a cache that ends with the kernel",
            _memory,
            (_MAX_ENTRIES, _TTL, _RECORD_WEB),
        ),
        Subcommand(
            "sqlite",
            "a cache in one file that stays",
            _sqlite,
            (
                Argument(
                    ("path",),
                    "the file, taken as it is typed but for a leading ~; quote one with blanks; "
                    "without it the setting sqlite_path, which is .langchain.db",
                    metavar="PATH",
                    kind="path",
                    options={"nargs": "?"},
                ),
                Argument(("--read-only",), "serve what is there and write nothing"),
                _TTL,
                Argument(
                    ("--max-size",),
                    "how large the file may grow, as 200MB or 1GB",
                    metavar="SIZE",
                    options={"type": parse_size_bytes, "dest": "max_size_bytes"},
                ),
                _MAX_ENTRIES,
                _RECORD_WEB,
            ),
        ),
        Subcommand(
            "use",
            "any LangChain cache object, observed",
            _use,
            (
                Argument(
                    ("expression",),
                    "a Python expression whose value is a BaseCache",
                    metavar="EXPR",
                    kind="variable",
                ),
            ),
            reads="expression",
        ),
        Subcommand("off", "back to the cache that was there before", _off),
        Subcommand(
            "mode",
            "how calls use the cache",
            _mode,
            (
                Argument(
                    ("mode",),
                    "auto: read, else ask and store; replay: only read; "
                    "refresh: ask and overwrite; bypass: neither read nor write",
                    options={"choices": MODES},
                ),
                Argument(
                    ("--allow-web",),
                    "in replay: what asks no model may leave, after the file was asked",
                ),
            ),
        ),
        Subcommand(
            "annotate",
            "the line under ordinary cells",
            _annotate,
            (Argument(("switch",), "on or off", options={"choices": ("on", "off")}),),
        ),
    )
}

#: By name, in the order in which help lists them.
SUBCOMMANDS: dict[str, Subcommand] = {**_CHOOSING, **manage.SUBCOMMANDS}
