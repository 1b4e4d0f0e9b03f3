"""Inversion into the generator's W+ space: everything a method adds is the latent."""

import torch
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.methods.base import Inversion, Stopwatch, Views
from warpgan.pipeline import enlarged_depth_z


class LatentInversion(Inversion):
    """A batch of latents; its planes are painted once and rendered from any number of cameras."""

    def __init__(
        self,
        generator: TriPlaneGenerator,
        ws: Tensor,
        *,
        seconds: float,
        planes: Tensor | None = None,
    ) -> None:
        """Paint the planes.

        Args:
            generator: renders the latents.
            ws: ``[B, num_ws, w_dim]``.
            seconds: what finding the latents took; painting is added.
            planes: ``[B, 3, C, H, W]`` where they are painted already.
        """
        self.generator = generator
        self.ws = ws
        with torch.no_grad(), Stopwatch().running(ws.device) as watch:
            self.planes = generator.planes(ws) if planes is None else planes
        self.seconds = seconds + watch.seconds

    @torch.no_grad()
    def render(self, cameras: Tensor) -> Views:
        """Render from cameras ``[B, V, 25]``.

        Depth is computed on the grid of rays and enlarged (bilinear) to the image.
        """
        with Stopwatch().running(cameras.device) as watch:
            drawn = self.generator.render(self.planes, self.ws, cameras)
            depth_z = enlarged_depth_z(drawn.ray_length, cameras, size=drawn.image.shape[-1])
        return Views(image=drawn.image, depth_z=depth_z, seconds=watch.seconds)
