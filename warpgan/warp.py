"""The warp: a photo's own pixels seen from another camera, and what they leave open (section 3.1).

``forward_warp`` moves pixels, ``visible_pixels`` says where what arrived can be believed, and
``soft_holes`` makes the mask that SVINet sees. How they do it is one `WarpOptions`.
"""

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from warpgan.holes import erode, gaussian_blur, seen_by_source, stretched_surface
from warpgan.labels import LABEL_LENGTH
from warpgan.reprojection import PixelGrid, enlarge_ray_length, reproject
from warpgan.reprojection import depth_z_from_ray_length as depth_z_from_ray_length
from warpgan.reprojection import ray_length_from_depth_z as ray_length_from_depth_z
from warpgan.reprojection import ray_stretch as ray_stretch
from warpgan.splat import footprint, nearness_weight

Depth = Literal["z", "ray"]
Occlusion = Literal["soft", "zbuffer"]
HoleTest = Literal["coverage", "black"]

NEAREST = 0.05
"""Scene units in front of the target camera from which a point is drawn; EG3D's heads are at 2.25
or more."""
LEAST_COVERAGE = 1e-8
BLUR_SIDE = 512


@dataclass(frozen=True)
class WarpOptions:
    """How pixels are moved and holes are found; the defaults are the paper's, done right.

    Attributes:
        depth: ``"z"``, or ``"ray"``: ray length taken for depth, as released.
        pixel_grid: pixel centres at ``"centre"`` (i + .5), or at ``"integer"`` i, as released.
        occlusion: ``"soft"``: near points are up to e^10 heavier, as released; ``"zbuffer"``: only
            the nearest surface counts.
        hole_test: a hole is what no pixel was moved to (``"coverage"``), or what is exactly black
            (``"black"``), as released.
        visibility: whether the near rims of depth discontinuities are not moved, and moved pixels
            must agree with the generator's depth in the target view.
        max_slope: with visibility, the tangent of the steepest surface that is moved.
        target_tolerance: with visibility, scene units that a moved pixel may lie behind the
            generator's surface in the target view.
        source_tolerance: with visibility, scene units that this surface may lie behind the one the
            source view shows.
        zbuffer_band: scene units that still count as one surface, with ``"zbuffer"``.
        oversample: image and depth are enlarged so many times before they are moved.
        erosion: side in pixels of the window by which holes grow, odd; 1 for none.
        blur_size: taps of the blur of the hole mask, odd; 1 for none.
        blur_sigma: its width in pixels.
        scale_blur: whether size and width are meant at 512 pixels and follow the image's size.
    """

    depth: Depth = "z"
    pixel_grid: PixelGrid = "centre"
    occlusion: Occlusion = "soft"
    hole_test: HoleTest = "coverage"
    visibility: bool = False
    max_slope: float = 12.0
    target_tolerance: float = 0.06
    source_tolerance: float = 0.03
    zbuffer_band: float = 0.03
    oversample: int = 1
    erosion: int = 3
    blur_size: int = 21
    blur_sigma: float = 1.05
    scale_blur: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: a choice that does not exist, an even window, or a length that is not
                positive.
        """
        choices = {
            "depth": Depth,
            "pixel_grid": PixelGrid,
            "occlusion": Occlusion,
            "hole_test": HoleTest,
        }
        for name, choice in choices.items():
            if getattr(self, name) not in get_args(choice):
                raise ValueError(
                    f"geometry.{name}={getattr(self, name)!r} is not known; choose one of "
                    f"{', '.join(get_args(choice))}"
                )
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type in ("float", float) and not 0 < value < math.inf:
                raise ValueError(f"geometry.{field.name}={value}: must be a number above 0")
        for name in ("erosion", "blur_size"):
            value = getattr(self, name)
            if value < 1 or value % 2 != 1:
                raise ValueError(f"geometry.{name}={value}: must be an odd number of pixels")
        if self.oversample < 1 or self.oversample != int(self.oversample):
            raise ValueError(f"geometry.oversample={self.oversample}: must be 1, 2, 3 ...")


@dataclass(frozen=True)
class Warped:
    """A view made of moved pixels.

    Attributes:
        colour: ``[B, C, H, W]`` average of what arrived, 0 where nothing did.
        coverage: ``[B, 1, H, W]`` weight that arrived: the splat's denominator.
        depth_z: ``[B, 1, H, W]`` in the target view, inf where nothing arrived.
    """

    colour: Tensor
    coverage: Tensor
    depth_z: Tensor


def forward_warp(
    image: Tensor, ray_length: Tensor, source: Tensor, target: Tensor, *, options: WarpOptions
) -> Warped:
    """Move the pixels of an image to another camera (paper, section 3.1).

    Args:
        image: ``[B, C, H, W]`` of the source view; black must be 0.
        ray_length: ``[B, 1, R, R']`` of the source view, enlarged bicubically to the image. Pixels
            without a finite, positive one are dropped, as are those behind the target camera.
        source: labels ``[B, 25]``.
        target: labels ``[B, 25]``.
        options: geometry and occlusion.

    Returns:
        The view from the target camera, of the image's size. Differentiable in image and depth.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check_shapes(image, ray_length, source, target)
    height, width = image.shape[-2:]
    if options.oversample > 1:
        image = F.interpolate(
            image, scale_factor=options.oversample, mode="bicubic", align_corners=False
        )
    depth = _source_depth(ray_length, source, image.shape[-2:], options)
    valid = depth.isfinite() & (depth > 0)
    if options.visibility:
        valid = valid & ~stretched_surface(depth.detach(), source, max_slope=options.max_slope)
    depth = torch.where(valid, depth, 1.0)
    moved = reproject(depth, source, target, size=(height, width), pixel_grid=options.pixel_grid)
    valid = valid & (moved.depth_z > NEAREST)
    # At -1 a point lies wholly on the margin of the target: it is dropped.
    position = torch.where(valid, moved.position, -1.0).flatten(2)
    depth_z = torch.where(valid, moved.depth_z, 1.0).flatten(1)
    spread = footprint(position, height=height, width=width)
    if options.occlusion == "soft":
        weight = nearness_weight(depth_z, valid.flatten(1))
    else:
        spread = spread.in_front(depth_z, band=options.zbuffer_band)
        weight = torch.ones_like(depth_z)
    sums = spread.sums([*image.flatten(2).unbind(1), depth_z], weight)
    coverage = sums[:, -1:]
    average = sums[:, :-1] / coverage.clamp(min=LEAST_COVERAGE)
    return Warped(
        colour=average[:, :-1],
        coverage=coverage,
        depth_z=torch.where(coverage > LEAST_COVERAGE, average[:, -1:], torch.inf),
    )


@torch.no_grad()
def visible_pixels(
    warped: Warped,
    target: Tensor,
    *,
    options: WarpOptions,
    ray_length: Tensor | None = None,
    source: Tensor | None = None,
    target_ray_length: Tensor | None = None,
) -> Tensor:
    """Where the moved pixels show what the target camera sees.

    With ``options.visibility`` two tests are made against the generator's own view from the target
    camera: moved pixels must not lie behind its surface (without it the backdrop shines through the
    far cheek, where the photo has no pixels), and the source must have seen that surface.

    Args:
        warped: from `forward_warp`.
        target: labels ``[B, 25]``.
        options: those of `forward_warp`.
        ray_length: ``[B, 1, R, R']`` of the source view; for the tests.
        source: labels ``[B, 25]``; for the tests.
        target_ray_length: ``[B, 1, R, R']`` of the generator's view from the target camera; for
            the tests.

    Returns:
        ``[B, 1, H, W]`` in {0, 1}. No gradient passes.

    Raises:
        ValueError: the tests are asked for, and not all of their inputs are given.
    """
    if options.hole_test == "black":
        visible = (warped.colour != 0).any(1, keepdim=True)
    else:
        visible = warped.coverage > LEAST_COVERAGE
    if options.visibility:
        given = {
            "ray_length": ray_length,
            "source": source,
            "target_ray_length": target_ray_length,
        }
        absent = [name for name, value in given.items() if value is None]
        if absent:
            raise ValueError(
                f"geometry.visibility=true needs {', '.join(absent)}: give the depth of both "
                "views, or set geometry.visibility=false"
            )
        size = warped.depth_z.shape[-2:]
        surface = _source_depth(target_ray_length, target, size, options)
        visible &= warped.depth_z < surface + options.target_tolerance
        visible &= seen_by_source(
            surface,
            target,
            _source_depth(ray_length, source, size, options),
            source=source,
            tolerance=options.source_tolerance,
            pixel_grid=options.pixel_grid,
        )
    return visible.to(warped.colour.dtype)


@torch.no_grad()
def soft_holes(visible: Tensor, *, options: WarpOptions) -> Tensor:
    """The hole mask: holes grown by an erosion of what is visible, with a blurred rim.

    The blur is always the same; the released code draws its width at random, at test too.

    Args:
        visible: ``[B, 1, H, W]`` in {0, 1}.
        options: erosion and blur.

    Returns:
        ``[B, 1, H, W]`` in [0, 1], 1 where something is missing. No gradient passes.

    Raises:
        ValueError: the image is too small for the blur.
    """
    size, sigma = options.blur_size, options.blur_sigma
    if options.scale_blur:
        scale = min(visible.shape[-2:]) / BLUR_SIDE
        size, sigma = 1 + 2 * round((size * scale - 1) / 2), sigma * scale
    kept = erode(visible, options.erosion)
    return (1 - gaussian_blur(kept, size=max(size, 1), sigma=sigma)).clamp(0, 1)


def _source_depth(
    ray_length: Tensor, camera: Tensor, size: tuple[int, int], options: WarpOptions
) -> Tensor:
    """What the options take for ``depth_z``, enlarged to ``size``."""
    enlarged = enlarge_ray_length(ray_length, *size)
    if options.depth == "ray":
        return enlarged
    return depth_z_from_ray_length(enlarged, camera, pixel_grid=options.pixel_grid)


def _check_shapes(image: Tensor, ray_length: Tensor, source: Tensor, target: Tensor) -> None:
    batch = len(image)
    expected = {
        "image": (image, image.ndim == 4, "[B, C, H, W]"),
        "ray_length": (
            ray_length,
            ray_length.ndim == 4 and tuple(ray_length.shape[:2]) == (batch, 1),
            f"[{batch}, 1, R, R']",
        ),
        "source": (source, tuple(source.shape) == (batch, LABEL_LENGTH), f"[{batch}, 25]"),
        "target": (target, tuple(target.shape) == (batch, LABEL_LENGTH), f"[{batch}, 25]"),
    }
    for name, (tensor, fits, wanted) in expected.items():
        if not fits:
            raise ValueError(
                f"{name} of shape {list(tensor.shape)}; expected {wanted}, one of each per image"
            )
