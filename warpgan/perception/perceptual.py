"""Perceptual nets: how different two pictures look, as one number a pair."""

from collections.abc import Callable, Sequence
from pathlib import Path
from warnings import catch_warnings, simplefilter

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from warpgan.perception.precision import full_precision
from warpgan.perception.storage import read_state_dict


class PerceptualNet(nn.Module):
    """A frozen judge of pairs; subclasses say how.

    Always in evaluation mode and always in float32, whatever surrounds it.

    Attributes:
        name: The net's name, printed beside every number it gives.
    """

    def __init__(self, name: str) -> None:
        """Names the judge.

        Args:
            name: The net's name.
        """
        super().__init__()
        self.name = name

    def train(self, mode: bool = True) -> "PerceptualNet":
        """Stays in evaluation mode."""
        return super().train(False)

    def distance(self, a: Tensor, b: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """Compares pictures pairwise.

        Args:
            a: `[B, 3, H, W]` RGB in [-1, 1].
            b: The same shape; gradients reach both.
            weight: `[B, 1, H, W]` in [0, 1], how much each pixel counts; all alike if None. Both
                pictures are seen whole: at every level the positions' differences are averaged
                with the weight as area resizing brings it to that level.

        Returns:
            `[B]` float32, 0 for equal pictures; NaN where the weight is 0 everywhere.

        Raises:
            ValueError: The shapes differ or are not RGB, or the weight's shape is another.
        """
        return self.distances(a, b, weights=[weight])[0]

    def distances(
        self, a: Tensor, b: Tensor, *, weights: Sequence[Tensor | None]
    ) -> tuple[Tensor, ...]:
        """`distance` for each of several weights, for the cost of one."""
        if a.shape != b.shape or a.dim() != 4 or a.shape[1] != 3:
            raise ValueError(
                f"{self.name}: two batches [B, 3, H, W] of one shape are needed, not "
                f"{list(a.shape)} and {list(b.shape)}"
            )
        for weight in weights:
            if weight is not None and weight.shape != (len(a), 1, *a.shape[2:]):
                raise ValueError(
                    f"{self.name}: the weight of pictures {list(a.shape)} is "
                    f"{[len(a), 1, *a.shape[2:]]}, not {list(weight.shape)}"
                )
        with full_precision(a.device):
            return self.compare(a.float(), b.float(), weights)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The same as `distance`."""
        return self.distance(a, b)

    def compare(self, a: Tensor, b: Tensor, weights: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """`distances` on checked input, pictures in float32."""
        raise NotImplementedError


class FeatureDistance(PerceptualNet):
    """Distance of unit-normalised feature maps, LPIPS's baseline form (Zhang et al. 2018, eq. 1).

    At every pixel of every level the channels are scaled to a unit vector; the squared difference
    is summed over channels, averaged over pixels, and averaged over levels with equal weights (no
    learned heads). The value lies in [0, 4]; it is not LPIPS and is reported under the net's name.
    """

    EPSILON = 1e-6

    def __init__(
        self,
        name: str,
        pyramid: nn.Module,
        *,
        pixels: Callable[[Tensor], Tensor],
    ) -> None:
        """Assembles the distance.

        Args:
            name: The net's name.
            pyramid: Pictures in the net's range to a list of feature maps.
            pixels: Pictures in [-1, 1] to that range.
        """
        super().__init__(name)
        self.pyramid = pyramid
        self.pixels = pixels
        self.requires_grad_(False)
        self.train(False)

    def compare(self, a: Tensor, b: Tensor, weights: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """Averages the levels' distances, `[B]` for each weight."""
        totals = [a.new_zeros(len(a)) for _ in weights]
        levels_a, levels_b = self._unit_levels(a), self._unit_levels(b)
        for level_a, level_b in zip(levels_a, levels_b, strict=True):
            difference = (level_a - level_b).square().sum(1)
            totals = [
                total + weighted_average(difference, weight)
                for total, weight in zip(totals, weights, strict=True)
            ]
        return tuple(total / len(levels_a) for total in totals)

    def _unit_levels(self, images: Tensor) -> list[Tensor]:
        """The pyramid with unit channels."""
        levels = self.pyramid(self.pixels(images))
        return [
            level * torch.rsqrt(level.square().sum(1, keepdim=True) + self.EPSILON)
            for level in levels
        ]


class LpipsDistance(PerceptualNet):
    """Official LPIPS: the package's fitted heads on torchvision's ImageNet backbone."""

    def __init__(self, name: str, *, backbone: str, weights: Path | None) -> None:
        """Builds LPIPS without any download.

        Args:
            name: The net's name, `lpips_alex` or `lpips_vgg`.
            backbone: `alex` or `vgg`.
            weights: Torchvision's state dict of the backbone; None leaves it random, which is for
                dry runs only.

        Raises:
            ValueError: The file is not that backbone's state dict.
        """
        super().__init__(name)
        import lpips

        with catch_warnings():
            simplefilter("ignore")  # lpips asks torchvision in its old spelling
            self.net = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
        if weights is not None:
            self._load_backbone(weights)
        self.requires_grad_(False)
        self.train(False)

    def compare(self, a: Tensor, b: Tensor, weights: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """LPIPS of pictures in [-1, 1], `[B]`; weights act where the package averages a level."""
        if all(weight is None for weight in weights):
            return (self.net(a, b).flatten(),) * len(weights)
        totals = [a.new_zeros(len(a)) for _ in weights]
        levels_a, levels_b = (self.net.net(self.net.scaling_layer(x)) for x in (a, b))
        for head, level_a, level_b in zip(self.net.lins, levels_a, levels_b, strict=True):
            difference = head((_unit(level_a) - _unit(level_b)).square())[:, 0]
            totals = [
                total + weighted_average(difference, weight)
                for total, weight in zip(totals, weights, strict=True)
            ]
        return tuple(totals)

    def _load_backbone(self, path: Path) -> None:
        """Copies `features.N.*` of the torchvision file into LPIPS's slices."""
        source = read_state_dict(path)
        wanted = self.net.net.state_dict()
        renamed = {key: "features." + key.split(".", 1)[1] for key in wanted}
        missing = sorted({new for new in renamed.values() if new not in source})
        if missing:
            raise ValueError(
                f"{path} is not torchvision's {self.name.removeprefix('lpips_')} state dict: it "
                f"has no {missing[0]}; `python -m warpgan.weights list` names the right file"
            )
        self.net.net.load_state_dict({key: source[new] for key, new in renamed.items()})


def _unit(level: Tensor) -> Tensor:
    """Unit channels as LPIPS makes them: its epsilon stands outside the root."""
    return level / (level.square().sum(1, keepdim=True).sqrt() + 1e-10)


def weighted_average(level: Tensor, weight: Tensor | None) -> Tensor:
    """Mean `[B]` of a level's map `[B, h, w]`, weighted by `[B, 1, H, W]`."""
    if weight is None:
        return level.mean((1, 2))
    share = F.interpolate(weight.to(level.dtype), size=level.shape[1:], mode="area")[:, 0]
    return (level * share).sum((1, 2)) / share.sum((1, 2))
