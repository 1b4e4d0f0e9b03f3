"""A cache of rendered views that the distillation reads by random access.

One ``.npy`` file an array, memory-mapped. People are rendered in shards that are written aside and
renamed, so an interrupted rendering continues where it stopped; the same seed gives the same bytes
whatever the number of workers.

Pixel centres are at ``(i + .5) / N``. ``depth`` and ``mask`` belong to the grid of half the image
size, on which the generator shoots its rays: of the 2x2 pixels of a ray, depth is the mean of those
within ``SAME_SURFACE`` of the nearest one, as a ray that straddles an edge should hit the front.
"""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from warpgan import cameras
from warpgan.data.portraits import Portrait, sample_latents

SAME_SURFACE = 0.04
PEOPLE_PER_SHARD = 50


@dataclass(frozen=True, kw_only=True)
class ViewRecipe:
    """What fully determines a cache.

    Attributes:
        people: number of latents drawn.
        views: cameras of each person.
        size: image side in pixels, even.
        seed: of latents and cameras.
        detail: add what the latent cannot hold (moles, patterns ...).
    """

    people: int
    views: int
    size: int
    seed: int
    detail: bool = False

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.size % 2 or min(self.people, self.views, self.size) < 1:
            raise ValueError(f"view recipe needs an even size and positive counts, got {self}")


@dataclass(frozen=True)
class Views:
    """The arrays of a cache, ``P`` people x ``V`` views.

    Attributes:
        latents: ``[P, Z]`` float32.
        cameras: ``[P, V, 25]`` float32.
        images: ``[P, V, S, S, 3]`` uint8.
        depth_z: ``[P, V, S/2, S/2]`` float16.
        mask: ``[P, V, S/2, S/2]`` uint8, 255 where the person is.
    """

    latents: np.ndarray
    cameras: np.ndarray
    images: np.ndarray
    depth_z: np.ndarray
    mask: np.ndarray


def training_cameras(people: int, views: int, seed: int) -> np.ndarray:
    """Labels ``[people, views, 25]``: yaw half wide (+-65 degrees), half frontal; pitch N(0, 8)."""
    rng = np.random.default_rng([seed, 1])
    shape = (people, views)
    wide = rng.uniform(-65, 65, shape)
    frontal = np.clip(rng.normal(0, 22, shape), -65, 65)
    yaw = np.where(rng.random(shape) < 0.5, wide, frontal)
    pitch = np.clip(rng.normal(0, 8, shape), -25, 25)
    labels = cameras.look_at(
        torch.tensor(yaw.ravel(), dtype=torch.float64),
        torch.tensor(pitch.ravel(), dtype=torch.float64),
    )
    return labels.reshape(people, views, 25).numpy().astype(np.float32)


def half_grid_depth(depth_z: np.ndarray) -> np.ndarray:
    """Depth ``[S, S]`` of pixels to ``[S/2, S/2]`` of rays: mean over the front surface."""
    half = depth_z.shape[0] // 2
    blocks = depth_z.reshape(half, 2, half, 2).transpose(0, 2, 1, 3).reshape(half, half, 4)
    front = blocks < blocks.min(-1, keepdims=True) + SAME_SURFACE
    return (blocks * front).sum(-1) / front.sum(-1)


def render_shard(recipe: ViewRecipe, folder: Path, start: int) -> None:
    """Render people ``start`` .. ``start + PEOPLE_PER_SHARD`` into one ``.npz``."""
    target = folder / f"shard_{start:06d}.npz"
    if target.exists():
        return
    stop = min(start + PEOPLE_PER_SHARD, recipe.people)
    latents = sample_latents(recipe.people, recipe.seed)[start:stop]
    labels = training_cameras(recipe.people, recipe.views, recipe.seed)[start:stop]
    shape, half = labels.shape[:2], recipe.size // 2
    images = np.empty((*shape, recipe.size, recipe.size, 3), np.uint8)
    depth_z = np.empty((*shape, half, half), np.float16)
    mask = np.empty((*shape, half, half), np.uint8)
    for row in range(shape[0]):
        detail = recipe.seed * 1_000_003 + start + row if recipe.detail else None
        portrait = Portrait(latents[row], detail_seed=detail)
        for column in range(shape[1]):
            view = portrait.render(labels[row, column], size=recipe.size)
            images[row, column] = view.image
            depth_z[row, column] = half_grid_depth(view.depth_z)
            soft = view.mask.reshape(half, 2, half, 2).mean((1, 3))
            mask[row, column] = np.rint(soft * 255)
    aside = target.with_suffix(f".{os.getpid()}.npz")
    np.savez(aside, images=images, depth_z=depth_z, mask=mask)
    aside.rename(target)


def build_views(recipe: ViewRecipe, folder: Path, *, workers: int = 1) -> Views:
    """Render what is missing and open the cache.

    Raises:
        ValueError: if ``folder`` holds a cache of another recipe.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "recipe.json"
    if note.exists() and json.loads(note.read_text()) != asdict(recipe):
        raise ValueError(f"{folder} holds views of {note.read_text()}, not of {asdict(recipe)}")
    note.write_text(json.dumps(asdict(recipe)))
    if not (folder / "complete").exists():
        starts = range(0, recipe.people, PEOPLE_PER_SHARD)
        bar = tqdm(total=len(starts), desc="rendering views", unit="shard")
        with ProcessPoolExecutor(workers) as pool:
            for done in [pool.submit(render_shard, recipe, folder, start) for start in starts]:
                done.result()
                bar.update()
        bar.close()
        _merge_shards(recipe, folder)
    return Views(
        latents=sample_latents(recipe.people, recipe.seed),
        cameras=training_cameras(recipe.people, recipe.views, recipe.seed),
        **{k: np.load(folder / f"{k}.npy", mmap_mode="r") for k in ("images", "depth_z", "mask")},
    )


def _merge_shards(recipe: ViewRecipe, folder: Path) -> None:
    shards = [
        np.load(folder / f"shard_{s:06d}.npz") for s in range(0, recipe.people, PEOPLE_PER_SHARD)
    ]
    for key in ("images", "depth_z", "mask"):
        first = shards[0][key]
        merged = np.lib.format.open_memmap(
            folder / f"{key}.npy", "w+", first.dtype, (recipe.people, *first.shape[1:])
        )
        for start, shard in zip(range(0, recipe.people, PEOPLE_PER_SHARD), shards, strict=True):
            merged[start : start + PEOPLE_PER_SHARD] = shard[key]
        merged.flush()
    (folder / "complete").touch()
    for path in folder.glob("shard_*.npz"):
        path.unlink()
