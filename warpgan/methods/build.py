"""Methods from the parts that one evaluation has in common; ``configs/method`` names these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.encoders.inversion import InversionEncoder
from warpgan.methods.inversion import EncoderInversion, untrained_copy
from warpgan.methods.mean_latent import MeanLatent
from warpgan.methods.true_latent import TrueLatent


@dataclass(frozen=True)
class Models:
    """What the methods of one evaluation share: the generator must be the same for all.

    Attributes:
        generator: in eval mode, on the device of the evaluation.
        encoder: trained, in eval mode, on the same device; ``None`` if no method needs one.
        latents: gives the true latents by ``true_latent.photo_key``; none for real photos.
        generator_files: what the generator was read from.
        encoder_files: what the encoder was read from.
    """

    generator: TriPlaneGenerator
    encoder: InversionEncoder | None
    latents: Callable[[], Mapping[str, Tensor]] = dict
    generator_files: tuple[Path, ...] = ()
    encoder_files: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files."""
        return (*self.encoder_files, *self.generator_files)


def encoder(models: Models, *, name: str = "encoder") -> EncoderInversion:
    """The trained encoder."""
    return EncoderInversion(_encoder(models), models.generator, name=name, files=models.files)


def untrained_encoder(
    models: Models, *, name: str = "untrained_encoder", seed: int = 0
) -> EncoderInversion:
    """The same encoder with the weights of ``seed`` and no training: what training adds."""
    fresh = untrained_copy(_encoder(models), seed=seed)
    return EncoderInversion(fresh, models.generator, name=name, files=models.files)


def mean_latent(models: Models, *, name: str = "mean_latent") -> MeanLatent:
    """The mean face: of the encoder's mean latent, or of the generator's without an encoder."""
    latent = None if models.encoder is None else models.encoder.latent_avg
    return MeanLatent(models.generator, latent, name=name, files=models.files)


def true_latent(models: Models, *, name: str = "true_latent") -> TrueLatent:
    """The latent that a portrait was drawn from.

    Raises:
        ValueError: if the data set has no true latents.
    """
    latents = models.latents()
    if not latents:
        raise ValueError(
            "method true_latent needs photos whose latents are known: the portraits that "
            "data.portraits writes. Leave it out for other data"
        )
    return TrueLatent(models.generator, latents, name=name, files=models.generator_files)


def _encoder(models: Models) -> InversionEncoder:
    if models.encoder is None:
        raise ValueError("this method needs an encoder: give evaluate.encoder")
    return models.encoder
