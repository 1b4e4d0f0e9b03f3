"""Depth, and where a pixel of one view lies in another.

``ray_length`` is what EG3D renders: the Euclidean distance along a pixel's ray. ``depth_z`` is the
distance along the camera's z axis, which pin-hole geometry needs. At EG3D's focal length they
differ by 0.7 % at the middle of an edge and 1.4 % in a corner: pixels of error after a turn.

Pixel positions are indices: pixel i of N has position i. Its place in the image plane, in parts of
the width, is ``(i + .5) / N`` on the ``"centre"`` grid, which is right, and ``i / N`` on the
``"integer"`` grid, which the released code uses.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from warpgan.cameras import split_label

PixelGrid = Literal["centre", "integer"]
GRID_OFFSETS = {"centre": 0.5, "integer": 0.0}


@dataclass(frozen=True)
class Reprojected:
    """Where the pixels of a source view lie in a target view.

    Attributes:
        position: ``[B, 2, H, W]``, column and row as index positions in the target; meaningless
            where the point is not in front of the target camera.
        depth_z: ``[B, 1, H, W]`` in the target view, not positive behind its camera.
    """

    position: Tensor
    depth_z: Tensor


def ray_stretch(
    camera: Tensor, height: int, width: int, *, pixel_grid: PixelGrid = "centre"
) -> Tensor:
    """Ray length of a pixel divided by its ``depth_z``: ``sqrt(1 + x^2 + y^2)``.

    Args:
        camera: labels ``[..., 25]``.
        height: rows of the image.
        width: columns of the image.
        pixel_grid: where a pixel's ray passes, see the module.

    Returns:
        ``[..., 1, height, width]``, at least 1.
    """
    _, intrinsics = split_label(camera)
    fx, skew, cx = (intrinsics[..., 0, i, None, None] for i in range(3))
    fy, cy = (intrinsics[..., 1, i, None, None] for i in (1, 2))
    u, v = _plane_coordinates(camera, height, width, pixel_grid)
    y = (v[:, None] - cy) / fy
    x = (u[None, :] - cx - skew * y) / fx
    return (1 + x.square() + y.square()).sqrt().unsqueeze(-3)


def depth_z_from_ray_length(
    ray_length: Tensor, camera: Tensor, *, pixel_grid: PixelGrid = "centre"
) -> Tensor:
    """Turn ray length into ``depth_z``.

    Args:
        ray_length: ``[..., 1, H, W]``.
        camera: labels ``[..., 25]`` of the same leading axes.
        pixel_grid: where a pixel's ray passes, see the module.

    Returns:
        ``[..., 1, H, W]``.
    """
    return ray_length / ray_stretch(camera, *ray_length.shape[-2:], pixel_grid=pixel_grid)


def ray_length_from_depth_z(depth_z: Tensor, camera: Tensor) -> Tensor:
    """Inverse of ``depth_z_from_ray_length``, the same shapes."""
    return depth_z * ray_stretch(camera, *depth_z.shape[-2:])


def enlarge_ray_length(ray_length: Tensor, height: int, width: int) -> Tensor:
    """Resize ray length ``[B, 1, R, R']`` to ``[B, 1, height, width]``, bicubically.

    Ray length, not ``depth_z``, is interpolated, as the released code does. A map of the right size
    is returned as it is; otherwise what is not finite spreads to the pixels interpolated from it.
    """
    if tuple(ray_length.shape[-2:]) == (height, width):
        return ray_length
    return F.interpolate(ray_length, (height, width), mode="bicubic", align_corners=False)


def unproject(depth_z: Tensor, camera: Tensor, *, pixel_grid: PixelGrid = "centre") -> Tensor:
    """World points of the pixels of a view.

    Args:
        depth_z: ``[B, 1, H, W]``.
        camera: labels ``[B, 25]``; their own intrinsics are used.
        pixel_grid: where a pixel's ray passes, see the module.

    Returns:
        ``[B, 3, H, W]`` in scene units.
    """
    height, width = depth_z.shape[-2:]
    cam2world, _ = split_label(camera)
    lens = _index_intrinsics(camera, height, width, pixel_grid)
    rays = _product(cam2world[:, :3, :3], lens.inverse())
    column = torch.arange(width, device=camera.device, dtype=camera.dtype)
    row = torch.arange(height, device=camera.device, dtype=camera.dtype)
    directions = _affine(rays, column, row)
    return directions * depth_z + cam2world[:, :3, 3, None, None]


def reproject(
    depth_z: Tensor,
    source: Tensor,
    target: Tensor,
    *,
    size: tuple[int, int] | None = None,
    pixel_grid: PixelGrid = "centre",
) -> Reprojected:
    """Unproject the pixels of a source view and project them to a target view.

    Args:
        depth_z: ``[B, 1, H, W]`` of the source view.
        source: labels ``[B, 25]``.
        target: labels ``[B, 25]``.
        size: rows and columns of the target view; those of ``depth_z`` if None.
        pixel_grid: where a pixel's ray passes, see the module.

    Returns:
        Position and depth of every source pixel in the target view.
    """
    height, width = depth_z.shape[-2:]
    source_pose, _ = split_label(source)
    target_pose, _ = split_label(target)
    lens = _index_intrinsics(target, *(size or (height, width)), pixel_grid)
    between = _product(torch.linalg.inv_ex(target_pose).inverse, source_pose)
    moved = _product(lens, between[:, :3])
    source_lens = _index_intrinsics(source, height, width, pixel_grid)
    turn, shift = _product(moved[:, :, :3], source_lens.inverse()), moved[:, :, 3:].unsqueeze(-1)
    column = torch.arange(width, device=source.device, dtype=source.dtype)
    row = torch.arange(height, device=source.device, dtype=source.dtype)
    projected = torch.addcmul(shift, _affine(turn, column, row), depth_z)
    depth = projected[:, 2:]
    return Reprojected(position=projected[:, :2] / depth, depth_z=depth)


def _plane_coordinates(
    camera: Tensor, height: int, width: int, pixel_grid: PixelGrid
) -> tuple[Tensor, Tensor]:
    offset = GRID_OFFSETS[pixel_grid]
    u = (torch.arange(width, device=camera.device, dtype=camera.dtype) + offset) / width
    v = (torch.arange(height, device=camera.device, dtype=camera.dtype) + offset) / height
    return u, v


def _index_intrinsics(camera: Tensor, height: int, width: int, pixel_grid: PixelGrid) -> Tensor:
    """Intrinsics ``[B, 3, 3]`` that give index positions."""
    _, intrinsics = split_label(camera)
    rows = list(intrinsics.unbind(-2))
    offset = GRID_OFFSETS[pixel_grid]
    rows[0] = rows[0] * width - offset * rows[2]
    rows[1] = rows[1] * height - offset * rows[2]
    return torch.stack(rows, dim=-2)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Matrix product in full precision, under autocast and with TF32 switched on too."""
    return (left.unsqueeze(-1) * right.unsqueeze(-3)).sum(-2)


def _affine(matrix: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """``matrix @ (column, row, 1)`` of every pixel: ``[B, 3, 3]`` -> ``[B, 3, H, W]``."""
    along = matrix[:, :, 0, None, None] * column
    down = torch.addcmul(matrix[:, :, 2, None, None], matrix[:, :, 1, None, None], row[:, None])
    return along + down
