"""Convolutions modulated by a style code (StyleGAN2), with a leaky ReLU inside.

A layer's code `[B, w_dim]` is mapped to one factor per input channel; the factors scale the
convolution's weight, which is then normalised per output channel. The arithmetic is that of
`eg3d.layers`; the names of parameters are those of the released SVINet.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eg3d.layers import LRELU_GAIN, LRELU_SLOPE, FullyConnected, modulated_convolve
from eg3d.precision import at_least_float32, full_precision
from eg3d.resampling import FIR_TAPS, fir_matrix


class ModulatedConv(nn.Module):
    """Weight and affine map of a modulated convolution with zero padding, no bias."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, w_dim: int, up: int = 1
    ) -> None:
        """Build the layer.

        Args:
            in_channels: channels of the input.
            out_channels: channels of the output.
            kernel: side of the kernel, odd; 3 where `up` is 2.
            w_dim: length of the code.
            up: 1, or 2 for smooth two-fold upsampling.
        """
        super().__init__()
        self.up = up
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel * kernel)
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, kernel, kernel))
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        # Constant, and in the released state dict of every such layer.
        self.register_buffer("resample_filter", fir_matrix(FIR_TAPS))

    def styles(self, code: Tensor) -> Tensor:
        """Factors of the input channels `[B, I]` for `code` `[B, w_dim]`, weight gain included."""
        return self.affine(at_least_float32(code)) * self.weight_gain

    def forward(self, x: Tensor, code: Tensor, *, gain: float = 1.0) -> Tensor:
        """Map `[B, I, H, W]` to `[B, O, up * H, up * W]`, times `gain`."""
        with full_precision(x):
            styles = self.styles(code)
        weight = self.weight[0]
        if self.up == 2:
            # Released: correlation with the zero-filled image, where eg3d convolves.
            weight = weight.flip(-1, -2)
        return modulated_convolve(x, weight, styles, up=self.up, gain=gain)


class StyledConv(nn.Module):
    """Modulated convolution, bias, leaky ReLU of slope 0.2 and gain sqrt 2."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, w_dim: int, up: int = 1
    ) -> None:
        """Build the layer; arguments as for `ModulatedConv`."""
        super().__init__()
        self.conv = ModulatedConv(in_channels, out_channels, kernel=kernel, w_dim=w_dim, up=up)
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Map `[B, I, H, W]` and the code `[B, w_dim]` to `[B, O, up * H, up * W]`."""
        # The leaky ReLU is positively homogeneous: its gain goes into weight and bias.
        y = self.conv(x, code, gain=LRELU_GAIN)
        bias = (self.bias * LRELU_GAIN)[:, None, None]
        return F.leaky_relu(y + bias.to(y.dtype), LRELU_SLOPE)


class UpsamplingBlock(nn.Module):
    """Two styled 3x3 convolutions, the first of which doubles height and width."""

    def __init__(self, in_channels: int, out_channels: int, *, w_dim: int) -> None:
        """Build the block."""
        super().__init__()
        self.conv0 = StyledConv(in_channels, out_channels, kernel=3, w_dim=w_dim, up=2)
        self.conv1 = StyledConv(out_channels, out_channels, kernel=3, w_dim=w_dim)

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Map `[B, I, H, W]` and the two codes `[B, 2, w_dim]` to `[B, O, 2 H, 2 W]`."""
        return self.conv1(self.conv0(x, codes[:, 0]), codes[:, 1])
