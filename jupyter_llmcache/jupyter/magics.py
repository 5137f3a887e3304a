"""``%llm_cache``, ``%llm`` and ``%%llm``: read the line, ask or manage, return the value."""

from __future__ import annotations

import re
from argparse import Namespace
from collections import ChainMap
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ..commands import Subcommand, find_subcommand, subcommands
from ..commands.faults import LastError
from ..commands.flags import ASKING, EPILOG, questions_of, variable_of
from ..commands.parser import (
    Argument,
    Parser,
    fill_path,
    split_flags,
    words,
)
from ..errors import LLMCacheError
from ..ledger import LEDGER
from ..text import wrapped

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..commands.answer import Answer, PromptPreview
    from ..commands.ask import Question
    from ..commands.grid import Answers
    from ..commands.session import Session

_LINE_END = re.compile(r"\r?\n\Z")


@cache
def asking_parser() -> Parser:
    """Return the parser of ``%llm`` and ``%%llm``."""
    about = "Ask a model: the rest of the line, or the whole cell below the flags, is the prompt."
    return Parser("%llm", ASKING, about, EPILOG)


@cache
def cache_parser() -> Parser:
    """Return the parser that has the help of ``%llm_cache``."""
    known = subcommands("notebook")
    lines = "\n".join(wrapped(f"  {name:<9} {each.help}", 12) for name, each in known.items())
    return Parser(
        "%llm_cache",
        [Argument(("subcommand",), "what to do; without it: show what is on")],
        "Choose the cache that model calls go through, see what it did, and manage it.",
        f"subcommands:\n{lines}\n\n%llm_cache SUBCOMMAND -h tells more of one.",
    )


class LLMCacheMagics:
    """The magics of one shell."""

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        self.session = session
        self._shell = shell
        self._variables: dict[str, Any] = shell.user_ns
        self._evaluate: Callable[[str], Any] = shell.ev

    def llm_cache(self, line: str) -> Any:
        """Choose the cache that model calls go through, see what it did, and manage it."""
        word = next(words(line), None)
        if word is None:
            return self.session.status(next_steps=True)
        if word.text in ("-h", "--help"):
            return cache_parser().read(["-h"])
        found = find_subcommand(word.text, "notebook", "%llm_cache")
        return self._run(found, line[word.end :].strip())

    def llm(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Answer | Answers | PromptPreview | None:
        """Ask a model: the rest of the line, or the whole cell below the flags, is the prompt."""
        from ..commands import ask

        parser = asking_parser()
        vector, rest = split_flags(line, parser.arguments, "%llm" if cell is None else "%%llm")
        args = parser.read(vector)
        if args is None:
            return None
        variable, prompt = variable_of(args), _prompt(rest, cell)
        settings = self.session.settings
        questions = questions_of(
            args,
            prompt,
            ChainMap(local_ns or {}, self._variables, {"Err": LastError()}),
            settings,
            newest=self.session.newest,
            streams=cell is not None and settings.stream,
        )
        if args.show_prompt:
            from ..commands import grid

            return grid.preview(questions)
        try:
            answer: Answer | Answers = self._asked(questions, args)
        except (ask.Interrupted, ask.UnfitError) as fault:
            if fault.answer is not None:
                self._keep(fault.answer, variable)
                self._show_by_hand(fault.answer)
            raise
        except KeyboardInterrupt as stopped:
            raise ask.Interrupted("stopped by hand") from stopped
        self._keep(answer, variable)
        if args.next:
            answer[0].to_next_cell() if isinstance(answer, Sequence) else answer.to_next_cell()
        return answer

    def _asked(self, questions: Sequence[Question], args: Namespace) -> Answer | Answers:
        from ..commands import ask

        if not questions[0].coords:
            return ask.ask(questions[0])
        from ..commands import grid

        if not args.yes:
            grid.check_price(questions, self.session.settings.max_paid_calls)
        answers = grid.ask_all(questions, args.jobs, diff=args.diff)
        fault = grid.fault_of(answers)
        if fault is not None:
            raise fault
        return answers

    def _keep(self, answer: Answer | Answers, variable: str | None) -> None:
        self.session.newest = answer
        if variable:
            self._variables[variable] = answer

    def _show_by_hand(self, answer: Answer | Answers) -> None:
        """Draw what is there where the cell fails, and make it ``_``."""
        from IPython.display import display

        from ..draw import draws_html

        if isinstance(answer, Sequence):
            display(answer)  # type: ignore[no-untyped-call,unused-ignore]
        elif answer.error and draws_html():  # of one that was stopped the stream has drawn it
            answer.show_line()
        self._shell.displayhook.update_user_ns(answer)  # type: ignore[no-untyped-call,unused-ignore]

    def _run(self, subcommand: Subcommand, rest: str) -> Any:
        """Read ``rest`` as ``subcommand`` takes it, and do it."""
        owner = f"%llm_cache {subcommand.name}"
        parser = Parser(owner, subcommand.arguments, subcommand.help)
        if subcommand.expression and rest not in ("-h", "--help"):
            args: Namespace | None = Namespace(value=self._value_of(rest, owner))
        else:
            args = parser.read(split_flags(rest, parser.arguments, owner, intermixed=True)[0])
        if args is None:
            return None
        for each in subcommand.arguments:
            path = getattr(args, each.names[0], None) if each.kind in ("path", "address") else None
            if path:
                setattr(args, each.names[0], fill_path(path, self._variables))
        if subcommand.on == "session":
            return subcommand.handler(self.session, args)
        if subcommand.on == "nothing":
            return subcommand.handler(LEDGER, args)
        return subcommand.handler(self.session.store(writes=subcommand.changes(args)), LEDGER, args)

    def _value_of(self, expression: str, owner: str) -> Any:
        """Return the value of the person's own expression."""
        if not expression:
            raise LLMCacheError(f"{owner} lacks its expression", f"{owner} -h tells more")
        try:
            return self._evaluate(expression)
        except Exception as error:
            raise LLMCacheError(
                f"{owner}: {expression} raised {type(error).__name__}: {error}"
            ) from error


def _prompt(rest: str, cell: str | None) -> str:
    """Return the prompt of a line or a cell, as it was typed but for the end of its last line.

    Raises:
        LLMCacheError: There is none, or text stands beside the flags of a cell.
    """
    prompt = rest if cell is None else _LINE_END.sub("", cell)
    if cell is not None and rest:
        raise LLMCacheError(
            f"%%llm takes only flags on its first line, and there is {rest!r}",
            "Write the prompt below it; a model goes behind -m",
        )
    if not prompt.strip():
        raise LLMCacheError("the prompt is empty", "Write it behind %llm, or below %%llm")
    return prompt
