"""Schema of ``configs/evaluate.yaml``."""

import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from warpgan.config import PathSettings, check_choices, check_least
from warpgan.devices import DEVICES
from warpgan.evaluation.items import PROTOCOLS

PHOTOS_FOLDER = "photos"
FOLDER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass
class EvaluationRun:
    """The folder ``<paths.runs>/<name>`` and the seed of the bootstrap."""

    name: str = MISSING
    seed: int = 2107
    overwrite: bool = False


@dataclass
class EvaluationSettings:
    """What is measured and how."""

    encoder: str | None = "encoder_mini"
    protocol: str = "same_view"
    count: int | None = None
    batch_size: int = 8
    device: str = "auto"
    reference: str | None = None
    resamples: int = 10_000
    pictures: int = 4
    novel_yaws: list[float] = field(default_factory=lambda: [-30.0, 30.0])
    cameras: str | None = None
    save_views: bool = True
    timing: int = 0
    orbit_frames: int = 0
    optimised_consistency: bool = False
    camera_refine: int = 0


@dataclass
class EvaluationData:
    """The photos: a folder or zip, or held-out portraits made on the spot."""

    path: str | None = None
    labels: str | None = None
    portraits: int = 200
    portraits_seed: int = 1
    skip_invalid: bool = False


@dataclass
class EvaluateConfig:
    """Everything ``python -m warpgan.evaluate`` reads."""

    run: EvaluationRun = field(default_factory=EvaluationRun)
    paths: PathSettings = field(default_factory=PathSettings)
    evaluate: EvaluationSettings = field(default_factory=EvaluationSettings)
    data: EvaluationData = field(default_factory=EvaluationData)
    generator: Any = None
    method: dict[str, Any] = field(default_factory=dict)
    baselines: Any = None
    metrics: Any = MISSING


def check_config(config: EvaluateConfig) -> None:
    """Check values that no file is needed for.

    Raises:
        ValueError: if a value is out of range; the message names the key and what is expected.
    """
    settings = config.evaluate
    check_least(
        {
            "evaluate.batch_size": (settings.batch_size, 1),
            "evaluate.count": (settings.count, 1),
            "evaluate.resamples": (settings.resamples, 100),
            "evaluate.pictures": (settings.pictures, 0),
            "evaluate.timing": (settings.timing, 0),
            "evaluate.orbit_frames": (settings.orbit_frames, 0),
            "evaluate.camera_refine": (settings.camera_refine, 0),
            "data.portraits": (config.data.portraits, 1),
        }
    )
    check_choices(
        {
            "evaluate.protocol": (settings.protocol, PROTOCOLS),
            "evaluate.device": (settings.device, DEVICES),
        }
    )
    if not config.method:
        raise ValueError("no method chosen; give for example 'method=[encoder,mean_latent]'")
    for name in config.method:
        if not FOLDER_NAME.fullmatch(name) or name == PHOTOS_FOLDER:
            raise ValueError(
                f"a method cannot be called {name!r}: its numbers go to a folder of that name; "
                f"use letters, digits, - and _, and not {PHOTOS_FOLDER!r}"
            )
    if settings.reference is not None and settings.reference not in config.method:
        raise ValueError(
            f"evaluate.reference={settings.reference} is none of the methods; choose one of "
            f"{', '.join(config.method)}"
        )
