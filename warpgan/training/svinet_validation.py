"""Held-out numbers and pictures of SVINet during training.

With ``eval.protocol=multi_view`` a folder shows each person from several cameras (``portraits``),
and novel views are compared with the true ones; with ``same_view`` the photo is compared with what
comes back from a novel view, as in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from warpgan.cameras import look_at
from warpgan.data.folder import ImageFolder
from warpgan.evaluation.items import Item, build_items
from warpgan.initial_fill import Branch
from warpgan.losses.rewarp import rewarp_branches
from warpgan.metrics.pixel import psnr
from warpgan.pictures import contact_sheet
from warpgan.pipeline import Face, NovelViews, WarpGAN


@dataclass(frozen=True)
class HeldOut:
    """Photos that are never trained on.

    Attributes:
        photos: Images with cameras.
        items: What is compared with what.
        several: Whether the true novel views of each person are among the photos.
    """

    photos: ImageFolder
    items: Sequence[Item]
    several: bool


def pair_held_out(photos: ImageFolder, *, protocol: str) -> HeldOut:
    """Find out what is compared with what.

    Args:
        photos: Images with cameras.
        protocol: ``multi_view`` or ``same_view``.

    Raises:
        ValueError: If a folder has one view only in ``multi_view``, or an image is repeated.
    """
    items = build_items(photos.names, photos.labels, protocol=protocol)
    return HeldOut(photos, items, several=protocol == "multi_view")


@torch.no_grad()
def validate(
    accelerator: Accelerator, pipeline: WarpGAN, held_out: HeldOut, *, count: int, batch_size: int
) -> dict[str, float]:
    """PSNR and L1 on held-out photos, the same whatever the number of processes.

    Args:
        accelerator: The processes; each takes its share of the photos.
        pipeline: Generator, encoder and the SVINet to judge.
        held_out: Photos, one or several a person.
        count: Use the first ``count`` people at most.
        batch_size: Photos at a time in each process.

    Returns:
        Name -> mean over the views. ``psnr_fill`` (row B) and ``psnr_svinet`` in dB against the
        true novel views and their ``l1_svinet`` in [-1, 1]; for single photos ``psnr_rewarped``
        and ``l1_rewarped`` against the photo.
    """
    pipeline.svinet.eval()
    photos, several = held_out.photos, held_out.several
    mine = held_out.items[:count][accelerator.process_index :: accelerator.num_processes]
    rows: list[dict[str, Tensor]] = []
    for start in range(0, len(mine), batch_size):
        batch = mine[start : start + batch_size]
        found = (_novel_views if several else _rewarped)(accelerator, pipeline, photos, batch)
        rows.append({name: value.double() for name, value in found.items()})
    names = _NOVEL_NAMES if several else _REWARPED_NAMES
    sums = [sum((row[name].sum() for row in rows), _zero(accelerator)) for name in names]
    views = sum((row[names[0]].numel() for row in rows), 0)
    sums.append(_zero(accelerator) + views)
    *totals, views = accelerator.reduce(torch.stack(sums), reduction="sum").tolist()
    return {name: total / views for name, total in zip(names, totals, strict=True)}


_NOVEL_NAMES = ("psnr_fill", "psnr_svinet", "l1_svinet")
_REWARPED_NAMES = ("psnr_rewarped", "l1_rewarped")


def _zero(accelerator: Accelerator) -> Tensor:
    return torch.zeros((), dtype=torch.float64, device=accelerator.device)


def _invert(
    accelerator_device: torch.device, pipeline: WarpGAN, photos: ImageFolder, batch: Sequence[Item]
) -> Face:
    photo = torch.stack([photos[item.source].image for item in batch])
    camera = photos.labels[[item.source for item in batch]]
    return pipeline.invert(photo.to(accelerator_device), camera.to(accelerator_device))


def _novel_views(
    accelerator: Accelerator, pipeline: WarpGAN, photos: ImageFolder, batch: Sequence[Item]
) -> dict[str, Tensor]:
    device = accelerator.device
    face = _invert(device, pipeline, photos, batch)
    fewest = min(len(item.targets) for item in batch)
    targets = [list(item.targets[:fewest]) for item in batch]
    cameras = photos.labels[torch.tensor(targets)].to(device)
    views = face.views(cameras)
    truth = torch.stack([photos[t].image for row in targets for t in row]).to(device)
    svinet, fill = views.image.flatten(0, 1), views.filled.flatten(0, 1)
    return {
        "psnr_fill": psnr(fill, truth),
        "psnr_svinet": psnr(svinet, truth),
        "l1_svinet": (svinet - truth).abs().mean((1, 2, 3)),
    }


def _rewarped(
    accelerator: Accelerator, pipeline: WarpGAN, photos: ImageFolder, batch: Sequence[Item]
) -> dict[str, Tensor]:
    face = _invert(accelerator.device, pipeline, photos, batch)
    yaws = [30.0 if place % 2 else -30.0 for place in range(len(batch))]
    cameras = look_at(yaws, 0.0).to(face.camera).unsqueeze(1)
    back = _back_to_the_photo(pipeline, face, cameras, face.views(cameras), rewarped="prediction")
    return {
        "psnr_rewarped": psnr(back, face.photo),
        "l1_rewarped": (back - face.photo).abs().mean((1, 2, 3)),
    }


def _back_to_the_photo(
    pipeline: WarpGAN, face: Face, cameras: Tensor, views: NovelViews, *, rewarped: str
) -> Tensor:
    """Warp one novel view of each photo back and inpaint it again, in [-1, 1]."""
    novel = views.image[:, 0] if rewarped == "prediction" else views.filled[:, 0]
    render, ray_length = _rendered(pipeline, face, face.camera)
    _, novel_ray_length = _rendered(pipeline, face, cameras[:, 0])
    branches: tuple[Branch, Branch | None] = rewarp_branches(
        novel / 2 + 0.5,
        novel_ray_length=novel_ray_length,
        novel_camera=cameras[:, 0],
        camera=face.camera,
        render=render.clamp(-1, 1) / 2 + 0.5,
        ray_length=ray_length,
        options=pipeline.options,
        symmetry=pipeline.svinet.symmetry,
    )
    channels = torch.cat([b.channels() for b in branches if b is not None], dim=1)
    return pipeline.svinet.network(channels, face.ws) * 2 - 1


def _rendered(pipeline: WarpGAN, face: Face, camera: Tensor) -> tuple[Tensor, Tensor]:
    drawn = pipeline.generator.render(face.planes, face.ws, camera)
    return drawn.image, drawn.ray_length


@torch.no_grad()
def draw_passes(
    pipeline: WarpGAN, held_out: HeldOut, *, count: int, yaws: Sequence[float], rewarped: str
) -> np.ndarray:
    """Draw photo | warp | hole | fill | SVINet | re-warped prediction | truth, a row a view.

    Args:
        pipeline: Generator, encoder and SVINet; SVINet is left in eval mode.
        held_out: Photos, one or several a person.
        count: People, the first so many.
        yaws: Novel views in degrees, where the true views are not known.
        rewarped: What is warped back, as in training.

    Returns:
        A picture [H, W, 3] uint8.
    """
    pipeline.svinet.eval()
    device = pipeline.generator.mean_latent().device
    photos, several = held_out.photos, held_out.several
    rows = []
    for item in held_out.items[:count]:
        face = _invert(device, pipeline, photos, [item])
        seen = photos.labels[list(item.targets)] if several else look_at(list(yaws), 0.0)
        for place, camera in enumerate(seen[:: max(1, len(seen) // 2)]):
            cameras = camera.to(face.camera).reshape(1, 1, 25)
            views = face.views(cameras)
            back = _back_to_the_photo(pipeline, face, cameras, views, rewarped=rewarped)
            step = max(1, len(seen) // 2)
            truth = photos[item.targets[place * step]].image if several else None
            hole = views.hole[0, 0].expand(3, -1, -1) * 2 - 1
            made = (views.warped[0, 0], hole, views.filled[0, 0], views.image[0, 0])
            rows.append([face.photo[0], *made, back[0], truth])
    columns = ["photo", "warp", "hole", "fill", "SVINet", "warped back", "truth"]
    return contact_sheet(rows, column_captions=columns)
