"""Forward splatting: every source pixel spreads to the four target pixels around its position.

In pure PyTorch, on any device, differentiable in values, weights and positions. Two ways to let the
near hide the far: weights that rise with nearness (`nearness_weight`, the released code's), or a
z-buffer (`Footprint.in_front`). ``N`` points a batch item; planes are ``[B, N]``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

SHARPNESS = 10.0
HIDING_SHARE = 0.05
"""Bilinear share from which a point hides, in a z-buffer, what is behind it."""
_EPS = 1e-6


@dataclass(frozen=True)
class Footprint:
    """The four target pixels that each point touches.

    Pixels are counted on the target with a margin, one pixel on the left and above and two on the
    other sides. It takes what falls off the image, so that no corner needs a test of its own.

    Attributes:
        first: ``[B, N]`` int64, the pixel on the upper left.
        right: ``[B, N]`` in [0, 1], the share of the columns on the right.
        lower: ``[B, N]`` in [0, 1], the share of the rows below.
        height: rows of the target without margin.
        width: columns of the target without margin.
        kept: four times ``[B, N]`` bool: corners that count; None for all.
    """

    first: Tensor
    right: Tensor
    lower: Tensor
    height: int
    width: int
    kept: tuple[Tensor, ...] | None = None

    def corners(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Four times the pixel ``[B, N]`` and its bilinear share ``[B, N]``."""
        for corner in range(4):
            below, beside = divmod(corner, 2)
            share = self.lower if below else 1 - self.lower
            share = share * (self.right if beside else 1 - self.right)
            if self.kept is not None:
                share = share * self.kept[corner]
            yield self.first + (below * (self.width + 3) + beside), share

    def sums(self, planes: Sequence[Tensor], weight: Tensor) -> Tensor:
        """Spread weighted values over the target and add them up.

        Args:
            planes: ``C`` times ``[B, N]``, finite.
            weight: ``[B, N]``, finite.

        Returns:
            ``[B, C + 1, height, width]``: the sum of each plane, then that of the weights, by which
            the others are divided for an average.
        """
        # One plane at a time: what is written then stays in the cache.
        size = (self.height + 3, self.width + 3)
        totals = [weight.new_zeros(len(weight), size[0] * size[1]) for _ in range(len(planes) + 1)]
        for pixel, share in self.corners():
            share = share * weight
            totals[-1].scatter_add_(1, pixel, share)
            for plane, total in zip(planes, totals, strict=False):
                total.scatter_add_(1, pixel, plane * share)
        return torch.stack([total.unflatten(1, size)[:, 1:-2, 1:-2] for total in totals], dim=1)

    def in_front(self, depth_z: Tensor, *, band: float) -> "Footprint":
        """Drop what a nearer point hides, target pixel by target pixel.

        Args:
            depth_z: ``[B, N]`` in the target view.
            band: depth behind the nearest point that still counts as the same surface.

        Returns:
            The footprint without its hidden corners.
        """
        with torch.no_grad():
            pixels = (self.height + 3) * (self.width + 3)
            nearest = depth_z.new_full((len(depth_z), pixels), torch.inf)
            for pixel, share in self.corners():
                hiding = torch.where(share >= HIDING_SHARE, depth_z, torch.inf)
                nearest.scatter_reduce_(1, pixel, hiding, "amin")
            nearest += band
            kept = tuple(depth_z <= nearest.gather(1, pixel) for pixel, _ in self.corners())
        return replace(self, kept=kept)


def footprint(position: Tensor, *, height: int, width: int) -> Footprint:
    """Find the target pixels around points.

    Args:
        position: ``[B, 2, N]`` column and row as index positions in the target, finite. A point, or
            the part of it, that lies off the target is dropped.
        height: rows of the target.
        width: columns of the target.

    Returns:
        Pixels and bilinear shares.
    """
    column, row = position[:, 0].clamp(-1, width), position[:, 1].clamp(-1, height)
    left, above = column.detach().floor(), row.detach().floor()
    stride = width + 3
    first = torch.add(left.long() + (stride + 1), above.long(), alpha=stride)
    return Footprint(first, column - left, row - above, height, width)


def nearness_weight(depth_z: Tensor, valid: Tensor) -> Tensor:
    """The released code's soft occlusion: up to e^10 heavier for the nearest point.

    ``exp(10 (d - 1))``, with d = 1 / depth scaled to [0, 1] over the valid points of each item.

    Args:
        depth_z: ``[B, N]`` in the target view, positive.
        valid: ``[B, N]`` bool; the values of the others do not matter, but are finite.

    Returns:
        ``[B, N]`` in [e^-10, 1]; 1 for the others.
    """
    nearness = depth_z.reciprocal()
    lowest = torch.where(valid, nearness, torch.inf).amin(-1, keepdim=True)
    highest = torch.where(valid, nearness, -torch.inf).amax(-1, keepdim=True)
    nearness = torch.where(valid, nearness, highest)
    scaled = (nearness - lowest) / (highest - lowest + _EPS)
    scaled = torch.where(valid, scaled, 1.0)
    return (SHARPNESS * (scaled - 1)).exp()
