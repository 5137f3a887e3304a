"""The HTML around what we say ourselves: the annotation's line, its details, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ..ledger import Call
from ..numbers import format_moment, format_seconds, token_counts
from ..text import cut, one_line, visible
from .answer import Answer
from .line import SEPARATOR, annotation_text, summary_text
from .sanitize import IGNORE_MATH
from .table import Table

_LINE = "font-family:var(--jp-ui-font-family,sans-serif);font-size:12px;line-height:1.7"
_BADGE = "border:1px solid currentColor;border-radius:8px;padding:0 6px;font-weight:600"
_DETAILS = "font-size:12px;margin:4px 0 4px 18px;white-space:pre-wrap;overflow-wrap:anywhere"
_CAPTION = "caption-side:top;text-align:left;font-weight:600"
_CELL = "vertical-align:top;padding:1px 12px 1px 0"
_VALUE = f"{_CELL};text-align:left;overflow-wrap:anywhere"


def annotation_html(answer: Answer) -> str:
    """Return the annotation as HTML: its line, and behind it what the calls took and where from.

    No answer can draw this: Markdown makes neither the badge nor a part that unfolds.
    """
    line = _badged(annotation_text(answer))
    if answer.stable or not answer.calls:
        return _note(line, "LLM answer")
    details = "".join(map(_call_details, answer.calls))
    return _note(f"<details><summary>{line}</summary>{details}</details>", "LLM answer")


def summary_html(calls: Sequence[Call], *, stable: bool) -> str:
    """Return the line under an ordinary cell as HTML."""
    return _note(_badged(summary_text(calls, stable=stable)), "LLM calls of this cell")


def preview_html(messages: Iterable[tuple[str, str]], verdict: str) -> str:
    """Return the messages of a prompt as they would be sent, and what the cache knows of it."""
    parts = "".join(
        f'<div style="font-weight:600">{escape(role)}</div>'
        f'<pre dir="auto" style="white-space:pre-wrap">{escape(cut(visible(text)))}</pre>'
        for role, text in messages
    )
    return f'<div class="{IGNORE_MATH}">{parts}</div>{_note(escape(verdict), "LLM prompt")}'


def rows_html(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a table of two columns."""
    drawn = "".join(
        f'<tr><th scope="row" style="{_VALUE}">{escape(name)}</th>'
        f'<td style="{_VALUE}">{escape(value)}</td></tr>'
        for name, value in rows
        if value
    )
    return f'<table style="{_LINE};margin:2px 0">{drawn}</table>'


def table_html(table: Table) -> str:
    """Return a table with its title as caption."""
    sides = ["right" if numeric else "left" for numeric in table.numeric()]
    head = "".join(
        f'<th scope="col" style="{_CELL};text-align:{side}">{escape(name)}</th>'
        for name, side in zip(table.headings(), sides, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_table_cell(*cell) for cell in zip(row, sides, strict=True))}</tr>"
        for row in table.drawn_rows()
    )
    caption = f'<caption style="{_CAPTION}">{escape(one_line(table.title))}</caption>'
    return (
        f'<div class="{IGNORE_MATH}" style="overflow-x:auto">'
        f'<table style="{_LINE};margin:2px 0">{caption if table.title else ""}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f'<div style="{_LINE}">{escape(table.footnote())}</div></div>'
    )


def _table_cell(text: str, side: str) -> str:
    return f'<td dir="auto" style="{_CELL};text-align:{side}">{escape(text)}</td>'


def _note(inner: str, label: str) -> str:
    return (
        f'<div class="{IGNORE_MATH}" role="note" aria-label="{label}" style="{_LINE}">{inner}</div>'
    )


def _badged(line: str) -> str:
    first, separator, rest = line.partition(SEPARATOR)
    return f'<span style="{_BADGE}">{escape(first)}</span>{escape(separator + rest)}'


def _call_details(call: Call) -> str:
    rows = [f"{name:<9} {one_line(value, 300)}" for name, value in _call_rows(call) if value]
    return f'<pre style="{_DETAILS}">{escape(chr(10).join(rows))}</pre>'


def _call_rows(call: Call) -> Iterable[tuple[str, str | None]]:
    hit = call.kind == "hit"
    yield "call", f"{_KINDS[call.kind]}{SEPARATOR}{call.model}"
    yield "store", call.location
    yield "recorded", format_moment(call.recorded_at)
    yield (
        "waited",
        f"{format_seconds(call.wall_s)}, of it {format_seconds(call.lookup_s)} in the cache",
    )
    yield "provider", _provider_time(call)
    yield "tokens", _usage_text(call)
    yield "remarks", SEPARATOR.join(filter(None, (call.reason, call.note, call.warning)))
    yield "key", call.key
    if call.key and (hit or call.stored):
        yield "request", f"%llm_cache show {call.key[:8]}"


_KINDS = {"hit": "cached", "miss": "fresh", "bypass": "past the cache", "error": "failed"}


def _provider_time(call: Call) -> str:
    if call.provider_s is not None:
        return format_seconds(call.provider_s)
    return f"{format_seconds(call.saved_s)} when recorded" if call.saved_s is not None else ""


def _usage_text(call: Call) -> str:
    counts = token_counts(call.usage)
    if counts is None:
        return ""
    given, made, total = counts
    return f"{given:,} in, {made:,} out, {total:,} in all"
