"""Crop a photo as EG3D does and label it: ``python -m warpgan.data.crop_photo PHOTO OUT``.

    python -m warpgan.data.crop_photo me.jpg faces --points 203,100 246,103 225,126 204,140 243,141

Five points (``--points`` or a JSON file by ``--points-file``): the eye on the left of the picture,
the eye on its right, nose tip, left and right corner of the mouth, in pixels of the upright photo.
OUT becomes, or already is, an image folder with a ``dataset.json`` (`warpgan.data.folder`).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from warpgan.cameras import mirror_label, yaw_pitch
from warpgan.crop import CROP_SIZE, fit_crop, solve_pose_from_five_points
from warpgan.data.images import decode_image
from warpgan.labels import (
    LABEL_FILE_NAME,
    describe_faults,
    read_label_file,
    safe_name,
    write_label_file,
)


def add_photo(
    photo: str | Path,
    folder: str | Path,
    *,
    points: Sequence[Sequence[float]],
    name: str | None = None,
    size: int = CROP_SIZE,
    mirror: bool = False,
    overwrite: bool = False,
) -> Tensor:
    """Crop ``photo``, solve its camera, and add both to an image folder.

    Args:
        photo: PNG, JPEG or WebP of any shape.
        folder: Image folder; made if absent, extended if it has a ``dataset.json``.
        points: Five points [5, 2] in the upright photo; see `warpgan.crop`.
        name: PNG to write, relative to the folder; default the photo's name.
        size: Side of the crop.
        mirror: Also write the mirrored twin, ``NAME_mirror.png``, as EG3D does.
        overwrite: Replace an image of that name.

    Returns:
        The label [1, 25].

    Raises:
        FileNotFoundError: There is no such photo.
        ValueError: Photo, points or the folder's labels are unusable, or the name is taken.
    """
    photo, folder = Path(photo), Path(folder)
    if not photo.is_file():
        raise FileNotFoundError(f"photo {photo} does not exist")
    if size < 1:
        raise ValueError(f"size {size} must be a positive number of pixels")
    asked = name or f"{photo.stem}.png"
    name = safe_name(asked)
    if name is None or not name.lower().endswith(".png"):
        raise ValueError(f"name {asked!r} must be a relative path ending in .png")
    stem = name[: -len(".png")]
    names = [name, f"{stem}_mirror.png"] if mirror else [name]
    entries = _existing_entries(folder)
    taken = [new for new in names if new in entries or (folder / new).exists()]
    if taken and not overwrite:
        raise ValueError(
            f"{folder} already holds {', '.join(taken)}; choose a name or overwrite it"
        )
    pixels = decode_image(photo.read_bytes(), f"photo {photo}")
    window = fit_crop(points, width=pixels.shape[1], height=pixels.shape[0])
    label = solve_pose_from_five_points(window.to_crop(points, size=size), size=size)
    crop = window.apply(Image.fromarray(pixels), size=size)
    images = zip(names, (crop, crop[:, ::-1]), (label, mirror_label(label)), strict=False)
    for new, image, camera in images:
        target = folder / new
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(target.name + ".partial")
        Image.fromarray(image).save(aside, format="PNG")
        aside.replace(target)
        entries[new] = camera[0]
    write_label_file(folder / LABEL_FILE_NAME, sorted(entries.items()))
    return label


def _existing_entries(folder: Path) -> dict[str, Tensor]:
    if not (folder / LABEL_FILE_NAME).exists():
        return {}
    label_file = read_label_file(folder)
    if label_file.faults:
        raise ValueError(
            f"{folder / LABEL_FILE_NAME} holds invalid entries; correct them first\n"
            f"{describe_faults(label_file.faults)}"
        )
    labels = torch.from_numpy(label_file.labels)
    return dict(zip(label_file.names, labels, strict=True))


def read_points(path: str | Path) -> list[list[float]]:
    """Five points from JSON: ``[[x, y], ...]`` or ``{"points": [[x, y], ...]}``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"points file {path} does not exist")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    points = content.get("points") if isinstance(content, dict) else content
    if not isinstance(points, list):
        raise ValueError(f'{path} holds no {{"points": [[x, y], ...]}}')
    return points


def _parse_point(text: str) -> list[float]:
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError as error:
        raise ValueError(f"point {text!r} is not of the form x,y") from error
    return [x, y]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="warpgan.data.crop_photo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photo", type=Path)
    parser.add_argument("out", type=Path, help="image folder to make or extend")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--points", nargs=5, metavar="X,Y")
    given.add_argument("--points-file", type=Path, metavar="JSON")
    parser.add_argument("--name", help="PNG name in the folder (default: the photo's)")
    parser.add_argument("--size", type=int, default=CROP_SIZE)
    parser.add_argument("--mirror", action="store_true", help="also write NAME_mirror.png")
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args(arguments)
    try:
        if options.points_file:
            points = read_points(options.points_file)
        else:
            points = [_parse_point(text) for text in options.points]
        label = add_photo(
            options.photo,
            options.out,
            points=points,
            name=options.name,
            size=options.size,
            mirror=options.mirror,
            overwrite=options.overwrite,
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    yaw, pitch = (angle.item() for angle in yaw_pitch(label))
    print(f"{options.out}: added the face, yaw {yaw:.1f}, pitch {pitch:.1f} degrees")
    return 0


if __name__ == "__main__":
    sys.exit(main())
