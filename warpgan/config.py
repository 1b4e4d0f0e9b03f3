"""Schema of the configuration, and the checks that need no file.

The YAML under ``configs/`` is merged into these dataclasses, so a misspelt key is refused wherever
it stands. Nodes typed ``Any`` carry a ``_target_``, whose constructor is their schema.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

CONFIG_DIR = Path(__file__).resolve().parent.parent / "configs"


@dataclass
class RunSettings:
    """One run and its folder ``<paths.runs>/<name>``."""

    name: str = MISSING
    preset: str = MISSING
    seed: int = 2107
    resume: str = "auto"
    overwrite: bool = False


@dataclass
class PathSettings:
    """Folders outside the source tree; nothing else in the config is machine-dependent."""

    runs: str = "runs"
    cache: str = "cache"


@dataclass
class TrainSettings:
    """The optimisation, in optimiser steps and images."""

    steps: int = MISSING
    batch_size: int = MISSING
    learning_rate: float = MISSING
    accumulation: int = 1
    mixed_precision: str = "no"
    schedule: str = "constant"
    warmup_steps: int = 0
    gradient_clip: float | None = None
    ema_decay: float | None = None
    encoder_start: str = "random"
    latent_average: str = "sampled"
    supervise: str = "image"
    render_rays: int | None = None
    ray_stride: int = 1
    render_samples: list[int] | None = None
    activation_checkpointing: bool = False
    find_unused_parameters: bool = False
    workers: int = 0
    cpu: bool = False
    tf32: bool = False
    log_every: int = 50
    image_every: int = 500
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3


@dataclass
class EvalSettings:
    """Validation during training, on pictures that are never trained on."""

    every: int = 1000
    path: str | None = None
    labels: str | None = None
    count: int = 64
    batch_size: int = 8
    pictures: int = 4
    novel_yaws: list[float] = field(default_factory=lambda: [-30.0, 30.0])


@dataclass
class DataSettings:
    """The training images: a folder or zip, or portraits made on the spot."""

    path: str | None = None
    labels: str | None = None
    portraits: int | None = None
    portraits_seed: int = 0
    mirror: bool = False
    upscale: bool = False
    skip_invalid: bool = False


@dataclass
class SwinSizes:
    """Sizes of the Swin pyramid encoder."""

    embed_dim: int = MISSING
    depths: list[int] = MISSING
    num_heads: list[int] = MISSING
    window: int = MISSING
    pretrained_windows: list[int] = MISSING
    drop_path: float = MISSING
    dropout: float = MISSING


@dataclass
class PspSizes:
    """Sizes of the pSp encoder."""

    widths: list[int] = MISSING
    units: list[int] = MISSING


@dataclass
class SVINetSizes:
    """Sizes of SVINet and the places of W+ that style it."""

    width: int = MISSING
    blocks: int = MISSING
    style_index: int = MISSING
    up_style_indices: list[list[int]] = MISSING
    discriminator_width: int = MISSING


@dataclass
class ScaleSettings:
    """Sizes only; component files read them as ``${scale.…}``."""

    image_size: int = MISSING
    encoder_size: int = MISSING
    loss_size: int = MISSING
    swin: SwinSizes = field(default_factory=SwinSizes)
    psp: PspSizes = field(default_factory=PspSizes)
    svinet: SVINetSizes = field(default_factory=SVINetSizes)


@dataclass
class AblationSettings:
    """One row of Table 2 as switches; all on is row G, the full method."""

    row: str = "G"
    warp: bool = True
    inpaint: bool = True
    modulation: bool = True
    latent_consistency: bool = True
    symmetry: bool = True
    synthetic_pairs: bool = True


@dataclass
class TrainConfig:
    """Everything ``python -m warpgan.train`` reads."""

    run: RunSettings = field(default_factory=RunSettings)
    paths: PathSettings = field(default_factory=PathSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    eval: EvalSettings = field(default_factory=EvalSettings)
    data: DataSettings = field(default_factory=DataSettings)
    scale: ScaleSettings = field(default_factory=ScaleSettings)
    ablation: AblationSettings = field(default_factory=AblationSettings)
    generator: Any = MISSING
    encoder: Any = MISSING
    losses: Any = MISSING
    optimizer: Any = MISSING


_CHOICES = {
    "train.mixed_precision": ("no", "bf16", "fp16"),
    "train.schedule": ("constant", "cosine"),
    "train.supervise": ("image", "raw"),
    "train.latent_average": ("sampled", "tracked"),
}
_AT_LEAST = {
    "train.steps": 1,
    "train.batch_size": 1,
    "train.accumulation": 1,
    "train.warmup_steps": 0,
    "train.learning_rate": 0.0,
    "train.gradient_clip": 1e-12,
    "train.workers": 0,
    "train.render_rays": 4,
    "train.ray_stride": 1,
    "train.log_every": 1,
    "train.image_every": 0,
    "train.checkpoint_every": 1,
    "train.keep_checkpoints": 1,
    "eval.every": 0,
    "eval.count": 1,
    "eval.batch_size": 1,
    "eval.pictures": 0,
    "data.portraits": 1,
    "scale.image_size": 8,
}


def check_config(config: TrainConfig) -> None:
    """Check values that no file and no network is needed for.

    Args:
        config: The resolved config.

    Raises:
        ValueError: If a value is out of range; the message names the key and what is expected.
    """
    check_choices({key: (_look_up(config, key), known) for key, known in _CHOICES.items()})
    check_least({key: (_look_up(config, key), least) for key, least in _AT_LEAST.items()})
    for key in ("image_size", "encoder_size", "loss_size"):
        if _look_up(config, f"scale.{key}") % 8:
            raise ValueError(f"scale.{key}={_look_up(config, f'scale.{key}')} must divide by 8")
    decay = config.train.ema_decay
    if decay is not None and not 0 <= decay < 1:
        raise ValueError(f"train.ema_decay={decay} must be in [0, 1), or null for no average")
    stride = config.train.ray_stride
    if stride > 1 and config.train.supervise != "raw":
        raise ValueError(
            f"train.ray_stride={stride} needs train.supervise=raw; super-resolution sees all rays"
        )
    if config.train.render_rays is not None and config.train.render_rays % stride:
        raise ValueError(
            f"train.ray_stride={stride} must divide train.render_rays={config.train.render_rays}"
        )
    samples = config.train.render_samples
    if samples is not None and (len(samples) != 2 or min(samples) < 2):
        raise ValueError(
            f"train.render_samples={samples} must be [coarse, fine] samples a ray, e.g. [16,16], "
            "or null for the generator's own"
        )


def check_choices(values: Mapping[str, tuple[Any, Collection[Any]]]) -> None:
    """Check values against the known ones: key -> (value, known).

    Raises:
        ValueError: A value is not known; the message names the key and the choices.
    """
    for key, (value, known) in values.items():
        if value not in known:
            raise ValueError(f"{key}={value} is not known; choose one of {', '.join(known)}")


def check_least(values: Mapping[str, tuple[float | None, float]]) -> None:
    """Check values against their least: key -> (value, least); None is not checked.

    Raises:
        ValueError: A value is too small; the message names the key and the least.
    """
    for key, (value, least) in values.items():
        if value is not None and not value >= least:
            raise ValueError(f"{key}={value} must be at least {least:g}")


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn a nested config into ``{"train.steps": 10, ...}``; lists are values."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, prefix=f"{name}."))
        else:
            flat[name] = value
    return flat


def _look_up(config: object, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config
