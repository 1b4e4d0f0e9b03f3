"""The photos of an evaluation: a folder or zip, or held-out portraits written on the spot."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warpgan.config import PathSettings
from warpgan.data.folder import ImageFolder
from warpgan.data.portraits.splits import LATENTS_FILE, NAMES_FILE
from warpgan.evaluation.config import EvaluationData
from warpgan.methods.true_latent import photo_key
from warpgan.training.sources import portraits_folder

SPLIT_OF = {"same_view": "celebahq", "multi_view": "mead"}


@dataclass(frozen=True)
class Photos:
    """The data set and what is said of it.

    Attributes:
        dataset: images and cameras.
        name: what tables print.
        note: what the numbers depend on, ready for JSON.
        truth: folder of the embedded world that the photos came from; ``None`` for real photos.
    """

    dataset: ImageFolder
    name: str
    note: dict[str, Any]
    truth: Path | None

    def latents(self) -> dict[str, Tensor]:
        """True latents ``[z_dim]`` by photo (``photo_key``); empty for real photos."""
        if self.truth is None:
            return {}
        people = json.loads((self.truth / NAMES_FILE).read_text())["people"]
        with np.load(self.truth / LATENTS_FILE, allow_pickle=False) as file:
            z = torch.from_numpy(file["z"])
        owner = {name: i for i, person in enumerate(people) for name in person["images"]}
        places = range(len(self.dataset))
        return {photo_key(self.dataset[i].image): z[owner[self.dataset.names[i]]] for i in places}


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
    whole = path.is_dir() and (path / LATENTS_FILE).is_file()
    return Photos(dataset=dataset, name=name, note=note, truth=path if whole else None)
