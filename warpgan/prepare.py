"""Photos to aligned crops with cameras: ``python -m warpgan.prepare PHOTOS... OUT``.

    python -m warpgan.prepare me.jpg faces       then: python -m warpgan.synthesize faces out
    python -m warpgan.prepare holiday/ faces --faces all --mirror
    python -m warpgan.prepare ann/ bob/ people   a folder a person stays one
    python -m warpgan.prepare photos faces --cameras cameras.json
    python -m warpgan.prepare ffhq|lpff|celebahq|mead SOURCE OUT   a public data set; --help

PHOTOS are files, folders or zips of any common format. The faces of each are found, turned upright
and cut out as EG3D does, and their cameras estimated. OUT becomes an image folder with
dataset.json, as train, evaluate and synthesize read it; OUT/report.html shows every photo, crop and
camera, what is doubtful, and what was refused and why. The same command goes on where it was
interrupted and does only what is missing. Exit codes: 0 done; 2 a mistake in the command or files,
or no usable photo.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from warpgan import cli
from warpgan.crop import CROP_SIZE
from warpgan.devices import DEVICES, choose_device
from warpgan.preparation.alignment import BORDERS
from warpgan.preparation.datasets.command import DATASETS, run_dataset
from warpgan.preparation.face_reader import FaceReader
from warpgan.preparation.given_cameras import given_cameras
from warpgan.preparation.outputs import REPORT_NAME
from warpgan.preparation.photos import find_photos
from warpgan.preparation.run import Work, prepare
from warpgan.preparation.settings import ALL, LARGEST, PrepareSettings, nets_key
from warpgan.preparation.summary import Summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with cli.plain_errors():
        try:
            if words and words[0] in DATASETS:
                made = run_dataset(words[0], words[1:], lambda device: FaceReader(device=device))
                return made if isinstance(made, int) else report_outcome(*made)
            return prepare_photos(build_parser().parse_args(words), words)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{error.filename or 'a file'}: {error.strerror}") from error


def prepare_photos(options: argparse.Namespace, words: Sequence[str]) -> int:
    """Do what the command line asked for; returns the exit code.

    Raises:
        FileNotFoundError: if a file is absent.
        ValueError: for any other mistake of the user.
    """
    *places, out = options.paths
    if not places:
        raise ValueError(f"{out}: expected PHOTOS... and OUT, the folder to write")
    cameras = given_cameras(options.cameras, options.deep3d)
    if cameras is not None and options.roll_align:
        raise ValueError(
            "--roll-align turns the photo, and cameras from a file are of the photo as it is; "
            "leave one of them out"
        )
    if cameras is not None and options.faces != LARGEST:
        raise ValueError(
            f"cameras from a file are of the largest face; leave --faces out or give {LARGEST}"
        )
    settings = PrepareSettings(
        size=options.size,
        faces=options.faces,
        mirror=options.mirror,
        roll_align=cameras is None if options.roll_align is None else options.roll_align,
        border=options.border,
        min_confidence=options.min_confidence,
        pad=options.pad,
    )
    device = choose_device(options.device)
    found = find_photos(places, out=out)
    command = shlex.join(["python", "-m", "warpgan.prepare", *words])
    work = Work(found.photos, found.others, settings, cameras, command, nets_key())
    summary = prepare(work, out, lambda: FaceReader(device=device))
    return report_outcome(out, summary)


def report_outcome(out: Path, summary: Summary) -> int:
    """Print what came of it; returns the exit code."""
    report = out / REPORT_NAME
    if summary.gone:
        print(f"{len(summary.gone)} photos are gone; their crops left dataset.json")
    if summary.outdated:
        print(f"{summary.outdated} photos of earlier runs have other settings and stay as they are")
    if not summary.faces:
        print(f"error: no usable face; {report} says why of each photo", file=sys.stderr)
        print(summary.line())
        return cli.EXIT_USER_ERROR
    if summary.low:
        print(f"{summary.low} cameras are doubtful; they come first in the report")
    print(f"report: {report}")
    print(f"next: python -m warpgan.synthesize {shlex.quote(str(out))} OUT")
    print(summary.line())
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line for photos."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PHOTOS... OUT",
        help="files, folders or zips; the last is the folder to write",
    )  # fmt: skip
    parser.add_argument(
        "--faces", default=LARGEST, metavar=f"{ALL}|{LARGEST}|N",
        help="which faces of a photo; N counts from 1 by size (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=int, default=CROP_SIZE, help="side of the crops (default: %(default)s px)"
    )
    parser.add_argument("--mirror", action="store_true", help="also write NAME_mirror.png")
    parser.add_argument(
        "--roll-align", action=argparse.BooleanOptionalAction,
        help="turn faces upright first (default: yes, unless cameras are given)",
    )  # fmt: skip
    parser.add_argument(
        "--border", choices=BORDERS, default=BORDERS[0],
        help="what is shown beyond the photo's edge (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--min-confidence", type=float, default=0.0, metavar="0..1",
        help="refuse cameras that are less certain (default: keep and flag them)",
    )  # fmt: skip
    parser.add_argument(
        "--pad", type=int, default=0, metavar="PIXELS",
        help="continue each photo by reflection first, for tight crops such as CelebA-HQ's (250)",
    )  # fmt: skip
    given = parser.add_mutually_exclusive_group()
    given.add_argument(
        "--cameras", type=Path, metavar="JSON",
        help="EG3D's cameras.json or dataset.json: cameras by photo name, instead of estimates",
    )  # fmt: skip
    given.add_argument(
        "--deep3d", type=Path, metavar="DIR",
        help="Deep3DFaceRecon's NAME.mat of each photo, instead of estimates",
    )  # fmt: skip
    parser.add_argument("--device", choices=DEVICES, default="auto")
    return parser


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    sys.exit(main())
