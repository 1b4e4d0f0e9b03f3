"""Cameras of photos against the truth: ``python scripts/measure_pose.py OUT [--people 500]``.

Held-out people (split celebahq, a seed that nothing is trained or tuned on) are drawn on wide
canvases, as photos are: the canvas of `CANVAS` px shows a face of some 90 to 160 px, shifted, by a
label of shorter focal length and moved principal point, from yaw +-60, pitch +-20 degrees, with a
camera rolled by +-30 degrees. Each goes through `FaceReader` as a photo would: detection, roll
alignment, crop, camera.

Truth. A crop is a turned, zoomed and moved window of the canvas, and so is a picture from the same
place: the *yaw* and *pitch* of the camera's position do not change. The alignment turns the photo
by ``turned_deg`` about the view axis (about a point of the picture, which is the same but for a
shift), so the true *roll* of a crop is the canvas's less ``turned_deg``. Distances are those of
EG3D's convention in both: 2.7. *Landmarks* are the five of the person (`Portrait.landmarks`): the
crop's landmark error is the RMS distance, in pixels of a crop of 512, between where the estimated
label projects them and where they lie in the crop (true canvas position through ``to_crop``). The
row ``true pose`` has a label of the true angles: what is left is the crop's framing alone.

OUT gets ``photos/`` and ``detections.jsonl`` (drawn and searched once), ``faces.jsonl`` (one line a
face; the same command goes on where it stopped; delete it to read all faces anew), ``pose.json``,
``pose.md`` and ``faces.png``. EG3D's framing is measured on all faces, the label's on one of five.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from pose_tables import as_markdown, summary
from torch import Tensor
from tqdm import tqdm

from warpgan import cli
from warpgan.cameras import FOCAL, look_at, project
from warpgan.data.images import decode_image
from warpgan.data.portraits.portrait import Portrait
from warpgan.data.portraits.splits import person_seed, write_aside
from warpgan.perception.face_detection import DetectedFace, FaceDetector
from warpgan.perception.pose_net import angle_between, view_direction
from warpgan.pictures import contact_sheet, write_png
from warpgan.preparation.camera import PoseEstimate
from warpgan.preparation.face_reader import FRAMINGS, FaceReader, PreparedFace, UnusableFace

CANVAS = 400
CROP = 512
YAW, PITCH, ROLL = 60.0, 20.0, 30.0
FACE_SHARE = 0.58
"""Width of a face as share of a crop's side."""
FACE_PX = (90.0, 160.0)
PICTURED = 24


@dataclass(frozen=True)
class Scene:
    """How a person is seen on its canvas; angles in degrees, ``camera`` a label [25]."""

    portrait: Portrait
    yaw: float
    pitch: float
    roll: float
    face_px: float
    camera: Tensor

    def landmarks(self) -> Tensor:
        """[5, 3] in the world."""
        return torch.from_numpy(self.portrait.landmarks())

    def in_photo(self) -> np.ndarray:
        """[5, 2] pixel indices of the canvas."""
        return project(self.landmarks(), self.camera, size=CANVAS).numpy() - 0.5


def scene_of(index: int, seed: int) -> Scene:
    """Person ``index`` and its canvas; depends on nothing else."""
    own = person_seed("celebahq", seed, index)
    rng = np.random.default_rng([own, 271828])
    yaw, pitch, roll = rng.uniform(-1, 1, 3) * (YAW, PITCH, ROLL)
    face_px = float(rng.uniform(*FACE_PX))
    zoom = face_px / FACE_SHARE / CANVAS
    room = max(0.0, 0.5 - 0.55 * zoom)
    centre = 0.5 + rng.uniform(-room, room, 2)
    camera = look_at(float(yaw), float(pitch), roll_deg=float(roll), focal=FOCAL * zoom)[0]
    camera[[18, 21]] = torch.from_numpy(centre).float()
    return Scene(Portrait.sample(own), float(yaw), float(pitch), float(roll), face_px, camera)


def photograph(scene: Scene, index: int, out: Path, detector: FaceDetector) -> list[list[float]]:
    """Draw a scene, look for its face and keep both.

    Returns:
        The detection nearest to the face: five points; or nothing.
    """
    photo = scene.portrait.render(scene.camera, size=CANVAS).image
    write_png(_photo_path(out, index), photo)
    truth = scene.in_photo()
    return [
        [face.confidence, *face.points.ravel().tolist()]
        for face in detector.detect(photo)
        if np.linalg.norm(face.points.mean(0) - truth.mean(0)) < scene.face_px / 2
    ][:1]


def measure(
    scene: Scene, photo: np.ndarray, found: list[list[float]], readers: dict[str, FaceReader]
) -> tuple[dict, PreparedFace | None]:
    """The record of a scene, and its face by the first framing if there is one."""
    record: dict = {
        "yaw": scene.yaw, "pitch": scene.pitch, "roll": scene.roll, "face_px": scene.face_px
    }  # fmt: skip
    if not found:
        return record | {"refused": "not detected"}, None
    truth = scene.in_photo()
    points = np.array(found[0][1:]).reshape(5, 2)
    face = DetectedFace((*points.min(0), *points.max(0)), found[0][0], points)
    record["detector_px"] = _rms(points - truth) * FACE_SHARE * CROP / scene.face_px
    shown = None
    for framing, reader in readers.items():
        try:
            prepared = reader.read(photo, face, size=CROP)
        except UnusableFace as error:
            return record | {"refused": error.kind}, None
        record[framing] = _errors(scene, prepared, truth)
        shown = shown or prepared
    return record, shown


def _errors(scene: Scene, prepared: PreparedFace, truth: np.ndarray) -> dict:
    roll = scene.roll - prepared.turned_deg
    true_label = look_at(scene.yaw, scene.pitch, roll_deg=roll)[0]
    in_crop = truth @ prepared.to_crop[:, :2].T + prepared.to_crop[:, 2]
    estimates = dict(prepared.estimates)
    estimates["true pose"] = PoseEstimate(true_label, scene.yaw, scene.pitch, roll, None)
    errors = {}
    for name, estimate in estimates.items():
        seen = project(scene.landmarks(), estimate.camera, size=CROP).numpy()
        off = angle_between(view_direction(estimate.camera), view_direction(true_label)).item()
        errors[name] = {
            "yaw": estimate.yaw - scene.yaw,
            "pitch": estimate.pitch - scene.pitch,
            "roll": (estimate.roll - roll + 180) % 360 - 180,
            "direction": off,
            "landmarks": _rms(seen - in_crop),
            "fit_px": estimate.error_px,
        }
    return {
        "errors": errors,
        "turned_deg": prepared.turned_deg,
        "confidence": prepared.confidence,
        "agreement_deg": prepared.agreement_deg,
        "outside": prepared.outside,
    }


def _rms(offset: np.ndarray) -> float:
    return float(np.sqrt((offset**2).sum(-1).mean()))


def drawn(prepared: PreparedFace, scene: Scene) -> np.ndarray:
    """The crop: mesh in white, true landmarks green, where the label has them red."""
    picture = Image.fromarray(prepared.crop)
    draw = ImageDraw.Draw(picture)
    truth = scene.in_photo() @ prepared.to_crop[:, :2].T + prepared.to_crop[:, 2]
    seen = project(scene.landmarks(), prepared.camera, size=CROP).numpy()
    mesh = [] if prepared.mesh is None else prepared.mesh
    for points, colour, radius in ((mesh, "white", 1), (truth, "lime", 5), (seen, "red", 4)):
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2)
    return np.asarray(picture)


def _photo_path(out: Path, index: int) -> Path:
    return out / "photos" / f"{index:05d}.png"


def _read_lines(path: Path, seed: int) -> dict[int, dict]:
    """Whole lines of a JSON lines file by index.

    Raises:
        ValueError: They are of another seed.
    """
    if not path.is_file():
        return {}
    whole = [line for line in path.read_text().splitlines() if line.endswith("}")]
    records = {record["index"]: record for record in map(json.loads, whole)}
    if any(record["seed"] != seed for record in records.values()):
        raise ValueError(f"{path} holds faces of another seed; choose another folder")
    return records


def _append(path: Path, record: dict) -> None:
    with path.open("a") as stream:
        # the newline first: a line that a kill broke off stays apart
        stream.write("\n" + json.dumps(record))


def run(out: Path, people: int, seed: int, *, only_photos: bool = False) -> dict:
    """Draw, detect and measure what is missing, then write tables and pictures."""
    out.mkdir(parents=True, exist_ok=True)
    detections = _read_lines(out / "detections.jsonl", seed)
    records = _read_lines(out / "faces.jsonl", seed)
    detector = FaceDetector()
    for index in tqdm(range(people), desc="photos", unit="photo"):
        if index not in detections:
            found = photograph(scene_of(index, seed), index, out, detector)
            detections[index] = {"index": index, "seed": seed, "found": found}
            _append(out / "detections.jsonl", detections[index])
    if only_photos:
        return {}
    readers = {framing: FaceReader(framing=framing) for framing in FRAMINGS}
    pictures = []
    for index in tqdm(range(people), desc="faces", unit="face"):
        if index in records and index >= PICTURED:
            continue
        scene = scene_of(index, seed)
        photo = decode_image(_photo_path(out, index).read_bytes(), f"photo {index}")
        some = readers if index % 5 == 0 else {"eg3d": readers["eg3d"]}
        record, prepared = measure(scene, photo, detections[index]["found"], some)
        if prepared is not None and index < PICTURED:
            pictures.append(drawn(prepared, scene))
        if index not in records:
            records[index] = {"index": index, "seed": seed} | record
            _append(out / "faces.jsonl", records[index])
    result = summary([records[index] for index in range(people)])
    result = {"people": people, "seed": seed, "canvas": CANVAS} | result
    write_aside(out / "pose.json", (json.dumps(result, indent=1) + "\n").encode())
    write_aside(out / "pose.md", as_markdown(result).encode())
    if pictures:
        rows = [pictures[start : start + 6] for start in range(0, len(pictures), 6)]
        title = "white: mesh; green: true landmarks; red: where the estimated camera has them"
        write_png(out / "faces.png", contact_sheet(rows, cell=256, title=title))
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--seed", type=int, default=5005)
    parser.add_argument("--only-photos", action="store_true", help="draw and detect, no more")
    options = parser.parse_args(arguments)
    with cli.plain_errors():
        if options.people < 1:
            raise ValueError(f"--people {options.people} must be at least 1")
        only_photos = options.only_photos
        result = run(options.out, options.people, options.seed, only_photos=only_photos)
        if result:
            print(as_markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
