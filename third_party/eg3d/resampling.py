"""Image resampling with the [1, 3, 3, 1] filter, as the StyleGAN2 networks use it.

Even output pixels of an upsampling lie a quarter of a (small) pixel before, odd ones a quarter
after the input pixel: the filter is bilinear interpolation with zeros outside of the image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


def fir_matrix(taps: tuple[float, ...]) -> Tensor:
    """Outer product of 1-D taps with themselves, normalised to sum 1: `[k, k]`."""
    line = torch.tensor(taps, dtype=torch.float32)
    matrix = torch.outer(line, line)
    return matrix / matrix.sum()


def _depthwise(x: Tensor, *, gain: float, stride: int = 1) -> Tensor:
    taps = torch.stack([x.new_full((), tap) for tap in FIR_TAPS])
    kernel = torch.outer(taps, taps) * (gain / sum(FIR_TAPS) ** 2)
    channels = x.shape[1]
    return F.conv2d(x, kernel.expand(channels, 1, 4, 4), stride=stride, groups=channels)


def smooth_upsampled(x: Tensor) -> Tensor:
    """Filter the result of a stride-2 transposed 3x3 convolution.

    Args:
        x: `[B, C, 2H + 1, 2W + 1]`.

    Returns:
        `[B, C, 2H, 2W]`, brightness kept (gain 4 for the zeros between the samples).
    """
    return _depthwise(F.pad(x, (1, 1, 1, 1)), gain=4.0)


def upsample(x: Tensor) -> Tensor:
    """Enlarge `[B, C, H, W]` twofold to `[B, C, 2H, 2W]`; zeros lie outside of the image."""
    return upsample_padded(F.pad(x, (1, 1, 1, 1)))


def upsample_padded(x: Tensor) -> Tensor:
    """Enlarge the inside of an image that has a rim of one pixel: `[B, C, 2H - 4, 2W - 4]`."""
    enlarged = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return enlarged[:, :, 2:-2, 2:-2]


def downsample(x: Tensor) -> Tensor:
    """Filter and keep every second pixel: `[B, C, H, W]` to `[B, C, H // 2, W // 2]`."""
    return _depthwise(F.pad(x, (1, 1, 1, 1)), gain=1.0, stride=2)


def smooth(x: Tensor) -> Tensor:
    """Filter at constant size; the four taps reach two pixels back and one ahead."""
    return _depthwise(F.pad(x, (2, 1, 2, 1)), gain=1.0)


def resize(x: Tensor, size: int, *, antialias: bool) -> Tensor:
    """Bilinear resize of `[B, C, H, W]` to a square, in float32 at least."""
    return F.interpolate(
        x, size=(size, size), mode="bilinear", align_corners=False, antialias=antialias
    )
