"""Rays and patches of one distillation step, a pure function of (views, seed, step)."""

from dataclasses import dataclass

import numpy as np
import torch

from warpgan.distillation.views import Views


@dataclass(frozen=True, kw_only=True)
class BatchRecipe:
    """Sizes of a step.

    Attributes:
        heads: people per step, one view each.
        rays: rays a head.
        person_share, centre_share: parts of them on the person and in the image's centre; the rest
            is anywhere. Rays beside the person are what forbids floaters.
        patches: square patches a step, of the first heads, for the super-resolution.
        patch: side of a patch in rays.
        coarse: stratified samples a ray.
        guided: samples around the true surface a ray.
        guide_sigma: their spread along the ray, world units.
    """

    heads: int = 12
    rays: int = 256
    person_share: float = 0.5
    centre_share: float = 0.25
    patches: int = 3
    patch: int = 32
    coarse: int = 8
    guided: int = 5
    guide_sigma: float = 0.025


@dataclass(frozen=True)
class Rays:
    """``B`` rows of ``M`` rays with their truth; ``depths`` are sample distances along the ray.

    Attributes:
        origins, directions: ``[B, M, 3]``, unit directions.
        depths: ``[B, M, S]`` sorted.
        ray_length: ``[B, M]`` of the true surface (person or backdrop).
        mask: ``[B, M]`` in [0, 1].
    """

    origins: torch.Tensor
    directions: torch.Tensor
    depths: torch.Tensor
    ray_length: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """One step: loose rays with colours, and patches with the image they should become.

    Attributes:
        latents: ``[B, Z]``.
        rays: ``B`` x ``recipe.rays``; colour: ``[B, M, 3]`` in [-1, 1].
        patch_rays: ``P`` x ``patch^2`` rays of the first ``P`` people, row-major.
        patch_image: ``[P, 3, 2 patch, 2 patch]`` in [-1, 1].
    """

    latents: torch.Tensor
    rays: Rays
    colour: torch.Tensor
    patch_rays: Rays
    patch_image: torch.Tensor


def draw_batch(
    views: Views, recipe: BatchRecipe, *, near: float, far: float, seed: int, step: int
) -> Batch:
    """Draw the batch of ``step``."""
    rng = np.random.default_rng([seed, step])
    people, cameras = views.images.shape[:2]
    who = rng.choice(people, recipe.heads, replace=False)
    which = rng.integers(cameras, size=recipe.heads)
    half = views.mask.shape[-1]
    mask = np.stack([views.mask[p, v] for p, v in zip(who, which, strict=True)])
    depth = np.stack([views.depth_z[p, v] for p, v in zip(who, which, strict=True)])
    image = np.stack([views.images[p, v] for p, v in zip(who, which, strict=True)])
    labels = views.cameras[who, which]

    pick = np.stack([_pick_rays(m, recipe, rng) for m in mask])
    coarse_image = image.reshape(len(who), half, 2, half, 2, 3).mean((2, 4), dtype=np.float32)
    colour = np.take_along_axis(coarse_image.reshape(len(who), -1, 3), pick[..., None], 1)
    rays = _rays(labels, mask, depth, pick, recipe, near, far, rng)

    corner = rng.integers(0, half - recipe.patch + 1, (recipe.patches, 2))
    central = rng.integers(half // 8, half * 3 // 8 + 1, (recipe.patches, 2))
    corner = np.where(rng.random((recipe.patches, 1)) < 0.6, central, corner)
    grid = np.arange(recipe.patch)
    rows = corner[:, 0, None, None] + grid[None, :, None]
    columns = corner[:, 1, None, None] + grid[None, None, :]
    patch_pick = (rows * half + columns).reshape(recipe.patches, -1)
    some = slice(0, recipe.patches)
    patch_rays = _rays(labels[some], mask[some], depth[some], patch_pick, recipe, near, far, rng)
    side = 2 * recipe.patch
    crops = [
        im[2 * y : 2 * y + side, 2 * x : 2 * x + side]
        for im, (y, x) in zip(image, corner, strict=False)
    ]
    return Batch(
        latents=torch.from_numpy(views.latents[who]),
        rays=rays,
        colour=torch.from_numpy(colour / 127.5 - 1),
        patch_rays=patch_rays,
        patch_image=torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1,
    )


def _pick_rays(mask: np.ndarray, recipe: BatchRecipe, rng: np.random.Generator) -> np.ndarray:
    half = mask.shape[0]
    person = np.flatnonzero(mask)
    count = int(recipe.rays * recipe.person_share)
    on_person = rng.choice(person, count) if len(person) else rng.integers(half**2, size=count)
    count = int(recipe.rays * recipe.centre_share)
    central = rng.integers(half // 5, half - half // 5, (2, count))
    rest = recipe.rays - len(on_person) - count
    anywhere = rng.integers(half**2, size=rest)
    return np.concatenate([on_person, central[0] * half + central[1], anywhere])


def _rays(labels, mask, depth_z, pick, recipe, near, far, rng) -> Rays:
    half = mask.shape[-1]
    cam2world = labels[:, :16].reshape(-1, 4, 4)
    intrinsics = labels[:, 16:].reshape(-1, 3, 3)
    v, u = np.divmod(pick, half)
    y = ((v + 0.5) / half - intrinsics[:, None, 1, 2]) / intrinsics[:, None, 1, 1]
    x = ((u + 0.5) / half - intrinsics[:, None, 0, 2]) / intrinsics[:, None, 0, 0]
    camera = np.stack([x, y, np.ones_like(x)], -1)
    stretch = np.linalg.norm(camera, axis=-1)
    directions = np.einsum("bij,bmj->bmi", cam2world[:, :3, :3], camera / stretch[..., None])
    origins = np.broadcast_to(cam2world[:, None, :3, 3], directions.shape)
    flat = lambda a: np.take_along_axis(a.reshape(len(a), -1), pick, 1)  # noqa: E731
    ray_length = flat(depth_z).astype(np.float32) * stretch
    strata = (np.arange(recipe.coarse) + rng.random((*pick.shape, recipe.coarse))) / recipe.coarse
    guided = ray_length[..., None] + recipe.guide_sigma * rng.standard_normal(
        (*pick.shape, recipe.guided)
    )
    depths = np.concatenate([near + (far - near) * strata, guided.clip(near, far)], -1)
    depths.sort(-1)
    tensor = lambda a: torch.from_numpy(np.ascontiguousarray(a, np.float32))  # noqa: E731
    return Rays(
        origins=tensor(origins),
        directions=tensor(directions),
        depths=tensor(depths),
        ray_length=tensor(ray_length),
        mask=tensor(flat(mask) / 255.0),
    )
