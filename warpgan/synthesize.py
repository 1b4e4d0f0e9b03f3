"""Novel views of photos: ``python -m warpgan.synthesize PHOTOS OUT``.

    python -m warpgan.synthesize portraits out              held-out portraits, no files needed
    python -m warpgan.synthesize me.png out --yaw -30 0 30  dataset.json beside it, or --label
    python -m warpgan.synthesize faces.zip out --svinet runs/my_run
    python -m warpgan.synthesize faces out --method inversion --orbit 0
    python -m warpgan.synthesize portraits out --count 1 --random-weights full --yaw 20 --orbit 0
    python -m warpgan.synthesize me.png out --refine-camera 20  correct an estimated camera first
    python -m warpgan.synthesize me out --same-person       all photos in me/ show one person
    python -m warpgan.synthesize team out --people folders  team/ANN/1.png, team/ANN/2.png, ...

Of every photo, in OUT/NAME: the views of all --yaw x --pitch with each stage on the way to them,
depth, holes, a grid of all that, a point cloud, and an orbit as MP4 and GIF. OUT/sheet.png shows
all photos. Of several photos of one person, one such folder: every photo shows what it sees best,
and the first by name decides ties and colours. The same command continues where it was interrupted.
Exit codes: 0 done, 2 a mistake in the command or data.
"""

import argparse
import resource
import sys
from collections.abc import Sequence

import torch

from warpgan import cli
from warpgan.camera_refinement import RefinementOptions
from warpgan.devices import choose_device
from warpgan.pictures import write_png
from warpgan.pipeline import METHODS
from warpgan.synthesis.models import random_models
from warpgan.synthesis.outputs import sheet_of
from warpgan.synthesis.people import PEOPLE, find_subjects
from warpgan.synthesis.run import Settings, write_all
from warpgan.synthesis.words import (
    add_model_words,
    add_photo_words,
    add_run_words,
    add_view_words,
    check_least,
    models_of,
    photos_of,
    spread,
    view_plan,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    with cli.plain_errors():
        synthesize(options)
    return 0


def synthesize(options: argparse.Namespace) -> None:
    """Do what the command line asked for.

    Args:
        options: of `build_parser`.

    Raises:
        FileNotFoundError: if a file is absent.
        ValueError: for any other mistake of the user.
    """
    device = choose_device(options.device)
    check_least(options, "count", "chunk")
    sheet_yaws = options.sheet_yaw
    if sheet_yaws is None:
        sheet_yaws = sorted({min(options.yaw), max(options.yaw)})
    plan = view_plan(options, method=options.method, sheet_yaws=sheet_yaws)
    RefinementOptions(steps=options.refine_camera)
    if options.random_weights:
        models = random_models(options.random_weights, geometry=options.geometry, device=device)
    else:
        models = models_of(options, method=options.method, device=device)
    size = models.pipeline.generator.img_resolution
    plan = plan.for_images(size)
    photos = photos_of(options, size=size)
    subjects = find_subjects(
        photos, options.photos, same_person=options.same_person, people=options.people
    )[: options.count]
    settings = Settings(
        out=options.out,
        plan=plan,
        chunk=options.chunk,
        overwrite=options.overwrite,
        match_colours=not options.keep_colours,
        random_weights=options.random_weights,
        refine_camera=options.refine_camera,
    )
    folders = write_all(subjects, photos, models=models, settings=settings)
    if plan.sheet_yaws and folders:
        sheet = sheet_of(spread(folders, options.sheet_rows), plan)
        print(f"sheet: {write_png(options.out / 'sheet.png', sheet)}")
    print(f"peak memory {_peak_memory(device):.2f} GiB")


def _peak_memory(device: torch.device) -> float:
    """Largest memory of the device, or of the process on a CPU, in GiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (2**30 if sys.platform == "darwin" else 2**20)


def build_parser() -> argparse.ArgumentParser:
    """The words that the command understands."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.synthesize",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add_photo_words(parser, counted="photos, or people")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--same-person", action="store_true", help="all photos show one person")
    who.add_argument("--people", choices=PEOPLE, help="folders: each sub-folder shows one person")
    add("--keep-colours", action="store_true", help="don't match several photos' exposure and tint")
    add("--method", choices=METHODS, default="warpgan")
    add_view_words(parser, yaws=(-30.0, -15.0, 0.0, 15.0, 30.0))
    add("--sheet-yaw", type=float, nargs="*", help="yaws on the sheet (default: the outermost)")
    add_model_words(parser)
    add(
        "--refine-camera",
        type=int,
        default=0,
        metavar="N",
        help="correct each photo's camera in at most N steps before its views; 20 suffice",
    )
    add("--random-weights", metavar="SCALE", help="full or tiny: a dry run without weights")
    add("--chunk", type=int, help="views at once; changes memory, not results")
    add_run_words(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
