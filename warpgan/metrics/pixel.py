"""Metrics of pixels: images ``[B, 3, H, W]`` in [-1, 1] in, one float64 number an image out.

Both metrics are taken in [0, 1] (data range 1) on clamped, unquantised values.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Equal images have an infinite PSNR, which no mean survives: reports stop here.
PSNR_CEILING = 100.0
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_K1 = 0.01
SSIM_K2 = 0.03


def psnr(prediction: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio.

    Args:
        prediction: ``[B, C, H, W]`` in [-1, 1]; what lies outside is clamped.
        target: the same shape and range.
        mask: ``[B, 1, H, W]``, weights in [0, 1] of the pixels that count; all if ``None``.

    Returns:
        ``[B]`` float64, decibels. Equal images give infinity, an empty mask NaN.
    """
    a, b = _unit_range(prediction, target)
    square = (a - b).square()
    if mask is None:
        error = square.mean((1, 2, 3))
    else:
        weight = mask.double().expand_as(square)
        error = (square * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    return -10 * torch.log10(error)


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004): Gaussian window 11, sigma 1.5, K .01 and .03.

    Windows lie wholly inside the image (no padding); channels are averaged. Covariances are not
    corrected for bias, as in the paper.

    Args:
        prediction: ``[B, C, H, W]`` in [-1, 1]; what lies outside is clamped.
        target: the same shape and range.

    Returns:
        ``[B]`` float64, at most 1.

    Raises:
        ValueError: if a side is smaller than the window.
    """
    a, b = _unit_range(prediction, target)
    if min(a.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs images of at least {SSIM_WINDOW} pixels a side, got {tuple(a.shape)}"
        )
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    variance_a = _window_mean(a * a) - mean_a.square()
    variance_b = _window_mean(b * b) - mean_b.square()
    covariance = _window_mean(a * b) - mean_a * mean_b
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return (luminance * structure).mean((1, 2, 3))


def _unit_range(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if prediction.ndim != 4 or prediction.shape != target.shape:
        raise ValueError(
            "pixel metrics compare two batches [B, C, H, W] of one shape, "
            f"got {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    return tuple((x.double().clamp(-1, 1) + 1) / 2 for x in (prediction, target))


def _window_mean(x: Tensor) -> Tensor:
    """Gaussian mean of every whole window, ``[B, C, H - 10, W - 10]``."""
    offset = torch.arange(SSIM_WINDOW, device=x.device, dtype=x.dtype) - SSIM_WINDOW // 2
    weight = torch.exp(-0.5 * (offset / SSIM_SIGMA).square())
    weight = weight / weight.sum()
    flat = x.flatten(0, 1)[:, None]
    flat = F.conv2d(flat, weight[None, None, :, None])
    flat = F.conv2d(flat, weight[None, None, None, :])
    return flat[:, 0].unflatten(0, x.shape[:2])
