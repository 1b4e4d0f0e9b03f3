"""The losses of the inversion encoder (WarpGAN paper, section 3.2 and supplement).

`total = 1 MSE + 0.8 perceptual + 0.1 identity`, plus the regularisers of W+ codes that the released
code carries, all taken in [-1, 1] at one loss resolution (256 at full size) to which pictures are
averaged down.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from warpgan.losses import terms
from warpgan.losses.total import LossSum, LossValues
from warpgan.perception import IdentityNet, PerceptualNet, build_identity, build_perceptual
from warpgan.perception.build import CropName


@dataclass(frozen=True)
class Reconstruction:
    """One batch of inverted photos.

    Attributes:
        prediction: `[B, 3, S, S]` in [-1, 1], the generator's picture at the photo's camera.
        target: `[B, 3, S, S]` in [-1, 1], the photo.
        camera: Labels `[B, 25]`.
        ws: `[B, L, C]`, the code that was rendered.
        latent_avg: `[C]` or `[L, C]`, the latent average.
    """

    prediction: Tensor
    target: Tensor
    camera: Tensor
    ws: Tensor
    latent_avg: Tensor


class PerceptualTerm(nn.Module):
    """The perceptual term with its net."""

    def __init__(self, net: PerceptualNet) -> None:
        """Takes the judge.

        Args:
            net: A built perceptual net.
        """
        super().__init__()
        self.net = net

    def forward(self, views: Reconstruction) -> Tensor:
        """The mean distance, a scalar."""
        return terms.perceptual(views.prediction, views.target, net=self.net)


class IdentityTerm(nn.Module):
    """The identity term with its net."""

    def __init__(self, net: IdentityNet) -> None:
        """Takes the judge.

        Args:
            net: A built identity net.

        Raises:
            ValueError: The net passes no gradient.
        """
        super().__init__()
        if not net.differentiable:
            raise ValueError(
                f"{net.name} passes no gradient and can't be a training loss; use arcface_irse50 "
                "or id_dlib"
            )
        self.net = net

    def forward(self, views: Reconstruction) -> Tensor:
        """The mean distance, a scalar."""
        return terms.identity(views.prediction, views.target, net=self.net, camera=views.camera)


class EncoderLosses(nn.Module):
    """Brings a batch to the loss resolution and adds the terms up."""

    def __init__(self, losses: LossSum[Reconstruction], *, size: int) -> None:
        """Takes the built sum.

        Args:
            losses: Terms of a `Reconstruction`.
            size: Side in pixels at which pictures are compared.

        Raises:
            ValueError: A size that is not positive.
        """
        super().__init__()
        if size < 1:
            raise ValueError(f"losses.size must be a positive number of pixels, not {size}")
        self.losses = losses
        self.size = size

    def forward(self, views: Reconstruction) -> LossValues:
        """Computes the losses.

        Args:
            views: The batch, at any size; larger pictures are averaged down to `size`.

        Returns:
            Total and terms.
        """
        return self.losses(
            replace(
                views,
                prediction=pooled(views.prediction, self.size),
                target=pooled(views.target, self.size),
            )
        )


def pooled(images: Tensor, size: int) -> Tensor:
    """Averages square pictures down to a side of `size`; smaller ones stay as they are.

    Args:
        images: `[B, 3, S, S]`.
        size: Largest side wanted.

    Returns:
        `[B, 3, min(S, size), min(S, size)]`.
    """
    return F.adaptive_avg_pool2d(images, size) if images.shape[-1] > size else images


def build_encoder_losses(
    *,
    weights: Mapping[str, float],
    size: int,
    perceptual: str,
    identity: str,
    identity_crop: CropName,
    weights_dir: str | Path | None = None,
    pretrained: bool = True,
) -> EncoderLosses:
    """Builds the encoder's losses from config values.

    Args:
        weights: Weight by term: `mse`, `perceptual`, `identity`, `w_delta`, `w_norm`; a term left
            out counts 0, and the net of a term that counts 0 is not built.
        size: Side in pixels at which pictures are compared.
        perceptual: A name of `warpgan.perception.PERCEPTUAL_NETS`.
        identity: A differentiable name of `warpgan.perception.IDENTITY_NETS`.
        identity_crop: `aligned` or `legacy`.
        weights_dir: Folder of user-supplied weights; the configured one if None.
        pretrained: False builds the nets with random weights, for dry runs only.

    Returns:
        The losses on the CPU.

    Raises:
        ValueError: An unknown term, net or crop, or a bad weight.
        FileNotFoundError: A net's file is absent.
    """
    builders: dict[str, Callable[[], Callable[[Reconstruction], Tensor]]] = {
        "mse": lambda: lambda views: terms.mse(views.prediction, views.target),
        "perceptual": lambda: PerceptualTerm(
            build_perceptual(perceptual, weights_dir=weights_dir, pretrained=pretrained)
        ),
        "identity": lambda: IdentityTerm(
            build_identity(
                identity, crop=identity_crop, weights_dir=weights_dir, pretrained=pretrained
            )
        ),
        "w_delta": lambda: lambda views: terms.w_delta(views.ws),
        "w_norm": lambda: lambda views: terms.w_norm(views.ws, latent_avg=views.latent_avg),
    }
    unknown = sorted(set(weights) - set(builders))
    if unknown:
        raise ValueError(f"no loss term {unknown[0]!r}; there are {', '.join(builders)}")
    counting = {name: float(weight) for name, weight in weights.items() if weight != 0}
    built = {name: builders[name]() for name in counting}
    return EncoderLosses(LossSum(built, counting), size=size)
