"""``python -m jupyter_llmcache``: what the magics see and manage, from a shell and in scripts.

Exit status: 0 all is well, 1 something is wrong or was not done, 2 the command was not understood.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from .commands import Subcommand, find_subcommand, listed
from .commands.parser import Argument, Parser
from .errors import LLMCacheError, StoreError
from .ledger import LEDGER
from .text import did_you_mean

if TYPE_CHECKING:
    from .stores.base import Store

PROGRAM = "python -m jupyter_llmcache"
OK, WRONG, MISUSED = 0, 1, 2

_FILE = Argument(("file",), "the cache file, or the URL of a server", "FILE")
_JSON = Argument(("--json",), "print JSON for programs")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a narrow encoding must not end the program
            stream.reconfigure(errors="replace")
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except LLMCacheError as error:
        line = str(error).replace("%llm_cache", PROGRAM)
        _say(f"jupyter_llmcache: {line}", sys.stderr)
        return WRONG if isinstance(error, StoreError) else MISUSED
    except BrokenPipeError:  # as in ``list FILE | head``
        sys.stderr.close()
        return WRONG
    except OSError as error:  # as for a name that is too long
        _say(f"jupyter_llmcache: {error}", sys.stderr)
        return WRONG


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        _say(
            f"usage: {PROGRAM} COMMAND FILE [flags]\n\n{listed('shell')}\n\n"
            "exit status: 0 all is well, 1 something is wrong or was not done, 2 wrong use\n"
            f"{PROGRAM} COMMAND -h tells more of one."
        )
        return OK if words else MISUSED
    command = find_subcommand(words[0], "shell", PROGRAM)
    file = [_FILE] if command.on == "store" else []
    parser = Parser(
        f"{PROGRAM} {command.name}", [*file, *command.arguments, _JSON], f"{command.help}"
    )
    args = parser.read(words[1:])
    return OK if args is None else _do(command, args)


def _do(command: Subcommand, args: Namespace) -> int:
    if command.on == "nothing":
        return _tell(command.handler(LEDGER, args), as_json=args.json)
    store = _open(args.file, command, writes=command.changes(args))
    try:
        value = command.handler(store, LEDGER, args)
        undecided = getattr(args, "yes", None) is False and not value.ok
        if undecided and not args.json and sys.stdin.isatty():
            _tell(value, as_json=False)
            if input("Do it? [y/N] ").strip().lower() not in ("y", "yes"):
                return WRONG
            args.yes = True
            value = command.handler(store, LEDGER, args)
        return _tell(value, as_json=args.json)
    finally:
        store.close()


def _open(path: str, command: Subcommand, *, writes: bool) -> Store:
    from .stores import find_by_url
    from .stores.sqlite import SQLiteStore

    if (at_url := find_by_url(path)) is not None:
        return at_url(path, read_only=not writes)
    resolved = Path(path).expanduser()
    # What is neither file nor folder, as a pipe, the store itself tells of.
    if command.name != "import" and (resolved.is_dir() or not resolved.exists()):
        beside = resolved.parent.iterdir() if resolved.parent.is_dir() else ()
        near = did_you_mean(resolved.name, [each.name for each in beside if each.is_file()])
        what = f"{path} is a folder" if resolved.is_dir() else f"there is no file {path}"
        raise LLMCacheError(what, near or "Give the path of a cache file")
    return SQLiteStore(path, read_only=not writes, _may_be_damaged=command.name == "verify")


def _tell(value: Any, *, as_json: bool) -> int:
    if not as_json:
        _say(str(value))
    elif hasattr(value, "columns"):
        rows = [dict(zip(value.columns, row, strict=True)) for row in value.rows]
        _say(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        data = {"ok": value.ok, "title": value.title, **value.data}
        _say(json.dumps(data, ensure_ascii=False, indent=2))
    return OK if getattr(value, "ok", True) else WRONG


def _say(text: str, stream: TextIO | None = None) -> None:
    print(text, file=stream or sys.stdout)  # a command's output


if __name__ == "__main__":
    sys.exit(main())
