"""Adversarial terms: functions of a discriminator's judgements that return one number.

The non-saturating game with R1 (Mescheder et al. 2018) and the feature matching of pix2pixHD, in
the form of LaMa's published recipe, which the released WarpGAN code trains with. Images are in
[0, 1]; the published weight of R1 holds in that range only.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_adversarial(logits: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean of softplus(-D(fake)): how badly the generator fools the discriminator.

    Args:
        logits: `[B, 1, h, w]` of generated images.
        weight: `[B, 1, h, w]`, not negative; within each image the mean is weighted by it, and an
            image without weight counts 0. None weighs all patches equally.

    Returns:
        A scalar, not negative.
    """
    cost = F.softplus(-logits)
    if weight is None:
        return cost.mean()
    total = weight.flatten(1).sum(1)
    return ((cost * weight).flatten(1).sum(1) / total.clamp_min(1e-6)).mean()


def discriminator_adversarial(real: Tensor, fake: Tensor) -> Tensor:
    """Mean of softplus(-D(real)) plus mean of softplus(D(fake)).

    Args:
        real: `[B, 1, h, w]` logits of real images.
        fake: `[B', 1, h, w]` logits of generated ones.

    Returns:
        A scalar, not negative.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def r1(logits: Tensor, images: Tensor) -> Tensor:
    """R1: mean over the batch of the squared gradient norm of the sum of logits, without 1/2.

    Args:
        logits: `[B, 1, h, w]` of real images.
        images: `[B, C, H, W]`, the leaf that the logits were computed from, requiring gradients.

    Returns:
        A scalar that can be differentiated once more.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def feature_matching(
    fake: Sequence[Tensor], real: Sequence[Tensor], *, mask: Tensor | None = None
) -> Tensor:
    """Mean over the discriminator's layers of the mean squared difference of activations.

    Args:
        fake: Activations of generated images, one `[B, C_i, h_i, w_i]` a layer.
        real: The same of their targets; no gradient is kept for them.
        mask: `[B, 1, H, W]` in [0, 1]; activations under it (bilinearly resized) don't count.

    Returns:
        A scalar.
    """
    costs = []
    for a, b in zip(fake, real, strict=True):
        cost = (a - b.detach()).square()
        if mask is not None:
            size = a.shape[-2:]
            resized = F.interpolate(mask, size=size, mode="bilinear", align_corners=False)
            cost = cost * (1 - resized)
        costs.append(cost.mean())
    return torch.stack(costs).mean()
