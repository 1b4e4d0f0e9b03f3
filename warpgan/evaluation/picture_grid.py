"""Pictures of a report: which rows are shown, and small copies to stand inside the page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from warpgan.data.images import ImageError, decode_image
from warpgan.evaluation.finished_run import MethodRun
from warpgan.evaluation.joined import Block
from warpgan.evaluation.metric_words import kind_of

SIDE, QUALITY = 192, 80
PEOPLE, VIEWS, CASES = 3, 4, 3


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Shown:
    """One row of a grid.

    Attributes:
        place: of the row in the block.
        photo: that went in.
        truth: the true view; ``None`` where none exists.
        views: method to its view.
    """

    place: int
    photo: Thumbnail
    truth: Thumbnail | None
    views: dict[str, Thumbnail]


class MissingPicture(FileNotFoundError):
    """A picture that the grid needs is not in the run folder."""


def first_rows(block: Block, *, people: int = PEOPLE, views: int = VIEWS) -> list[int]:
    """Places of the views of the first few people, each once, spread over what there is."""
    owned: dict[str, list[int]] = {}
    for place, row in enumerate(block.rows):
        owned.setdefault(row.person, []).append(place)
    chosen = []
    for places in list(owned.values())[:people]:
        steps = np.linspace(0, len(places) - 1, min(views, len(places))).round().astype(int)
        chosen += [places[step] for step in steps]
    return chosen


def extreme_rows(
    block: Block, method: str, column: str, *, count: int = CASES
) -> tuple[list[int], list[int]]:
    """Places of the best and of the worst rows of a method, the most extreme first.

    With few rows the two never overlap.
    """
    values = block.methods[method].values[column]
    order = [
        int(place) for place in np.argsort(values, kind="stable") if np.isfinite(values[place])
    ]
    if block.better.get(column) == "higher":
        order = order[::-1]
    count = min(count, len(order) // 2)
    return order[:count], order[::-1][:count]


def judging_column(block: Block) -> str | None:
    """What best and worst are judged by: perceptual if there is one, else identity, else PSNR."""
    for kind in ("perceptual", "identity", "psnr"):
        for column in block.columns:
            if kind_of(column) == kind and column not in block.summary["training_nets"]:
                return column
    return None


def show_rows(block: Block, places: Sequence[int], methods: Sequence[str]) -> list[Shown]:
    """Read the pictures of some rows.

    Args:
        block: measured.
        places: of the rows.
        methods: whose views are shown.

    Raises:
        MissingPicture: if one is not there.
        ValueError: if one cannot be read, or its name leads out of its folder.
    """
    photos: dict[str, Thumbnail] = {}

    def photo(name: str) -> Thumbnail:
        if name not in photos:
            photos[name] = thumbnail(_photo_path(block, name))
        return photos[name]

    return [
        Shown(
            place,
            photo(block.rows[place].source),
            None if block.protocol == "novel_view" else photo(block.rows[place].name),
            {name: thumbnail(_view_path(block.methods[name], place)) for name in methods},
        )
        for place in places
    ]


def thumbnail(path: Path) -> Thumbnail:
    """A small copy of a picture; at most ``SIDE`` pixels each way, never enlarged.

    Raises:
        MissingPicture: if the file is not there.
        ValueError: if it is no picture.
    """
    if not path.is_file():
        raise MissingPicture(f"{path} is absent")
    try:
        picture = Image.fromarray(decode_image(path.read_bytes(), path.name, formats=("WEBP",)))
    except ImageError as error:
        raise ValueError(
            f"{path} is no readable WebP picture ({error.kind}): delete it and evaluate again"
        ) from error
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="WEBP", quality=QUALITY, method=4)
    text = base64.b64encode(stream.getvalue()).decode("ascii")
    return Thumbnail(f"data:image/webp;base64,{text}", *picture.size)


def _photo_path(block: Block, name: str) -> Path:
    paths = [_inside(run.folder / "photos", f"{name}.webp") for run in block.runs]
    return next((path for path in paths if path.is_file()), paths[0])


def _view_path(method: MethodRun, place: int) -> Path:
    return method.folder / "views" / f"{place:06d}.webp"


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the picture's name {name!r} leads out of {folder}")
    return path
