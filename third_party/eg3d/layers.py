"""Building blocks of the StyleGAN2 networks: equalised linear layer and modulated convolution.

Conventions: images are `[B, C, H, W]`, held channels-last. Filters are the outer product of
[1, 3, 3, 1] / 8, symmetric, so that flips do not matter. Under autocast only the convolutions run
in the lower precision; styles, demodulation and the skip image stay in float32.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .precision import at_least_float32, autocast_type, full_precision
from .resampling import FIR_TAPS, fir_matrix, smooth_upsampled

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2.0)
NOISE_MODES = ("const", "random", "none")


class FullyConnected(nn.Module):
    """Linear layer with equalised learning rate.

    The stored weight is N(0, 1) / m; the weight in use is W * m / sqrt(in), the bias in use b * m.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        """Build the layers.

        Args:
            in_features: Size of the last axis of the input.
            out_features: Size of the last axis of the output.
            activation: ``"linear"``, or ``"lrelu"`` (slope 0.2, then times sqrt 2).
            lr_multiplier: The multiplier m.
            bias_init: Initial bias.
        """
        super().__init__()
        if activation not in ("linear", "lrelu"):
            raise ValueError(f"activation is {activation!r}; expected 'linear' or 'lrelu'")
        self.activation = activation
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., in_features]` to `[..., out_features]`."""
        bias = self.bias if self.bias_gain == 1.0 else self.bias * self.bias_gain
        y = F.linear(x, self.weight * self.weight_gain, bias)
        if self.activation == "lrelu":
            y = F.leaky_relu(y, LRELU_SLOPE) * LRELU_GAIN
        return y


def convolve(x: Tensor, weight: Tensor, *, up: int = 1) -> Tensor:
    """Plain "same" convolution, optionally with smooth two-fold upsampling.

    Args:
        x: `[B, I, H, W]`.
        weight: `[O, I, k, k]` with odd k; k = 3 where `up` is 2.
        up: 1, or 2: transposed convolution of stride 2 followed by the FIR filter of gain 4.

    Returns:
        `[B, O, up * H, up * W]`.
    """
    if up == 1:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    return smooth_upsampled(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))


def modulated_convolve(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    up: int = 1,
    demodulate: bool = True,
    gain: float = 1.0,
) -> Tensor:
    """Convolution whose input channels are scaled per sample (StyleGAN2, equations 1 and 3).

    One sample: the styles go into the weight. More: they scale the activations instead, the same
    arithmetic without a grouped convolution, which is slow on CPUs.

    Args:
        x: `[B, I, H, W]`.
        weight: `[O, I, k, k]`.
        styles: `[B, I]`.
        up: 1 or 2.
        demodulate: Normalise each output channel by the norm of its modulated weight.
        gain: Factor on the result.

    Returns:
        `[B, O, up * H, up * W]`, in the autocast type where autocast is on.
    """
    with full_precision(x):
        styles = at_least_float32(styles)
        if demodulate and _computes_in_half(x):
            # float16 overflows easily; demodulation cancels both factors.
            fan_in = weight[0].numel()
            weight = weight / (math.sqrt(fan_in) * weight.abs().amax((1, 2, 3), keepdim=True))
            styles = styles / styles.abs().amax(1, keepdim=True)
        if x.shape[0] == 1:
            weight = modulated_weight(weight, styles, demodulate=demodulate, gain=gain)
        elif demodulate:
            out_scale = _demodulation(weight, styles) * gain
        elif gain != 1.0:
            styles = styles * gain
    if x.shape[0] == 1:
        return convolve(x, weight, up=up)
    y = convolve(x * styles[:, :, None, None].to(x.dtype), weight, up=up)
    return y * out_scale[:, :, None, None].to(y.dtype) if demodulate else y


def modulated_weight(
    weight: Tensor, styles: Tensor, *, demodulate: bool = True, gain: float = 1.0
) -> Tensor:
    """Weight for a single sample: `[O, I, k, k]` times styles `[1, I]`, normalised, times gain."""
    return weight * modulation_factors(weight, styles, demodulate=demodulate, gain=gain)


def modulation_factors(
    weight: Tensor, styles: Tensor, *, demodulate: bool = True, gain: float = 1.0
) -> Tensor:
    """What a single sample's weight is multiplied by: `[O or 1, I, 1, 1]`."""
    factors = styles * gain
    if demodulate:
        factors = _demodulation(weight, styles).t() * factors
    return factors[:, :, None, None]


def _demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Inverse norm of each output channel's modulated weight, `[B, O]`."""
    # Not weight.square().sum(): that would hold a second weight in memory.
    energy = torch.linalg.vector_norm(weight, dim=(2, 3)).square()
    return torch.rsqrt(styles.square() @ energy.t() + 1e-8)


def _computes_in_half(x: Tensor) -> bool:
    """Whether convolutions of `x` run in float16, by its type or by autocast."""
    return (autocast_type(x) or x.dtype) == torch.float16


class SynthesisLayer(nn.Module):
    """Style-modulated 3x3 convolution, noise, bias, leaky ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        w_dim: int,
        resolution: int,
        up: int = 1,
        conv_clamp: float | None = None,
        learned_map: bool = False,
    ) -> None:
        """Build the layers.

        Args:
            in_channels: Channels of the input.
            out_channels: Channels of the output.
            w_dim: Size of the latent.
            resolution: Side of the output, in pixels.
            up: 1 or 2.
            conv_clamp: Limit of the absolute value of the output, or None.
            learned_map: Extension: a trainable map `[out_channels, resolution, resolution]` added
                before the activation.
        """
        super().__init__()
        self.resolution = resolution
        self.up = up
        self.conv_clamp = conv_clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("resample_filter", fir_matrix(FIR_TAPS))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        if learned_map:
            self.learned_map = nn.Parameter(torch.randn(out_channels, resolution, resolution) * 0.3)
        else:
            self.register_parameter("learned_map", None)

    def forward(
        self,
        x: Tensor,
        w: Tensor,
        *,
        noise_mode: str = "const",
        generator: torch.Generator | None = None,
        gain: float = 1.0,
    ) -> Tensor:
        """Apply the layer.

        Args:
            x: `[B, I, resolution / up, resolution / up]`.
            w: `[B, w_dim]`.
            noise_mode: ``"const"`` (the stored map), ``"random"`` or ``"none"``.
            generator: Source of the random noise, on the device of `x`.
            gain: Factor on the activation.

        Returns:
            `[B, O, resolution, resolution]`.
        """
        # The leaky ReLU is positively homogeneous: its gain goes into weight, bias and noise.
        post_gain = LRELU_GAIN * gain
        with full_precision(x):
            styles = self.affine(at_least_float32(w))
            offset = (self.bias * post_gain)[:, None, None]
            if self.learned_map is not None:
                offset = offset + self.learned_map * post_gain
            noise = self.scaled_noise(x.shape[0], noise_mode, generator, gain=gain)
        y = modulated_convolve(x, self.weight, styles, up=self.up, gain=post_gain)
        if noise is not None:
            y = y.add_(noise.to(y.dtype))
        y = F.leaky_relu_(y.add_(offset.to(y.dtype)), LRELU_SLOPE)
        if self.conv_clamp is not None:
            limit = self.conv_clamp * gain
            y = y.clamp(-limit, limit)
        return y

    def scaled_noise(
        self,
        batch: int,
        noise_mode: str,
        generator: torch.Generator | None,
        *,
        gain: float = 1.0,
    ) -> Tensor | None:
        """Noise as it enters the activation, `[1 or batch, 1, S, S]`, or None."""
        if noise_mode not in NOISE_MODES:
            raise ValueError(f"noise_mode is {noise_mode!r}; expected one of {NOISE_MODES}")
        if noise_mode == "none":
            return None
        noise = self.noise_const[None, None]
        if noise_mode == "random":
            noise = torch.randn(
                (batch, 1, *self.noise_const.shape),
                generator=generator,
                device=noise.device,
                dtype=noise.dtype,
            )
        return noise * (self.noise_strength * (LRELU_GAIN * gain))


class ToRGB(nn.Module):
    """Style-modulated 1x1 convolution to image channels, without demodulation or activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        w_dim: int,
        conv_clamp: float | None = None,
    ) -> None:
        """Build the layers.

        Args:
            in_channels: Channels of the features.
            out_channels: Channels of the image.
            w_dim: Size of the latent.
            conv_clamp: Limit of the absolute value of the output, or None.
        """
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.style_gain = 1.0 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map features `[B, I, H, W]` and `w` `[B, w_dim]` to `[B, O, H, W]`."""
        with full_precision(x):
            styles = self.affine(at_least_float32(w)) * self.style_gain
        y = modulated_convolve(x, self.weight, styles, demodulate=False)
        y = y.add_(self.bias[:, None, None].to(y.dtype))
        if self.conv_clamp is not None:
            y = y.clamp(-self.conv_clamp, self.conv_clamp)
        return y
