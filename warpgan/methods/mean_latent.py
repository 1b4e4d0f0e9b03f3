"""The floor of every inversion: the generator's mean face, whatever the photo shows."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.methods.base import Method, Stopwatch
from warpgan.methods.latent import LatentInversion


class MeanLatent(Method):
    """Renders the mean latent at the camera asked for."""

    def __init__(
        self,
        generator: TriPlaneGenerator,
        latent: Tensor | None = None,
        *,
        name: str = "mean_latent",
        files: Sequence[Path] = (),
    ) -> None:
        """Take the latent to render.

        Args:
            generator: in eval mode.
            latent: ``[w_dim]`` or ``[num_ws, w_dim]``; the generator's running mean if ``None``.
            name: how tables call the method.
            files: what the latent and the generator were read from.
        """
        latent = torch.atleast_2d(generator.mean_latent() if latent is None else latent)
        self.generator = generator
        self.latent = latent.to(generator.mean_latent())
        self.name = name
        self.files = tuple(files)
        self.image_size = generator.img_resolution
        self.device = generator.mean_latent().device

    @torch.no_grad()
    def invert(self, photo: Tensor, camera: Tensor) -> LatentInversion:
        """Give every photo ``[B, 3, S, S]`` the same latent."""
        with Stopwatch().running(photo.device) as watch:
            ws = self.latent.expand(len(photo), self.generator.num_ws, -1)
        return LatentInversion(self.generator, ws, seconds=watch.seconds)
