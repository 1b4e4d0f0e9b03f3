"""2-D registration: the shift, turn and change of size that best lay a view on its target.

Pixel metrics of novel views mostly measure a few pixels of misplacement. Registered metrics forgive
what a *similarity* of the picture can mend, within narrow bounds, and measure the rest.

A similarity sends the target's position x, in parts of the side from the middle, to the view's
position ``[[1 + a, -b], [b, 1 + a]] x + t``. Its four numbers are found by Gauss-Newton on smoothed
luminance, from coarse to fine (Lucas and Kanade 1981), together with a gain and an offset, so that
other light does not mislead; colours are not changed. Damping is image by image: a step counts only
if it lowers that image's error, so no image knows of the others in its batch.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from warpgan.holes import gaussian_blur

SHIFT_LIMIT = 0.08
TURN_LIMIT_DEG = 10.0
SCALE_LIMIT = 0.10
LIGHT_LIMIT = 0.5

LUMINANCE = (0.299, 0.587, 0.114)
COARSEST, FINEST = 16, 256
"""Sides in pixels of the first and, at most, the last picture that parameters are sought on."""
STEPS = 8
SMOOTHING = 1.0
_DAMPING_START, _DAMPING_UP, _DAMPING_DOWN = 1e-3, 10.0, 0.3
_LEAST_OVERLAP = 0.5


@dataclass(frozen=True)
class Similarity:
    """Similarities of ``B`` images, from target to view.

    Attributes:
        shift: ``[B, 2]`` right and down, in parts of the side: where the middle goes.
        turn_deg: ``[B]`` degrees, > 0 from right to down.
        scale: ``[B]``.
    """

    shift: Tensor
    turn_deg: Tensor
    scale: Tensor

    @property
    def matrix(self) -> Tensor:
        """``[B, 2, 3]`` on positions in parts of the side from the middle."""
        turn = torch.deg2rad(self.turn_deg)
        cos, sin = self.scale * turn.cos(), self.scale * turn.sin()
        rows = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
        return torch.cat([rows, self.shift.unsqueeze(-1)], -1)


@dataclass(frozen=True)
class Registration:
    """Views laid on their targets.

    Attributes:
        images: ``[B, 3, S, S]`` in [-1, 1], views resampled (bicubic); untouched where registration
            did not lower the error.
        valid: ``[B, 1, S, S]`` bool, pixels that lie inside the view.
        similarity: that was found.
        moved: ``[B]`` bool, False where the identity was best.
    """

    images: Tensor
    valid: Tensor
    similarity: Similarity
    moved: Tensor


@torch.no_grad()
def register(
    images: Tensor,
    targets: Tensor,
    *,
    shift_limit: float = SHIFT_LIMIT,
    turn_limit_deg: float = TURN_LIMIT_DEG,
    scale_limit: float = SCALE_LIMIT,
) -> Registration:
    """Lay each view on its target.

    Args:
        images: ``[B, 3, S, S]`` in [-1, 1], views.
        targets: the same shape and range; what they should show.
        shift_limit: longest shift along each axis, in parts of the side.
        turn_limit_deg: largest turn, degrees.
        scale_limit: the scale lies within ``1 -`` and ``1 +`` it.

    Returns:
        Aligned views with the similarity that aligned them.

    Raises:
        ValueError: if the shapes differ, are not square colour images, or are below 16 pixels.
    """
    if images.ndim != 4 or images.shape != targets.shape or images.shape[1] != 3:
        raise ValueError(
            "registration lays views [B, 3, S, S] on targets of the same shape, got "
            f"{tuple(images.shape)} and {tuple(targets.shape)}"
        )
    side = images.shape[-1]
    if images.shape[-2] != side or side < COARSEST:
        raise ValueError(
            f"registration needs square images of {COARSEST} pixels a side or more, got "
            f"{images.shape[-2]} x {side}"
        )
    limits = _Limits(shift_limit, math.radians(turn_limit_deg), scale_limit)
    view, target = (_luminance(x.double()) for x in (images, targets))
    p = view.new_zeros(len(images), 6)
    for level_side in _sides(side):
        p = _refine(p, _level(view, level_side), _level(target, level_side), limits)
    last = _sides(side)[-1]
    moved = _lowers_error(p, _level(view, last), _level(target, last))
    p = torch.where(moved[:, None], p, 0.0)
    grid, inside = _positions(p, side)
    resampled = F.grid_sample(
        images.double(), grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    keep = moved.view(-1, 1, 1, 1)
    return Registration(
        images=torch.where(keep, resampled.clamp(-1, 1).to(images.dtype), images),
        valid=inside | ~keep,
        similarity=Similarity(
            shift=p[:, :2],
            turn_deg=torch.rad2deg(torch.atan2(p[:, 3], 1 + p[:, 2])),
            scale=torch.hypot(1 + p[:, 2], p[:, 3]),
        ),
        moved=moved,
    )


@dataclass(frozen=True)
class _Limits:
    shift: float
    turn: float
    scale: float

    def hold(self, p: Tensor) -> Tensor:
        """The nearest parameters ``[B, 6]`` within the limits.

        They are: shift x, shift y, a, b, gain - 1, offset.
        """
        shift = p[:, :2].clamp(-self.shift, self.shift)
        turn = torch.atan2(p[:, 3], 1 + p[:, 2]).clamp(-self.turn, self.turn)
        scale = torch.hypot(1 + p[:, 2], p[:, 3]).clamp(1 - self.scale, 1 + self.scale)
        linear = torch.stack([scale * turn.cos() - 1, scale * turn.sin()], 1)
        return torch.cat([shift, linear, p[:, 4:].clamp(-LIGHT_LIMIT, LIGHT_LIMIT)], 1)


def _sides(side: int) -> list[int]:
    """Sides of the levels, doubling from the coarsest to the image's own or ``FINEST``."""
    sides = [min(side, FINEST)]
    while sides[0] // 2 >= COARSEST:
        sides.insert(0, sides[0] // 2)
    return sides


def _luminance(images: Tensor) -> Tensor:
    channels = ((images + 1) / 2).split(1, dim=1)
    return sum(weight * channel for weight, channel in zip(LUMINANCE, channels, strict=True))


def _level(picture: Tensor, side: int) -> Tensor:
    """``[B, 1, S, S]`` reduced to ``side`` and smoothed."""
    reduced = F.interpolate(picture, size=(side, side), mode="area")
    return gaussian_blur(reduced, size=7, sigma=SMOOTHING)


def _refine(p: Tensor, view: Tensor, target: Tensor, limits: _Limits) -> Tensor:
    """Lower the error of parameters ``[B, 6]`` on one level."""
    damping = p.new_full((len(p),), _DAMPING_START)
    system = _system(p, view, target)
    for _ in range(STEPS):
        normal = system.hessian + torch.diag_embed(
            damping[:, None] * system.hessian.diagonal(dim1=1, dim2=2) + 1e-12
        )
        tried = limits.hold(p - _solve(normal, system.gradient))
        found = _system(tried, view, target)
        better = found.error < system.error
        p = torch.where(better[:, None], tried, p)
        system = system.replaced(found, better)
        damping = (damping * torch.where(better, _DAMPING_DOWN, _DAMPING_UP)).clamp(1e-9, 1e9)
    return p


@dataclass(frozen=True)
class _System:
    """Error ``[B]``, gradient ``[B, 6]`` and Gauss-Newton matrix ``[B, 6, 6]`` at parameters."""

    error: Tensor
    gradient: Tensor
    hessian: Tensor

    def replaced(self, other: "_System", where: Tensor) -> "_System":
        return _System(
            torch.where(where, other.error, self.error),
            torch.where(where[:, None], other.gradient, self.gradient),
            torch.where(where[:, None, None], other.hessian, self.hessian),
        )


def _system(p: Tensor, view: Tensor, target: Tensor) -> _System:
    side = view.shape[-1]
    grid, inside = _positions(p, side)
    weight = inside.double()
    maps = torch.cat([view, *_slopes(view)], 1)
    value, across, down = (
        F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
        .mul(weight)
        .split(1, dim=1)
    )
    gain, offset = (p[:, i].view(-1, 1, 1, 1) for i in (4, 5))
    difference = (1 + gain) * value + (offset - target) * weight
    across, down = (1 + gain) * across, (1 + gain) * down
    x, y = _middle_out(side, view)
    columns = (across, down, across * x + down * y, down * x - across * y, value, weight)
    share = weight.sum((1, 2, 3)).clamp(min=1)
    rows = [[(one * other).sum((1, 2, 3)) / share for other in columns] for one in columns]
    # Too little overlap is no registration, however well what is left agrees.
    enough = share >= _LEAST_OVERLAP * side * side
    return _System(
        error=torch.where(enough, difference.square().sum((1, 2, 3)) / share, torch.inf),
        gradient=torch.stack([(one * difference).sum((1, 2, 3)) / share for one in columns], 1),
        hessian=torch.stack([torch.stack(row, 1) for row in rows], 1),
    )


def _positions(p: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Where each target pixel lies in the view: ``[B, S, S, 2]`` in [-1, 1], and whether inside."""
    x, y = _middle_out(side, p)
    shift_x, shift_y, a, b = (value.view(-1, 1, 1, 1) for value in p[:, :4].unbind(1))
    u, v = (1 + a) * x - b * y + shift_x, b * x + (1 + a) * y + shift_y
    edge = 0.5 - 0.5 / side
    inside = (u.abs() <= edge + 1e-9) & (v.abs() <= edge + 1e-9)
    return torch.cat([u, v], 1).movedim(1, -1) * 2, inside


def _middle_out(side: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Columns ``[1, 1, 1, S]`` and rows ``[1, 1, S, 1]`` of pixel centres, in parts of the side."""
    place = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) / side - 0.5
    return place.view(1, 1, 1, side), place.view(1, 1, side, 1)


def _slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Change to the right and downwards for one whole side, by central differences."""
    side = picture.shape[-1]
    padded = F.pad(picture, [1] * 4, mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) * (side / 2)
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) * (side / 2)
    return across, down


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    """``[B, 6]``; a singular matrix, as of an empty picture, gives no step."""
    found, failed = torch.linalg.solve_ex(matrix, right)
    usable = (failed == 0) & found.isfinite().all(1)
    return torch.where(usable[:, None], found, 0.0)


def _lowers_error(p: Tensor, view: Tensor, target: Tensor) -> Tensor:
    """Whether ``p`` fits better than the identity, on the pixels that it has."""
    grid, inside = _positions(p, view.shape[-1])
    laid = F.grid_sample(view, grid, padding_mode="border", align_corners=False)
    errors = [((x - target).square() * inside).sum((1, 2, 3)) for x in (laid, view)]
    return errors[0] < errors[1]
