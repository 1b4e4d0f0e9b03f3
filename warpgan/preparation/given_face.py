"""A face whose camera the user has: EG3D's exact crop, and nothing estimated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from warpgan.preparation.alignment import align, cut, outside_share


@dataclass(frozen=True)
class GivenFace:
    """As `warpgan.preparation.face_reader.PreparedFace`, with what was not estimated left empty.

    Attributes:
        crop: [size, size, 3] uint8.
        camera: [25].
        points: [5, 2] in the crop, the detector's.
        to_crop: [2, 3].
        outside: share of the crop beyond the photo's edge.
    """

    crop: np.ndarray
    camera: Tensor
    points: np.ndarray
    to_crop: np.ndarray
    outside: float
    mesh: None = None
    estimates: Mapping[str, Any] = field(default_factory=dict)
    confidence: float = 1.0
    agreement_deg: float = 0.0
    turned_deg: float = 0.0


def given_face(
    photo: np.ndarray, points: np.ndarray, camera: Tensor, *, size: int, border: str
) -> GivenFace:
    """Cut out a face as EG3D does.

    Args:
        photo: RGB [H, W, 3] uint8.
        points: [5, 2], pixel indices.
        camera: label [25] of that crop.
        size: side of the crop.
        border: what is shown beyond the photo's edge.

    Raises:
        ValueError: the points make no face.
    """
    height, width = photo.shape[:2]
    alignment = align(points, width=width, height=height, size=size)
    return GivenFace(
        crop=cut(photo, alignment, border=border),
        camera=camera.reshape(25),
        points=alignment.map(points),
        to_crop=alignment.to_crop,
        outside=outside_share(alignment, width=width, height=height),
    )
