"""One lasting 3D state of each photo: ``python -m warpgan.lift PHOTOS OUT``.

    python -m warpgan.lift portraits out --count 2             held-out portraits, no files needed
    python -m warpgan.lift me.png out --yaw -30 0 30           dataset.json beside it, or --label
    python -m warpgan.lift faces out --export mesh pointcloud planes
    python -m warpgan.lift faces out --settings mini steps=300 parameters=generator
    python -m warpgan.lift faces out --settings paper          as published, minutes on a GPU

WarpGAN's views of a photo teach a copy of the generator, so that afterwards any view is a plain,
consistent render and latent directions edit it (python -m warpgan.edit OUT EDITED). Of every photo,
in OUT/NAME: lifted.safetensors with lifted.json, the views of all --yaw x --pitch (inversion,
WarpGAN, lifted), a grid of them, an orbit as MP4 and GIF, and what --export asks for. OUT/sheet.png
shows all photos. The same command continues where it was interrupted. Exit codes: 0 done, 2 a
mistake in the command or data.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from warpgan import cli
from warpgan.data.folder import Sample
from warpgan.devices import choose_device
from warpgan.lifting import LiftedFace, lift
from warpgan.lifting.export import EXPORTS, MESH_RESOLUTION, export
from warpgan.lifting.outputs import sheet_of, write_lifted
from warpgan.lifting.settings import LiftSettings, find_settings
from warpgan.perception import PerceptualNet, build_perceptual
from warpgan.pictures import write_png
from warpgan.progress import progress_bar
from warpgan.synthesis.models import LoadedModels
from warpgan.synthesis.outputs import RECORD, finished, write_record
from warpgan.synthesis.people import Subject, find_subjects
from warpgan.synthesis.photos import Photos
from warpgan.synthesis.plan import ViewPlan
from warpgan.synthesis.run import folder_of, named_cameras, photo_record
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
from warpgan.weights import resolve, sha256_of

FORMAT_VERSION = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    with cli.plain_errors():
        lift_photos(options)
    return 0


def lift_photos(options: argparse.Namespace) -> None:
    """Do what the command line asked for.

    Args:
        options: of `build_parser`.

    Raises:
        FileNotFoundError: if a file is absent.
        ValueError: for any other mistake of the user.
    """
    device = choose_device(options.device)
    check_least(options, "count")
    settings = find_settings(options.settings)
    plan = view_plan(options, method=options.method)
    perceptual = build_perceptual(settings.perceptual).to(device)
    models = models_of(options, method=options.method, device=device)
    size = models.pipeline.generator.img_resolution
    plan = plan.for_images(size)
    photos = photos_of(options, size=size)
    subjects = find_subjects(photos, options.photos)[: options.count]
    job = _Job(models, plan, settings, perceptual, options)
    folders = job.all_photos(photos, subjects)
    if folders:
        sheet = sheet_of(spread(folders, options.sheet_rows), plan)
        print(f"sheet: {write_png(options.out / 'sheet.png', sheet)}")


@dataclass(frozen=True)
class _Job:
    """What all photos share."""

    models: LoadedModels
    plan: ViewPlan
    settings: LiftSettings
    perceptual: PerceptualNet
    options: argparse.Namespace

    def all_photos(self, photos: Photos, subjects: Sequence[Subject]) -> dict[str, Path]:
        """Lift photos and write their files; returns the folders by name."""
        made_with = self.made_with()
        folders: dict[str, Path] = {}
        for place, subject in enumerate(subjects):
            sample = photos[subject.places[0]]
            folder = folder_of(self.options.out, subject, set(folders.values()))
            folders[subject.said] = folder
            said = f"[{place + 1}/{len(subjects)}] {subject.said}: "
            record = self.record(sample, made_with)
            if not self.options.overwrite and finished(folder, record):
                print(f"{said}done before", flush=True)
                continue
            (folder / RECORD).unlink(missing_ok=True)
            began = time.perf_counter()
            lifted = self.one_photo(sample, folder, said=said)
            lifted_at = time.perf_counter()
            if self.options.export:
                resolution = self.options.mesh_resolution
                export(lifted, folder, tuple(self.options.export), resolution=resolution)
            write_record(folder, record)
            print(
                f"{said}lifted in {lifted_at - began:.1f} s with its views, exports "
                f"{time.perf_counter() - lifted_at:.1f} s -> {folder}",
                flush=True,
            )
        return folders

    def one_photo(self, sample: Sample, folder: Path, *, said: str) -> LiftedFace:
        """Lift one photo and write all but exports and record."""
        pipeline = self.models.pipeline
        device = pipeline.generator.mean_latent().device
        face = pipeline.invert(sample.image[None].to(device), sample.camera[None].to(device))
        with progress_bar(title=said.strip(" :"), unit="step", total=self.settings.steps) as bar:
            lifted = lift(
                face,
                self.settings,
                lambda step, steps: bar.update(step - bar.n),
                perceptual=self.perceptual,
            )
        write_lifted(face, lifted, folder, self.plan)
        return lifted

    def made_with(self) -> dict[str, Any]:
        """What the files of a photo depend on, besides the photo."""
        plan = asdict(self.plan)
        del plan["sheet_yaws"]
        return {
            "format_version": FORMAT_VERSION,
            "lifting": asdict(self.settings),
            "plan": plan,
            "geometry": asdict(self.models.pipeline.options),
            "weights": {path.name: sha256_of(path) for path in self.models.files},
            "perceptual": {self.settings.perceptual: sha256_of(resolve(self.settings.perceptual))},
            "export": sorted(self.options.export),
            "mesh_resolution": self.options.mesh_resolution if self.options.export else None,
        }

    def record(self, sample: Sample, made_with: dict[str, Any]) -> dict[str, Any]:
        """What `views.json` of a photo holds."""
        views = named_cameras(self.plan, sample)
        return json.loads(json.dumps({**photo_record(sample), **made_with, "views": views}))


def build_parser() -> argparse.ArgumentParser:
    """The words that the command understands."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.lift",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add_photo_words(parser)
    add(
        "--settings",
        nargs="+",
        metavar="WORD",
        help="choice of configs/lifting, then key=value (default: mini)",
    )
    add("--export", nargs="+", default=[], choices=EXPORTS, help="further files")
    add("--mesh-resolution", type=int, default=MESH_RESOLUTION, help="grid points a side")
    add("--method", choices=("warpgan", "fill"), default="warpgan", help="what makes the views")
    add_view_words(parser, yaws=(-45.0, -20.0, 0.0, 20.0, 45.0), orbit_yaw=40.0)
    add_model_words(parser)
    add_run_words(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
