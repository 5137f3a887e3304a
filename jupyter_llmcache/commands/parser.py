r"""The grammar of the magics as data: help, parsing, TAB and the README's check read one table.

A line is split into words by one rule on every system: blanks part words; a word may be quoted
whole, or after ``NAME=``, by ``"`` or ``'``; inside quotes only the quote itself is escaped, by a
backslash. So ``C:\new``, ``it's`` and ``-p stop=["a","b"]`` are read as they look.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import LLMCacheError
from .prompts import nearest

if TYPE_CHECKING:
    from .session import Session

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
_OPENS_QUOTE = re.compile(r"""(?:[^\s"'=]+=)?["']""")


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
        kind: What TAB offers for the value.
        options: Everything else of argparse's ``add_argument``.
    """

    names: tuple[str, ...]
    help: str
    metavar: str | None = None
    kind: Literal["", "model", "path", "key", "variable"] = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_flag(self) -> bool:
        """Whether it begins with a dash."""
        return self.names[0].startswith("-")

    @property
    def takes_value(self) -> bool:
        """Whether a value follows the flag."""
        return self.metavar is not None or "choices" in self.options

    @property
    def choices(self) -> Sequence[str]:
        """The values that can be given, where they are few."""
        return tuple(self.options.get("choices", ()))

    def keywords(self) -> dict[str, Any]:
        """Return the keyword arguments of argparse's ``add_argument``."""
        named = {"metavar": self.metavar} if self.metavar else {}
        if self.is_flag and not self.takes_value and "action" not in self.options:
            named["action"] = "store_true"
        return {"help": self.help, **named, **self.options}


@dataclass(frozen=True)
class Subcommand:
    """One subcommand of ``%llm_cache``.

    Attributes:
        name: As typed.
        help: One line.
        arguments: Its flags and positional arguments, as the help lists them.
        handler: Does it; gets the session and the arguments, returns a value that draws itself.
        reads: ``words``; or ``expression``: the rest of the line is one Python expression, and
            the handler gets its value as ``args.value``.
    """

    name: str
    help: str
    handler: Callable[[Session, argparse.Namespace], Any]
    arguments: tuple[Argument, ...] = ()
    reads: Literal["words", "expression"] = "words"


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
    place, flags_ended = 0, False
    while (word := next(words(line, place), None)) is not None:
        if word.text == "--" and not flags_ended:
            place, flags_ended = word.end, True
        elif not flags_ended and _LOOKS_LIKE_FLAG.match(line, word.start):
            argument, place = _read_flag(line, word, flags, owner)
            vector.append(argument)
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
            nearest(name.lstrip("-"), (flag[2:] for flag in flags if flag.startswith("--")), "--")
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
            raise LLMCacheError(f"{owner}: {name} lacks its {argument.metavar or 'value'}")
        value, end = _closed(following, owner), following.end
    return f"{argument.names[-1]}={value}", end


def _closed(word: Word, owner: str) -> str:
    """Return the word's text; a quote that opens and is not closed is an error."""
    if word.bare and _OPENS_QUOTE.match(word.text):
        raise LLMCacheError(
            f"{owner}: the quote in {word.text} is not closed, or more follows on it",
            "Close it, or put the whole word into the other kind of quotes",
        )
    return word.text
