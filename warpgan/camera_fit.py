"""How well a camera explains a photo of an inverted face, and where a better one lies.

The photo and the generator's view are compared as feature maps, see `warpgan.camera_refinement`.
The surface that the render's depth gives is moved with the camera, and the view's features move
with it: that is the Jacobian, without a gradient through the volume.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.camera_turns import motion_by_turn
from warpgan.cameras import RADIUS
from warpgan.perception import build_perceptual
from warpgan.perception.perceptual import FeatureDistance
from warpgan.warp import depth_z_from_ray_length

FEATURES = "perc_efficientnet"
LEVELS = 3
FARTHEST = RADIUS + 0.3
"""Scene units along a ray; what lies beyond is backdrop."""


class FaceFeatures:
    """Unit feature vectors of pictures at strides 2, 4 and 8."""

    def __init__(self) -> None:
        """Loads the shipped net.

        Raises:
            FileNotFoundError: the net's file is absent.
        """
        net = build_perceptual(FEATURES)
        assert isinstance(net, FeatureDistance)
        self.net = net

    def __call__(self, images: Tensor) -> list[Tensor]:
        """``[B, 3, S, S]`` in [-1, 1] to ``[B, C, S / stride, S / stride]``."""
        self.net.to(images.device)
        levels = self.net.pyramid(self.net.pixels(images.clamp(-1, 1)))
        return [F.normalize(level, dim=1) for level in levels[:LEVELS]]


@dataclass(frozen=True)
class CameraFit:
    """E at cameras ``[B, 25]``, float64: loss ``[B]``, Gauss-Newton matrix ``[B, 5, 5]``, slope."""

    cameras: Tensor
    loss: Tensor
    normal: Tensor
    slope: Tensor

    def pulled(self, turn: Tensor, stiffness: Tensor) -> "CameraFit":
        """With a spring's part: stiffness ``[5]`` at a turn ``[B, 5]`` from its rest."""
        pull = stiffness * turn
        return CameraFit(
            self.cameras,
            self.loss + (pull * turn).sum(1) / 2,
            self.normal + torch.diag_embed(stiffness),
            self.slope + pull,
        )


def fit_of(
    generator: TriPlaneGenerator,
    cameras: Tensor,
    wanted: list[Tensor],
    ws: Tensor,
    planes: Tensor,
    features: Callable[[Tensor], list[Tensor]],
    scale: float,
) -> CameraFit:
    """Render and compare; the derivatives follow the render's own surface."""
    drawn = generator.render(planes, ws, cameras)
    face = ((drawn.opacity > 0.5) & (drawn.ray_length < FARTHEST)).float()
    losses, normals, slopes = [], [], []
    for seen, target in zip(features(drawn.image), wanted, strict=True):
        side = seen.shape[-1]
        mask = F.interpolate(face, (side, side), mode="area")
        length = F.interpolate(drawn.ray_length, (side, side), mode="bilinear")
        right, down = motion_by_turn(depth_z_from_ray_length(length, cameras), cameras)
        # The mean of both slopes doubles the range in which the step is right.
        by_x, by_y = ((a + b) / 2 for a, b in zip(_slopes(seen), _slopes(target), strict=True))
        jacobian = -(by_x[:, None] * right[:, :, None] + by_y[:, None] * down[:, :, None])
        difference = seen - target
        ratio = (difference.square().sum(1, keepdim=True) / scale**2 + 1).sqrt()
        share = mask / mask.sum((1, 2, 3), keepdim=True).clamp_min(1)
        losses.append((share * (ratio - 1)).sum((1, 2, 3)))
        weighted = ((share / ratio / scale**2)[:, None] * jacobian).flatten(2)
        normals.append(jacobian.flatten(2) @ weighted.mT)
        slopes.append((weighted @ difference.flatten(1)[..., None])[..., 0])
    parts = (sum(part).double() for part in (losses, normals, slopes))
    return CameraFit(cameras, *parts)


def _slopes(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences to the right and down, ``[B, C, H, W]`` per pixel."""
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    by_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    by_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return by_x, by_y
