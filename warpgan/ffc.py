"""Fast Fourier convolutions (Chi et al. 2020; LaMa, Suvorov et al. 2022), plain and modulated.

Features are a pair (local, global) of maps `[B, C, H, W]`. Four paths lead from one pair to the
next: three are convolutions, global to global is a spectral transform, whose middle part sees the
whole image at once. Plain convolutions pad by reflection, modulated ones by zeros, as released.
The Fourier part stays in float32 under autocast: half precision overflows there.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eg3d.precision import at_least_float32, full_precision
from warpgan.modulation import StyledConv


@dataclass(frozen=True)
class Features:
    """Local `[B, L, H, W]` and global `[B, G, H, W]` features; None where there are no channels."""

    local: Tensor | None
    spread: Tensor | None

    def joined(self) -> Tensor:
        """Both along the channel axis: `[B, L + G, H, W]`."""
        parts = [part for part in (self.local, self.spread) if part is not None]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


class PlainConv(nn.Conv2d):
    """Convolution without bias that pads by reflection and has no use for a code."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, stride: int = 1):
        """Build the layer."""
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=kernel // 2,
            padding_mode="reflect",
            bias=False,
        )

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Map `[B, I, H, W]` to `[B, O, H / stride, W / stride]`."""
        return super().forward(x)


def to_spectrum(x: Tensor) -> Tensor:
    """Real and imaginary parts, alternating: `[B, C, H, W]` to `[B, 2 C, H, W // 2 + 1]`."""
    spectrum = torch.view_as_real(torch.fft.rfft2(x, norm="ortho"))
    return spectrum.permute(0, 1, 4, 2, 3).flatten(1, 2)


def from_spectrum(parts: Tensor, size: tuple[int, int]) -> Tensor:
    """Undo `to_spectrum`: `[B, 2 C, H, W // 2 + 1]` to `[B, C, H, W]`, where `size` is (H, W)."""
    paired = parts.unflatten(1, (-1, 2)).permute(0, 1, 3, 4, 2).contiguous()
    return torch.fft.irfft2(torch.view_as_complex(paired), s=size, norm="ortho")


class FourierUnit(nn.Module):
    """1x1 convolution, batch norm and ReLU on the spectrum."""

    def __init__(self, channels: int) -> None:
        """Build the unit."""
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to the same shape, in float32 at least."""
        with full_precision(x):
            x = at_least_float32(x)
            parts = F.relu(self.bn(self.conv_layer(to_spectrum(x))))
            return from_spectrum(parts, x.shape[-2:])


class SpectralTransform(nn.Module):
    """Global to global: halve the channels, add the Fourier unit's result, widen again."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build the transform."""
        super().__init__()
        half = out_channels // 2
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU()
        )
        self.fu = FourierUnit(half)
        self.conv2 = nn.Conv2d(half, out_channels, 1, bias=False)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Map `[B, I, H, W]` to `[B, O, H, W]`."""
        x = self.conv1(x)
        return self.conv2(x + self.fu(x))


class ModulatedFourierUnit(nn.Module):
    """Styled 1x1 convolution on the spectrum."""

    def __init__(self, channels: int, *, w_dim: int) -> None:
        """Build the unit."""
        super().__init__()
        self.conv_layer = StyledConv(2 * channels, 2 * channels, kernel=1, w_dim=w_dim)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to the same shape, in float32 at least."""
        with full_precision(x):
            x = at_least_float32(x)
            return from_spectrum(self.conv_layer(to_spectrum(x), code), x.shape[-2:])


class ModulatedSpectralTransform(nn.Module):
    """`SpectralTransform` with styled convolutions."""

    def __init__(self, in_channels: int, out_channels: int, *, w_dim: int) -> None:
        """Build the transform."""
        super().__init__()
        half = out_channels // 2
        self.conv1 = StyledConv(in_channels, half, kernel=1, w_dim=w_dim)
        self.fu = ModulatedFourierUnit(half, w_dim=w_dim)
        self.conv2 = StyledConv(half, out_channels, kernel=1, w_dim=w_dim)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Map `[B, I, H, W]` and the code `[B, w_dim]` to `[B, O, H, W]`."""
        x = self.conv1(x, code)
        return self.conv2(x + self.fu(x, code), code)


class FFC(nn.Module):
    """The four paths of a fast Fourier convolution, handed in built; None where there is none."""

    def __init__(
        self,
        *,
        convl2l: nn.Module | None,
        convl2g: nn.Module | None = None,
        convg2l: nn.Module | None = None,
        convg2g: nn.Module | None = None,
    ) -> None:
        """Build the sum of paths."""
        super().__init__()
        self.convl2l = convl2l
        self.convl2g = convl2g
        self.convg2l = convg2l
        self.convg2g = convg2g

    def forward(self, x: Features, code: Tensor | None = None) -> Features:
        """Map features and, for modulated paths, the code `[B, w_dim]` to features."""
        return Features(
            local=_sum_of(self.convl2l, x.local, self.convg2l, x.spread, code),
            spread=_sum_of(self.convl2g, x.local, self.convg2g, x.spread, code),
        )


def _sum_of(
    first: nn.Module | None,
    a: Tensor | None,
    second: nn.Module | None,
    b: Tensor | None,
    code: Tensor | None,
) -> Tensor | None:
    if second is None:
        return None if first is None else first(a, code)
    return first(a, code) + second(b, code)


class FFCLayer(nn.Module):
    """Fast Fourier convolution, batch norm and ReLU."""

    def __init__(self, ffc: FFC, *, local: int, spread: int = 0) -> None:
        """Build the layer.

        Args:
            ffc: the convolution.
            local: its local output channels.
            spread: its global output channels.
        """
        super().__init__()
        self.ffc = ffc
        self.bn_l = nn.BatchNorm2d(local)
        self.bn_g = nn.BatchNorm2d(spread) if spread else None

    def forward(self, x: Features, code: Tensor | None = None) -> Features:
        """Map features and, if modulated, the code `[B, w_dim]` to features."""
        x = self.ffc(x, code)
        spread = None if self.bn_g is None else F.relu(self.bn_g(x.spread))
        return Features(local=F.relu(self.bn_l(x.local)), spread=spread)


class FFCResidual(nn.Module):
    """Two layers, added to their input."""

    def __init__(self, conv1: FFCLayer, conv2: FFCLayer) -> None:
        """Build the block."""
        super().__init__()
        self.conv1 = conv1
        self.conv2 = conv2

    def forward(self, x: Features, code: Tensor | None = None) -> Features:
        """Map features and, if modulated, the code `[B, w_dim]` to features of the same shapes."""
        y = self.conv2(self.conv1(x, code), code)
        return Features(local=x.local + y.local, spread=x.spread + y.spread)


def plain_layer(
    in_channels: tuple[int, int],
    out_channels: tuple[int, int],
    *,
    kernel: int = 3,
    stride: int = 1,
) -> FFCLayer:
    """Build a layer of plain convolutions.

    Args:
        in_channels: local and global channels; 0 for none.
        out_channels: likewise, of the output.
        kernel: side of the kernels.
        stride: 1 or 2; 2 only without global input.
    """
    (l_in, g_in), (l_out, g_out) = in_channels, out_channels

    def conv(inputs: int, outputs: int) -> PlainConv | None:
        return (
            PlainConv(inputs, outputs, kernel=kernel, stride=stride) if inputs * outputs else None
        )

    ffc = FFC(
        convl2l=conv(l_in, l_out),
        convl2g=conv(l_in, g_out),
        convg2l=conv(g_in, l_out),
        convg2g=SpectralTransform(g_in, g_out) if g_in * g_out else None,
    )
    return FFCLayer(ffc, local=l_out, spread=g_out)


def modulated_layer(channels: tuple[int, int], *, w_dim: int) -> FFCLayer:
    """Build a layer of styled 3x3 convolutions that keeps its local and global `channels`."""
    local, spread = channels

    def conv(inputs: int, outputs: int) -> StyledConv:
        return StyledConv(inputs, outputs, kernel=3, w_dim=w_dim)

    ffc = FFC(
        convl2l=conv(local, local),
        convl2g=conv(local, spread),
        convg2l=conv(spread, local),
        convg2g=ModulatedSpectralTransform(spread, spread, w_dim=w_dim),
    )
    return FFCLayer(ffc, local=local, spread=spread)
