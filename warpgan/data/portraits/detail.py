"""What a latent cannot say: marks on one side, freckles, patterns, the exact glasses.

All of it comes from `detail_seed`; without one a portrait is clean (plain cloth and backdrop,
standard glasses where its latent wears any).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from warpgan.data.portraits.head import body_vertices, head_asset

Colour = tuple[float, float, float]


class Pattern(NamedTuple):
    """A pattern of cloth or backdrop; kind 0 none, 1 stripes, 2 checks, 3 dots or clouds."""

    kind: int
    scale: float
    turn: float
    amount: float
    colour: Colour


class Freckles(NamedTuple):
    """Freckles over nose and cheeks."""

    amount: float
    shift: float


@dataclass(frozen=True)
class GlassesStyle:
    """Frames and lenses; lengths in world units.

    Attributes:
        half_width, half_height: of one lens.
        roundness: exponent of the outline, 2 an ellipse, 5 nearly a box.
        wire: radius of the rim.
        colour: of the frame.
        tint: 0 clear .. 1 sun glasses.
    """

    half_width: float = 0.053
    half_height: float = 0.038
    roundness: float = 2.8
    wire: float = 0.0042
    colour: Colour = (0.07, 0.06, 0.06)
    tint: float = 0.0


@dataclass(frozen=True)
class Detail:
    """Everything a detail seed decides.

    Attributes:
        marks: [M, 8] float64: rest position, radius, colour, strength.
        tags: names of the details present, for `portraits.json`.
    """

    marks: np.ndarray
    freckles: Freckles
    cloth: Pattern
    backdrop: Pattern
    glasses: GlassesStyle
    tags: tuple[str, ...]


NO_PATTERN = Pattern(0, 1.0, 0.0, 0.0, (0.0, 0.0, 0.0))
CLEAN = Detail(np.zeros((0, 8)), Freckles(0.0, 0.0), NO_PATTERN, NO_PATTERN, GlassesStyle(), ())


def _rgb(values: np.ndarray) -> Colour:
    return tuple(float(v) for v in np.clip(values, 0.0, 1.0))


def _vivid(rng: np.random.Generator) -> Colour:
    """A saturated colour."""
    colour = rng.uniform(0.1, 0.9, 3)
    return _rgb(0.45 + (colour - colour.mean()) * 1.2 + (colour.mean() - 0.5) * 0.5)


def _pattern(rng: np.random.Generator, low: float, high: float) -> Pattern:
    kind = int(rng.integers(1, 4))
    scale, turn = rng.uniform(low, high), rng.uniform(0.0, 3.1)
    grey = rng.uniform(0.15, 0.85)
    colour = _rgb(grey + 0.6 * (rng.uniform(0.08, 0.92, 3) - 0.5))
    return Pattern(kind, scale, turn, rng.uniform(0.35, 0.85), colour)


def _marks(rng: np.random.Generator, skin: Colour, tags: list[str]) -> np.ndarray:
    mean = head_asset().mean
    face = body_vertices() & (mean[:, 2] > 0.09) & (mean[:, 1] > -0.17) & (mean[:, 1] < 0.20)
    places = mean[face]
    tone = np.asarray(skin)
    rows = []
    for _ in range(rng.integers(1, 6)):
        place = places[rng.integers(len(places))]
        colour = tone * (0.45, 0.35, 0.32)
        rows.append([*place, rng.uniform(0.005, 0.010), *colour, 0.9])
    kind = rng.random()
    if kind < 0.45:
        painted = kind < 0.22
        place = places[rng.integers(len(places))] * (1.0, 0.8, 1.0)
        along = rng.normal(size=3) * (1.0, 1.0, 0.15)
        along /= np.linalg.norm(along)
        colour = np.asarray(_vivid(rng)) if painted else tone * (1.10, 0.76, 0.72)
        radius = 0.009 if painted else 0.006
        for k in range(10):
            rows.append([*(place + along * radius * k), radius, *np.clip(colour, 0, 1), 0.85])
        tags.append("paint" if painted else "scar")
    return np.array(rows)


def draw_detail(seed: int, skin: Colour) -> Detail:
    """Details of a seed on a given skin colour."""
    rng = np.random.default_rng([seed, 7919])
    tags = ["moles"]
    marks = _marks(rng, skin, tags)
    freckles = Freckles(0.0, 0.0)
    if rng.random() < 0.35:
        freckles = Freckles(rng.uniform(0.5, 1.0), rng.uniform())
        tags.append("freckles")
    cloth = backdrop = NO_PATTERN
    if rng.random() < 0.5:
        cloth = _pattern(rng, 70.0, 160.0)
        tags.append("cloth pattern")
    if rng.random() < 0.5:
        backdrop = _pattern(rng, 16.0, 44.0)
        tags.append("backdrop pattern")
    dark = rng.random() < 0.6
    glasses = GlassesStyle(
        half_width=rng.uniform(0.048, 0.058),
        half_height=rng.uniform(0.033, 0.045),
        roundness=rng.uniform(2.0, 4.5),
        wire=rng.uniform(0.0032, 0.0055),
        colour=_rgb(rng.uniform(0.03, 0.12, 3)) if dark else _vivid(rng),
        tint=1.0 if rng.random() < 0.2 else 0.0,
    )
    return Detail(marks, freckles, cloth, backdrop, glasses, tuple(tags))
