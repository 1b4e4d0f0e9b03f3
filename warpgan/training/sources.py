"""The images a run trains on and is validated on: a folder or zip, or portraits made once."""

import logging
import os
from pathlib import Path

from warpgan.config import TrainConfig
from warpgan.data.folder import ImageFolder
from warpgan.data.portraits.splits import SplitSettings, write_split
from warpgan.labels import LABEL_FILE_NAME

HELD_OUT_SEED = 0
_log = logging.getLogger(__name__)


def open_training_images(config: TrainConfig) -> ImageFolder:
    """Open ``data.path``, or the portraits that stand in for it.

    Args:
        config: The resolved config.

    Returns:
        The images, checked.

    Raises:
        ValueError: If anything is wrong with the images.
    """
    data, size = config.data, config.scale.image_size
    path = data.path
    if path is None:
        path = portraits_folder(
            Path(config.paths.cache), split="train", count=data.portraits,
            seed=data.portraits_seed, size=size,
        )  # fmt: skip
    return ImageFolder(
        Path(path).expanduser(),
        labels=data.labels if data.path is not None else None,
        size=size,
        skip_invalid=data.skip_invalid,
        mirror=data.mirror,
        upscale=data.upscale,
    )


def open_held_out_images(config: TrainConfig, *, split: str = "celebahq") -> ImageFolder | None:
    """Open ``eval.path``, or held-out portraits where training uses portraits.

    Args:
        config: The resolved config.
        split: Of the portraits that are made where there is no path.

    Returns:
        The images, or None where ``eval.every=0`` or there are none.

    Raises:
        ValueError: If anything is wrong with the images.
    """
    evaluation, size = config.eval, config.scale.image_size
    if evaluation.every == 0:
        return None
    path = evaluation.path
    if path is None:
        if config.data.path is not None or config.data.portraits is None:
            _log.warning("eval.path is not set: training without validation")
            return None
        path = portraits_folder(
            Path(config.paths.cache), split=split, count=evaluation.count,
            seed=HELD_OUT_SEED, size=size,
        )  # fmt: skip
    labels = evaluation.labels if evaluation.path is not None else None
    return ImageFolder(Path(path).expanduser(), labels=labels, size=size)


def check_paths(config: TrainConfig) -> None:
    """Check that the paths of the data exist, before anything is loaded.

    Args:
        config: The resolved config.

    Raises:
        FileNotFoundError: If a folder or zip does not exist.
        ValueError: If there is neither a path nor portraits.
    """
    for key, path in (("data.path", config.data.path), ("eval.path", config.eval.path)):
        if path is not None and not Path(path).expanduser().exists():
            raise FileNotFoundError(
                f"{key}={path} does not exist; give a folder or zip of square images with "
                "dataset.json, or leave it out to use portraits"
            )
    if config.data.path is None and config.data.portraits is None:
        raise ValueError(
            "data.path is not set; give a folder or zip of photographs in EG3D's layout "
            "(data.path=/data/ffhq.zip), or train on portraits with data=portraits"
        )


def portraits_folder(cache: Path, *, split: str, count: int, seed: int, size: int) -> Path:
    """Write a split of the embedded world once, and find it again afterwards.

    Args:
        cache: Folder of caches.
        split: A split of `warpgan.data.portraits`.
        count: People.
        seed: Seed of the split.
        size: Side in pixels.

    Returns:
        The folder. Its label file is written last; without it an interrupted writing is finished.
    """
    folder = cache / "portraits" / f"{split}_{count}_seed{seed}_{size}px"
    if not (folder / LABEL_FILE_NAME).is_file():
        settings = SplitSettings(split=split, count=count, seed=seed, size=size, depth=False)
        print(f"writing {count} portraits ({split}) to {folder}, once", flush=True)
        write_split(folder, settings, workers=max(1, min(8, os.cpu_count() or 1)))
    return folder
