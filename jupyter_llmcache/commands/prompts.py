"""``{{name}}`` in a prompt: variables are put in, in one pass, and no code is evaluated.

A placeholder is two braces, a variable's name, and then any number of ``.attribute``, ``[0]`` and
``["key"]``; blanks may stand inside the braces. Whatever has not this form stays as it was typed:
JSON, LaTeX, single braces. ``{{"{{"}}`` stands for two braces.
"""

from __future__ import annotations

import ast
import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import LLMCacheError

_STEP = r"""\.[^\W\d]\w* | \[-?\d+\] | \["[^"\n]*"\] | \['[^'\n]*'\]"""
_PATH = rf"[^\W\d]\w*(?:{_STEP})*"
_PLACEHOLDER = re.compile(rf'\{{\{{(?:[ \t]*(?P<path>{_PATH})[ \t]*|"\{{\{{")\}}\}}', re.VERBOSE)
_PATH_ALONE = re.compile(_PATH, re.VERBOSE)
_OTHER_PLACEHOLDER = re.compile(r"(?:\$?\{|\$)([^\W\d]\w*)\}?")
_PART = re.compile(rf"^[^\W\d]\w*|{_STEP}", re.VERBOSE)

Namespace = Mapping[str, Any]


def fill(text: str, namespace: Namespace) -> str:
    """Return ``text`` with the variables of ``namespace`` put in for their placeholders.

    What a value holds is never looked through for placeholders again.

    Raises:
        LLMCacheError: A name is unknown, or a value cannot be reached or made a text.
    """

    def value_of(match: re.Match[str]) -> str:
        path = match["path"]
        return "{{" if path is None else _as_text(look_up(path, namespace), path)

    return _PLACEHOLDER.sub(value_of, text)


def fill_path(text: str, namespace: Namespace) -> str:
    """Return a file's path: a placeholder alone is its variable's value, all else is literal.

    Raises:
        LLMCacheError: It is ``{x}`` or ``$x`` alone, which nobody means as a file's name.
    """
    if _PLACEHOLDER.fullmatch(text):
        return fill(text, namespace)
    if meant := _OTHER_PLACEHOLDER.fullmatch(text):
        raise LLMCacheError(
            f"{text} is not replaced by a variable here", f"Write {{{{{meant[1]}}}}}"
        )
    return text


def is_path(text: str) -> bool:
    """Return whether ``text`` is a name that may stand in a placeholder, as ``a.b[0]``."""
    return _PATH_ALONE.fullmatch(text) is not None


def root(path: str) -> str:
    """Return the variable's name at the beginning of ``path``, as Python spells it."""
    match = _PART.match(path)
    return unicodedata.normalize("NFKC", match.group()) if match else ""


def look_up(path: str, namespace: Namespace) -> Any:
    """Return what ``path`` names in ``namespace``.

    Raises:
        LLMCacheError: There is no such variable, attribute, index or key; the nearest is named.
    """
    name = root(path)
    if name not in namespace:
        raise LLMCacheError(
            f"{{{{{path}}}}}: there is no variable {name!r}",
            did_you_mean(name, (n for n in namespace if not n.startswith("_")))
            or "Define it, or give --raw to send the braces as they are",
        )
    value = namespace[name]
    reached = name
    for match in _PART.finditer(path, len(_PART.match(path)[0])):  # type: ignore[index]
        value = _step(value, match.group(), reached, path)
        reached += match.group()
    return value


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return ``Did you mean 'x'?`` for the nearest of ``known``, or nothing.

    ``prefix`` is put before it, and is no part of what is compared.
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {prefix + near[0]!r}?" if near else ""


def _step(value: Any, step: str, reached: str, path: str) -> Any:
    attribute = step[1:] if step.startswith(".") else None
    try:
        return getattr(value, attribute) if attribute else value[ast.literal_eval(step[1:-1])]
    except Exception as error:
        if attribute:
            what, known = f"attribute {attribute!r}", dir(value)
        else:
            what = f"item {step}"
            known = [repr(key) for key in value] if isinstance(value, Mapping) else []
        if not isinstance(error, (AttributeError, LookupError, TypeError)):
            what += f" ({type(error).__name__}: {error})"
        raise LLMCacheError(
            f"{{{{{path}}}}}: {reached}, a {type(value).__name__}, has no {what}",
            did_you_mean(attribute or step[1:-1], known),
        ) from error


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
