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
        *,
        name: str = "mean_latent",
        files: Sequence[Path] = (),
    ) -> None:
        """Take a generator in eval mode; ``files`` is what it was read from."""
        self.generator = generator
        self.name = name
        self.files = tuple(files)
        self.image_size = generator.img_resolution
        self.device = generator.mean_latent().device

    @torch.no_grad()
    def invert(self, photo: Tensor, camera: Tensor) -> LatentInversion:
        """Give every photo ``[B, 3, S, S]`` the same latent."""
        with Stopwatch().running(photo.device) as watch:
            mean = self.generator.mean_latent()
            ws = mean.expand(len(photo), self.generator.num_ws, -1)
        return LatentInversion(self.generator, ws, seconds=watch.seconds)
