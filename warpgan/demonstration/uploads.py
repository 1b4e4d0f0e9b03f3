"""Files that a browser sent: small enough, decoded as pictures and never as anything else."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from warpgan.data.images import SUFFIXES, ImageError, decode_image, read_header

MEGABYTE = 1_000_000
MAX_PIXELS = 50_000_000
"""Of an upload; a phone's largest photos have 50 million, and take 150 MB decoded."""
KEPT_SIDE = 2048
"""Longer photos are reduced to this after decoding: more than a crop of 512 px needs."""
NAME = "the file"


@dataclass(frozen=True)
class UploadLimits:
    """What is accepted.

    Attributes:
        megabytes: largest file, in millions of bytes.
        pixels: most pixels.
    """

    megabytes: float = 20.0
    pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        """Refuse limits that refuse everything, or nothing."""
        if not 0 < self.megabytes <= 1000:
            raise ValueError(
                f"--max-upload-mb {self.megabytes:g} must be above 0 and at most 1000 megabytes"
            )

    @property
    def bytes(self) -> int:
        """Largest file in bytes."""
        return int(self.megabytes * MEGABYTE)


def read_upload(path: Path, limits: UploadLimits) -> np.ndarray:
    """Decode an uploaded photo and remove its file.

    Args:
        path: where the server put it; its name is ignored.
        limits: what is accepted.

    Returns:
        Upright RGB ``[H, W, 3]`` uint8, the longer side at most `KEPT_SIDE`.

    Raises:
        ImageError: for anything that is no PNG, JPEG or WebP within the limits.
    """
    try:
        size = path.stat().st_size
        if size > limits.bytes:
            raise ImageError(
                f"{NAME} has {size / MEGABYTE:.1f} MB; at most {limits.megabytes:g} MB are accepted"
            )
        content = path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
    return decode_upload(content, limits)


def decode_upload(content: bytes, limits: UploadLimits) -> np.ndarray:
    """Decode the bytes of an uploaded photo; see `read_upload`."""
    if not content:
        raise ImageError(f"{NAME} is empty; expected a photo ({', '.join(SUFFIXES)})")
    header = read_header(io.BytesIO(content), NAME, look_at_end=False)
    if header.width * header.height > limits.pixels:
        raise ImageError(
            f"{NAME} says it has {header.width} x {header.height} pixels; at most "
            f"{limits.pixels / 1e6:.0f} million are accepted: scale it down first"
        )
    return reduced(decode_image(content, NAME))


def reduced(photo: np.ndarray, *, side: int = KEPT_SIDE) -> np.ndarray:
    """A photo ``[H, W, 3]`` uint8 whose longer side is at most ``side``."""
    height, width = photo.shape[:2]
    if max(height, width) <= side:
        return photo
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(picture)
