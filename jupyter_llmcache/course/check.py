"""Whether a course is complete: its notebooks, run in replay mode, and what they still would ask.

Each notebook is executed in a kernel of its own where nothing may leave the machine. Its file is
not changed. They are recorded likewise, with everything that they ask for kept in one file.
"""

from __future__ import annotations

import ast
import functools
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import modes
from ..draw.live import Progress
from ..draw.table import Report
from ..errors import LLMCacheError
from ..ledger import LEDGER, Call
from ..stores.sqlite import SQLiteStore
from ..text import format_count, one_line

if TYPE_CHECKING:
    from nbclient import NotebookClient

#: Cells with this tag are meant to fail.
_MAY_FAIL = "raises-exception"
_BEGIN = "__import__('importlib').import_module({name!r}).begin{arguments!r}"
_TAKE = "__import__('sys').modules[{name!r}].take()"
#: Misses that are told of in words, of one cell.
_TOLD_MISSES = 3


#: What one cell did; see ``_cell``.
Cell = dict[str, Any]


def check(
    notebooks: Sequence[str],
    cache: str | None = None,
    *,
    records: bool = False,
    allow_web: bool = False,
    timeout_s: float = 600.0,
    kernel: str | None = None,
) -> Report:
    """Execute ``notebooks`` in replay mode and tell which cells ask for what is not recorded.

    Args:
        notebooks: Paths of .ipynb files.
        cache: The file that answers, whatever cache the notebooks choose. None: their own choice.
        records: Let them ask, and keep what they ask for in the file. Cells that are meant to fail
            are left out: they may show what is not recorded.
        allow_web: Let out what asks no model, after the file was asked.
        timeout_s: How long one cell may take, in seconds.
        kernel: The kernel's name. None: what the notebook names.

    Raises:
        LLMCacheError: A file cannot be read, or the ``notebook`` extra is not installed.
    """
    path = cache and (str(Path(cache).expanduser().absolute()) if records else _existing(cache))
    environment = {**os.environ, modes.ENVIRONMENT_VARIABLE: "" if records else "replay"}
    if allow_web:
        environment[modes.WEB_VARIABLE] = "1"
    options: dict[str, Any] = {} if kernel is None else {"kernel_name": kernel}
    options["timeout"] = math.ceil(timeout_s)  # older clients want a whole number
    read = [(name, _read(name)) for name in notebooks]
    if path and Path(path).exists():
        with closing(SQLiteStore(path, read_only=True)) as store:
            store.count()  # what is no cache is told of before a kernel starts
    arguments = (path, not records)
    ran = [(name, _run(name, book, arguments, environment, options)) for name, book in read]
    if records:
        return _report(ran, f"recorded in {cache}", f"not all was recorded in {cache}")
    return _report(ran, "complete", "incomplete")


def _existing(path: str) -> str:
    resolved = Path(path).expanduser()
    if not resolved.is_file():
        raise LLMCacheError(f"there is no file {path}", "Name the recorded file behind --cache")
    return str(resolved.resolve())


def _read(path: str) -> Any:
    try:
        import nbclient  # noqa: F401  # here, so that it is missed before anything runs
        import nbformat
    except ImportError as error:
        raise LLMCacheError(
            f"check needs {error.name}", 'Install it: pip install "jupyter_llmcache[notebook]"'
        ) from error
    try:
        return nbformat.read(_existing(path), as_version=4)  # type: ignore[no-untyped-call]
    except LLMCacheError:
        raise LLMCacheError(f"there is no notebook {path}", "Check the path") from None
    except Exception as error:
        raise LLMCacheError(f"{path} is not a notebook: {one_line(error)}") from error


def _run(
    name: str,
    notebook: Any,
    arguments: tuple[str | None, bool],
    environment: Mapping[str, str],
    options: Mapping[str, Any],
) -> list[Cell]:
    import nbclient
    from jupyter_client.kernelspec import NoSuchKernel

    folder = str(Path(name).expanduser().resolve().parent)
    resources = {"metadata": {"path": folder}}
    client = nbclient.NotebookClient(notebook, allow_errors=True, resources=resources, **options)
    cells: list[Cell] = []
    try:
        with (
            Progress(f"running {name}", noun="cell") as told,
            client.setup_kernel(env=dict(environment)),
        ):
            _evaluate(client, _BEGIN.format(name=__name__, arguments=arguments))
            cells.extend(told.counting(_run_cells(client, notebook, replays=arguments[1])))
    except (nbclient.exceptions.CellControlSignal, nbclient.exceptions.DeadKernelError) as error:
        fault = one_line(f"{type(error).__name__}: {error}", 200)
        cells.append(_cell(len(cells) + 1, "", _did([]), fault))
    except (NoSuchKernel, RuntimeError) as error:
        what = f"{name} has no kernel here: {one_line(error)}"
        raise LLMCacheError(what, "Name one that is installed: --kernel python3") from error
    return cells


def _run_cells(client: NotebookClient, notebook: Any, *, replays: bool) -> Iterator[Cell]:
    number = 0
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        number += 1
        if not replays and _may_fail(cell):
            continue
        client.execute_cell(cell, index)
        did = json.loads(_evaluate(client, "", _TAKE.format(name=__name__)))
        source = one_line(cell.source.strip().splitlines()[0], 60)
        yield _cell(number, source, did, None if did["missing"] else _error(cell))


def _cell(number: int, source: str, did: Cell, error: str | None) -> Cell:
    """Return what one cell did, as JSON values.

    Args:
        number: Of the code cell, from 1, as ``In [1]`` of a fresh run.
        source: Its first line.
        did: What its kernel told, see ``_did``.
        error: Why it failed, if it did and was not meant to; on one line.
    """
    is_complete = not (did["missing"] or did["unstored"] or error)
    return {"number": number, "source": source, **did, "error": error, "complete": is_complete}


def _error(cell: Any) -> str | None:
    if _may_fail(cell):
        return None
    errors = (output for output in cell.outputs if output.output_type == "error")
    return next((one_line(f"{error.ename}: {error.evalue}", 200) for error in errors), None)


def _may_fail(cell: Any) -> bool:
    return _MAY_FAIL in cell.metadata.get("tags", ())


def _evaluate(client: NotebookClient, code: str, expression: str = "None") -> Any:
    """Run ``code`` past the notebook's counter and hooks; return the value of ``expression``."""
    import nbclient

    kernel: Any = client.kc
    ask: Any = nbclient.util.run_sync(kernel.execute_interactive)
    reply = ask(
        code, silent=True, user_expressions={"value": expression}, output_hook=lambda _: None
    )
    content = reply["content"]
    value = content.get("user_expressions", {}).get("value", {})
    if content["status"] != "ok" or value.get("status") != "ok":
        failed = content if content["status"] != "ok" else value
        error = f"{failed.get('ename')}: {failed.get('evalue')}"
        raise LLMCacheError(
            f"the kernel cannot be watched: {one_line(error)}",
            "Install jupyter_llmcache into its environment too",
        )
    return ast.literal_eval(value["data"]["text/plain"])


# --- the report ---


def _report(checks: Sequence[tuple[str, list[Cell]]], good: str, bad: str) -> Report:
    cells = [cell for _, each in checks for cell in each]
    wrong = [
        f"{format_count(count, 'cell')} {what}"
        for name, what in (
            ("missing", "asked for what is not recorded"),
            ("unstored", "got what could not be kept"),
            ("error", "failed"),
        )
        if (count := sum(bool(cell[name]) for cell in cells))
    ]
    counts = [
        format_count(count, what)
        for name, what in (
            ("answers", "answer"),
            ("texts", "embedded text"),
            ("web", "web request"),
        )
        if (count := sum(cell[name] for cell in cells))
    ]
    sent = sum(len(cell["sent"]) for cell in cells)
    came = f"{', '.join(counts) or 'nothing'} from the file, {sent or 'nothing'} sent"
    ran = f"{format_count(len(cells), 'cell')}, {came}"
    notebooks = [{"notebook": name, "cells": each} for name, each in checks]
    return Report(
        f"{bad}: {' and '.join(wrong)} ({ran})" if wrong else f"{good}: {ran}",
        [row for name, each in checks for row in _rows(name, each)],
        data={"complete": not wrong, "notebooks": notebooks},
        ok=not wrong,
    )


def _rows(notebook: str, cells: Sequence[Cell]) -> Iterator[tuple[str, str]]:
    for cell in cells:
        place, missing = f"{notebook}, cell {cell['number']}", cell["missing"]
        for miss in missing[:_TOLD_MISSES]:
            yield place, f"not recorded: {miss}"
        if len(missing) > _TOLD_MISSES:
            yield place, f"and {len(missing) - _TOLD_MISSES} more not recorded"
        for what in cell["unstored"]:
            yield place, f"not kept: {what}"
        if cell["error"]:
            yield place, f"failed: {cell['error']}"
        for what, count in Counter(cell["sent"]).items():
            yield place, f"sent: {what}" + (f" ({count} times)" if count > 1 else "")
        for name, count in cell["other_caches"].items():
            yield place, f"{format_count(count, 'answer')} from the notebook's own {name}"


# --- inside the kernel of a notebook that is run ---

_mark = 0


def begin(path: str | None, replays: bool) -> None:
    """Serve every call from ``path``, whatever file the notebook chooses; None: from its own.

    Args:
        path: The file.
        replays: Whether it is only read, and nothing else may answer.

    Raises:
        StoreError: The file cannot be opened.
    """
    from ..seam import patch, replay

    if replays:
        modes.set_session_mode("replay", allow_web=modes.WEB_VARIABLE in os.environ)
        owner = take  # it lives as long as the kernel
        patch.install(owner)
        replay.hold(owner)
    else:
        modes.record()
    if path is not None:
        _serve_only(path, read_only=replays)
        from langchain_core.globals import set_llm_cache

        from ..seam.cache import SQLiteCache
        from ..seam.place import turn_on

        ours = SQLiteCache(path)
        set_llm_cache(ours)
        turn_on(ours)


def take() -> str:
    """Return what happened since the last time, as JSON; see ``_did``."""
    global _mark  # noqa: PLW0603  # as above
    calls = LEDGER.since(_mark)
    _mark = LEDGER.mark()
    return json.dumps(_did(calls))


def _did(calls: Sequence[Call]) -> Cell:
    """Return what ``calls`` did: how many model calls, embedded texts and web requests the file
    answered, and how many the notebook's own caches, or canned models; what left this machine; what
    is not recorded and was refused; what was sent and could not be kept.
    """
    models = [call for call in calls if call.kind == "hit" and call.asked == "model"]
    theirs = [call for call in models if call.key is None]  # found before it came to our door
    canned = ["canned model" for call in calls if call.kind == "miss" and call.canned]
    fresh = [call for call in calls if call.kind == "miss" and not call.canned]
    sent = [call for call in calls if call.kind == "bypass" or call in fresh]
    if modes.current_mode() == "replay":
        sent = []
    return {
        "answers": len(models) - len(theirs),
        "texts": sum(call.texts_cached for call in calls),
        "web": sum(call.kind == "hit" and call.asked == "web" for call in calls),
        "other_caches": Counter([*(call.location for call in theirs), *canned]),
        "sent": [_words(call) for call in fresh],
        "missing": [f"{_words(c)}; {c.unrecorded}" for c in calls if c.unrecorded is not None],
        "unstored": [
            f"{_words(call)}: {call.warning or call.reason}"
            for call in sent
            if not (call.stored or call.pending)
        ],
    }


def _words(call: Call) -> str:
    if call.asked == "embedding":
        return f"{format_count(call.texts - call.texts_cached, 'text')} for {call.model}"
    if call.asked == "web":
        return f"a web request to {call.model.removeprefix('web:')}"
    return f"a call of {call.model}"


def _serve_only(path: str, *, read_only: bool) -> None:
    """Let every cache of ours that is made from now on serve the file ``path``."""
    from ..seam.cache import ForeignCache, ObservedCache
    from ..stores.base import Store
    from ..stores.sqlite import SQLiteStore

    opened, made = SQLiteStore.__init__, ObservedCache.__init__

    @functools.wraps(opened)  # flags are read off its signature
    def open_course(self: SQLiteStore, *_: Any, **__: Any) -> None:
        opened(self, path, read_only=read_only)

    def make(self: ObservedCache, store: Store, **options: Any) -> None:
        if isinstance(self, ForeignCache):
            made(self, store, **options)
        else:
            made(self, SQLiteStore(path), **{**options, "record_web": not read_only})

    for cls, ours in ((SQLiteStore, open_course), (ObservedCache, make)):
        setattr(cls, "__init__", ours)  # noqa: B010  # mypy forbids the plain assignment
