"""Faces that no honest camera can be given to: kinds, limits and checks."""

import numpy as np

from warpgan.preparation.camera import PoseEstimate

KINDS = (
    "no face",
    "too small",
    "profile beyond range",
    "five points make no face",
    "face cut off",
    "pose not certain",
)
LEAST_FACE_PX = 24.0
"""Least distance between eyes and mouth, or between the eyes if that is longer, in the photo."""
LARGEST_YAW_DEG = 75.0
LARGEST_PITCH_DEG = 50.0
LARGEST_OUTSIDE = 0.5
LEAST_INSIDE_POINTS = 0.85
"""Share of the mesh's points that must lie in the photo."""
LARGEST_ERROR_PX = 14.0
"""RMS error of the dense fit at 512 px beyond which the points are those of no face."""


class UnusableFace(ValueError):
    """A face that cannot be prepared.

    Attributes:
        kind: One of `KINDS`.
    """

    def __init__(self, kind: str, detail: str) -> None:
        """Say why.

        Args:
            kind: One of `KINDS`.
            detail: The value found, what was expected, and the fix.
        """
        assert kind in KINDS, kind
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


def check_size(five: np.ndarray) -> None:
    """Refuse five points [5, 2] that are none, or a face too small for a crop."""
    if five.shape != (5, 2) or not np.isfinite(five).all():
        raise UnusableFace(
            "five points make no face", f"expected five finite points, got {five.tolist()}"
        )
    eyes, mouth = five[:2].mean(axis=0), five[3:].mean(axis=0)
    extent = max(np.linalg.norm(mouth - eyes), np.linalg.norm(five[1] - five[0]))
    if extent < LEAST_FACE_PX:
        raise UnusableFace(
            "too small",
            f"eyes and mouth are {extent:.0f} px apart, at least {LEAST_FACE_PX:.0f} px are "
            "needed; give a larger photo of the face",
        )


def check_inside(points: np.ndarray, width: int, height: int) -> None:
    """Refuse a face with points [M, 2] beyond the edge of a photo."""
    x, y = points.T
    inside = ((x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)).mean()
    if inside < LEAST_INSIDE_POINTS:
        raise UnusableFace(
            "face cut off",
            f"{100 * (1 - inside):.0f} % of the face's points lie beyond the photo's edge; give a "
            "photo that shows the whole face",
        )


def check_pose(estimate: PoseEstimate, *, dense: bool) -> None:
    """Refuse a profile, and dense points that are no head's."""
    if abs(estimate.yaw) > LARGEST_YAW_DEG or abs(estimate.pitch) > LARGEST_PITCH_DEG:
        raise UnusableFace(
            "profile beyond range",
            f"the face is seen from yaw {estimate.yaw:.0f}, pitch {estimate.pitch:.0f} degrees; "
            f"up to {LARGEST_YAW_DEG:.0f} and {LARGEST_PITCH_DEG:.0f} are accepted",
        )
    if dense and estimate.error_px is not None and estimate.error_px > LARGEST_ERROR_PX:
        raise UnusableFace(
            "five points make no face",
            f"the landmarks are off a head's by {estimate.error_px:.0f} px at 512, at most "
            f"{LARGEST_ERROR_PX:.0f} is accepted",
        )


def check_outside(outside: float) -> None:
    """Refuse a crop of which more than half lies beyond the photo's edge."""
    if outside > LARGEST_OUTSIDE:
        raise UnusableFace(
            "face cut off",
            f"{100 * outside:.0f} % of the crop lie beyond the photo's edge, at most "
            f"{100 * LARGEST_OUTSIDE:.0f} % is accepted; give a photo with more around it",
        )
