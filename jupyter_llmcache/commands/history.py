"""The picture of a history: how long each call took, fresh or cached, and what was saved."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from html import escape
from importlib.util import find_spec
from itertools import accumulate
from typing import TYPE_CHECKING

from ..ledger import Call
from ..text import Printed, format_count, format_seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _MARGIN = 640, 240, 40
#: Calls that are drawn, the newest; bars thinner than a pixel say nothing.
_DRAWN = 200
#: Bars of the text form, at most this many characters long.
_TEXT_WIDTH = 40
_NAMES = {"hit": "cached", "miss": "fresh", "bypass": "past the cache", "error": "failed"}
#: Colours that the colour-blind tell apart; each kind also has a name in the legend.
_COLOURS = {"hit": "#009e73", "miss": "#d55e00", "bypass": "#56b4e9", "error": "#777777"}


class HistoryPlot(Printed):
    """Bars of the calls' wall times, and a line of the time saved until then.

    A PNG where matplotlib is installed, else an SVG; bars of characters in a terminal.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = tuple(calls[-_DRAWN:])
        self._saved_s = list(accumulate(call.saved_s or 0.0 for call in self.calls))
        self._longest_s = max((call.wall_s for call in self.calls), default=0.0) or 1.0

    @property
    def label(self) -> str:
        """What the picture shows, for who cannot see it."""
        kinds = [call.kind for call in self.calls]
        counts = [f"{kinds.count(kind)} {name}" for kind, name in _NAMES.items() if kind in kinds]
        saved = format_seconds(self._saved_s[-1] if self._saved_s else 0.0)
        return f"{format_count(len(kinds), 'call')}: {', '.join(counts)}; saved {saved}"

    def __str__(self) -> str:
        return "\n".join([self.label, *self._text_bars()])

    def _text_bars(self) -> Iterator[str]:
        for call in self.calls:
            bar = "█" * max(1, round(_TEXT_WIDTH * call.wall_s / self._longest_s))
            yield f"{_NAMES[call.kind]:<14} {format_seconds(call.wall_s):>9}  {bar}"

    def _repr_png_(self) -> bytes | None:
        if find_spec("matplotlib") is None:
            return None
        picture = io.BytesIO()
        self.figure().savefig(picture, format="png", dpi=110)
        return picture.getvalue()

    def figure(self) -> Figure:
        """Return the picture as a matplotlib Figure.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.0, 2.8), layout="constrained")
        axes = figure.subplots()
        for kind, name in _NAMES.items():
            bars = [(i, c.wall_s) for i, c in enumerate(self.calls, 1) if c.kind == kind]
            if bars:
                places, heights = zip(*bars, strict=True)
                axes.bar(places, heights, color=_COLOURS[kind], label=name)
        axes.set(xlabel="call", ylabel="wall time (s)")
        saved = axes.twinx()
        saved.plot(
            range(1, len(self.calls) + 1), self._saved_s, color="#0072b2", label="saved so far"
        )
        saved.set_ylabel("saved so far (s)")
        figure.legend(loc="outside upper center", ncols=5, fontsize="small")
        return figure

    def _repr_svg_(self) -> str | None:
        if find_spec("matplotlib") is not None:
            return None
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{_WIDTH}" '
            f'height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
            f'font-size="11"><title>{escape(self.label)}</title>'
            f"{''.join(self._svg_parts())}</svg>"
        )

    def _svg_parts(self) -> Iterator[str]:
        bottom, step = _HEIGHT - _MARGIN, (_WIDTH - 2 * _MARGIN) / max(1, len(self.calls))
        room = bottom - _MARGIN
        for place, call in enumerate(self.calls):
            height = max(1.0, room * call.wall_s / self._longest_s)
            yield (
                f'<rect x="{_MARGIN + place * step:.1f}" y="{bottom - height:.1f}" '
                f'width="{max(0.5, 0.8 * step):.1f}" height="{height:.1f}" '
                f'fill="{_COLOURS[call.kind]}"><title>{_NAMES[call.kind]}, '
                f"{format_seconds(call.wall_s)}</title></rect>"
            )
        most = max(self._saved_s, default=0.0) or 1.0
        points = " ".join(
            f"{_MARGIN + (place + 0.4) * step:.1f},{bottom - room * saved / most:.1f}"
            for place, saved in enumerate(self._saved_s)
        )
        yield f'<polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="2"/>'
        yield from self._svg_legend()

    def _svg_legend(self) -> Iterator[str]:
        drawn = [kind for kind in _NAMES if any(call.kind == kind for call in self.calls)]
        names = [(_COLOURS[kind], _NAMES[kind]) for kind in drawn]
        names.append(
            ("#0072b2", f"saved, {format_seconds(self._saved_s[-1] if self.calls else 0)}")
        )
        for place, (colour, name) in enumerate(names):
            left = _MARGIN + 120 * place
            yield f'<rect x="{left}" y="8" width="10" height="10" fill="{colour}"/>'
            yield f'<text x="{left + 15}" y="17" fill="currentColor">{escape(name)}</text>'
        longest = format_seconds(self._longest_s)
        yield f'<text x="4" y="{_MARGIN - 6}" fill="currentColor">{escape(longest)}</text>'
        middle, bottom = _WIDTH // 2, _HEIGHT - 12
        yield f'<text x="{middle}" y="{bottom}" fill="currentColor">calls, oldest first</text>'
