"""From a photo and five points to an upright crop, resampled once.

EG3D's crop (`warpgan.crop`) does not turn a photo, so a tilted head ends as roll in its camera,
which no generator was trained on. Here the photo is turned about the face first, and the crop of
the turned photo is resampled straight from the original, in one step.

Without a turn the crop is EG3D's own, to the byte (`warpgan.crop.FaceCrop.apply`), apart from what
lies beyond the photo's edge: black, white, or (`reflect`) the mirrored photo, which runs into a
blur with the distance from the edge, as in FFHQ's alignment.

Coordinates: photo points are pixel indices, crop points are continuous (`warpgan.crop`). A turn is
in degrees of *camera* roll, as `warpgan.cameras.look_at` has it: the content of a photo taken with
roll 20 is turned counter-clockwise by 20 degrees; ``turned_deg`` 20 turns it back.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from warpgan.crop import (
    CENTRE_SIZE,
    CROP_SIZE,
    TARGET_SIZE,
    FaceCrop,
    Points,
    fit_crop,
)

BORDERS = ("reflect", "black", "white")
FEATHER = 0.06
"""Share of the crop's side, beyond the photo's edge, over which the mirrored photo gets blurred."""
BLURS = (0.02, 0.06)
"""Sigmas of the near and the far blur, shares of the crop's side."""
ROUGH_UNITS = 8.0
MAX_WORKING_PIXELS = 64_000_000
"""A photo that EG3D's resize would make larger than this is cut about the face first."""


@dataclass(frozen=True)
class Alignment:
    """Where a crop lies in a photo.

    Attributes:
        to_crop: [2, 3] float64, photo pixel indices to continuous crop coordinates.
        size: Side of the crop.
        turned_deg: Camera roll that the crop takes out, degrees.
        window: EG3D's crop of the part of the photo from ``origin``, if the crop is exactly that.
        origin: First column and row of that part, pixel indices.
        part_size: Its width and height.
    """

    to_crop: np.ndarray
    size: int
    turned_deg: float = 0.0
    window: FaceCrop | None = None
    origin: tuple[int, int] = (0, 0)
    part_size: tuple[int, int] = (0, 0)

    def map(self, points: Points) -> np.ndarray:
        """Photo points [M, 2] (pixel indices) as continuous crop coordinates."""
        return np.asarray(points, np.float64) @ self.to_crop[:, :2].T + self.to_crop[:, 2]

    def map_back(self, points: Points) -> np.ndarray:
        """Crop points [M, 2] (continuous) as pixel indices of the photo."""
        inverse = np.linalg.inv(self.to_crop[:, :2])
        return (np.asarray(points, np.float64) - self.to_crop[:, 2]) @ inverse.T

    def reframed(
        self, *, scale: float, shift: tuple[float, float], turn_deg: float = 0.0
    ) -> "Alignment":
        """The crop turned and zoomed about its middle, then moved.

        Args:
            scale: > 1 shows the face larger.
            shift: Crop pixels that the content moves by, right and down.
            turn_deg: Camera roll to take out as well, degrees.
        """
        middle = np.full(2, self.size / 2)
        turn = _turn(turn_deg, middle)[:, :2] * scale
        to_crop = turn @ self.to_crop
        to_crop[:, 2] += middle - turn @ middle + np.asarray(shift)
        return Alignment(to_crop, self.size, self.turned_deg + turn_deg)


def eye_roll_deg(points: Points) -> float:
    """Camera roll in degrees that explains the slope of the line between the eyes of [5, 2]."""
    points = np.asarray(points, np.float64)
    along = points[1] - points[0]
    return math.degrees(math.atan2(-along[1], along[0]))


def align(
    points: Points, *, width: int, height: int, size: int = CROP_SIZE, turned_deg: float = 0.0
) -> Alignment:
    """EG3D's crop of a photo that is first turned about the face.

    Args:
        points: Five points [5, 2] in the photo; see `warpgan.crop`.
        width: Of the photo.
        height: Of the photo.
        size: Side of the crop.
        turned_deg: Camera roll to take out, degrees.

    Raises:
        ValueError: `fit_crop` refuses the points, or a size below 1.
    """
    if size < 1:
        raise ValueError(f"size {size} must be a positive number of pixels")
    points = np.asarray(points, np.float64)
    middle = points.mean(axis=0) if points.shape == (5, 2) else np.zeros(2)
    turn = _turn(turned_deg, middle)
    turned = points @ turn[:, :2].T + turn[:, 2] if turned_deg else points
    left, top, right, bottom = _rough_part(turned, width, height)
    window = fit_crop(turned - (left, top), width=right - left, height=bottom - top)
    # the affine map from what the window does to three points
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]) - (left, top)
    zero, by_x, by_y = window.to_crop(corners, size=size)
    to_crop = np.stack([by_x - zero, by_y - zero, zero], axis=1)
    if turned_deg:
        moved = to_crop[:, :2] @ turn
        moved[:, 2] += to_crop[:, 2]
        return Alignment(moved, size, float(turned_deg))
    return Alignment(to_crop, size, 0.0, window, (left, top), (right - left, bottom - top))


def cut(photo: np.ndarray, alignment: Alignment, *, border: str = "reflect") -> np.ndarray:
    """The crop [size, size, 3] uint8 of a photo [H, W, 3] uint8.

    Raises:
        ValueError: An unknown border, or no such photo.
    """
    if border not in BORDERS:
        raise ValueError(f"border {border!r} is unknown; choose one of {', '.join(BORDERS)}")
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise ValueError(f"photo is {photo.dtype} {photo.shape}; expected uint8 [H, W, 3]")
    if alignment.window is not None:
        return _cut_window(photo, alignment, alignment.window, border)
    return _cut_turned(photo, alignment, border)


def outside_share(alignment: Alignment, *, width: int, height: int) -> float:
    """Share of the crop's area beyond the photo's edge, 0..1, on a grid of 64 x 64 positions."""
    centres = (np.arange(64) + 0.5) / 64 * alignment.size
    grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    x, y = alignment.map_back(grid).T
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return float(1 - inside.mean())


def _turn(turned_deg: float, middle: np.ndarray) -> np.ndarray:
    """[2, 3]: turns pixel indices clockwise by ``turned_deg``, as seen, about ``middle``."""
    angle = math.radians(turned_deg)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.concatenate([rotation, (middle - rotation @ middle)[:, None]], axis=1)


def _rough_part(points: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of a photo to work on: all of it, or about the face."""
    if points.shape != (5, 2) or not np.isfinite(points).all():
        return 0, 0, width, height
    spread = np.linalg.norm(points[:2].mean(axis=0) - points[3:].mean(axis=0))
    spread = max(spread, np.linalg.norm(points[1] - points[0]), 1e-3)
    # the eyes of a standard face are .62 units apart, and a unit becomes 300 px
    enlarged = 300 * 0.62 / spread
    if width * height * enlarged**2 <= MAX_WORKING_PIXELS:
        return 0, 0, width, height
    reach = ROUGH_UNITS / 2 * spread / 0.62
    middle = points.mean(axis=0)
    left, top = np.floor(middle - reach).astype(int)
    right, bottom = np.ceil(middle + reach).astype(int)
    part = max(0, left), max(0, top), min(width, right), min(height, bottom)
    usable = part[2] - part[0] > 1 and part[3] - part[1] > 1
    return tuple(map(int, part)) if usable else (0, 0, width, height)


def _cut_window(
    photo: np.ndarray, alignment: Alignment, window: FaceCrop, border: str
) -> np.ndarray:
    """The two resizes of `FaceCrop.apply`, with a border of choice between them."""
    (left, top), (width, height) = alignment.origin, alignment.part_size
    part = Image.fromarray(photo[top : top + height, left : left + width])
    resized = np.asarray(part.resize(window.resized_size, Image.Resampling.BICUBIC))
    margin = (TARGET_SIZE - CENTRE_SIZE) // 2
    corner = window.left + margin, window.top + margin
    centre = _with_border(resized, corner, (CENTRE_SIZE, CENTRE_SIZE), border, side=CENTRE_SIZE)
    size = (alignment.size, alignment.size)
    return np.asarray(Image.fromarray(centre).resize(size, Image.Resampling.LANCZOS))


def _cut_turned(photo: np.ndarray, alignment: Alignment, border: str) -> np.ndarray:
    """One bicubic warp, of a photo reduced by a whole number where it is much too large.

    The warp samples at least as densely as the photo; Lanczos brings it to the crop's size.
    """
    size = alignment.size
    corners = alignment.map_back([[0, 0], [size, 0], [0, size], [size, size]])
    scale = 1 / math.sqrt(abs(np.linalg.det(alignment.to_crop[:, :2])))
    reduction = max(1, int(scale / 2))
    low = np.floor(corners.min(axis=0)).astype(int) - 3 * reduction
    extent = np.ceil(corners.max(axis=0)).astype(int) + 3 * reduction - low
    extent = -(-extent // reduction) * reduction
    side = size * scale / reduction
    part = _with_border(photo, tuple(low), tuple(extent), border, side=side, reduction=reduction)
    oversampling = max(1, math.ceil(scale / reduction - 1e-6))
    # from a crop's continuous coordinates to those of the reduced part
    inverse = np.linalg.inv(alignment.to_crop[:, :2]) / reduction
    shift = (0.5 - low) / reduction - inverse @ alignment.to_crop[:, 2]
    (a, b), (c, d) = inverse / oversampling
    warped = Image.fromarray(part).transform(
        (size * oversampling,) * 2,
        Image.Transform.AFFINE,
        (a, b, shift[0], c, d, shift[1]),
        Image.Resampling.BICUBIC,
    )
    if oversampling > 1:
        warped = warped.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(warped)


def _with_border(
    picture: np.ndarray,
    corner: tuple[int, int],
    extent: tuple[int, int],
    border: str,
    *,
    side: float,
    reduction: int = 1,
) -> np.ndarray:
    """Cut a box out of a picture [H, W, 3], filling what lies beyond its edge.

    Args:
        picture: uint8.
        corner: Left and top of the box, pixels; may be negative.
        extent: Its width and height, multiples of ``reduction``.
        border: One of `BORDERS`.
        side: Side of the crop in pixels of the box after the reduction, for feather and blur.
        reduction: Whole number by which the box is reduced.
    """
    height, width = picture.shape[:2]
    columns = np.arange(corner[0], corner[0] + extent[0])
    rows = np.arange(corner[1], corner[1] + extent[1])
    box = picture[_mirrored(rows, height)[:, None], _mirrored(columns, width)]
    beyond_x = np.maximum(np.maximum(-columns, columns - (width - 1)), 0)
    beyond_y = np.maximum(np.maximum(-rows, rows - (height - 1)), 0)
    inside = not (beyond_x.any() or beyond_y.any())
    if border != "reflect" and not inside:
        box[(beyond_y > 0)[:, None] | (beyond_x > 0)] = 0 if border == "black" else 255
    if reduction > 1:
        box = np.asarray(Image.fromarray(box).reduce(reduction))
        beyond_x, beyond_y = beyond_x[::reduction], beyond_y[::reduction]
    if border != "reflect" or inside:
        return box
    distance = np.hypot(beyond_y[:, None], beyond_x) / (reduction * FEATHER * side)
    mixed = box.astype(np.float32)
    for blur, reach in zip(BLURS, (1.0, 4.0), strict=True):
        weight = np.clip(distance / reach, 0, 1)
        weight = (weight * weight * (3 - 2 * weight)).astype(np.float32)[..., None]
        blurred = Image.fromarray(box).filter(ImageFilter.GaussianBlur(blur * side))
        mixed += weight * (np.asarray(blurred, np.float32) - mixed)
    return np.rint(mixed).astype(np.uint8)


def _mirrored(index: np.ndarray, count: int) -> np.ndarray:
    """Indices folded back into 0 .. count - 1, the edge pixel not repeated."""
    period = max(1, 2 * (count - 1))
    index = np.mod(index, period)
    return np.minimum(index, np.abs(period - index)) if count > 1 else np.zeros_like(index)
