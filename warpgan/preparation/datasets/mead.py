"""MEAD without a landmark file: frames out of the videos, faces read, crops with cameras.

`warpgan.data.mead` extracts the frames and makes the crops; between its two steps each frame is
read here. The landmark file that results, ``OUT/landmarks.json``, holds five points and a camera a
frame and can be corrected by hand: an entry with ``"by_hand": true`` is left as it is. Frames are
not turned upright: a crop is EG3D's own, and a tilted head has a camera with roll.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warpgan.data.images import SUFFIXES, decode_image
from warpgan.data.mead.frames import pixels_sha256
from warpgan.data.mead.layout import layout_of, people_of
from warpgan.data.mead.prepare import PrepareSettings, prepare
from warpgan.data.mead.records import RECORDS_FOLDER, frames_folder
from warpgan.data.mead.report import Report
from warpgan.data.portraits.splits import write_aside
from warpgan.labels import LABEL_FILE_NAME
from warpgan.preparation.one_photo import FAULTS
from warpgan.preparation.settings import Reader
from warpgan.progress import progress_bar

LANDMARKS_NAME = "landmarks.json"
# In a folder of its own: files beside it are records of people.
_FOUND_NAME = "faces/found.json"
_VERSION = 1


@dataclass(frozen=True)
class MeadResult:
    """What came of a run.

    Attributes:
        report: of `warpgan.data.mead`.
        read: frames that were read now.
        known: frames that were read before.
        refused: frame to reason, of those without a face.
    """

    report: Report
    read: int
    known: int
    refused: dict[str, str]


def prepare_mead(
    data: Path,
    out: Path,
    make_reader: Callable[[], Reader],
    *,
    manifest: Path | None = None,
    size: int,
    allow_missing: bool = False,
) -> MeadResult:
    """Prepare MEAD's five views a person, or go on with it.

    Args:
        data: MEAD as published, or raw frames ``ID/CAMERA.png``.
        out: folder to write.
        make_reader: called once, and only if a frame has to be read.
        manifest: of the frames asked for; None for the published choice.
        size: of the crops.
        allow_missing: keep people with front and another view.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: a mistake in one of them, or nothing usable.
    """
    raw = PrepareSettings(manifest=manifest, size=size, allow_missing=allow_missing)
    # Finished before: the frames may have changed, and the first step refuses a finished folder.
    (out / LABEL_FILE_NAME).unlink(missing_ok=True)
    extracted = prepare(data, out, raw)
    people, _ = people_of(data)
    folder = frames_folder(out) if layout_of(data, people) == "videos" else data
    names = [f"{row.id}/{row.camera}" for result in extracted.kept for row in result.rows]
    found = _read_found(out)
    reader: Reader | None = None
    read = 0
    for name in progress_bar(names, title="faces", unit="frame"):
        image = _frame(folder, name)
        sha256 = pixels_sha256(image)
        if name in found and found[name]["frame_sha256"] == sha256:
            continue
        reader = reader or make_reader()
        found[name] = {"frame_sha256": sha256, **read_points(reader, image)}
        read += 1
        # After every frame: a kill loses one.
        _write_found(out, found)
    landmarks = _merge_by_hand(out / LANDMARKS_NAME, {name: found[name] for name in names})
    write_aside(out / LANDMARKS_NAME, (json.dumps(landmarks, indent=0) + "\n").encode())
    settings = PrepareSettings(
        landmarks=out / LANDMARKS_NAME,
        manifest=manifest,
        size=size,
        allow_missing=allow_missing,
        skip_invalid=True,
    )
    refused = {name: found[name]["refused"] for name in names if "refused" in found[name]}
    return MeadResult(prepare(data, out, settings), read, len(names) - read, refused)


def read_points(reader: Reader, frame: np.ndarray) -> dict[str, Any]:
    """Points and camera of the largest face of a frame, or why there are none."""
    try:
        faces = reader.detect(frame)
        if not faces:
            return {"refused": "no face"}
        face = reader.read(frame, faces[0], size=512, roll_align=False, border="black")
    except FAULTS as error:
        kind = getattr(error, "kind", type(error).__name__)
        return {"refused": f"{kind}: {error}"}
    return {
        # The detector's, unrounded: EG3D's crop, which the camera is of, follows from them.
        "points": np.asarray(faces[0].points, np.float64).tolist(),
        "camera": [float(value) for value in face.camera.reshape(25)],
        "confidence": round(float(face.confidence), 4),
    }


def _frame(folder: Path, name: str) -> np.ndarray:
    paths = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    path = next(path for path in paths if path.is_file())
    return decode_image(path.read_bytes(), str(path))


def _merge_by_hand(path: Path, found: dict[str, dict]) -> dict[str, Any]:
    """Entries for the landmark file; those that somebody corrected stay."""
    entries: dict[str, Any] = {
        name: None
        if "refused" in entry
        else {key: entry[key] for key in ("points", "camera", "confidence")}
        for name, entry in found.items()
    }
    if path.is_file():
        try:
            before = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON ({error}); correct or delete it") from error
        for name, entry in before.items() if isinstance(before, dict) else ():
            if name in entries and isinstance(entry, dict) and entry.get("by_hand") is True:
                entries[name] = entry
    return entries


def _read_found(out: Path) -> dict[str, dict]:
    path = out / RECORDS_FOLDER / _FOUND_NAME
    try:
        root = json.loads(path.read_bytes())
        return dict(root["frames"]) if root["version"] == _VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        # It only saves work.
        return {}


def _write_found(out: Path, found: dict[str, dict]) -> None:
    content = json.dumps({"version": _VERSION, "frames": found})
    write_aside(out / RECORDS_FOLDER / _FOUND_NAME, content.encode())
