"""What differs between two requests, field by field, in words.

A request is here what ``keys`` describes: the model and its parameters as JSON text, and the
messages (or one text) as JSON text. Any JSON is compared; nothing of LangChain is needed.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..text import json_or_text
from .canonical import TAG
from .likeness import common_prefix, likely_cause, similarity

#: Values up to this many characters are shown whole.
SHOWN_CHARS = 48
#: What is shown before and after the place where long texts part.
_BEFORE_CHARS, _AFTER_CHARS = 12, 28
#: Names that group fields and tell a person nothing.
_GROUPS = frozenset({"parameters", "params", "extras", "fields"})
#: How far apart a difference in one of these puts two requests; everything else counts 1.
_COSTS = {"model": 3.0, "provider": 3.0, "class": 2.0, "schema": 0.1, "endpoint": 0.8}
#: What a field that is not there means, where a person would say it.
_MEANT = {"sample": 0}
#: Longer texts without a blank at their beginning are data, of which no part tells anything.
_DATA_CHARS = 100
#: What two texts without anything in common put between two requests.
_TEXT_COST = 4.0


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which two requests differ.

    Attributes:
        field: The field as a person knows it: ``temperature``, ``system text``.
        text: What differs: ``temperature 0 -> 0.7``.
        cost: How far apart it puts the two requests; 1 is one changed parameter.
        cause: What probably made the one of the other, as ``a date or time``; None: nobody knows.
    """

    field: str
    text: str
    cost: float = 1.0
    cause: str | None = None

    def __str__(self) -> str:
        return self.text if self.cause is None else f"{self.text} (probably {self.cause})"

    @property
    def short(self) -> str:
        """The difference in a few words: ``temperature differs``."""
        return f"{self.field} differs" + ("" if self.cause is None else f": {self.cause}")


class _Missing:
    """A field that one of the two requests does not have."""


_MISSING = _Missing()


def differences(
    description: str, prompt: str, other_description: str, other_prompt: str
) -> list[Difference]:
    """Return what differs from the first request to the other, in the order of the fields.

    Args:
        description: The model and its parameters, as JSON text.
        prompt: The messages or the text, as JSON text.
        other_description: As ``description``, of the other request.
        other_prompt: As ``prompt``, of the other request.
    """
    found = description_differences(description, other_description)
    if prompt != other_prompt:
        one, other = json_or_text(prompt), json_or_text(other_prompt)
        found += _or_spelling(_prompt_differences(one, other), "prompt")
    return found


def description_differences(description: str, other: str) -> list[Difference]:
    """Return what differs between two models and their parameters."""
    if description == other:
        return []
    return _or_spelling(
        _differences("", json_or_text(description), json_or_text(other)), "description"
    )


def _or_spelling(found: Iterator[Difference], what: str) -> list[Difference]:
    return list(found) or [Difference(what, f"{what}: the same values, written differently", 0.1)]


# --- any JSON ---


def _differences(name: str, one: Any, other: Any) -> Iterator[Difference]:
    """Yield what differs between two JSON values; ``name`` says where they stand."""
    if _same(one, other):
        return
    if _is_object(one) and _is_object(other):
        yield from _object_differences(name, one, other)
    elif isinstance(one, list) and isinstance(other, list) and not _is_plain(one, other):
        yield from _list_differences(name, one, other)
    else:
        yield _value_difference(name, one, other)


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one, the order of their names included; true is not 1."""
    if isinstance(one, (dict, list)) and isinstance(other, (dict, list)):
        return _written(one) == _written(other)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _is_object(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return len(value) != 1 or not next(iter(value)).startswith(TAG)


def _is_plain(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two lists are short enough to be shown whole, as stop words are."""
    items = [*one, *other]
    return (
        all(isinstance(item, (str, int, float)) for item in items)
        and max(len(_shown(one)), len(_shown(other))) <= 2 * SHOWN_CHARS
    )


def _object_differences(
    name: str, one: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[Difference]:
    for key in dict.fromkeys([*one, *other]):
        below = name if key in _GROUPS and not _is_schema(name) else _below(name, key)
        unset = _MEANT.get(key, _MISSING)
        yield from _differences(below, one.get(key, unset), other.get(key, unset))
    shared = [key for key in one if key in other]
    if shared != [key for key in other if key in one]:
        yield Difference(
            f"{name} order".strip(),
            f"order of {name or 'fields'} {_shown(list(one))} -> {_shown(list(other))}",
        )


def _is_schema(name: str) -> bool:
    """Whether the place is inside a tool or a schema, where every name counts."""
    return "[" in name or "schema" in name or "format" in name


def _below(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _list_differences(name: str, one: list[Any], other: list[Any]) -> Iterator[Difference]:
    """Compare lists of named things (tools) by name, all others by place."""
    names, other_names = _names(one), _names(other)
    if names and other_names:
        yield from _named_differences(
            name, dict(zip(names, one, strict=True)), dict(zip(other_names, other, strict=True))
        )
        return
    for place, (item, other_item) in _aligned(one, other):
        yield from _differences(f"{name}[{place}]", item, other_item)


def _names(items: Sequence[Any]) -> list[str] | None:
    names = [_name_of(item) for item in items]
    known = [name for name in names if name is not None]
    return known if len(known) == len(names) == len(set(known)) and known else None


def _name_of(item: Any) -> str | None:
    if not isinstance(item, dict):
        return None
    inner = item.get("function")
    name = item.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
    return name if isinstance(name, str) else None


def _named_differences(
    name: str, one: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[Difference]:
    for item in dict.fromkeys([*one, *other]):
        place = f"{name}[{item}]"
        if item not in other:
            yield Difference(place, f"{place} is gone")
        elif item not in one:
            yield Difference(place, f"{place} is new")
        else:
            yield from _differences(place, one[item], other[item])
    shared = [item for item in one if item in other]
    other_shared = [item for item in other if item in one]
    if shared != other_shared:
        yield Difference(
            f"{name} order", f"order of {name} {_shown(shared)} -> {_shown(other_shared)}"
        )


def _aligned(one: list[Any], other: list[Any]) -> Iterator[tuple[int, tuple[Any, Any]]]:
    """Yield (place from 1, pair) for the items between the common beginning and the common end."""
    shorter = min(len(one), len(other))
    head = 0
    while head < shorter and _written(one[head]) == _written(other[head]):
        head += 1
    tail = 0
    while tail < shorter - head and _written(one[-1 - tail]) == _written(other[-1 - tail]):
        tail += 1
    rest, other_rest = one[head : len(one) - tail], other[head : len(other) - tail]
    for index in range(max(len(rest), len(other_rest))):
        item = rest[index] if index < len(rest) else _MISSING
        other_item = other_rest[index] if index < len(other_rest) else _MISSING
        yield head + index + 1, (item, other_item)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value_difference(name: str, one: Any, other: Any) -> Difference:
    field = name or "request"
    if _is_data(one) and _is_data(other):
        return Difference(field, f"{field} is other data", _COSTS.get(field, 1.0))
    if isinstance(one, str) and isinstance(other, str):
        return text_difference(field, one, other)
    cost = _COSTS.get(field, 1.0)
    return Difference(field, f"{field} {_shown(one)} -> {_shown(other)}", cost)


def _is_data(value: Any) -> bool:
    if isinstance(value, str):
        begin = value[:_DATA_CHARS]
        return len(value) > _DATA_CHARS and begin.isascii() and " " not in begin
    return isinstance(value, dict) and f"{TAG}data" in value


def text_difference(field: str, one: str, other: str) -> Difference:
    """Return how two texts differ: whole where they are short, else the place where they part."""
    cost, cause = _COSTS.get(field, 1.0), likely_cause(one, other)
    place = common_prefix(one, other)
    if _seen(one) == _seen(other):
        signs = " -> ".join(
            f"U+{ord(text[place]):04X}" if place < len(text) else "the end" for text in (one, other)
        )
        what = f"{field} differs at character {place + 1:,} in what is not seen"
        return Difference(field, f"{what}: {signs}", cost, cause)
    if max(len(one), len(other)) <= SHOWN_CHARS and "\n" not in one + other:
        return Difference(field, f"{field} {_shown(one)} -> {_shown(other)}", cost, cause)
    excerpts = f"{_excerpt(one, place)} -> {_excerpt(other, place)}"
    text = f"{field} differs at character {place + 1:,}: {excerpts}"
    return Difference(field, text, cost, cause)


def _seen(text: str) -> str:
    """Return what a reader sees of a text on one line: no blanks, no signs without a form."""
    return "".join(
        sign
        for sign in unicodedata.normalize("NFKC", text)
        if not sign.isspace() and unicodedata.category(sign) not in ("Cf", "Cc")
    )


def _excerpt(text: str, place: int) -> str:
    begin, end = max(0, place - _BEFORE_CHARS), place + _AFTER_CHARS
    dots_before, dots_after = "…" if begin else "", "…" if end < len(text) else ""
    return f"'{dots_before}{text[begin:end]}{dots_after}'"


def _shown(value: Any) -> str:
    """Return a value on at most some words: ``0.7``, ``'low'``, ``unset``."""
    if isinstance(value, _Missing):
        return "unset"
    if isinstance(value, str):
        return f"'{_cut(value)}'"
    if isinstance(value, dict) and not _is_object(value):
        return (
            f"({next(iter(value)).removeprefix(TAG)} {_cut(str(next(iter(value.values()))), 12)})"
        )
    return _cut(json.dumps(value, ensure_ascii=False), 2 * SHOWN_CHARS)


def _cut(text: str, limit: int = SHOWN_CHARS) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


# --- messages ---


def _prompt_differences(one: Any, other: Any) -> Iterator[Difference]:
    if not (isinstance(one, list) and isinstance(other, list)):
        yield from _whole_prompt_difference(one, other)
        return
    if len(one) != len(other):
        yield Difference(
            "number of messages", f"{len(one)} -> {len(other)} messages", abs(len(one) - len(other))
        )
    for place, (message, other_message) in _aligned(one, other):
        yield from _message_differences(place, message, other_message)


def _whole_prompt_difference(one: Any, other: Any) -> Iterator[Difference]:
    if isinstance(one, str) and isinstance(other, str):
        yield _weighed(text_difference("prompt text", one, other), one, other)
    else:
        yield Difference("prompt", f"prompt {_form(one)} -> {_form(other)}", _TEXT_COST)


def _form(prompt: Any) -> str:
    return f"{len(prompt)} messages" if isinstance(prompt, list) else "a text"


def _weighed(difference: Difference, one: str, other: str) -> Difference:
    apart = 1 - similarity(one, other)
    if difference.cause:  # they are the same but for this, be it most of a short text
        apart /= 2
    return replace(difference, cost=1 + _TEXT_COST * apart)


def _message_differences(place: int, one: Any, other: Any) -> Iterator[Difference]:
    if isinstance(one, _Missing) or isinstance(other, _Missing):
        is_new = isinstance(one, _Missing)
        name = message_name(place, other if is_new else one)
        text = _message_text(other if is_new else one)
        # The same question with other instructions is one change, however long they are.
        cost = 1.0 if name == "system" else _TEXT_COST
        yield Difference(name, f"{name} is {'new' if is_new else 'gone'}: {_shown(text)}", cost)
        return
    if not (isinstance(one, dict) and isinstance(other, dict)):
        yield from _differences(f"message {place}", one, other)
        return
    if role_of(one) != role_of(other):
        name = f"message {place} role"
        yield Difference(name, f"{name} {role_of(one)} -> {role_of(other)}", 2.0)
    name = message_name(place, other)
    for key in dict.fromkeys([*one, *other]):
        if key in ("role", "type"):
            continue
        value, other_value = one.get(key, _MISSING), other.get(key, _MISSING)
        if key == "content":
            yield from _content_differences(name, value, other_value)
        else:
            yield from _differences(f"{name} {key.replace('_', ' ')}", value, other_value)


def _content_differences(name: str, one: Any, other: Any) -> Iterator[Difference]:
    if isinstance(one, str) and isinstance(other, str):
        if one != other:
            yield _weighed(text_difference(f"{name} text", one, other), one, other)
    elif isinstance(one, str | list) and isinstance(other, str | list):
        for place, pair in _aligned(_blocks(one), _blocks(other)):
            for difference in _block_differences(f"{name} block {place}", *pair):
                yield replace(difference, cost=2.0)
    else:
        yield from _differences(f"{name} content", one, other)


def _blocks(content: str | list[Any]) -> list[Any]:
    return [{"text": content, "type": "text"}] if isinstance(content, str) else content


def _block_differences(name: str, one: Any, other: Any) -> Iterator[Difference]:
    """Compare two blocks of a message; one that is new or gone is called by its kind."""
    whole = other if isinstance(one, _Missing) else one
    if isinstance(whole, dict) and (isinstance(one, _Missing) or isinstance(other, _Missing)):
        is_new = "new" if isinstance(one, _Missing) else "gone"
        yield Difference(name, f"{name} ({whole.get('type', '?')}) is {is_new}")
    else:
        yield from _differences(name, one, other)


def role_of(message: Any) -> str:
    """Return the role of a described message: ``human``, ``system``, ``ai``, ``tool``."""
    return (
        str(message.get("role") or message.get("type") or "?") if isinstance(message, dict) else "?"
    )


def message_name(place: int, message: Any) -> str:
    """Return what a person calls the message at ``place`` (from 1)."""
    role = role_of(message)
    return role if role == "system" and place == 1 else f"message {place} ({role})"


def _message_text(message: Any) -> str:
    content = message.get("content", "") if isinstance(message, dict) else message
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
