"""MEAD to an image folder of five views a person, in two steps.

    python -m warpgan.data.mead DATA OUT
    python -m warpgan.data.mead DATA OUT --landmarks points.json
    python -m warpgan.evaluate evaluate.protocol=multi_view data.path=OUT

DATA is MEAD as published, ID/video/CAMERA/EMOTION/level_K/NNN.mp4, or a folder of raw frames,
ID/CAMERA.png. The first command extracts the frames to OUT/frames (neutral, level_1, clip 001,
middle frame, unless --manifest says otherwise) and writes OUT/landmarks_template.json: fill in five
points a frame by a detector of your choice. The second makes EG3D's crops and cameras of them.
OUT/report.txt lists all that is missing, odd or unused. Interrupted? The same command goes on.
Exit codes: 0 done; 2 a mistake in the command or files, or nothing usable.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from warpgan.crop import CROP_SIZE
from warpgan.data.mead.landmarks import FORMAT, ORDER
from warpgan.data.mead.prepare import (
    MANIFEST_NAME,
    TEMPLATE_NAME,
    PrepareSettings,
    is_prepared,
    prepare,
)
from warpgan.data.mead.records import frames_folder
from warpgan.data.mead.report import Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.data.mead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="MEAD, or raw frames of it")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--landmarks", type=Path, metavar="JSON", help=f"{FORMAT}: {ORDER}")
    parser.add_argument(
        "--manifest", type=Path, metavar="CSV",
        help="columns id,camera,emotion,level,clip,frame (a number from 0, or middle), such as an "
        "earlier OUT/manifest.csv, whose sha256 are checked",
    )  # fmt: skip
    parser.add_argument("--size", type=int, default=CROP_SIZE, help="side of the crops in pixels")
    parser.add_argument("--workers", type=int, default=1, help="people at once")
    parser.add_argument(
        "--allow-missing", action="store_true",
        help="keep people with front and at least one other view (default: all five)",
    )  # fmt: skip
    parser.add_argument(
        "--skip-invalid", action="store_true",
        help="list landmark entries that are not five points instead of refusing the file",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if is_prepared(options.data):
        print(
            f"{options.data} holds dataset.json: already prepared, left as it is\n"
            f"  python -m warpgan.evaluate evaluate.protocol=multi_view data.path={options.data}"
        )
        return 0
    try:
        settings = PrepareSettings(
            landmarks=options.landmarks,
            manifest=options.manifest,
            size=options.size,
            allow_missing=options.allow_missing,
            skip_invalid=options.skip_invalid,
            workers=options.workers,
        )
        report = prepare(options.data, options.out, settings)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(_summary(options.data, options.out, report))
    return 0


def _summary(data: Path, out: Path, report: Report) -> str:
    written = sum(result.written for result in report.results)
    kept = sum(result.kept for result in report.results)
    lines = [
        report.text(examples=3),
        f"{out}: {written} images written, {kept} were good already; all of the above in "
        f"report.txt and report.json, frames and their sha256 in {MANIFEST_NAME}",
    ]
    if report.size is not None:
        lines.append(f"  python -m warpgan.evaluate evaluate.protocol=multi_view data.path={out}")
        return "\n".join(lines)
    frames = frames_folder(out) if report.layout == "videos" else data
    lines.append(
        f"next: find five points of each frame in {frames} and write them as JSON {FORMAT}: "
        f"{ORDER}; null where there is no face. {out / TEMPLATE_NAME} has the keys. Then\n"
        f"  python -m warpgan.data.mead {data} {out} --landmarks points.json"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
