"""Looking up points in three axis-aligned feature planes.

A point p becomes q = (p - box centre) * 2 / box_warp, so that the box spans [-1, 1]. Each plane
takes two of q's coordinates, first the one along the image's width, then along its height:

| convention | plane 0 | plane 1 | plane 2 |
|---|---|---|---|
| `released` | (x, y) | (x, z) | (z, x) |
| `fixed` | (x, y) | (x, z) | (z, y) |

NVIDIA's released weights need `released`, where y is seen by one plane only; models trained after
the correction need `fixed`. Outside of the box features are zero.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PLANE_AXES: dict[str, tuple[tuple[int, int], ...]] = {
    "released": ((0, 1), (0, 2), (2, 0)),
    "fixed": ((0, 1), (0, 2), (2, 1)),
}


def plane_coordinates(points: Tensor, *, plane_axes: str) -> Tensor:
    """Project box coordinates on the planes.

    Args:
        points: `[B, N, 3]` in box coordinates.
        plane_axes: ``"released"`` or ``"fixed"``.

    Returns:
        `[B, 3, N, 2]`, (width, height) coordinates in [-1, 1] inside the box.
    """
    pairs = [torch.stack([points[..., a], points[..., b]], -1) for a, b in PLANE_AXES[plane_axes]]
    return torch.stack(pairs, 1)


def to_box(points: Tensor, *, box_warp: float, box_centre: tuple[float, float, float]) -> Tensor:
    """Scale world points `[..., 3]` so that the box spans [-1, 1]."""
    if any(box_centre):
        points = points - torch.stack([points.new_full((), c) for c in box_centre])
    return points * (2.0 / box_warp)


def sample_planes(planes: Tensor, points: Tensor, *, plane_axes: str) -> Tensor:
    """Interpolate the planes at points.

    Args:
        planes: `[B, 3, C, H, W]`.
        points: `[B, N, 3]` in box coordinates.
        plane_axes: ``"released"`` or ``"fixed"``.

    Returns:
        `[B, 3, C, N]`.
    """
    batch, count, channels = planes.shape[0], points.shape[1], planes.shape[2]
    grid = plane_coordinates(points, plane_axes=plane_axes).flatten(0, 1)[:, None]
    sampled = F.grid_sample(
        planes.flatten(0, 1), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return sampled.reshape(batch, 3, channels, count)
