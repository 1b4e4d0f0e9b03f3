"""Floors of novel views: the photo itself, unmoved, and faces that are nobody's.

They make the other numbers readable. The photo from every camera is what a method would get that
does nothing: its identity at 60 degrees is what the recogniser makes of a side view as such. Random
samples of the generator, from the same cameras, are how far its pictures are from the photos when
identity plays no part.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.cameras import RADIUS, frontal_label
from warpgan.methods.base import Inversion, Method, Stopwatch, Views
from warpgan.methods.build import Models
from warpgan.methods.latent import LatentInversion
from warpgan.methods.true_latent import photo_key


class UnmovedPhoto(Method):
    """Gives the photo back from every camera; its depth is a plane through the orbit's centre."""

    floor = True

    def __init__(self, generator: TriPlaneGenerator, *, name: str = "photo_itself") -> None:
        """Take the generator of the other methods: for size and device only."""
        self.name = name
        self.image_size = generator.img_resolution
        self.device = generator.mean_latent().device

    def invert(self, photo: Tensor, camera: Tensor) -> "_Unmoved":
        """Keep photos ``[B, 3, S, S]``."""
        return _Unmoved(photo)


class _Unmoved(Inversion):
    seconds = 0.0

    def __init__(self, photo: Tensor) -> None:
        self.photo = photo

    def render(self, cameras: Tensor) -> Views:
        image = self.photo[:, None].expand(-1, cameras.shape[1], -1, -1, -1)
        flat = torch.full_like(image[:, :, :1], RADIUS)
        return Views(image=image, depth_z=flat, seconds=0.0)


class RandomSamples(Method):
    """A random face of the generator for each photo, from the cameras asked for."""

    floor = True

    def __init__(
        self,
        generator: TriPlaneGenerator,
        *,
        truncation: float = 1.0,
        seed: int = 2107,
        name: str = "generator_samples",
        files: Sequence[Path] = (),
    ) -> None:
        """Take the generator.

        Args:
            generator: in eval mode.
            truncation: pulls samples towards the mean latent; 1 leaves them.
            seed: of the samples; each photo's own also depends on its pixels, never on its place.
            name: how tables call the method.
            files: what the generator was read from.
        """
        self.generator = generator
        self.truncation = truncation
        self.seed = seed
        self.name = name
        self.files = tuple(files)
        self.image_size = generator.img_resolution
        self.device = generator.mean_latent().device

    @torch.no_grad()
    def invert(self, photo: Tensor, camera: Tensor) -> LatentInversion:
        """Draw a latent for each of the photos ``[B, 3, S, S]``."""
        with Stopwatch().running(photo.device) as watch:
            z = torch.stack([self._draw(photo_key(image)) for image in photo]).to(photo)
            condition = frontal_label().to(z).expand(len(z), -1)
            ws = self.generator.mapping(z, condition, truncation_psi=self.truncation)
        return LatentInversion(self.generator, ws, seconds=watch.seconds)

    def _draw(self, key: str) -> Tensor:
        source = np.random.default_rng([self.seed, int(key[:16], 16)])
        return torch.from_numpy(source.standard_normal(self.generator.z_dim))


def photo_itself(models: Models, *, name: str = "photo_itself") -> UnmovedPhoto:
    """The photo from every camera."""
    return UnmovedPhoto(models.generator, name=name)


def generator_samples(
    models: Models, *, name: str = "generator_samples", truncation: float = 1.0, seed: int = 2107
) -> RandomSamples:
    """Random faces of the generator."""
    return RandomSamples(
        models.generator,
        truncation=truncation,
        seed=seed,
        name=name,
        files=models.generator_files,
    )
