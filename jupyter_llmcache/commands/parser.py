r"""What a person types: words and flags, read alike everywhere; ``{{name}}`` in a prompt.

A line is split into words by one rule on every system: blanks part words; a word may be quoted
whole, or after ``NAME=``, by ``"`` or ``'``; inside quotes only the quote itself is escaped, by a
backslash. So ``C:\new``, ``it's`` and ``-p stop=["a","b"]`` are read as they look.

In a prompt two braces with a variable's name, and then any number of ``.attribute``, ``[0]`` and
``["key"]``, stand for its value. Whatever has not this form stays as it was typed: JSON, LaTeX,
single braces. ``{{"{{"}}`` stands for two braces.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from ..errors import LLMCacheError
from ..text import a_type, did_you_mean

_WORD = re.compile(
    r"""\s*(?:
        (?P<head>[^\s"'=]+=)?(?P<quote>["'])
            (?P<quoted>(?:\\(?P=quote)|(?!(?P=quote)).)*)
        (?P=quote)(?=\s|\Z)
        | (?P<plain>\S+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_LOOKS_LIKE_FLAG = re.compile(r"--?[A-Za-z]")
_OPENS_QUOTE = re.compile(r"""(?:[^\s"'=]+=)?(?!"[^"]*"(?:,(?:"[^"]*"|[^,"']*))+\Z)["']""")


class Word(NamedTuple):
    """A word of a line without its quotes; ``start`` and ``end`` are where it stands."""

    text: str
    start: int
    end: int
    bare: bool


def words(line: str, start: int = 0) -> Iterator[Word]:
    """Yield the words of ``line`` from ``start`` on, without their quotes."""
    while match := _WORD.match(line, start):
        quote = match["quote"]
        text = (
            (match["head"] or "") + match["quoted"].replace(f"\\{quote}", quote)
            if quote
            else match["plain"]
        )
        begin = match.end() - len(match.group().lstrip())
        yield Word(text, begin, match.end(), bare=not quote)
        start = match.end()


@dataclass(frozen=True)
class Argument:
    """One flag, or one positional argument, of a magic or a subcommand.

    Attributes:
        names: As typed, the long one last: ``("-m", "--model")``; a positional has one.
        help: One line.
        metavar: What stands for the value in the help; None for a switch.
        kind: What TAB offers for the value: ``model``, ``path``, ``address``, ``key``, or a kind of
            variable.
        choices: The values that can be given, where they are few.
        options: Everything else of argparse's ``add_argument``.
    """

    names: tuple[str, ...]
    help: str
    metavar: str | None = None
    kind: str = ""
    choices: Collection[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_flag(self) -> bool:
        """Whether it begins with a dash."""
        return self.names[0].startswith("-")

    @property
    def takes_value(self) -> bool:
        """Whether a value follows the flag."""
        return self.metavar is not None or bool(self.choices)

    def keywords(self) -> dict[str, Any]:
        """Return the keyword arguments of argparse's ``add_argument``."""
        told: dict[str, Any] = {"help": self.help.replace("%", "%%"), **self.options}
        if self.choices:
            told |= {"type": self._read, "metavar": f"{{{','.join(self.choices)}}}"}
        elif self.metavar:
            told |= {"type": self._read, "metavar": self.metavar}
        elif self.is_flag:
            told.setdefault("action", "store_true")
        return told

    def _read(self, text: str) -> Any:
        """Return the value of ``text``; what is wrong with it is told with the flag's name."""
        name = self.names[-1]
        if self.choices and text not in self.choices:
            raise LLMCacheError(
                f"{name} cannot be {text!r}",
                did_you_mean(text, self.choices) or f"Choose one of {', '.join(self.choices)}",
            )
        try:
            return self.options.get("type", str)(text)
        except LLMCacheError as error:
            raise LLMCacheError(f"{name}: {error.what}", error.remedy) from None


HELP = Argument(("-h", "--help"), "show this help")


class Parser(argparse.ArgumentParser):
    """The argparse parser of ``arguments``; a wrong use is one clear line."""

    def __init__(
        self, prog: str, arguments: Sequence[Argument], description: str = "", epilog: str = ""
    ) -> None:
        super().__init__(
            prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            add_help=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.named, self.arguments = prog, (*arguments, HELP)
        for each in self.arguments:
            self.add_argument(*each.names, **each.keywords())

    def read(self, words: Sequence[str]) -> argparse.Namespace | None:
        """Return the arguments; None where help was asked for, which is printed.

        Raises:
            LLMCacheError: A word is wrong or missing.
        """
        if set(words) & set(HELP.names):
            print(self.format_help())  # noqa: T201  # what was asked for
            return None
        return self.parse_intermixed_args(words)

    def error(self, message: str) -> NoReturn:
        """Raise the fault that argparse found as one line of ours."""
        what, _, names = message.partition(": ")
        if what == "the following arguments are required":
            choices = names.strip("{}").split(",") if names.startswith("{") else []
            raise LLMCacheError(
                f"{self.named} lacks its {'value' if choices else names}",
                f"Choose one of {', '.join(choices)}" if choices else f"See {self.named} -h",
            )
        if names == "expected one argument":
            flag = what.split()[-1].split("/")[-1]
            raise LLMCacheError(f"{self.named}: {flag} lacks its value", f"See {self.named} -h")
        if what == "unrecognized arguments":
            flags = [name for each in self.arguments for name in each.names]
            raise LLMCacheError(
                f"{self.named} does not take {names!r}",
                did_you_mean(names.split()[0], flags)
                or f"See {self.named} -h; a text with blanks goes into quotes",
            )
        raise LLMCacheError(f"{self.named}: {message}", f"See {self.named} -h")


def split_flags(
    line: str, arguments: Sequence[Argument], owner: str, *, intermixed: bool = False
) -> tuple[list[str], str]:
    """Return the flags at the beginning of ``line`` as an argument vector, and the rest as typed.

    The flags end at the first word that is none, or after ``--``. With ``intermixed`` the whole
    line is words: flags may stand anywhere, and the others follow in the vector.

    Args:
        line: What stands behind the magic's or subcommand's name.
        arguments: What ``owner`` takes.
        owner: ``%llm`` or ``%llm_cache list``, for the errors.
        intermixed: Whether other words are arguments, not a prompt.

    Raises:
        LLMCacheError: A flag is unknown (the nearest is named), lacks its value, or a quote is
            not closed.
    """
    flags = {name: argument for argument in arguments for name in argument.names}
    vector: list[str] = []
    others: list[str] = []
    said: dict[str, str] = {}
    place, flags_ended = 0, False
    while (word := next(words(line, place), None)) is not None:
        if word.text == "--" and not flags_ended:
            place, flags_ended = word.end, True
        elif not flags_ended and _LOOKS_LIKE_FLAG.match(line, word.start):
            given, place = _read_flag(line, word, flags, owner)
            vector.append(given)
            name = given.partition("=")[0]
            argument = flags[name]
            sets = argument.options.get("dest", argument.names[-1].lstrip("-"))
            if (before := said.get(sets)) and argument.options.get("action") != "append":
                if flags[before] is argument:
                    raise LLMCacheError(f"{owner}: {before} is given twice", "Give it once")
                both = f"{before} and {argument.names[-1]}"
                raise LLMCacheError(f"{owner}: {both} exclude each other", "Give one of them")
            said[sets] = name
        elif intermixed:
            others.append(_closed(word, owner))
            place = word.end
        else:
            return vector, line[word.start :]
    # argparse drops this mark where an argument wants a value, and shows it where none does.
    mark = ["--"] if any(other.startswith("-") for other in others) else []
    return [*vector, *mark, *others], ""


def _read_flag(line: str, word: Word, flags: Mapping[str, Argument], owner: str) -> tuple[str, int]:
    """Return the flag at ``word`` with its value as one argument, and where it ends."""
    name, equals, value = word.text.partition("=")
    if name not in flags and name[:2] in flags and flags[name[:2]].takes_value:
        name, equals, value = word.text[:2], "=", word.text[2:]  # as in -t0.5
    if name not in flags:
        raise LLMCacheError(
            f"{owner} has no flag {name}",
            did_you_mean(name.lstrip("-"), [f[2:] for f in flags if f.startswith("--")], "--")
            or f"{owner} -h lists them; text that begins so goes after --",
        )
    argument, end = flags[name], word.end
    if not argument.takes_value:
        if equals:
            raise LLMCacheError(f"{owner}: {name} takes no value", f"Leave ={value} out")
        return name, end
    if equals:
        _closed(word._replace(text=value), owner)
    else:
        following = next(words(line, end), None)
        if following is None:
            example = argument.metavar or next(iter(argument.choices))
            raise LLMCacheError(
                f"{owner}: {name} lacks its {argument.metavar or 'value'}",
                f"Write {name} {example}",
            )
        value, end = _closed(following, owner), following.end
    if not value and argument.kind:
        raise LLMCacheError(
            f"{owner}: {name} lacks its {argument.metavar}", f"Write {name} {argument.metavar}"
        )
    return f"{argument.names[-1]}={value}", end


def _closed(word: Word, owner: str) -> str:
    """Return the word's text; a quote that opens and is not closed is an error."""
    if word.bare and _OPENS_QUOTE.match(word.text):
        raise LLMCacheError(
            f"{owner}: the quote in {word.text} is not closed, or more follows on it",
            "Close it, or put the whole word into the other kind of quotes",
        )
    return word.text


# --- {{name}} in a prompt: one pass, and no code is evaluated ---

#: What may be a name: ``\w`` alone lacks the vowel signs and accents that many scripts set apart.
_NAME = r"(?:[^\W\d]|[^\x00-\x7f\s])(?:\w|[^\x00-\x7f\s])*"
_STEP = rf"""\.{_NAME} | \[-?\d+\] | \["[^"\n]*"\] | \['[^'\n]*'\]"""
_PATH = rf"{_NAME}(?:{_STEP})*"
PLACEHOLDER = re.compile(rf'\{{\{{(?:[ \t]*(?P<path>{_PATH})[ \t]*|"\{{\{{")\}}\}}', re.VERBOSE)
_PATH_ALONE = re.compile(_PATH, re.VERBOSE)
_OTHER_PLACEHOLDER = re.compile(r"(?:\$?\{|\$)([^\W\d]\w*)\}?")
_PART = re.compile(rf"^{_NAME}|{_STEP}", re.VERBOSE)

#: The notebook's variables by their names.
Variables = Mapping[str, Any]


def fill(text: str, namespace: Variables) -> str:
    """Return ``text`` with the variables of ``namespace`` put in for their placeholders.

    What a value holds is never looked through for placeholders again.

    Raises:
        LLMCacheError: A name is unknown, or a value cannot be reached or made a text.
    """

    def value_of(match: re.Match[str]) -> str:
        if (path := match["path"]) is None:
            return "{{"
        names = [part.lstrip(".") for part in _PART.findall(path) if not part.startswith("[")]
        are_names = all(map(str.isidentifier, names))
        unknown = "Define it, or give --raw to send the braces as they are"
        value = look_up(path, namespace, unknown=unknown) if are_names else match.group()
        return _as_text(value, path)

    return PLACEHOLDER.sub(value_of, text)


def fill_path(text: str, namespace: Variables) -> str:
    """Return a file's path: a placeholder alone is its variable's value, all else is literal.

    Raises:
        LLMCacheError: It is ``{x}`` or ``$x`` alone, which nobody means as a file's name; or the
            variable holds no path.
    """
    if match := PLACEHOLDER.fullmatch(text):
        value = look_up(match["path"], namespace) if match["path"] else "{{"
        if isinstance(value, str | os.PathLike):
            return os.fspath(value)
        raise LLMCacheError(f"{text}: {a_type(value)} is not a path", "Give the path of a file")
    if meant := _OTHER_PLACEHOLDER.fullmatch(text):
        raise LLMCacheError(
            f"{text} is not replaced by a variable here", f"Write {{{{{meant[1]}}}}}"
        )
    return text


def is_variable(path: str, namespace: Variables) -> bool:
    """Return whether ``path``, as ``a.b[0]``, begins with the name of a variable."""
    return _PATH_ALONE.fullmatch(path) is not None and root(path) in namespace


def root(path: str) -> str:
    """Return the variable's name at the beginning of ``path``, as Python spells it."""
    match = _PART.match(path)
    return unicodedata.normalize("NFKC", match.group()) if match else ""


def look_up(
    path: str, namespace: Variables, flag: str = "", unknown: str = "Define it first"
) -> Any:
    """Return what ``path`` names in ``namespace``.

    Args:
        path: As ``a.b[0]``.
        namespace: The variables.
        flag: Behind which it stands, for errors.
        unknown: What to do where there is no such variable, and none is called nearly so.

    Raises:
        LLMCacheError: There is no such variable, attribute, index or key; the nearest is named.
    """
    name = root(path)
    typed = f"{flag} {path}" if flag else f"{{{{{path}}}}}"
    if name not in namespace:
        raise LLMCacheError(
            f"{typed}: there is no variable {name!r}",
            did_you_mean(name, texts_in(namespace)) or unknown,
        )
    value, reached = namespace[name], name
    for match in _PART.finditer(path, len(_PART.match(path)[0])):  # type: ignore[index]
        value = _step(value, match.group(), reached, typed)
        reached += match.group()
    return value


def texts_in(namespace: Variables) -> list[str]:
    """Return the variables that a person may mean: no functions, no modules, nothing hidden."""
    return [
        name
        for name, value in namespace.items()
        if not (name.startswith("_") or type(value).__name__ in ("module", "function"))
    ]


def _step(value: Any, step: str, reached: str, typed: str) -> Any:
    attribute = step[1:] if step.startswith(".") else None
    try:
        return getattr(value, attribute) if attribute else value[ast.literal_eval(step[1:-1])]
    except Exception as error:
        what, known = f"attribute {attribute!r}" if attribute else f"item {step}", dir(value)
        if not attribute:
            known = [repr(key) for key in value] if isinstance(value, Mapping) else []
        if not isinstance(error, (AttributeError, LookupError, TypeError)):
            what += f" ({type(error).__name__}: {error})"
        remedy = did_you_mean(attribute or step[1:-1], known)
        if attribute and isinstance(value, Mapping) and attribute in value:
            remedy = f'Write {reached}["{attribute}"]'
        told = f"{typed}: {reached}, {a_type(value)}, has no {what}"
        raise LLMCacheError(told, remedy) from error


def _as_text(value: Any, path: str) -> str:
    try:
        return str(value)
    except LLMCacheError:
        raise
    except Exception as error:
        raise LLMCacheError(
            f"{{{{{path}}}}}: this {type(value).__name__} cannot be made a text "
            f"({type(error).__name__}: {error})",
        ) from error
