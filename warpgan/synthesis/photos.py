"""The photos to synthesize views of: one file with its camera label, a folder or zip, portraits."""

import json
from pathlib import Path
from typing import Protocol

import torch

from warpgan.data.folder import ImageFolder, Sample
from warpgan.data.images import SUFFIXES, decode_image, to_unit_range
from warpgan.data.portraits.splits import SplitSettings, write_split
from warpgan.labels import LABEL_FILE_NAME, read_label_file, validate_label

PORTRAITS = "portraits"
PORTRAIT_COUNT, PORTRAIT_SEED = 8, 1
NO_LABEL = (
    "every photo needs a camera: run `python -m warpgan.prepare PHOTO OUT` first, which finds the "
    "face, crops it and estimates its camera (or, with five points of yours, "
    "`python -m warpgan.data.crop_photo`)"
)


class Photos(Protocol):
    """Photos that can be counted and read one by one; `ImageFolder` is one, a list another."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, index: int) -> Sample:
        """Read one."""


def find_photos(
    place: str,
    *,
    size: int,
    label: Path | None = None,
    labels: str | None = None,
    count: int | None = None,
    upscale: bool = False,
    skip_invalid: bool = False,
    cache: Path = Path("cache"),
) -> Photos:
    """Open what the user named.

    Args:
        place: an image file, a folder or zip with ``dataset.json``, or ``portraits`` for
            held-out portraits of the embedded world, written on the spot.
        size: side of the photos given out.
        label: JSON with the 25 numbers of one photo, or a label file that names it.
        labels: another label file of a folder or zip.
        count: portraits to write.
        upscale: accept photos smaller than ``size``.
        skip_invalid: leave out what is wrong in a folder.
        cache: where portraits are kept.

    Raises:
        FileNotFoundError: if the photo, its label or the folder is absent.
        ValueError: if anything is wrong with images or labels.
    """
    path = Path(place).expanduser()
    if place == PORTRAITS and not path.exists():
        return ImageFolder(_written_portraits(cache, count or PORTRAIT_COUNT, size), size=size)
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return [_one_photo(path, size=size, label=label, upscale=upscale)]
    if label is not None:
        raise ValueError(f"--label {label} is for one image file; for {place} name a --labels file")
    if not path.exists():
        raise FileNotFoundError(
            f"{place} does not exist; give an image ({', '.join(SUFFIXES)}), a folder or zip of "
            f"images with {LABEL_FILE_NAME}, or the word {PORTRAITS}"
        )
    return ImageFolder(path, labels=labels, size=size, upscale=upscale, skip_invalid=skip_invalid)


def _written_portraits(cache: Path, count: int, size: int) -> Path:
    """Held-out people, those that ``python -m warpgan.evaluate`` measures first."""
    settings = SplitSettings("celebahq", count, PORTRAIT_SEED, size, depth=False)
    folder = cache / "portraits" / f"celebahq_{count}_seed{PORTRAIT_SEED}_{size}px"
    if not (folder / LABEL_FILE_NAME).is_file():
        print(f"writing {count} portraits to {folder}, once", flush=True)
        write_split(folder, settings)
    return folder


def _one_photo(path: Path, *, size: int, label: Path | None, upscale: bool) -> Sample:
    pixels = decode_image(path.read_bytes(), f"photo {path}")
    height, width = pixels.shape[:2]
    if height != width:
        raise ValueError(
            f"photo {path} has {width} x {height} pixels and is not square; run "
            f"`python -m warpgan.prepare {path} OUT` first, which finds the face, crops it and "
            "estimates its camera, then give OUT"
        )
    if width < size and not upscale:
        raise ValueError(
            f"photo {path} has {width} px, smaller than the {size} px of the generator; "
            "take a larger one, or accept blur with --upscale"
        )
    camera = torch.tensor(_label_of(path, label), dtype=torch.float32)
    return Sample(to_unit_range(pixels, size), camera, 0, path.name)


def _label_of(path: Path, label: Path | None) -> list[float]:
    place = path.parent / LABEL_FILE_NAME if label is None else label
    if not place.is_file():
        if label is None:
            raise FileNotFoundError(
                f"photo {path} has no camera label: no {place} lies beside it and --label is not "
                f"given; {NO_LABEL}"
            )
        raise FileNotFoundError(f"label file {label} does not exist; {NO_LABEL}")
    try:
        content = json.loads(place.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} is not valid JSON: {error}") from error
    if isinstance(content, list):
        try:
            validate_label(content)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        return content
    entries = read_label_file(place)
    rows = [row for row, name in enumerate(entries.names) if Path(name).name == path.name]
    if not rows:
        faults = [f"{f.kind} {f.detail}" for f in entries.faults if Path(f.name).name == path.name]
        because = f": {faults[0]}" if faults else ""
        raise ValueError(f"{place} holds no usable label of {path.name}{because}; {NO_LABEL}")
    return entries.labels[rows[0]].tolist()
