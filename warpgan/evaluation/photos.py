"""The photos of an evaluation: a folder or zip, or held-out portraits written on the spot."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from warpgan.config import PathSettings
from warpgan.data.folder import ImageFolder
from warpgan.evaluation.config import EvaluationData
from warpgan.training.sources import portraits_folder

SPLIT_OF = {"same_view": "celebahq", "multi_view": "mead"}
LATENTS_FILE = "latents.json"


@dataclass(frozen=True)
class Photos:
    """The data set and what is said of it.

    Attributes:
        dataset: images and cameras.
        name: what tables print.
        note: what the numbers depend on, ready for JSON.
        latents: true latents by photo, empty for real photos.
    """

    dataset: ImageFolder
    name: str
    note: dict[str, Any]
    latents: dict[str, Tensor]


def open_photos(data: EvaluationData, paths: PathSettings, *, protocol: str, size: int) -> Photos:
    """Open ``data.path``, or the portraits that stand in for it.

    Args:
        data: the photos asked for.
        paths: where portraits are kept.
        protocol: decides which portraits are written.
        size: side in pixels.

    Raises:
        FileNotFoundError: if the folder or zip does not exist.
        ValueError: if anything is wrong with the images or labels.
    """
    if data.path is None:
        split = SPLIT_OF[protocol]
        path = portraits_folder(
            Path(paths.cache),
            split=split,
            count=data.portraits,
            seed=data.portraits_seed,
            size=size,
        )
        name = f"portraits ({split}-like, held out, seed {data.portraits_seed})"
    else:
        path, name = Path(data.path).expanduser(), Path(data.path).stem
        if not path.exists():
            raise FileNotFoundError(
                f"data.path={data.path} does not exist; give a folder or zip of square images "
                "with dataset.json, or leave it out to use portraits"
            )
    dataset = ImageFolder(
        path,
        labels=data.labels if data.path is not None else None,
        size=size,
        skip_invalid=data.skip_invalid,
    )
    digest = hashlib.sha256("\n".join(dataset.names).encode())
    digest.update(dataset.labels.contiguous().numpy().tobytes())
    note = {
        "name": name,
        "images": len(dataset),
        "skipped": len(dataset.skipped),
        "names_and_labels_sha256": digest.hexdigest(),
        "size": size,
        "resize": "box average for whole factors, else antialiased; see warpgan.data.images",
    }
    return Photos(dataset=dataset, name=name, note=note, latents={})
