"""The loop of ``python -m warpgan.synthesize``: subject by subject, finished ones left alone."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from warpgan.camera_fit import FEATURES
from warpgan.camera_refinement import RefinementOptions, refine_photos
from warpgan.data.folder import Sample
from warpgan.methods.true_latent import photo_key
from warpgan.pipeline import Face
from warpgan.progress import progress_bar
from warpgan.several_photos import SeveralPhotos
from warpgan.synthesis.models import LoadedModels
from warpgan.synthesis.outputs import RECORD, finished, write_photo, write_record
from warpgan.synthesis.people import Subject
from warpgan.synthesis.photos import Photos
from warpgan.synthesis.plan import ViewPlan
from warpgan.weights import sha256_of

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Settings:
    """How every subject is made.

    Attributes:
        out: folder to write.
        plan: which views.
        chunk: views at once; None chooses.
        overwrite: make finished subjects anew.
        match_colours: of several photos of one person.
        random_weights: scale of a dry run; None for real weights.
        refine_camera: steps of `warpgan.camera_refinement` for every photo; 0 keeps its camera.
    """

    out: Path
    plan: ViewPlan
    chunk: int | None = None
    overwrite: bool = False
    match_colours: bool = True
    random_weights: str | None = None
    refine_camera: int = 0


def write_all(
    subjects: Sequence[Subject], photos: Photos, *, models: LoadedModels, settings: Settings
) -> dict[str, Path]:
    """Write every subject's files.

    Args:
        subjects: photos, or people of several photos.
        photos: those that the subjects name.
        models: the networks.
        settings: views and place.

    Returns:
        Folders by the subject's name, in order.

    Raises:
        ValueError: a folder made with other settings, or a name that leads out of ``out``.
    """
    plan, made_with = settings.plan, _made_with(models, settings)
    frames = len(plan.views) + plan.orbit_frames
    folders: dict[str, Path] = {}
    for place, subject in enumerate(subjects):
        samples = [photos[index] for index in subject.places]
        folder = folder_of(settings.out, subject, set(folders.values()))
        folders[subject.said] = folder
        record = _record(subject, samples, settings=settings, made_with=made_with)
        said = f"[{place + 1}/{len(subjects)}] {subject.said}: "
        if not settings.overwrite and finished(folder, record):
            print(f"{said}done before", flush=True)
            continue
        (folder / RECORD).unlink(missing_ok=True)
        began = time.perf_counter()
        photos_cameras, refined = _cameras(samples, models=models, steps=settings.refine_camera)
        face = _invert(
            subject,
            samples,
            photos_cameras,
            models=models,
            match_colours=settings.match_colours,
        )
        inverted = time.perf_counter()
        write_photo(face, folder, plan, chunk=settings.chunk)
        write_record(folder, {**record, **refined})
        ended = time.perf_counter()
        count = f"{len(samples)} photos " if subject.several else ""
        print(
            f"{said}{count}inverted in {inverted - began:.2f} s, {frames} views in "
            f"{ended - inverted:.2f} s -> {folder}",
            flush=True,
        )
    return folders


def _cameras(
    samples: Sequence[Sample], *, models: LoadedModels, steps: int
) -> tuple[Tensor, dict[str, Any]]:
    """The photos' cameras ``[P, 25]``, and what the record says of their refinement."""
    model = models.pipeline
    device = model.generator.mean_latent().device
    cameras = torch.stack([sample.camera for sample in samples]).to(device)
    if not steps:
        return cameras, {}
    images = torch.stack([sample.image for sample in samples]).to(device)
    bar = progress_bar(title="refining", unit="render", total=len(samples) * (steps + 1))
    found = refine_photos(
        model.generator,
        model.encoder,
        images,
        cameras,
        options=RefinementOptions(steps=steps),
        progress=bar.update,
    )
    bar.close()
    moved, before, after = (
        [round(number, 4) for number in numbers.tolist()]
        for numbers in (found.moved_deg, found.loss_before, found.loss)
    )
    said = {
        "cameras": found.cameras.tolist(),
        "moved_deg": moved,
        "loss_before": before,
        "loss": after,
    }
    return found.cameras, {"refined": said}


def _invert(
    subject: Subject,
    samples: Sequence[Sample],
    cameras: Tensor,
    *,
    models: LoadedModels,
    match_colours: bool,
) -> Face | SeveralPhotos:
    images = torch.stack([sample.image for sample in samples]).to(cameras.device)
    if not subject.several:
        return models.pipeline.invert(images, cameras)
    return models.pipeline.invert_several(images, cameras, match_colours=match_colours)


def _made_with(models: LoadedModels, settings: Settings) -> dict[str, Any]:
    """What the files of a subject depend on, besides its photos."""
    plan = asdict(settings.plan)
    del plan["sheet_yaws"]
    refined = {"steps": settings.refine_camera, "net": FEATURES} if settings.refine_camera else None
    return {
        "format_version": FORMAT_VERSION,
        "plan": plan,
        "geometry": asdict(models.pipeline.options),
        "weights": {path.name: sha256_of(path) for path in models.files},
        "random_weights": settings.random_weights,
        "refine_camera": refined,  # None equals the absence of the key in older records
    }


def _record(
    subject: Subject, samples: Sequence[Sample], *, settings: Settings, made_with: dict[str, Any]
) -> dict[str, Any]:
    described = [photo_record(sample) for sample in samples]
    record = described[0]
    if subject.several:
        record = {
            "person": subject.name,
            "photos": described,
            "match_colours": settings.match_colours,
        }
    views = named_cameras(settings.plan, samples[0])
    return json.loads(json.dumps({**record, **made_with, "views": views}))


def photo_record(sample: Sample) -> dict[str, Any]:
    """What a record says of a photo."""
    return {
        "photo": sample.name,
        "pixels_sha256": photo_key(sample.image),
        "camera": sample.camera.tolist(),
    }


def named_cameras(plan: ViewPlan, sample: Sample) -> dict[str, list[float]]:
    """Labels of a photo's views, by name."""
    return dict(zip(plan.views, plan.grid_cameras(sample.camera).tolist(), strict=True))


def folder_of(out: Path, subject: Subject, taken: set[Path]) -> Path:
    """Folder of a subject: a photo's name without suffix, or with it where that is taken.

    Raises:
        ValueError: a name that leads out of ``out``.
    """
    folder = out / subject.name
    if not folder.resolve().is_relative_to(out.resolve()) or folder.resolve() == out.resolve():
        raise ValueError(f"the name {subject.said!r} leads out of {out}; rename the photo")
    return out / f"{subject.said}_views" if folder in taken else folder
