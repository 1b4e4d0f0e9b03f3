"""Makes the shards of a view cache; which bytes a shard has depends on the settings alone."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from warpgan.data.folder import ImageFolder
from warpgan.data.view_cache import pair_members, photo_members
from warpgan.data.view_shards import (
    PAIRS,
    PHOTOS,
    DamagedShardError,
    ShardPlan,
    ShardWriter,
    open_shard,
)
from warpgan.pose import PoseDistribution
from warpgan.training.seeding import fold_seed
from warpgan.view_maker import ViewMaker

_MAX_ENCODERS = 8


@dataclass(frozen=True)
class ViewJob:
    """Everything the shards are made from.

    Attributes:
        maker: Networks, on the device of the work.
        photos: The data set, or None where no photos are asked for.
        rows: Places of the cached photos in it.
        poses: Where novel cameras come from, or None like ``photos``.
        mirror_poses: Mirror every other novel camera, by chance.
        novel_views: Novel views of a photo.
        pairs: Number of synthetic pairs.
        seed: Of everything drawn.
        shard_size: Samples of a shard.
        batch_size: Samples rendered at once.
    """

    maker: ViewMaker
    photos: ImageFolder | None
    rows: tuple[int, ...]
    poses: PoseDistribution | None
    mirror_poses: bool
    novel_views: int
    pairs: int
    seed: int
    shard_size: int
    batch_size: int

    @property
    def plans(self) -> tuple[ShardPlan, ...]:
        """How photos and pairs are shared out over shards."""
        counts = ((PHOTOS, len(self.rows)), (PAIRS, self.pairs))
        return tuple(ShardPlan(kind, count, self.shard_size) for kind, count in counts)

    def settings(self) -> dict[str, Any]:
        """What determines the content of the cache."""
        maker = self.maker
        photos: dict[str, Any] = {"count": len(self.rows)}
        if self.rows:
            names = [self.photos.names[row] for row in self.rows]
            photos |= {
                "novel_views": self.novel_views,
                "names_and_labels": _sha256(repr(names).encode(), self.photos.labels[[*self.rows]]),
                "novel_poses": _sha256(b"", self.poses.labels),
                "mirror_poses": self.mirror_poses,
            }
        pairs: dict[str, Any] = {"count": self.pairs}
        if self.pairs:
            law = maker.synthetic_poses
            pairs |= {
                "truncation_psi": maker.synthetic_psi,
                "codes": "encoder" if maker.invert_synthetic else "truth",
                "poses": _sha256(b"", law.labels)
                if isinstance(law, PoseDistribution)
                else repr(law),
            }
        return {
            "image_size": maker.generator.img_resolution,
            "ray_range": list(maker.ray_range()),
            "networks": maker.fingerprint(),
            "photos": photos,
            "pairs": pairs,
            "seed": self.seed,
            "shard_size": self.shard_size,
            # Networks round differently in batches of another size.
            "batch_size": self.batch_size,
        }


def find_work(
    job: ViewJob, folder: Path, *, process: int = 0, processes: int = 1
) -> tuple[list[str], list[str]]:
    """Find the shards that a process has to make.

    Args:
        job: What is to be made.
        folder: The cache.
        process: Index of this process.
        processes: How many share the work.

    Returns:
        Names of the shards to make, and messages on those that were there and are damaged.
    """
    todo, notes = [], []
    shards = [(plan, name) for plan in job.plans for name in plan.names]
    for plan, name in shards[process::processes]:
        try:
            open_shard(folder, plan, name)
        except DamagedShardError as error:
            todo.append(name)
            if (folder / f"{name}.tar").is_file():
                notes.append(str(error).partition("; rebuild")[0])
        (folder / f".{name}.tar.partial").unlink(missing_ok=True)
    return todo, notes


def make_shard(job: ViewJob, folder: Path, name: str, *, after_batch: Callable[[int], None]) -> int:
    """Make one shard; nothing of it is left where an exception ends the work.

    Args:
        job: What it is made from.
        folder: The cache.
        name: Its name.
        after_batch: Called with the number of samples just written; may raise to stop.

    Returns:
        Number of samples.
    """
    plan = next(plan for plan in job.plans if plan.kind == name.partition("-")[0])
    make = _photo_batch if plan.kind == PHOTOS else _pair_batch
    samples = plan.samples(name)
    on_cpu = job.maker.generator.mean_latent().device.type == "cpu"
    encoders = 1 if on_cpu else min(_MAX_ENCODERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(encoders) as pool, ShardWriter(folder, name) as writer:
        for start in range(0, len(samples), job.batch_size):
            batch = samples[start : start + job.batch_size]
            names, encode = make(job, batch)
            members = pool.map(encode, range(len(batch)))
            for sample, sample_name, content in zip(batch, names, members, strict=True):
                writer.write(plan.key(sample), content, name=sample_name)
            after_batch(len(batch))
    return len(samples)


_Batch = tuple[Sequence[str], Callable[[int], dict[str, bytes]]]


def _photo_batch(job: ViewJob, samples: Sequence[int]) -> _Batch:
    rows = [job.rows[sample] for sample in samples]
    items = [job.photos[row] for row in rows]
    names = [item.name for item in items]
    device = job.maker.generator.mean_latent().device
    views = job.maker.real(
        torch.stack([item.image for item in items]).to(device),
        torch.stack([item.camera for item in items]).to(device),
        novel_camera=torch.stack([_novel_cameras(job, name) for name in names]).to(device),
        names=names,
    ).to(torch.device("cpu"))

    def encode(place: int) -> dict[str, bytes]:
        content = job.photos.content(rows[place])
        return photo_members(
            views,
            place,
            photo_sha256=hashlib.sha256(content).hexdigest(),
            ray_range=job.maker.ray_range(),
        )

    return names, encode


def _pair_batch(job: ViewJob, samples: Sequence[int]) -> _Batch:
    seeds = [fold_seed(job.seed, "synthetic pair", sample) for sample in samples]
    views = job.maker.synthetic(seeds).to(torch.device("cpu"))
    return views.names, lambda place: pair_members(views, place, ray_range=job.maker.ray_range())


def _novel_cameras(job: ViewJob, name: str) -> Tensor:
    """The novel cameras [V, 25] of a photo: a function of the seed and its name."""
    stream = torch.Generator().manual_seed(fold_seed(job.seed, "novel cameras", name))
    return job.poses.sample(job.novel_views, stream, mirror=job.mirror_poses)


def _sha256(text: bytes, labels: Tensor) -> str:
    digest = hashlib.sha256(text)
    digest.update(labels.detach().cpu().float().contiguous().numpy())
    return digest.hexdigest()
