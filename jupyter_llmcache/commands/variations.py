"""What varies among the questions of one cell, and what they go on from, fit and carry."""

from __future__ import annotations

import math
from argparse import Namespace
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import product
from typing import Any, NamedTuple

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage, convert_to_messages

from ..errors import LLMCacheError
from ..provider_row import names
from ..text import a_type, did_you_mean, format_count, one_line
from .answer import Answer
from .models import Chosen, fields_of, innermost
from .parser import PLACEHOLDER, Variables, is_variable, look_up, root, texts_in

#: A longer item is called by its key or label, in a list by its number, counted from one.
_SHORT_CHARS = 40
#: More answers than that no table draws, and no file of a notebook should hold.
_MAX_QUESTIONS = 10_000
#: What is no parameter of a model, and the flag for it.
_NOT_VARIED = {
    "model": "-m, more than once",
    "system": "-s, with {{name}} and --each",
    "stop": "-p stop=...",
}
#: The other columns of ``Answers.to_pandas``, which no item can be called.
_COLUMNS = names("model sample text cached wall_s saved_s tokens cost key error")


class Item(NamedTuple):
    """One value of what varies, and what it is called in a table."""

    label: Any
    value: Any


class Row:
    """A row of a DataFrame for placeholders: its columns, and nothing else of it."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__values = dict(values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__values[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str) -> Any:
        return self.__values[name]

    def __dir__(self) -> list[str]:
        return [str(name) for name in self.__values]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.__values.items())


def items_of(name: str, value: Any) -> list[Item]:
    """Return the items of a variable for ``--each``, in order.

    Raises:
        LLMCacheError: It is empty, or cannot be gone through again and again.
    """
    if (
        isinstance(value, (str, bytes, type))
        or not hasattr(value, "__len__")
        or not getattr(value, "shape", True)  # an array of no dimension has no items
    ):
        raise LLMCacheError(
            f"--each {name}: {a_type(value)} is not a list",
            "Give a list, tuple, dict, Series or DataFrame",
        )
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)  # its own order is another one in each kernel
    if not getattr(getattr(value, "columns", None), "is_unique", True):
        raise LLMCacheError(f"--each {name}: two of its columns have one name", "Rename one")
    if hasattr(value, "iterrows"):  # which itself would make one type of a row's values
        rows = value.to_dict("records")
        found = [Item(label, Row(row)) for label, row in zip(value.index, rows, strict=True)]
    elif hasattr(value, "to_dicts"):  # of polars, which goes through its columns
        found = [Item(number, Row(row)) for number, row in enumerate(value.to_dicts(), 1)]
    elif hasattr(value, "items"):  # a dict, a Series
        found = [Item(_name(item, label), item) for label, item in value.items()]
    else:
        found = [Item(_name(item, number), item) for number, item in enumerate(value, 1)]
    if not found:
        raise LLMCacheError(f"--each {name}: there is nothing in it", "Give at least one item")
    return found


def _name(item: Any, otherwise: Any) -> Any:
    """Return what an item is called: itself where it is short, else its key, label or number."""
    if not isinstance(item, Hashable):
        return otherwise
    text = str(item)
    return item if len(text) <= _SHORT_CHARS and "\n" not in text else otherwise


# --- the questions ---


class Combination(NamedTuple):
    """What one of several questions has of its own.

    Attributes:
        model: The word behind -m; None: the default.
        items: The items of ``--each`` by their names.
        varied: The parameters of ``--vary``.
        sample: Which sample.
        coords: All of that as it is called in a table.
    """

    model: str | None = None
    items: Mapping[str, Any] = {}
    varied: Mapping[str, Any] = {}
    sample: int = 0
    coords: Mapping[str, Any] = {}


def combinations_of(
    axes: Sequence[tuple[str, Any]], namespace: Variables, parameters: Mapping[str, Any]
) -> list[Combination]:
    """Return every combination of what the flags say, in the order typed, the last one fastest.

    Args:
        axes: The flags ``-m``, ``--samples``, ``--each`` and ``--vary`` with their values.
        namespace: The notebook's variables.
        parameters: What ``-p`` and ``-t`` say.

    Raises:
        LLMCacheError: A flag is there twice, or its values are not what it takes.
    """
    sides: dict[tuple[str, str], list[Item]] = {}
    for kind, given in axes:
        if kind == "model":
            sides.setdefault((kind, kind), []).append(Item(given, given))
            continue
        name, items = _side(kind, given, namespace, parameters)
        if any(name == other for _, other in sides):
            raise LLMCacheError(f"{name!r} varies twice", "Give each name once")
        sides[kind, name] = items
    for (kind, name), items in sides.items():
        if kind != "each" and (twice := _twice(items)) is not None:
            raise LLMCacheError(
                f"{twice} is given twice as {name}", "For more answers of each give --samples"
            )
    _check_count(math.prod(map(len, sides.values())))
    return [_combined(dict(zip(sides, chosen, strict=True))) for chosen in product(*sides.values())]


def _side(
    kind: str, given: Any, namespace: Variables, parameters: Mapping[str, Any]
) -> tuple[str, list[Item]]:
    if kind == "sample":
        _check_count(given)
        return kind, [Item(number, number) for number in range(given)]
    name, values = given
    if kind == "each":
        if not name.isidentifier() or not values:
            raise LLMCacheError(
                f"--each {name}: not a name", "Write --each topic=topics, with a list in topics"
            )
        if name in _COLUMNS:
            raise LLMCacheError(
                f"--each {name}: to_pandas() has a column of this name", "Choose another name"
            )
        with _reading(f"--each {values}"):
            return name, items_of(values, _variable("--each", values, namespace))
    if name in _NOT_VARIED:
        raise LLMCacheError(f"--vary {name}: not a parameter", f"Give it by {_NOT_VARIED[name]}")
    if name in parameters:
        raise LLMCacheError(f"{name} is given by --vary and by -t or -p", "Give it once")
    if "" in values:
        raise LLMCacheError(f"--vary {name}: a value is missing", f"Write --vary {name}=1,2")
    return name, [Item(_name(value, str(value)), value) for value in values]


def _twice(items: Sequence[Item]) -> str | None:
    """Return what stands twice among ``items``, if anything does."""
    counts = Counter(repr(item.value) for item in items)
    return next((str(item.label) for item in items if counts[repr(item.value)] > 1), None)


def _check_count(count: int) -> None:
    if count > _MAX_QUESTIONS:
        raise LLMCacheError(
            f"there would be {format_count(count, 'question')}",
            f"One cell asks at most {_MAX_QUESTIONS:,}",
        )


def _combined(chosen: Mapping[tuple[str, str], Item]) -> Combination:
    def of(kind: str) -> dict[str, Any]:
        return {name: item.value for (k, name), item in chosen.items() if k == kind}

    return Combination(
        of("model").get("model"),
        of("each"),
        of("vary"),
        of("sample").get("sample", 0),
        {name: item.label for (_, name), item in chosen.items()},
    )


def check_asked(text: str, items: Iterable[str]) -> None:
    """See to it that each name of ``--each`` stands in the prompt or the system text.

    Raises:
        LLMCacheError: One does not, so that all its items would ask the same.
    """
    asked = {root(match["path"] or "") for match in PLACEHOLDER.finditer(text)}
    for name in items:
        if name not in asked:
            raise LLMCacheError(
                f"--each {name}: the prompt does not ask for it", f"Write {{{{{name}}}}} into it"
            )


def check_varied(chosen: Chosen, varied: Mapping[str, Any]) -> None:
    """See to it that the model's class has the parameters that vary.

    Raises:
        LLMCacheError: It has not.
    """
    model = innermost(chosen.model)
    if not isinstance(model, BaseLanguageModel):
        return
    known = fields_of(model)
    for name in varied:
        for other, flag in _NOT_VARIED.items():
            if name != other and name in known and known[name] == known.get(other):
                raise LLMCacheError(f"--vary {name}: this is {other}", f"Give it by {flag}")
        if name not in known:
            raise LLMCacheError(
                f"--vary {name}: {chosen.label} has no such parameter",
                did_you_mean(name, known) or "Its class has no field of this name",
            )


# --- what each of them carries ---


def more_of(args: Namespace, namespace: Variables, newest: Any) -> dict[str, Any]:
    """Return what ``--after``, ``-c``, ``--schema`` and ``--attach`` say, as fields of Question.

    ``asked`` among them is the model of the answer that the question goes on from.
    """
    found: dict[str, Any] = {}
    goes_on = getattr(args, "continue")
    if goes_on and newest is None:
        raise LLMCacheError("-c: there is no answer yet to go on from", "Ask something first")
    if args.after or goes_on:
        what = f"--after {args.after}" if args.after else "-c"
        value = newest if goes_on else _variable("--after", args.after, namespace)
        with _reading(what):
            found["before"] = tuple(_conversation(what, value))
            found["asked"] = getattr(value, "asked", None)
    if args.schema:
        from ..seam.structured import schema_of

        found["schema"] = schema_of(args.schema, _variable("--schema", args.schema, namespace))
    if args.attach:
        from .attach import block_of

        with _reading(f"--attach {' '.join(args.attach)}"):
            found["attached"] = tuple(block_of(word, namespace) for word in args.attach)
    return found


@contextmanager
def _reading(flag: str) -> Iterator[None]:
    """Tell in one line what a person's own object raised."""
    try:
        yield
    except LLMCacheError:
        raise
    except Exception as error:
        why = one_line(f"{type(error).__name__}: {error}", 200)
        raise LLMCacheError(f"{flag}: it cannot be read, {why}") from error


def _conversation(what: str, value: Any) -> Iterator[BaseMessage]:
    if isinstance(value, Answer):
        yield from value.messages
        return
    if hasattr(value, "where") and hasattr(value, "to_pandas"):
        raise LLMCacheError(
            f"{what}: there are {len(value)} answers",
            f"Choose one: one = {what.partition(' ')[2] or '_'}[0], then --after one",
        )
    messages = []
    if isinstance(value, BaseMessage):
        messages = [value]
    elif isinstance(value, list | tuple) and not any(isinstance(each, str) for each in value):
        with suppress(TypeError, ValueError, NotImplementedError, KeyError):
            messages = convert_to_messages(value)
    if not messages:
        raise LLMCacheError(
            f"{what}: {a_type(value)} is not a conversation",
            "Give an Answer, a list of messages, or a list of dicts with role and content",
        )
    yield from messages


def _variable(flag: str, name: str, namespace: Variables) -> Any:
    """Return what the variable ``name`` holds."""
    if not is_variable(name, namespace):
        raise LLMCacheError(
            f"{flag} {name}: there is no variable of this name",
            did_you_mean(name, texts_in(namespace))
            or ("Check the name" if name.isidentifier() else "Put it into a variable first"),
        )
    return look_up(name, namespace, flag)
