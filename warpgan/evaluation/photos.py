"""The photos of an evaluation: a folder or zip, or held-out portraits written on the spot."""

import hashlib
import io
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warpgan.config import PathSettings
from warpgan.data.folder import ImageFolder
from warpgan.data.portraits.portrait import Portrait
from warpgan.data.portraits.splits import (
    LABELS_FILE,
    LATENTS_FILE,
    NAMES_FILE,
    SplitSettings,
    read_truth,
    truth_path,
    write_aside,
    write_split,
)
from warpgan.data.portraits.visibility import TOLERANCE, true_visibility
from warpgan.evaluation.config import EvaluationData
from warpgan.methods.true_latent import photo_key

POLL_SECONDS = 1.0
SPLIT_OF = {"same_view": "celebahq", "multi_view": "mead", "novel_view": "celebahq"}


@dataclass(frozen=True)
class Photos:
    """The data set and what is said of it.

    Attributes:
        dataset: images and cameras.
        name: what tables print.
        note: what the numbers depend on, ready for JSON.
        truth: folder of the embedded world that the photos came from; ``None`` for real photos.
        has_depth: whether the true depth of every photo is known at the photos' size.
        has_visibility: whether it is known which pixels of one photo another of the same person
            sees, and asked for.
    """

    dataset: ImageFolder
    name: str
    note: dict[str, Any]
    truth: Path | None
    has_depth: bool = False
    has_visibility: bool = False

    def true_depth(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """``depth_z`` and mask of photos, ``[N, 1, S, S]`` each."""
        names = [self.dataset.names[place] for place in places]
        found = [read_truth(truth_path(self.truth, name)) for name in names]
        depth_z, mask = (
            torch.from_numpy(np.stack(maps))[:, None] for maps in zip(*found, strict=True)
        )
        return depth_z, mask

    def true_visibility(self, pairs: Sequence[tuple[int, int]]) -> Tensor:
        """Which pixels of each target its source sees, by the true surfaces.

        Each pair is rendered once and kept in ``visibility/`` beside the truth.

        Args:
            pairs: places ``(source, target)`` of two photos of one person.

        Returns:
            ``[N, 1, S, S]`` bool on the target's pixels, backdrop included.
        """
        return torch.from_numpy(np.stack([self._visible(*pair) for pair in pairs]))[:, None]

    def _visible(self, source: int, target: int) -> np.ndarray:
        names, size = self.dataset.names, self.dataset.size
        cameras = self.dataset.labels[[source, target]].numpy()
        name = Path(names[target])
        seen_from = Path(names[source]).stem
        folder = self.truth / "visibility" / f"{size}px" / name.parent
        path = folder / f"{name.stem}_from_{seen_from}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as kept:
                same = np.array_equal(kept["cameras"], cameras) and kept["tolerance"] == TOLERANCE
                if same:
                    return kept["visible"]
        visible = true_visibility(self.portrait(names[target]), cameras[0], cameras[1], size)
        stream = io.BytesIO()
        np.savez_compressed(stream, visible=visible, cameras=cameras, tolerance=TOLERANCE)
        write_aside(path, stream.getvalue())
        return visible

    def portrait(self, name: str) -> Portrait:
        """The person of the embedded world on a photo."""
        return Portrait.sample(self._people[self._owner[name]]["seed"])

    @cached_property
    def _people(self) -> list[dict[str, Any]]:
        """What the split recorded of each person: ``seed``, and the names of the ``images``."""
        return json.loads((self.truth / NAMES_FILE).read_text())["people"]

    @cached_property
    def _owner(self) -> dict[str, int]:
        """Number of the person on each photo, by its name."""
        people = enumerate(self._people)
        return {name: number for number, person in people for name in person["images"]}

    def latents(self) -> dict[str, Tensor]:
        """True latents ``[z_dim]`` by photo (``photo_key``); empty for real photos."""
        if self.truth is None:
            return {}
        with np.load(self.truth / LATENTS_FILE, allow_pickle=False) as file:
            z = torch.from_numpy(file["z"])
        names = self.dataset.names
        return {photo_key(self.dataset[i].image): z[self._owner[n]] for i, n in enumerate(names)}

    def depths(self) -> dict[str, Tensor]:
        """True ``depth_z`` ``[1, S, S]`` by photo (``photo_key``); empty where it is not known."""
        if not self.has_depth:
            return {}
        places = range(len(self.dataset))
        return {photo_key(self.dataset[i].image): self.true_depth([i])[0][0] for i in places}


def open_photos(
    data: EvaluationData, paths: PathSettings, *, protocol: str, size: int, write: bool = True
) -> Photos:
    """Open ``data.path``, or the portraits that stand in for it.

    Args:
        data: the photos asked for.
        paths: where portraits are kept.
        protocol: decides which portraits are written.
        size: side in pixels.
        write: whether this process writes portraits; another one does if False.

    Raises:
        FileNotFoundError: if the folder or zip does not exist.
        ValueError: if anything is wrong with the images or labels.
    """
    if data.path is None:
        split = SPLIT_OF[protocol]
        settings = SplitSettings(
            split=split, count=data.portraits, seed=data.portraits_seed, size=size
        )
        path = portraits_with_depth(Path(paths.cache), settings, write=write)
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
    truth = path if path.is_dir() and (path / LATENTS_FILE).is_file() else None
    has_visibility = truth is not None and protocol == "multi_view"
    if has_visibility:
        note["visibility"] = f"true surfaces, slack {TOLERANCE}, target's pixels, backdrop included"
    return Photos(
        dataset=dataset,
        name=name,
        note=note,
        truth=truth,
        has_depth=truth is not None and _has_depth(truth, dataset.names, size),
        has_visibility=has_visibility,
    )


def portraits_with_depth(cache: Path, settings: SplitSettings, *, write: bool = True) -> Path:
    """Write a split of the embedded world with its depth once, and find it again afterwards.

    Args:
        cache: where splits are kept.
        settings: of the split.
        write: wait for another process to write it if False.
    """
    name = f"{settings.split}_{settings.count}_seed{settings.seed}_{settings.size}px_depth"
    folder = cache / "portraits" / name
    while not write and not (folder / LABELS_FILE).is_file():
        time.sleep(POLL_SECONDS)
    if not (folder / LABELS_FILE).is_file():
        print(
            f"writing {settings.count} portraits ({settings.split}) to {folder}, once", flush=True
        )
        write_split(folder, settings, workers=max(1, min(8, os.cpu_count() or 1)))
    return folder


def _has_depth(truth: Path, names: Sequence[str], size: int) -> bool:
    if json.loads((truth / NAMES_FILE).read_text())["settings"]["size"] != size:
        return False
    return all(truth_path(truth, name).is_file() for name in names)
