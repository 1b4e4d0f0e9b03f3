"""Edits of lifted faces: ``python -m warpgan.edit LIFTED OUT --direction glasses``.

    python -m warpgan.edit out edited --direction glasses age --strengths -2 0 2
    python -m warpgan.edit out/me/lifted.safetensors edited --direction age.npy --strength 0.8

LIFTED is a file, a photo's folder or a whole folder that python -m warpgan.lift wrote. A direction
is a shipped one, one of python -m warpgan.find_directions, or any .npy file of [num_ws, w_dim]
numbers. Each is added alone to the photo's latent, times each strength, and rendered by the photo's
own generator. Of every face and direction, in OUT/NAME/DIRECTION: the views, a sheet of them, and
an orbit of every strength but 0. The same command continues where it was interrupted. Exit codes:
0 done, 2 a mistake in the command or data.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from warpgan import cli
from warpgan.devices import choose_device
from warpgan.lifting import LiftedFace, load_lifted
from warpgan.lifting.directions import Direction, find_direction
from warpgan.lifting.lifted_face import weights_hash
from warpgan.lifting.outputs import LIFTED_FILE, orbit_frames, rendered
from warpgan.pictures import contact_sheet, images_of, to_uint8, write_png
from warpgan.synthesis.models import find_generator
from warpgan.synthesis.outputs import RECORD, finished, write_record
from warpgan.synthesis.plan import ViewPlan
from warpgan.synthesis.words import add_run_words, add_view_words, view_plan
from warpgan.video import write_mp4
from warpgan.weights import sha256_of

FORMAT_VERSION = 1
LARGEST_STRENGTH = 100.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    with cli.plain_errors():
        edit_faces(options)
    return 0


def edit_faces(options: argparse.Namespace) -> None:
    """Do what the command line asked for.

    Args:
        options: of `build_parser`.

    Raises:
        FileNotFoundError: if a file is absent.
        ValueError: for any other mistake of the user.
    """
    for strength in options.strengths:
        if not abs(strength) <= LARGEST_STRENGTH:
            raise ValueError(f"--strength {strength:g} must be within +-{LARGEST_STRENGTH:g}")
    files = find_lifted(options.lifted)
    generator = find_generator(options.generator).to(choose_device(options.device))
    original = weights_hash(generator)
    sizes = {"num_ws": generator.num_ws, "w_dim": generator.w_dim}
    directions = [
        find_direction(word, **sizes, generator=original)
        for word in dict.fromkeys(options.direction)
    ]
    names = [direction.name for direction in directions]
    if len(set(names)) < len(names):
        raise ValueError(f"--direction: two are called the same: {', '.join(names)}")
    plan = view_plan(options, method="inversion").for_images(generator.img_resolution)
    for place, (name, path) in enumerate(files.items()):
        face = None
        for direction in directions:
            folder = options.out / name / direction.name
            said = f"[{place + 1}/{len(files)}] {name}, {direction.name}: "
            record = _record(path, direction, plan, options)
            if not options.overwrite and finished(folder, record):
                print(f"{said}done before", flush=True)
                continue
            (folder / RECORD).unlink(missing_ok=True)
            face = face or load_lifted(path, generator)
            began = time.perf_counter()
            write_edit(face, direction, folder, plan, strengths=options.strengths)
            write_record(folder, record)
            print(f"{said}{time.perf_counter() - began:.1f} s -> {folder}", flush=True)


def write_edit(
    face: LiftedFace,
    direction: Direction,
    folder: Path,
    plan: ViewPlan,
    *,
    strengths: Sequence[float],
) -> None:
    """Write a direction's views, sheet and orbits.

    Args:
        face: lifted.
        direction: added to its latent.
        folder: where to.
        plan: which views.
        strengths: factors of the direction.
    """
    cameras = plan.grid_cameras(face.camera[0])
    original = rendered(face, face.camera)[0]
    rows = []
    for strength in strengths:
        edit = strength * direction.delta.to(face.ws)
        images = images_of(rendered(face, cameras, edit=edit))
        for view, image in zip(plan.views, images, strict=True):
            write_png(folder / f"strength{strength + 0.0:+g}" / f"{view}.png", image)
        rows.append(images)
        if plan.orbit_frames and strength:
            frames = orbit_frames(face, plan, beside=original, edit=edit)
            write_mp4(folder / f"orbit{strength:+g}.mp4", frames, fps=plan.fps)
    sheet = contact_sheet(
        [[to_uint8(original) if not place else None, *row] for place, row in enumerate(rows)],
        row_captions=[f"{direction.name} {strength + 0.0:+g}" for strength in strengths],
        column_captions=["lifted", *map(plan.caption, plan.views)],
    )
    write_png(folder / "sheet.png", sheet)


def find_lifted(place: Path) -> dict[str, Path]:
    """Lifted faces by name: a file, a photo's folder, or a folder of such.

    Raises:
        FileNotFoundError: if there is none.
    """
    if place.is_file():
        return {place.parent.resolve().name: place}
    if (place / LIFTED_FILE).is_file():
        return {place.resolve().name: place / LIFTED_FILE}
    found = {
        path.parent.relative_to(place).as_posix(): path
        for path in sorted(place.rglob(LIFTED_FILE))
        if (path.parent / RECORD).is_file()
    }
    if not found:
        raise FileNotFoundError(
            f"{place}: no lifted face there; give what python -m warpgan.lift wrote: a "
            f"{LIFTED_FILE}, its folder, or the folder of all"
        )
    return found


def _record(
    path: Path, direction: Direction, plan: ViewPlan, options: argparse.Namespace
) -> dict[str, Any]:
    settings = asdict(plan)
    del settings["sheet_yaws"], settings["method"]
    delta = direction.delta.numpy().tobytes()
    record = {
        "format_version": FORMAT_VERSION,
        "lifted_sha256": [sha256_of(path), sha256_of(path.with_suffix(".json"))],
        "direction": direction.name,
        "direction_sha256": hashlib.sha256(delta).hexdigest(),
        "strengths": list(options.strengths),
        "plan": settings,
    }
    return json.loads(json.dumps(record))


def build_parser() -> argparse.ArgumentParser:
    """The words that the command understands."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.edit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("lifted", type=Path, help="file or folder that warpgan.lift wrote")
    add("out", type=Path, help="folder to write")
    add("--direction", nargs="+", required=True, metavar="NAME", help="shipped name or .npy file")
    add(
        "--strengths",
        "--strength",
        type=float,
        nargs="+",
        default=[0.8],
        help="factors; 1 moves the attribute by one standard deviation (default: the paper's 0.8)",
    )
    add("--generator", default="eg3d_mini", help="that the faces were lifted from")
    add_view_words(parser, yaws=(-30.0, 0.0, 30.0))
    add_run_words(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
