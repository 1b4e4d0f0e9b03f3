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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from warpgan import cli
from warpgan.data.folder import Sample
from warpgan.evaluation.load import choose_device
from warpgan.lifting import LiftedFace, lift
from warpgan.lifting.export import EXPORTS, MESH_RESOLUTION, export
from warpgan.lifting.outputs import sheet_of, write_lifted
from warpgan.lifting.settings import LiftSettings, find_settings
from warpgan.methods.true_latent import photo_key
from warpgan.perception import PerceptualNet, build_perceptual
from warpgan.pictures import write_png
from warpgan.synthesis.models import LoadedModels, load_models
from warpgan.synthesis.outputs import RECORD, finished, write_record
from warpgan.synthesis.photos import Photos, find_photos
from warpgan.synthesis.plan import ViewPlan
from warpgan.weights import resolve, sha256_of

FORMAT_VERSION = 1
SMALLEST_VIDEO = 256


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
    if options.count is not None and options.count < 1:
        raise ValueError(f"--count {options.count} must be at least 1")
    settings = find_settings(options.settings)
    plan = _plan(options)
    perceptual = build_perceptual(settings.perceptual).to(device)
    models = load_models(
        method=options.method,
        encoder=options.encoder,
        svinet=options.svinet,
        generator=options.generator,
        geometry=options.geometry,
        device=device,
    )
    size = models.pipeline.generator.img_resolution
    plan = replace(plan, zoom=max(1, SMALLEST_VIDEO // size))
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
    count = min(len(photos), options.count or len(photos))
    job = _Job(models, plan, settings, perceptual, options)
    folders = job.all_photos(photos, count)
    shown = np.unique(np.linspace(0, count - 1, min(count, options.sheet_rows)).astype(int))
    if len(shown):
        names = list(folders)
        sheet = sheet_of({names[i]: folders[names[i]] for i in shown}, plan)
        print(f"sheet: {write_png(options.out / 'sheet.png', sheet)}")


@dataclass(frozen=True)
class _Job:
    """What all photos share."""

    models: LoadedModels
    plan: ViewPlan
    settings: LiftSettings
    perceptual: PerceptualNet
    options: argparse.Namespace

    def all_photos(self, photos: Photos, count: int) -> dict[str, Path]:
        """Lift photos and write their files; returns the folders by name."""
        made_with = self.made_with()
        folders: dict[str, Path] = {}
        for place in range(count):
            sample = photos[place]
            folder = self.options.out / Path(sample.name).with_suffix("")
            if folder in set(folders.values()):
                folder = self.options.out / f"{sample.name}_views"
            folders[sample.name] = folder
            said = f"[{place + 1}/{count}] {sample.name}: "
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
        with tqdm(total=self.settings.steps, desc=said.strip(" :"), leave=False) as bar:
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
        cameras = self.plan.grid_cameras(sample.camera).tolist()
        record = {
            "photo": sample.name,
            "pixels_sha256": photo_key(sample.image),
            "camera": sample.camera.tolist(),
            **made_with,
            "views": dict(zip(self.plan.views, cameras, strict=True)),
        }
        return json.loads(json.dumps(record))


def _plan(options: argparse.Namespace) -> ViewPlan:
    return ViewPlan(
        method=options.method,
        yaws=tuple(options.yaw),
        pitches=tuple(options.pitch),
        sheet_yaws=tuple(options.yaw),
        orbit_frames=options.orbit,
        orbit_yaw=options.orbit_yaw,
        orbit_pitch=options.orbit_pitch,
        fps=options.fps,
        zoom=1,
    )


def build_parser() -> argparse.ArgumentParser:
    """The words that the command understands."""
    parser = argparse.ArgumentParser(
        prog="python -m warpgan.lift",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("photos", help="image, folder or zip with dataset.json, or the word portraits")
    add("out", type=Path, help="folder to write")
    add(
        "--settings",
        nargs="+",
        metavar="WORD",
        help="choice of configs/lifting, then key=value (default: mini)",
    )
    add("--export", nargs="+", default=[], choices=EXPORTS, help="further files")
    add("--mesh-resolution", type=int, default=MESH_RESOLUTION, help="grid points a side")
    add("--method", choices=("warpgan", "fill"), default="warpgan", help="what makes the views")
    add("--yaw", type=float, nargs="+", default=[-45.0, -20.0, 0.0, 20.0, 45.0], help="degrees")
    add("--pitch", type=float, nargs="+", default=[0.0], help="degrees, > 0 is above")
    add("--orbit", type=int, default=30, help="frames of the video; 0 for none")
    add("--orbit-yaw", type=float, default=40.0, help="largest yaw of the orbit, degrees")
    add("--orbit-pitch", type=float, default=8.0, help="largest pitch of the orbit, degrees")
    add("--fps", type=float, default=12.5, help="frames a second")
    add("--sheet-rows", type=int, default=16, help="photos on the sheet, spread over all")
    add("--label", type=Path, help="JSON with the camera of one image: 25 numbers or a label file")
    add("--labels", help="label file of a folder or zip instead of dataset.json")
    add("--count", type=int, help="only the first so many photos")
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
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--cache", type=Path, default=Path("cache"), help="where portraits are kept")
    add("--overwrite", action="store_true", help="make finished photos anew")
    return parser


if __name__ == "__main__":
    sys.exit(main())
