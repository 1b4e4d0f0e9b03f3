"""Several photos of one person in one view: which photo shows a pixel, and with what colours.

Every photo ``p`` was warped to the view: colours ``c_p`` and a soft hole mask ``h_p``. With

    a_p   = 1 - h_p                               how far the photo shows the pixel
    r_p   = feather of a_p                        0 at the rim of what it shows, 1 inside
    d_p   = angle between its camera and the view's, seen from the head's middle
    e_pq  = 1 - exp(-(d_p - d_q) / softness)      how far photo q comes before p, 0 if d_q >= d_p
    u_p   = a_p r_p  prod_q (1 - e_pq a_q r_q)    p shows what those before it leave

photo ``p`` has the share ``u_p / sum u`` of the pixel's colour, and the view's hole is the product
of all ``h_p``. So a pixel that one photo alone shows is that photo's, one that several show is that
of the nearest camera, rims are blended over the feather, and shares change steadily as the camera
moves past the middle between two photos.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from warpgan.cameras import RADIUS, split_label, yaw_pitch
from warpgan.initial_fill import Branch

LARGEST_GAIN = 2.0
LEAST_OVERLAP = 0.02
"""Share of the image that two photos must both show before their colours are compared."""
DARKEST, BRIGHTEST = 0.03, 0.97
"""Colours in [0, 1] between which a photo is neither black nor burnt out."""
ANGLE_STEP = 1e-3
"""Degrees below which two angles are equal: labels are float32."""
_SMALLEST_RAMP = 1e-3
_SURE = 0.99


@dataclass(frozen=True)
class BlendOptions:
    """How photos share a view.

    Attributes:
        feather: width of a blended rim, in parts of the image's side; 0 for hard rims.
        softness: degrees by which one camera must be nearer than another to come clearly before
            it; 0 for always, ties to the first.
    """

    feather: float = 1 / 7
    softness: float = 5.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: a width outside [0, 0.5], or a negative softness.
        """
        if not 0 <= self.feather <= 0.5:
            raise ValueError(f"feather={self.feather:g} must be a part of the image, 0 to 0.5")
        if not 0 <= self.softness < float("inf"):
            raise ValueError(f"softness={self.softness:g} must be 0 or more degrees")


def camera_angles(cameras: Tensor, sources: Tensor) -> Tensor:
    """Angle between the directions from which two cameras look at the head's middle.

    Args:
        cameras: labels ``[V, 25]``.
        sources: labels ``[P, 25]``.

    Returns:
        ``[V, P]`` float64 degrees in [0, 180], in whole steps of `ANGLE_STEP`.
    """
    here, there = (
        F.normalize(split_label(x.double())[0][:, :3, 3], dim=-1) for x in (cameras, sources)
    )
    here, there = torch.broadcast_tensors(here[:, None], there[None])
    across = torch.linalg.cross(here, there).norm(dim=-1)
    return _in_steps(torch.rad2deg(torch.atan2(across, (here * there).sum(-1))))


def yaw_distances(cameras: Tensor, sources: Tensor) -> Tensor:
    """Difference of two cameras' yaw; as `camera_angles`."""
    here, there = (yaw_pitch(x.double())[0] for x in (cameras, sources))
    difference = (here[:, None] - there[None] + 180).remainder(360) - 180
    return _in_steps(difference.abs())


def nearest_photos(cameras: Tensor, sources: Tensor) -> list[int]:
    """For each of the labels ``[V, 25]`` which of ``[P, 25]`` is nearest in yaw, ties to the first.

    Returns:
        V indices.
    """
    # list.index finds the first smallest; argmin may give any of them.
    return [row.index(min(row)) for row in yaw_distances(cameras, sources).tolist()]


def photo_shares(visible: Tensor, angles: Tensor, *, options: BlendOptions) -> Tensor:
    """Each photo's share of each pixel's colour.

    Args:
        visible: ``[V, P, H, W]`` in [0, 1]: 1 - hole.
        angles: ``[V, P]`` degrees, of `camera_angles`.
        options: feather and softness.

    Returns:
        ``[V, P, H, W]`` in [0, 1], of sum 1; 0 for all where no photo shows the pixel.
    """
    count = visible.shape[1]
    shown = visible * _ramp(visible, options.feather)
    later = angles[:, :, None] - angles[:, None, :]
    place = torch.arange(count, device=angles.device)
    if options.softness:
        before = 1 - torch.exp(-later.clamp(min=0) / options.softness)
    else:
        tied_before = (later == 0) & (place[:, None] > place[None])
        before = ((later > 0) | tied_before).double()
    before = before.to(shown.dtype)
    shares = []
    for p in range(count):
        left = shown[:, p]
        for q in range(count):
            if q != p:
                left = left * (1 - before[:, p, q, None, None] * shown[:, q])
        shares.append(left)
    together = torch.stack(shares, dim=1)
    total = together.sum(1, keepdim=True)
    return torch.where(total > 0, together / total.clamp(min=1e-30), 0.0)


def blended(
    branches: Sequence[Branch], angles: Tensor, *, nearest: int, options: BlendOptions
) -> Branch:
    """One branch of several photos' branches, warped to the same views.

    Args:
        branches: one a photo, of the same render; one alone is returned as it is.
        angles: ``[V, P]`` degrees between the views and the photos' cameras.
        nearest: the photo whose warped pixels stand where none is believed.
        options: how.
    """
    if len(branches) == 1:
        return branches[0]
    holes = torch.stack([branch.hole for branch in branches], dim=1)
    shares = photo_shares(1 - holes[:, :, 0], angles, options=options)
    nobody = 1 - shares.sum(1, keepdim=True)
    warped = branches[nearest].warped * nobody
    for place, branch in enumerate(branches):
        warped = warped + branch.warped * shares[:, place, None]
    hole, render = holes.prod(1), branches[nearest].render
    return Branch(
        filled=torch.lerp(warped, render, hole),
        render=render,
        hole=hole,
        warped=warped,
        visible=torch.stack([branch.visible for branch in branches]).amax(0),
    )


def colour_gain(
    photo: Tensor, reference: Tensor, *, visible: Tensor, reference_depth_z: Tensor
) -> Tensor:
    """By how much a photo's colours are darker than another's, over what both show of the head.

    The head's front half alone counts: what is behind it is not the person in two real photos.

    Args:
        photo: ``[3, S, S]`` in [-1, 1], warped to the reference's camera.
        reference: ``[3, S, S]`` in [-1, 1].
        visible: ``[1, S, S]``, 1 where the warped photo is believed.
        reference_depth_z: ``[1, S, S]``.

    Returns:
        ``[3]``, a factor of each channel in [0, 1] range, between 1 / `LARGEST_GAIN` and
        `LARGEST_GAIN`; 1 without enough overlap.
    """
    ours, theirs = (photo + 1) / 2, (reference + 1) / 2
    both = (visible > _SURE) & (reference_depth_z < RADIUS)
    for colours in (ours, theirs):
        both = both & ((colours > DARKEST) & (colours < BRIGHTEST)).all(0, keepdim=True)
    # Medians: a face that is a pixel or two out of place has few wrong ratios, but large ones.
    ratio = torch.where(both, theirs / ours.clamp(min=DARKEST), torch.nan)
    gain = ratio.flatten(1).nanmedian(1).values.clamp(1 / LARGEST_GAIN, LARGEST_GAIN)
    return torch.where(both.float().mean() >= LEAST_OVERLAP, gain, 1.0)


def with_gain(images: Tensor, gain: Tensor) -> Tensor:
    """Multiply ``[..., 3, H, W]`` in [-1, 1] by ``[3]`` in [0, 1] range, clamped to white."""
    return (((images + 1) * gain[:, None, None]) - 1).clamp(max=1)


def _ramp(visible: Tensor, feather: float) -> Tensor:
    """0 at the rim of what is visible, rising to 1 over half the feather's width inside.

    A mean over a window: a straight rim halves it, and a pin-hole hardly changes it.
    """
    side = 1 + 2 * round(feather * visible.shape[-1] / 2)
    if side == 1:
        return torch.ones_like(visible)
    mean = F.avg_pool2d(visible, side, stride=1, padding=side // 2, count_include_pad=False)
    return (2 * mean - 1).clamp(_SMALLEST_RAMP, 1)


def _in_steps(degrees: Tensor) -> Tensor:
    return (degrees / ANGLE_STEP).round() * ANGLE_STEP
