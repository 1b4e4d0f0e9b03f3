"""Schema of ``configs/precompute.yaml``, and the checks that need no file."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from warpgan.config import (
    DataSettings,
    PathSettings,
    ScaleSettings,
    check_choices,
    check_least,
)
from warpgan.svinet_config import CODE_SOURCES, POSE_LAWS

DEVICES = ("auto", "cpu", "cuda")


@dataclass
class PrecomputeRun:
    """The name in ``cache_dir`` and the seed of everything that is drawn."""

    name: str = MISSING
    preset: str = MISSING
    seed: int = 2107


@dataclass
class PrecomputeViews:
    """Which views are made, and how the work is shared out."""

    encoder: str = MISSING
    photos: int | None = MISSING
    novel_views: int = 3
    pose_labels: str | None = None
    mirror_poses: bool = True
    poses: str = MISSING
    synthetic_pairs: int = MISSING
    truncation_psi: float = 0.7
    synthetic_codes: str = "encoder"
    shard_size: int = 250
    batch_size: int = 4
    workers: int = 1
    device: str = "auto"


@dataclass
class PrecomputeConfig:
    """Everything ``python -m warpgan.precompute`` reads."""

    cache_dir: str = MISSING
    run: PrecomputeRun = field(default_factory=PrecomputeRun)
    paths: PathSettings = field(default_factory=PathSettings)
    views: PrecomputeViews = field(default_factory=PrecomputeViews)
    data: DataSettings = field(default_factory=DataSettings)
    scale: ScaleSettings = field(default_factory=ScaleSettings)
    generator: Any = MISSING


def check_precompute_config(config: PrecomputeConfig, *, processes: int = 1) -> None:
    """Check values that no file is needed for.

    Args:
        config: The resolved config.
        processes: Started by torchrun.

    Raises:
        ValueError: A value is out of range; the message names the key and what is expected.
    """
    views, data = config.views, config.data
    check_least(
        {
            "views.photos": (views.photos, 0),
            "views.novel_views": (views.novel_views, 1),
            "views.synthetic_pairs": (views.synthetic_pairs, 0),
            "views.shard_size": (views.shard_size, 1),
            "views.batch_size": (views.batch_size, 1),
            "views.workers": (views.workers, 1),
            "data.portraits": (data.portraits, 1),
        }
    )
    check_choices(
        {
            "views.poses": (views.poses, POSE_LAWS),
            "views.synthetic_codes": (views.synthetic_codes, CODE_SOURCES),
            "views.device": (views.device, DEVICES),
        }
    )
    if views.photos == 0 and views.synthetic_pairs == 0:
        raise ValueError("views.photos=0 and views.synthetic_pairs=0: there is nothing to make")
    if processes > 1 and views.workers > 1:
        raise ValueError(
            f"views.workers={views.workers} under torchrun with {processes} processes; use one of "
            "the two"
        )
    if data.path is None and data.portraits is None and needs_photos(views):
        raise ValueError(
            "data.path is not set; give a folder or zip of photographs in EG3D's layout "
            "(data.path=/data/ffhq.zip), or use portraits with data=portraits"
        )


def needs_photos(views: PrecomputeViews) -> bool:
    """Whether the data set is needed: for photos, or for the cameras of its labels."""
    return views.photos != 0 or (views.poses == "labels" and views.pose_labels is None)
