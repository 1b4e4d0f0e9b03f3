"""What a face is inverted from: a photo, where the crop lies in it, and the crop's camera.

A person at the page may move both: the *crop* is turned, shifted and zoomed within the photo, the
*camera* is turned about the head. Neither is ever changed in place.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from warpgan.cameras import make_label, split_label, yaw_pitch
from warpgan.preparation.alignment import Alignment, cut

LARGEST_PITCH = 80.0


@dataclass(frozen=True)
class Source:
    """A photo with one face.

    Attributes:
        title: for people.
        photo: ``[H, W, 3]`` uint8, upright.
        crop: ``[S, S, 3]`` uint8, as it was found.
        to_crop: ``[2, 3]``, photo pixel indices to continuous coordinates of the crop.
        camera: label ``[25]`` of the crop.
        points: ``[5, 2]`` found, continuous coordinates of the crop; None where nothing was
            looked for.
        true_camera: whether the camera is known, not estimated.
        confidence: of the estimate, 0..1; None for a true camera.
        outside: share of the crop beyond the photo's edge.
        boxes: left, top, right, bottom of every face of the photo.
        face_points: ``[5, 2]`` of every face, pixel indices.
        chosen: number of this face, from 1.
    """

    title: str
    photo: np.ndarray
    crop: np.ndarray
    to_crop: np.ndarray
    camera: Tensor
    points: np.ndarray | None = None
    true_camera: bool = False
    confidence: float | None = None
    outside: float = 0.0
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    face_points: tuple[np.ndarray, ...] = ()
    chosen: int = 1


@dataclass(frozen=True)
class Adjustment:
    """What a person changed; the zeros and a zoom of 1 change nothing.

    Attributes:
        yaw: degrees added to the camera's yaw.
        pitch: degrees added to its pitch.
        roll: degrees by which the crop's content turns clockwise.
        right: share of the crop's side by which its content moves right.
        down: likewise, down.
        zoom: > 1 shows the face larger.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    right: float = 0.0
    down: float = 0.0
    zoom: float = 1.0

    def __post_init__(self) -> None:
        """Check the values, which come from a browser.

        Raises:
            ValueError: a number that is no number or out of range.
        """
        for name, low, high in RANGES:
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f"{name} {value!r:.20} must be a number from {low:g} to {high:g}")

    @property
    def moves_crop(self) -> bool:
        """Whether the crop changes, not only its label."""
        return replace(self, yaw=0.0, pitch=0.0) != Adjustment()


RANGES = (
    ("yaw", -45.0, 45.0),
    ("pitch", -30.0, 30.0),
    ("roll", -45.0, 45.0),
    ("right", -0.3, 0.3),
    ("down", -0.3, 0.3),
    ("zoom", 0.6, 1.6),
)
"""Name, least and largest value of each number of an `Adjustment`."""


class Reader(Protocol):
    """Finds faces and prepares one; `warpgan.preparation.face_reader.FaceReader` does."""

    def detect(self, photo: np.ndarray) -> list[Any]:
        """Faces of a photo, the largest first."""

    def read(self, photo: np.ndarray, face: Any, *, size: int) -> Any:
        """The crop of a face and its camera."""


def read_source(
    photo: np.ndarray, reader: Reader, *, size: int, chosen: int = 1, faces: list[Any] | None = None
) -> Source:
    """Find a face in a photo.

    Args:
        photo: ``[H, W, 3]`` uint8.
        reader: finds and prepares.
        size: side of the crop.
        chosen: number of the face, from 1; the largest is the first.
        faces: what ``reader.detect`` found before.

    Raises:
        ValueError: no face, or one that cannot be used; the message says why.
    """
    faces = reader.detect(photo) if faces is None else faces
    if not faces:
        raise ValueError(
            "no face was found: it must be upright, at least about 24 pixels wide and not turned "
            "away beyond a profile"
        )
    if not 1 <= chosen <= len(faces):
        raise ValueError(f"face {chosen} does not exist; the photo shows {len(faces)}")
    prepared = reader.read(photo, faces[chosen - 1], size=size)
    return Source(
        title="your photo",
        photo=photo,
        crop=prepared.crop,
        to_crop=np.asarray(prepared.to_crop, np.float64),
        camera=prepared.camera.reshape(25),
        points=prepared.points,
        confidence=float(prepared.confidence),
        outside=float(prepared.outside),
        boxes=tuple(tuple(map(float, face.box)) for face in faces),
        face_points=tuple(face.points for face in faces),
        chosen=chosen,
    )


def adjusted(source: Source, adjustment: Adjustment) -> Source:
    """A source with another crop and camera, which is then no longer true nor an estimate."""
    if adjustment == Adjustment():
        return source
    if adjustment.moves_crop:
        side = source.crop.shape[0]
        change = crop_change(adjustment, side)
        to_crop = change[:, :2] @ source.to_crop
        to_crop[:, 2] += change[:, 2]
        points = source.points
        if points is not None:
            points = points @ change[:, :2].T + change[:, 2]
        crop = cut(source.photo, Alignment(to_crop, side))
        source = replace(source, crop=crop, to_crop=to_crop, points=points)
    if adjustment.yaw or adjustment.pitch:
        camera = turned_about_head(source.camera, adjustment.yaw, adjustment.pitch)
        source = replace(source, camera=camera)
    return replace(source, true_camera=False, confidence=None)


def crop_change(adjustment: Adjustment, side: int) -> np.ndarray:
    """``[2, 3]``, continuous coordinates of the crop before to those after."""
    angle = math.radians(adjustment.roll)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = adjustment.zoom * np.array([[cos, -sin], [sin, cos]])
    middle = np.full(2, side / 2)
    moved = middle - turn @ middle + np.array([adjustment.right, adjustment.down]) * side
    return np.concatenate([turn, moved[:, None]], axis=1)


def turned_about_head(camera: Tensor, yaw: float, pitch: float) -> Tensor:
    """A label [25] moved on its sphere about the origin by degrees of yaw and pitch.

    The whole camera turns with its position, so the head's centre stays where it was in the view.
    """
    old_yaw, old_pitch = (float(angle) for angle in yaw_pitch(camera.double()))
    new_pitch = min(max(old_pitch + pitch, -LARGEST_PITCH), LARGEST_PITCH)
    change = _facing(old_yaw + yaw, new_pitch) @ _facing(old_yaw, old_pitch).T
    cam2world, intrinsics = split_label(camera.double())
    moved = cam2world.clone()
    moved[:3] = change @ cam2world[:3]
    return make_label(moved, intrinsics).float()


def _facing(yaw: float, pitch: float) -> Tensor:
    """``[3, 3]`` float64: turns the z axis to a yaw and pitch in degrees."""
    yaw, pitch = math.radians(yaw), math.radians(pitch)
    about_y = [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
    about_x = [
        [1, 0, 0],
        [0, math.cos(pitch), math.sin(pitch)],
        [0, -math.sin(pitch), math.cos(pitch)],
    ]
    return torch.tensor(about_y, dtype=torch.float64) @ torch.tensor(about_x, dtype=torch.float64)
