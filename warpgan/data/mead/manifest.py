"""Which frames of MEAD are compared: the published choice, and manifests as CSV.

The published choice is the emotion ``neutral`` at ``level_1``, clip ``001``, middle frame, five
cameras, of every person found. A manifest that this package wrote names the frames by number and
their contents by sha256: given back by ``--manifest``, on other machines too, it asks for the same
frames and checks them.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from warpgan.data.mead.layout import CAMERAS, Shot, is_clip, is_level, is_name
from warpgan.data.portraits.splits import write_aside

EMOTION, LEVEL, CLIP = "neutral", "level_1", "001"
MIDDLE = "middle"
ASKED_COLUMNS = ("id", "camera", "emotion", "level", "clip", "frame")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ManifestRow:
    """One line of a written manifest.

    Attributes:
        id, camera, emotion, level, clip: as in `layout.Shot`.
        frame: the frame's number from 0; empty for pictures that somebody else extracted.
        frames: how many of the clip can be decoded.
        video_sha256: of the file.
        frame_sha256: of the frame's pixels (`frames.pixels_sha256`).
        image_sha256: of the crop's pixels; empty before there is one.
    """

    id: str
    camera: str
    emotion: str
    level: str
    clip: str
    frame: str
    frames: int
    video_sha256: str
    frame_sha256: str
    image_sha256: str


def published_shots(people: Sequence[str], *, layout: str) -> list[Shot]:
    """The published choice for these people."""
    clip = (EMOTION, LEVEL, CLIP) if layout == "videos" else ("", "", "")
    return [Shot(person, camera, *clip) for person in people for camera in CAMERAS]


def read_manifest(path: Path, *, layout: str) -> list[Shot]:
    """Read a manifest: columns ``id,camera,emotion,level,clip,frame``, others are optional.

    ``frame`` is a number from 0 or ``middle`` (also empty).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, or a line is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"manifest {path} does not exist; expected CSV with the columns "
            f"{','.join(ASKED_COLUMNS)}"
        )
    try:
        # A byte-order mark, as spreadsheets write it, is no part of the first column's name.
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"manifest {path} is no CSV text: {error}") from error
    missing = [column for column in ASKED_COLUMNS if lines and column not in lines[0]]
    if not lines or missing:
        raise ValueError(
            f"manifest {path} has no {', '.join(missing) or 'lines'}; expected the columns "
            f"{','.join(ASKED_COLUMNS)}"
        )
    shots: dict[str, Shot] = {}
    for number, line in enumerate(lines, start=2):
        try:
            shot = _parse_line(line, layout=layout)
            if shot.name in shots:
                raise ValueError(f"{shot.name} is listed twice")
        except ValueError as error:
            raise ValueError(f"manifest {path}, line {number}: {error}") from error
        shots[shot.name] = shot
    return list(shots.values())


def write_manifest(path: Path, rows: Sequence[ManifestRow]) -> None:
    """Write a manifest, sorted by id and camera."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(ManifestRow))
    writer.writerows(astuple(row) for row in sorted(rows, key=lambda row: (row.id, row.camera)))
    write_aside(path, text.getvalue().encode())


def _parse_line(line: Mapping[str, str | None], *, layout: str) -> Shot:
    cells = {key: (value or "").strip() for key, value in line.items() if isinstance(key, str)}
    person, camera, emotion, level, clip, frame = (cells[column] for column in ASKED_COLUMNS)
    if not is_name(person):
        raise ValueError(f"id {person!r} is no folder name of letters, digits, - and _")
    if camera not in CAMERAS:
        raise ValueError(f"camera {camera!r}; expected one of {', '.join(CAMERAS)}")
    if clip.isdecimal():
        # Spreadsheets drop leading zeros.
        clip = clip.zfill(3)
    if layout == "videos" and not (is_name(emotion) and is_level(level) and is_clip(clip)):
        raise ValueError(
            f"emotion {emotion!r}, level {level!r}, clip {clip!r}; expected such as "
            f"{EMOTION}, {LEVEL}, {CLIP}"
        )
    if frame not in ("", MIDDLE) and not (frame.isascii() and frame.isdecimal()):
        raise ValueError(f"frame {frame!r}; expected a number from 0, or {MIDDLE}")
    known = [cells.get(column, "") for column in ("video_sha256", "frame_sha256")]
    for text in known:
        if text and not _SHA256.fullmatch(text):
            raise ValueError(f"sha256 {text[:80]!r}; expected 64 digits 0-9a-f, or nothing")
    number = None if frame in ("", MIDDLE) or layout == "frames" else int(frame)
    if layout == "frames":
        emotion = level = clip = ""
    return Shot(person, camera, emotion, level, clip, number, *known)
