"""Example photos with true cameras: held-out people of the embedded world, drawn at the start."""

from dataclasses import dataclass

import numpy as np
import torch

from warpgan.cameras import look_at
from warpgan.data.portraits.portrait import Portrait
from warpgan.data.portraits.splits import person_seed
from warpgan.demonstration.sources import Source

SPLIT, SEED = "celebahq", 1
PEOPLE = ((0, -8.0, 2.0), (1, 22.0, 0.0), (2, 4.0, -4.0), (3, -28.0, 5.0), (4, 12.0, 6.0))
"""Index in the split, and the yaw and pitch in degrees that the photo is taken from."""
SUPERSAMPLE = 2


@dataclass(frozen=True)
class Example:
    """One example.

    Attributes:
        name: for people.
        source: the picture is the crop, its camera is true.
    """

    name: str
    source: Source


def make_examples(size: int) -> tuple[Example, ...]:
    """Draw the examples.

    Args:
        size: side of the pictures in pixels, the generator's.
    """
    return tuple(
        _example(number, person, yaw, pitch, size)
        for number, (person, yaw, pitch) in enumerate(PEOPLE, start=1)
    )


def _example(number: int, person: int, yaw: float, pitch: float, size: int) -> Example:
    portrait = Portrait.sample(person_seed(SPLIT, SEED, person))
    camera = look_at(yaw, pitch)
    image = portrait.render(camera[0], size=size, supersample=SUPERSAMPLE).image
    source = Source(
        title=f"example {number}, a rendered portrait",
        photo=image,
        crop=image,
        # the picture is the crop: a pixel's index and the middle of its square
        to_crop=np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]]),
        camera=camera[0].to(torch.float32),
        true_camera=True,
    )
    return Example(f"Example {number}", source)
