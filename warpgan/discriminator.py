"""The patch discriminator of SVINet's adversarial training (pix2pixHD's, as released by WarpGAN).

Images are in [0, 1], the range of all of SVINet's losses. Module names are those of the released
`discriminator_state_dict`: `model0` ... `model5`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL, PADDING = 4, 2
SLOPE = 0.2
WIDEST = 512


@dataclass(frozen=True)
class Judgement:
    """What the discriminator thinks of a batch.

    Attributes:
        logits: `[B, 1, h, w]` float32, positive where a patch looks real.
        features: The activations before the logits, from fine to coarse; feature matching compares
            them.
        hole_share: `[B, 1, h, w]` in [0, 1], how much of a logit's field of view is hole; None if
            no hole was given.
    """

    logits: Tensor
    features: tuple[Tensor, ...]
    hole_share: Tensor | None = None


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches: 4x4 convolutions, batch norm, leaky ReLU.

    `layers` stages of stride 2, one of stride 1, then the logits; channels double up to 512. The
    first stage and the logits have no batch norm. The released training keeps it in training mode
    also during the generator's step.

    Attributes:
        sees_hole: Whether the mask of missing pixels is a fourth input channel.
    """

    def __init__(
        self, in_channels: int = 3, width: int = 64, layers: int = 4, *, sees_hole: bool = False
    ) -> None:
        """Builds the network with random weights.

        Args:
            in_channels: Channels of what is judged, without the mask.
            width: Channels of the first layer.
            layers: Stages of stride 2.
            sees_hole: Add the mask of missing pixels as one more channel.

        Raises:
            ValueError: A size that is not positive.
        """
        super().__init__()
        for name, value in (("in_channels", in_channels), ("width", width), ("layers", layers)):
            if value < 1:
                raise ValueError(f"discriminator.{name} must be positive, not {value}")
        self.in_channels = in_channels
        self.sees_hole = sees_hole
        widths = [min(width << index, WIDEST) for index in range(layers + 1)]
        self.strides = (2,) * layers + (1, 1)
        channels = in_channels + sees_hole
        for index, out in enumerate([*widths, 1]):
            stage = [nn.Conv2d(channels, out, KERNEL, self.strides[index], PADDING)]
            if 0 < index < len(widths):
                stage.append(nn.BatchNorm2d(out))
            if index < len(widths):
                stage.append(nn.LeakyReLU(SLOPE))
            self.add_module(f"model{index}", nn.Sequential(*stage))
            channels = out

    def forward(self, images: Tensor, hole: Tensor | None = None) -> Judgement:
        """Judges images.

        Args:
            images: `[B, in_channels, H, W]` in [0, 1].
            hole: `[B, 1, H, W]` in [0, 1], 1 where the photo shows nothing; needed if `sees_hole`,
                otherwise only its share of each patch is returned.

        Returns:
            Logits of patches, and the activations before them.

        Raises:
            ValueError: Another number of channels, a missing mask, or one of another size.
        """
        if images.dim() != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"the discriminator judges [B, {self.in_channels}, H, W], not {list(images.shape)}"
            )
        wanted = (len(images), 1, *images.shape[2:])
        if hole is not None and hole.shape != wanted:
            raise ValueError(f"a hole mask of {list(wanted)} is needed, not {list(hole.shape)}")
        if self.sees_hole:
            if hole is None:
                raise ValueError(
                    "this discriminator sees the hole mask (discriminator.sees_hole=true): pass it"
                )
            images = torch.cat([images, hole.to(images.dtype)], dim=1)
        features = []
        x = images
        for index in range(len(self.strides)):
            x = self.get_submodule(f"model{index}")(x)
            features.append(x)
        logits = features.pop().float()
        return Judgement(logits, tuple(features), None if hole is None else self._share(hole))

    @torch.no_grad()
    def _share(self, hole: Tensor) -> Tensor:
        """Pools a mask the way the convolutions do: patches keep their true position and extent."""
        for stride in self.strides:
            hole = F.avg_pool2d(hole, KERNEL, stride, PADDING)
        return hole


def build_discriminator(
    *, width: int = 64, layers: int = 4, sees_hole: bool = False
) -> PatchDiscriminator:
    """Builds the discriminator of colour images from config values.

    Args:
        width: Channels of the first layer, 64 as released.
        layers: Stages of stride 2, 4 as released.
        sees_hole: Whether it also sees where the photo showed nothing; False as released.

    Returns:
        The network with random weights on the CPU.

    Raises:
        ValueError: A size that is not positive.
    """
    return PatchDiscriminator(3, width, layers, sees_hole=sees_hole)
