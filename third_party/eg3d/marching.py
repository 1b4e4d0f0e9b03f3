"""Volume rendering with the midpoint rule.

Density and colour of an interval are means of its two ends; the density is averaged raw, before
the activation. S samples give S - 1 intervals, there is no last infinite one: what light is left
belongs to the background.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CLAMP_MODES = ("softplus", "relu")


@dataclass(frozen=True)
class Marched:
    """Sums along rays.

    Attributes:
        colour: `[B, C, M]`, premultiplied by opacity, background not yet added.
        opacity: `[B, M]` in [0, 1].
        weighted_length: `[B, M]`, sum of weight times distance.
        weights: `[B, M, S - 1]`.
        midpoints: `[B, M, S - 1]`.
    """

    colour: Tensor
    opacity: Tensor
    weighted_length: Tensor
    weights: Tensor
    midpoints: Tensor


def interval_weights(
    depths: Tensor,
    density: Tensor,
    *,
    clamp_mode: str = "softplus",
    density_gain: float = 1.0,
    density_bias: float = 0.0,
) -> Tensor:
    """Share of each interval in the ray's light.

    Args:
        depths: `[..., S]` ascending.
        density: `[..., S]` raw.
        clamp_mode: ``"softplus"``: softplus(raw - 1); ``"relu"``: relu(raw).
        density_gain: Extension: factor on the activated density.
        density_bias: Extension: added to the raw density.

    Returns:
        `[..., S - 1]`.
    """
    raw = (density[..., :-1] + density[..., 1:]) / 2
    if density_bias != 0.0:
        raw = raw + density_bias
    activated = F.softplus(raw - 1) if clamp_mode == "softplus" else F.relu(raw)
    if density_gain != 1.0:
        activated = activated * density_gain
    transparency = torch.exp(-activated * (depths[..., 1:] - depths[..., :-1]))
    light = F.pad(transparency[..., :-1] + 1e-10, (1, 0), value=1.0).cumprod(-1)
    return (1 - transparency) * light


def march(depths: Tensor, density: Tensor, colour: Tensor, **density_options) -> Marched:
    """Composite samples along rays.

    Args:
        depths: `[B, M, S]` ascending.
        density: `[B, M, S]` raw.
        colour: `[B, C, M, S]`.
        **density_options: See `interval_weights`.
    """
    weights = interval_weights(depths, density, **density_options)
    midpoints = (depths[..., :-1] + depths[..., 1:]) / 2
    # Each sample's colour enters two intervals by halves: no mean colours need be stored.
    shares = (F.pad(weights, (0, 1)) + F.pad(weights, (1, 0))) / 2
    return Marched(
        colour=torch.einsum("bcms,bms->bcm", colour, shares),
        opacity=weights.sum(-1),
        weighted_length=(weights * midpoints).sum(-1),
        weights=weights,
        midpoints=midpoints,
    )
