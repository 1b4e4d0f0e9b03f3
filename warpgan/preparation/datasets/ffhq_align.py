"""FFHQ's alignment of a photo by 68 landmarks, with the wider border that EG3D starts from.

A square is laid about the face from the eyes and the mouth, turned with them; it is sampled at
4096 px and reduced. What the photo does not show is continued by reflection, which runs into a blur
and the picture's median colour with the distance from the edge.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

WIDER, ALIGNED_SIZE, SAMPLED_SIZE = 1.8, 1500, 4096
"""How much wider than FFHQ's own square (EG3D's ``q_scale``), and EG3D's size before its crop."""
_LEFT_EYE, _RIGHT_EYE, _MOUTH_CORNERS = slice(36, 42), slice(42, 48), (48, 54)


@dataclass(frozen=True)
class Square:
    """A turned square in a photo.

    Attributes:
        centre: [2].
        half_x: [2], from the centre to the middle of the right edge.
    """

    centre: np.ndarray
    half_x: np.ndarray

    @property
    def half_y(self) -> np.ndarray:
        """[2], from the centre to the middle of the lower edge."""
        return np.array([-self.half_x[1], self.half_x[0]])

    @property
    def side(self) -> float:
        """Length of an edge, pixels."""
        return 2 * float(np.hypot(*self.half_x))

    def corners(self) -> np.ndarray:
        """[4, 2]: upper left, lower left, lower right, upper right."""
        centre, x, y = self.centre, self.half_x, self.half_y
        return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def face_square(landmarks: np.ndarray, *, wider: float = WIDER) -> Square:
    """The square of a face.

    Args:
        landmarks: [68, 2] of the usual order, pixels of the photo.
        wider: factor; 1 is FFHQ's own.

    Raises:
        ValueError: not 68 finite points, or all in one place.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.shape != (68, 2) or not np.isfinite(landmarks).all():
        raise ValueError(f"expected 68 finite landmarks [68, 2], got {list(landmarks.shape)}")
    left, right = landmarks[_LEFT_EYE].mean(axis=0), landmarks[_RIGHT_EYE].mean(axis=0)
    eyes, across = (left + right) / 2, right - left
    down = landmarks[list(_MOUTH_CORNERS)].mean(axis=0) - eyes
    # The line of the eyes, and that to the mouth turned by a right angle, both say where x is.
    direction = across + np.array([down[1], -down[0]])
    length = np.hypot(*direction)
    if length < 1e-6:
        raise ValueError("the landmarks lie in one place")
    half = max(2.0 * np.hypot(*across), 1.8 * np.hypot(*down)) * wider
    return Square(eyes + 0.1 * down, direction / length * half)


def align_face(
    photo: np.ndarray,
    landmarks: np.ndarray,
    *,
    size: int = ALIGNED_SIZE,
    wider: float = WIDER,
    sampled: int = SAMPLED_SIZE,
) -> np.ndarray:
    """The aligned photo [size, size, 3] uint8.

    Args:
        photo: RGB [H, W, 3] uint8.
        landmarks: [68, 2], pixels of it.
        size: side of the result.
        wider: see `face_square`.
        sampled: side that the square is sampled at before it is reduced.

    Raises:
        ValueError: landmarks are unusable, or the square does not touch the photo.
    """
    square = face_square(landmarks, wider=wider)
    corners, side = square.corners(), square.side
    picture = Image.fromarray(photo)
    shrink = int(side / size * 0.5)
    if shrink > 1:
        small = tuple(int(np.rint(length / shrink)) for length in picture.size)
        picture = picture.resize(small, Image.Resampling.LANCZOS)
        corners, side = corners / shrink, side / shrink
    border = max(int(np.rint(side * 0.1)), 3)
    low = np.floor(corners.min(axis=0)).astype(int)
    high = np.ceil(corners.max(axis=0)).astype(int)
    start = np.maximum(low - border, 0)
    stop = np.minimum(high + border, picture.size)
    if (stop - start < 2).any():
        raise ValueError("the face lies outside of the photo")
    picture = picture.crop((*start, *stop))
    corners = corners - start
    before = np.maximum(-(low - start) + border, 0)
    after = np.maximum(high - start - picture.size + border, 0)
    if max(before.max(), after.max()) > border - 4:
        least = int(np.rint(side * 0.3))
        before, after = np.maximum(before, least), np.maximum(after, least)
        picture = Image.fromarray(_continued(np.asarray(picture), before, after, 0.02 * side))
        corners = corners + before
    quad = (corners + 0.5).ravel().tolist()
    shape = (sampled, sampled)
    picture = picture.transform(
        shape, Image.Transform.QUAD, quad, resample=Image.Resampling.BILINEAR
    )
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS))


def _continued(
    pixels: np.ndarray, before: np.ndarray, after: np.ndarray, sigma: float
) -> np.ndarray:
    """Continue a picture by reflection that fades with the distance from the edge."""
    widths = ((before[1], after[1]), (before[0], after[0]), (0, 0))
    wide = np.pad(pixels.astype(np.float32), widths, mode="reflect")
    height, width = wide.shape[:2]
    rows, columns = np.ogrid[:height, :width]
    near_x = np.minimum(columns / before[0], (width - 1 - columns) / after[0])
    near_y = np.minimum(rows / before[1], (height - 1 - rows) / after[1])
    # 1 at the far end of the border, 0 at the photo's edge, negative inside.
    far = np.maximum(1 - near_x, 1 - near_y)[..., None].astype(np.float32)
    blurred = gaussian_filter(wide, (sigma, sigma, 0))
    wide += (blurred - wide) * np.clip(3 * far + 1, 0, 1)
    wide += (np.median(wide, axis=(0, 1)) - wide) * np.clip(far, 0, 1)
    return np.clip(np.rint(wide), 0, 255).astype(np.uint8)
