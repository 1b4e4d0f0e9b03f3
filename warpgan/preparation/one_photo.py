"""One photo to its crops, their small pictures and its record."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from warpgan.cameras import yaw_pitch
from warpgan.data.mead.records import inside
from warpgan.data.portraits.splits import write_aside
from warpgan.preparation.drawing import crop_picture, photo_picture
from warpgan.preparation.given_face import given_face
from warpgan.preparation.label_fit import roll_of
from warpgan.preparation.naming import crop_name, mirror_name
from warpgan.preparation.photos import Photo, UnusablePhoto, decode_photo
from warpgan.preparation.records import (
    FaceRecord,
    PhotoRecord,
    Refusal,
    hash_of,
    picture_path,
)
from warpgan.preparation.settings import CameraSource, PrepareSettings, Reader, ReadFace

ESTIMATED = "estimated"
LARGEST_ROLL_LEFT_DEG = 10.0
"""Of 170 portraits turned upright none kept more than 3 degrees; a profile from behind, 28."""
# What reading a face may do wrong with one photo, besides refusing it: that photo is reported by
# the error's name, the others go on. Out of memory and algebra that diverges are RuntimeErrors.
FAULTS = (ArithmeticError, LookupError, MemoryError, RuntimeError, ValueError)


@dataclass(frozen=True)
class PhotoJob:
    """What to do for a photo.

    Attributes:
        out: folder to write.
        photo: which.
        stem: of its crops.
        settings: what to make.
        settings_key: hash of all that the result depends on besides the photo.
        cameras: where cameras come from; None to estimate them.
    """

    out: Path
    photo: Photo
    stem: str
    settings: PrepareSettings
    settings_key: str
    cameras: CameraSource | None = None


def prepare_photo(job: PhotoJob, content: bytes, reader: Reader) -> PhotoRecord:
    """Write what a photo gives; its record is returned, not written.

    Args:
        job: what to do.
        content: the photo's bytes.
        reader: finds and measures faces.
    """
    try:
        pixels = _padded(decode_photo(content, job.photo.name), job.settings.pad)
        detected = list(_detect(reader, pixels))
    except UnusablePhoto as error:
        return unusable_record(job, hash_of(content), error)
    faces: list[FaceRecord] = []
    refused: list[Refusal] = []
    chosen = job.settings.chosen(len(detected))
    if not detected:
        refused.append(Refusal(0, "no face", "no face was found in the photo"))
        chosen = []
    for number in chosen:
        if number > len(detected):
            reason = f"face {number} was asked for, {len(detected)} found"
            refused.append(Refusal(0, "no such face", reason))
            continue
        found = _face(job, number, pixels, detected[number - 1], reader)
        (refused if isinstance(found, Refusal) else faces).append(found)
    picture = photo_picture(
        pixels,
        [face.box for face in detected],
        [face.points for face in detected],
        chosen=chosen,
    )
    write_aside(picture_path(job.out, job.stem, 0), picture)
    return PhotoRecord(
        photo=job.photo.name,
        origin=job.photo.origin,
        stem=job.stem,
        sha256=hash_of(content),
        settings=job.settings_key,
        width=pixels.shape[1],
        height=pixels.shape[0],
        detections=len(detected),
        faces=tuple(faces),
        refused=tuple(refused),
    )


def unusable_record(job: PhotoJob, sha256: str, error: UnusablePhoto) -> PhotoRecord:
    """The record of a photo that gives nothing."""
    return PhotoRecord(
        photo=job.photo.name,
        origin=job.photo.origin,
        stem=job.stem,
        sha256=sha256,
        settings=job.settings_key,
        width=0,
        height=0,
        detections=0,
        faces=(),
        refused=(Refusal(0, error.kind, str(error)),),
    )


def _detect(reader: Reader, pixels: np.ndarray) -> Sequence[Any]:
    try:
        return reader.detect(pixels)
    except FAULTS as error:
        raise UnusablePhoto("failed", f"{type(error).__name__}: {error}") from error


def _face(
    job: PhotoJob, number: int, pixels: np.ndarray, detected: Any, reader: Reader
) -> FaceRecord | Refusal:
    """Write a face's crop, or say why there is none."""
    settings = job.settings
    try:
        if job.cameras is None:
            face: ReadFace = reader.read(
                pixels,
                detected,
                size=settings.size,
                roll_align=settings.roll_align,
                border=settings.border,
            )
        else:
            face = given_face(
                pixels,
                detected.points,
                job.cameras.label_of(job.photo),
                size=settings.size,
                border=settings.border,
            )
    except FAULTS as error:
        # Refusals carry their kind; anything else is named by its type.
        kind = getattr(error, "kind", "failed")
        prefix = f"{type(error).__name__}: " if kind == "failed" else ""
        return Refusal(number, kind, prefix + str(error).removeprefix(f"{kind}: "))
    if face.confidence < settings.min_confidence:
        reason = (
            f"confidence {face.confidence:.2f}, at least {settings.min_confidence:g} asked for; "
            f"estimates lie {face.agreement_deg:.1f} degrees apart"
        )
        return Refusal(number, "confidence too low", reason)
    left = roll_of(face.camera)
    if job.cameras is None and settings.roll_align and abs(left) > LARGEST_ROLL_LEFT_DEG:
        reason = (
            f"turned upright by {face.turned_deg:.0f} degrees, the face's camera still rolls by "
            f"{left:.0f}: the points do not agree"
        )
        return Refusal(number, "pose not certain", reason)
    crop = crop_name(job.stem, number)
    crop_bytes = _png(face.crop)
    write_aside(inside(job.out, job.out / crop), crop_bytes)
    mirror, mirror_bytes = "", b""
    if settings.mirror:
        mirror, mirror_bytes = mirror_name(crop), _png(face.crop[:, ::-1])
        write_aside(inside(job.out, job.out / mirror), mirror_bytes)
    label = face.camera.reshape(25)
    picture = crop_picture(face.crop, face.points, face.mesh, label)
    write_aside(picture_path(job.out, job.stem, number), picture)
    yaw, pitch = yaw_pitch(label.double())
    return FaceRecord(
        number=number,
        crop=crop,
        crop_sha256=hash_of(crop_bytes),
        mirror=mirror,
        mirror_sha256=hash_of(mirror_bytes) if mirror else "",
        camera=[float(value) for value in label],
        camera_from=ESTIMATED if job.cameras is None else job.cameras.name,
        yaw=round(float(yaw), 3),
        pitch=round(float(pitch), 3),
        roll=round(roll_of(label), 3),
        confidence=round(float(face.confidence), 4),
        agreement_deg=round(float(face.agreement_deg), 3),
        turned_deg=round(float(face.turned_deg), 3),
        outside=round(float(face.outside), 4),
        box=_rounded(detected.box),
        detector_confidence=round(float(detected.confidence), 4),
        # Unrounded: EG3D's crop truncates, so that a hundredth of a pixel can move it by one.
        photo_points=np.asarray(detected.points, np.float64).tolist(),
        points=_rounded(face.points),
        mesh=None if face.mesh is None else _rounded(face.mesh),
        to_crop=np.asarray(face.to_crop, np.float64).tolist(),
        estimates={name: _estimate(one) for name, one in face.estimates.items()},
    )


def _estimate(found: ReadFace) -> list[float | None]:
    error = None if found.error_px is None else round(float(found.error_px), 3)
    return [*(round(float(angle), 3) for angle in (found.yaw, found.pitch, found.roll)), error]


def _padded(pixels: np.ndarray, pad: int) -> np.ndarray:
    if not pad:
        return pixels
    return np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="symmetric")


def _rounded(values: Any) -> list:
    return np.round(np.asarray(values, np.float64), 2).tolist()


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "PNG")
    return stream.getvalue()
