"""Words that `synthesize`, `lift` and `edit` share on the command line, and what they stand for."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from warpgan.devices import DEVICES
from warpgan.synthesis.models import LoadedModels, load_models
from warpgan.synthesis.photos import Photos, find_photos
from warpgan.synthesis.plan import ViewPlan


def add_photo_words(parser: argparse.ArgumentParser, *, counted: str = "photos") -> None:
    """Add which photos are read, and where files go."""
    add = parser.add_argument
    add("photos", help="image, folder or zip with dataset.json, or the word portraits")
    add("out", type=Path, help="folder to write")
    add("--label", type=Path, help="JSON with the camera of one image: 25 numbers or a label file")
    add("--labels", help="label file of a folder or zip instead of dataset.json")
    add("--count", type=int, help=f"only the first so many {counted}")
    add("--upscale", action="store_true", help="accept photos smaller than the generator's")
    add("--skip-invalid", action="store_true", help="leave out what is wrong in a folder")
    add("--cache", type=Path, default=Path("cache"), help="where portraits are kept")
    add("--sheet-rows", type=int, default=16, help="photos on the sheet, spread over all")


def add_view_words(
    parser: argparse.ArgumentParser, *, yaws: Sequence[float], orbit_yaw: float = 25.0
) -> None:
    """Add which views are drawn."""
    add = parser.add_argument
    add("--yaw", type=float, nargs="+", default=list(yaws), help="degrees")
    add("--pitch", type=float, nargs="+", default=[0.0], help="degrees, > 0 is above")
    add("--orbit", type=int, default=30, help="frames of the video; 0 for none")
    add("--orbit-yaw", type=float, default=orbit_yaw, help="largest yaw of the orbit, degrees")
    add("--orbit-pitch", type=float, default=8.0, help="largest pitch of the orbit, degrees")
    add("--fps", type=float, default=12.5, help="frames a second")


def add_model_words(parser: argparse.ArgumentParser) -> None:
    """Add which networks are loaded."""
    add = parser.add_argument
    add("--encoder", help="table name, run folder or file (default: SVINet's, else encoder_mini)")
    add("--svinet", help="table name, run folder or file (default: svinet_mini)")
    add("--generator", help="choice of configs/generator or file (default: the encoder's)")
    add(
        "--geometry",
        nargs="+",
        metavar="WORD",
        help="choice of configs/geometry, then key=value (default: as SVINet was trained)",
    )


def add_run_words(parser: argparse.ArgumentParser) -> None:
    """Add where it runs, and whether anew."""
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--overwrite", action="store_true", help="make finished ones anew")


def check_least(options: argparse.Namespace, *names: str) -> None:
    """Refuse numbers below 1 where one was given.

    Raises:
        ValueError: one is.
    """
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} {value} must be at least 1")


def view_plan(
    options: argparse.Namespace, *, method: str, sheet_yaws: Sequence[float] | None = None
) -> ViewPlan:
    """The views of `add_view_words`; the sheet shows all of them if it is not told.

    Raises:
        ValueError: views that cannot be drawn.
    """
    return ViewPlan(
        method=method,
        yaws=tuple(options.yaw),
        pitches=tuple(options.pitch),
        sheet_yaws=tuple(options.yaw if sheet_yaws is None else sheet_yaws),
        orbit_frames=options.orbit,
        orbit_yaw=options.orbit_yaw,
        orbit_pitch=options.orbit_pitch,
        fps=options.fps,
        zoom=1,
    )


def models_of(options: argparse.Namespace, *, method: str, device: torch.device) -> LoadedModels:
    """The networks of `add_model_words`; as `load_models`."""
    return load_models(
        method=method,
        encoder=options.encoder,
        svinet=options.svinet,
        generator=options.generator,
        geometry=options.geometry,
        device=device,
    )


def photos_of(options: argparse.Namespace, *, size: int) -> Photos:
    """The photos of `add_photo_words`; as `find_photos`."""
    return find_photos(
        options.photos,
        size=size,
        label=options.label,
        labels=options.labels,
        count=options.count,
        upscale=options.upscale,
        skip_invalid=options.skip_invalid,
        cache=options.cache,
    )


def spread(folders: dict[str, Path], most: int) -> dict[str, Path]:
    """At most so many of the folders, evenly over all."""
    places = np.unique(np.linspace(0, len(folders) - 1, min(len(folders), most)).astype(int))
    names = list(folders)
    return {names[place]: folders[names[place]] for place in places}
