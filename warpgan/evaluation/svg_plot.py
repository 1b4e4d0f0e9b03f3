"""Plots as inline SVG: differences with intervals, and metrics against yaw.

An SVG is drawn at the width of a phone, so its text is never scaled down. Colours are told apart by
the colour-blind; shape and dash say the same once more, and each line is labelled where it ends.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from warpgan.evaluation.number_text import signed_interval
from warpgan.metrics.bootstrap import Interval

WIDTH, LINE = 340, 19
BETTER, WORSE, EITHER = "#0072b2", "#b34a00", "#6b6b6b"
LINE_COLOURS = ("#0072b2", "#d55e00", "#00795a", "#a8417f", "#2a2a2a", "#8a6d00", "#4f9fd0")
SHAPES = ("circle", "square", "up", "diamond", "down")
DASHES = ("", "6 3", "2 3")
_LABEL = 14


@dataclass(frozen=True)
class Bar:
    """One method of a difference panel; ``None`` where there is no number."""

    name: str
    interval: Interval | None


@dataclass(frozen=True)
class Curve:
    """One method of a curve panel.

    Attributes:
        name: at the end of the line.
        style: number of its colour, shape and dash; the same in all panels.
        points: x and interval, by rising x.
        strong: drawn thicker.
    """

    name: str
    style: int
    points: tuple[tuple[float, Interval], ...]
    strong: bool = False


def difference_svg(
    title: str, bars: Sequence[Bar], *, better: str | None, scale: float = 1.0
) -> str:
    """Differences with their intervals, a line each, and the numbers beside them.

    Args:
        title: read aloud in place of the picture.
        bars: one a method.
        better: ``lower`` or ``higher``; colours what is better and what is worse.
        scale: what numbers are multiplied with.
    """
    left, right, top = 8, WIDTH - 8, 8
    shown = [bar.interval for bar in bars if bar.interval is not None]
    low, high = _range([0.0, *(x for one in shown for x in (one.low, one.high))])
    axis = _Axis(low, high, left + 6, right - 6)
    bottom = top + 2 * LINE * len(bars)
    zero, body = axis.at(0.0), []
    for place, bar in enumerate(bars):
        text, middle = top + 2 * LINE * place + 13, top + 2 * LINE * place + 27
        if place:
            body.append(_line(left, text - 14, right, text - 14, stroke="#e4e4e4"))
        body.append(_text(left, text, _short(bar.name, 22), full=bar.name))
        body.append(_line(zero, middle - 8, zero, middle + 8, stroke="#777", dash="2 2"))
        if bar.interval is None:
            body.append(_text(right, text, "no row", anchor="end"))
            continue
        colour = _verdict(bar.interval, better)
        numbers = signed_interval(bar.interval, scale=scale)
        body.append(_text(right, text, numbers, anchor="end", size=11))
        ends = axis.at(bar.interval.low), axis.at(bar.interval.high)
        body.append(_line(ends[0], middle, ends[1], middle, stroke=colour, width=3))
        shape = "square" if colour == WORSE else "circle"
        hollow = colour == EITHER
        body.append(_shape(axis.at(bar.interval.estimate), middle, shape, colour, hollow=hollow))
    body.append(_line(left, bottom, right, bottom, stroke="#777"))
    for value in axis.ticks():
        x = axis.at(value)
        body.append(_line(x, bottom, x, bottom + 4, stroke="#777"))
        body.append(_text(x, bottom + 16, _tick(value * scale), anchor="middle", size=11))
    return _svg(title, bottom + 22, body)


def curve_svg(title: str, curves: Sequence[Curve], *, x_name: str, scale: float = 1.0) -> str:
    """Lines with interval bars against yaw.

    Args:
        title: read aloud in place of the picture.
        curves: one a method, each with a point or more.
        x_name: below the axis.
        scale: what numbers are multiplied with.
    """
    left, right, top = 44, WIDTH - 128, 10
    bottom = top + max(170, _LABEL * len(curves) + 8)
    points = [point for curve in curves for point in curve.points]
    low, high = _range([x for _, one in points for x in (one.low, one.high)])
    xs = sorted({x for x, _ in points})
    room = max(0.06 * (xs[-1] - xs[0]), 1.0)
    across = _Axis(xs[0] - room, xs[-1] + room, left, right)
    up = _Axis(low, high, bottom, top)
    body = []
    for value in up.ticks():
        y = up.at(value)
        body.append(_line(left, y, right, y, stroke="#e4e4e4"))
        body.append(_text(left - 5, y + 4, _tick(value * scale), anchor="end", size=11))
    body.append(_line(left, bottom, right, bottom, stroke="#777"))
    for value in xs:
        x = across.at(value)
        body.append(_line(x, bottom, x, bottom + 4, stroke="#777"))
        degrees = f"{value:+.0f}" if xs[0] < 0 else f"{value:.0f}"
        body.append(_text(x, bottom + 16, degrees, anchor="middle", size=11))
    body.append(_text((left + right) / 2, bottom + 31, x_name, anchor="middle", size=11))
    ends = []
    for place, curve in enumerate(curves):
        # Beside each other, so that bars at one yaw do not cover each other.
        shift = 1.6 * (place - (len(curves) - 1) / 2)
        body += _curve(curve, across, up, shift)
        ends.append(up.at(curve.points[-1][1].estimate))
    for curve, end, y in zip(curves, ends, _apart(ends, top + 4, bottom - 2), strict=True):
        colour = LINE_COLOURS[curve.style % len(LINE_COLOURS)]
        body.append(_line(right + 2, end, right + 12, y, stroke=colour))
        body.append(_shape(right + 16, y, SHAPES[curve.style % len(SHAPES)], colour))
        weight = "bold" if curve.strong else "normal"
        name = _short(curve.name, 17)
        body.append(_text(right + 23, y + 4, name, size=11, full=curve.name, weight=weight))
    return _svg(title, bottom + 38, body)


def _curve(curve: Curve, across: "_Axis", up: "_Axis", shift: float) -> list[str]:
    colour = LINE_COLOURS[curve.style % len(LINE_COLOURS)]
    dash = DASHES[curve.style // len(LINE_COLOURS) % len(DASHES)]
    drawn, path = [], []
    for x, interval in curve.points:
        here, middle = across.at(x) + shift, up.at(interval.estimate)
        low, high = up.at(interval.low), up.at(interval.high)
        drawn.append(_line(here, low, here, high, stroke=colour, width=1.2))
        drawn.append(_shape(here, middle, SHAPES[curve.style % len(SHAPES)], colour))
        path.append(f"{here:.1f},{middle:.1f}")
    width = 2.6 if curve.strong else 1.4
    line = f'<polyline points="{" ".join(path)}" fill="none" stroke="{colour}"'
    return [f'{line} stroke-width="{width}" stroke-dasharray="{dash}"/>', *drawn]


class _Axis:
    """From values to pixels."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self.low, self.high = low, high
        self._first, self._last = first, last

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self._first + share * (self._last - self._first)

    def ticks(self) -> list[float]:
        """Round values, three to six."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * min((1, 2, 5, 10), key=lambda size: abs(size - rough / power))
        first = math.ceil(self.low / step)
        return [n * step for n in range(first, math.floor(self.high / step) + 1)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    return low - room, high + room


def _apart(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """The nearest heights that leave a label's room between each two, in the same order."""
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    found = [0.0] * len(wanted)
    last = top - _LABEL
    for place in order:
        last = found[place] = max(wanted[place], last + _LABEL)
    limit = bottom
    for place in reversed(order):
        found[place] = min(found[place], limit)
        limit = found[place] - _LABEL
    return found


def _verdict(interval: Interval, better: str | None) -> str:
    if not interval.excludes_zero or better is None:
        return EITHER
    return BETTER if (interval.estimate > 0) == (better == "higher") else WORSE


def _tick(value: float) -> str:
    return f"{value:.4g}"


def _short(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _line(
    x1: float, y1: float, x2: float, y2: float, *, stroke: str, width: float = 1, dash: str = ""
) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line {ends} stroke="{stroke}" stroke-width="{width}"{dashes}/>'


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: int = 12,
    weight: str = "normal",
    full: str = "",
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    style = f'font-size="{size}" font-weight="{weight}"'
    title = f"<title>{escape(full)}</title>" if full and full != words else ""
    return f"<text {place} {style}>{title}{escape(words)}</text>"


def _shape(x: float, y: float, shape: str, colour: str, *, hollow: bool = False) -> str:
    fill = "#fff" if hollow else colour
    style = f'fill="{fill}" stroke="{colour}" stroke-width="1.5"'
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" {style}/>'
    corners = {
        "square": ((-3.2, -3.2), (3.2, -3.2), (3.2, 3.2), (-3.2, 3.2)),
        "up": ((0, -4.2), (4, 3), (-4, 3)),
        "down": ((0, 4.2), (4, -3), (-4, -3)),
        "diamond": ((0, -4.4), (4.4, 0), (0, 4.4), (-4.4, 0)),
    }[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" {style}/>'


def _svg(title: str, height: float, body: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
    return "\n".join([head, *body, "</svg>"])
