"""Camera labels and the rays through the pixels of a camera.

A label has 25 numbers: the 4x4 camera-to-world matrix, row by row, in OpenCV axes (x right, y
down, z forward), then the 3x3 intrinsics divided by the image size. Pixel (row, column) of an
R x R image has its centre at ((column + .5) / R, (row + .5) / R).
"""

import torch
from torch import Tensor

from .precision import full_precision


def split_camera(camera: Tensor) -> tuple[Tensor, Tensor]:
    """Split labels `[..., 25]` into camera-to-world `[..., 4, 4]` and intrinsics `[..., 3, 3]`."""
    if camera.shape[-1] != 25:
        raise ValueError(
            f"camera has shape {tuple(camera.shape)}; expected [..., 25]: "
            "16 numbers camera-to-world, 9 numbers intrinsics"
        )
    return camera[..., :16].unflatten(-1, (4, 4)), camera[..., 16:].unflatten(-1, (3, 3))


def ray_directions(camera: Tensor, resolution: int) -> tuple[Tensor, Tensor]:
    """Rays through the pixel centres, row by row.

    Args:
        camera: `[B, 25]`.
        resolution: R, rays a side.

    Returns:
        Origins and unit directions, both `[B, R * R, 3]` in world coordinates.
    """
    cam2world, intrinsics = split_camera(camera)
    centres = torch.arange(resolution, device=camera.device, dtype=camera.dtype) + 0.5
    centres = centres / resolution
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    u, v = u.reshape(1, -1), v.reshape(1, -1)
    fx, skew, cx = (intrinsics[:, 0, i, None] for i in range(3))
    fy, cy = (intrinsics[:, 1, i, None] for i in (1, 2))
    y = (v - cy) / fy
    x = (u - cx - skew * y) / fx
    in_camera = torch.stack([x, y, torch.ones_like(x)], -1)
    with full_precision(camera):  # half-precision directions would miss by pixels
        in_world = in_camera @ cam2world[:, :3, :3].transpose(1, 2)
    directions = in_world / in_world.norm(dim=-1, keepdim=True)
    return cam2world[:, None, :3, 3].expand_as(directions), directions
