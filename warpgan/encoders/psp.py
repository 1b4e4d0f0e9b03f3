"""pSp's gradual-style encoder: an IR-SE trunk, a three-level pyramid and one small head per code.

Structure of "Encoding in Style" (CVPR 2021) as used on EG3D: coarse codes are read from the last
map, middle and fine ones from maps that add an upsampled coarser map to a lateral projection.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from warpgan.perception.irse50 import UNITS, WIDTHS, build_body, build_stem


def default_style_counts(num_ws: int) -> tuple[int, int, int]:
    """Return how many codes the coarse, middle and fine maps give: (3, 4, 7) at 14."""
    if num_ws < 3:
        raise ValueError(f"num_ws={num_ws}: the encoder needs at least 3 style codes")
    coarse = max(1, round(num_ws * 3 / 14))
    middle = max(1, round(num_ws * 4 / 14))
    return coarse, middle, num_ws - coarse - middle


class ScaledLinear(nn.Module):
    """Linear layer with unit-variance weights scaled at run time (equalised learning rate)."""

    def __init__(self, width: int, in_width: int | None = None) -> None:
        """Build the layer; square without `in_width`."""
        super().__init__()
        in_width = width if in_width is None else in_width
        self.weight = nn.Parameter(torch.randn(width, in_width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.gain = 1 / math.sqrt(in_width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_width] to [B, width]."""
        return F.linear(x, self.weight * self.gain, self.bias)


class StyleHead(nn.Module):
    """Strided convolutions down to one pixel, then a linear layer: one style code."""

    def __init__(
        self, in_channels: int, width: int, *, side: int, hidden: int | None = None
    ) -> None:
        """Build the head for maps of `side` pixels, a power of two; `hidden` or `width` wide."""
        super().__init__()
        hidden = width if hidden is None else hidden
        layers: list[nn.Module] = []
        for index in range(max(1, side.bit_length() - 1)):
            layers += [
                nn.Conv2d(hidden if index else in_channels, hidden, 3, 2, 1),
                nn.LeakyReLU(),
            ]
        self.convs = nn.Sequential(*layers)
        self.linear = ScaledLinear(width, hidden)

    def forward(self, maps: Tensor) -> Tensor:
        """Map [B, C, side, side] to [B, width]."""
        return self.linear(self.convs(maps).flatten(1))


class PspEncoder(nn.Module):
    """Photo to style offsets `dw`; the caller adds the generator's mean latent."""

    kind = "psp"

    def __init__(
        self,
        image_size: int = 256,
        num_ws: int = 14,
        *,
        w_dim: int = 512,
        widths: Sequence[int] = WIDTHS,
        units: Sequence[int] = UNITS,
        style_counts: Sequence[int] | None = None,
        head_width: int | None = None,
    ) -> None:
        """Build the encoder, full size by default.

        Args:
            image_size: input side in pixels, a power of two and at least 32.
            num_ws: style codes of the generator.
            w_dim: width of a style code.
            widths: channels of the stem and of the four trunk stages.
            units: residual units of the four trunk stages.
            style_counts: codes read from the coarse, middle and fine map; sum num_ws. None shares
                them in the proportion 3 : 4 : 7 of the full size.
            head_width: channels inside of each code's head; None for `w_dim`, as published.
        """
        super().__init__()
        counts = tuple(style_counts) if style_counts else default_style_counts(num_ws)
        if image_size < 32 or image_size & (image_size - 1):
            raise ValueError(f"image_size={image_size}: expected a power of two, 32 or more")
        if len(widths) != len(WIDTHS) or len(units) != len(UNITS) or min(*widths, *units) < 1:
            raise ValueError(
                f"widths={list(widths)}, units={list(units)}: expected {len(WIDTHS)} and "
                f"{len(UNITS)} positive numbers"
            )
        if len(counts) != 3 or min(counts) < 1 or sum(counts) != num_ws:
            raise ValueError(f"style_counts={counts}: expected 3 positive numbers, sum {num_ws}")
        if head_width is not None and head_width < 1:
            raise ValueError(f"head_width={head_width}: expected a positive number, or none")
        self.image_size = image_size
        self.num_ws = num_ws
        self.w_dim = w_dim
        self.arguments: dict[str, Any] = {
            "image_size": image_size,
            "num_ws": num_ws,
            "w_dim": w_dim,
            "widths": list(widths),
            "units": list(units),
            "style_counts": list(counts),
            "head_width": head_width,
        }
        self.input_layer = build_stem(widths[0])
        self.body = build_body(widths, units)
        self.tap_after = (sum(units[:2]) - 1, sum(units[:3]) - 1)
        channels = widths[-1]
        self.lateral_middle = nn.Conv2d(widths[3], channels, 1)
        self.lateral_fine = nn.Conv2d(widths[2], channels, 1)
        sides = (image_size // 16, image_size // 8, image_size // 4)
        self.styles = nn.ModuleList(
            nn.ModuleList(
                StyleHead(channels, w_dim, side=side, hidden=head_width) for _ in range(count)
            )
            for count, side in zip(counts, sides, strict=True)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Encode `images` [B, 3, S, S] in [-1, 1] to `dw` [B, num_ws, w_dim]."""
        maps = self.input_layer(images)
        taps = []
        for index, block in enumerate(self.body):
            maps = block(maps)
            if index in self.tap_after:
                taps.append(maps)
        middle = _upsample_to(maps, taps[1]) + self.lateral_middle(taps[1])
        fine = _upsample_to(middle, taps[0]) + self.lateral_fine(taps[0])
        levels = zip(self.styles, (maps, middle, fine), strict=True)
        return torch.stack([head(level) for heads, level in levels for head in heads], dim=1)

    def load_arcface_state(self, state: Mapping[str, Tensor]) -> None:
        """Initialise stem and trunk from an IR-SE50 face-recognition state dict, as pSp does.

        Raises:
            ValueError: keys or shapes are not those of IR-SE50, or this encoder is not full size.
        """
        state = {k: v for k, v in state.items() if not k.startswith("output_layer.")}
        own = {
            name: value
            for name, value in self.state_dict().items()
            if name.startswith(("input_layer.", "body."))
        }
        wrong = sorted(own.keys() ^ state.keys())
        wrong += sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
        if wrong:
            raise ValueError(
                f"{len(wrong)} entries do not fit the encoder's trunk, first: {wrong[:3]}; "
                "expected IR-SE50 weights and an encoder of full width (64, 64, 128, 256, 512)"
            )
        self.load_state_dict(state, strict=False)


def _upsample_to(maps: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=True)
