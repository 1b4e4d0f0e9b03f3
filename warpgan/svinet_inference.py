"""SVINet for inference on CPUs: the same arithmetic with everything folded that can be.

Batch norms go into the plain convolutions before them, styles, demodulation and gains into the
modulated ones; bias and activation are part of the convolution; both branches are one batch; the
smooth upsampling never touches inserted zeros. `InpaintingNetwork.forward` chooses this path; under
`eg3d.kernels("torch")` it does not.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eg3d.fused_synthesis import FoldedLayer, phase_weights, upsampled_rows
from eg3d.inference import in_threads, one_thread_each, use_kernel
from eg3d.layers import LRELU_GAIN, LRELU_SLOPE
from eg3d.precision import autocast_type, full_precision
from eg3d.resampling import FIR_TAPS
from warpgan.ffc import (
    Features,
    FFCLayer,
    FFCResidual,
    ModulatedSpectralTransform,
    SpectralTransform,
)
from warpgan.modulation import StyledConv, UpsamplingBlock

if TYPE_CHECKING:
    from warpgan.svinet_network import InpaintingNetwork
    from warpgan.symmetry import SymmetryRefinement

STRIP_FLOATS = 2**21
LRELU = ("leaky_relu", [LRELU_SLOPE], "")
RELU = ("relu", [], "")
LINEAR = ("none", [], "")


@dataclass(frozen=True)
class Folded:
    """A convolution with what follows it: weight `[O, I, k, k]`, bias `[O]` or None."""

    weight: Tensor
    bias: Tensor | None


def takes_folded(network: "InpaintingNetwork", channels: Tensor, ws: Tensor | None) -> bool:
    """Whether `run_folded` may stand for the network's modules on these inputs."""
    refusal = None
    if network.training:
        refusal = "the network is in training mode"
    elif network.codes is None:
        refusal = "the network has no modulated convolutions"
    elif not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        refusal = "this torch has no oneDNN"
    elif autocast_type(channels) not in (None, torch.bfloat16):
        refusal = f"autocast is to {autocast_type(channels)}"
    given = [channels] if ws is None else [channels, ws]
    return use_kernel(*given, *network.parameters(), refusal=refusal)


def run_folded(network: "InpaintingNetwork", channels: Tensor, ws: Tensor | None) -> Tensor:
    """Run the network; see `InpaintingNetwork.forward`.

    Under bfloat16 autocast the convolutions run in bfloat16; the first one, spectra, styles and
    sums stay in float32.
    """
    dtype = autocast_type(channels) or torch.float32
    with torch.no_grad(), full_precision(channels):
        folding = _Folding(dtype)
        codes = network.codes(ws, len(channels))
        main, mirrored = folding.down(network, channels)
        if mirrored is not None:
            main = folding.refine(network.cond, main, mirrored)
        images = [
            folding.inpaint(network, Features(local, spread), code)
            for local, spread, code in zip(
                main.local.split(1), main.spread.split(1), codes.split(1), strict=True
            )
        ]
        return images[0] if len(images) == 1 else torch.cat(images)


class _Folding:
    """The network's parts, with convolutions in `dtype`."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def convolve(
        self,
        x: Tensor,
        layer: Folded,
        *,
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
        after: tuple = LINEAR,
    ) -> Tensor:
        """Convolution, bias and activation in one."""
        weight = layer.weight.to(self.dtype)
        bias = None if layer.bias is None else layer.bias.to(self.dtype)
        x = x.to(self.dtype, memory_format=torch.channels_last)
        return torch.ops.mkldnn._convolution_pointwise(
            x, weight, bias, padding, (stride, stride), (1, 1), 1, *after
        )

    def down(
        self, network: "InpaintingNetwork", channels: Tensor
    ) -> tuple[Features, Features | None]:
        """Both branches as one batch through the down path."""
        first, *middle, last = list(network.model_down)[1:]
        branches = channels
        if network.cond is not None:
            branches = torch.cat(channels.chunk(2, dim=1))
        margin = first.ffc.convl2l.weight.shape[-1] // 2
        x = F.pad(branches, (margin,) * 4, mode="reflect")
        entry = _fold_norm(first.ffc.convl2l.weight, first.bn_l)
        # Rounding the pictures themselves costs more accuracy than all other layers together.
        x = _Folding(torch.float32).convolve(x, entry, after=RELU)
        for layer in middle:
            x = self.halve(x, _fold_norm(layer.ffc.convl2l.weight, layer.bn_l))
        local = _fold_norm(last.ffc.convl2l.weight, last.bn_l)
        spread = _fold_norm(last.ffc.convl2g.weight, last.bn_g)
        both = Folded(
            torch.cat([local.weight, spread.weight]), torch.cat([local.bias, spread.bias])
        )
        x = self.halve(x, both)
        local, spread = x.split([len(local.bias), len(spread.bias)], dim=1)
        if network.cond is None:
            return Features(local, spread), None
        (main_l, mirrored_l), (main_g, mirrored_g) = local.chunk(2), spread.chunk(2)
        return Features(main_l, main_g), Features(mirrored_l, mirrored_g)

    def halve(self, x: Tensor, layer: Folded) -> Tensor:
        """3x3 convolution of stride 2 with reflection, then ReLU; even height and width.

        Only the first row and column read the reflected margin: they are done again, instead of
        copying all of `x` into a larger image.
        """
        y = self.convolve(x, layer, stride=2, padding=(1, 1), after=RELU)
        # A column is done as a row: oneDNN's bfloat16 convolutions of stride 2 go wrong at width 1.
        turned = Folded(layer.weight.mT, layer.bias)
        for rim, part, own in (
            (y[:, :, :1], x[:, :, :2], layer),
            (y.mT[:, :, :1], x.mT[:, :, :2], turned),
        ):
            padded = F.pad(part, (1, 0, 1, 0), mode="reflect")
            rim.copy_(self.convolve(padded, own, stride=2, after=RELU))
        return y

    def refine(
        self, refinement: "SymmetryRefinement", main: Features, mirrored: Features
    ) -> Features:
        """Symmetry refinement."""
        both = Features(
            torch.cat([main.local, mirrored.local], dim=1),
            torch.cat([main.spread, mirrored.spread], dim=1),
        )
        maps = []
        for head in (refinement.condition_scale, refinement.condition_shift):
            features = both
            for layer in head:
                features = self.plain(layer, features)
            maps.append(features)
        scale, shift = maps
        return Features(
            refinement.modulate(main.local, scale.local, shift.local),
            refinement.modulate(main.spread, scale.spread, shift.spread),
        )

    def plain(self, layer: FFCLayer, x: Features) -> Features:
        """A plain fast Fourier convolution layer: batch norms fold into every path."""
        ffc, reflected = layer.ffc, F.pad(x.local, (1, 1, 1, 1), mode="reflect")
        l2l = _fold_norm(ffc.convl2l.weight, layer.bn_l)
        g2l = Folded(_fold_norm(ffc.convg2l.weight, layer.bn_l).weight, None)
        l2g = _fold_norm(ffc.convl2g.weight, layer.bn_g)
        local = self.convolve(reflected, l2l)
        local = local.add_(self.convolve(F.pad(x.spread, (1, 1, 1, 1), mode="reflect"), g2l))
        spread = self.convolve(reflected, l2g)
        spread = spread.add_(self.plain_spectral(ffc.convg2g, x.spread, layer.bn_g))
        return Features(local.relu_(), spread.relu_())

    def plain_spectral(self, spectral: SpectralTransform, x: Tensor, bn: nn.BatchNorm2d) -> Tensor:
        """Global to global, with the scale of the batch norm that follows."""
        x = self.convolve(x, _fold_norm(spectral.conv1[0].weight, spectral.conv1[1]), after=RELU)
        unit = _fold_norm(spectral.fu.conv_layer.weight, spectral.fu.bn)
        x = _through_spectrum(x, unit, RELU)
        return self.convolve(x, Folded(_fold_norm(spectral.conv2.weight, bn).weight, None))

    def inpaint(self, network: "InpaintingNetwork", features: Features, code: Tensor) -> Tensor:
        """One sample from refined features to the image; `code` `[1, slots, w_dim]`."""
        for index, block in enumerate(network.model_res):
            features = self.residual(block, features, code[:, index])
        x = features.joined()
        for level, block in enumerate(network.model_up):
            first = network.blocks + 2 * level
            x = self.enlarge(block, x, code[:, first : first + 2])
        return self.paint(network.model_out[1], x)

    def residual(self, block: FFCResidual, x: Features, code: Tensor) -> Features:
        """A residual block; the sums stay in float32."""
        y = x
        for layer in (block.conv1, block.conv2):
            ffc = layer.ffc
            spread = self.spectral(ffc.convg2g, y.spread, code)
            local = self.styled(ffc.convg2l, y.spread, code)
            y = Features(
                _normalised(self.styled(ffc.convl2l, y.local, code), local, layer.bn_l),
                _normalised(self.styled(ffc.convl2g, y.local, code), spread, layer.bn_g),
            )
        return Features(y.local.add_(x.local), y.spread.add_(x.spread))

    def styled(self, layer: StyledConv, x: Tensor, code: Tensor) -> Tensor:
        """Styled convolution at constant size."""
        half = layer.conv.weight.shape[-1] // 2
        return self.convolve(x, _fold_style(layer, code), padding=(half, half), after=LRELU)

    def spectral(self, spectral: ModulatedSpectralTransform, x: Tensor, code: Tensor) -> Tensor:
        """Modulated global to global."""
        x = self.styled(spectral.conv1, x, code)
        x = _through_spectrum(x, _fold_style(spectral.fu.conv_layer, code), LRELU)
        return self.styled(spectral.conv2, x, code)

    def enlarge(self, block: UpsamplingBlock, x: Tensor, codes: Tensor) -> Tensor:
        """An upsampling block, in strips of rows where that saves memory traffic."""
        folded = _fold_style(block.conv0, codes[:, 0])
        first = Folded(folded.weight.flip(-1, -2), folded.bias)
        second = _fold_style(block.conv1, codes[:, 1])
        if self.dtype != torch.float32:
            return self.convolve(self.shuffled(x, first), second, padding=(1, 1), after=LRELU)
        x = x.contiguous(memory_format=torch.channels_last)
        phases = phase_weights(first.weight)
        layer = FoldedLayer(phases[-1], first.bias, None, None)
        height, width, channels = 2 * x.shape[2], 2 * x.shape[3], len(second.weight)
        out = torch.empty(
            (1, channels, height, width),
            dtype=x.dtype,
            device=x.device,
            memory_format=torch.channels_last,
        )
        with one_thread_each() as threads:

            def fill_rows(top: int, bottom: int) -> None:
                strip = upsampled_rows(x, phases, layer, top - 1, bottom + 1)
                out[:, :, top:bottom] = self.convolve(strip, second, padding=(0, 1), after=LRELU)

            rows = max(8, STRIP_FLOATS // (width * channels * threads) // 2 * 2)
            in_threads(fill_rows, height, part=min(rows, height), threads=threads)
        return out

    def shuffled(self, x: Tensor, layer: Folded) -> Tensor:
        """Smooth upsampling as one 3x3 convolution to all four phases of the output.

        Four times the arithmetic of the transposed convolution, but no pass over large images; for
        processors whose matrix units are far faster than their memory.
        """
        taps = [tap * 2 / sum(FIR_TAPS) for tap in FIR_TAPS]
        weight = _filtered(_filtered(layer.weight, taps, dim=2), taps, dim=3)
        # [O, I, 6, 6] -> phases (row, column) of [O, I, 3, 3]; the first tap reads the last pixel.
        phases = [weight[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        stacked = torch.stack(phases, dim=1).flip(-1, -2).flatten(0, 1)
        bias = layer.bias.repeat_interleave(4)
        return F.pixel_shuffle(
            self.convolve(x, Folded(stacked, bias), padding=(1, 1), after=LRELU), 2
        )

    def paint(self, layer: nn.Conv2d, x: Tensor) -> Tensor:
        """The 7x7 convolution to three channels, and the sigmoid.

        Three output channels use a fraction of a vector unit. So one convolution along columns
        makes an image for each of a row's taps, and a second one adds these up, shifted.
        """
        outputs, inputs, rows, columns = layer.weight.shape
        margin = rows // 2
        weight = layer.weight.permute(3, 0, 1, 2).reshape(columns * outputs, inputs, rows, 1)
        tall = Folded(weight, None)
        y = self.convolve(x, tall, padding=(margin, 0))
        # The first and last rows read the reflected margin: done again, as in `halve`.
        for rim, part, margins in (
            (y[:, :, :margin], x[:, :, : 2 * margin], (0, 0, margin, 0)),
            (y[:, :, -margin:], x[:, :, -2 * margin :], (0, 0, 0, margin)),
        ):
            rim.copy_(self.convolve(F.pad(part, margins, mode="reflect"), tall))
        y = F.pad(y, (margin, margin, 0, 0), mode="reflect")
        pick = torch.eye(outputs, dtype=weight.dtype, device=weight.device)
        shift = weight.new_zeros(outputs, columns, outputs, 1, columns)
        for column in range(columns):
            shift[:, column, :, 0, column] = pick
        adder = Folded(shift.flatten(1, 2), layer.bias)
        y = _Folding(torch.float32).convolve(y, adder, after=("sigmoid", [], ""))
        return y.contiguous()


def _fold_norm(weight: Tensor, bn: nn.BatchNorm2d) -> Folded:
    """A convolution without bias and the batch norm after it."""
    scale = bn.weight * torch.rsqrt(bn.running_var + bn.eps)
    return Folded(weight * scale[:, None, None, None], bn.bias - bn.running_mean * scale)


def _fold_style(layer: StyledConv, code: Tensor) -> Folded:
    """A styled convolution for one code, without its activation."""
    weight = layer.conv.weight[0]
    # The arithmetic of `eg3d.layers.modulated_weight`, on long rows: twice as fast.
    area = weight.shape[2] * weight.shape[3]
    rows = weight.flatten(1) * layer.conv.styles(code).repeat_interleave(area, dim=1)
    energy = torch.linalg.vector_norm(rows, dim=1, keepdim=True).square_()
    rows.mul_(energy.add_(1e-8).rsqrt_().mul_(LRELU_GAIN))
    return Folded(rows.view_as(weight), layer.bias * LRELU_GAIN)


def _through_spectrum(x: Tensor, unit: Folded, after: tuple) -> Tensor:
    """Add to `x` what the 1x1 convolution makes of its spectrum; float32."""
    height, width = x.shape[-2:]
    x = x.float().permute(0, 2, 3, 1)
    # As in `to_spectrum`, with the channels last in memory throughout.
    spectrum = torch.fft.rfft2(x, dim=(1, 2), norm="ortho").contiguous()
    parts = torch.view_as_real(spectrum).flatten(3).permute(0, 3, 1, 2)
    parts = _Folding(torch.float32).convolve(parts, unit, after=after).permute(0, 2, 3, 1)
    spectrum = torch.view_as_complex(parts.unflatten(3, (-1, 2)))
    y = torch.fft.irfft2(spectrum, s=(height, width), dim=(1, 2), norm="ortho")
    return y.contiguous().add_(x).permute(0, 3, 1, 2)


def _normalised(a: Tensor, b: Tensor, bn: nn.BatchNorm2d) -> Tensor:
    """ReLU of the batch norm of a + b, in float32; may overwrite `a`."""
    total = a.float().add_(b)
    statistics = (bn.running_mean, bn.running_var, bn.weight, bn.bias)
    return F.batch_norm(total, *statistics, training=False, eps=bn.eps).relu_()


def _filtered(weight: Tensor, taps: list[float], *, dim: int) -> Tensor:
    """Full convolution of a kernel with `taps` along one axis, which grows by three."""
    length = weight.shape[dim]
    shape = list(weight.shape)
    shape[dim] = length + len(taps) - 1
    out = weight.new_zeros(shape)
    for offset, tap in enumerate(taps):
        out.narrow(dim, offset, length).add_(weight, alpha=tap)
    return out
