"""The encoder alone: photo -> ``ws`` -> generator. Row A of the ablation, base of the others."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.encoders.inversion import InversionEncoder
from warpgan.methods.base import Method, Stopwatch
from warpgan.methods.latent import LatentInversion
from warpgan.pipeline import check_encoder_fits


class EncoderInversion(Method):
    """Encoder and generator."""

    def __init__(
        self,
        encoder: InversionEncoder,
        generator: TriPlaneGenerator,
        *,
        name: str = "encoder",
        files: Sequence[Path] = (),
    ) -> None:
        """Check that the two fit.

        Args:
            encoder: photo ``[B, 3, S, S]`` to ``ws``, in eval mode.
            generator: whose latents it predicts, in eval mode.
            name: how tables call the method.
            files: what both were read from.

        Raises:
            ValueError: if the encoder predicts latents of another generator's shape.
        """
        check_encoder_fits(encoder, generator)
        self.encoder = encoder
        self.generator = generator
        self.name = name
        self.files = tuple(files)
        self.image_size = generator.img_resolution
        self.device = generator.mean_latent().device

    @torch.no_grad()
    def invert(self, photo: Tensor, camera: Tensor) -> LatentInversion:
        """Predict the latents of photos ``[B, 3, S, S]``; the cameras are not used."""
        with Stopwatch().running(photo.device) as watch:
            ws = self.encoder(photo)
        return LatentInversion(self.generator, ws, seconds=watch.seconds)


def untrained_copy(encoder: InversionEncoder, *, seed: int) -> InversionEncoder:
    """The same encoder as its constructor makes it, before any training.

    Args:
        encoder: gives kind, sizes and mean latent.
        seed: of the initial weights. The caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(encoder.encoder)(**encoder.encoder.arguments)
    copy = InversionEncoder(fresh, encoder.latent_avg)
    return copy.to(encoder.latent_avg.device).requires_grad_(False).eval()
