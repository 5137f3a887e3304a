"""``%llm_cache``, ``%llm`` and ``%%llm``: parse, ask the session once, return the value."""

from __future__ import annotations

import json
import keyword
import re
from argparse import ArgumentTypeError, Namespace
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from IPython.core.magic_arguments import MagicArgumentParser, argument, kwds, magic_arguments

from ..commands import prompts
from ..commands.parser import Argument, Subcommand, split_flags, words
from ..commands.question import Question
from ..commands.subcommands import SUBCOMMANDS
from ..errors import LLMCacheError
from ..modes import Mode

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..commands.answer import Answer, CacheStatus, PromptPreview
    from ..commands.session import Session
    from ..draw.answer import Format

_Method = Callable[..., Any]
_LINE_END = re.compile(r"\r?\n\Z")
_HELP = ("-h", "--help")


def parse_parameter(text: str) -> tuple[str, Any]:
    """Return the name and the value of ``NAME=VALUE``; the value is JSON, or else the text itself.

    Raises:
        ArgumentTypeError: There is no name, or the value begins as JSON does and is none.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    if value in _PYTHON_CONSTANTS:
        return name, _PYTHON_CONSTANTS[value]
    try:
        return name, json.loads(value, parse_constant=str)
    except ValueError:
        if value.startswith(("{", "[", '"')):
            raise ArgumentTypeError(
                f"the value of {name} begins as JSON does and is none: {value}; "
                "put one with blanks into single quotes"
            ) from None
        return name, value


_PYTHON_CONSTANTS: Mapping[str, bool | None] = {"True": True, "False": False, "None": None}

#: The flags that set a mode for one question.
_MODE_FLAGS: Mapping[str, Mode] = {
    "refresh": "refresh",
    "no_cache": "bypass",
    "replay": "replay",
}

ASKING: tuple[Argument, ...] = (
    Argument(
        ("-m", "--model"),
        "whom to ask: a variable that holds a chat model, a text model or any Runnable; "
        "provider:model, as openai:gpt-4o-mini; local, or local:PATH of a GGUF file; demo. "
        "Without it: the setting LLMCache.model, else a model named llm, else OpenAI",
        metavar="MODEL",
        kind="model",
    ),
    Argument(("-s", "--system"), "the system text", metavar="TEXT"),
    Argument(("-t", "--temperature"), "the temperature", metavar="NUMBER", options={"type": float}),
    Argument(
        ("-p", "--parameter"),
        "any other parameter of the model, as -p max_tokens=200; may stand more than once; "
        "the value is read as JSON where it is JSON",
        metavar="NAME=VALUE",
        options={"type": parse_parameter, "action": "append", "default": []},
    ),
    Argument(
        ("-f", "--format"),
        "how the answer is drawn; markdown without it",
        options={"choices": ("markdown", "text", "json", "code")},
    ),
    Argument(
        ("-o", "--output"), "the variable that gets the answer", metavar="NAME", kind="variable"
    ),
    Argument(("--refresh",), "ask the model and overwrite what is cached"),
    Argument(("--no-cache",), "ask the model; neither read nor write the cache"),
    Argument(("--replay",), "read the cache only; a miss is an error and nothing is sent"),
    Argument(("--keep",), "store the answer even if it is empty, filtered or unfinished"),
    Argument(
        ("--stream",),
        "draw the answer as it grows, as %%%%llm does without a flag",
        options={"action": "store_true", "default": None},
    ),
    Argument(
        ("--no-stream",),
        "draw the answer when it is complete",
        options={"action": "store_false", "dest": "stream"},
    ),
    Argument(("--raw",), "send {{name}} as it is typed"),
    Argument(("--show-prompt",), "send nothing: show the messages, and whether the cache has them"),
    Argument(("--stable",), "draw only what a re-run repeats: no times, not fresh or cached"),
)


def _magic(arguments: Sequence[Argument], epilog: str) -> Callable[[_Method], _Method]:
    """Make a method a magic that takes ``arguments``; its help lists them in this order."""

    def decorate(method: _Method) -> _Method:
        for each in reversed(arguments):
            method = argument(*each.names, **each.keywords())(method)  # type: ignore[no-untyped-call]
        method = kwds(epilog=epilog)(method)  # type: ignore[no-untyped-call]
        return magic_arguments()(method)  # type: ignore[no-untyped-call,no-any-return]

    return decorate


def _subcommand_lines() -> str:
    return "\n".join(f"  {each.name:<10} {each.help}" for each in SUBCOMMANDS.values())


class LLMCacheMagics:
    """The magics of one shell."""

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        self.session = session
        self._variables: dict[str, Any] = shell.user_ns
        self._evaluate: Callable[[str], Any] = shell.ev

    @_magic(
        (
            Argument(
                ("subcommand",), "what to do; without it: show what is on", options={"nargs": "?"}
            ),
        ),
        f"subcommands:\n{_subcommand_lines()}\n\n%llm_cache SUBCOMMAND -h tells more of one.",
    )
    def llm_cache(self, line: str) -> Any:
        """Choose the cache that model calls go through, see what it did, and manage it."""
        word = next(words(line), None)
        if word is None:
            return self.session.status()
        if word.text in _HELP:
            _print_help(_parser(type(self).llm_cache))
            return None
        if word.text not in SUBCOMMANDS:
            raise LLMCacheError(
                f"%llm_cache has no subcommand {word.text!r}",
                prompts.nearest(word.text, SUBCOMMANDS) or f"It has {', '.join(SUBCOMMANDS)}",
            )
        return self._run(SUBCOMMANDS[word.text], line[word.end :].strip())

    @_magic(
        ASKING,
        "In the prompt {{name}} stands for a variable, also {{a.b}}, {{a[0]}} and "
        '{{a["key"]}}; {{"{{"}} stands for two braces.',
    )
    def llm(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Answer | PromptPreview | None:
        """Ask a model: the rest of the line, or the whole cell below the flags, is the prompt."""
        if line.strip() in _HELP:
            _print_help(_parser(type(self).llm))
            return None
        vector, rest = split_flags(line, ASKING, "%llm" if cell is None else "%%llm")
        args = _parser(type(self).llm).parse_args(vector)
        variable = _variable_name(args.output)
        question = self._question(args, _prompt(rest, cell), local_ns, in_cell=cell is not None)
        if args.show_prompt:
            return self.session.preview(question)
        answer = self.session.ask(question)
        if variable:
            self._variables[variable] = answer
        return answer

    def _question(
        self, args: Namespace, prompt: str, local_ns: dict[str, Any] | None, *, in_cell: bool
    ) -> Question:
        from ..commands.models import choose

        settings, mode = self.session.settings, _mode(args)
        namespace = ChainMap(local_ns or {}, self._variables)
        fill = (lambda text: text) if args.raw else (lambda text: prompts.fill(text, namespace))
        prompt, system = fill(prompt), args.system and fill(args.system)
        chosen = choose(args.model, namespace, _parameters(args), settings, mode)
        return Question(
            prompt=prompt,
            model=chosen.model,
            label=chosen.label,
            system=system,
            mode=mode,
            keep=args.keep,
            stream=in_cell and settings.stream if args.stream is None else args.stream,
            format=cast("Format", args.format or settings.format),
            stable=args.stable or settings.stable,
        )

    def _run(self, subcommand: Subcommand, rest: str) -> CacheStatus | Any:
        """Parse ``rest`` as ``subcommand`` takes it, and do it."""
        owner = f"%llm_cache {subcommand.name}"
        parser = MagicArgumentParser(owner[1:], description=subcommand.help)  # type: ignore[no-untyped-call]
        for each in subcommand.arguments:
            parser.add_argument(*each.names, **each.keywords())
        if rest in _HELP:
            _print_help(parser)
            return None
        if subcommand.reads == "expression":
            args = Namespace(value=self._value_of(rest, owner))
        else:
            vector, _ = split_flags(rest, subcommand.arguments, owner, intermixed=True)
            args, left = parser.parse_known_args(vector)
            if left:
                raise LLMCacheError(
                    f"{owner} has no use for {' '.join(left)}", "Put a text with blanks into quotes"
                )
        return subcommand.handler(self.session, args)

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


def _variable_name(name: str | None) -> str | None:
    if name is None or (name.isidentifier() and not keyword.iskeyword(name)):
        return name
    raise LLMCacheError(f"-o {name}: this is no name for a variable", "Give one such as answer")


def _mode(args: Namespace) -> Mode | None:
    """Return the mode that the flags ask for; more than one is an error."""
    given = [flag for flag in _MODE_FLAGS if getattr(args, flag)]
    if len(given) > 1:
        flags = " and ".join(f"--{flag.replace('_', '-')}" for flag in given)
        raise LLMCacheError(f"{flags} exclude each other", "Give one of them")
    return _MODE_FLAGS[given[0]] if given else None


def _parameters(args: Namespace) -> dict[str, Any]:
    parameters = dict(args.parameter)
    if args.temperature is not None:
        parameters["temperature"] = args.temperature
    return parameters


def _parser(magic: Any) -> MagicArgumentParser:
    """Return the parser that IPython made for a magic."""
    parser: MagicArgumentParser = magic.parser
    return parser


def _print_help(parser: MagicArgumentParser) -> None:
    print(parser.format_help().removeprefix("::\n\n"))  # noqa: T201  # what was asked for
