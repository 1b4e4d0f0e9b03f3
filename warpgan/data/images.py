"""Image files to arrays as a user expects them, and exact or antialiased resizing.

Whatever the file holds, what comes out is upright 8-bit RGB: EXIF rotation is applied; 16-bit grey
is scaled, not clipped; grey, palette and CMYK become RGB; transparent pixels are laid over *white*,
as most viewers show them. Data sets hold PNG, JPEG and WebP; a user's own photos may be any of
`PHOTO_FORMATS`, of which the first frame is read.
"""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
FORMATS = ("PNG", "JPEG", "WEBP")
PHOTO_FORMATS = (*FORMATS, "BMP", "TIFF", "GIF", "PPM", "AVIF")
"""Read from a user's own photos; those that Pillow was built without are left out. None of them
runs code or names other files, as SVG, PDF and EPS can."""
ORIENTATION_TAG = 0x0112
MAX_PIXELS = 80_000_000
"""Larger images are refused: a small file can claim any size and exhaust the memory."""

_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
    BadZipFile,
)
_ENDINGS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}


class ImageError(ValueError):
    """An image file that cannot be used; the message names it.

    Attributes:
        kind: "no picture", "too large" or "damaged".
    """

    def __init__(self, message: str, kind: str = "damaged") -> None:
        """Keep the kind beside the message."""
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says of itself.

    Attributes:
        width: Pixels, upright.
        height: Pixels, upright.
        complete: False if the file does not end as a whole PNG or JPEG does. Only a hint: bytes
            that a camera appended look the same, so decode before refusing.
    """

    width: int
    height: int
    complete: bool


def read_header(stream: BinaryIO, name: str, *, look_at_end: bool = True) -> ImageHeader:
    """Read an image's size, and look for its end marker, without decoding the pixels.

    Args:
        stream: The file.
        name: How errors call it.
        look_at_end: Off for streams that would have to be read whole; ``complete`` is then True.

    Raises:
        ImageError: No PNG, JPEG or WebP, or more than `MAX_PIXELS`.
    """
    with _reported(name), _open(stream, name) as picture:
        width, height = picture.size
        if picture.format == "JPEG" and picture.getexif().get(ORIENTATION_TAG, 1) >= 5:
            width, height = height, width
        complete = True
        if look_at_end and picture.format in _ENDINGS:
            length = stream.seek(0, io.SEEK_END)
            stream.seek(max(0, length - 64))
            complete = _ENDINGS[picture.format] in stream.read()
    return ImageHeader(width, height, complete)


def decode_image(content: bytes, name: str, *, formats: Sequence[str] = FORMATS) -> np.ndarray:
    """Decode the bytes of an image file to upright RGB [H, W, 3] uint8.

    Args:
        content: the file.
        name: how errors call it.
        formats: Pillow's names of those accepted, e.g. `PHOTO_FORMATS`.

    Raises:
        ImageError: Unreadable, truncated or too large; ``name`` is in the message.
    """
    with _reported(name, formats), _open(io.BytesIO(content), name, formats) as picture:
        picture.load()
        return np.asarray(_to_rgb(ImageOps.exif_transpose(picture)))


def to_unit_range(image: np.ndarray, size: int) -> Tensor:
    """RGB [H, W, 3] uint8 of a square image to [3, size, size] float32 in [-1, 1].

    Integer reductions are exact means of the pixels of a cell; other factors use an antialiased
    bicubic filter, clamped to the range.
    """
    side = image.shape[0]
    if side % size == 0:
        cell = side // size
        # integer sums: the same bits in any order, so a flipped file gives the flipped tensor
        sums = image.reshape(size, cell, size, cell, 3).sum(axis=(1, 3), dtype=np.uint32)
        means = torch.from_numpy(sums.astype(np.float32)).permute(2, 0, 1) / cell**2
        return (means / 127.5 - 1).contiguous()
    tensor = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
    resized = functional.interpolate(
        tensor[None], (size, size), mode="bicubic", align_corners=False, antialias=True
    )
    return resized[0].clamp(-1, 1)


@contextmanager
def _reported(name: str, formats: Sequence[str] = FORMATS) -> Iterator[None]:
    """Turn what Pillow and zips raise on damaged files into an error that names the file."""
    try:
        yield
    except ImageError:
        raise
    except Image.UnidentifiedImageError as error:
        known = ["WebP" if one == "WEBP" else one for one in formats]
        message = f"{name} is no {', '.join(known[:-1])} or {known[-1]}"
        raise ImageError(message, "no picture") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} is too large: {error}", "too large") from error
    except _DECODING_ERRORS as error:
        raise ImageError(f"{name} is damaged or truncated: {error}") from error


def _open(stream: BinaryIO, name: str, formats: Sequence[str] = FORMATS) -> Image.Image:
    picture = Image.open(stream, formats=_available(formats))
    width, height = picture.size
    if width * height > MAX_PIXELS:
        picture.close()
        raise ImageError(
            f"{name} has {width} x {height} pixels, more than {MAX_PIXELS}; scale it down first",
            "too large",
        )
    return picture


def _available(formats: Sequence[str]) -> list[str]:
    """Formats that this Pillow can read: it may have been built without AVIF."""
    Image.init()
    return [name for name in formats if name in Image.OPEN]


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        grey = np.asarray(picture, dtype=np.float64) / 257
        return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")
