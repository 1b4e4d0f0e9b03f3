"""What a run has already done for a person, so that the next one does not do it again.

One JSON file a person in ``OUT/.mead``, written after the person's images. Everything in it is tied
to contents: a clip's entry counts only for a file of the same sha256, a frame's only for the same
clip and number, a crop's only for the same frame, points and size, and an image only if its pixels
are still those. A record of other versions of the decoding libraries does not count.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import av
import numpy as np
import PIL

from warpgan.data.images import decode_image
from warpgan.data.mead.frames import Clip, pixels_sha256
from warpgan.data.mead.layout import CAMERAS, FRAMES_FOLDER
from warpgan.data.portraits.splits import write_aside

RECORDS_FOLDER = ".mead"
FORMAT_VERSION = 1
LIBRARIES = {"av": av.__version__, "pillow": PIL.__version__}


@dataclass(frozen=True)
class FrameDone:
    """A frame that was decoded once."""

    video_sha256: str
    number: int
    frame_sha256: str


@dataclass(frozen=True)
class CropDone:
    """A crop that was written once; ``inputs`` is the hash of all that it depends on."""

    inputs: str
    image_sha256: str


@dataclass
class PersonRecord:
    """What is known of a person, by camera."""

    clips: dict[str, Clip] = field(default_factory=dict)
    frames: dict[str, FrameDone] = field(default_factory=dict)
    crops: dict[str, CropDone] = field(default_factory=dict)


def read_record(out: Path, person: str) -> PersonRecord:
    """The record of a person; an empty one if there is none that can be read."""
    path = _record_path(out, person)
    if not path.is_file():
        return PersonRecord()
    try:
        root = json.loads(path.read_bytes())
        if (root["format_version"], root["libraries"]) != (FORMAT_VERSION, LIBRARIES):
            return PersonRecord()
        return PersonRecord(
            {camera: Clip(**entry) for camera, entry in root["clips"].items()},
            {camera: FrameDone(**entry) for camera, entry in root["frames"].items()},
            {camera: CropDone(**entry) for camera, entry in root["crops"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        # It only saves work.
        return PersonRecord()


def write_record(out: Path, person: str, record: PersonRecord) -> None:
    """Write a person's record."""
    head = {"format_version": FORMAT_VERSION, "libraries": LIBRARIES}
    content = json.dumps(head | asdict(record), indent=1)
    write_aside(inside(out, _record_path(out, person)), content.encode())


def recorded_people(out: Path) -> list[str]:
    """Ids with a record, sorted."""
    return sorted(path.stem for path in (out / RECORDS_FOLDER).glob("*.json"))


def claim(out: Path) -> None:
    """Mark a folder as one that this package writes.

    Raises:
        ValueError: it holds something else.
    """
    mark = out / RECORDS_FOLDER
    if out.is_dir() and any(out.iterdir()) and not mark.is_dir():
        raise ValueError(
            f"{out} is not empty and was not begun by this command; choose another folder"
        )
    inside(out, mark).mkdir(parents=True, exist_ok=True)


def frames_folder(out: Path) -> Path:
    """Raw frames: ``frames``, or ``.frames`` once a data set (which lists all images) stands."""
    hidden = out / f".{FRAMES_FOLDER}"
    return hidden if hidden.exists() else out / FRAMES_FOLDER


def hide_frames(out: Path) -> None:
    """Rename ``frames`` to ``.frames``: images without a label would be refused beside others."""
    frames = out / FRAMES_FOLDER
    if frames.exists():
        frames.replace(out / f".{FRAMES_FOLDER}")


def inside(out: Path, path: Path) -> Path:
    """``path``, if it does not lead out of ``out`` by a link.

    Raises:
        ValueError: it does.
    """
    if not path.resolve().is_relative_to(out.resolve()):
        raise ValueError(f"{path} leads outside of {out} by a link; remove the link")
    return path


def good_image(path: Path, sha256: str) -> np.ndarray | None:
    """The pixels of an image file, if they are those expected."""
    if not path.is_file():
        return None
    try:
        image = decode_image(path.read_bytes(), path.name)
    except ValueError:
        return None
    return image if pixels_sha256(image) == sha256 else None


def sweep(folder: Path, cameras: Sequence[str] = CAMERAS) -> None:
    """Remove what a killed run left half-written beside a person's images."""
    for camera in cameras:
        for aside in folder.glob(f".{camera}.png.*"):
            aside.unlink(missing_ok=True)


def _record_path(out: Path, person: str) -> Path:
    return out / RECORDS_FOLDER / f"{person}.json"
