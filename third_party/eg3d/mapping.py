"""Mapping network: latent z and conditioning camera to the intermediate latent w."""

import torch
from torch import Tensor, nn

from .layers import FullyConnected
from .precision import at_least_float32, full_precision


def normalize_second_moment(x: Tensor) -> Tensor:
    """Scale `[B, N]` so that the mean square of each row is 1."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class MappingNetwork(nn.Module):
    """Fully connected network from (z, camera) to w."""

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        *,
        w_dim: int,
        num_ws: int,
        num_layers: int = 8,
        embed_features: int | None = None,
        layer_features: int | None = None,
        activation: str = "lrelu",
        lr_multiplier: float = 0.01,
        w_avg_beta: float = 0.998,
        skip: bool = False,
    ) -> None:
        """Build the layers.

        Args:
            z_dim: Size of the latent; it is normalised, so only its direction counts.
            c_dim: Size of the camera label, or 0 for a network without conditioning.
            w_dim: Size of the result.
            num_ws: How often w is repeated, once a synthesis layer.
            num_layers: Fully connected layers.
            embed_features: Size of the camera embedding (default `w_dim`).
            layer_features: Size of the hidden layers (default `w_dim`).
            activation: ``"lrelu"`` or ``"linear"``.
            lr_multiplier: Equalised learning rate of the layers.
            w_avg_beta: Decay of the running mean of w.
            skip: Extension: add a linear map of the normalised z to w.
        """
        super().__init__()
        embed = 0 if c_dim == 0 else (w_dim if embed_features is None else embed_features)
        hidden = w_dim if layer_features is None else layer_features
        sizes = [z_dim + embed, *[hidden] * (num_layers - 1), w_dim]
        self.z_dim = z_dim
        self.c_dim = c_dim
        self.num_ws = num_ws
        self.num_layers = num_layers
        self.w_avg_beta = w_avg_beta
        self.register_buffer("w_avg", torch.zeros(w_dim))
        if c_dim > 0:
            self.embed = FullyConnected(c_dim, embed)
        for index in range(num_layers):
            layer = FullyConnected(
                sizes[index],
                sizes[index + 1],
                activation=activation,
                lr_multiplier=lr_multiplier,
            )
            self.add_module(f"fc{index}", layer)
        self.skip = FullyConnected(z_dim, w_dim) if skip else None

    def forward(
        self,
        z: Tensor,
        camera: Tensor,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_average: bool = False,
    ) -> Tensor:
        """Map to `ws` `[B, num_ws, w_dim]`.

        Args:
            z: `[B, z_dim]`.
            camera: `[B, c_dim]` conditioning camera (unused where `c_dim` is 0).
            truncation_psi: 1 leaves w alone, 0 gives the mean w.
            truncation_cutoff: Truncate only the first so many of the ws (None: all).
            update_average: Training: move the running mean towards the mean of this batch.
        """
        with full_precision(z):
            unit_z = normalize_second_moment(at_least_float32(z))
            x = unit_z
            if self.c_dim > 0:
                embedded = normalize_second_moment(self.embed(at_least_float32(camera)))
                x = torch.cat([x, embedded], 1)
            for index in range(self.num_layers):
                x = getattr(self, f"fc{index}")(x)
            if self.skip is not None:
                x = x + self.skip(unit_z)
            if update_average:
                self.w_avg.copy_(x.detach().mean(0).lerp(self.w_avg, self.w_avg_beta))
            ws = x[:, None].repeat(1, self.num_ws, 1)
            if truncation_psi == 1.0:
                return ws
            cut = self.num_ws if truncation_cutoff is None else truncation_cutoff
            truncated = self.w_avg.lerp(ws[:, :cut], truncation_psi)
            return torch.cat([truncated, ws[:, cut:]], 1)
