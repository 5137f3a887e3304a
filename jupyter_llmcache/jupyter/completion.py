"""TAB in the lines of the magics: flags, subcommands, models, variables, keys, paths, choices."""

from __future__ import annotations

import mimetypes
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..commands import subcommands
from ..commands.flags import ASKING
from ..commands.parser import Argument, words

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult

    from ..commands.session import Session

_MAX_OFFERS = 200
_LINE = re.compile(
    r"(?:^\s*|=\s*|^\s*%\w+\s.*?)%(?P<name>llm_cache|llm)\s+(?P<rest>.*)\Z", re.DOTALL
)
_CELL = re.compile(r"\s*%%llm(?:\s|\Z)")
_CELL_FLAGS = re.compile(r"\s*%%llm\s+(?P<rest>.*)\Z")
_PLACEHOLDER = re.compile(r"\{\{[ \t]*(?P<name>\w*)\Z")
_LAST_WORD = re.compile(r"\S*\Z")
_MODEL = re.compile(r"(?:-m|--model)[ =]*(\S+)(?=\s)")
#: What IPython itself keeps for a person.
_OF_IPYTHON = ("In", "Out", "exit", "quit", "get_ipython", "open")
#: How the kinds of files begin that --attach sends.
_SENT = ("image/", "audio/", "application/pdf")


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
    if "name" in match.groupdict() and match["name"] == "llm_cache":
        return _for_cache(match["rest"], namespace, session)
    return _for_words(match["rest"], ASKING, namespace, session, intermixed=False)


def _for_cache(rest: str, namespace: Mapping[str, Any], session: Session) -> Offers:
    first, known = next(words(rest), None), subcommands("notebook")
    if first is None or first.end == len(rest):
        return _starting(rest.strip(), known)
    if first.text not in known:
        return _NOTHING
    arguments = known[first.text].arguments
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
    if waiting is not None and waiting.kind == "parameter":
        return _starting(fragment, _parameters(rest, namespace))
    if waiting is not None:
        return _starting(fragment, _values(waiting, fragment, namespace, session))
    if equals and name in flags:
        return _starting(value, _values(flags[name], value, namespace, session))
    if fragment.startswith("-"):
        return _starting(fragment, flags)
    if not intermixed:
        return _NOTHING if fragment else Offers("", tuple(flags))
    positional = [each for each in arguments if not each.is_flag]
    found = [text for each in positional for text in _values(each, fragment, namespace, session)]
    return _starting(fragment, [*found, *([] if fragment else flags)])


def _values(
    argument: Argument, fragment: str, namespace: Mapping[str, Any], session: Session
) -> list[str]:
    if argument.kind == "model":
        return list(_models(fragment, namespace, session))
    if argument.kind == "path":
        return list(_paths(fragment))
    if argument.kind == "key":
        return ["last", *_keys(fragment, session)]
    if argument.kind in _FITS:
        prefix = fragment[: fragment.rfind("=") + 1] if argument.kind == "items" else ""
        fits = _FITS[argument.kind]
        # A model or a prompt has a length, messages and a way to be saved too.
        ranks = {
            name: fits(namespace[name])
            for name in _names(namespace)
            if argument.kind == "variable" or not hasattr(namespace[name], "invoke")
        }
        fitting = sorted((name for name in ranks if ranks[name]), key=lambda name: -ranks[name])
        found = [prefix + name for name in fitting]
        return [*found, *(_files(fragment) if argument.kind == "attachment" else ())]
    return list(argument.choices)


def _parameters(rest: str, namespace: Mapping[str, Any]) -> list[str]:
    """Return the parameters of the model that ``rest`` names before, with what follows on them."""
    from ..commands.models import parameters_named

    named = _MODEL.findall(rest)
    return [f"{name}=" for name in parameters_named(named[-1] if named else None, namespace)]


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


def _files(fragment: str) -> list[str]:
    """Return the paths that begin as ``fragment`` does, pictures, PDF and sound first."""
    kinds = {path: mimetypes.guess_type(path)[0] or "" for path in _paths(fragment)}
    return sorted(kinds, key=lambda path: not kinds[path].startswith(_SENT))


def _keys(fragment: str, session: Session) -> list[str]:
    store = session.cache.store if session.cache else None
    return [key.hex() for key in store.find(fragment)] if store and fragment else []


def _names(namespace: Mapping[str, Any]) -> list[str]:
    return sorted(
        name for name in namespace if not name.startswith("_") and name not in _OF_IPYTHON
    )


def _starting(fragment: str, texts: Any) -> Offers:
    fitting = dict.fromkeys(text for text in texts if text.startswith(fragment))
    return Offers(fragment, tuple(fitting)[:_MAX_OFFERS])
