"""``python -m jupyter_llmcache``: what the magics see and manage, from a shell and in scripts.

Exit status: 0 all is well, 1 something is wrong or was not done, 2 the command was not understood.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from .commands.manage import SUBCOMMANDS
from .commands.parser import Argument, Subcommand
from .commands.prompts import nearest
from .commands.quantities import parse_duration_s
from .errors import LLMCacheError, StoreError

if TYPE_CHECKING:
    from .stores.base import Store

PROGRAM = "python -m jupyter_llmcache"
OK, WRONG, MISUSED = 0, 1, 2

#: Subcommands that need a kernel.
_NOT_HERE = ("history",)
#: Subcommands that change the file.
_WRITING = ("forget", "clear", "prune", "import")
_FILE = Argument(("file",), "the cache file", "FILE")
_JSON = Argument(("--json",), "print JSON for programs")
_CHOICE = re.compile(r"argument (\S+): invalid choice: '([^']*)' \(choose from (.*)\)")


@dataclass(frozen=True)
class _OpenFile:
    """A cache for the subcommands: the store that was named."""

    store: Store


@dataclass(frozen=True)
class _CommandLine:
    """What stands for a session where there is no kernel."""

    cache: _OpenFile

    def last_call(self) -> None:
        """Know no call, so that ``last`` means the entry that was recorded last."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        choice = _CHOICE.fullmatch(message)
        if choice:
            flag, given, known = choice.groups()
            names = re.findall(r"[\w-]+", known)
            raise LLMCacheError(
                f"{self.prog}: {flag} cannot be {given!r}",
                nearest(given, names) or f"Choose one of {', '.join(names)}",
            )
        raise LLMCacheError(f"{self.prog}: {message}", f"See {self.prog} -h")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    _survive_narrow_encodings()
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except LLMCacheError as error:
        line = str(error).replace("%llm_cache", PROGRAM)
        _say(f"jupyter_llmcache: {line}", sys.stderr)
        return WRONG if isinstance(error, StoreError) else MISUSED
    except BrokenPipeError:  # as in ``list FILE | head``
        sys.stderr.close()
        return WRONG


def commands() -> dict[str, Subcommand]:
    """Return what can be done from a shell, by name."""
    known = {name: each for name, each in SUBCOMMANDS.items() if name not in _NOT_HERE}
    return {**known, CHECK.name: CHECK}


def parser_of(command: Subcommand) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    parser = _Parser(f"{PROGRAM} {command.name}", description=command.help, allow_abbrev=False)
    file = [] if command.name == "check" else [_FILE]
    for argument in [*file, *command.arguments, _JSON]:
        parser.add_argument(*argument.names, **argument.keywords())
    return parser


def _run(words: list[str]) -> int:
    known = commands()
    if not words or words[0] in ("-h", "--help"):
        _say(_help(known))
        return OK if words else MISUSED
    if words[0] not in known:
        raise LLMCacheError(
            f"{PROGRAM} has no command {words[0]!r}",
            nearest(words[0], known) or f"It has {', '.join(known)}",
        )
    command = known[words[0]]
    parser = parser_of(command)
    args, unknown = parser.parse_known_intermixed_args(words[1:])
    if unknown:
        flags = [name for each in (*command.arguments, _JSON) for name in each.names]
        raise LLMCacheError(
            f"{parser.prog} has no use for {unknown[0]!r}",
            nearest(unknown[0], flags) or f"See {parser.prog} -h",
        )
    return _do(command, args)


def _help(known: dict[str, Subcommand]) -> str:
    lines = [f"  {name:<9} {command.help}" for name, command in known.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND FILE [flags]",
            "",
            *lines,
            "",
            "exit status: 0 all is well, 1 something is wrong or was not done, 2 wrong use",
            f"{PROGRAM} COMMAND -h tells more of one.",
        ]
    )


def _check(_: Any, args: argparse.Namespace) -> Any:
    from .course.check import check

    return check(args.notebooks, args.cache, timeout_s=args.timeout, kernel=args.kernel)


CHECK = Subcommand(
    "check",
    "run notebooks in replay mode and tell which cells would call a provider",
    _check,
    (
        Argument(("notebooks",), "the .ipynb files", "NOTEBOOK", "path", {"nargs": "+"}),
        Argument(
            ("--cache",),
            "the recorded file that answers, whatever cache the notebooks choose",
            "FILE",
            "path",
        ),
        Argument(
            ("--timeout",),
            "how long one cell may take; 10min without it",
            "DURATION",
            options={"type": parse_duration_s, "default": 600.0},
        ),
        Argument(("--kernel",), "the kernel to use; what the notebook names without it", "NAME"),
    ),
)


def _do(command: Subcommand, args: argparse.Namespace) -> int:
    if command.name == "check":
        return _tell(_check(None, args), as_json=args.json)
    writes = command.name in _WRITING or getattr(args, "repair", False)
    store = _open(args.file, writes=writes, may_be_new=command.name == "import")
    try:
        session: Any = _CommandLine(_OpenFile(store))
        value = command.handler(session, args)
        if _wants_consent(args, value):
            _tell(value, as_json=False)
            if input("Do it? [y/N] ").strip().lower() not in ("y", "yes"):
                return WRONG
            args.yes = True
            value = command.handler(session, args)
        return _tell(value, as_json=args.json)
    finally:
        store.close()


def _open(path: str, *, writes: bool, may_be_new: bool) -> Store:
    from .stores.sqlite import SQLiteStore

    resolved = Path(path).expanduser()
    if not may_be_new and not resolved.is_file():
        near = nearest(resolved.name, _files_beside(resolved))
        raise LLMCacheError(f"there is no file {path}", near)
    return SQLiteStore(path, read_only=not writes)


def _files_beside(path: Path) -> list[str]:
    try:
        return [each.name for each in path.parent.iterdir() if each.is_file()]
    except OSError:
        return []


def _wants_consent(args: argparse.Namespace, value: Any) -> bool:
    undecided = getattr(args, "yes", None) is False and not value.ok
    return undecided and not args.json and sys.stdin.isatty()


def _tell(value: Any, *, as_json: bool) -> int:
    if as_json:
        _say(json.dumps(_as_data(value), ensure_ascii=False, indent=2))
    else:
        _say(str(value))
    return OK if getattr(value, "ok", True) else WRONG


def _as_data(value: Any) -> Any:
    if hasattr(value, "columns"):
        return [dict(zip(value.columns, row, strict=True)) for row in value.rows]
    return {"ok": value.ok, "title": value.title, **value.data}


def _say(text: str, stream: TextIO | None = None) -> None:
    print(text, file=stream or sys.stdout)  # a command's output


def _survive_narrow_encodings() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
