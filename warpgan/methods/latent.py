"""Inversion into the generator's W+ space: everything a method adds is the latent."""

import torch
import torch.nn.functional as F
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.methods.base import Inversion, Stopwatch, Views
from warpgan.warp import depth_z_from_ray_length


class LatentInversion(Inversion):
    """A batch of latents; its planes are painted once and rendered from any number of cameras."""

    def __init__(self, generator: TriPlaneGenerator, ws: Tensor, *, seconds: float) -> None:
        """Paint the planes.

        Args:
            generator: renders the latents.
            ws: ``[B, num_ws, w_dim]``.
            seconds: what finding the latents took; painting is added.
        """
        self.generator = generator
        self.ws = ws
        with torch.no_grad(), Stopwatch().running(ws.device) as watch:
            self.planes = generator.planes(ws)
        self.seconds = seconds + watch.seconds

    @torch.no_grad()
    def render(self, cameras: Tensor) -> Views:
        """Render from cameras ``[B, V, 25]``.

        Depth is computed on the grid of rays and enlarged (bilinear) to the image.
        """
        with Stopwatch().running(cameras.device) as watch:
            drawn = self.generator.render(self.planes, self.ws, cameras)
            depth_z = depth_z_from_ray_length(drawn.ray_length, cameras)
            size = drawn.image.shape[-2:]
            if depth_z.shape[-2:] != size:
                flat = F.interpolate(depth_z.flatten(0, 1), size, mode="bilinear")
                depth_z = flat.unflatten(0, depth_z.shape[:2])
        return Views(image=drawn.image, depth_z=depth_z, seconds=watch.seconds)
