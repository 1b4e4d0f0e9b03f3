"""Depth and warping. Pixel centres lie at ``(i + .5) / N`` of an image N wide.

``ray_length`` is what EG3D renders: the Euclidean distance along a pixel's ray. ``depth_z`` is the
distance along the camera's z axis, which pin-hole geometry needs. At EG3D's focal length they
differ by 0.7 % at the middle of an edge and 1.4 % in a corner: pixels of error after a turn.
"""

import torch
from torch import Tensor

from warpgan.cameras import split_label


def ray_stretch(camera: Tensor, height: int, width: int) -> Tensor:
    """Ray length of a pixel divided by its ``depth_z``: ``sqrt(1 + x^2 + y^2)``.

    Args:
        camera: labels ``[..., 25]``.
        height: rows of the image.
        width: columns of the image.

    Returns:
        ``[..., 1, height, width]``, at least 1.
    """
    _, intrinsics = split_label(camera)
    fx, skew, cx = (intrinsics[..., 0, i, None, None] for i in range(3))
    fy, cy = (intrinsics[..., 1, i, None, None] for i in (1, 2))
    v = (torch.arange(height, device=camera.device, dtype=camera.dtype) + 0.5) / height
    u = (torch.arange(width, device=camera.device, dtype=camera.dtype) + 0.5) / width
    y = (v[:, None] - cy) / fy
    x = (u[None, :] - cx - skew * y) / fx
    return (1 + x.square() + y.square()).sqrt().unsqueeze(-3)


def depth_z_from_ray_length(ray_length: Tensor, camera: Tensor) -> Tensor:
    """Turn ray length into ``depth_z``.

    Args:
        ray_length: ``[..., 1, H, W]``.
        camera: labels ``[..., 25]`` of the same leading axes.

    Returns:
        ``[..., 1, H, W]``.
    """
    return ray_length / ray_stretch(camera, *ray_length.shape[-2:])


def ray_length_from_depth_z(depth_z: Tensor, camera: Tensor) -> Tensor:
    """Inverse of ``depth_z_from_ray_length``, the same shapes."""
    return depth_z * ray_stretch(camera, *depth_z.shape[-2:])
