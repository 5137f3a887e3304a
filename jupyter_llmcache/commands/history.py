"""What calls did: ``history`` and ``stats`` tell what they took and saved, ``explain`` why."""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..draw.line import state_of
from ..draw.table import SEPARATOR, Report, Table
from ..errors import StoreError
from ..ledger import Call, Entry, Ledger, Totals, price_usd, total_usd
from ..stores.base import Store
from ..text import (
    Printed,
    format_bytes,
    format_count,
    format_moment,
    format_seconds,
    format_usd,
    json_or_text,
    one_line,
    parse_count,
    token_counts,
    wrapped,
)
from . import subcommand
from .entries import KEY, KEY_DIGITS, LAST, OTHER, find_key, model_of, models_of, read
from .parser import Argument

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Calls that are drawn, the newest; bars thinner than a pixel say nothing.
_DRAWN = 200
#: Bars of the text form, at most this many characters long.
_TEXT_WIDTH = 40
#: Colours that the colour-blind tell apart, on white as on black.
_COLOURS = {
    "cached": "#0b7bd4",
    "fresh": "#ffb000",
    "not recorded": "#56b4e9",
    "failed": "#888888",
}
_INK = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
#: Reads on white as on black.
_GREY, _BLUE = "#7a7a7a", "#3d8fd1"
NOT_COMPARED = (
    "timeouts, retries, names, tags, callbacks, streaming, credentials, organisation, message ids, "
    "usage and metadata of earlier answers, versions"
)
_WENT = {"miss": "fresh", "error": "a failure", "bypass": "not cached: the cache was not asked"}


# --- explain ---


@subcommand(
    "explain", "why the last call, or the request of an entry, was cached, fresh or not cached", KEY
)
def explain(store: Store, ledger: Ledger, args: Namespace) -> Report:
    """Return why the last call went as it did, or what is nearest to an entry."""
    from ..seam.place import recent_request

    call = ledger.last()
    if args.key.lower() != LAST or call is None:
        record = read(store, find_key(store, ledger, args.key))
        title = f"entry {record.key.hex()[:KEY_DIGITS]} '{one_line(record.title, 60)}'"
        return _with_nearest(store, record, title, {"key": record.key.hex()})
    data = {"kind": call.kind, "key": call.key, "stored": call.stored, "reason": call.reason}
    what = f"the last call to {call.model} was"
    if call.key is None:
        why = call.reason or "the cache was not asked"
        return Report(f"{what} not cached: {why}", data=data)
    if call.kind == "hit":
        return _cached(store, call, what, data)
    key = bytes.fromhex(call.key)
    wanted = store.read(key) or recent_request(key)
    title = f"{what} {_WENT[call.kind]}"
    if wanted is None:
        title += "; its request was not kept, so that nothing can be compared with it"
        return Report(title, data=data)
    return _with_nearest(store, wanted, title, data)


def _cached(store: Store, call: Call, what: str, data: Mapping[str, Any]) -> Report:
    title = f"{what} cached: the same request was recorded {format_moment(call.recorded_at)}"
    record = store.read(bytes.fromhex(call.key or ""))
    if record is None:
        return Report(f"{title}, under another key", data=data)
    versions = list(_versions(record))
    rows = [
        ("the same", ", ".join(_compared(record))),
        ("versions", "; ".join(versions)),
        ("not compared", NOT_COMPARED),
    ]
    return Report(title, rows, data={**data, "versions": versions})


def _compared(record: Entry) -> Iterator[str]:
    """Yield what made the request the same: its fields, and its messages."""
    request, prompt = json_or_text(record.request), json_or_text(record.prompt)
    if isinstance(request, dict):
        yield from (name for name in request if name not in ("schema", "parameters"))
        yield from request.get("parameters") or ()
    yield format_count(len(prompt), "message") if isinstance(prompt, list) else "the prompt's text"


def _with_nearest(store: Store, wanted: Entry, title: str, data: Mapping[str, Any]) -> Report:
    """Return the title with what differs from the most similar entry, and that entry."""
    from ..seam.nearest import differences_line, nearest

    near = nearest(store, wanted)
    if near is None:
        return Report(f"{title}; no entry is like it", data={**data, "nearest": []})
    record, differences = near.record, near.differences
    told_of = {
        "key": record.key.hex(),
        "title": record.title,
        "differences": [asdict(difference) for difference in differences],
    }
    told = differences_line(differences)
    lines = (one_line(difference, 300) for difference in differences)
    rows = [
        ("entry", f"{record.key.hex()[:KEY_DIGITS]} '{one_line(record.title, 60)}'"),
        ("model", model_of(record.request)),
        ("recorded", format_moment(record.created_at)),
        ("differs", "; ".join(line for line in lines if line not in told)),
        ("versions", "; ".join(line for line in _versions(record) if "->" in line)),
    ]
    return Report(f"{title}; nearest: {told}", rows, (), {**data, "nearest": [told_of]})


def _versions(record: Entry) -> Iterator[str]:
    """Yield which versions recorded an entry, and which are here now: these never change a key."""
    from ..answer import recorded_versions

    try:
        recorded = recorded_versions(record.answer)
    except StoreError:
        return
    for name, then in recorded.items():
        try:
            now = metadata.version(name)
        except metadata.PackageNotFoundError:
            now = "not installed"
        yield f"{name} {then}" if now == then else f"{name} {then} -> {now}: same key"


# --- history, stats ---


@subcommand(
    "history",
    "this kernel's calls, the newest first: cell, cached or fresh, model, times, tokens, saved",
    Argument(("-n", "--number"), "only the newest N", "N", options={"type": parse_count}),
    Argument(("--plot",), "a picture of cached and fresh times and of what was saved"),
    on="nothing",
    place="notebook",
)
def history(ledger: Ledger, args: Namespace) -> Table | HistoryPlot:
    """Return this kernel's calls with their totals; or their picture."""
    calls = ledger.since(0)
    shown = calls if args.number is None else calls[-args.number :]
    if args.plot:
        return HistoryPlot(shown)
    rows = [dict(zip(_COLUMNS, _history_row(call), strict=True)) for call in reversed(shown)]
    is_priced = any(row["price_usd"] is not None for row in rows)
    columns = [name for name in _COLUMNS if is_priced or name != "price_usd"]
    told = [[row[name] for name in columns] for row in rows]
    return Table(columns, told, totals_line(ledger.counts(), calls))


_COLUMNS = (
    "cell", "call", "model", "wall_s", "provider_s", "tokens", "price_usd", "saved_s", "key",
    "remark",
)  # fmt: skip


def _history_row(call: Call) -> tuple[Any, ...]:
    counts, price = token_counts(call.usage), price_usd(call)
    return (
        call.cell,
        state_of(call),
        call.model,
        call.wall_s,
        call.provider_s,
        counts[2] if counts else None,
        None if price is None else float(price),
        call.saved_s,
        call.key[:8] if call.key else None,
        call.warning or call.reason or call.note,
    )


def totals_line(totals: Totals, calls: Sequence[Call]) -> str:
    """Return what a stretch of calls came to, on one line."""
    unrecorded = sum(state_of(call) == "not recorded" for call in calls)
    counts = {
        "cached": totals.hits,
        "fresh": totals.misses + totals.bypasses,
        "not recorded": unrecorded,
        "failed": totals.errors - unrecorded,
    }
    fresh, cached = _fresh(calls), [call for call in calls if call.kind == "hit"]
    spent, saved = _tokens_and_money(fresh), _tokens_and_money(cached)
    saved_s = [format_seconds(totals.saved_s)] if totals.saved_s else []
    parts = [
        format_count(totals.calls, "call"),
        *(f"{count:,} {what}" for what, count in counts.items() if count),
        format_seconds(totals.wall_s),
        f"spent {', '.join(spent)}" if spent else "",
        f"saved {', '.join([*saved_s, *saved])}" if saved_s or saved else "",
    ]
    return SEPARATOR.join(filter(None, parts))


def _fresh(calls: Sequence[Call]) -> list[Call]:
    return [call for call in calls if call.kind in ("miss", "bypass")]


def _tokens_and_money(calls: Sequence[Call]) -> list[str]:
    tokens = tokens_of(calls)
    told = (format_count(tokens, "token"), format_usd(total_usd(calls))) if tokens else ()
    return list(filter(None, told))


def tokens_of(calls: Sequence[Call]) -> int:
    """Return how many tokens ``calls`` used, as far as the providers told."""
    return sum(counts[2] for call in calls if (counts := token_counts(call.usage)))


@subcommand("stats", "what this kernel, and the file since it was made, cost and saved")
def stats(store: Store, ledger: Ledger, _: Namespace) -> Report:
    """Return the totals of this kernel and of the file's life."""
    calls, totals = ledger.since(0), ledger.counts()
    rows: list[tuple[str, str]] = []
    data: dict[str, Any] = {"backend": store.backend, "location": store.location}
    if store.backend != OTHER:
        life, models = store.life_totals(), models_of(store)
        entries, size_bytes = store.count(), store.size_bytes()
        rows = [
            ("holds", f"{format_count(entries, 'answer')}{SEPARATOR}{format_bytes(size_bytes)}"),
            ("models", ", ".join(models)),
            (
                "has saved",
                f"{format_seconds(life.saved_s)}{SEPARATOR}{format_count(life.hits, 'call')}",
            ),
        ]
        data |= {
            "entries": entries,
            "size_bytes": size_bytes,
            "models": models,
            "life": {"hits": life.hits, "saved_s": life.saved_s},
        }
    rows.append(("this kernel", totals_line(totals, calls) if totals.calls else ""))
    data["session"] = _session_data(totals, calls)
    return Report(f"{store.backend}{SEPARATOR}{store.location}", rows, data=data)


def _session_data(totals: Totals, calls: Sequence[Call]) -> dict[str, Any]:
    fresh, hits = _fresh(calls), [call for call in calls if call.kind == "hit"]
    spent, saved = total_usd(fresh), total_usd(hits)
    names = ("calls", "hits", "misses", "bypasses", "errors", "stored", "wall_s", "saved_s")
    return {
        **{name: getattr(totals, name) for name in names},
        "tokens_spent": tokens_of(fresh),
        "tokens_saved": tokens_of(hits),
        "spent_usd": None if spent is None else float(spent),
        "saved_usd": None if saved is None else float(saved),
    }


class HistoryPlot(Printed):
    """Bars of the calls' wall times, and a line of the time saved until then.

    A picture without a ground of its own where matplotlib is installed, else bars of characters.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = tuple(calls[-_DRAWN:])

    def __str__(self) -> str:
        longest_s = max((call.wall_s for call in self.calls), default=0.0) or 1.0
        lines = [wrapped(totals_line(Totals.of(self.calls), self.calls))]
        for call in self.calls:
            bar = "█" * max(1, round(_TEXT_WIDTH * call.wall_s / longest_s))
            lines.append(f"{state_of(call):<12} {format_seconds(call.wall_s):>9}  {bar}")
        return "\n".join(lines)

    def _repr_png_(self) -> bytes | None:
        if find_spec("matplotlib") is None:
            return None
        picture = io.BytesIO()
        self.figure().savefig(picture, format="png", dpi=110, transparent=True)
        return picture.getvalue()

    def figure(self) -> Figure:
        """Return the picture as a matplotlib Figure; needs the ``plot`` extra."""
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        ink: Any = dict.fromkeys(_INK, _GREY)
        with rc_context(ink):
            figure = Figure(figsize=(7.0, 2.8), layout="constrained")
            axes = figure.subplots()
            for state, colour in _COLOURS.items():
                bars = [(i, c.wall_s) for i, c in enumerate(self.calls, 1) if state_of(c) == state]
                if bars:
                    axes.bar(*zip(*bars, strict=True), color=colour, label=state)
            axes.set(xlabel="call", ylabel="wall time (s)")
            saved_s = list(accumulate(call.saved_s or 0.0 for call in self.calls))
            right = axes.twinx()
            right.plot(range(1, len(saved_s) + 1), saved_s, color=_BLUE, label="saved so far")
            right.set_ylabel("saved so far (s)")
            figure.legend(loc="outside upper center", ncols=5, fontsize="small", framealpha=0)
        return figure
