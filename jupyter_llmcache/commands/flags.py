"""The flags of ``%llm`` and ``%%llm``, and the question that a line with them asks."""

from __future__ import annotations

import json
import keyword
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ..errors import LLMCacheError
from ..modes import Mode
from . import prompts
from .parser import Argument, parse_number

if TYPE_CHECKING:
    from ..draw.answer import Format
    from ..settings import LLMCache
    from .ask import Question


def parse_parameter(text: str) -> tuple[str, Any]:
    """Return the name and the value of ``NAME=VALUE``.

    Raises:
        LLMCacheError: There is no name, or the value begins as JSON does and is not JSON.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise LLMCacheError(f"{text!r} is not of the form NAME=VALUE", "Write -p seed=7")
    return name, parse_value(name, value)


def parse_value(name: str, text: str) -> Any:
    """Return the value of a parameter: JSON where it is JSON, a Python constant, or else the text.

    Raises:
        LLMCacheError: It begins as JSON does and is not JSON.
    """
    if text in _PYTHON_CONSTANTS:
        return _PYTHON_CONSTANTS[text]
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        if text.startswith(("{", "[", '"')):
            raise LLMCacheError(
                f"the value of {name} begins as JSON does and is not JSON: {text}",
                "Put one with blanks into single quotes",
            ) from None
        return text


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
        "MODEL",
        "model",
    ),
    Argument(("-s", "--system"), "the system text", "TEXT"),
    Argument(("-t", "--temperature"), "the temperature", "NUMBER", options={"type": parse_number}),
    Argument(
        ("-p", "--parameter"),
        "any other parameter of the model, as -p max_tokens=200; may stand more than once; "
        "the value is read as JSON where it is JSON",
        "NAME=VALUE",
        options={"type": parse_parameter, "action": "append", "default": []},
    ),
    Argument(
        ("-f", "--format"),
        "how the answer is drawn; markdown without it",
        choices=("markdown", "text", "json", "code"),
    ),
    Argument(("-o", "--output"), "the variable that gets the answer", "NAME", "variable"),
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


def question_of(
    args: Namespace, prompt: str, namespace: prompts.Namespace, settings: LLMCache, *, streams: bool
) -> Question:
    """Return the question that a line asks.

    Args:
        args: What ``ASKING`` read.
        prompt: The prompt as typed.
        namespace: The notebook's variables.
        settings: The person's settings.
        streams: Whether the answer is drawn as it grows where no flag says.
    """
    from .ask import Question
    from .models import choose

    mode = _mode(args)
    fill = (lambda text: text) if args.raw else (lambda text: prompts.fill(text, namespace))
    prompt, system = fill(prompt), args.system and fill(args.system)
    chosen = choose(args.model, namespace, parameters_of(args), settings, mode)
    return Question(
        prompt=prompt,
        model=chosen.model,
        label=chosen.label,
        system=system,
        mode=mode,
        keep=args.keep,
        stream=streams if args.stream is None else args.stream,
        format=cast("Format", args.format or settings.format),
        stable=args.stable or settings.stable,
    )


def variable_of(args: Namespace) -> str | None:
    """Return the variable that gets the answer, if one is named."""
    name: str | None = args.output
    if name is None or (name.isidentifier() and not keyword.iskeyword(name)):
        return name
    raise LLMCacheError(f"-o {name}: this is not a name for a variable", "Give one such as answer")


def _mode(args: Namespace) -> Mode | None:
    """Return the mode that the flags ask for; more than one is an error."""
    given = [flag for flag in _MODE_FLAGS if getattr(args, flag)]
    if len(given) > 1:
        flags = " and ".join(f"--{flag.replace('_', '-')}" for flag in given)
        raise LLMCacheError(f"{flags} exclude each other", "Give one of them")
    return _MODE_FLAGS[given[0]] if given else None


def parameters_of(args: Namespace) -> dict[str, Any]:
    """Return what ``-p`` and ``-t`` say."""
    parameters = dict(args.parameter)
    if args.temperature is not None:
        parameters["temperature"] = args.temperature
    return parameters
