"""What to make of the photos, and where a camera comes from if it is not estimated."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from warpgan import weights
from warpgan.crop import CROP_SIZE
from warpgan.preparation.alignment import BORDERS
from warpgan.preparation.photos import Photo

ALL, LARGEST = "all", "largest"
LARGEST_CROP, LARGEST_PAD = 4096, 4096
NETS = ("face_mtcnn", "face_mesh", "dense_head", "pose_mini")
"""What reads a face, by their names in the table of weights."""
VERSION = 1
"""Raised when the same photo and settings would give another result."""


@dataclass(frozen=True)
class PrepareSettings:
    """What determines a crop, besides the photo.

    Attributes:
        size: side of the crops, pixels.
        faces: "largest", "all", or a number from 1 by size.
        mirror: also write the mirrored twin of each crop.
        roll_align: turn the face upright first.
        border: what is shown beyond the photo's edge, one of `BORDERS`.
        min_confidence: cameras below are refused, 0 to 1.
        pad: pixels that the photo is continued by reflection on each side before anything else.
    """

    size: int = CROP_SIZE
    faces: str = LARGEST
    mirror: bool = False
    roll_align: bool = True
    border: str = "reflect"
    min_confidence: float = 0.0
    pad: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        if not 8 <= self.size <= LARGEST_CROP:
            raise ValueError(f"size is {self.size}; expected 8 to {LARGEST_CROP} pixels")
        numbered = self.faces.isascii() and self.faces.isdecimal() and int(self.faces) > 0
        if self.faces not in (ALL, LARGEST) and not numbered:
            raise ValueError(
                f"faces is {self.faces!r}; expected {ALL}, {LARGEST} or a number from 1 by size"
            )
        if self.border not in BORDERS:
            raise ValueError(f"border is {self.border!r}; expected one of {', '.join(BORDERS)}")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence is {self.min_confidence}; expected 0 to 1")
        if not 0 <= self.pad <= LARGEST_PAD:
            raise ValueError(f"pad is {self.pad}; expected 0 to {LARGEST_PAD} pixels")

    def content(self, *, cameras: str, nets: str = "") -> dict[str, Any]:
        """All that a crop depends on, ready for JSON.

        Args:
            cameras: a source's `key`; empty for estimates.
            nets: of `nets_key`.
        """
        return {"version": VERSION, "nets": nets, "cameras": cameras, **asdict(self)}

    def chosen(self, detections: int) -> list[int]:
        """Numbers of the faces to take, from 1, of so many; may name one that there is not."""
        if self.faces == ALL:
            return list(range(1, detections + 1))
        return [1] if self.faces == LARGEST else [int(self.faces)]


class CameraSource(Protocol):
    """Cameras that the user has, in place of estimated ones."""

    name: str
    """Of the file or folder, for reports."""
    key: str
    """Names the cameras, contents included: other cameras, other key."""

    def label_of(self, photo: Photo) -> Tensor:
        """Label [25] of a photo's largest face.

        Raises:
            UnusablePhoto: there is none.
        """


class ReadFace(Protocol):
    """A face that was read; `warpgan.preparation.face_reader.PreparedFace` is one."""

    crop: np.ndarray
    camera: Tensor
    points: np.ndarray
    mesh: np.ndarray | None
    to_crop: np.ndarray
    estimates: Mapping[str, Any]
    confidence: float
    agreement_deg: float
    turned_deg: float
    outside: float


class Reader(Protocol):
    """What finds and measures faces; `warpgan.preparation.face_reader.FaceReader` is one."""

    def detect(self, photo: np.ndarray) -> Sequence[Any]:
        """Faces of an RGB photo [H, W, 3] uint8, the largest first."""

    def read(
        self, photo: np.ndarray, face: Any, *, size: int, roll_align: bool, border: str
    ) -> ReadFace:
        """Crop and camera of one of them."""


def nets_key() -> str:
    """Changes when one of the files that faces are read with does."""
    files = [weights.resolve(name) for name in NETS]
    return "-".join(weights.sha256_of(path)[:8] for path in files)
