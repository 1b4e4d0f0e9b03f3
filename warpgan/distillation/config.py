"""Schema of ``configs/train_generator.yaml``."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from warpgan.config import PathSettings


@dataclass
class GeneratorRunSettings:
    """The run and its folder ``<paths.runs>/<name>``."""

    name: str = MISSING
    seed: int = 0
    resume: str = "auto"
    overwrite: bool = False


@dataclass
class ViewSettings:
    """Views of the embedded world that are rendered before the training."""

    people: int = MISSING
    views: int = MISSING
    seed: int = MISSING
    workers: int = 1


@dataclass
class GeneratorTrainConfig:
    """Everything ``python -m warpgan.train_generator`` reads."""

    run: GeneratorRunSettings = field(default_factory=GeneratorRunSettings)
    paths: PathSettings = field(default_factory=PathSettings)
    views: ViewSettings = field(default_factory=ViewSettings)
    bfloat16: bool = True
    threads: int = 1
    architecture: dict[str, Any] = MISSING
    rays: int = MISSING
    batch: Any = MISSING
    weights: Any = MISSING
    schedule: Any = MISSING
