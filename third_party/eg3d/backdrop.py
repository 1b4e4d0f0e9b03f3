"""Extension: a background at finite depth, the inside of a sphere.

Its colour features are four linear spherical harmonics whose coefficients come from the last
latent, evaluated at the point where a ray leaves the sphere. It generalises `white_back`: light
that the volume lets through shows the backdrop, and its distance enters the ray length.
"""

import torch
from torch import Tensor, nn

from .layers import FullyConnected


class Backdrop(nn.Module):
    """Sphere with a smooth colour that depends on the latent."""

    def __init__(
        self, w_dim: int, *, features: int, radius: float, centre: tuple[float, float, float]
    ) -> None:
        """Build the layers.

        Args:
            w_dim: Size of the latent.
            features: Colour features.
            radius: Of the sphere, in world units.
            centre: Of the sphere, in world coordinates.
        """
        super().__init__()
        self.features = features
        self.radius = radius
        self.affine = FullyConnected(w_dim, 4 * features)
        self.register_buffer("centre", torch.tensor(centre), persistent=False)

    def forward(self, w: Tensor, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Intersect rays that start inside of or look at the sphere.

        Args:
            w: `[B, w_dim]`.
            origins: `[B, M, 3]`.
            directions: `[B, M, 3]`, unit.

        Returns:
            Colour features `[B, features, M]` in [0, 1] and distance `[B, M]` of the exit point.
            A ray that misses the sphere gets its nearest point.
        """
        offset = origins - self.centre.to(origins.dtype)
        along = -(directions * offset).sum(-1)
        inside = self.radius**2 - offset.square().sum(-1) + along.square()
        length = along + inside.clamp(min=1e-6).sqrt()
        exit_point = (offset + length[..., None] * directions) / self.radius
        coefficients = self.affine(w).unflatten(-1, (4, self.features))
        mean, slope = coefficients[:, 0], coefficients[:, 1:]
        return torch.sigmoid(mean[..., None] + slope.transpose(1, 2) @ exit_point.mT), length
