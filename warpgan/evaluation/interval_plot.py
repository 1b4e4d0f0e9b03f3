"""A picture of differences: one panel a metric, one line a row, with their intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from warpgan.metrics.bootstrap import Interval
from warpgan.pictures import INK, PAPER

GREY, BLUE, RED = (170, 170, 170), (31, 91, 160), (190, 60, 40)
LINE, WIDTH, LEFT, MARGIN, PANELS_A_ROW = 24, 380, 76, 16, 3


@dataclass(frozen=True)
class Mark:
    """A row of a panel.

    Attributes:
        name: at the left.
        interval: drawn as a bar with its estimate; ``None`` for the row that others are compared
            with.
        dots: single values, drawn small.
    """

    name: str
    interval: Interval | None
    dots: tuple[float, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One metric's rows on one axis."""

    title: str
    marks: Sequence[Mark]


def interval_plot(panels: Sequence[Panel], *, title: str) -> np.ndarray:
    """Draw panels side by side; intervals that exclude zero are red, others blue.

    Args:
        panels: one a metric.
        title: above all.

    Returns:
        ``[H, W, 3]`` uint8.

    Raises:
        ValueError: without panels.
    """
    if not panels:
        raise ValueError("an interval plot needs at least one panel")
    font = ImageFont.load_default(size=13)
    height = (max(len(panel.marks) for panel in panels) + 2) * LINE + MARGIN
    columns = min(PANELS_A_ROW, len(panels))
    width = max(columns * (WIDTH + MARGIN) + MARGIN, int(font.getlength(title)) + 2 * MARGIN)
    rows = math.ceil(len(panels) / columns)
    image = Image.new("RGB", (width, LINE + MARGIN + rows * height), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN // 2), title, INK, font)
    for place, panel in enumerate(panels):
        x = MARGIN + place % columns * (WIDTH + MARGIN)
        _draw_panel(draw, panel, x, LINE + MARGIN + place // columns * height, font)
    return np.asarray(image)


def _draw_panel(draw: ImageDraw.ImageDraw, panel: Panel, x: int, y: int, font) -> None:
    low, high = _range(panel.marks)
    first, last = x + LEFT, x + WIDTH - MARGIN

    def at(value: float) -> float:
        return first + (value - low) / (high - low) * (last - first)

    draw.text((x, y), panel.title, INK, font)
    bottom = y + (len(panel.marks) + 1) * LINE
    draw.line([at(0), y + LINE, at(0), bottom], GREY)
    draw.line([first, bottom, last, bottom], GREY)
    for value in (low, 0.0, high):
        text = f"{value:+.2g}" if value else "0"
        if value == 0 and min(at(0) - first, last - at(0)) < LINE * 1.5:
            continue
        draw.text((at(value) - font.getlength(text) / 2, bottom + 2), text, INK, font)
    for line, mark in enumerate(panel.marks):
        middle = y + (line + 1.5) * LINE
        draw.text((x, middle - LINE / 3), mark.name, INK, font)
        for dot in mark.dots:
            _disc(draw, at(dot), middle, 3, GREY)
        if mark.interval is not None:
            colour = RED if mark.interval.excludes_zero else BLUE
            draw.line([at(mark.interval.low), middle, at(mark.interval.high), middle], colour, 2)
            _disc(draw, at(mark.interval.estimate), middle, 4, colour)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: int, colour: tuple) -> None:
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _range(marks: Sequence[Mark]) -> tuple[float, float]:
    """An axis that shows every mark and zero."""
    shown = [0.0, *(dot for mark in marks for dot in mark.dots)]
    for mark in marks:
        if mark.interval is not None:
            shown += [mark.interval.low, mark.interval.high]
    low, high = min(shown), max(shown)
    room = 0.08 * (high - low) or 1.0
    return low - room, high + room
