"""Which pixels of one view another view also sees, from the true z-buffers."""

import numpy as np
import torch
from torch import Tensor

from warpgan.cameras import project, to_camera
from warpgan.data.portraits.portrait import Portrait, camera_arrays

TOLERANCE = 0.015
"""Depth slack in world units (6 mm): covers the slope inside one sample of the source."""

_SOURCE_FACTOR = 2


def unproject(depth_z: np.ndarray, camera: Tensor | np.ndarray) -> np.ndarray:
    """World points [H, W, 3] float64 of the pixel centres of a square depth map [H, W]."""
    _, cam2world, lens = camera_arrays(camera)
    size = depth_z.shape[0]
    centre = (np.arange(size) + 0.5) / size
    y = np.broadcast_to(((centre - lens[1, 2]) / lens[1, 1])[:, None], depth_z.shape)
    x = (centre[None] - lens[0, 2] - lens[0, 1] * y) / lens[0, 0]
    local = np.stack([x, y, np.ones_like(x)], -1) * depth_z[..., None].astype(np.float64)
    return local @ cam2world[:3, :3].T + cam2world[:3, 3]


def true_visibility(
    portrait: Portrait,
    source_camera: Tensor | np.ndarray,
    target_camera: Tensor | np.ndarray,
    size: int,
    *,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Pixels of the target view whose surface (backdrop included) the source view sees.

    Args:
        portrait: the person.
        source_camera: label [25].
        target_camera: label [25].
        size: image side of both views.
        tolerance: depth slack in world units.

    Returns:
        [size, size] bool, on the target's pixels.
    """
    target = portrait.render(target_camera, size=size, supersample=1)
    raster = size * _SOURCE_FACTOR
    source = portrait.render(source_camera, size=raster, supersample=1)
    points = torch.from_numpy(unproject(target.depth_z, target_camera)).reshape(-1, 3)
    label = torch.from_numpy(source.camera).double()
    pixels = project(points, label, size=raster).numpy()
    depth = to_camera(points, label)[:, 2].numpy()
    column, row = np.floor(pixels).astype(np.int64).T
    inside = (column >= 0) & (row >= 0) & (column < raster) & (row < raster) & (depth > 0)
    nearest = source.depth_z[np.clip(row, 0, raster - 1), np.clip(column, 0, raster - 1)]
    return (inside & (depth <= nearest + tolerance)).reshape(size, size)
