"""The fan-out as a picture: a bar for each server on a scale of powers of ten, as SVG."""

import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from benchmarks import fanout
from benchmarks.effort import FULL
from benchmarks.measurement import Results
from benchmarks.tables import figure

__all__ = ["plot"]

_WIDTH = 760
_LEFT = 150
_RIGHT = 90
_BAR = 22
_GAP = 8
_TITLE = 34
_COLOURS = {"Device Status": "#1f7a4d", "send(2)": "#8a8f98"}
_OTHER = "#4a6fa5"


def plot(results: Results) -> str:
    """The SVG, or nothing where the fan-out was not measured at the first size."""
    few = FULL.crowds[0]
    groups = [
        (title, bars)
        for title in (fanout.SINGLE_EVENTS, fanout.EVENTS_IN_ROUNDS)
        if (bars := _bars(results, fanout.case(title, few)))
    ]
    if not groups:
        return ""
    highest = max(value for _, bars in groups for _, value in bars)
    lowest = min(value for _, bars in groups for _, value in bars)
    low, high = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    y, parts = 0, []
    for title, bars in groups:
        y += _TITLE
        parts.append(_text(0, y - 10, f"{title}, {few:,} subscribers: deliveries a second", weight="bold"))
        for server, value in bars:
            parts += _bar(y, server, value, low, max(high, low + 1))
            y += _BAR + _GAP
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + _GAP}" font-family="sans-serif"'
        f' font-size="14" role="img" aria-label="Deliveries a second, on a logarithmic scale">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _bars(results: Results, case: str) -> list[tuple[str, float]]:
    return [(one.server, one.value) for one in results.measurements if one.benchmark == "fanout" and one.case == case]


def _bar(y: int, server: str, value: float, low: int, high: int) -> Iterator[str]:
    length = (_WIDTH - _LEFT - _RIGHT) * (math.log10(value) - low) / (high - low)
    yield _text(_LEFT - 8, y + 16, server, anchor="end")
    yield (
        f'<rect x="{_LEFT}" y="{y}" width="{max(length, 1):.1f}" height="{_BAR}"'
        f' fill="{_COLOURS.get(server, _OTHER)}"/>'
    )
    yield _text(round(_LEFT + length + 6), y + 16, figure(value))


def _text(x: int, y: int, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" fill="#1b1f24">{escape(text)}</text>'
