"""Schema of ``configs/train_svinet.yaml``, and the checks that need no file."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from warpgan.config import (
    AblationSettings,
    DataSettings,
    PathSettings,
    RunSettings,
    ScaleSettings,
    check_choices,
    check_least,
)

REWARPED = ("prediction", "fill")
POSE_LAWS = ("labels", "uniform")
CODE_SOURCES = ("encoder", "truth")


@dataclass
class SVINetTrainSettings:
    """The optimisation; one step is a real and a synthetic turn of SVINet and discriminator."""

    steps: int = MISSING
    batch_size: int = MISSING
    synthetic_batch_size: int = MISSING
    learning_rate: float = MISSING
    discriminator_learning_rate: float = MISSING
    rewarped: str = MISSING
    accumulation: int = 1
    mixed_precision: str = "no"
    schedule: str = "constant"
    warmup_steps: int = 0
    gradient_clip: float | None = None
    ema_decay: float | None = None
    activation_checkpointing: bool = False
    freeze_batch_norm: bool = False
    sync_batch_norm: bool = False
    find_unused_parameters: bool = False
    workers: int = 0
    cpu: bool = False
    tf32: bool = False
    log_every: int = 50
    image_every: int = 500
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3


@dataclass
class ViewSettings:
    """Where the generator's views come from: a cache of ``warpgan.precompute``, or on the fly."""

    cache: str | None = None
    encoder: str = MISSING
    poses: str = MISSING
    pose_labels: str | None = None
    mirror_poses: bool = True
    synthetic_pairs: int = MISSING
    truncation_psi: float = 0.7
    synthetic_codes: str = "encoder"


@dataclass
class SVINetEvalSettings:
    """Validation during training, on pictures that are never trained on."""

    every: int = 1000
    path: str | None = None
    labels: str | None = None
    protocol: str = "same_view"
    count: int = 16
    batch_size: int = 4
    pictures: int = 4
    novel_yaws: list[float] = field(default_factory=lambda: [-30.0, 30.0])


@dataclass
class SVINetTrainConfig:
    """Everything ``python -m warpgan.train_svinet`` reads."""

    run: RunSettings = field(default_factory=RunSettings)
    paths: PathSettings = field(default_factory=PathSettings)
    train: SVINetTrainSettings = field(default_factory=SVINetTrainSettings)
    eval: SVINetEvalSettings = field(default_factory=SVINetEvalSettings)
    data: DataSettings = field(default_factory=DataSettings)
    views: ViewSettings = field(default_factory=ViewSettings)
    scale: ScaleSettings = field(default_factory=ScaleSettings)
    ablation: AblationSettings = field(default_factory=AblationSettings)
    generator: Any = MISSING
    encoder: Any = MISSING
    geometry: Any = MISSING
    svinet: Any = MISSING
    discriminator: Any = MISSING
    svinet_losses: Any = MISSING


def check_svinet_config(config: SVINetTrainConfig) -> None:
    """Check values that no file and no network is needed for.

    Args:
        config: The resolved config.

    Raises:
        ValueError: If a value is out of range; the message names the key and what is expected.
    """
    train, views = config.train, config.views
    check_choices(
        {
            "train.mixed_precision": (train.mixed_precision, ("no", "bf16", "fp16")),
            "train.schedule": (train.schedule, ("constant", "cosine")),
            "train.rewarped": (train.rewarped, REWARPED),
            "eval.protocol": (config.eval.protocol, ("same_view", "multi_view")),
            "views.poses": (views.poses, POSE_LAWS),
            "views.synthetic_codes": (views.synthetic_codes, CODE_SOURCES),
        }
    )
    check_least(
        {
            "train.steps": (train.steps, 1),
            "train.batch_size": (train.batch_size, 1),
            "train.synthetic_batch_size": (train.synthetic_batch_size, 1),
            "train.accumulation": (train.accumulation, 1),
            "train.warmup_steps": (train.warmup_steps, 0),
            "train.learning_rate": (train.learning_rate, 0.0),
            "train.discriminator_learning_rate": (train.discriminator_learning_rate, 0.0),
            "train.gradient_clip": (train.gradient_clip, 1e-12),
            "train.workers": (train.workers, 0),
            "train.log_every": (train.log_every, 1),
            "train.image_every": (train.image_every, 0),
            "train.checkpoint_every": (train.checkpoint_every, 1),
            "train.keep_checkpoints": (train.keep_checkpoints, 1),
            "eval.every": (config.eval.every, 0),
            "eval.count": (config.eval.count, 1),
            "eval.batch_size": (config.eval.batch_size, 1),
            "eval.pictures": (config.eval.pictures, 0),
            "data.portraits": (config.data.portraits, 1),
            "views.synthetic_pairs": (views.synthetic_pairs, 1),
        }
    )
    if config.scale.image_size % 8:
        raise ValueError(f"scale.image_size={config.scale.image_size} must divide by 8")
    if train.ema_decay is not None and not 0 <= train.ema_decay < 1:
        raise ValueError(f"train.ema_decay={train.ema_decay} must be in [0, 1), or null")
    if not config.ablation.inpaint:
        raise ValueError(
            f"ablation={config.ablation.row} has no SVINet, so there is nothing to train; it is "
            "measured by `python -m warpgan.evaluate` (methods encoder, warp_fill)"
        )
