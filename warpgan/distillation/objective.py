"""The distillation loss: rays with true depth, and super-resolved patches.

The weights hold for colours in [0, 1], so colour errors of our [-1, 1] images count half.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from eg3d import TriPlaneGenerator
from warpgan.distillation.batches import Batch

SOLID = 0.99


@dataclass(frozen=True, kw_only=True)
class DistillationWeights:
    """Weights of the terms; ``surface_width`` is the half-width of the true surface's slab."""

    colour: float = 1.0
    mask: float = 0.5
    depth: float = 0.5
    surface: float = 0.2
    surface_width: float = 0.035
    image: float = 1.0
    gradient: float = 0.5
    raw: float = 0.5


def distillation_terms(
    generator: TriPlaneGenerator, batch: Batch, *, surface_width: float, bfloat16: bool = True
) -> dict[str, torch.Tensor]:
    """Unweighted scalar terms of one batch.

    Backbone and super-resolution run under bfloat16 autocast if asked; rays are float32 always.
    """
    device = batch.latents.device.type
    ws = generator.mapping(batch.latents, batch.latents.new_zeros(len(batch.latents), 25))
    with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
        planes = generator.planes(ws)
    planes = planes.float()
    rays = batch.rays
    bundle = generator.render_rays(planes, rays.origins, rays.directions, ws=ws, depths=rays.depths)
    solid = (rays.mask > SOLID).float()
    count = solid.sum().clamp(min=1)
    near_surface = (bundle.midpoints - rays.ray_length[..., None]).abs() < surface_width
    at_surface = (bundle.weights * near_surface).sum(-1)
    terms = {
        "colour": (bundle.features[..., :3] - batch.colour).abs().mean() / 2,
        "mask": (bundle.opacity[..., 0] - rays.mask).abs().mean(),
        "depth": ((bundle.ray_length[..., 0] - rays.ray_length).abs() * solid).sum() / count,
        "surface": ((1 - at_surface) * solid).sum() / count,
    }
    patch = batch.patch_rays
    count = len(patch.mask)
    bundle = generator.render_rays(
        planes[:count], patch.origins, patch.directions, ws=ws[:count], depths=patch.depths
    )
    side = round(patch.mask.shape[1] ** 0.5)
    features = bundle.features.transpose(1, 2).reshape(count, -1, side, side)
    with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
        image = generator.super_resolve(features[:, :3], features, ws[:count], patch=True)
    # The patch's border lacks the neighbours that the full image would have.
    image, target = image.float()[..., 2:-2, 2:-2] / 2, batch.patch_image[..., 2:-2, 2:-2] / 2
    terms["image"] = (image - target).abs().mean()
    terms["gradient"] = (image.diff(dim=-1) - target.diff(dim=-1)).abs().mean() + (
        image.diff(dim=-2) - target.diff(dim=-2)
    ).abs().mean()
    raw = features[:, :3, 1:-1, 1:-1] / 2
    terms["raw"] = (raw - F.avg_pool2d(target, 2)).abs().mean()
    return terms


def weighted_sum(terms: dict[str, torch.Tensor], weights: DistillationWeights) -> torch.Tensor:
    """Total of the named terms."""
    return sum(getattr(weights, name) * value for name, value in terms.items())
