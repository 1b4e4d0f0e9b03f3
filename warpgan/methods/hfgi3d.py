"""Pseudo views of a photo from an orbit of cameras (HFGI3D, Xie et al. 2023).

```
teacher = mask * warped photo + (1 - mask) * render of the PTI-tuned generator
```
What the photo shows is moved there by the tuned generator's depth, the rest is the generator's.
The published code makes a mesh of the depth and draws a million of its points with pytorch3d; ours
moves pixels with the same splat and visibility tests as everything else here (`warpgan.warp`).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_fill_holes
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.cameras import from_eg3d_offsets, look_at, make_label, split_label
from warpgan.holes import erode, gaussian_blur
from warpgan.methods.tuning import Teachers
from warpgan.pipeline import rendered_ray_length
from warpgan.warp import WarpOptions, forward_warp, visible_pixels

REFERENCE_SIDE = 512
FULL_TURN = 2 * math.pi


@dataclass(frozen=True)
class TeacherSettings:
    """The orbit and the clean-up of the mask.

    Attributes:
        count: cameras on the orbit.
        yaw_range: its half width, EG3D's offset in radians.
        pitch_middle: its height, EG3D's offset: below 0 is above the face.
        pitch_range: its half height, EG3D's offset.
        erosion: window in pixels by which every hole grows; one pixel of splat needs it at any
            size.
        contour_erosion: window in pixels at 512 by which the outside of what is visible grows,
            scaled by S / 512; holes inside stay as they are.
        blur_size: taps of the mask's blur at 512, scaled likewise.
        blur_sigma: its width in pixels at 512, scaled likewise; OpenCV's for that many taps, the
            published code names none.
    """

    count: int = 30
    yaw_range: float = 0.35
    pitch_middle: float = -0.05
    pitch_range: float = 0.25
    erosion: int = 3
    contour_erosion: int = 51
    blur_size: int = 21
    blur_sigma: float = 3.5

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: no camera, or an even window.
        """
        if self.count < 1:
            raise ValueError(f"teachers.count={self.count} must be at least 1")
        for name in ("erosion", "contour_erosion", "blur_size"):
            value = getattr(self, name)
            if value < 1 or value % 2 != 1:
                raise ValueError(f"teachers.{name}={value}: must be an odd number of pixels")


def orbit_cameras(camera: Tensor, settings: TeacherSettings) -> Tensor:
    """Labels ``[count, 25]`` of an orbit with the lens of ``camera`` ``[1, 25]``."""
    turns = torch.arange(settings.count, dtype=torch.float64) / settings.count * FULL_TURN
    yaw, pitch = from_eg3d_offsets(
        settings.yaw_range * turns.sin(),
        settings.pitch_middle + settings.pitch_range * turns.cos(),
    )
    cam2world, _ = split_label(look_at(yaw, pitch).to(camera))
    _, intrinsics = split_label(camera)
    return make_label(cam2world, intrinsics)


@torch.no_grad()
def trusted_pixels(visible: Tensor, settings: TeacherSettings) -> Tensor:
    """Soft mask of the warped pixels that are believed.

    Args:
        visible: ``[B, 1, S, S]`` in {0, 1}.
        settings: of the clean-up. What lies outside the picture counts as visible.

    Returns:
        ``[B, 1, S, S]`` in [0, 1], 0 wherever nothing is visible.
    """
    scale = visible.shape[-1] / REFERENCE_SIDE
    solid = np.stack([binary_fill_holes(each[0]) for each in visible.cpu().numpy()])
    solid = torch.from_numpy(solid[:, None]).to(visible)
    kept = erode(visible, settings.erosion)
    kept = kept * _erode_widely(solid, _scaled_window(settings.contour_erosion, scale))
    soft = gaussian_blur(
        kept, size=_scaled_window(settings.blur_size, scale), sigma=settings.blur_sigma * scale
    )
    # The blur reaches into holes, whose colour is black.
    return (soft * visible).clamp(0, 1)


@torch.no_grad()
def teacher_mask(
    ray_length: Tensor,
    source: Tensor,
    target: Tensor,
    *,
    target_ray_length: Tensor,
    photo: Tensor,
    options: WarpOptions,
    settings: TeacherSettings,
) -> tuple[Tensor, Tensor]:
    """Warp a photo to other cameras and say which of its pixels are believed there.

    Args:
        ray_length: ``[N, 1, R, R]`` of the photo.
        source: labels ``[N, 25]``.
        target: labels ``[N, 25]``.
        target_ray_length: ``[N, 1, R, R]`` of the generator's views.
        photo: ``[N, 3, S, S]`` in [-1, 1].
        options: of the warp.
        settings: of the clean-up.

    Returns:
        The warped photo ``[N, 3, S, S]`` in [-1, 1] and the mask ``[N, 1, S, S]`` in [0, 1].
    """
    warped = forward_warp(photo + 1, ray_length, source, target, options=options)
    visible = visible_pixels(
        warped,
        target,
        options=options,
        ray_length=ray_length,
        source=source,
        target_ray_length=target_ray_length,
    )
    return (warped.colour - 1).clamp(-1, 1), trusted_pixels(visible, settings)


@torch.no_grad()
def teacher_views(
    tuned: TriPlaneGenerator,
    ws: Tensor,
    photo: Tensor,
    *,
    camera: Tensor,
    options: WarpOptions,
    settings: TeacherSettings,
) -> Teachers:
    """Make the pseudo views of a photo.

    Args:
        tuned: the generator tuned to the photo.
        ws: ``[1, num_ws, w_dim]``, the pivot.
        photo: ``[1, 3, S, S]`` in [-1, 1].
        camera: its label ``[1, 25]``.
        options: of the warp.
        settings: orbit and mask.

    Returns:
        ``count`` views with their cameras.
    """
    cameras = orbit_cameras(camera, settings)
    planes = tuned.planes(ws)
    ray_length = rendered_ray_length(tuned, planes, ws, camera=camera)
    images = []
    for target in cameras.split(1):
        drawn = tuned.render(planes, ws, target)
        warped, mask = teacher_mask(
            ray_length,
            camera,
            target,
            target_ray_length=drawn.ray_length,
            photo=photo,
            options=options,
            settings=settings,
        )
        images.append(torch.lerp(drawn.image.clamp(-1, 1), warped, mask))
    return Teachers(torch.cat(images), cameras)


def _erode_widely(visible: Tensor, size: int) -> Tensor:
    """`erode`, one axis after the other: for large windows."""
    hole = 1 - visible
    hole = F.max_pool2d(hole, (size, 1), stride=1, padding=(size // 2, 0))
    hole = F.max_pool2d(hole, (1, size), stride=1, padding=(0, size // 2))
    return 1 - hole


def _scaled_window(size: int, scale: float) -> int:
    """The odd number of pixels nearest to ``size * scale``."""
    return max(1, 1 + 2 * round((size * scale - 1) / 2))
