#!/usr/bin/env python
"""Does ``python -m warpgan.prepare`` survive a folder as people have them?

    python scripts/measure_prepare.py /tmp/prepare_200

Writes 200 pictures: held-out portraits on wide canvases, turned, shifted, of several sizes and
formats, and 30 that give no crop (no face, blank, cut off, tiny, from the side or behind, text
named .jpg, no bytes, a PNG that claims 60000 x 60000 pixels). Then: prepares them and kills that
run on the way, goes on, runs again, deletes three crops and runs again. Every step is checked
against what was written; prints a table and writes measure.json. Exit code 1 if a check fails.
"""

import argparse
import io
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from warpgan.cameras import FOCAL, look_at
from warpgan.data.folder import ImageFolder
from warpgan.data.portraits.portrait import Portrait
from warpgan.data.portraits.splits import person_seed, write_aside

SEED = 5077
UNUSABLE = {
    "nobody": 4, "blank": 3, "cut": 4, "tiny": 4, "behind": 4, "side": 3, "text": 3, "empty": 3,
    "bomb": 2,
}  # fmt: skip
KINDS = {
    "nobody": {"no face"},
    "blank": {"no face"},
    "cut": {"damaged"},
    "tiny": {"no face", "too small"},
    "behind": {"no face", "profile beyond range", "five points make no face"},
    "side": {"no face", "profile beyond range", "five points make no face", "pose not certain"},
    "text": {"no picture"},
    "empty": {"empty file"},
    "bomb": {"too large"},
}
"""What each may be refused as."""
FORMATS = ("png", "jpg", "webp", "bmp", "tiff", "gif")
PERSON_FOLDERS = 10


@dataclass(frozen=True)
class Outcome:
    """A run of the command.

    Attributes:
        seconds: wall time.
        cpu_seconds: of all threads.
        code: exit code.
        last: last line printed.
    """

    seconds: float
    cpu_seconds: float
    code: int
    last: str


def render(index: int, rng: np.random.Generator, *, yaw: float, face: float) -> np.ndarray:
    """A person somewhere on a canvas; ``face`` is the share of its side that EG3D's crop takes."""
    portrait = Portrait.sample(person_seed("celebahq", SEED, index))
    label = look_at(
        yaw, float(rng.uniform(-12, 12)), roll_deg=float(rng.uniform(-20, 20)), focal=FOCAL * face
    )[0]
    label[[18, 21]] += (rng.uniform(-0.15, 0.15, 2) * (1 - face)).astype(np.float32)
    return portrait.render(label, size=int(rng.integers(288, 448))).image


def write_usable(folder: Path, index: int) -> str:
    """Write a usable picture; returns its name."""
    rng = np.random.default_rng([SEED, index])
    image = Image.fromarray(
        render(index, rng, yaw=float(rng.uniform(-45, 45)), face=float(rng.uniform(0.5, 0.85)))
    )
    suffix = FORMATS[index % len(FORMATS)]
    name = f"person_{index % PERSON_FOLDERS}/photo {index:03d}.{suffix}"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": 92} if suffix in ("jpg", "webp") else {}
    if suffix == "jpg":
        # Phones store the picture lying and say so.
        exif = Image.Exif()
        exif[0x0112] = 6
        image, options["exif"] = image.transpose(Image.Transpose.ROTATE_90), exif
    image.save(path, **options)
    return name


def unusable_bytes(kind: str, index: int) -> bytes:
    """The bytes of an unusable file."""
    rng = np.random.default_rng([SEED, 7, index])
    if kind == "text":
        return b"This is no photo, whatever it is called.\n" * 20
    if kind == "empty":
        return b""
    if kind == "blank":
        return png(np.full((300, 400, 3), index * 60 % 256, np.uint8))
    if kind == "nobody":
        small = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8))
        return png(np.asarray(small.resize((400, 300), Image.Resampling.BICUBIC)))
    if kind == "bomb":
        content = bytearray(png(np.zeros((1, 1, 3), np.uint8)))
        content[16:24] = struct.pack(">II", 60_000, 60_000)
        content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
        return bytes(content)
    yaw = {"behind": 180.0, "side": float(rng.choice([-105, 105]))}.get(kind, 0.0)
    image = render(900 + index, rng, yaw=yaw, face=0.045 if kind == "tiny" else 0.7)
    content = png(image)
    return content[: len(content) * 2 // 3] if kind == "cut" else content


def write_pictures(folder: Path, count: int) -> dict[str, str]:
    """Write what is not there yet; name to kind, "usable" or one of `UNUSABLE`."""
    truth: dict[str, str] = {}
    unusable = [kind for kind, number in UNUSABLE.items() for _ in range(number)]
    for index in tqdm(range(count - len(unusable)), desc="portraits", unit="picture"):
        suffix = FORMATS[index % len(FORMATS)]
        name = f"person_{index % PERSON_FOLDERS}/photo {index:03d}.{suffix}"
        if not (folder / name).is_file():
            write_usable(folder, index)
        truth[name] = "usable"
    for index, kind in enumerate(unusable):
        name = f"{kind}_{index:02d}.{'jpg' if kind == 'text' else 'png'}"
        if not (folder / name).is_file():
            write_aside(folder / name, unusable_bytes(kind, index))
        truth[name] = kind
    return truth


def run(photos: Path, out: Path, *, kill_after: int | None = None) -> Outcome:
    """Run the command; with ``kill_after`` kill it once so many photos are done."""
    command = [sys.executable, "-m", "warpgan.prepare", str(photos), str(out)]
    began, used = time.perf_counter(), children_seconds()
    log = out.with_suffix(".log")
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(0.05)
            done = len(list((out / ".prepare").glob("*.json"))) if kill_after else 0
            if kill_after and done >= kill_after:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    return Outcome(
        round(time.perf_counter() - began, 2),
        round(children_seconds() - used, 2),
        process.returncode,
        lines[-1] if lines else "",
    )


def children_seconds() -> float:
    """CPU seconds of finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def times(out: Path) -> dict[str, int]:
    """When each crop was written."""
    return {
        path.relative_to(out).as_posix(): path.stat().st_mtime_ns
        for path in sorted(out.rglob("*.png"))
        if ".prepare" not in path.parts
    }


def compare(out: Path, truth: dict[str, str]) -> dict:
    """What the report says against what was written."""
    photos = json.loads((out / "prepare.json").read_bytes())["photos"]
    found = {photo["photo"]: photo for photo in photos}
    missed, wrong = [], []
    for name, kind in truth.items():
        kinds = {refusal["kind"] for refusal in found[name]["refused"]}
        if kind == "usable" and kinds:
            missed.append([name, *kinds])
        elif kind != "usable" and not (kinds and kinds <= KINDS[kind]):
            wrong.append([name, kind, *(kinds or {"taken as usable"})])
    usable = sum(kind == "usable" for kind in truth.values())
    return {
        "photos_listed": len(found),
        "usable": usable,
        "usable_refused": missed,
        "unusable_not_refused_as_expected": wrong,
        "low_confidence": sum(
            face["confidence"] < 0.5 for photo in photos for face in photo["faces"]
        ),
    }


def png(image: np.ndarray) -> bytes:
    """The bytes of a PNG."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="to work in")
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    photos, out = options.folder / "photos", options.folder / "prepared"
    truth = write_pictures(photos, options.count)
    killed = run(photos, out, kill_after=options.count // 4)
    rest = run(photos, out)
    before = times(out)
    again = run(photos, out)
    unchanged = times(out) == before
    deleted = list(before)[:: max(1, len(before) // 3)][:3]
    for name in deleted:
        (out / name).unlink()
    mended = run(photos, out)
    after = times(out)
    changed = sorted(name for name in before if after.get(name) != before[name])
    found = compare(out, truth)
    done = options.count - options.count // 4
    result = {
        "killed": vars(killed),
        "went_on": vars(rest),
        "nothing_to_do": vars(again),
        "three_deleted": vars(mended),
        "seconds_a_photo": round((rest.seconds - again.seconds) / done, 3),
        "cpu_seconds_a_photo": round((rest.cpu_seconds - again.cpu_seconds) / done, 3),
        "second_run_changed_nothing": unchanged,
        "deleted": deleted,
        "made_again": changed,
        "images_that_load": len(ImageFolder(out, size=512)),
        **found,
    }
    write_aside(options.folder / "measure.json", (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))
    checks = {
        "all photos are listed": found["photos_listed"] == options.count,
        "every unusable one was refused as what it is": not found[
            "unusable_not_refused_as_expected"
        ],
        "the killed run was continued": rest.code == 0 and " 0 done before" not in rest.last,
        "nothing was done twice": unchanged,
        "only the deleted crops were made again": changed == sorted(deleted),
        "the folder loads": result["images_that_load"] == len(after),
    }
    for name, holds in checks.items():
        print(f"{'yes' if holds else 'NO '}  {name}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
