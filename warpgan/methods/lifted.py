"""WarpGAN's views as one generator state a photo, to be measured beside the other methods."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from warpgan import weights
from warpgan.lifting import LiftSettings, lift
from warpgan.methods.base import Method, Stopwatch
from warpgan.methods.build import Models
from warpgan.methods.optimised import Fitted, FittedInversion
from warpgan.methods.svinet_file import find_svinet
from warpgan.perception import PerceptualNet, build_perceptual
from warpgan.pipeline import WarpGAN
from warpgan.warp import WarpOptions


class Lifted(Method):
    """Lifts photos one after the other."""

    one_at_a_time = True

    def __init__(
        self,
        model: WarpGAN,
        *,
        settings: LiftSettings,
        perceptual: PerceptualNet,
        name: str,
        files: Sequence[Path] = (),
    ) -> None:
        """Take what all photos share.

        Args:
            model: makes the views learnt from.
            settings: of the tuning.
            perceptual: the judge, on the model's device.
            name: how tables call the method.
            files: what model and judge were read from.
        """
        self.model = model
        self.settings = settings
        self.perceptual = perceptual
        self.name = name
        self.files = tuple(files)
        self.image_size = model.generator.img_resolution
        self.device = model.generator.mean_latent().device
        tuned = "planes and decoder" if settings.parameters == "planes" else "the whole generator"
        self.note = f"{settings.steps} steps of {tuned}; perceptual {settings.perceptual}"

    def invert(self, photo: Tensor, camera: Tensor) -> FittedInversion:
        """Lift photos ``[B, 3, S, S]`` with labels ``[B, 25]``, one after the other."""
        fits = []
        with Stopwatch().running(photo.device) as watch:
            for one, label in zip(photo.split(1), camera.split(1), strict=True):
                face = self.model.invert(one, label)
                found = lift(face, self.settings, perceptual=self.perceptual)
                steps = self.settings.steps
                fits.append(Fitted(found.generator, found.ws, found.planes, steps))
        return FittedInversion(fits, seconds=watch.seconds)


def lifted(
    models: Models,
    *,
    svinet: str,
    geometry: WarpOptions,
    settings: LiftSettings,
    weights_dir: str | None = None,
    name: str = "lift",
) -> Lifted:
    """WarpGAN's views as one generator state.

    Args:
        models: of the evaluation.
        svinet: a name of the weights table, the folder of a training run, or a file.
        geometry: of the warp, as SVINet was trained with.
        settings: of the tuning.
        weights_dir: folder of user-supplied weights; the configured one if None.
        name: how tables call the method.

    Raises:
        FileNotFoundError: if a file is absent.
        ValueError: if the parts do not fit, or there is no encoder.
    """
    if models.encoder is None:
        raise ValueError(f"method {name} needs an encoder: give evaluate.encoder")
    network, path = find_svinet(svinet, generator=models.generator)
    judge = build_perceptual(settings.perceptual, weights_dir=weights_dir)
    judged_with = weights.resolve(settings.perceptual, root=weights_dir)
    return Lifted(
        WarpGAN(models.generator, models.encoder, network, geometry),
        settings=settings,
        perceptual=judge.to(models.generator.mean_latent().device),
        name=name,
        files=tuple(dict.fromkeys((path, *models.files, judged_with))),
    )
