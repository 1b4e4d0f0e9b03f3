"""A synthesis block for inference on CPUs: the same arithmetic, in strips of rows.

Strips keep the activations of the large resolutions near the processor and the peak of memory
low: of a 512 px block only the painted image is ever complete. Styles, demodulation, and the gain
of the activation are folded into each convolution's weight.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .inference import in_threads, one_thread_each, release_free_memory
from .layers import LRELU_GAIN, LRELU_SLOPE, SynthesisLayer, modulation_factors
from .resampling import upsample_padded

if TYPE_CHECKING:
    from .backbone import SynthesisBlock

STRIP_FLOATS = 2**20
LARGE_BLOCK = 2**22
FIR_SCALE = 1 / 16
# Below this side the weights take more time than the pixels: splitting would double the work.
SHARED_FROM = 64
NO_LIMIT = 3e38


@dataclass(frozen=True)
class FoldedLayer:
    """A layer for one latent.

    Attributes:
        weight: `[O, I, 3, 3]`, channels-last (not kept where its phases are used instead).
        bias: `[O]`.
        noise: `[S, S]`, or None.
        limit: Of the absolute output, or None.
    """

    weight: Tensor
    bias: Tensor
    noise: Tensor | None
    limit: float | None


def run_block(
    block: "SynthesisBlock",
    x: Tensor,
    image: Tensor | None,
    ws: Tensor,
    *,
    noise_mode: str,
    generator: torch.Generator | None,
    keep_features: bool,
) -> tuple[Tensor | None, Tensor]:
    """Run a block that has two convolutions; see `SynthesisBlock.forward`.

    Returns:
        Features (None unless `keep_features`) and skip image.
    """
    noises = [
        layer.scaled_noise(x.shape[0], noise_mode, generator)
        for layer in (block.conv0, block.conv1)
    ]
    features, painted = [], []
    for item in range(x.shape[0]):
        own = [None if n is None else n[item if len(n) > 1 else 0, 0] for n in noises]
        below = None if image is None else image[item : item + 1]
        with one_thread_each() as threads:
            f, p = _run_sample(
                block, x[item : item + 1], below, ws[item], own, keep_features, threads
            )
        features.append(f)
        painted.append(p)
    features = _join(features) if keep_features else None
    return features, _join(painted)


def _join(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _fold(layer: SynthesisLayer, w: Tensor, noise: Tensor | None) -> FoldedLayer:
    styles = layer.affine(w[None])
    weight = _multiplied(layer.weight, modulation_factors(layer.weight, styles, gain=LRELU_GAIN))
    return FoldedLayer(weight, layer.bias * LRELU_GAIN, noise, layer.conv_clamp)


def _run_sample(
    block: "SynthesisBlock",
    x: Tensor,
    image: Tensor | None,
    ws: Tensor,
    noises: list[Tensor | None],
    keep_features: bool,
    threads: int,
) -> tuple[Tensor | None, Tensor]:
    first = _fold(block.conv0, ws[0], noises[0])
    second = _fold(block.conv1, ws[1], noises[1])
    torgb = block.torgb
    styles = torgb.affine(ws[2:3]) * torgb.style_gain
    paint = torgb.weight * modulation_factors(torgb.weight, styles, demodulate=False)
    x = _channels_last(x)
    side, width = block.conv1.resolution, second.weight.shape[0]
    if block.up == 2:
        phases, middle = phase_weights(first.weight), None
        first = replace(first, weight=phases[-1])
    else:
        phases, middle = None, _convolve_whole(x, first)

    shape = (1, paint.shape[0], side, side)
    painted = torch.empty(shape, memory_format=torch.channels_last)
    features = None
    if keep_features:
        features = torch.empty((1, width, side, side), memory_format=torch.channels_last)
    rows = max(8, STRIP_FLOATS // (side * width * threads) // 2 * 2)
    if side >= SHARED_FROM:
        rows = min(rows, side // threads // 2 * 2)

    def paint_rows(top: int, bottom: int) -> None:
        if phases is not None:
            strip = upsampled_rows(x, phases, first, top - 1, bottom + 1)
        else:
            strip = _padded_rows(middle, top - 1, bottom + 1)
        y = F.conv2d(strip, second.weight, second.bias, padding=(0, 1))
        del strip
        _activate(y, second, slice(top, bottom))
        rgb = F.conv2d(y, paint, torgb.bias)
        if torgb.conv_clamp is not None:
            rgb.clamp_(-torgb.conv_clamp, torgb.conv_clamp)
        if image is not None and block.up == 2:
            below = _padded_rows(image, top // 2 - 1, bottom // 2 + 1)
            rgb.add_(upsample_padded(F.pad(below, (1, 1))))
        elif image is not None:
            rgb.add_(image[:, :, top:bottom])
        painted[:, :, top:bottom] = rgb
        if features is not None:
            features[:, :, top:bottom] = y

    in_threads(paint_rows, side, part=rows, threads=threads)
    if side * side * width >= LARGE_BLOCK:
        release_free_memory()
    return features, painted


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _multiplied(weight: Tensor, factors: Tensor) -> Tensor:
    """Product in channels-last memory, as the convolution wants it, without another copy."""
    out = torch.empty_like(weight, memory_format=torch.channels_last, requires_grad=False)
    return torch.mul(weight, factors, out=out)


def _activate(y: Tensor, layer: FoldedLayer, rows: slice) -> Tensor:
    if layer.noise is not None:
        y.add_(layer.noise[rows])
    F.leaky_relu_(y, LRELU_SLOPE)
    return y if layer.limit is None else y.clamp_(-layer.limit, layer.limit)


def _convolve_whole(x: Tensor, layer: FoldedLayer) -> Tensor:
    y = F.conv2d(x, layer.weight, layer.bias, padding=1)
    return _activate(y, layer, slice(None))


def _padded_rows(x: Tensor, start: int, stop: int) -> Tensor:
    """Rows start to stop of an image with rows of zeros around it."""
    height = x.shape[2]
    inside = x[:, :, max(start, 0) : min(stop, height)]
    return F.pad(inside, (0, 0, max(-start, 0), max(stop - height, 0)))


def phase_weights(weight: Tensor) -> tuple[Tensor, ...]:
    """Weights for (even, odd) rows x (even, odd) columns of the stride-2 transposed convolution.

    Even results take taps 2 and 0 of the preceding and the own pixel, odd ones tap 1 alone.
    """
    even, odd = (2, 0), (1,)
    return tuple(
        _channels_last(weight[:, :, rows][:, :, :, columns]).mul_(FIR_SCALE)
        for rows in (even, odd)
        for columns in (even, odd)
    )


def upsampled_rows(
    x: Tensor, phases: tuple[Tensor, ...], layer: FoldedLayer, start: int, stop: int
) -> Tensor:
    """Rows start to stop of the layer's output (zeros outside), `[1, O, stop - start, 2 W]`."""
    from .upsampling_kernel import filter_rows

    height, width = x.shape[2:]
    # Output row r reads transposed rows r - 1 ... r + 2, which read input rows r/2 - 2 ... r/2 + 2;
    # the rim of the cut-out, where rows are incomplete, is never read.
    top, bottom = max(0, start // 2 - 2), min(height, stop // 2 + 3)
    cut = x[:, :, top:bottom]
    padding = ((1, 1), (1, 0), (0, 1), (0, 0))
    parts = [
        F.conv2d(cut, weight, padding=pad) for weight, pad in zip(phases, padding, strict=True)
    ]
    flat = [p[0].permute(1, 2, 0).contiguous().flatten(1).numpy() for p in parts]
    out = torch.empty(
        (1, layer.bias.shape[0], stop - start, 2 * width), memory_format=torch.channels_last
    )
    noise = np.empty((0, 0), np.float32)
    if layer.noise is not None:
        noise = layer.noise.contiguous().numpy()
    out_rows = out[0].permute(1, 2, 0).numpy()
    bias = layer.bias.contiguous().numpy()
    limit = np.float32(NO_LIMIT if layer.limit is None else layer.limit)

    def work(first: int, last: int) -> None:
        filter_rows(
            *flat,
            top,
            start,
            2 * height,
            bias,
            noise,
            np.float32(LRELU_SLOPE),
            limit,
            out_rows,
            first,
            last,
        )

    in_threads(work, stop - start, part=stop - start)
    return out
