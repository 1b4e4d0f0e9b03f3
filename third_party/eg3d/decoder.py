"""The small network that turns tri-plane features into density and colour."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import FullyConnected

COLOUR_SCALE = 1.002
COLOUR_SHIFT = 0.001


class Decoder(nn.Module):
    """Features to raw density and colour features; the view direction plays no part."""

    def __init__(
        self, in_features: int, *, hidden: int, out_features: int, lr_multiplier: float = 1.0
    ) -> None:
        """Build the layers.

        Args:
            in_features: Channels of the planes.
            hidden: Width of the hidden layer.
            out_features: Colour channels; the first three are red, green, blue.
            lr_multiplier: Equalised learning rate of both layers.
        """
        super().__init__()
        self.net = nn.Sequential(
            FullyConnected(in_features, hidden, lr_multiplier=lr_multiplier),
            nn.Softplus(),
            FullyConnected(hidden, 1 + out_features, lr_multiplier=lr_multiplier),
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Decode channels-first point features.

        Channels come first so that neither the look-up before nor the marching after copies.

        Args:
            features: `[B, in_features, N]`, mean over the planes.

        Returns:
            Raw density `[B, N]` (before any activation) and colour `[B, out_features, N]` in
            [-0.001, 1.001].
        """
        first, last = self.net[0], self.net[2]
        x = _linear(first, features)
        x = _linear(last, F.softplus(x))
        return x[:, 0], torch.sigmoid(x[:, 1:]) * COLOUR_SCALE - COLOUR_SHIFT


def _linear(layer: FullyConnected, x: Tensor) -> Tensor:
    """Apply a linear layer along axis 1 of `[B, I, N]`."""
    weight = (layer.weight * layer.weight_gain).expand(x.shape[0], -1, -1)
    bias = layer.bias * layer.bias_gain
    return torch.baddbmm(bias[None, :, None], weight, x)
