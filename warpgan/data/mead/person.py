"""One person: clips to synchronous frames, frames and points to crops and cameras."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from warpgan.crop import fit_crop, solve_pose_from_five_points
from warpgan.data.mead.frames import pixels_sha256, read_frame
from warpgan.data.mead.landmarks import Points
from warpgan.data.mead.layout import CAMERAS, FRONT, Shot
from warpgan.data.mead.manifest import ManifestRow
from warpgan.data.mead.records import (
    CropDone,
    FrameDone,
    PersonRecord,
    frames_folder,
    good_image,
    inside,
    read_record,
    sweep,
    write_record,
)
from warpgan.data.mead.views import View, examine_clips, number_frames
from warpgan.data.portraits.splits import write_aside
from warpgan.labels import Fault

CROP_VERSION = 1
"""Raised when the same frame and points would give another crop."""


@dataclass(frozen=True)
class PersonJob:
    """What to do for a person.

    Attributes:
        data, out, layout: of the run.
        person: the id.
        shots: at most one a camera.
        points: by ``ID/CAMERA``; ``None`` to write raw frames and no crops.
        unusable: entries of the landmark file that are no points.
        size: of the crops, pixels.
        allow_missing: do with front and another view.
        cameras: labels by ``ID/CAMERA`` of points that bring one; others are solved.
    """

    data: Path
    out: Path
    layout: str
    person: str
    shots: tuple[Shot, ...]
    points: Mapping[str, Points] | None
    unusable: Mapping[str, Fault]
    size: int
    allow_missing: bool
    cameras: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass
class PersonResult:
    """What came out.

    Attributes:
        person: the id.
        rows: of the manifest; none of a person that is left out before frames are taken.
        labels: camera label of 25 numbers by camera, of the crops that stand; empty if left out.
        defects: why views are missing.
        notices: what is odd but no reason to leave a view out.
        usable: whether the person is kept.
        written, kept: images that were made now, and that were good already.
    """

    person: str
    rows: list[ManifestRow] = field(default_factory=list)
    labels: dict[str, tuple[float, ...]] = field(default_factory=dict)
    defects: list[Fault] = field(default_factory=list)
    notices: list[Fault] = field(default_factory=list)
    usable: bool = False
    written: int = 0
    kept: int = 0


def prepare_person(job: PersonJob) -> PersonResult:
    """Do what is not done yet for a person.

    Raises:
        ValueError: a link leads out of ``job.out``.
    """
    result = PersonResult(job.person)
    record = read_record(job.out, job.person)
    found = examine_clips(job.data, job.layout, job.shots, known=record.clips)
    views = found.views
    result.notices = found.notices
    result.defects = found.defects + number_frames(views)
    if _is_usable(views, job):
        if job.points is None:
            result.usable = True
            _write_frames(job, views, record, result)
        else:
            _solve_cameras(job, views, result)
            result.usable = _is_usable(views, job)
            if result.usable:
                _write_crops(job, views, record, result)
        result.rows = [_row(view) for view in views.values() if view.frame_sha256]
    if job.points is not None:
        _remove_crops(job, record, kept=views if result.usable else {})
    write_record(job.out, job.person, record)
    return result


def crop_path(out: Path, person: str, camera: str) -> Path:
    """Where a crop is kept."""
    return out / person / f"{camera}.png"


def _is_usable(views: Mapping[str, View], job: PersonJob) -> bool:
    if job.allow_missing:
        return FRONT in views and len(views) > 1
    return all(camera in views for camera in CAMERAS)


def _frame(job: PersonJob, view: View, record: PersonRecord) -> np.ndarray | None:
    """Fill in the frame's hash; its pixels if they had to be decoded for that."""
    camera = view.shot.camera
    done = record.frames.get(camera)
    if done and (done.video_sha256, done.number) == (view.clip.sha256, view.number):
        view.frame_sha256 = done.frame_sha256
        return None
    image = read_frame(view.path, view.number, layout=job.layout)
    view.frame_sha256 = pixels_sha256(image)
    record.frames[camera] = FrameDone(view.clip.sha256, view.number, view.frame_sha256)
    return image


def _compare_with_manifest(view: View, result: PersonResult) -> None:
    if view.shot.frame_sha256 not in ("", view.frame_sha256):
        result.notices.append(
            Fault("frame is not the manifest's", view.shot.name, view.frame_sha256)
        )


def _write_frames(
    job: PersonJob, views: dict[str, View], record: PersonRecord, result: PersonResult
) -> None:
    folder = frames_folder(job.out) / job.person
    sweep(folder)
    for camera, view in views.items():
        image = _frame(job, view, record)
        _compare_with_manifest(view, result)
        if job.layout == "frames":
            continue
        path = inside(job.out, folder / f"{camera}.png")
        if good_image(path, view.frame_sha256) is not None:
            result.kept += 1
            continue
        if image is None:
            image = read_frame(view.path, view.number, layout=job.layout)
        write_aside(path, _png(image))
        result.written += 1


def _solve_cameras(job: PersonJob, views: dict[str, View], result: PersonResult) -> None:
    """Fill in crop windows and labels; views without usable points are taken out."""
    for camera, view in list(views.items()):
        fault = _solve_camera(job, view)
        if fault is not None:
            result.defects.append(fault)
            del views[camera]


def _solve_camera(job: PersonJob, view: View) -> Fault | None:
    name = view.shot.name
    points = job.points.get(name)
    if points is None:
        return job.unusable.get(name, Fault("no points in the landmark file", name))
    try:
        view.window = fit_crop(points, width=view.clip.width, height=view.clip.height)
        if name in job.cameras:
            view.label = torch.tensor(job.cameras[name])
        else:
            in_crop = view.window.to_crop(points, size=job.size)
            view.label = solve_pose_from_five_points(in_crop, size=job.size)[0]
    except ValueError as error:
        return Fault("points give no camera", name, str(error))
    view.points = points
    return None


def _write_crops(
    job: PersonJob, views: dict[str, View], record: PersonRecord, result: PersonResult
) -> None:
    sweep(job.out / job.person)
    for camera, view in views.items():
        image = _frame(job, view, record)
        _compare_with_manifest(view, result)
        path = inside(job.out, crop_path(job.out, job.person, camera))
        inputs = _inputs_of(job, view)
        done = record.crops.get(camera)
        if done and done.inputs == inputs and good_image(path, done.image_sha256) is not None:
            view.image_sha256 = done.image_sha256
            result.kept += 1
        else:
            if image is None:
                raw = inside(job.out, frames_folder(job.out) / job.person / f"{camera}.png")
                image = good_image(raw, view.frame_sha256)
            if image is None:
                image = read_frame(view.path, view.number, layout=job.layout)
            crop = view.window.apply(Image.fromarray(image), size=job.size)
            write_aside(path, _png(crop))
            view.image_sha256 = pixels_sha256(crop)
            record.crops[camera] = CropDone(inputs, view.image_sha256)
            result.written += 1
        result.labels[camera] = tuple(view.label.tolist())


def _remove_crops(job: PersonJob, record: PersonRecord, *, kept: Mapping[str, View]) -> None:
    """Remove crops of an earlier run that are no part of the data set any more."""
    for camera in [camera for camera in record.crops if camera not in kept]:
        inside(job.out, crop_path(job.out, job.person, camera)).unlink(missing_ok=True)
        del record.crops[camera]


def _inputs_of(job: PersonJob, view: View) -> str:
    parts = [CROP_VERSION, view.frame_sha256, view.points, job.size]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def _row(view: View) -> ManifestRow:
    shot = view.shot
    return ManifestRow(
        id=shot.person,
        camera=shot.camera,
        emotion=shot.emotion,
        level=shot.level,
        clip=shot.clip,
        frame=str(view.number) if shot.clip else "",
        frames=view.clip.frames,
        video_sha256=view.clip.sha256,
        frame_sha256=view.frame_sha256,
        image_sha256=view.image_sha256,
    )
