"""The ceiling of inversion in the embedded world: the latent that each photo was drawn from.

What is lost here, no encoder can win back with this generator: details that the latent does not
hold, and what the generator did not learn.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.cameras import frontal_label
from warpgan.methods.base import Method, Stopwatch
from warpgan.methods.latent import LatentInversion


def photo_key(photo: Tensor) -> str:
    """Key of one photo ``[3, S, S]`` in [-1, 1]: a hash of its 8-bit pixels."""
    levels = ((photo.detach().cpu().float().clamp(-1, 1) + 1) * 127.5).round()
    return hashlib.sha256(levels.to(torch.uint8).contiguous().numpy().tobytes()).hexdigest()


class TrueLatent(Method):
    """Looks a photo's latent up by its pixels."""

    def __init__(
        self,
        generator: TriPlaneGenerator,
        latents: Mapping[str, Tensor],
        *,
        name: str = "true_latent",
        files: Sequence[Path] = (),
    ) -> None:
        """Keep the table.

        Args:
            generator: whose ``z`` is the world's latent, in eval mode.
            latents: ``photo_key`` of each photo to its latent ``[z_dim]``.
            name: how tables call the method.
            files: what the generator was read from.

        Raises:
            ValueError: if a latent does not fit the generator.
        """
        for key, latent in latents.items():
            if tuple(latent.shape) != (generator.z_dim,):
                raise ValueError(
                    f"the latent of photo {key[:12]} has shape {tuple(latent.shape)}; this "
                    f"generator takes [{generator.z_dim}]: it was not distilled from this world"
                )
        self.generator = generator
        self.latents = dict(latents)
        self.name = name
        self.files = tuple(files)
        self.image_size = generator.img_resolution
        self.device = generator.mean_latent().device

    @torch.no_grad()
    def invert(self, photo: Tensor, camera: Tensor) -> LatentInversion:
        """Find the latents of photos ``[B, 3, S, S]``.

        Raises:
            KeyError: for a photo that is not of the world's data set.
        """
        keys = [photo_key(image) for image in photo]
        unknown = [row for row, key in enumerate(keys) if key not in self.latents]
        if unknown:
            raise KeyError(
                f"photo {unknown[0]} of the batch has no known latent: true_latent works only on "
                "the portraits data set that its table was made for, unresized"
            )
        with Stopwatch().running(photo.device) as watch:
            z = torch.stack([self.latents[key] for key in keys]).to(photo)
            ws = self.generator.mapping(z, frontal_label().to(z).expand(len(z), -1))
        return LatentInversion(self.generator, ws, seconds=watch.seconds)
