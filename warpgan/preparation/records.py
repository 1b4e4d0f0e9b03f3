"""What is known of a photo that was prepared, one JSON file each in ``OUT/.prepare``.

A record counts for a photo of the same bytes under the same settings, as long as its crops still
are the files that were written. It is written after the crops: a kill loses at most one photo.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from warpgan.data.portraits.splits import write_aside

FORMAT_VERSION = 1
FOLDER = ".prepare"
REMOVED_FOLDER = "removed"
SUMMARY_NAME = "prepare.json"
_ASIDE = re.compile(r"\..+\.\d+")


@dataclass(frozen=True)
class FaceRecord:
    """A face that became a crop.

    Attributes:
        number: from 1 by size.
        crop, crop_sha256: file, relative to the folder, and the hash of its bytes.
        mirror, mirror_sha256: of the mirrored twin; empty without one.
        camera: the label, 25 numbers.
        camera_from: "estimated", or the file it was read from.
        yaw, pitch, roll: of the camera, degrees.
        confidence: of the camera, 0 to 1.
        agreement_deg: how far the estimates lie apart.
        turned_deg: roll that the alignment took out.
        outside: share of the crop beyond the photo's edge.
        box: left, top, right, bottom in the photo.
        detector_confidence: 0 to 1.
        photo_points: [5][2], pixel indices of the upright photo.
        points: [5][2], continuous coordinates of the crop.
        mesh: [468][2] in the crop, or None.
        to_crop: [2][3], photo pixel indices to the crop's coordinates.
        estimates: by name: yaw, pitch, roll in degrees, error in pixels or None.
    """

    number: int
    crop: str
    crop_sha256: str
    mirror: str
    mirror_sha256: str
    camera: list[float]
    camera_from: str
    yaw: float
    pitch: float
    roll: float
    confidence: float
    agreement_deg: float
    turned_deg: float
    outside: float
    box: list[float]
    detector_confidence: float
    photo_points: list[list[float]]
    points: list[list[float]]
    mesh: list[list[float]] | None
    to_crop: list[list[float]]
    estimates: dict[str, list[float | None]]


@dataclass(frozen=True)
class Refusal:
    """Why there is no crop; ``number`` is the face's, 0 for the whole photo."""

    number: int
    kind: str
    reason: str


@dataclass(frozen=True)
class PhotoRecord:
    """All of a photo.

    Attributes:
        photo, origin: as in `photos.Photo`.
        stem: of the crops.
        sha256: of the photo's bytes; empty if they could not be read.
        settings: hash of the settings.
        width, height: upright; 0 if it could not be decoded.
        detections: faces found.
        faces: that became crops.
        refused: the others that were asked for.
    """

    photo: str
    origin: str
    stem: str
    sha256: str
    settings: str
    width: int
    height: int
    detections: int
    faces: tuple[FaceRecord, ...]
    refused: tuple[Refusal, ...]

    @property
    def files(self) -> dict[str, str]:
        """Hash of each image written, by name."""
        files = {face.crop: face.crop_sha256 for face in self.faces}
        files |= {face.mirror: face.mirror_sha256 for face in self.faces if face.mirror}
        return files


def read_records(out: Path) -> dict[str, PhotoRecord]:
    """All records by stem, without their meshes; what cannot be read does not count."""
    records = {}
    for path in sorted((out / FOLDER).glob("*.json")):
        record = _read_record(path)
        if record is not None and _path(out, record.stem) == path:
            records[record.stem] = without_meshes(record)
    return dict(sorted(records.items()))


def read_record(out: Path, stem: str) -> PhotoRecord | None:
    """One record with its meshes; None if it cannot be read."""
    return _read_record(_path(out, stem))


def without_meshes(record: PhotoRecord) -> PhotoRecord:
    """The record, small enough to hold those of a whole data set in memory."""
    return replace(record, faces=tuple(replace(face, mesh=None) for face in record.faces))


def write_record(out: Path, record: PhotoRecord) -> None:
    """Write the record of a photo."""
    content = {"format_version": FORMAT_VERSION, **asdict(record)}
    write_aside(_path(out, record.stem), json.dumps(content).encode())


def is_whole(out: Path, record: PhotoRecord) -> bool:
    """Whether all images of a record are the files that were written, its pictures too."""
    paths = [picture_path(out, record.stem, face.number) for face in record.faces]
    if record.width:
        paths.append(picture_path(out, record.stem, 0))
    return all(path.is_file() for path in paths) and all(
        (out / name).is_file() and hash_of((out / name).read_bytes()) == expected
        for name, expected in record.files.items()
    )


def forget(out: Path, record: PhotoRecord) -> None:
    """Remove the images and the record of a photo that will be made again."""
    for name in record.files:
        (out / name).unlink(missing_ok=True)
    _drop(out, record)


def put_away(out: Path, record: PhotoRecord) -> None:
    """Move the crops of a photo that is gone to ``.prepare/removed``: nothing could remake them."""
    for name in record.files:
        target = out / FOLDER / REMOVED_FOLDER / name
        if (out / name).is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            (out / name).replace(target)
    _drop(out, record)


def claim(out: Path) -> None:
    """Mark a folder as this command's own, and sweep what a killed run left half-written.

    Raises:
        ValueError: it holds something else.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; OUT must be a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / FOLDER).is_dir():
        raise ValueError(
            f"{out} is not empty and was not begun by this command; choose another folder"
        )
    (out / FOLDER).mkdir(parents=True, exist_ok=True)


def sweep(out: Path) -> None:
    """Remove half-written files; only for the one who holds the folder's lock."""
    for aside in out.rglob(".*"):
        if _ASIDE.fullmatch(aside.name) and aside.is_file():
            aside.unlink(missing_ok=True)


def picture_path(out: Path, stem: str, number: int) -> Path:
    """The small picture of a face for the report; of the whole photo for number 0."""
    return _path(out, stem).with_suffix(f".{number}.webp")


def hash_of(content: bytes) -> str:
    """Sha256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def settings_hash(settings: dict[str, Any]) -> str:
    """Hash of settings, to compare them."""
    return hash_of(json.dumps(settings, sort_keys=True).encode())[:16]


def _path(out: Path, stem: str) -> Path:
    return out / FOLDER / f"{hash_of(stem.encode())[:24]}.json"


def _drop(out: Path, record: PhotoRecord) -> None:
    path = _path(out, record.stem)
    for picture in path.parent.glob(f"{path.stem}.*.webp"):
        picture.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _read_record(path: Path) -> PhotoRecord | None:
    try:
        content = json.loads(path.read_bytes())
        if content.pop("format_version") != FORMAT_VERSION:
            return None
        content["faces"] = tuple(FaceRecord(**face) for face in content["faces"])
        content["refused"] = tuple(Refusal(**refusal) for refusal in content["refused"])
        return PhotoRecord(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # It only saves work.
        return None
