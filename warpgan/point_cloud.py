"""A photo's pixels as coloured points in the world, and binary PLY files of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from eg3d import ray_directions
from warpgan.pictures import to_uint8

LARGEST_STEP = 0.03
"""Scene units between neighbouring pixels' distances; more is the edge of a surface, whose pixels
float between front and back and are left out."""


@dataclass(frozen=True)
class PointCloud:
    """Points and their colours.

    Attributes:
        positions: ``[N, 3]`` float32 world coordinates.
        colours: ``[N, 3]`` uint8.
    """

    positions: np.ndarray
    colours: np.ndarray


def unproject_photo(photo: Tensor, ray_length: Tensor, camera: Tensor) -> PointCloud:
    """One point for each pixel of a photo.

    Args:
        photo: ``[3, S, S]`` in [-1, 1].
        ray_length: ``[1, R, R]``, enlarged (bicubic) to the photo.
        camera: label ``[25]``.

    Returns:
        The points of all pixels on surfaces: not those of depth edges, nor without depth.
    """
    side = photo.shape[-1]
    length = ray_length
    if length.shape[-1] != side:
        length = F.interpolate(length[None], (side, side), mode="bicubic")[0]
    origins, directions = ray_directions(camera[None], side)
    positions = origins[0] + directions[0] * length.reshape(-1, 1)
    smooth = length.isfinite()[0]
    for axis in (0, 1):
        step = length[0].diff(dim=axis).abs() <= LARGEST_STEP
        before = F.pad(step[None], (0, 1) if axis else (0, 0, 0, 1), value=True)[0]
        after = F.pad(step[None], (1, 0) if axis else (0, 0, 1, 0), value=True)[0]
        smooth = smooth & before & after
    keep = smooth.flatten().cpu().numpy()
    return PointCloud(
        positions=positions.float().cpu().numpy()[keep],
        colours=to_uint8(photo).reshape(-1, 3)[keep],
    )


def joined_clouds(clouds: Sequence[PointCloud]) -> PointCloud:
    """The points of one or more clouds, in order."""
    return PointCloud(
        positions=np.concatenate([cloud.positions for cloud in clouds]),
        colours=np.concatenate([cloud.colours for cloud in clouds]),
    )


def write_points(path: str | Path, cloud: PointCloud) -> Path:
    """Write binary PLY, aside first and then renamed.

    Args:
        path: ends in ``.ply``; the folder is made if missing.
        cloud: the points.

    Raises:
        ValueError: another suffix.
    """
    path = Path(path)
    if path.suffix.lower() != ".ply":
        raise ValueError(f"{path}: expected a name ending in .ply")
    vertices = np.empty(len(cloud.positions), dtype=[("position", "<f4", 3), ("colour", "u1", 3)])
    vertices["position"] = cloud.positions
    vertices["colour"] = cloud.colours
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property float {name}" for name in "xyz"),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
        "end_header\n",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    aside.write_bytes("\n".join(header).encode("ascii") + vertices.tobytes())
    aside.replace(path)
    return path
