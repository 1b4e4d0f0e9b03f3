"""What the pose net learns from: portraits, and what a method's views may look like.

The net must read views that methods draw: softer, noisier, of other contrast, with patches that
something painted in. So a picture is changed in all of these ways before the net sees it, by draws
of numpy generators seeded by (seed, step).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from warpgan.cameras import look_at
from warpgan.data.folder import ImageFolder
from warpgan.data.portraits.portrait import Portrait
from warpgan.data.portraits.splits import SplitSettings, views_of
from warpgan.holes import gaussian_blur
from warpgan.perception.pose_net import view_direction
from warpgan.progress import progress_bar

SHIFT, SCALE, ROLL_DEG = 0.03, 0.05, 3.0
GAMMA, GAIN, OFFSET, RAMP = 0.3, 0.2, 0.1, 0.25
BLUR_SIGMA, NOISE, PATCH = (0.5, 2.0), 0.1, 0.45


@dataclass(frozen=True)
class PoseViews:
    """Pictures and where they were seen from.

    Attributes:
        images: ``[N, 3, S, S]`` uint8.
        directions: ``[N, 3]`` float32 unit vectors, see `warpgan.perception.pose_net`.
    """

    images: Tensor
    directions: Tensor

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.images)

    def joined(self, other: "PoseViews") -> "PoseViews":
        """Both."""
        return PoseViews(
            torch.cat([self.images, other.images]), torch.cat([self.directions, other.directions])
        )


def read_views(folder: Path, *, size: int) -> PoseViews:
    """Pictures of a folder with ``dataset.json``, reduced to ``size``.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: anything is wrong with images or labels.
    """
    photos = ImageFolder(folder, size=size)
    places = progress_bar(range(len(photos)), title=f"reading {folder.name}", unit="image")
    images = torch.stack([to_bytes(photos[place].image) for place in places])
    return PoseViews(images, view_direction(photos.labels))


def wide_views(count: int, *, seed: int, size: int) -> PoseViews:
    """Training people seen from the sides as often as from the front, drawn in memory.

    They are the targets of the ``pairs`` split: yaw uniform to both sides, people of their own.
    """
    settings = SplitSettings(split="pairs", count=max(count, 1), seed=seed, size=size)
    images, cameras = [], []
    for index in progress_bar(range(count), title="drawing wide views", unit="image"):
        views = views_of(settings, index)
        camera = look_at(views.yaw_deg[1], views.pitch_deg[1])
        view = Portrait.sample(views.person_seed).render(camera, size=size)
        images.append(torch.from_numpy(view.image).permute(2, 0, 1))
        cameras.append(camera)
    if not images:
        return PoseViews(torch.zeros(0, 3, size, size, dtype=torch.uint8), torch.zeros(0, 3))
    return PoseViews(torch.stack(images), view_direction(torch.cat(cameras)))


def to_bytes(image: Tensor) -> Tensor:
    """[-1, 1] to uint8."""
    return ((image + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_unit(images: Tensor) -> Tensor:
    """uint8 to [-1, 1] float32."""
    return images.float() / 127.5 - 1


def draw_batch(views: PoseViews, *, batch_size: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Pictures ``[B, 3, S, S]`` in [-1, 1] and directions ``[B, 3]`` of one step."""
    rng = np.random.default_rng([seed, step])
    places = torch.from_numpy(rng.integers(len(views), size=batch_size))
    images, directions = to_unit(views.images[places]), views.directions[places]
    mirrored = torch.from_numpy(rng.random(batch_size) < 0.5)
    images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    sign = torch.where(mirrored, -1.0, 1.0)
    directions = torch.cat([directions[:, :1] * sign[:, None], directions[:, 1:]], 1)
    return changed(images, rng), directions


def changed(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures ``[B, 3, S, S]`` in [-1, 1] as a method might have drawn them."""
    images = _moved(images, rng)
    images = _relit(images, rng)
    images = _patched(images, rng)
    sigma = rng.uniform(*BLUR_SIGMA)
    blurred = gaussian_blur(images, size=9, sigma=sigma)
    share = _each(rng.random(len(images)) * (rng.random(len(images)) < 0.5))
    images = images + share * (blurred - images)
    amount = _each(NOISE * rng.random(len(images)) * (rng.random(len(images)) < 0.5))
    noise = torch.from_numpy(rng.standard_normal(images.shape, dtype=np.float32))
    return (images + amount * noise).clamp(-1, 1)


def _moved(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A small shift, turn and change of size."""
    count = len(images)
    scale = 1 + rng.uniform(-SCALE, SCALE, count)
    roll = np.deg2rad(rng.uniform(-ROLL_DEG, ROLL_DEG, count))
    shift = rng.uniform(-2 * SHIFT, 2 * SHIFT, (count, 2))
    cos, sin = scale * np.cos(roll), scale * np.sin(roll)
    rows = np.stack(
        [np.stack([cos, -sin, shift[:, 0]], 1), np.stack([sin, cos, shift[:, 1]], 1)], 1
    )
    grid = F.affine_grid(torch.from_numpy(rows).float(), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _relit(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Other gamma, gains, and light from one side."""
    count, side = len(images), images.shape[-1]
    unit = ((images + 1) / 2).clamp(1e-3, 1)
    images = unit ** _each(2.0 ** rng.normal(0, GAMMA, count)) * 2 - 1
    gain = torch.from_numpy(2.0 ** rng.normal(0, GAIN, (count, 3))).float()
    offset = torch.from_numpy(rng.normal(0, OFFSET, (count, 3))).float()
    images = images * gain[:, :, None, None] + offset[:, :, None, None]
    ramp = torch.linspace(-1, 1, side)
    across, down = (_each(rng.normal(0, RAMP, count)) for _ in range(2))
    return images + across * ramp[None, None, None, :] + down * ramp[None, None, :, None]


def _patched(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A rectangle of grey, or of another picture of the batch, in every third picture."""
    count, side = len(images), images.shape[-1]
    images = images.clone()
    others = images.roll(1, 0)
    for place in np.flatnonzero(rng.random(count) < 1 / 3):
        height, width = (rng.uniform(0.1, PATCH, 2) * side).astype(int).clip(1)
        top, left = (int(rng.integers(side - extent + 1)) for extent in (height, width))
        here = (slice(None), slice(top, top + height), slice(left, left + width))
        grey = float(rng.uniform(-1, 1))
        images[place][here] = others[place][here] if rng.random() < 0.5 else grey
    return images


def _each(values: np.ndarray | Sequence[float]) -> Tensor:
    """``[B]`` to ``[B, 1, 1, 1]`` float32."""
    return torch.from_numpy(np.asarray(values, np.float32))[:, None, None, None]
