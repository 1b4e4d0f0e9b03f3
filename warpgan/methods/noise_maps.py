"""The fixed noise maps of the generator's backbone as variables of an inversion.

Named as in ``generator.backbone.synthesis``. The generator itself is never written to: its planes
are painted with other maps put in its own ones' place for the length of a call.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from eg3d import TriPlaneGenerator

SMALLEST_SIDE = 8
NoiseMaps = Mapping[str, Tensor]


def noise_maps(generator: TriPlaneGenerator) -> dict[str, Tensor]:
    """The generator's own maps, ``[R, R]`` each, from coarse to fine."""
    return {
        name: buffer
        for name, buffer in generator.backbone.synthesis.named_buffers()
        if name.rpartition(".")[2] == "noise_const"
    }


def drawn_like(maps: NoiseMaps, random: torch.Generator) -> dict[str, Tensor]:
    """Maps of normal numbers, of the same sizes."""
    return {name: normal_numbers(own.shape, random, like=own) for name, own in maps.items()}


def normal_numbers(shape: Sequence[int], random: torch.Generator, *, like: Tensor) -> Tensor:
    """Draw on the CPU, the same for every device, and put them where ``like`` is."""
    return torch.randn(tuple(shape), generator=random).to(like)


def paint(generator: TriPlaneGenerator, ws: Tensor, maps: NoiseMaps | None = None) -> Tensor:
    """The generator's planes with other noise maps.

    Args:
        generator: left as it is.
        ws: ``[B, num_ws, w_dim]``.
        maps: by name; the generator's own if None.

    Returns:
        ``[B, 3, C, H, W]``; gradients reach ws and maps.
    """
    if maps is None:
        return generator.planes(ws)
    painted = functional_call(generator.backbone.synthesis, dict(maps), (ws,))
    return painted.unflatten(1, (3, -1))


def noise_regularisation(maps: NoiseMaps) -> Tensor:
    """How much neighbours of the maps resemble each other (StyleGAN2, appendix D).

    Each map and its halvings down to 8 pixels: the squared mean product with the map shifted by one
    pixel, along both axes.

    Returns:
        A scalar, near 0 for white noise.
    """
    total = torch.zeros((), device=next(iter(maps.values())).device)
    for level in maps.values():
        level = level[None, None]
        while True:
            for axis in (2, 3):
                total = total + (level * level.roll(1, axis)).mean().square()
            if level.shape[-1] <= SMALLEST_SIDE:
                break
            level = F.avg_pool2d(level, 2)
    return total


@torch.no_grad()
def standardise(maps: NoiseMaps) -> None:
    """Give each map mean 0 and mean square 1, in place."""
    for level in maps.values():
        level -= level.mean()
        level *= level.square().mean().rsqrt()
