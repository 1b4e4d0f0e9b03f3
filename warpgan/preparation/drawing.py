"""Small pictures for the report: what was found on a photo, and how the camera fits a crop.

Blue is what was found in the photo, orange what the camera says: the generator's own eyes, nose tip
and mouth corners (`warpgan.cameras.CANONICAL_POINTS`), projected by the label.
"""

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from warpgan.cameras import CANONICAL_POINTS, project

PHOTO_SIDE, CROP_SIDE, QUALITY = 384, 288, 82
FOUND, CAMERA, OTHER = (0, 114, 178), (230, 120, 0), (120, 120, 120)
_DOT, _RING = 3.0, 5.5


def photo_picture(
    photo: np.ndarray,
    boxes: Sequence[Sequence[float]],
    points: Sequence[np.ndarray],
    *,
    chosen: Sequence[int],
) -> bytes:
    """A photo with its detections, as WebP.

    Args:
        photo: RGB [H, W, 3] uint8.
        boxes: left, top, right, bottom of each face.
        points: [5, 2] of each face, pixel indices.
        chosen: numbers, from 1, of those that were taken; the others are grey.
    """
    picture = Image.fromarray(photo)
    scale = min(1.0, PHOTO_SIDE / max(picture.size))
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    draw = ImageDraw.Draw(picture)
    for number, (box, five) in enumerate(zip(boxes, points, strict=True), start=1):
        colour = FOUND if number in chosen else OTHER
        left, top, right, bottom = (float(edge) * scale for edge in box)
        if right > left and bottom > top:
            draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline="white", width=4)
            draw.rectangle((left, top, right, bottom), outline=colour, width=2)
        if len(boxes) > 1:
            draw.rectangle((left, top, left + 8 + 6 * len(str(number)), top + 13), fill=colour)
            draw.text((left + 4, top + 1), str(number), fill="white")
        for x, y in (np.asarray(five, np.float64) + 0.5) * scale:
            _disc(draw, x, y, 2.0, colour)
    return _webp(picture)


def crop_picture(
    crop: np.ndarray, points: np.ndarray, mesh: np.ndarray | None, camera: torch.Tensor
) -> bytes:
    """A crop with the points found and those of its camera, as WebP.

    Args:
        crop: RGB [S, S, 3] uint8.
        points: [5, 2] found, continuous coordinates of the crop.
        mesh: [468, 2] of the same, or None.
        camera: label [25].
    """
    scale = CROP_SIDE / crop.shape[0]
    picture = Image.fromarray(crop).resize((CROP_SIDE, CROP_SIDE), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture, "RGBA")
    for x, y in () if mesh is None else np.asarray(mesh, np.float64) * scale:
        draw.ellipse((x - 0.8, y - 0.8, x + 0.8, y + 0.8), fill=(255, 255, 255, 150))
    for x, y in np.asarray(points, np.float64) * scale:
        _disc(draw, x, y, _DOT, FOUND)
    for x, y in project(CANONICAL_POINTS, camera.reshape(25), size=CROP_SIDE).numpy():
        for radius, colour, width in ((_RING + 1, "white", 4), (_RING, CAMERA, 2)):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), None, colour, width)
    return _webp(picture)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: tuple) -> None:
    for r, fill in ((radius + 1, "white"), (radius, colour)):
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _webp(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "WEBP", quality=QUALITY, method=4)
    return stream.getvalue()
