"""Text that can be shown anywhere, and times, sizes, counts and dates as a person reads them.

Control, escape and bidi characters become visible; no foreign number raises.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import textwrap
import time
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .errors import LLMCacheError

if TYPE_CHECKING:
    from decimal import Decimal

# C0 but tab and newline, DEL and C1, line separators, bidi embeddings, overrides and isolates,
# interlinear marks, lone surrogates, tags (text that nobody sees). Marks that scripts and emoji
# need, joiners and U+200E, U+200F, stay.
_STEERING = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f"
)
#: The flags of England, Scotland and Wales are a black flag and tags.
_FLAG = "\U0001f3f4[\U000e0061-\U000e007a]{3,6}\U000e007f"
_CONTROL = f"{_FLAG}|[{_STEERING}]"
_UNSETTLED = "(?:\r|\U0001f3f4[\U000e0061-\U000e007a]{0,6})\\Z"
#: Beyond this an answer is cut where it is drawn, in characters; ``answer.text`` has it all.
MAX_DRAWN_CHARS = 1_000_000
_WHITE_SPACE = r"\s+"
#: What shows a control character: U+2400 shows U+0000, and so on up to U+001F.
_PICTURES = {chr(code): chr(0x2400 + code) for code in range(32)} | {"\x7f": "\u2421"}
#: White space for ``textwrap``, and in no text that is visible.
_FILLER = "\x0b"


class Printed:
    """A value that prints as ``str`` of it where there is no HTML.

    A dataclass of this kind is made with ``repr=False``: IPython would take a ``__repr__`` of the
    class before what it inherits.
    """

    def __repr__(self) -> str:
        return str(self)

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))


def visible(text: str) -> str:
    r"""Return ``text`` with every character that steers a terminal or hides text made visible.

    Tabs and line ends stay; ``\r\n`` becomes ``\n``. C0 characters become control pictures
    (``␛``), all others their code point (``⟨U+202E⟩``).
    """
    return re.sub(_CONTROL, _show, text.replace("\r\n", "\n"))


def settled(text: str) -> str:
    """Return the beginning of a growing ``text`` whose ``visible`` form no later part changes."""
    return re.sub(_UNSETTLED, "", text)


def cut(text: str) -> str:
    """Return ``text``, without its end where it is too long to be drawn."""
    if len(text) <= MAX_DRAWN_CHARS:
        return text
    rest = len(text) - MAX_DRAWN_CHARS
    return f"{text[:MAX_DRAWN_CHARS]}\n… {rest:,} more characters: see answer.text"


def one_line(text: object, limit: int = 120) -> str:
    """Return ``text`` made visible, on one line, cut in the middle after ``limit`` characters."""
    line = re.sub(_WHITE_SPACE, " ", visible(str(text))).strip()
    if len(line) <= limit:
        return line
    head = (limit - 1) * 2 // 3
    return f"{line[:head]}…{line[head + 1 - limit :]}"


def columns_of(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    return sum(map(_columns_of_character, text))


def _columns_of_character(character: str) -> int:
    wide = unicodedata.east_asian_width(character) in "WF"
    return 0 if unicodedata.combining(character) else 1 + wide


def terminal_columns() -> int:
    """Return how wide the terminal is; 80 columns where there is none, and 40 at least."""
    return max(40, shutil.get_terminal_size().columns)


def narrowed(text: str, columns: int) -> str:
    """Return ``text``, cut in the middle where it takes more than so many columns."""
    chars = columns
    while columns_of(text) > columns and chars > 1:
        text, chars = one_line(text, chars), chars - 1
    return text


def wrapped(line: str, hang: int = 0) -> str:
    """Return ``line`` as lines that fit the terminal, the second and all after it indented.

    It is broken at blanks, and in scripts that have none, so that a path or a command stays whole.
    """
    columns = terminal_columns()
    if columns_of(line) <= columns:
        return line
    # A filler behind each wide character counts as its other half, and as a place to break.
    filled = "".join(f"{c}{_FILLER}" if _columns_of_character(c) > 1 else c for c in line)
    lines = textwrap.wrap(
        filled,
        columns,
        subsequent_indent=" " * hang,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace(_FILLER, "")


def _show(match: re.Match[str]) -> str:
    character = match.group()
    if len(character) > 1:  # a flag
        return character
    return _PICTURES.get(character, f"⟨U+{ord(character):04X}⟩")


# --- numbers ---

_BYTE_UNITS = ("kB", "MB", "GB", "TB")
_UNKNOWN = "?"
_CONSONANT_Y = "(?<![aeiou])y$"


def format_seconds(seconds: float) -> str:
    """Return a duration: ``1.1 ms``, ``829 ms``, ``3.2 s``, ``2 min 5 s``, ``3 h 10 min``."""
    if not math.isfinite(seconds) or seconds < 0:
        return _UNKNOWN
    if seconds * 1000 < 999.5:
        return _short(seconds * 1000, "ms") if seconds else "0 ms"
    if seconds < 59.5:
        return _short(seconds, "s")
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s" if rest_s else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def format_bytes(size_bytes: float) -> str:
    """Return a size in units of 1,000: ``512 bytes``, ``3.4 kB``, ``1.2 GB``."""
    if not math.isfinite(size_bytes) or size_bytes < 0:
        return _UNKNOWN
    if size_bytes < 1000:
        return "1 byte" if size_bytes == 1 else f"{size_bytes:.0f} bytes"
    size = float(size_bytes)
    for unit in _BYTE_UNITS:
        size /= 1000
        if size < 999.5 or unit == _BYTE_UNITS[-1]:
            break
    return _short(size, unit)


def _short(amount: float, unit: str) -> str:
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:,.0f} {unit}"


def format_count(count: int, noun: str = "") -> str:
    """Return a count, with its noun in the right number where one is given: ``1,204 entries``."""
    if not noun:
        return f"{count:,}"
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {re.sub(_CONSONANT_Y, 'ie', noun)}s"


def format_usd(amount: Decimal | None) -> str:
    """Return money as it is told everywhere: ``$12.30``, ``$0.0004``, ``< $0.0001``.

    Empty where there is no amount.
    """
    if amount is None:
        return ""
    if not amount or amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount * 10_000 >= 1 else "< $0.0001"


def format_moment(unix_s: float | None) -> str:
    """Return the local date and time ``2026-11-03 14:05:09``; empty where there is none."""
    if unix_s is None:
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))
    except (OverflowError, ValueError, OSError, TypeError):
        return ""


def token_counts(usage: Mapping[str, Any] | None) -> tuple[int, int, int] | None:
    """Return (input, output, total) of LangChain's usage; None where it tells no number."""
    if not usage:
        return None
    told = [
        _as_count(usage.get(name)) for name in ("input_tokens", "output_tokens", "total_tokens")
    ]
    if all(count is None for count in told):
        return None
    given, made, total = (count or 0 for count in told)
    return given, made, total or given + made


def _as_count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return int(value) if is_count else None  # type: ignore[call-overload]


#: Data nested deeper than this is nobody's request; what walks through it would not come back.
_MAX_DEPTH = 100


def json_or_text(text: str) -> Any:
    """Return ``text`` read as JSON; as it is where it is not JSON or nested too deeply."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return data
    level, depth = [data], 0
    while level and depth <= _MAX_DEPTH:
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        depth += 1
    return text if level else data


def kebab(name: str) -> str:
    """Return a class's name in lower case with hyphens, as in ``fake-list-chat-model``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).strip("_").lower()


def a_type(value: object) -> str:
    """Return the type of ``value`` with its article, as ``an int``; of a class, its name."""
    if value is None or isinstance(value, type):
        return f"the class {value.__name__}" if value else "None"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return ``Did you mean 'x'?`` for the nearest of ``known``, or nothing.

    ``prefix`` is put before it, and is no part of what is compared.
    """
    import difflib  # here, as loading needs none of it

    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {prefix + near[0]!r}?" if near else ""


# --- durations, sizes and numbers as a person types them ---

_SECONDS: Mapping[str, float] = {
    "s": 1,
    "m": 60,
    "min": 60,
    "h": 3600,
    "d": 86400,
    "w": 7 * 86400,
    "y": 365 * 86400,
}
_BYTES: Mapping[str, float] = {
    "b": 1,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "tb": 1e12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_QUANTITY = r"(?i)(\d+(?:\.\d+)?)\s*([a-z]+)"


def parse_duration_s(text: str) -> float:
    """Return a duration such as ``7d``, ``12h`` or ``30min`` in seconds.

    Raises:
        LLMCacheError: ``text`` is not a duration over zero.
    """
    return _parse(text, _SECONDS, "duration", "30s, 10min, 12h, 7d, 4w or 1y")


def parse_size_bytes(text: str) -> int:
    """Return a size such as ``1GB`` or ``200 MiB`` in bytes.

    Raises:
        LLMCacheError: ``text`` is not a size over zero.
    """
    return math.ceil(_parse(text, _BYTES, "size", "500kB, 200MB, 1.5GB or 1GiB"))


def parse_count(text: str) -> int:
    """Return a whole number over zero; ``10_000`` and ``10,000`` are read too.

    Raises:
        LLMCacheError: ``text`` is not such a number.
    """
    digits = text.replace("_", "").replace(",", "")
    if digits.isascii() and digits.isdigit() and int(digits) > 0:
        return int(digits)
    raise LLMCacheError(f"{text!r} is not a whole number over zero", "Write one such as 10")


def parse_number(text: str) -> float:
    """Return a number such as ``0.7``.

    Raises:
        LLMCacheError: ``text`` is not a number.
    """
    with suppress(ValueError):
        if math.isfinite(number := float(text)):
            return number
    raise LLMCacheError(f"{text!r} is not a number", "Write one such as 0.7")


def _parse(text: str, units: Mapping[str, float], what: str, examples: str) -> float:
    match = re.fullmatch(_QUANTITY, text.strip())
    factor = units.get(match[2].lower()) if match else None
    if match is None or factor is None or not float(match[1]):
        raise LLMCacheError(f"{text!r} is not a {what}", f"Write one such as {examples}")
    return float(match[1]) * factor
