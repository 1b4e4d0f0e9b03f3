"""Loss terms: functions of tensors that return one number.

Images are in [-1, 1] unless a term names no range; a term averages over the batch. Weights are no
part of a term, see `warpgan.losses.total`.
"""

import torch.nn.functional as F
from torch import Tensor

from warpgan.perception import IdentityNet, PerceptualNet


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference over all elements, of images or of codes.

    Args:
        prediction: `[B, 3, H, W]` or `[B, L, C]`.
        target: The same shape.

    Returns:
        A scalar.
    """
    return F.mse_loss(prediction, target)


def mae(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference over all pixels and channels, in the images' own range.

    Args:
        prediction: `[B, 3, H, W]`.
        target: The same shape.

    Returns:
        A scalar.
    """
    return F.l1_loss(prediction, target)


def masked_l1(
    prediction: Tensor, target: Tensor, hole: Tensor, *, known: float, missing: float
) -> Tensor:
    """Mean absolute difference with weights for pixels outside and inside a hole.

    Args:
        prediction: `[B, 3, H, W]`.
        target: The same shape.
        hole: `[B, 1, H, W]` in [0, 1]; between the two values the weight is interpolated.
        known: Weight where `hole` is 0.
        missing: Weight where `hole` is 1.

    Returns:
        A scalar; the mean is over all pixels, whatever their weight.
    """
    return ((prediction - target).abs() * (known + (missing - known) * hole)).mean()


def masked_l2(
    prediction: Tensor, target: Tensor, hole: Tensor, *, known: float, missing: float
) -> Tensor:
    """`masked_l1` with squared differences.

    Args:
        prediction: `[B, 3, H, W]`.
        target: The same shape.
        hole: `[B, 1, H, W]` in [0, 1].
        known: Weight where `hole` is 0.
        missing: Weight where `hole` is 1.

    Returns:
        A scalar.
    """
    return ((prediction - target).square() * (known + (missing - known) * hole)).mean()


def perceptual(prediction: Tensor, target: Tensor, *, net: PerceptualNet) -> Tensor:
    """Mean perceptual distance.

    Args:
        prediction: `[B, 3, H, W]` in [-1, 1].
        target: The same shape.
        net: The judge.

    Returns:
        A scalar.
    """
    return net.distance(prediction, target).mean()


def identity(
    prediction: Tensor,
    target: Tensor,
    *,
    net: IdentityNet,
    camera: Tensor | None = None,
    target_camera: Tensor | None = None,
) -> Tensor:
    """Mean of one minus the cosine of the embeddings.

    Args:
        prediction: `[B, 3, S, S]` in [-1, 1].
        target: The same shape; no gradient is kept for it.
        net: The judge, differentiable.
        camera: Labels `[B, 25]` of the predictions; needed by the aligned crop only.
        target_camera: Labels of the targets; those of the predictions if not given.

    Returns:
        A scalar in [0, 2].
    """
    target_camera = camera if target_camera is None else target_camera
    return net.distance(
        prediction, target.detach(), cameras_a=camera, cameras_b=target_camera
    ).mean()


def w_delta(ws: Tensor) -> Tensor:
    """Distance of a W+ code from a W code: e4e's delta regulariser, off except in `official`.

    Args:
        ws: `[B, L, C]`, L > 1; with or without the latent average, which cancels.

    Returns:
        A scalar: the mean over the batch of the Frobenius norm of the code's offsets w_i - w_0.
    """
    return (ws[:, 1:] - ws[:, :1]).flatten(1).norm(dim=1).mean()


def w_norm(ws: Tensor, *, latent_avg: Tensor) -> Tensor:
    """Distance of a W+ code from the latent average: pSp's regulariser, off in every preset.

    Args:
        ws: `[B, L, C]`.
        latent_avg: `[C]`, `[1, C]` or `[L, C]`.

    Returns:
        A scalar: the mean over the batch of the Frobenius norm of the offsets.
    """
    return (ws - latent_avg).flatten(1).norm(dim=1).mean()
