"""``%llm_cache``, ``%llm`` and ``%%llm``: read the line, ask or manage, return the value; TAB."""

from __future__ import annotations

import mimetypes
import re
import sys
from argparse import Namespace
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..commands import Session, Subcommand, find_subcommand, listed, subcommands
from ..commands.faults import LastError
from ..commands.flags import ASKING, EPILOG, questions_of, variable_of
from ..commands.parser import Argument, Parser, fill_path, split_flags, words
from ..errors import LLMCacheError
from ..ledger import LEDGER

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from ..commands.answer import Answer, PromptPreview
    from ..commands.grid import Answers

_LINE_END = re.compile(r"\r?\n\Z")

# What TAB reads: a line of ours up to the cursor, and what stands on it.
_MAX_OFFERS = 200
_LINE = re.compile(
    r"(?:^\s*|=\s*|^\s*%\w+\s.*?)%(?P<name>llm_cache|llm)\s+(?P<rest>.*)\Z", re.DOTALL
)
_CELL = re.compile(r"\s*%%llm(?:\s|\Z)")
_CELL_FLAGS = re.compile(r"\s*%%(?P<name>llm)\s+(?P<rest>.*)\Z")
_PLACEHOLDER = re.compile(r"\{\{[ \t]*(?P<name>(?:\w|[^\x00-\x7f\s])*)\Z")
_LAST_WORD = re.compile(r"\S*\Z")
_MODEL = re.compile(r"(?:-m|--model)[ =]*(\S+)(?=\s)")
#: What IPython itself keeps for a person.
_OF_IPYTHON = ("In", "Out", "exit", "quit", "get_ipython", "open")
#: How the kinds of files begin that --attach sends.
_SENT = ("image/", "audio/", "application/pdf")


@cache
def asking_parser() -> Parser:
    """Return the parser of ``%llm`` and ``%%llm``."""
    about = "Ask a model: the rest of the line, or the whole cell below the flags, is the prompt."
    return Parser("%llm", ASKING, about, EPILOG)


@cache
def cache_parser() -> Parser:
    """Return the parser that has the help of ``%llm_cache``."""
    return Parser(
        "%llm_cache",
        [Argument(("subcommand",), "what to do; without it: show what is on")],
        "Choose the cache that model calls go through, see what it did, and manage it.",
        f"subcommands:\n{listed('notebook')}\n\n%llm_cache SUBCOMMAND -h tells more of one.",
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
        from ..commands import ask, grid
        from ..commands.answer import Interrupted, UnfitError

        parser = asking_parser()
        vector, rest = split_flags(line, parser.arguments, "%llm" if cell is None else "%%llm")
        args = parser.read(vector)
        if args is None:
            return None
        variable, prompt, settings = variable_of(args), _prompt(rest, cell), self.session.settings
        questions = questions_of(
            args,
            prompt,
            ChainMap(local_ns or {}, self._variables, {"Err": LastError()}),
            settings,
            newest=self.session.newest,
            streams=cell is not None and settings.stream,
        )
        if args.show_prompt:
            return ask.preview(questions)
        try:
            answer: Answer | Answers
            if questions[0].coords:
                max_paid = None if args.yes else settings.max_paid_calls
                answer = grid.ask_all(questions, args.jobs, max_paid, diff=args.diff)
            else:
                answer = ask.ask(questions[0])
        except (Interrupted, UnfitError) as fault:
            if fault.answer is not None:
                self._keep(fault.answer, variable)
                self._show_by_hand(fault.answer)
            raise
        except KeyboardInterrupt as stopped:
            raise Interrupted("stopped by hand") from stopped
        self._keep(answer, variable)
        if args.next:
            (answer[0] if isinstance(answer, Sequence) else answer).to_next_cell()
        return answer

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
        if subcommand.on == "store":
            store = self.session.store(writes=subcommand.changes(args))
            return subcommand.handler(store, LEDGER, args)
        return subcommand.handler(self.session if subcommand.on == "session" else LEDGER, args)

    def _value_of(self, expression: str, owner: str) -> Any:
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


# --- TAB in these lines ---


class Offers(NamedTuple):
    """What may stand in the place of ``fragment``, the text before the cursor."""

    fragment: str
    texts: tuple[str, ...]


_NOTHING = Offers("", ())


def match(
    context: CompletionContext, namespace: Mapping[str, Any], session: Session
) -> SimpleMatcherResult:
    """Return what IPython's completer may offer at ``context``."""
    from IPython.core.completer import SimpleCompletion

    before = context.full_text.split("\n")[: context.cursor_line]
    found = offers([*before, context.text_until_cursor], namespace, session)
    return {
        "completions": [SimpleCompletion(text, type="magic") for text in found.texts],
        "matched_fragment": found.fragment,
        "suppress": bool(found.texts),
        "ordered": True,
    }


def offers(lines: Sequence[str], namespace: Mapping[str, Any], session: Session) -> Offers:
    """Return what may come at the end of ``lines``, the cell up to the cursor."""
    line = lines[-1]
    in_cell = _CELL.match(next((each for each in lines if each.strip()), ""))
    match = _CELL_FLAGS.match(line) if len(lines) == 1 else None
    match = match or (None if in_cell else _LINE.search(line))
    placeholder = _PLACEHOLDER.search(line)
    if placeholder and (match or in_cell):
        return _starting(placeholder["name"], [*_names(namespace), "In", "Out", "Err"])
    if match is None:
        return _NOTHING
    if match["name"] == "llm":
        return _for_words(match["rest"], ASKING, namespace, session, intermixed=False)
    rest, known = match["rest"], subcommands("notebook")
    first = next(words(rest), None)
    if first is None or first.end == len(rest):
        return _starting(rest.strip(), known)
    arguments = known[first.text].arguments if first.text in known else ()
    return _for_words(rest[first.end :], arguments, namespace, session, intermixed=True)


def _for_words(
    rest: str,
    arguments: Sequence[Argument],
    namespace: Mapping[str, Any],
    session: Session,
    *,
    intermixed: bool,
) -> Offers:
    """Offer a value of the flag before the cursor, or of a positional argument, or a flag."""
    fragment = _LAST_WORD.search(rest).group()  # type: ignore[union-attr]
    flags = {name: each for each in arguments for name in each.names if each.is_flag}
    waiting: Argument | None = None
    for word in words(rest[: len(rest) - len(fragment)]):
        if waiting is not None:
            waiting = None
        elif word.text in flags:
            waiting = flags[word.text] if flags[word.text].takes_value else None
        elif not intermixed and "=" not in word.text:
            return _NOTHING  # the prompt has begun
    name, equals, value = fragment.partition("=")
    if waiting is None and equals and name in flags:
        waiting, fragment = flags[name], value
    if waiting is not None:
        return _starting(fragment, _values(waiting, fragment, rest, namespace, session))
    if fragment.startswith("-"):
        return _starting(fragment, flags)
    if not intermixed:
        return _NOTHING if fragment else Offers("", tuple(flags))
    positional = [each for each in arguments if not each.is_flag]
    found = (_values(each, fragment, rest, namespace, session) for each in positional)
    return _starting(fragment, [*chain(*found), *([] if fragment else flags)])


def _values(
    argument: Argument, fragment: str, rest: str, namespace: Mapping[str, Any], session: Session
) -> Iterable[str]:
    """Yield what may stand for ``argument``; ``rest`` is all that stands behind the magic."""
    kind = argument.kind
    if kind == "model":
        yield from _models(fragment, namespace, session)
    elif kind == "parameter":
        from ..commands.models import parameters_named

        model = next(reversed(_MODEL.findall(rest)), None)
        yield from (f"{name}=" for name in parameters_named(model, namespace))
    elif kind == "path":
        yield from _paths(fragment)
    elif kind == "key":
        store = session.cache.store if session.cache else None
        yield "last"
        yield from (key.hex() for key in store.find(fragment)) if store and fragment else ()
    elif kind in _FITS:
        prefix = fragment[: fragment.rfind("=") + 1] if kind == "items" else ""
        # A model or a prompt has a length, messages and a way to be saved too.
        ranks = {
            name: _FITS[kind](namespace[name])
            for name in _names(namespace)
            if kind == "variable" or not hasattr(namespace[name], "invoke")
        }
        fitting = sorted((name for name in ranks if ranks[name]), key=lambda name: -ranks[name])
        yield from (prefix + name for name in fitting)
        if kind == "attachment":  # pictures, PDF and sound first
            kinds = {path: mimetypes.guess_type(path)[0] or "" for path in _paths(fragment)}
            yield from sorted(kinds, key=lambda path: not kinds[path].startswith(_SENT))
    yield from argument.choices


def _items(value: Any) -> int:
    if not hasattr(type(value), "__len__") or isinstance(value, (str, bytes, type)):
        return 0
    if isinstance(value, (list, tuple, set, dict)) and not value:
        return 0
    # A dict may hold anything, and answers were asked for already.
    return 2 if isinstance(value, (list, tuple)) or hasattr(value, "iterrows") else 1


def _answer(value: Any) -> int:
    if hasattr(value, "to_next_cell"):
        return 2
    parts = value if isinstance(value, list) else []
    return bool(parts) and all(isinstance(part, dict) or hasattr(part, "content") for part in parts)


def _schema(value: Any) -> int:
    if isinstance(value, dict):
        return "properties" in value
    made = ("model_json_schema", "__dataclass_fields__", "__total__")
    if not isinstance(value, type) or not any(hasattr(value, name) for name in made):
        return 0
    is_pydantic = value.__module__.startswith("pydantic.")
    return 0 if is_pydantic else 1 + (value.__module__ == "__main__")


def _attachment(value: Any) -> int:
    is_picture = any(hasattr(value, name) for name in ("savefig", "save", "_mimetype"))
    return isinstance(value, bytes | Path) or (is_picture and not isinstance(value, type))


#: Whether a variable is of the kind that a flag takes; the higher, the sooner it is offered.
_FITS: Mapping[str, Callable[[Any], int]] = {
    "variable": lambda value: 1 + hasattr(value, "to_next_cell"),
    "items": _items,
    "answer": _answer,
    "schema": _schema,
    "attachment": _attachment,
}


def _models(fragment: str, namespace: Mapping[str, Any], session: Session) -> Iterator[str]:
    if fragment.startswith("local:"):
        yield from (f"local:{path}" for path in _paths(fragment.removeprefix("local:")))
        return
    if "langchain_core" in sys.modules:  # before it is imported no variable can hold a model
        from ..commands.models import variables

        yield from variables(namespace)
    yield from ("demo", "local", f"openai:{session.settings.openai_model}")
    if fragment:
        from ..providers import PROVIDERS

        yield from (f"{provider}:" for provider in PROVIDERS)


def _paths(fragment: str) -> Iterator[str]:
    """Yield the files and folders that begin as ``fragment`` does, folders with a slash."""
    folder, separator, name = fragment.rpartition("/")
    where = Path(f"{folder}{separator}" or ".").expanduser()
    try:
        found = sorted(where.iterdir())
    except OSError:
        return
    for path in found:
        if path.name.startswith(name) and (name or not path.name.startswith(".")):
            yield f"{folder}{separator}{path.name}{'/' if path.is_dir() else ''}"


def _names(namespace: Mapping[str, Any]) -> list[str]:
    return sorted(
        name for name in namespace if not name.startswith("_") and name not in _OF_IPYTHON
    )


def _starting(fragment: str, texts: Any) -> Offers:
    fitting = dict.fromkeys(text for text in texts if text.startswith(fragment))
    return Offers(fragment, tuple(fitting)[:_MAX_OFFERS])
