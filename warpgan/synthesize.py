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
from pathlib import Path

import numpy as np
import torch

from warpgan import cli
from warpgan.camera_refinement import RefinementOptions
from warpgan.pictures import write_png
from warpgan.pipeline import METHODS
from warpgan.synthesis.models import load_models, random_models
from warpgan.synthesis.outputs import sheet_of
from warpgan.synthesis.people import PEOPLE, find_subjects
from warpgan.synthesis.photos import find_photos
from warpgan.synthesis.plan import ViewPlan
from warpgan.synthesis.run import Settings, write_all

SMALLEST_VIDEO = 256


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
    device = _device(options.device)
    for flag, value in (("--count", options.count), ("--chunk", options.chunk)):
        if value is not None and value < 1:
            raise ValueError(f"{flag} {value} must be at least 1")
    plan = _plan(options, zoom=1)
    RefinementOptions(steps=options.refine_camera)
    if options.random_weights:
        models = random_models(options.random_weights, geometry=options.geometry, device=device)
    else:
        models = load_models(
            method=options.method,
            encoder=options.encoder,
            svinet=options.svinet,
            generator=options.generator,
            geometry=options.geometry,
            device=device,
        )
    size = models.pipeline.generator.img_resolution
    plan = _plan(options, zoom=max(1, SMALLEST_VIDEO // size))
    photos = find_photos(
        options.photos,
        size=size,
        label=options.label,
        labels=options.labels,
        count=options.count,
        upscale=options.upscale,
        skip_invalid=options.skip_invalid,
        cache=options.cache,
    )
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
    count = len(folders)
    shown = np.unique(np.linspace(0, count - 1, min(count, options.sheet_rows)).astype(int))
    if plan.sheet_yaws and len(shown):
        names = list(folders)
        sheet = sheet_of({names[i]: folders[names[i]] for i in shown}, plan)
        print(f"sheet: {write_png(options.out / 'sheet.png', sheet)}")
    print(f"peak memory {_peak_memory(device):.2f} GiB")


def _plan(options: argparse.Namespace, *, zoom: int) -> ViewPlan:
    sheet = options.sheet_yaw
    if sheet is None:
        sheet = sorted({min(options.yaw), max(options.yaw)})
    return ViewPlan(
        method=options.method,
        yaws=tuple(options.yaw),
        pitches=tuple(options.pitch),
        sheet_yaws=tuple(sheet),
        orbit_frames=options.orbit,
        orbit_yaw=options.orbit_yaw,
        orbit_pitch=options.orbit_pitch,
        fps=options.fps,
        zoom=zoom,
    )


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda, but torch sees no CUDA device; use auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


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
    add("photos", help="image, folder or zip with dataset.json, or the word portraits")
    add("out", type=Path, help="folder to write")
    add("--method", choices=METHODS, default="warpgan")
    add("--yaw", type=float, nargs="+", default=[-30.0, -15.0, 0.0, 15.0, 30.0], help="degrees")
    add("--pitch", type=float, nargs="+", default=[0.0], help="degrees, > 0 is above")
    add("--orbit", type=int, default=30, help="frames of the video; 0 for none")
    add("--orbit-yaw", type=float, default=25.0, help="largest yaw of the orbit, degrees")
    add("--orbit-pitch", type=float, default=8.0, help="largest pitch of the orbit, degrees")
    add("--fps", type=float, default=12.5, help="frames a second")
    add("--sheet-yaw", type=float, nargs="*", help="yaws on the sheet (default: the outermost)")
    add("--sheet-rows", type=int, default=16, help="photos on the sheet, spread over all")
    add("--label", type=Path, help="JSON with the camera of one image: 25 numbers or a label file")
    add("--labels", help="label file of a folder or zip instead of dataset.json")
    add("--count", type=int, help="only the first so many photos, or people")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--same-person", action="store_true", help="all photos show one person")
    who.add_argument("--people", choices=PEOPLE, help="folders: each sub-folder shows one person")
    add("--keep-colours", action="store_true", help="don't match several photos' exposure and tint")
    add("--upscale", action="store_true", help="accept photos smaller than the generator's")
    add("--skip-invalid", action="store_true", help="leave out what is wrong in a folder")
    add("--encoder", help="table name, run folder or file (default: SVINet's, else encoder_mini)")
    add("--svinet", help="table name, run folder or file (default: svinet_mini)")
    add("--generator", help="choice of configs/generator or file (default: the encoder's)")
    add(
        "--geometry",
        nargs="+",
        metavar="WORD",
        help="choice of configs/geometry, then key=value (default: as SVINet was trained)",
    )
    add(
        "--refine-camera",
        type=int,
        default=0,
        metavar="N",
        help="correct each photo's camera in at most N steps before its views; 20 suffice",
    )
    add("--random-weights", metavar="SCALE", help="full or tiny: a dry run without weights")
    add("--chunk", type=int, help="views at once; changes memory, not results")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--cache", type=Path, default=Path("cache"), help="where portraits are kept")
    add("--overwrite", action="store_true", help="make finished photos anew")
    return parser


if __name__ == "__main__":
    sys.exit(main())
