"""Planes of one photo: what the backbone paints plus a learned rest.

The backbone still paints from the latent, so that a changed latent changes the planes; the rest is
added to whatever it paints. ``[3 C, H, W]`` numbers hold what no latent could say of the photo.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from eg3d import TriPlaneGenerator


class ResidualSynthesis(nn.Module):
    """A synthesis network and what is added to its planes; takes its place in a generator."""

    def __init__(self, synthesis: nn.Module, residual: Tensor) -> None:
        """Take both.

        Args:
            synthesis: ``ws [B, num_ws, w_dim]`` to planes ``[B, 3 C, H, W]``.
            residual: ``[3 C, H, W]``.
        """
        super().__init__()
        self.synthesis = synthesis
        self.w_dim = synthesis.w_dim
        self.num_ws = synthesis.num_ws
        self.residual = nn.Parameter(residual, requires_grad=False)

    def forward(
        self,
        ws: Tensor,
        *,
        noise_mode: str = "const",
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Paint planes ``[B, 3 C, H, W]`` from ``[B, num_ws, w_dim]``."""
        painted = self.synthesis(ws, noise_mode=noise_mode, generator=generator)
        return painted + self.residual.to(painted)


def with_residual(
    generator: TriPlaneGenerator, residual: Tensor | None = None
) -> TriPlaneGenerator:
    """A copy of a generator whose planes have a rest of their own.

    Args:
        generator: it is not changed.
        residual: ``[3 C, H, W]``; zeros if None, with which the copy paints as the original.

    Raises:
        ValueError: a residual of another shape.
    """
    shape = residual_shape(generator)
    if residual is None:
        residual = generator.mean_latent().new_zeros(shape)
    if tuple(residual.shape) != shape:
        raise ValueError(
            f"a residual of shape {list(residual.shape)}; this generator's planes take "
            f"{list(shape)}"
        )
    copy = deepcopy(generator)
    copy.backbone.synthesis = ResidualSynthesis(copy.backbone.synthesis, residual.clone())
    return copy.eval()


def residual_shape(generator: TriPlaneGenerator) -> tuple[int, int, int]:
    """``(3 C, H, W)`` of a generator's planes."""
    sizes = generator.extensions
    return (3 * sizes.plane_channels, sizes.plane_resolution, sizes.plane_resolution)
