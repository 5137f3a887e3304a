"""Loading into a shell and leaving it as it was.

Everything that loading puts into a shell is put there by one ``Extension`` and taken away by the
same one, so nothing is doubled after a reload and nothing is left after an unload. What it puts
there is thin: the session, the magics' code and what they draw with are imported when first used.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import EscapedCommand, MagicAssign
from IPython.core.magic import needs_local_scope, no_var_expand

from .. import modes
from ..errors import chain_of, note_secrets, without_secrets
from ..ledger import LEDGER
from ..settings import LLMCache

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from ..commands import Session
    from .magics import LLMCacheMagics

#: Where a shell keeps its extension between loading and unloading.
_ATTRIBUTE = "_jupyter_llmcache"
#: Where a shell keeps the session while ``%reload_ext`` unloads and loads.
_SESSION = "_jupyter_llmcache_session"
#: How long the end of a cell waits for what could not be stored at once, in seconds.
_PATIENCE_S = 0.02


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext jupyter_llmcache``: put magics and hooks into ``shell``.

    What is there already is taken away first.
    """
    unload_ipython_extension(shell)
    setattr(shell, _ATTRIBUTE, Extension(shell, vars(shell).pop(_SESSION, None)))


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext jupyter_llmcache``: take all of it out of ``shell``, and restore the old cache.

    ``%reload_ext`` keeps the session.
    """
    extension: Extension | None = getattr(shell, _ATTRIBUTE, None)
    if extension is None:
        return
    session = vars(extension).get("session")
    extension.close()
    delattr(shell, _ATTRIBUTE)
    if session is not None and _is_reloading():
        setattr(shell, _SESSION, session)
    elif session is not None:
        session.close()


def _is_reloading() -> bool:
    """Whether IPython unloads us only to load us again; nothing but its stack tells."""
    frame = sys._getframe()  # noqa: SLF001  # the one way to ask who calls
    while (caller := frame.f_back) is not None:
        frame = caller
        if frame.f_code.co_name == "reload_extension":
            return True
    return False


class Extension:
    """What loading put into one shell; ``close`` takes everything away again."""

    def __init__(self, shell: InteractiveShell, session: Session | None = None) -> None:
        self.shell = shell
        self.settings = session.settings if session else LLMCache(parent=shell)
        if session is not None:
            self.session = session
        self._in_cell = self._sees_calls = False
        self._undo = ExitStack()
        self._undo.callback(self._leave_seam)
        self._put_magics()
        for found, ours in (
            (_configurables(shell), self.settings),
            (shell.events.callbacks["pre_run_cell"], self._before_cell),
            (shell.events.callbacks["post_run_cell"], self._after_cell),
        ):
            self._undo.callback(_put(found, ours))
        self._undo.callback(install_raw_text(shell))
        self._put_completion()
        self._undo.callback(_hide_in_tracebacks(shell))
        if modes.current_mode() == "replay":
            # The environment asks that nothing is sent, also by cells that choose no cache first.
            self.session.hold_replay()

    @cached_property
    def session(self) -> Session:
        """What the magics of this shell work on."""
        from ..commands import Session

        return Session(self.settings)

    @cached_property
    def magics(self) -> LLMCacheMagics:
        """The magics' code."""
        from .magics import LLMCacheMagics

        return LLMCacheMagics(self.shell, self.session)

    def close(self) -> None:
        """Take everything away and put back what was there before."""
        self._undo.close()

    def _leave_seam(self) -> None:
        if seam := sys.modules.get(f"{__package__.rpartition('.')[0]}.seam.patch"):
            seam.uninstall(self)

    def _before_cell(self, info: Any) -> None:
        text = getattr(info, "raw_cell", "") or ""
        uses_models = "langchain" in text or "langchain_core" in sys.modules
        if uses_models and not self._sees_calls:
            # Calls that a cache of the notebook's own answers are told of too.
            from ..seam import patch

            patch.install(self)
            self._sees_calls = True
        # The cell's own number: newer IPythons have raised execution_count already, and all of
        # them append to the history later.
        history = self.shell.history_manager
        LEDGER.cell = len(history.input_hist_raw) if history else 0
        LEDGER.is_stable = self.settings.stable
        if not self._in_cell:  # a cell that runs cells is still one cell
            self._in_cell, self.session.mark = True, LEDGER.mark()
            LEDGER.cell_text = text

    def _after_cell(self, result: Any) -> None:  # noqa: ARG002  # IPython passes it
        waits = any(call.pending for call in LEDGER.since(self.session.mark))
        calls = LEDGER.untold_since(self.session.mark)
        if waits:
            from ..stores.write_behind import hurry

            left = hurry(_PATIENCE_S)
            calls = [
                call._replace(pending=False, stored=True)
                if call.pending and left.isdisjoint(call.keys or [bytes.fromhex(call.key or "")])
                else call
                for call in calls
            ]
        self._in_cell, self.session.mark = False, LEDGER.mark()
        if calls and self.settings.annotate:
            from IPython.display import display

            from ..draw.line import cell_line

            display(cell_line(calls, stable=self.settings.stable))  # type: ignore[no-untyped-call,unused-ignore]

    def _put_completion(self) -> None:
        try:
            from IPython.core.completer import context_matcher
        except ImportError:  # an old IPython does without
            return

        @context_matcher()  # type: ignore[untyped-decorator,unused-ignore]
        def llmcache_matcher(context: CompletionContext) -> SimpleMatcherResult:
            from .magics import match

            return match(context, self.shell.user_ns, self.session)

        self._undo.callback(_put(self.shell.Completer.custom_matchers, llmcache_matcher))

    def _put_magics(self) -> None:
        """Register ours, and say whose place they take."""
        ask = needs_local_scope(no_var_expand(_Magic(self, "llm")))
        cache = no_var_expand(_Magic(self, "llm_cache"))
        for kind, name, ours in (
            ("line", "llm", ask),
            ("cell", "llm", ask),
            ("line", "llm_cache", cache),
        ):
            table = self.shell.magics_manager.magics[kind]
            if (theirs := table.get(name)) is not None:
                sign = "%%" if kind == "cell" else "%"
                owner = getattr(theirs, "__module__", "another extension")
                print(f"{sign}{name} was {owner}'s; it is jupyter_llmcache's until %unload_ext")  # noqa: T201  # the one line that loading may say
            table[name] = ours
            self._undo.callback(_give_back, table, name, ours, theirs)


def _give_back(table: dict[str, Any], name: str, ours: object, theirs: object) -> None:
    """Let the magic ``name`` be theirs again, unless other code has put its own over ours."""
    if table.get(name) is ours:
        table.pop(name)
    if theirs is not None:
        table.setdefault(name, theirs)


class _Magic:
    """Stands for a magic in the shell: its code is imported when it is called or asked for help."""

    def __init__(self, extension: Extension, name: str) -> None:
        self._extension = extension
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._extension.magics, self.__name__)(*args, **kwargs)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        """The help that IPython shows for ``%llm?``."""
        from .magics import asking_parser, cache_parser

        parser = asking_parser() if self.__name__ == "llm" else cache_parser()
        return parser.format_help()


def _configurables(shell: InteractiveShell) -> list[Any]:
    """What ``%config`` lists. IPython declares it a list of shells."""
    return shell.configurables  # type: ignore[return-value,unused-ignore]


def _put(found: list[Any], *ours: object, at: int | None = None) -> Callable[[], None]:
    """Put ``ours`` into a list of the shell, at its end; return what takes them out again."""
    place = len(found) if at is None else at
    found[place:place] = ours

    def take() -> None:
        for each in ours:
            if each in found:  # else other code has taken it out
                found.remove(each)

    return take


# --- the prompt as it was typed ---

# IPython takes ``>>>`` and ``In [1]:`` and indentation out of a cell, and makes a help call of a
# line that ends in ``?``. A cell is therefore made a call before all other transformers; a line by
# IPython's own transformers, which know where a string ends, but before the one that sees help.
# ``%llm?`` and ``%%llm?`` stay help.

_CELL_MAGIC = r"[ \t]*%%(?P<name>\w+)(?:[ \t]+(?P<flags>.*))?\s*\Z"
#: Also a line such as ``%time %llm why?``, which IPython makes a ``%llm`` line later.
_LINE_MAGIC = r"%llm(?=\s)|%\w+ (?:.*\s)?%llm\s"


def install_raw_text(shell: InteractiveShell) -> Callable[[], None]:
    """Make ``shell`` hand over prompts as typed; return what takes that away again."""
    undo = ExitStack()
    undo.callback(_put(shell.input_transformers_cleanup, _cell_as_typed, at=0))
    lines = shell.input_transformer_manager.token_transformers
    undo.callback(_put(lines, _Line, _AssignedLine))
    return undo.close


def _hide_in_tracebacks(shell: InteractiveShell) -> Callable[[], None]:
    """Take secrets out of every traceback that the shell draws; return what undoes it."""
    drawer, name = shell.InteractiveTB, "structured_traceback"
    before, draw = vars(drawer).get(name), getattr(drawer, name)

    def hiding(etype: Any, evalue: Any = None, *args: Any, **kwargs: Any) -> list[str]:
        if isinstance(evalue, BaseException):
            note_secrets(_secrets_around(evalue))
        return [without_secrets(line) for line in draw(etype, evalue, *args, **kwargs)]

    setattr(drawer, name, hiding)

    def undo() -> None:
        if vars(drawer).get(name) is hiding:  # else somebody put theirs over ours
            delattr(drawer, name)
            vars(drawer).update({name: before} if before else {})

    return undo


def _secrets_around(error: BaseException) -> Iterator[str]:
    """Yield the secrets of the models in a traceback's frames: ``%xmode Verbose`` draws those."""
    known = sys.modules.get("langchain_core.language_models.base")
    if known is None:
        return
    from ..request import secrets_of

    tracebacks = [one.__traceback__ for one in chain_of(error)]
    frames = [frame for each in tracebacks for frame, _ in traceback.walk_tb(each)]
    held = {id(value): value for frame in frames for value in [*frame.f_locals.values()]}
    for value in held.values():
        if isinstance(value, known.BaseLanguageModel):
            with suppress(Exception):  # an odd model; the error is drawn all the same
                yield from secrets_of(value, {})


def _cell_as_typed(lines: list[str]) -> list[str]:
    """Return the call that a ``%%llm`` cell stands for; any other cell as it is.

    ``%%llm`` may stand under other cell magics, as under ``%%time``, which hand their body on.
    """
    blank = next((place for place, line in enumerate(lines) if not line.isspace()), len(lines))
    magics = [
        match
        for match in takewhile(bool, (re.match(_CELL_MAGIC, line) for line in lines[blank:]))
        if match
    ]
    if not any(match["name"] == "llm" for match in magics):
        return lines
    name, flags = magics[0]["name"], magics[0]["flags"] or ""
    body = "".join(lines[blank + 1 :]) or "\n"  # IPython itself refuses a cell without a line
    return [f"get_ipython().run_cell_magic({name!r}, {flags.rstrip()!r}, {body!r})\n"]


#: IPython asks transformers without this mark whether a cell is complete; as a call, a ``%%llm``
#: line would be, and a terminal would run it before a prompt could be typed.
_cell_as_typed.has_side_effects = True  # type: ignore[attr-defined]


class _Ours:
    """Goes before IPython's own transformers on a line of ours, and leaves all others to them."""

    priority = 0
    start_line: int
    start_col: int

    def __init__(self, start: tuple[int, int]) -> None:
        super().__init__(start)  # type: ignore[call-arg]
        self._column, self.start_col = self.start_col, -1  # IPython sorts by it

    def transform(self, lines: list[str]) -> list[str]:
        self.start_col = self._column
        if not re.match(_LINE_MAGIC, lines[self.start_line][self.start_col :]):
            raise SyntaxError  # IPython asks the next one
        transformed: list[str] = super().transform(lines)  # type: ignore[misc]
        return transformed


class _Line(_Ours, EscapedCommand):  # type: ignore[misc,unused-ignore]
    """A ``%llm`` line."""


class _AssignedLine(_Ours, MagicAssign):  # type: ignore[misc,unused-ignore]
    """``x = %llm ...``: an assignment of a ``%llm`` line."""
