"""Which pixels show the face, known from the camera alone: no landmarks, no net.

EG3D's crops put every face at the same place of the world, so the silhouette of one ellipsoid
around it will do for all people. It holds the five points of ``warpgan.cameras.CANONICAL_POINTS``
and reaches from the chin to the hairline and from ear to ear; hair, neck and backdrop lie outside.
"""

import torch
from torch import Tensor

from eg3d.rays import ray_directions

CENTRE = (0.0, 0.01, 0.08)
RADII = (0.18, 0.23, 0.21)
"""World units of about 0.43 m, along x, y and z."""


def face_mask(cameras: Tensor, size: int) -> Tensor:
    """Draw the silhouette of the face's ellipsoid.

    Args:
        cameras: labels ``[N, 25]``.
        size: side of the pictures in pixels.

    Returns:
        ``[N, 1, size, size]`` float32: 1 where the ray through a pixel's centre meets the
        ellipsoid in front of the camera, else 0.

    Raises:
        ValueError: if the labels have another shape.
    """
    if cameras.ndim != 2:
        raise ValueError(f"expected camera labels [N, 25], got {tuple(cameras.shape)}")
    origin, direction = ray_directions(cameras.double(), size)
    radii = torch.tensor(RADII, dtype=origin.dtype, device=origin.device)
    # in units of the radii, where the ellipsoid is the unit sphere
    start = (origin - torch.tensor(CENTRE, dtype=origin.dtype, device=origin.device)) / radii
    step = direction / radii
    along = (start * step).sum(-1)
    length = step.square().sum(-1)
    reach = along.square() - length * (start.square().sum(-1) - 1)
    inside = (reach >= 0) & (along < 0)
    return inside.float().view(len(cameras), 1, size, size)


def masked(images: Tensor, cameras: Tensor) -> Tensor:
    """Paint all but the face mid-grey.

    Args:
        images: ``[N, 3, S, S]`` in [-1, 1].
        cameras: their labels ``[N, 25]``.

    Returns:
        ``[N, 3, S, S]``, 0 outside the face.
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3] or len(images) != len(cameras):
        raise ValueError(
            "expected images [N, 3, S, S] and a camera label for each, got "
            f"{tuple(images.shape)} and {tuple(cameras.shape)}"
        )
    return images * face_mask(cameras, images.shape[-1]).to(images)
