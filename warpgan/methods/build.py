"""Methods from the parts that one evaluation has in common; ``configs/method`` names these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.encoders.inversion import InversionEncoder
from warpgan.methods.encoder_file import find_encoder
from warpgan.methods.inversion import EncoderInversion, untrained_copy
from warpgan.methods.mean_latent import MeanLatent
from warpgan.methods.photo_warp import PhotoWarp
from warpgan.methods.svinet_file import find_svinet
from warpgan.methods.true_latent import TrueLatent
from warpgan.pipeline import WarpGAN
from warpgan.warp import WarpOptions


@dataclass(frozen=True)
class Models:
    """What the methods of one evaluation share: the generator must be the same for all.

    Attributes:
        generator: in eval mode, on the device of the evaluation.
        encoder: trained, in eval mode, on the same device; ``None`` if no method needs one.
        latents: gives the true latents by ``true_latent.photo_key``; none for real photos.
        depths: gives the true ``depth_z`` ``[1, S, S]`` by the same key; none for real photos.
        generator_files: what the generator was read from.
        encoder_files: what the encoder was read from.
    """

    generator: TriPlaneGenerator
    encoder: InversionEncoder | None
    latents: Callable[[], Mapping[str, Tensor]] = dict
    depths: Callable[[], Mapping[str, Tensor]] = dict
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


def psp(models: Models, *, encoder: str = "psp_mini", name: str = "psp") -> EncoderInversion:
    """Another encoder on the same generator, such as pSp's.

    Args:
        models: of the evaluation.
        encoder: a name of the weights table, the folder of a training run, or a file.
        name: how tables call the method.

    Raises:
        FileNotFoundError: if the encoder's file is absent.
        ValueError: if it predicts latents of another generator's shape.
    """
    network, path = find_encoder(encoder, key=f"method.{name}.encoder")
    network = network.to(models.generator.mean_latent().device)
    files = (path, *models.generator_files)
    return EncoderInversion(network, models.generator, name=name, files=files)


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


def warp(
    models: Models,
    *,
    geometry: WarpOptions,
    name: str = "warp",
    fill: bool = False,
    true_depth: bool = False,
) -> PhotoWarp:
    """The photo's pixels warped by the generator's depth.

    Args:
        models: of the evaluation.
        geometry: of the warp.
        name: how tables call the method.
        fill: fill the holes with the generator's view (row B) instead of black.
        true_depth: use the true depth of a portrait instead of the generator's.

    Raises:
        ValueError: if there is no encoder, or no true depth where it is asked for.
    """
    model = WarpGAN(models.generator, _encoder(models), None, geometry)
    return PhotoWarp(
        model,
        view="fill" if fill else "warp",
        name=name,
        files=models.files,
        depths=_depths(models, name) if true_depth else None,
    )


def warpgan(
    models: Models,
    *,
    svinet: str,
    geometry: WarpOptions,
    name: str = "warpgan",
    true_depth: bool = False,
) -> PhotoWarp:
    """Warp, fill and SVINet.

    Args:
        models: of the evaluation.
        svinet: a name of the weights table, the folder of a training run, or a file.
        geometry: of the warp, as SVINet was trained with.
        name: how tables call the method.
        true_depth: use the true depth of a portrait instead of the generator's.

    Raises:
        FileNotFoundError: if SVINet's file is absent.
        ValueError: if the parts do not fit, or there is no true depth where it is asked for.
    """
    generator, encoder = models.generator, _encoder(models)
    network, path = find_svinet(svinet, generator=generator)
    return PhotoWarp(
        WarpGAN(generator, encoder, network, geometry),
        view="warpgan",
        name=name,
        files=(path, *models.files),
        depths=_depths(models, name) if true_depth else None,
    )


def _depths(models: Models, name: str) -> Mapping[str, Tensor]:
    depths = models.depths()
    if not depths:
        raise ValueError(
            f"method {name} needs photos whose true depth is known at their size: the portraits "
            "that data.portraits writes. Leave it out for other data"
        )
    return depths


def _encoder(models: Models) -> InversionEncoder:
    if models.encoder is None:
        raise ValueError("this method needs an encoder: give evaluate.encoder")
    return models.encoder
