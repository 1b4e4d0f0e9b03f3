"""Errors of ``depth_z`` maps and of masks, one float64 number an image."""

from dataclasses import dataclass

import torch
from torch import Tensor

SOLID = 0.99


@dataclass(frozen=True)
class DepthError:
    """Absolute depth errors in scene units (the camera orbits at 2.7).

    Attributes:
        mean: ``[B]`` float64.
        median: ``[B]`` float64.
        count: ``[B]`` int64, pixels compared. Where it is 0 the errors are NaN.
    """

    mean: Tensor
    median: Tensor
    count: Tensor


def depth_error(depth_z: Tensor, true_depth_z: Tensor, *, mask: Tensor) -> DepthError:
    """Compare depth where the mask is solid: soft edges mix two surfaces and have no depth.

    Args:
        depth_z: ``[B, 1, H, W]``, along the camera's z axis (never the ray length).
        true_depth_z: the same shape.
        mask: the same shape, in [0, 1]; only pixels above ``SOLID`` count.
    """
    if not depth_z.shape == true_depth_z.shape == mask.shape or depth_z.ndim != 4:
        raise ValueError(
            "depth, true depth and mask must be [B, 1, H, W] of one shape, got "
            f"{tuple(depth_z.shape)}, {tuple(true_depth_z.shape)}, {tuple(mask.shape)}"
        )
    error = (depth_z.double() - true_depth_z.double()).abs().flatten(1)
    solid = mask.flatten(1) > SOLID
    nowhere = torch.full_like(error, float("nan"))
    shown = torch.where(solid, error, nowhere)
    return DepthError(
        mean=shown.nanmean(1),
        median=torch.nanquantile(shown, 0.5, dim=1),
        count=solid.sum(1),
    )


def mask_iou(mask: Tensor, true_mask: Tensor, *, threshold: float = 0.5) -> Tensor:
    """Intersection over union of two masks cut at ``threshold``.

    Args:
        mask: ``[B, 1, H, W]`` in [0, 1].
        true_mask: the same shape and range.
        threshold: what is above it is inside.

    Returns:
        ``[B]`` float64; two empty masks agree fully: 1.
    """
    if mask.shape != true_mask.shape:
        raise ValueError(f"masks differ in shape: {tuple(mask.shape)}, {tuple(true_mask.shape)}")
    a, b = mask.flatten(1) > threshold, true_mask.flatten(1) > threshold
    both, either = (a & b).sum(1).double(), (a | b).sum(1).double()
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))
