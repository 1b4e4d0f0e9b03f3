"""Holes: which pixels a warp leaves open, and the soft mask that hides their seams."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from warpgan.cameras import split_label
from warpgan.reprojection import PixelGrid, reproject

_SMALLEST_TAP = 1e-9


def stretched_surface(depth_z: Tensor, camera: Tensor, *, max_slope: float) -> Tensor:
    """Pixels on the near side of a depth discontinuity, which another view would stretch.

    They show a mixture of near and far, or lie between the two where depth was interpolated. The
    first pixel on the far side shows only what is far, and is believed.

    Args:
        depth_z: ``[B, 1, H, W]``.
        camera: labels ``[B, 25]``.
        max_slope: tangent of the steepest surface believed, against the image plane: one of the
            four neighbours is too far behind a pixel if it lies more than ``max_slope`` widths of
            that pixel behind it.

    Returns:
        ``[B, 1, H, W]`` bool. A neighbour without finite depth is too far.
    """
    _, intrinsics = split_label(camera)
    stretched = torch.zeros_like(depth_z, dtype=torch.bool)
    for axis, focal in ((-1, intrinsics[:, 0, 0]), (-2, intrinsics[:, 1, 1])):
        count = depth_z.shape[axis]
        farthest = depth_z * (1 + max_slope / (focal * count)).view(-1, 1, 1, 1)
        for here, there in ((0, 1), (1, 0)):
            limit = farthest.narrow(axis, here, count - 1)
            too_far = ~(depth_z.narrow(axis, there, count - 1) <= limit)
            stretched.narrow(axis, here, count - 1).logical_or_(too_far)
    return stretched


def seen_by_source(
    target_depth_z: Tensor,
    target: Tensor,
    source_depth_z: Tensor,
    *,
    source: Tensor,
    tolerance: float,
    pixel_grid: PixelGrid = "centre",
) -> Tensor:
    """Source z-test: which pixels of a target view show a surface that the source view sees.

    Args:
        target_depth_z: ``[B, 1, H, W]``.
        target: labels ``[B, 25]``.
        source_depth_z: ``[B, 1, H', W']``.
        source: labels ``[B, 25]``.
        tolerance: scene units that a point may lie behind the source's surface.
        pixel_grid: where a pixel's ray passes, see `warpgan.reprojection`.

    Returns:
        ``[B, 1, H, W]`` bool. False outside the source's image and without depth.
    """
    height, width = source_depth_z.shape[-2:]
    found = reproject(target_depth_z, target, source, size=(height, width), pixel_grid=pixel_grid)
    column, row = found.position.unbind(1)
    grid = torch.stack([(column + 0.5) * 2 / width - 1, (row + 0.5) * 2 / height - 1], dim=-1)
    inside = (grid.abs() <= 1).all(-1).unsqueeze(1) & (found.depth_z > 0)
    surface = F.grid_sample(
        source_depth_z, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return inside & (found.depth_z <= surface + tolerance)


def erode(visible: Tensor, size: int) -> Tensor:
    """Let holes grow by ``size // 2`` pixels.

    Args:
        visible: ``[B, 1, H, W]`` in [0, 1]; what lies outside counts as visible.
        size: side of the square window, odd; 1 changes nothing.

    Returns:
        ``[B, 1, H, W]``.
    """
    return 1 - F.max_pool2d(1 - visible, size, stride=1, padding=size // 2)


def gaussian_blur(mask: Tensor, *, size: int, sigma: float) -> Tensor:
    """Blur with a Gaussian cut off at ``size`` taps, the image reflected at its border.

    Args:
        mask: ``[B, 1, H, W]``.
        size: taps, odd; 1 changes nothing.
        sigma: width in pixels.

    Returns:
        ``[B, 1, H, W]``.

    Raises:
        ValueError: the image is too small to be reflected.
    """
    taps = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(size // 2 + 1)]
    total = taps[0] + 2 * sum(taps[1:])
    # What is below a mask's precision costs time, and reaches beyond small images, for nothing.
    taps = [tap / total for tap in taps if tap / total >= _SMALLEST_TAP]
    reach = len(taps) - 1
    if reach >= min(mask.shape[-2:]):
        raise ValueError(
            f"a mask of {mask.shape[-2]} x {mask.shape[-1]} pixels is too small for "
            f"blur_size={size} with blur_sigma={sigma:g}; reduce them, or set scale_blur=true"
        )
    padded = F.pad(mask, [reach] * 4, mode="reflect")
    for axis in (-2, -1):
        count = padded.shape[axis] - 2 * reach
        centre = padded.narrow(axis, reach, count) * taps[0]
        rim = torch.zeros_like(centre)
        # From the smallest tap inwards, which rounds least.
        for step in range(reach, 0, -1):
            before, after = (padded.narrow(axis, reach + side, count) for side in (-step, step))
            rim.add_(before + after, alpha=taps[step])
        padded = centre + rim
    return padded
