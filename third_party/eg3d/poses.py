"""Camera poses in the terms of the official sampling scripts.

World: y up, a face looks along +z. Cameras orbit the *origin*; the pivot only turns the view.
The vertical offset is not an angle: sin(elevation) = -2 pitch / pi, so that uniform offsets
cover equal areas of the sphere, and negative offsets lie above.
"""

import math

import torch
from torch import Tensor

POLE_MARGIN = 1e-5
FOV_TO_RADIANS = 3.14159 / 360
DIAGONAL = 1.414


def orbit_pose(
    yaw: Tensor,
    pitch: Tensor,
    *,
    radius: float = 2.7,
    pivot: tuple[float, float, float] = (0.0, 0.0, 0.2),
) -> Tensor:
    """Camera-to-world matrices that look at the pivot.

    Args:
        yaw: `[N]` official horizontal offset, radians; positive towards +x.
        pitch: `[N]` official vertical offset; positive below.
        radius: Distance from the origin.
        pivot: World point in the middle of the image.

    Returns:
        `[N, 4, 4]`, OpenCV axes.
    """
    vertical = (pitch + math.pi / 2).clamp(POLE_MARGIN, math.pi - POLE_MARGIN)
    height = 1 - 2 * vertical / math.pi
    across = (1 - height.square()).clamp(min=0).sqrt()
    position = radius * torch.stack([across * yaw.sin(), height, across * yaw.cos()], -1)
    target = torch.stack([yaw.new_full((), c) for c in pivot])
    up = torch.stack([yaw.new_full((), c) for c in (0.0, 1.0, 0.0)]).expand_as(position)
    forward = torch.nn.functional.normalize(target - position, dim=-1)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
    down = torch.linalg.cross(forward, right)
    rows = torch.stack([right, down, forward, position], -1)
    last = torch.stack([yaw.new_full((), c) for c in (0.0, 0.0, 0.0, 1.0)])
    return torch.cat([rows, last.expand(len(yaw), 1, 4)], 1)


def intrinsics_from_fov(degrees: float) -> Tensor:
    """Normalised intrinsics `[3, 3]` for the official "field of view", which is the diagonal one.

    18.837 gives a focal length of 4.2634; the released labels have 4.2647.
    """
    focal = 1 / (math.tan(degrees * FOV_TO_RADIANS) * DIAGONAL)
    return torch.tensor([[focal, 0.0, 0.5], [0.0, focal, 0.5], [0.0, 0.0, 1.0]])
