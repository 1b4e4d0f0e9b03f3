"""A tree as MEAD's, of tiny videos in which frame k is grey level 20 k, with every defect."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np

from warpgan.cameras import CANONICAL_POINTS, look_at, project
from warpgan.data.mead.__main__ import main
from warpgan.data.mead.layout import CAMERAS
from warpgan.video import write_mp4
from warpgan.weights import sha256_of

SIZE = 64
FRAMES = {"front": 11, "left_30": 11, "left_60": 13, "right_30": 12, "right_60": 11}
MIDDLE = 5
YAWS = {"front": 0.0, "left_30": 30.0, "left_60": 60.0, "right_30": -30.0, "right_60": -60.0}
GOOD = ("M003", "W009")
FULL = sorted(f"{person}/{camera}.png" for person in GOOD for camera in CAMERAS)


def write_clip(path: Path, frames: int) -> None:
    levels = (np.full((SIZE, SIZE, 3), 20 * k % 256, np.uint8) for k in range(frames))
    write_mp4(path, list(levels), fps=30)


def clip_path(data: Path, person: str, camera: str, *, emotion="neutral", clip="001") -> Path:
    return data / person / "video" / camera / emotion / "level_1" / f"{clip}.mp4"


def write_good_people(data: Path, people=GOOD) -> None:
    for camera, frames in FRAMES.items():
        first = clip_path(data, people[0], camera)
        write_clip(first, frames)
        for person in people[1:]:
            copy_clip(first, clip_path(data, person, camera))


def copy_clip(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def write_defects(data: Path) -> None:
    """People with one defect each, and what is not asked for; `write_good_people` comes first."""
    for person in ("M011", "M019", "M020", "M021", "M022", "M023", "M024"):
        shutil.copytree(data / GOOD[0], data / person)
    shutil.rmtree(data / "M011" / "video" / "right_60")
    write_clip(clip_path(data, "M019", "left_30"), 4)
    clip_path(data, "M020", "right_30").write_bytes(b"no video at all" * 50)
    neutral = data / "M021" / "video" / "front" / "neutral"
    neutral.rename(neutral.with_name("angry"))
    write_clip(clip_path(data, "M022", "left_60"), 30)
    level = clip_path(data, "M023", "front").parent
    level.rename(level.with_name("level_3"))
    one = clip_path(data, "M024", "front")
    one.rename(one.with_name("030.mp4"))
    copy_clip(clip_path(data, GOOD[0], "front"), clip_path(data, "W017", "down"))
    for camera, clip in (("top", "001"), ("down", "001"), ("front", "002")):
        front = clip_path(data, GOOD[0], "front")
        copy_clip(front, clip_path(data, GOOD[0], camera, clip=clip))
    (data / "README.txt").write_text("as downloaded")
    (data / GOOD[0] / "audio" / "neutral" / "level_1").mkdir(parents=True)
    (data / GOOD[0] / "audio" / "neutral" / "level_1" / "001.m4a").write_bytes(b"sound")
    (data / GOOD[0] / "video" / "._front").write_bytes(b"left by an archive")
    (data / GOOD[0] / "video" / "front" / "notes.csv").write_text("x")


def points_of(camera: str, yaw: float | None = None) -> list[list[float]]:
    """Five points in a frame of a mean face that the whole frame shows as a crop would."""
    label = look_at(YAWS[camera] if yaw is None else yaw, 0.0)
    return (project(CANONICAL_POINTS, label, size=SIZE)[0] - 0.5).tolist()


def write_points(path: Path, people=GOOD, **changes) -> Path:
    """A landmark file; ``changes`` by ID__CAMERA replace entries, `...` removes them."""
    entries = {f"{person}/{camera}": points_of(camera) for person in people for camera in CAMERAS}
    for name, value in changes.items():
        entries[name.replace("__", "/")] = value
    kept = {name: value for name, value in entries.items() if value is not ...}
    path.write_text(json.dumps(kept))
    return path


def write_asked(path: Path, people=GOOD) -> Path:
    """The published choice as a manifest, clips numbered as spreadsheets leave them."""
    lines = [f"{p},{camera},neutral,level_1,1,middle\n" for p in people for camera in CAMERAS]
    path.write_text("id,camera,emotion,level,clip,frame\n" + "".join(lines))
    return path


def run(*arguments, code: int = 0) -> None:
    assert main([str(argument) for argument in arguments]) == code


def report_of(out: Path) -> dict:
    return json.loads((out / "report.json").read_text())


def defects_of(out: Path) -> dict[tuple[str, str], str]:
    found = report_of(out)["defects"]
    return {(fault["kind"], fault["name"]): fault["detail"] for fault in found}


def notices_of(out: Path) -> set[tuple[str, str]]:
    return {(fault["kind"], fault["name"]) for fault in report_of(out)["notices"]}


def manifest_of(out: Path) -> list[dict]:
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, str]:
    """Hashes of all files by relative path."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {str(path.relative_to(out)): sha256_of(path) for path in files}


def times(out: Path, names=FULL) -> dict[str, int]:
    return {name: (out / name).stat().st_mtime_ns for name in names}
