"""Small corrections of a photo's camera, found by comparing the photo with the generator's view.

The latents come from the encoder, which does not see the camera: they and the planes stay. What the
photo shows and what the generator shows from the camera are compared as feature maps of a frozen
net, at several resolutions, where the generator's view is face and not backdrop:

    E(xi) = sum over levels of mean_p rho(| F(render(C(xi)))_p - F(photo)_p |),
    rho(e) = sqrt(e^2 / s^2 + 1) - 1
    E'(xi) = E(xi) + caution * |xi / sigma|^2

C(xi) is the camera turned by xi (`warpgan.camera_turns`: on its orbit and about itself), so its
distance from the origin stays 2.7 as EG3D's labels want it. Each step is one of
Levenberg-Marquardt with iteratively reweighted residuals: the surface that the render's depth gives
is moved to the turned camera, and the features move with it (the warp's own geometry), which gives
the Jacobian without a gradient through the volume. A step is kept only if E', rendered anew there,
is lower; so N steps cost N + 1 renders, and the result is never worse by E'.

What it can reach is limited by the inversion: it comes to rest a degree or a degree and a half from
the true camera of an embedded portrait, even when it starts there. It pays where the first guess is
worse (scripts/measure_estimated_cameras.py). Caution keeps it near a good guess.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.camera_fit import CameraFit, FaceFeatures, fit_of
from warpgan.camera_turns import angles_between, turn_cameras

MOST_STEPS = 1000
LARGEST_STEP_DEG = 4.0
SIGMA_DEG = (10.0, 10.0, 4.5, 4.5, 10.0)
CONVERGED_DEG = 0.03
LEAST_DAMPING, MOST_DAMPING = 1e-5, 1e4


@dataclass(frozen=True)
class RefinementOptions:
    """How a camera may move.

    Attributes:
        steps: at most so many renders after the first; 0 leaves the camera alone.
        largest_deg: how far the camera may come from where it began, on its orbit and in the
            direction that it looks, degrees.
        scale: s of rho: differences of unit feature vectors beyond it count ever less.
        caution: what a turn by `SIGMA_DEG` adds to E.
    """

    steps: int = 20
    largest_deg: float = 12.0
    scale: float = 0.3
    caution: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 0 <= self.steps <= MOST_STEPS:
            raise ValueError(
                f"a camera refinement of {self.steps} steps: must be 0 (off) to {MOST_STEPS}"
            )
        if not 0 < self.largest_deg <= 45:
            raise ValueError(f"largest_deg={self.largest_deg:g} must be above 0, at most 45")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale={self.scale:g} must be a number above 0")
        if not 0 <= self.caution < math.inf:
            raise ValueError(f"caution={self.caution:g} must be a number, 0 or above")


@dataclass(frozen=True)
class RefinedCameras:
    """Corrected cameras.

    Attributes:
        cameras: labels ``[B, 25]``.
        loss_before: ``[B]`` float64, E' of the given cameras.
        loss: ``[B]`` float64, E' of these, never larger.
        moved_deg: ``[B]`` angle between the given and the new position, seen from the origin.
        renders: ``[B]`` how often each was rendered.
    """

    cameras: Tensor
    loss_before: Tensor
    loss: Tensor
    moved_deg: Tensor
    renders: Tensor


@torch.no_grad()
def refine_cameras(
    generator: TriPlaneGenerator,
    photos: Tensor,
    cameras: Tensor,
    *,
    ws: Tensor,
    planes: Tensor | None = None,
    options: RefinementOptions,
    features: Callable[[Tensor], list[Tensor]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> RefinedCameras:
    """Correct the cameras of inverted photos; each photo on its own, deterministically.

    Args:
        generator: in eval mode.
        photos: ``[B, 3, S, S]`` in [-1, 1], of the generator's size.
        cameras: labels ``[B, 25]`` to begin from, at `warpgan.cameras.RADIUS`.
        ws: ``[B, num_ws, w_dim]`` of the photos.
        planes: ``[B, 3, C, H, W]`` of ``ws``; painted if None.
        options: see there.
        features: images to feature maps; `FaceFeatures` if None.
        progress: told how many renders were made since the last call; all photos together make
            at most ``B * (steps + 1)``, and the unneeded ones are told at the end.

    Raises:
        ValueError: photos and cameras do not fit the generator or each other.
    """
    size = generator.img_resolution
    batch = len(photos)
    if tuple(photos.shape[1:]) != (3, size, size) or tuple(cameras.shape) != (batch, 25):
        raise ValueError(
            f"photos {list(photos.shape)} and cameras {list(cameras.shape)}; expected "
            f"[B, 3, {size}, {size}] and [B, 25]"
        )
    features = FaceFeatures() if features is None else features
    tell = progress or (lambda renders: None)
    # One by one: a photo's result must not depend on its neighbours, nor its memory.
    parts = []
    for row in range(batch):
        item = slice(row, row + 1)
        wanted = features(photos[item])
        painted = generator.planes(ws[item]) if planes is None else planes[item]

        def fit(
            seen: Tensor,
            item: slice = item,
            wanted: list[Tensor] = wanted,
            painted: Tensor = painted,
        ) -> CameraFit:
            tell(1)
            return fit_of(generator, seen, wanted, ws[item], painted, features, options.scale)

        parts.append(_descend(fit, cameras[item], options))
        tell(options.steps + 1 - int(parts[-1].renders))
    return RefinedCameras(
        *(torch.cat([getattr(p, name) for p in parts]) for name in parts[0].__dataclass_fields__)
    )


@torch.no_grad()
def refine_photos(
    generator: TriPlaneGenerator,
    encoder: Callable[[Tensor], Tensor],
    photos: Tensor,
    cameras: Tensor,
    *,
    options: RefinementOptions,
    progress: Callable[[int], None] | None = None,
) -> RefinedCameras:
    """`refine_cameras` of photos that are not inverted yet.

    Args:
        generator: see there.
        encoder: photos ``[B, 3, S, S]`` to ``ws``.
        photos: see there.
        cameras: see there.
        options: see there.
        progress: see there.
    """
    ws = torch.cat([encoder(photo) for photo in photos.split(1)])
    return refine_cameras(generator, photos, cameras, ws=ws, options=options, progress=progress)


def _descend(
    fit: Callable[[Tensor], CameraFit], cameras: Tensor, options: RefinementOptions
) -> RefinedCameras:
    """Levenberg-Marquardt for one photo."""
    sigma = torch.deg2rad(torch.tensor(SIGMA_DEG, dtype=torch.float64, device=cameras.device))
    stiffness = 2 * options.caution / sigma**2
    total = torch.zeros_like(sigma)[None]
    best = first = fit(cameras).pulled(total, stiffness)
    damping, renders = 1e-2, 1
    while renders <= options.steps and damping < MOST_DAMPING:
        step = _step(best, damping)
        trial = turn_cameras(best.cameras, step)
        if max(map(float, angles_between(first.cameras, trial))) > options.largest_deg:
            damping *= 6
            continue
        # Turns this small add up; their order would not change the caution.
        found = fit(trial).pulled(total + step, stiffness)
        renders += 1
        better = bool(found.loss < best.loss)
        if better:
            best, total = found, total + step
        damping = max(damping / 4, LEAST_DAMPING) if better else damping * 6
        if math.degrees(float(step.norm())) < CONVERGED_DEG:
            break
    return RefinedCameras(
        cameras=best.cameras,
        loss_before=first.loss,
        loss=best.loss,
        moved_deg=angles_between(first.cameras, best.cameras)[0],
        renders=torch.tensor([renders], device=cameras.device),
    )


def _step(fit: CameraFit, damping: float) -> Tensor:
    """The damped Gauss-Newton step ``[B, 5]``, radians, its orbit part bounded."""
    diagonal = fit.normal.diagonal(dim1=1, dim2=2)
    floor = 1e-9 + 1e-9 * diagonal.amax(1, keepdim=True)
    damped = fit.normal + torch.diag_embed(damping * diagonal + floor)
    step = -torch.linalg.solve(damped, fit.slope)
    length = step[:, :2].norm(dim=1, keepdim=True).clamp_min(1e-12)
    return step * (math.radians(LARGEST_STEP_DEG) / length).clamp_max(1)
