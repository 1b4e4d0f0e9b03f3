"""A page's studio in the tiny random world, with a reader of faces that needs no networks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tests.warpgan.evaluation_world import SIZE
from tests.warpgan.synthesis_world import build_pipeline
from warpgan.cameras import look_at
from warpgan.demonstration.examples import Example
from warpgan.demonstration.sources import Source
from warpgan.demonstration.studio import Studio


@dataclass(frozen=True)
class FakeFace:
    box: tuple[float, float, float, float]
    points: np.ndarray


@dataclass(frozen=True)
class FakePrepared:
    crop: np.ndarray
    to_crop: np.ndarray
    camera: torch.Tensor
    points: np.ndarray
    confidence: float = 0.8
    outside: float = 0.0


class FakeReader:
    """Two faces in every photo that is not black: its left and its right half."""

    def detect(self, photo):
        if photo.max() == 0:
            return []
        height, width = photo.shape[:2]
        half = width / 2
        points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
        return [
            FakeFace((x, 0.0, x + half - 1, height - 1.0), points * (half, height) + (x, 0))
            for x in (0.0, half)
        ]

    def read(self, photo, face, *, size):
        left, _, right, _ = map(int, face.box)
        scale = size / (right + 1 - left)
        to_crop = np.array([[scale, 0, (0.5 - left) * scale], [0, scale, 0.5 * scale]])
        rows = np.minimum(np.arange(size) / scale, photo.shape[0] - 1).astype(int)
        columns = left + np.minimum(np.arange(size) / scale, right - left).astype(int)
        crop = photo[rows][:, columns]
        points = face.points @ to_crop[:, :2].T + to_crop[:, 2]
        return FakePrepared(crop, to_crop, look_at(3.0, -2.0)[0], points)


def smooth_picture(side: int, seed: int) -> np.ndarray:
    """[side, side, 3] uint8, without an edge."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(20, 235, (1, 3, 4, 4)))
    picture = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return picture[0].clamp(0, 255).permute(1, 2, 0).byte().numpy()


def square_source(seed: int, *, yaw: float = 8.0, side: int = SIZE) -> Source:
    """A picture that is its own crop."""
    picture = smooth_picture(side, seed)
    to_crop = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
    camera = look_at(yaw, 2.0)[0]
    return Source(f"example {seed + 1}", picture, picture, to_crop, camera, true_camera=True)


def build_studio(parent: Path, **options) -> Studio:
    examples = tuple(Example(f"Example {i + 1}", square_source(i)) for i in range(2))
    return Studio(
        build_pipeline(), examples=examples, make_reader=FakeReader, parent=parent, **options
    )
