"""Views of ``python -m warpgan.precompute``, read sample by sample in any order.

A cache holds *photos* (each with the generator's view from its own camera and from V novel ones)
and *pairs* (synthetic sources with their targets). Photos are not in it: they are read from the
data set, and compared with the hash of the file that the views were made from.

What symmetry needs of a mirrored twin (flipped photo and ray lengths, mirrored camera) follows
exactly from the sample itself, so it is derived where it is used (`warpgan.symmetry`) and never
stored. A mirrored *photo* (``data.mirror``) is another matter: its codes come from an inversion of
its own, so it is a sample of its own. Deriving it would give codes that the encoder never made.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from warpgan.data.folder import ImageFolder
from warpgan.data.view_codec import (
    ARRAYS,
    DESCRIPTION,
    decode_arrays,
    decode_description,
    encode_arrays,
    encode_description,
    encode_image,
    load_image,
)
from warpgan.data.view_pairs import RealViews, SyntheticViews, join_views
from warpgan.data.view_shards import (
    PAIRS,
    PHOTOS,
    DamagedShardError,
    ShardPlan,
    damage,
    describe_differences,
    open_shard,
    read_settings,
)

RENDER = "render.webp"
SOURCE, TARGET, TARGET_RENDER = "source.webp", "target.webp", "target_render.webp"
_PROGRESS_FROM = 8


def open_photo_views(
    folder: str | Path,
    photos: ImageFolder,
    *,
    expected: Mapping[str, Any] | None = None,
    verify: bool = True,
) -> "ViewCache":
    """Open the photos of a cache.

    Args:
        folder: The cache.
        photos: The data set it was made from, or one that has all its photos by name.
        expected: Settings that must be as given, e.g. ``{"networks": ViewMaker.fingerprint}``.
        verify: Compare every shard with its sha-256 now; otherwise only sizes.

    Raises:
        FileNotFoundError: There is no cache.
        ValueError: It was made with other settings, of other photos, or is damaged.
    """
    return ViewCache(Path(folder), kind=PHOTOS, photos=photos, expected=expected, verify=verify)


def open_pair_views(
    folder: str | Path, *, expected: Mapping[str, Any] | None = None, verify: bool = True
) -> "ViewCache":
    """Open the synthetic pairs of a cache; arguments and errors as for `open_photo_views`."""
    return ViewCache(Path(folder), kind=PAIRS, photos=None, expected=expected, verify=verify)


class ViewCache(Dataset):
    """Samples of one kind, by index; see `open_photo_views` and `open_pair_views`.

    Only the shards' indices are held in memory. The object can be pickled and forked; files are
    opened for each read.

    Attributes:
        novel_views: Stored novel views of a photo; None for pairs.
        settings: What the content was made with.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kind: str,
        photos: ImageFolder | None,
        expected: Mapping[str, Any] | None,
        verify: bool,
    ) -> None:
        """Check the cache; see the class."""
        self.settings = read_settings(folder)
        known = {key: self.settings.get(key) for key in expected or {}}
        if known != dict(expected or {}):
            raise ValueError(
                f"{folder} holds views made with other settings:\n"
                f"{describe_differences(known, expected)}\n"
                "make a cache for these networks by `python -m warpgan.precompute`"
            )
        section = self.settings[kind]
        if not section["count"]:
            raise ValueError(
                f"{folder} holds no {kind}; make some by `python -m warpgan.precompute "
                f"cache_dir=... views.{'photos' if kind == PHOTOS else 'synthetic_pairs'}=NUMBER`"
            )
        self.kind = kind
        self.novel_views = section["novel_views"] if kind == PHOTOS else None
        self._plan = ShardPlan(kind, section["count"], self.settings["shard_size"])
        names = self._plan.names
        shown = tqdm(names, f"checking {folder.name}", disable=len(names) < _PROGRESS_FROM)
        self._shards = [open_shard(folder, self._plan, name, verify=verify) for name in shown]
        self._photos = photos
        self._rows = None if photos is None else self._find_photos(folder, photos)
        self._compared = np.zeros(len(self), bool)

    def __len__(self) -> int:
        """Number of samples."""
        return self._plan.count

    def __getitem__(self, index: int) -> RealViews | SyntheticViews:
        """A sample as a batch of one; of a photo, its first novel view."""
        return self.sample(index)

    def sample(self, index: int, *, novel: int = 0) -> RealViews | SyntheticViews:
        """Read a sample as a batch of one.

        Args:
            index: Which sample.
            novel: Which of a photo's `novel_views`.

        Raises:
            IndexError: There is no such sample or novel view.
            ValueError: The photo changed since the views were made, or is damaged.
            DamagedShardError: The shard cannot be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        if self.kind == PAIRS:
            return self._pair(index)
        if not 0 <= novel < self.novel_views:
            raise IndexError(f"novel view {novel} of {self.novel_views}")
        return self._photo(index, novel)

    def _photo(self, index: int, novel: int) -> RealViews:
        wanted = (DESCRIPTION, ARRAYS, RENDER, novel_field(novel))
        shard, (description, packed, render, novel_render) = self._read(index, wanted)
        row = int(self._rows[index])
        try:
            if not self._compared[index]:
                self._compare(decode_description(description), row)
                self._compared[index] = True
            arrays = decode_arrays(packed, views=(0, 1 + novel))
            renders = [load_image(content, "a render") for content in (render, novel_render)]
        except PhotoChangedError:
            raise
        except ValueError as error:
            raise DamagedShardError(damage(shard.path, f"is damaged: {error}")) from error
        photo = self._photos[row]
        return RealViews(
            photo=((photo.image + 1) / 2)[None],
            camera=arrays.cameras[:1],
            novel_camera=arrays.cameras[1 + novel][None],
            ws=arrays.ws[None],
            ray_length=arrays.ray_lengths[:1],
            novel_ray_length=arrays.ray_lengths[1:],
            render=renders[0][None],
            novel_render=renders[1][None],
            names=(photo.name,),
        )

    def _pair(self, index: int) -> SyntheticViews:
        wanted = (ARRAYS, SOURCE, TARGET, TARGET_RENDER)
        shard, (packed, *images) = self._read(index, wanted)
        try:
            arrays = decode_arrays(packed, views=(0, 1))
            source, target, render = (load_image(content, "a view")[None] for content in images)
        except ValueError as error:
            raise DamagedShardError(damage(shard.path, f"is damaged: {error}")) from error
        return SyntheticViews(
            source=source,
            target=target,
            camera=arrays.cameras[:1],
            target_camera=arrays.cameras[1:],
            ws=arrays.ws[None],
            ray_length=arrays.ray_lengths[:1],
            target_ray_length=arrays.ray_lengths[1:],
            target_render=render,
            names=(shard.names[index % self._plan.shard_size],),
        )

    def _read(self, index: int, fields: Sequence[str]):
        shard = self._shards[index // self._plan.shard_size]
        return shard, shard.read(index % self._plan.shard_size, fields)

    def _find_photos(self, folder: Path, photos: ImageFolder) -> np.ndarray:
        """Place in the data set of every sample's photo."""
        if photos.size != self.settings["image_size"]:
            raise ValueError(
                f"{folder} holds views of {self.settings['image_size']} px, the photos are read at "
                f"{photos.size} px; give the cache made for this generator"
            )
        place = {name: row for row, name in enumerate(photos.names)}
        names = [name for shard in self._shards for name in shard.names]
        missing = [name for name in names if name not in place]
        if missing:
            raise ValueError(
                f"{len(missing)} of the {len(names)} photos of {folder} are not in the data set, "
                f"first {missing[0]}; give the data it was made from (data.path, data.labels, "
                "data.mirror, data.portraits), or make a cache for this data by "
                "`python -m warpgan.precompute`"
            )
        return np.array([place[name] for name in names])

    def _compare(self, description: Mapping[str, str], row: int) -> None:
        found = hashlib.sha256(self._photos.content(row)).hexdigest()
        if found != description.get("photo_sha256"):
            raise PhotoChangedError(
                f"photo {self._photos.names[row]} is not the file that the cached views were made "
                "of (its sha-256 differs); restore it, or delete the cache and make it anew by "
                "`python -m warpgan.precompute`"
            )


class PhotoChangedError(ValueError):
    """A photo is another file than the one whose views are cached; the message names it."""


def collate(samples: list[RealViews] | list[SyntheticViews]) -> RealViews | SyntheticViews:
    """Join samples of one kind to a batch; for a `DataLoader`."""
    return join_views(samples)


def novel_field(novel: int) -> str:
    """Member that holds a novel render."""
    return f"novel_{novel}.webp"


def photo_members(
    views: RealViews, row: int, *, photo_sha256: str, ray_range: tuple[float, float]
) -> dict[str, bytes]:
    """Members of one photo's sample.

    Args:
        views: A batch whose ``novel_`` tensors have an axis V after B.
        row: Which of the batch.
        photo_sha256: Of the photo's file.
        ray_range: Least and largest ray length to expect.
    """
    images = {RENDER: views.render[row]}
    images |= {novel_field(i): image for i, image in enumerate(views.novel_render[row])}
    return {
        **_encode_images(images),
        ARRAYS: encode_arrays(
            views.ws[row],
            torch.cat([views.camera[row, None], views.novel_camera[row]]),
            ray_lengths=torch.cat([views.ray_length[row, None], views.novel_ray_length[row]]),
            near=ray_range[0],
            far=ray_range[1],
        ),
        DESCRIPTION: encode_description(
            {"kind": PHOTOS, "name": views.names[row], "photo_sha256": photo_sha256}
        ),
    }


def pair_members(
    views: SyntheticViews, row: int, *, ray_range: tuple[float, float]
) -> dict[str, bytes]:
    """Members of one pair's sample; arguments as for `photo_members`."""
    images = {
        SOURCE: views.source[row],
        TARGET: views.target[row],
        TARGET_RENDER: views.target_render[row],
    }
    return {
        **_encode_images(images),
        ARRAYS: encode_arrays(
            views.ws[row],
            torch.stack([views.camera[row], views.target_camera[row]]),
            ray_lengths=torch.stack([views.ray_length[row], views.target_ray_length[row]]),
            near=ray_range[0],
            far=ray_range[1],
        ),
        DESCRIPTION: encode_description({"kind": PAIRS, "name": views.names[row]}),
    }


def _encode_images(images: Mapping[str, Tensor]) -> dict[str, bytes]:
    """Encode similar images; each begins with the quality that the one before needed."""
    encoded, options = {}, {}
    for name, image in images.items():
        stored = encode_image(image, **options)
        encoded[name] = stored.content
        options = {"quality": min(100, stored.quality)}
    return encoded
