"""The flags of ``%llm`` and ``%%llm``, and the questions that a line with them asks."""

from __future__ import annotations

import json
import keyword
import re
import unicodedata
from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from ..draw import FORMATS
from ..errors import LLMCacheError
from ..modes import Mode
from ..settings import LLMCache
from ..text import did_you_mean, parse_count, parse_number
from .parser import Argument, Variables, fill

if TYPE_CHECKING:
    from .ask import Question


def parse_parameter(text: str) -> tuple[str, Any]:
    """Return the name and the value of ``NAME=VALUE``.

    Raises:
        LLMCacheError: There is no name, or the value begins as JSON does and is not JSON.
    """
    name, value = _named(text, "-p seed=7")
    return name, parse_value(name, value)


def parse_value(name: str, text: str) -> Any:
    """Return the value of a parameter: JSON where it is JSON, a Python constant, or else the text.

    A number is read as ``-t`` reads it, ``.7`` too; a text in single quotes is what stands in them.

    Raises:
        LLMCacheError: It begins as JSON does and is not JSON.
    """
    if text in _PYTHON_CONSTANTS:
        return _PYTHON_CONSTANTS[text]
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    try:
        return json.loads(text, parse_constant=str, parse_float=parse_number)
    except ValueError:
        if _BARE_NUMBER.fullmatch(text):
            return float(text)
        if text.startswith(("{", "[", '"')):
            raise LLMCacheError(
                f"the value of {name} begins as JSON does and is not JSON: {text}",
                "Put one with blanks into single quotes",
            ) from None
        return text


def _axis(kind: str) -> Callable[[str], tuple[str, Any]]:
    """Return what reads the value of a flag that makes several questions of one."""

    def read(text: str) -> tuple[str, Any]:
        if kind == "sample":
            return kind, parse_count(text)
        if kind == "vary":
            name, values = _named(text, "--vary temperature=0,0.7,1")
            return kind, (name, [parse_value(name, value) for value in split_values(values)])
        if kind == "each":
            name, equals, source = text.partition("=")
            return kind, (unicodedata.normalize("NFKC", name), source if equals else name)
        return kind, text

    return read


def _named(text: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise LLMCacheError(f"{text!r} is not of the form NAME=VALUE", f"Write {example}")
    return name, value


def split_values(text: str) -> list[str]:
    """Return the parts of ``text`` between commas that stand in no brackets and no quotes.

    A quote begins a part, or stands in brackets; in ``it's`` it is a letter as any other.
    """
    parts, depth, quote, escaped = [""], 0, "", False
    for character in text:
        if quote and (escaped or character == "\\"):
            escaped = not escaped
        elif quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and (depth or not parts[-1].strip()):
            quote = character
        elif character in "[{(":
            depth += 1
        elif character in ")}]":
            depth = max(0, depth - 1)
        elif character == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += character
    return [part.strip() for part in parts]


_PYTHON_CONSTANTS: Mapping[str, bool | None] = {"True": True, "False": False, "None": None}
#: A number that JSON wants written otherwise.
_BARE_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+)")
#: More at once are a slip of the finger.
_MAX_JOBS = 1000


def _jobs(text: str) -> int:
    if (count := parse_count(text)) <= _MAX_JOBS:
        return count
    raise LLMCacheError(f"{count:,} are too many at once", f"Give at most {_MAX_JOBS:,}")


def _axes(kind: str) -> dict[str, Any]:
    return {"type": _axis(kind), "action": "append", "dest": "axes", "default": []}


#: The flags that set a mode for one question.
_MODE_FLAGS: Mapping[str, Mode] = {
    "refresh": "refresh",
    "no_cache": "bypass",
    "replay": "replay",
}
#: Other flags of which one takes back what the other says.
_EXCLUDING = (("after", "continue"), ("keep", "no_cache"), ("keep", "replay"))

ASKING: tuple[Argument, ...] = (
    Argument(
        ("-m", "--model"),
        "whom to ask: a variable that holds a chat model, a text model or any Runnable; "
        "provider:model, as openai:gpt-4o-mini; local, or local:PATH of a GGUF file; demo. "
        "Without it: who gave the answer that -c or --after goes on from, else the setting "
        "LLMCache.model, else a model named llm, else OpenAI; "
        "more than once: an answer of each, side by side",
        "MODEL",
        "model",
        options=_axes("model"),
    ),
    Argument(("-s", "--system"), "the system text", "TEXT"),
    Argument(("-t", "--temperature"), "the temperature", "NUMBER", options={"type": parse_number}),
    Argument(
        ("-p", "--parameter"),
        "any other parameter of the model, as -p max_tokens=200; may stand more than once; "
        "the value is read as JSON where it is JSON",
        "NAME=VALUE",
        "parameter",
        options={"type": parse_parameter, "action": "append", "default": []},
    ),
    Argument(
        ("-f", "--format"),
        "how the answer is drawn; markdown without it",
        choices=FORMATS.keys(),
    ),
    Argument(("-o", "--output"), "the variable that gets the answer", "NAME", "variable"),
    Argument(("--next",), "put the code of the answer into a new cell below; goes with -f code"),
    Argument(
        ("--after",),
        "the Answer, or list of messages, that the question goes on from",
        "NAME",
        "answer",
    ),
    Argument(("-c", "--continue"), "go on from the newest answer of this notebook"),
    Argument(
        ("--schema",),
        "what the answer must fit: a pydantic class, TypedDict, dataclass or JSON schema; "
        ".result is the object",
        "NAME",
        "schema",
    ),
    Argument(
        ("--attach",),
        "a picture, PDF, sound or text: a variable, a file or a URL; may stand more than once",
        "WHAT",
        "attachment",
        options={"action": "append", "default": []},
    ),
    Argument(
        ("--samples",),
        "so many independent answers, each kept as its own entry",
        "N",
        options=_axes("sample"),
    ),
    Argument(
        ("--each",),
        "an answer for each item of a variable; {{NAME}} is the item. A DataFrame's item is a "
        "row: {{NAME.column}}",
        "NAME=VARIABLE",
        "items",
        options=_axes("each"),
    ),
    Argument(
        ("--vary",),
        "an answer for each value of a parameter, as --vary temperature=0,0.7,1",
        "NAME=VALUES",
        "parameter",
        options=_axes("vary"),
    ),
    Argument(
        ("--jobs",),
        "how many questions at once; 8 without it",
        "N",
        options={"type": _jobs, "default": 8},
    ),
    Argument(("--diff",), "mark what differs between the first two columns"),
    Argument(("-y", "--yes"), "pay for more calls than the setting LLMCache.max_paid_calls allows"),
    Argument(("--refresh",), "ask the model and overwrite what is cached"),
    Argument(("--no-cache",), "ask the model; neither read nor write the cache"),
    Argument(("--replay",), "read the cache only; a miss is an error and nothing is sent"),
    Argument(("--keep",), "store the answer even if it is empty, filtered or unfinished"),
    Argument(
        ("--stream",),
        "draw the answer as it grows, as %%llm does without a flag",
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

EPILOG = (
    "In the prompt {{name}} stands for a variable, also {{a.b}}, {{a[0]}} and "
    '{{a["key"]}};\n{{"{{"}} stands for two braces.'
)


def questions_of(
    args: Namespace,
    prompt: str,
    namespace: Variables,
    settings: LLMCache,
    *,
    newest: Any = None,
    streams: bool = False,
) -> list[Question]:
    """Return the question that a line asks, or every combination of what varies.

    Of several the last flag varies fastest, in the order typed.

    Args:
        args: What ``ASKING`` read.
        prompt: The prompt as typed.
        namespace: The notebook's variables.
        settings: The person's settings.
        newest: The newest answer, for ``-c``.
        streams: Whether the answer is drawn as it grows where no flag says.

    Raises:
        LLMCacheError: The flags do not go together, or name what is not there.
    """
    from .ask import Question
    from .models import check_varied, choose, innermost
    from .variations import carried, check_asked, check_takes, sides_of

    models = [value for kind, value in args.axes if kind == "model"]
    several = len(args.axes) > len(models) or len(models) > 1
    _check_flags(args, settings, several=several)
    mode = next((mode for flag, mode in _MODE_FLAGS.items() if getattr(args, flag)), None)
    parameters = parameters_of(args)
    sides = {}
    if several:
        sides = sides_of(args.axes, namespace, parameters)
        check_asked("" if args.raw else f"{prompt}{args.system or ''}", sides)
    shared = {
        "mode": mode,
        "keep": args.keep,
        "stream": (streams if args.stream is None else args.stream) and not several,
        "format": _format(args.format or settings.format),
        "stable": args.stable or settings.stable,
    }
    if args.schema or args.attach or args.after or getattr(args, "continue"):
        shared |= carried(args, namespace, newest)
    asked, questions = shared.pop("asked", None), []
    for items in product(*sides.values()):
        picked: dict[str, dict[str, Any]] = defaultdict(dict)
        for (kind, name), (_, value) in zip(sides, items, strict=True):
            picked[kind][name] = value
        each, varied = picked["each"], picked["vary"]
        word = picked["model"].get("model", models[0] if models else asked)
        chosen = choose(word, namespace, {**parameters, **varied}, settings, mode)
        check_varied(chosen, varied)
        if "attached" in shared:
            check_takes(innermost(chosen.model), chosen.label, shared["attached"])
        coords = {name: label for (_, name), (label, _) in zip(sides, items, strict=True)}
        if "model" not in coords:
            coords = {"model": chosen.label, **coords}
        known = {**namespace, **each} if each else namespace
        text, system = prompt, args.system
        if not args.raw:
            text, system = fill(prompt, known), system and fill(system, known)
        questions.append(
            Question(
                prompt=text,
                model=chosen.model,
                label=chosen.label,
                system=system,
                coords=coords if several else {},
                items=tuple(each),
                sample=picked["sample"].get("sample", 0),
                **shared,
            )
        )
    return questions


def _format(name: str) -> str:
    if name in FORMATS:
        return name
    raise LLMCacheError(
        f"LLMCache.format cannot be {name!r}",
        did_you_mean(name, FORMATS) or f"Choose one of {', '.join(FORMATS)}",
    )


def _check_flags(args: Namespace, settings: LLMCache, *, several: bool) -> None:
    """See to it that no flag takes back what another one says, or lacks what it works on."""
    for excluding in (_MODE_FLAGS, *_EXCLUDING):
        given = [f"--{flag.replace('_', '-')}" for flag in excluding if getattr(args, flag)]
        if len(given) > 1:
            raise LLMCacheError(f"{' and '.join(given)} exclude each other", "Give one of them")
    if args.schema and args.format not in (None, "json"):
        raise LLMCacheError("--schema draws an object", f"Leave -f {args.format} out")
    if args.stream and (several or args.schema):
        what = "--schema" if args.schema else "several answers"
        raise LLMCacheError("--stream draws one text as it grows", f"Leave it out with {what}")
    if args.next and (args.format or settings.format) != "code":
        raise LLMCacheError("--next puts code into the next cell", "Give it with -f code")
    kinds = [kind for kind, _ in args.axes]
    if args.diff and kinds.count("model") < 2 and "vary" not in kinds:
        raise LLMCacheError("--diff compares columns", "Give -m more than once, or --vary")


def variable_of(args: Namespace) -> str | None:
    """Return the variable that gets the answer, if one is named."""
    name = args.output and unicodedata.normalize("NFKC", args.output)  # as Python reads a name
    if name is None or (name.isidentifier() and not keyword.iskeyword(name)):
        return name
    raise LLMCacheError(f"-o {name}: this is not a name for a variable", "Give one such as answer")


def parameters_of(args: Namespace) -> dict[str, Any]:
    """Return what ``-p`` and ``-t`` say."""
    given = [("temperature", args.temperature)] if args.temperature is not None else []
    parameters = {}
    for name, value in [*args.parameter, *given]:
        if name in parameters:
            raise LLMCacheError(f"{name} is given twice by -t or -p", "Give it once")
        parameters[name] = value
    return parameters
