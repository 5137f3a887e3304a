"""Whether a course is complete: its notebooks, run in replay mode, and what they still would ask.

Each notebook is executed in a kernel of its own where nothing may reach a provider. Its file is
not changed.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import modes
from ..draw.table import Report
from ..errors import LLMCacheError, ReplayMissError
from ..ledger import LEDGER
from ..text import format_count, one_line

if TYPE_CHECKING:
    from nbclient import NotebookClient

#: Cells with this tag are meant to fail.
_MAY_FAIL = "raises-exception"
_BEGIN = "from jupyter_llmcache.course import check as _check; _check.begin({path!r}); del _check"
_TAKE = "__import__('sys').modules['jupyter_llmcache.course.check'].take()"
#: Replay misses that are told of in words, of one cell.
_TOLD_MISSES = 3


@dataclass(frozen=True)
class CellCheck:
    """What one cell did.

    Attributes:
        number: Of the code cell, from 1, as ``In [1]`` of a fresh run.
        source: Its first line.
        hits: Calls that were answered from the cache.
        misses: Calls that would go to a provider, in words.
        embeddings: Calls that no LLM cache sees, by class.
        error: Why it failed, if it did and was not meant to; on one line.
    """

    number: int
    source: str
    hits: int = 0
    misses: Sequence[str] = ()
    embeddings: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it ran without a provider."""
        return not self.misses and self.error is None


@dataclass(frozen=True)
class NotebookCheck:
    """What the cells of one notebook did; ``path`` as it was given."""

    path: str
    cells: Sequence[CellCheck]


def check(
    notebooks: Sequence[str],
    cache: str | None = None,
    *,
    timeout_s: float = 600.0,
    kernel: str | None = None,
) -> Report:
    """Execute ``notebooks`` in replay mode and tell which cells would call a provider.

    Args:
        notebooks: Paths of .ipynb files.
        cache: The file that answers, whatever cache the notebooks choose. None: their own choice.
        timeout_s: How long one cell may take, in seconds.
        kernel: The kernel's name. None: what the notebook names.

    Raises:
        LLMCacheError: A file cannot be read, or the ``check`` extra is not installed.
    """
    path = None if cache is None else _existing(cache)
    read = [(name, _read(name)) for name in notebooks]
    return _report([_run(*each, path, timeout_s, kernel) for each in read])


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
        raise LLMCacheError(f"there is no notebook {path}") from None
    except Exception as error:
        raise LLMCacheError(f"{path} is no notebook: {one_line(error)}") from error


def _run(
    name: str, notebook: Any, cache: str | None, timeout_s: float, kernel: str | None
) -> NotebookCheck:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, DeadKernelError

    folder = str(Path(name).expanduser().resolve().parent)
    options: dict[str, Any] = {} if kernel is None else {"kernel_name": kernel}
    client = NotebookClient(
        notebook,
        timeout=math.ceil(timeout_s),  # older clients want a whole number
        allow_errors=True,
        resources={"metadata": {"path": folder}},
        **options,
    )
    cells: list[CellCheck] = []
    try:
        with client.setup_kernel(env={**os.environ, modes.ENVIRONMENT_VARIABLE: "replay"}):
            _evaluate(client, _BEGIN.format(path=cache))
            cells.extend(_run_cells(client, notebook))
    except (CellControlSignal, DeadKernelError) as error:
        number = len(cells) + 1
        cells.append(CellCheck(number, "", error=one_line(f"{type(error).__name__}: {error}", 200)))
    return NotebookCheck(name, cells)


def _run_cells(client: NotebookClient, notebook: Any) -> Iterator[CellCheck]:
    number = 0
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        number += 1
        client.execute_cell(cell, index)
        told = json.loads(_evaluate(client, "", _TAKE))
        yield CellCheck(
            number,
            one_line(cell.source.strip().splitlines()[0], 60),
            error=None if told["misses"] else _error(cell),
            **told,
        )


def _error(cell: Any) -> str | None:
    if _MAY_FAIL in cell.metadata.get("tags", ()):
        return None
    errors = (output for output in cell.outputs if output.output_type == "error")
    return next((one_line(f"{error.ename}: {error.evalue}", 200) for error in errors), None)


def _evaluate(client: NotebookClient, code: str, expression: str = "None") -> str:
    """Run ``code`` past the notebook's counter and hooks; return the value of ``expression``."""
    from nbclient.util import run_sync

    kernel: Any = client.kc
    ask: Any = run_sync(kernel.execute_interactive)
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
    text = value["data"]["text/plain"]
    return "" if text == "None" else str(json.loads(_as_json(text)))


def _as_json(literal: str) -> str:
    """Return a Python string literal of JSON as a JSON string."""
    import ast

    return json.dumps(ast.literal_eval(literal))


# --- the report ---


def _report(checks: Sequence[NotebookCheck]) -> Report:
    cells = [cell for each in checks for cell in each.cells]
    asking = sum(bool(cell.misses) for cell in cells)
    failed = sum(cell.error is not None for cell in cells)
    hits = sum(cell.hits for cell in cells)
    ran = f"{format_count(len(cells), 'cell')}, {format_count(hits, 'recorded answer')}"
    verdicts = [
        f"{format_count(asking, 'cell')} would call a provider" if asking else "",
        f"{format_count(failed, 'cell')} failed" if failed else "",
    ]
    wrong = " and ".join(filter(None, verdicts))
    return Report(
        f"incomplete: {wrong} ({ran})" if wrong else f"complete: {ran}, nothing else was asked",
        [row for each in checks for row in _rows(each)],
        data={"complete": not wrong, "notebooks": [_data(each) for each in checks]},
        ok=not wrong,
    )


def _rows(checked: NotebookCheck) -> Iterator[tuple[str, str]]:
    for cell in checked.cells:
        place = f"{checked.path}, cell {cell.number}"
        for miss in cell.misses[:_TOLD_MISSES]:
            yield place, f"would call: {miss.removeprefix('replay: ')}"
        if len(cell.misses) > _TOLD_MISSES:
            yield place, f"and {len(cell.misses) - _TOLD_MISSES} more calls"
        if cell.error is not None:
            yield place, f"failed: {cell.error}"
        for name, count in cell.embeddings.items():
            yield place, f"no LLM cache sees {format_count(count, 'call')} of the embeddings {name}"


def _data(checked: NotebookCheck) -> dict[str, Any]:
    return {
        "notebook": checked.path,
        "cells": [
            {
                "number": cell.number,
                "source": cell.source,
                "complete": cell.is_complete,
                "hits": cell.hits,
                "misses": list(cell.misses),
                "embeddings": dict(cell.embeddings),
                "error": cell.error,
            }
            for cell in checked.cells
        ],
    }


# --- inside the kernel of a notebook under check ---

#: What a class of embeddings implements to ask its provider.
_EMBEDDING_METHODS = ("embed_documents", "embed_query", "aembed_documents", "aembed_query")
#: Modules whose embeddings ask nobody: canned ones, and a cache in front of others.
_HARMLESS = ("langchain_core.embeddings", "langchain_classic.embeddings.cache")

_misses: list[str] = []
_embeddings: Counter[str] = Counter()
_is_embedding: ContextVar[bool] = ContextVar("llmcache_is_embedding", default=False)
_mark = 0


def begin(cache_path: str | None) -> None:
    """Answer every call from ``cache_path``, whatever file the notebook chooses; else from its own.

    Raises:
        StoreError: The file cannot be read.
    """
    modes.set_session_mode("replay")
    _count_misses()
    _count_embeddings()
    if cache_path is None:
        from ..seam import patch as streams

        streams.install(_Owner.it)
        return
    _serve_only(cache_path)
    from langchain_core.globals import set_llm_cache

    from ..seam import cache

    set_llm_cache(cache.MemoryCache())


def take() -> str:
    """Return what happened since the last time, as JSON: hits, misses in words, embeddings."""
    global _mark  # noqa: PLW0603  # one kernel has one ledger
    hits = sum(call.kind == "hit" for call in LEDGER.since(_mark))
    _mark = LEDGER.mark()
    told = {"hits": hits, "misses": list(_misses), "embeddings": dict(_embeddings)}
    _misses.clear()
    _embeddings.clear()
    return json.dumps(told)


class _Owner:
    """Keeps models' calls led to the cache while the kernel lives."""

    it: _Owner


_Owner.it = _Owner()


def _serve_only(path: str) -> None:
    """Let every cache that is made from now on serve the file ``path``, and write nothing."""
    from ..seam import cache
    from ..stores.sqlite import SQLiteStore

    class Course(SQLiteStore):
        """The store of the file, whatever else is asked for."""

        def __init__(self, *_: Any, **__: Any) -> None:
            super().__init__(path, read_only=True)

    Course().close()
    for name in ("MemoryStore", "SQLiteStore"):
        setattr(cache, name, Course)


def _count_misses() -> None:
    """Note every replay miss where it is made, because a notebook may catch it."""
    make = ReplayMissError.__init__

    def counted(self: ReplayMissError, what: str, remedy: str = "") -> None:
        _misses.append(what)
        make(self, what, remedy)

    setattr(ReplayMissError, "__init__", counted)  # noqa: B010  # mypy forbids the plain assignment


# --- embeddings ---


def _count_embeddings() -> None:
    from langchain_core.embeddings import Embeddings

    for cls in _subclasses(Embeddings):
        _watch_class(cls)
    setattr(Embeddings, "__init_subclass__", classmethod(_watch_new))  # noqa: B010  # as above


def _watch_new(cls: type[Any], /, **_: Any) -> None:
    _watch_class(cls)


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    below: list[type[Any]] = cls.__subclasses__()
    for each in below:
        yield each
        yield from _subclasses(each)


def _watch_class(cls: type) -> None:
    if cls.__module__.startswith(_HARMLESS):
        return
    for name in _EMBEDDING_METHODS:
        if name in cls.__dict__:
            setattr(cls, name, _counting(cls.__dict__[name], cls.__name__))


def _counting(method: Callable[..., Any], owner: str) -> Callable[..., Any]:
    """Count the outermost call; one method of a class often asks another."""

    @functools.wraps(method)
    def counted(*args: Any, **kwargs: Any) -> Any:
        if _is_embedding.get():
            return method(*args, **kwargs)
        _embeddings[owner] += 1
        token = _is_embedding.set(True)
        try:
            return method(*args, **kwargs)
        finally:
            _is_embedding.reset(token)

    return counted
