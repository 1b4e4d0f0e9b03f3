"""Small turns of a camera in five numbers, and how the picture moves with them.

The five numbers are radians: a turn about the camera's own x and y axis laid through the world's
origin, which moves the camera on its orbit without leaving its sphere, then a turn about its own x,
y and z axis where it stands. The first two change what is seen, the last three only where.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from warpgan.cameras import make_label, split_label

TURNS = 5


def turn_cameras(cameras: Tensor, turn: Tensor) -> Tensor:
    """Cameras turned about the world's origin and then about themselves.

    Args:
        cameras: labels ``[B, 25]``.
        turn: ``[B, 5]`` radians: about the camera's own x and y axis through the world's origin,
            which moves it on its orbit, then about its own x, y and z axis where it stands.
    """
    cam2world, lens = split_label(cameras.double())
    turn = turn.double()
    rotation, position = cam2world[:, :3, :3], cam2world[:, :3, 3:]
    # In world axes. R exp(.) R^T would be the same, but triple a label's rounding with every turn.
    axis = rotation @ F.pad(turn[:, :2], (0, 1))[..., None]
    orbit = torch.linalg.matrix_exp(_cross_matrix(axis[..., 0]))
    moved = cam2world.clone()
    moved[:, :3, :3] = orbit @ rotation @ torch.linalg.matrix_exp(_cross_matrix(turn[:, 2:]))
    moved[:, :3, 3:] = orbit @ position
    return make_label(moved, lens).to(cameras.dtype)


def angles_between(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Degrees ``[B]`` between positions, seen from the origin, and between orientations."""
    (a, _), (b, _) = split_label(first.double()), split_label(second.double())
    one, two = (F.normalize(c[:, :3, 3], dim=1) for c in (a, b))
    position = 2 * torch.atan2((one - two).norm(dim=1), (one + two).norm(dim=1))
    # |R - S| (Frobenius) = 2 sqrt(2) sin(angle / 2); exact for small angles too
    chord = (a[:, :3, :3] - b[:, :3, :3]).flatten(1).norm(dim=1) / (2 * math.sqrt(2))
    return torch.rad2deg(position), torch.rad2deg(2 * torch.asin(chord.clamp_max(1)))


def motion_by_turn(depth_z: Tensor, cameras: Tensor) -> tuple[Tensor, Tensor]:
    """How far the surface at each pixel moves in the picture, by each number of a turn.

    Args:
        depth_z: ``[B, 1, H, W]``.
        cameras: labels ``[B, 25]``.

    Returns:
        Pixels per radian to the right and down, each ``[B, 5, H, W]``, see `turn_cameras`.
    """
    height, width = depth_z.shape[-2:]
    cam2world, lens = split_label(cameras)
    centres = [
        (torch.arange(n, device=cameras.device, dtype=cameras.dtype) + 0.5) / n
        for n in (height, width)
    ]
    v, u = torch.meshgrid(*centres, indexing="ij")
    fx, fy, skew, cx, cy = (
        lens[:, i, j, None, None] for i, j in ((0, 0), (1, 1), (0, 1), (0, 2), (1, 2))
    )
    y = (v - cy) / fy
    x = (u - cx - skew * y) / fx
    surface = torch.stack([x, y, torch.ones_like(x)], dim=-1) * depth_z[:, 0, ..., None]
    origin = -(cam2world[:, :3, :3].mT @ cam2world[:, :3, 3:])[..., 0]
    from_origin = surface - origin[:, None, None]
    axes = torch.eye(3, device=cameras.device, dtype=cameras.dtype)
    moves = [torch.linalg.cross(from_origin, axes[i].expand_as(surface)) for i in (0, 1)]
    moves += [torch.linalg.cross(surface, axis.expand_as(surface)) for axis in axes]
    moved = torch.stack(moves, dim=1)
    x, y = x[:, None], y[:, None]
    by_x = (moved[..., 0] - x * moved[..., 2]) / depth_z
    by_y = (moved[..., 1] - y * moved[..., 2]) / depth_z
    right = width * (fx[:, None] * by_x + skew[:, None] * by_y)
    return right, height * fy[:, None] * by_y


def _cross_matrix(vector: Tensor) -> Tensor:
    """``[B, 3]`` to the matrices ``[B, 3, 3]`` of the cross product with it."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
