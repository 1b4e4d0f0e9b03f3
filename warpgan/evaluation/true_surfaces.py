"""True surfaces of portraits at any cameras, and where two views show the same of them.

Only the embedded world knows them: a person is drawn anew from the seed that the split recorded.
Depth is kept beside the split, as visibility is, so it is drawn once for all methods.
"""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from warpgan.cameras import FOCAL, RADIUS
from warpgan.data.portraits.portrait import FAR, NEAR
from warpgan.data.portraits.splits import DEPTH_STEPS, quantise_depth, write_aside
from warpgan.evaluation.photos import Photos
from warpgan.reprojection import reproject

STEEPEST = 4.0
"""Tangent of the steepest surface that is followed. A pixel whose neighbours lie farther before or
behind it than such a surface would let them shows the rim of something else."""


class TrueSurfaces:
    """The people behind the photos of a split."""

    def __init__(self, photos: Photos) -> None:
        """Take the photos.

        Args:
            photos: of the embedded world.

        Raises:
            ValueError: if the photos are real.
        """
        if photos.truth is None:
            raise ValueError(
                f"the true surfaces of {photos.name} are not known; only portraits have them, "
                "which data.path=null writes"
            )
        self._photos = photos
        self._folder = photos.truth / "surfaces" / f"{photos.dataset.size}px"
        self._size = photos.dataset.size

    def depth_z(self, name: str, cameras: Tensor) -> Tensor:
        """Depth of the nearest surface, backdrop included, at the pixels' centres.

        Args:
            name: of a photo of the person.
            cameras: ``[V, 25]``.

        Returns:
            ``[V, 1, S, S]`` float32.
        """
        labels = cameras.cpu().float().contiguous().numpy()
        seen = hashlib.sha256(labels.tobytes()).hexdigest()[:12]
        path = self._folder / Path(name).with_suffix("") / f"{seen}.npz"
        kept = _read(path, labels)
        if kept is None:
            portrait = self._photos.portrait(name)
            # One sample a pixel: an average at a silhouette would lie on neither surface.
            views = [portrait.render(label, size=self._size, supersample=1) for label in labels]
            kept = np.stack([quantise_depth(view.depth_z) for view in views])
            stream = io.BytesIO()
            np.savez_compressed(stream, depth_z=kept, cameras=labels)
            write_aside(path, stream.getvalue())
        depth_z = kept.astype(np.float64) / DEPTH_STEPS * (FAR - NEAR) + NEAR
        return torch.from_numpy(depth_z.astype(np.float32))[:, None]

    def images(self, name: str, cameras: Tensor) -> Tensor:
        """True views ``[V, 3, S, S]`` in [-1, 1]; drawn anew every time."""
        portrait = self._photos.portrait(name)
        views = [portrait.render(label, size=self._size).image for label in cameras.cpu()]
        return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _read(path: Path, labels: np.ndarray) -> np.ndarray | None:
    """Depth kept for these cameras, in steps; ``None`` if absent, damaged or of others."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return kept["depth_z"] if np.array_equal(kept["cameras"], labels) else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def seen_again(
    source_image: Tensor,
    source_depth_z: Tensor,
    target_depth_z: Tensor,
    *,
    source: Tensor,
    target: Tensor,
) -> tuple[Tensor, Tensor]:
    """A view laid on another by the true surfaces.

    Args:
        source_image: ``[B, 3, S, S]``, the view to be moved.
        source_depth_z: ``[B, 1, S, S]``, true.
        target_depth_z: ``[B, 1, S, S]``, true.
        source: cameras ``[B, 25]``.
        target: cameras ``[B, 25]``.

    Returns:
        The image as the target camera would see it, ``[B, 3, S, S]`` (sampled bilinearly), and
        ``[B, 1, S, S]`` bool where that can be said: the source sees the point, and around it both
        views show one surface only. Pixels at silhouettes mix two surfaces, and are left out.
    """
    size = source_image.shape[-1]
    moved = reproject(target_depth_z, target, source)
    grid = (moved.position.movedim(1, -1) + 0.5) * 2 / size - 1
    nearest = -F.max_pool2d(-source_depth_z, 3, stride=1, padding=1)
    farthest = F.max_pool2d(source_depth_z, 3, stride=1, padding=1)
    around = F.grid_sample(
        torch.cat([nearest, farthest], 1), grid, padding_mode="border", align_corners=False
    )
    slack = _slack(size)
    at_edge = ((around - moved.depth_z).abs() > slack).any(1, keepdim=True)
    image = F.grid_sample(source_image, grid, padding_mode="border", align_corners=False)
    inside = (grid.abs() <= 1 - 1 / size).all(-1)[:, None] & (moved.depth_z > 0)
    return image, inside & ~at_edge & ~_mixed(target_depth_z)


def _mixed(depth_z: Tensor) -> Tensor:
    """Pixels ``[B, 1, S, S]`` bool whose neighbours lie on another surface."""
    nearest = -F.max_pool2d(-depth_z, 3, stride=1, padding=1)
    farthest = F.max_pool2d(depth_z, 3, stride=1, padding=1)
    return torch.maximum(depth_z - nearest, farthest - depth_z) > _slack(depth_z.shape[-1])


def _slack(size: int) -> float:
    """How far apart in depth two neighbouring pixels of one surface may lie."""
    return STEEPEST * RADIUS / (FOCAL * size)
