"""The face mesh's 468 points on a mean head, in EG3D's world frame.

Made by ``python scripts/make_dense_head.py``: the face mesh net looks at people of the embedded
world (split train) from known cameras, each of its points is triangulated over a person's views,
and people are averaged. With it come the first directions in which people differ, and how uncertain
each point is. Where the net's points lie on a face at all is thereby measured, not assumed.

Two builds of head:

* ``portraits``: as measured. The generator of preset=mini lives in this world.
* ``eg3d``: bent so that eyes, nose and mouth corners fall on `warpgan.cameras.CANONICAL_POINTS`,
  which are those of EG3D's mean face. The heads of the embedded world have a mouth 13 % wider and
  a face 9 % shorter between eyes and mouth.
"""

from functools import cache

import numpy as np

from warpgan import weights
from warpgan.cameras import CANONICAL_POINTS
from warpgan.described_weights import FileKind, load_described
from warpgan.perception.face_mesh import POINTS, five_of
from warpgan.preparation.label_fit import PointModel

HEADS = ("portraits", "eg3d")
CORRELATED = 10.0
"""Sigmas are multiplied by this: neighbouring points are wrong together, so that 468 of them say no
more than about five. With the bare sigmas the shape bends to follow a nod of the head (pitch off by
2.9 degrees in the median rather than 1.8, on 13 people of the training split)."""
KIND = FileKind(format="warpgan-dense-head", version=1, noun="a dense head")


@cache
def dense_head(heads: str = "portraits", *, modes: int | None = None) -> PointModel:
    """The shipped head.

    Args:
        heads: One of `HEADS`.
        modes: Keep only so many directions of shape; default all.

    Raises:
        FileNotFoundError: The asset is absent.
        ValueError: An unknown build, or a damaged asset.
    """
    if heads not in HEADS:
        raise ValueError(f"heads {heads!r} is unknown; choose one of {', '.join(HEADS)}")
    path = weights.resolve("dense_head")
    _, stored = load_described(path, kind=KIND)
    shapes = {name: tuple(value.shape) for name, value in stored.items()}
    count = shapes.get("modes", (0,))[0]
    expected = {"mean": (POINTS, 3), "modes": (count, POINTS, 3), "sigma": (POINTS,)}
    if shapes != expected:
        raise ValueError(f"{path}: holds {shapes}; expected {expected}")
    mean, directions, sigma = (stored[name].double().numpy() for name in expected)
    directions = directions[:modes]
    if heads == "eg3d":
        bent = bend_to_canonical(mean, five_of(mean))
        # a direction of shape is bent as the head is, to first order
        tips = [bend_to_canonical(mean + mode, five_of(mean)) - bent for mode in directions]
        mean, directions = bent, np.array(tips).reshape(directions.shape)
    return PointModel(mean, directions, sigma * CORRELATED)


def bend_to_canonical(points: np.ndarray, five: np.ndarray) -> np.ndarray:
    """Carry points [M, 3] along with the map that brings ``five`` [5, 3] to EG3D's five.

    Smooth and symmetric: x grows or shrinks with height, y is scaled and shifted, z is sheared
    along y, scaled and shifted; least squares over the five.
    """
    wanted = CANONICAL_POINTS.double().numpy()
    x, y, z = np.asarray(points, np.float64).T
    five_x, five_y, five_z = np.asarray(five, np.float64).T

    def fitted(design: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.linalg.lstsq(design, target, rcond=None)[0]

    ones, many = np.ones(5), np.ones(len(x))
    by_x = fitted(np.stack([five_x, five_x * five_y], 1), wanted[:, 0])
    by_y = fitted(np.stack([five_y, ones], 1), wanted[:, 1])
    by_z = fitted(np.stack([five_z, five_y, ones], 1), wanted[:, 2])
    return np.stack(
        [
            np.stack([x, x * y], 1) @ by_x,
            np.stack([y, many], 1) @ by_y,
            np.stack([z, y, many], 1) @ by_z,
        ],
        axis=1,
    )
